"""The audit against Syft on the same image in the same run, against the least work that there is, and as images grow."""

from __future__ import annotations

import io
import json
import math
import tarfile
from pathlib import Path

import pytest

from tests.benchmarks.measuring import alternated, python
from tests.images import oci_dir
from tests.syft import syft_path

pytestmark = [pytest.mark.bench, pytest.mark.real, pytest.mark.engine]

ROUNDS = 5
# Inflating and hashing each layer, compressed and not, on two cores: what no audit can do without.
FLOOR = """
import hashlib, queue, sys, threading
from isal import igzip_lib
hashed = queue.Queue(8)
def work():
    while (piece := hashed.get()) is not None:
        piece[0].update(piece[1])
thread = threading.Thread(target=work, daemon=True)
thread.start()
for path in sys.argv[1:]:
    stored, unpacked = hashlib.sha256(), hashlib.sha256()
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    with open(path, "rb") as layer:
        while data := layer.read(1 << 20):
            hashed.put((stored, data))
            while (piece := inflater.decompress(data, 1 << 20)):
                hashed.put((unpacked, piece))
                data = b""
                if inflater.needs_input or inflater.eof:
                    break
hashed.put(None)
thread.join()
"""


def test_cold_and_warm_against_syft_and_the_floor(full_oci_dir: Path, full_archive: Path, tmp_path: Path, note):
    syft, store = syft_path(), tmp_path / "store"
    image = f"oci-dir:{full_oci_dir}"
    audit = ["-m", "audit_lib", "-q", "inspect", image, "--table", "all", "--format", "csv", "-o", tmp_path / "tables"]
    _ = alternated({"warm up": python(*audit, "--store", store)}, rounds=1)
    measured = alternated(
        {
            "cold": python(*audit, "--store", "none"),
            "floor": python("-c", FLOOR, *_layers(full_oci_dir)),
            "warm": python(*audit, "--store", store),
            "syft": [syft, image, "--output", "syft-json", "--quiet"],
            "syft archive": [syft, f"docker-archive:{full_archive}", "--output", "syft-json", "--quiet"],
        },
        rounds=ROUNDS,
    )
    for name, figures in measured.items():
        note(f"{name}: wall time", figures.seconds, "s")
        note(f"{name}: processor time", figures.processor_seconds, "s")
        note(f"{name}: peak memory", figures.peak_mib, "MiB")
    cold, floor, warm, other = (measured[name] for name in ("cold", "floor", "warm", "syft"))
    ratios = {
        "cold audit / Syft, OCI folder: wall time": (cold.seconds / other.seconds, 1 / 10),
        "cold audit / Syft, OCI folder: peak memory": (cold.peak_mib / other.peak_mib, 1 / 3),
        "cold audit / floor: wall time": (cold.seconds / floor.seconds, 2.2),
        "warm audit / Syft, OCI folder: wall time": (warm.seconds / other.seconds, 1 / 12),
    }
    for what, (ratio, limit) in ratios.items():
        note(what, ratio, "", limit=limit)
    note("warm audit: wall time, a figure of this machine", warm.seconds, "s", limit=1.0)
    assert {what: ratio for what, (ratio, limit) in ratios.items() if ratio > limit} == {}


def test_time_grows_with_the_entries_and_memory_hardly(tmp_path: Path, note):
    """Layers of 25,000 entries and up to eight times as many, a fifth of them with something to say."""
    images = {times: _image(tmp_path / str(times), 25_000 * times) for times in (1, 2, 4, 8)}
    program = "import sys; from audit_lib import audit; audit(sys.argv[1], store='none')"
    measured = alternated(
        {str(times): python("-c", program, f"oci-dir:{image}") for times, image in images.items()}
        | {"import": python("-c", "import audit_lib")},
        rounds=3,
    )
    start = measured.pop("import")
    # processor time: a busy machine stretches the other
    spent = {int(times): figures.processor_seconds - start.processor_seconds for times, figures in measured.items()}
    for times, figures in measured.items():
        note(f"{25_000 * int(times):,} entries: wall time", figures.seconds, "s")
        note(f"{25_000 * int(times):,} entries: peak memory", figures.peak_mib, "MiB")
    exponent = math.log(spent[8] / spent[1]) / math.log(8)
    note("growth of time with entries: exponent", exponent, "", limit=1.1)
    note("eight times the entries: peak memory", measured["8"].peak_mib / measured["1"].peak_mib, "-fold", limit=1.5)
    assert exponent <= 1.1


def test_memory_does_not_grow_with_the_bytes_of_a_layer(tmp_path: Path, note):
    """The same 5,000 entries, with contents of 20 MB and eight times as much."""
    images = {times: _image(tmp_path / str(times), 5_000, size=4_000 * times) for times in (1, 8)}
    program = "import sys; from audit_lib import audit; audit(sys.argv[1], store='none')"
    measured = alternated(
        {str(times): python("-c", program, f"oci-dir:{image}") for times, image in images.items()}, rounds=3
    )
    ratio = measured["8"].peak_mib / measured["1"].peak_mib
    note("eight times the bytes: peak memory", ratio, "-fold", limit=1.5)
    assert ratio <= 1.5


def _image(path: Path, entries: int, *, size: int = 100) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(entries):
            name = f"opt/app/{number // 100}/file-{number}"
            data = bytes(size)
            if number % 10 == 1:
                name, data = f"{name}.sh", b"#!/bin/sh\n".ljust(size, b"#")
            elif number % 10 == 2:
                name = f"opt/app/{number // 100}/node_modules/p{number}/package.json"
                data = json.dumps({"name": f"p{number}", "version": "1.0.0"}).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    oci_dir(path, layers=[buffer.getvalue()])
    return path


def _layers(layout: Path) -> list[Path]:
    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    manifest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return [blob(layer["digest"]) for layer in json.loads(blob(manifest).read_text())["layers"]]
