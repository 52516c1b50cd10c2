"""Many images: what a second worker of a Dask cluster saves, and what the process that shares out the work needs."""

from __future__ import annotations

import json
import random
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from isal import igzip

from tests.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, add_blob, add_to_index, digest, image_config, layer_tar

pytestmark = [pytest.mark.bench, pytest.mark.real]

ROUNDS = 3
MAX_SHARE = 0.7
MAX_DRIVER_MIB = 250
BASES, IMAGES = 4, 24

# The cluster is up before the clock starts: it is what a schedule finds running. The peak is that of this process alone, and not
# that of the one that forked it (getrusage would tell the larger of the two).
PROGRAM = """
import json, re, sys, time
from pathlib import Path
import distributed
from audit_lib.fleet import audit_many
if __name__ == "__main__":
    layout, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    references = [f"oci-dir:{layout}:app{number}" for number in range(24)]
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "local_directory": out}
    with distributed.LocalCluster(n_workers=count, **options) as cluster, distributed.Client(cluster) as client:
        client.run(__import__, "audit_lib.tasks")
        start = time.perf_counter()
        fleet = audit_many(references, f"{out}/out", store=f"{out}/store", executor=client.get_executor())
        seconds = time.perf_counter() - start
    assert fleet.images["status"].tolist() == ["read"] * 24, fleet.images["error"].tolist()
    peak_kib = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
    print(json.dumps({"seconds": seconds, "peak_mib": peak_kib / 1024}))
"""


@pytest.fixture(scope="module")
def layout(base_image_tar, tmp_path_factory) -> Path:
    """Return an OCI layout of 24 images: four bases of 88 Debian packages (121 MB), and a layer of 3 MB for each."""
    path = tmp_path_factory.mktemp("fleet") / "images"
    root = base_image_tar.read_bytes().rstrip(b"\0")
    root += bytes(-len(root) % 512)
    bases = [_layer(path, root + layer_tar({f"opt/base{number}": "base"})) for number in range(BASES)]
    chance = random.Random(4)
    for number in range(IMAGES):
        app = _layer(path, layer_tar({f"srv/app/{part}": chance.randbytes(20_000) for part in range(150)}))
        diff_ids, layers = zip(bases[number % BASES], app, strict=True)
        config = add_blob(path, json.dumps(image_config(diff_ids)).encode(), OCI_CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        add_to_index(path, [add_blob(path, json.dumps(manifest).encode(), OCI_MANIFEST)], tag=f"app{number}")
    return path


def _layer(path: Path, tar: bytes) -> tuple[str, dict[str, object]]:
    return digest(tar), add_blob(path, igzip.compress(tar, 1), f"{OCI_LAYER}+gzip")


def test_two_workers_take_at_most_seven_tenths_of_the_time_of_one(layout, tmp_path, note):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for count, measured in runs.items():
            folder = tmp_path / f"run{count}"
            done = subprocess.run(
                [sys.executable, str(program), str(layout), str(folder), str(count)],
                check=True,
                capture_output=True,
                text=True,
            )
            measured.append(json.loads(done.stdout))
            shutil.rmtree(folder)
    one, two = (statistics.median(run["seconds"] for run in runs[count]) for count in (1, 2))
    driver = max(run["peak_mib"] for run in runs[2])
    note("24 images on 4 bases, one Dask worker", one, "s")
    note("24 images on 4 bases, two Dask workers", two, "s")
    note("two Dask workers / one", two / one, "x", limit=MAX_SHARE)
    note("peak of the process that shares out 24 images", driver, "MiB", limit=MAX_DRIVER_MIB)
    assert two <= MAX_SHARE * one
    assert driver < MAX_DRIVER_MIB
