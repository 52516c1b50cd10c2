"""A fleet out of a real registry, by the processes of a Dask cluster: each blob is fetched once, whatever happens to a worker."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed
import pytest

from audit_lib.fleet import audit_many
from audit_lib.sources.urls import PLAIN_HTTP
from tests import registries
from tests.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, compress, digest, image_config, layer_tar
from tests.registries import PASSWORD, USER, Certificates, Registry, served
from tests.test_registry_faults import Between

BASES, IMAGES = 4, 24
CUT = 100_000


@pytest.fixture(scope="module")
def pushed(docker_registry: Registry) -> tuple[list[str], dict[str, str]]:
    """Return the names of 24 images on 4 bases, and all their blobs but the manifests: digest → what it is."""
    bases = [
        {"etc/os-release": "ID=debian\n", "base": random.Random(number).randbytes(300_000)} for number in range(BASES)
    ]
    names, blobs = [], {}
    for number in range(IMAGES):
        tars = [layer_tar(bases[number % BASES]), layer_tar({"srv/app": f"application {number}"})]
        layers = [registries.put_blob(docker_registry, f"fleet/app{number}", compress(tar, "gzip")) for tar in tars]
        config = json.dumps(image_config([digest(tar) for tar in tars])).encode()
        told = registries.put_blob(docker_registry, f"fleet/app{number}", config)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {**told, "mediaType": OCI_CONFIG},
            "layers": [{**layer, "mediaType": f"{OCI_LAYER}+gzip"} for layer in layers],
        }
        registries.put_manifest(docker_registry, f"fleet/app{number}", document, "1")
        names.append(f"fleet/app{number}:1")
        blobs |= {told["digest"]: "config", layers[0]["digest"]: "base", layers[1]["digest"]: "application"}
    return names, blobs


@pytest.fixture(autouse=True)
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust nobody but those whom a test names: reading this machine's bundles anew for each image takes most of the time."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def cluster(folder: Path, **environment: str) -> Iterator[distributed.Client]:
    """Run a Dask cluster of two processes with one thread each."""
    settings: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        distributed.LocalCluster(**settings, local_directory=str(folder / "dask"), env=environment) as made,
        distributed.Client(made) as client,
    ):
        yield client


def test_each_blob_is_fetched_once_and_none_by_the_next_run(
    guarded_registry: Registry, certificates: Certificates, pushed, tmp_path: Path
):
    home = tmp_path / "home"
    trusted = home / ".config" / "containers" / "certs.d" / guarded_registry.host
    trusted.mkdir(parents=True)
    (trusted / "ca.crt").write_bytes(certificates.authority.read_bytes())
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {guarded_registry.host: {"auth": pair}}}))
    names, blobs = pushed
    references = [f"registry:{guarded_registry.host}/{name}" for name in names]
    start = len(guarded_registry.requests())
    with cluster(tmp_path, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config")) as client:
        executor = client.get_executor()
        fleet = audit_many(references, tmp_path / "one", store=tmp_path / "store", executor=executor)
        assert fleet.images["error"].dropna().tolist() == []
        assert Counter(guarded_registry.fetched(since=start)) == dict.fromkeys(blobs, 1)
        before = len(guarded_registry.requests())
        again = audit_many(references, tmp_path / "two", store=tmp_path / "store", executor=executor)
        assert again.images["status"].tolist() == ["read"] * IMAGES
        assert guarded_registry.fetched(since=before) == []
    assert fleet.table("layers")["diff_id"].nunique() == BASES + IMAGES
    assert fleet.table("files").equals(again.table("files"))


def test_a_worker_that_is_killed_costs_what_it_was_at_only(docker_registry: Registry, pushed, tmp_path: Path):
    names, blobs = pushed
    held = next(blob for blob, kind in blobs.items() if kind == "base")
    is_held, gone = threading.Event(), threading.Event()

    def hold_once(handler: Between, earlier: int) -> bool:
        if held not in handler.path or earlier:
            return False
        handler.answer(*handler.upstream(), only=CUT)
        is_held.set()
        gone.wait(60)
        return True

    with (
        served(Between, behind=docker_registry.host, fault=hold_once, seen=[]) as (host, server),
        cluster(tmp_path, **{PLAIN_HTTP: host}) as client,
        ThreadPoolExecutor(1) as beside,
    ):
        references = [f"registry:{host}/{name}" for name in names]
        executor = client.get_executor()
        running = beside.submit(audit_many, references, tmp_path / "out", store=tmp_path / "store", executor=executor)
        assert is_held.wait(60)
        os.kill(holder_of(client), signal.SIGKILL)
        fleet = running.result(120)
        gone.set()
    assert fleet.images["error"].dropna().tolist() == []
    fetched = Counter(one.path.rpartition("/")[2] for one in server.seen if "/blobs/sha256:" in one.path)
    assert fetched == {**dict.fromkeys(blobs, 1), held: 2}


def holder_of(client: distributed.Client) -> int:
    """Return the process that is still at something once the other has done all else that can be done."""
    pids = client.run(os.getpid)
    for _ in range(600):
        busy = [worker for worker, keys in client.processing().items() if keys]
        tasks = [key for keys in client.processing().values() for key in keys]
        if len(tasks) == 1:
            return pids[busy[0]]
        time.sleep(0.1)
    raise AssertionError(f"more than one task is left: {tasks}")
