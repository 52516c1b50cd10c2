"""The real images are what the other tests take them for."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.real]


def test_the_full_image_is_an_import_and_two_layers(docker_client: docker.DockerClient, full_image: str) -> None:
    added_bytes, imported_bytes = (step["Size"] for step in docker_client.api.history(full_image) if step["Size"])
    assert added_bytes == len("hello\n") + len("This file was overwritten.\n")
    assert imported_bytes > 500_000_000
    assert len(docker_client.images.get(full_image).attrs["RootFS"]["Layers"]) == 3


def test_every_packing_of_the_full_image_has_the_same_layers(
    docker_client: docker.DockerClient,
    full_image: str,
    podman_client: docker.DockerClient,
    podman_full_image: str,
    full_oci_dir: Path,
    full_oci_archive: Path,
) -> None:
    diff_ids = docker_client.images.get(full_image).attrs["RootFS"]["Layers"]
    assert podman_client.images.get(podman_full_image).attrs["RootFS"]["Layers"] == diff_ids
    index = json.loads((full_oci_dir / "index.json").read_text())
    manifest = json.loads(_blob(full_oci_dir, index["manifests"][0]["digest"]).read_text())
    config = json.loads(_blob(full_oci_dir, manifest["config"]["digest"]).read_text())
    assert config["rootfs"]["diff_ids"] == diff_ids
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert full_oci_archive.stat().st_size > sum(layer["size"] for layer in manifest["layers"])


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")
