"""Fixtures: engines that answer, real images, data with known answers. What is not here is skipped (see `tools`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import docker
import docker.errors
import hypothesis
import pytest

from tests import real_images, registries
from tests.tools import unavailable

# How long an example takes says more of what else the machine does than of the code. The same examples each time: a change is not
# refused for what was wrong before it. `--hypothesis-profile=search` looks for others.
hypothesis.settings.register_profile("here", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("here")
# Importing and saving an image of 833 MB takes an engine longer than the client's usual minute.
ENGINE_SECONDS = 600

T = TypeVar("T")


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests store out of the user's cache folder: a layer that one test read is not known to the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_STORE", "none")
        patch.setenv("AUDIT_ADVISORIES", str(tmp_path_factory.mktemp("advisories")))
        yield


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Give each test the environment as it was: options such as --store set variables, for the processes that a command starts."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Facts published by others, with known answers."""
    folder = Path(os.environ.get("AUDIT_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data with known answers at {folder} (AUDIT_TEST_DATA names another place)")
    return folder


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """Return a client of the Docker Engine that DOCKER_HOST names, else of the usual socket."""
    with _client("Docker Engine", _docker_address()) as client:
        yield client


@pytest.fixture(scope="session")
def podman_client() -> Iterator[docker.DockerClient]:
    """Return a client of Podman's API socket: CONTAINER_HOST, else the usual one."""
    with _client("Podman", _podman_address()) as client:
        yield client


@pytest.fixture(scope="session")
def docker_host(docker_client: docker.DockerClient) -> str:
    """Return the address of a Docker Engine that answers."""
    assert docker_client
    return _docker_address()


@pytest.fixture(scope="session")
def podman_host(podman_client: docker.DockerClient) -> str:
    """Return the address of a Podman that answers."""
    assert podman_client
    return _podman_address()


@pytest.fixture(scope="session")
def full_image_tar() -> Path:
    """Return the root of a Debian 12 with 653 packages, as a tar of 833 MB."""
    return _built(lambda: real_images.debian_tar("full"))


@pytest.fixture(scope="session")
def base_image_tar() -> Path:
    """Return the root of a minimal Debian 12 with 88 packages, as a tar of 121 MB."""
    return _built(lambda: real_images.debian_tar("base"))


@pytest.fixture(scope="session")
def full_image(docker_client: docker.DockerClient) -> str:
    """Return the tag of the full image in the Docker Engine: an import, and two layers built over it."""
    return _built(lambda: real_images.load_full_image(docker_client))


@pytest.fixture(scope="session")
def full_archive(docker_client: docker.DockerClient) -> Path:
    """Return the full image as `docker save` wrote it."""
    return _built(lambda: real_images.saved_full_image(docker_client))


@pytest.fixture(scope="session")
def full_oci_dir(full_archive: Path) -> Path:
    """Return the full image as an OCI layout with gzip layers, by skopeo."""
    return _built(lambda: real_images.oci_full_image(full_archive))


@pytest.fixture(scope="session")
def full_oci_archive(full_oci_dir: Path) -> Path:
    """Return the full image as an OCI archive with gzip layers, by skopeo."""
    return _built(lambda: real_images.packed_full_image(full_oci_dir))


@pytest.fixture(scope="session")
def podman_full_image(podman_client: docker.DockerClient, full_archive: Path) -> str:
    """Return the tag of the same full image in Podman, which loads what Docker saved."""
    assert full_archive
    return _built(lambda: real_images.load_full_image(podman_client))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> registries.Certificates:
    """Return an authority of its own, with a server's and a client's certificate."""
    _need_registries()
    return registries.make_certificates(tmp_path_factory.mktemp("certificates") / "made")


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Registry]:
    """Return a registry that anybody may read and write, without TLS."""
    _need_registries()
    folder = tmp_path_factory.mktemp("registry")
    with registries.registry(folder / "plain", folder / "store") as running:
        yield running


@pytest.fixture(scope="session")
def guarded_registry(
    docker_registry: registries.Registry,
    certificates: registries.Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[registries.Registry]:
    """Return a registry with the same images, behind TLS by an authority of its own, name and password."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "htpasswd").write_text(registries.HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    tls = {"certificate": str(certificates.server), "key": str(certificates.server_key)}
    with registries.registry(folder / "run", docker_registry.store, auth=auth, http={"tls": tls}) as running:
        yield running


def _need_registries() -> None:
    if not registries.is_installed():
        unavailable("no docker-registry, skopeo or openssl on PATH (Debian's packages of these names)")


def _docker_address() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def _podman_address() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or "/run"
    return os.environ.get("CONTAINER_HOST") or f"unix://{runtime}/podman/podman.sock"


@contextmanager
def _client(engine: str, address: str) -> Iterator[docker.DockerClient]:
    try:
        _knock(address)
        client = docker.DockerClient(base_url=address, timeout=ENGINE_SECONDS)
    except (OSError, docker.errors.DockerException) as error:
        unavailable(f"no {engine} answers at {address}: {error}")
    try:
        yield client
    finally:
        client.close()


def _knock(address: str) -> None:
    # The client leaves its socket open where nobody listens, which Python warns about much later.
    scheme, _, path = address.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(path)


def _built(build: Callable[[], T]) -> T:
    try:
        return build()
    except real_images.UnavailableError as error:
        unavailable(str(error))
