"""References: `docker:python:3.13` → which source, which name. What words mean, nothing opened."""

from __future__ import annotations

import json
import os
import platform as _platform
from pathlib import Path
from typing import NamedTuple

from audit_lib.errors import UnknownImageError

# What is known from an SBOM alone has no layers to be fetched, hence no source among `audit_lib.sources`.
SBOM = "sbom"
SBOM_PURPOSE = "an SBOM: CycloneDX, SPDX or Syft JSON"
# How the machine's own name for its processor is called in an image (Go's GOARCH).
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "i686": "386",
    "i386": "386",
}


# How a caller spelt what a notebook, which runs in a folder of its own, is given with absolute paths: a JSON object.
GIVEN = "AUDIT_GIVEN"


class Platform(NamedTuple):
    """What an image runs on, as image indexes name it."""

    os: str
    architecture: str
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in self if part)

    def fits(self, os: str | None, architecture: str | None, variant: str | None = None) -> bool:
        """Tell whether an image of this description is what is asked for; a variant counts where one is asked for.

        >>> parse_platform("linux/arm64").fits("linux", "arm64", "v8")
        True
        """
        return (self.os, self.architecture) == (os, architecture) and self.variant in (None, variant)


def parse_platform(text: str | None) -> Platform:
    """Return a platform from `os/architecture[/variant]`; None means this machine's, as Linux.

    >>> str(parse_platform("linux/arm/v7"))
    'linux/arm/v7'

    Raises `UnknownImageError` for anything else.
    """
    if text is None:
        machine = _platform.machine().lower()
        if machine.startswith("armv7"):
            return Platform("linux", "arm", "v7")
        return Platform("linux", _ARCHITECTURES.get(machine, machine))
    parts = text.split("/")
    if len(parts) not in {2, 3} or not all(parts):
        raise UnknownImageError(
            f"platform {text!r}: expected os/architecture or os/architecture/variant, such as linux/amd64"
        )
    return Platform(*parts)


def split_scheme(reference: str, schemes: frozenset[str]) -> tuple[str | None, str]:
    """Return (scheme, name); the scheme is None where the reference does not begin with a known one.

    >>> split_scheme("docker:python:3.13", frozenset({"docker"})), split_scheme("python:3.13", frozenset({"docker"}))
    (('docker', 'python:3.13'), (None, 'python:3.13'))
    """
    scheme, colon, name = reference.partition(":")
    return (scheme, name) if colon and scheme in schemes else (None, reference)


def split_path(name: str) -> tuple[Path, str | None]:
    """Return (path, choice) of `PATH`, `PATH:TAG` or `PATH@sha256:…`: the longest path that exists wins.

    Raises `UnknownImageError` where no part of it exists.
    """
    whole = Path(name)
    if name and whole.exists():
        return whole, None
    for place in range(len(name) - 1, 0, -1):
        if name[place] in ":@" and Path(name[:place]).exists():
            return Path(name[:place]), name[place + 1 :] or None
    raise UnknownImageError(f"{name or '(nothing)'}: no such file or folder")


def may_be_document(reference: str) -> bool:
    """Tell whether a reference may name an SBOM, so that it has to be looked into: `sbom:PATH`, or a path of a file."""
    scheme, _ = split_scheme(reference, frozenset({SBOM}))
    try:
        return scheme is not None or Path(reference).is_file()
    except (OSError, ValueError):
        return False


def as_given(text: str) -> str:
    """Return a reference or a path as whoever asked for a report spelt it, so that no report depends on where its inputs lie.

    Outside of a report's notebook that is the text itself.
    """
    stated = os.environ.get(GIVEN)
    if stated is None:
        return text
    spelt: dict[str, str] = json.loads(stated)
    return spelt.get(text, text)
