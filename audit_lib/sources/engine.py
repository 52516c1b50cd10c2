"""Docker Engine and Podman, through the `docker` package: what `docker save` sends, read as it arrives."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, NotFound

from audit_lib.errors import ImageFormatError, SourceError, UnknownImageError
from audit_lib.sources import manifest
from audit_lib.sources.base import Blob, Facts, Image, LayerRef, Remembered, root_cause

_CHUNK = 1024 * 1024
# An engine packs the layers before it sends the first byte: 12 s for 833 MB on two cores.
_TIMEOUT_SECONDS = 900
_DEFAULT_DOCKER = "unix:///var/run/docker.sock"

OpenStream = Callable[..., Image]


class EngineImage:
    """An image in an engine's store. It is asked for by its id, so a tag that moves meanwhile changes nothing."""

    is_concurrent = False

    def __init__(  # noqa: PLR0913 - what an engine and a name are made of
        self,
        client: docker.DockerClient,
        name: str,
        platform: str | None,
        *,
        source: str,
        reference: str,
        open_stream: OpenStream,
    ) -> None:
        self.source, self.reference = source, reference
        self._client, self._open_stream = client, open_stream
        self._inspected = _inspect(client, name, reference)
        if platform is not None:
            stated = self._inspected
            manifest.check_platform(
                stated.get("Os"),
                stated.get("Architecture"),
                stated.get("Variant") or None,
                platform=platform,
                what=reference,
            )
        self._id = "sha256:" + str(self._inspected["Id"]).removeprefix("sha256:")
        self._archive: Image | None = None
        self._early: Facts | None = None

    def early_facts(self, remembered: Remembered) -> Facts | None:
        """Return the facts where the config is remembered and names the engine's layers; an engine gives no config by itself."""
        data = remembered(self._id)
        if data is None:
            return None
        config = manifest.parse_config(data, self._id, platform=None, what=self.reference)
        diff_ids = config["rootfs"]["diff_ids"]
        if diff_ids != ((self._inspected.get("RootFS") or {}).get("Layers") or []):
            return None
        self._early = Facts(
            manifest_digest=self._manifest_digest(),
            config_digest=self._id,
            config=config,
            layers=tuple(LayerRef(name=diff_id, diff_id=diff_id) for diff_id in diff_ids),
            config_data=data,
        )
        return self._early

    def blobs(self, known: Container[str] = ()) -> Iterator[Blob]:
        """Yield the layers in the order in which the engine sends them, but for those known; it is not asked where all are."""
        if self._early is not None and all(layer.diff_id in known for layer in self._early.layers):
            return
        try:
            chunks = self._client.api.get_image(self._id, chunk_size=_CHUNK)
            self._archive = self._open_stream(
                _guarded(iter(chunks), self.reference),
                source=self.source,
                platform=None,
                reference=self.reference,
                what=self.reference,
            )
            yield from self._archive.blobs(known)
        except DockerException as error:
            raise SourceError(f"{self.reference}: the engine did not send the image: {error}") from error
        except requests.RequestException as error:
            raise SourceError(f"{self.reference}: the engine stopped sending: {error}") from error

    def facts(self) -> Facts:
        """Return config and layers as sent (or known early), the manifest's digest as the engine remembers it from the registry."""
        if self._archive is None and self._early is not None:
            return self._early
        if self._archive is None:
            raise ImageFormatError(f"{self.reference}: its layers were not read yet")
        return replace(self._archive.facts(), manifest_digest=self._manifest_digest())

    def _manifest_digest(self) -> str | None:
        digests = {str(one).rpartition("@")[2] for one in self._inspected.get("RepoDigests") or []}
        return digests.pop() if len(digests) == 1 else None

    def __enter__(self) -> EngineImage:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def open_docker(name: str, platform: str | None, reference: str, *, open_stream: OpenStream) -> Image:
    """Return an image in Docker Engine; `open_stream` reads a docker archive that arrives as chunks."""
    return _opened(_docker_client, name, platform, "docker", reference, open_stream)


def open_podman(name: str, platform: str | None, reference: str, *, open_stream: OpenStream) -> Image:
    """Return an image in Podman; `open_stream` reads a docker archive that arrives as chunks."""
    return _opened(_podman_client, name, platform, "podman", reference, open_stream)


def _opened(  # noqa: PLR0913 - the same
    connect: Callable[[], docker.DockerClient],
    name: str,
    platform: str | None,
    source: str,
    reference: str,
    open_stream: OpenStream,
) -> Image:
    if not name:
        raise UnknownImageError(f"{reference}: expected a name after {source}:")
    client = connect()
    try:
        return EngineImage(client, name, platform, source=source, reference=reference, open_stream=open_stream)
    except BaseException:
        client.close()
        raise


def _docker_client() -> docker.DockerClient:
    where = os.environ.get("DOCKER_HOST") or ""
    tls: Any = None
    if not where:
        try:
            context = ContextAPI.get_current_context()
        except (DockerException, OSError, ValueError):
            context = None
        if context is not None:
            tls = context.TLSConfig
        where = str((context and context.Host) or _DEFAULT_DOCKER).replace("http+unix://", "unix://")
    return _connected("Docker Engine", where, tls, "start it, or set DOCKER_HOST")


def _podman_client() -> docker.DockerClient:
    where = os.environ.get("CONTAINER_HOST") or ""
    if not where:
        runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
        places = [Path(runtime, "podman/podman.sock"), Path("/run/podman/podman.sock")]
        found = next((place for place in places if place.exists()), places[0])
        where = f"unix://{found}"
    return _connected("Podman", where, None, "start `podman system service`, or set CONTAINER_HOST")


def _connected(engine: str, where: str, tls: Any, advice: str) -> docker.DockerClient:
    try:
        if where.startswith("unix://"):
            # Asked first, so that a socket where nobody listens is one plain error: the client leaves its own one open.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(where.removeprefix("unix://"))
        if engine == "Docker Engine" and os.environ.get("DOCKER_HOST"):
            return docker.from_env(version="auto", timeout=_TIMEOUT_SECONDS)
        return docker.DockerClient(base_url=where, version="auto", tls=tls or False, timeout=_TIMEOUT_SECONDS)
    except (DockerException, requests.RequestException, ValueError, OSError) as error:
        raise SourceError(f"no {engine} answers at {where}: {root_cause(error)}; {advice}") from error


def _inspect(client: docker.DockerClient, name: str, reference: str) -> dict[str, Any]:
    try:
        return dict(client.api.inspect_image(name))  # type: ignore[no-untyped-call]
    except NotFound as error:
        raise UnknownImageError(f"{reference}: the engine has no image {name!r}; pull it first") from error
    except APIError as error:
        raise UnknownImageError(f"{reference}: the engine refused the name {name!r}: {error.explanation}") from error
    except (DockerException, requests.RequestException) as error:
        raise SourceError(f"{reference}: the engine does not answer: {error}") from error


def _guarded(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Yield chunks; what goes wrong on the way is a fault of the source, in whichever thread it is met."""
    try:
        yield from chunks
    except (DockerException, requests.RequestException, OSError) as error:
        raise SourceError(f"{what}: the engine stopped sending: {error}") from error
