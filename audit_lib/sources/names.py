"""Names of images in registries, read as Docker reads them: host, repository, tag, digest; nothing asked of anybody.

Sources: distribution's reference grammar (`reference/reference.go`, `normalize.go`); OCI distribution-spec, "Pulling manifests".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from audit_lib.errors import UnknownImageError

DOCKER_HUB = "docker.io"
# Docker Hub is called by one name and serves its API under another.
_DOCKER_HUB_API = "registry-1.docker.io"
_MAX_NAME = 255
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Docker keeps such names for the ids of images in its store.
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """An image in a registry. `tag` is None where the digest alone was given: the digest decides where both are."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def api_host(self) -> str:
        """Where the registry's API is served: the host itself, but for Docker Hub."""
        return _DOCKER_HUB_API if self.host == DOCKER_HUB else self.host


def parse_name(text: str, what: str) -> Name:
    """Return a name with what Docker takes for granted filled in; raises `UnknownImageError` that says what is wrong with it.

    >>> str(parse_name("python", "")), str(parse_name("localhost:5000/a/b:1", ""))
    ('docker.io/library/python:latest', 'localhost:5000/a/b:1')
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise UnknownImageError(f"{what}: expected a digest sha256:<64 hex digits> behind the @, found {digest[:90]!r}")
    host, rest = _split_host(rest)
    repository, colon, tag = rest.partition(":")
    if colon and not is_tag(tag):
        raise UnknownImageError(f"{what}: {tag[:130]!r} is no tag; expected at most 128 of letters, digits, _ . and -")
    name = Name(host=host, repository=repository, tag=tag or (None if at else "latest"), digest=digest or None)
    _check(name, what)
    return name


def is_tag(text: str) -> bool:
    """Tell whether a text can be a tag: at most 128 of letters, digits, `_`, `.` and `-`."""
    return _TAG.fullmatch(text) is not None


def _split_host(text: str) -> tuple[str, str]:
    """Return (host, rest): what stands before the first slash is a host only if it looks like one."""
    first, slash, rest = text.partition("/")
    is_host = slash and (any(mark in first for mark in ".:") or first == "localhost" or first != first.lower())
    host, rest = (first, rest) if is_host else (DOCKER_HUB, text)
    if host == f"index.{DOCKER_HUB}":
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return host, rest


def _check(name: Name, what: str) -> None:
    if not _HOST.fullmatch(name.host):
        raise UnknownImageError(f"{what}: {name.host!r} is no host; expected HOST or HOST:PORT before the first slash")
    if not _REPOSITORY.fullmatch(name.repository):
        shown = name.repository.removeprefix("library/")
        advice = "; names of repositories are written in lower case" if shown != shown.lower() else ""
        raise UnknownImageError(
            f"{what}: {shown!r} is no name of a repository{advice}; expected such as python or team/app"
        )
    if len(name.host) + 1 + len(name.repository) > _MAX_NAME:
        raise UnknownImageError(f"{what}: a name of more than {_MAX_NAME} characters")
    if name.host == DOCKER_HUB and _ID.fullmatch(name.repository.removeprefix("library/")):
        raise UnknownImageError(f"{what}: 64 hex digits are the id of an image in an engine, no name in a registry")
