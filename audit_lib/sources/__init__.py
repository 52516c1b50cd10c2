"""Where an image's bytes come from: `open_image` chooses the transport; `SOURCES` is the only list of them."""

from __future__ import annotations

from pathlib import Path

from audit_lib.errors import AuditError, UnknownImageError
from audit_lib.reference import SBOM, split_path, split_scheme
from audit_lib.sources import archive, layout, sample
from audit_lib.sources.base import Image, Source

_SCHEME_LIKE = 20


def _open_sample(name: str, platform: str | None, reference: str) -> Image:
    return archive.open_oci_archive(str(sample.path_of(name)), platform, reference, source="sample")


def _open_docker(name: str, platform: str | None, reference: str) -> Image:
    from audit_lib.sources import engine  # noqa: PLC0415 - the docker package takes 0.15 s to import

    return engine.open_docker(name, platform, reference, open_stream=archive.open_stream)


def _open_podman(name: str, platform: str | None, reference: str) -> Image:
    from audit_lib.sources import engine  # noqa: PLC0415 - as above

    return engine.open_podman(name, platform, reference, open_stream=archive.open_stream)


_DOCKER = Source(
    scheme="docker", open=_open_docker, purpose="an image in Docker Engine (DOCKER_HOST and contexts are honoured)"
)
_PODMAN = Source(
    scheme="podman",
    open=_open_podman,
    purpose="an image in Podman, through its socket (CONTAINER_HOST is honoured)",
)


def _open_registry(name: str, platform: str | None, reference: str) -> Image:
    from audit_lib.sources import registry  # noqa: PLC0415 - requests and docker take as long

    return registry.open_registry(name, platform, reference)


def _open_perhaps(name: str, platform: str | None, reference: str) -> Image:
    from audit_lib.sources import registry  # noqa: PLC0415 - as above

    return registry.open_perhaps(name, platform, reference)


SOURCES: tuple[Source, ...] = (
    _DOCKER,
    _PODMAN,
    Source(
        scheme="registry",
        open=_open_registry,
        purpose="an image in a registry, without an engine: HOST/NAME:TAG, HOST/NAME@sha256:…; Docker Hub's short names too",
    ),
    archive.DOCKER,
    archive.OCI,
    layout.SOURCE,
    Source(scheme="sample", open=_open_sample, purpose="an image that ships with the library: full or minimal"),
)
_BY_SCHEME = {source.scheme: source for source in SOURCES}


def open_image(reference: str, *, platform: str | None = None) -> Image:
    """Return the image that a reference names; close it, or use `with`.

    `scheme:name` goes to that source. A path that exists is recognised by what it holds. Anything else is looked for in
    Docker, then in Podman, then in its registry; `Image.source` tells where it was found. Raises `UnknownImageError` where there
    is no such image, `SourceError` where a source cannot be reached, `ImageFormatError` for what is not an image.
    """
    scheme, name = split_scheme(reference, frozenset(_BY_SCHEME))
    if scheme is not None:
        return _BY_SCHEME[scheme].open(name, platform, reference)
    try:
        path, _ = split_path(reference)
    except UnknownImageError:
        path = None
    if path is not None:
        return _BY_SCHEME[_kind_of(path, reference)].open(reference, platform, reference)
    return _from_anywhere(reference, platform)


def _kind_of(path: Path, reference: str) -> str:
    if path.is_dir():
        if (path / "index.json").exists():
            return "oci-dir"
        raise UnknownImageError(f"{reference}: a folder without index.json; expected an OCI layout")
    kind = archive.kind_of(path)
    if kind is None:
        raise UnknownImageError(
            f"{reference}: a file that is no image archive; expected one with manifest.json (docker save) or index.json (OCI)"
        )
    return kind


def _from_anywhere(reference: str, platform: str | None) -> Image:
    reasons = []
    for scheme, opened in (("docker", _DOCKER.open), ("podman", _PODMAN.open), ("registry", _open_perhaps)):
        try:
            return opened(reference, platform, reference)
        except AuditError as error:
            reasons.append(f"{scheme}: " + str(error).removeprefix(f"{reference}: "))
    scheme = reference.partition(":")[0]
    known = ", ".join(f"{scheme}:" for scheme in (*_BY_SCHEME, SBOM))
    hint = f"; {scheme!r} is not one of the schemes {known}" if ":" in reference and len(scheme) < _SCHEME_LIKE else ""
    raise UnknownImageError(
        f"{reference}: no such file, and neither an engine nor a registry has it ({'; '.join(reasons)}){hint}"
    )
