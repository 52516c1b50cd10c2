"""What a report was made from, beside its images: the notebook, files among its parameters, policies, data on vulnerabilities."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from audit_lib.exports.audits import WrittenAudit

# These are told by the digests of manifest, config and layers, which are checked while they are read; a file of gigabytes is not
# hashed once more.
_IMAGES = ("docker-archive", "oci-archive", "oci-dir", "docker", "podman", "registry", "sample")
_SBOM = "sbom"
_IMAGE_NAME = re.compile(r"(.*_)?images?")


def inputs_of(
    notebook: Path,
    parameters: Mapping[str, object],
    images: Mapping[str, str | None],
    audits: Mapping[str, WrittenAudit],
) -> dict[str, Any]:
    """Return what `manifest.json` says of the inputs, ready for JSON.

    `parameters`: as the caller gave them. `images`: the references of the images with where each was read from. Files have the
    path as it was given, their length and their SHA-256; a folder, or a file that is no longer there, has neither.
    """
    return {
        "notebook": {"name": notebook.name, "sha256": sha256_of(notebook)},
        "files": list(_files(parameters, images)),
        "policies": [
            {
                "image": name,
                "policy": one.policy.name,
                "path": one.policy.path,
                "digest": one.policy.digest,
                "judged_as_of": one.today_utc,
            }
            for name, one in audits.items()
        ],
        "vulnerability_data": [
            {"image": name, **row} for name, one in audits.items() for row in one.vulnerability_data
        ],
    }


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(parameters: Mapping[str, object], images: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
    """Yield each file or folder that a parameter names, whole or as one of its words."""
    for name, value in parameters.items():
        for word in _words(name, value):
            scheme, colon, rest = word.partition(":")
            if (colon and scheme in _IMAGES) or images.get(word, _SBOM) != _SBOM:
                continue
            path = Path(rest if colon and scheme == _SBOM else word)
            if path.is_file():
                yield {"parameter": name, "path": str(path), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
            elif path.exists():
                yield {"parameter": name, "path": str(path), "bytes": None, "sha256": None}


def _words(name: str, value: object) -> list[str]:
    """Return what may be paths in a value: the whole, else what colons part (as in PATH), else its words, as references are."""
    if not isinstance(value, str) or not value or "\0" in value:
        return []
    try:
        if Path(value).exists():
            return [value]
        parts = [] if _IMAGE_NAME.fullmatch(name) else value.split(os.pathsep)
        return parts if any(part and Path(part).exists() for part in parts) else value.split()
    except OSError:  # longer than a path can be
        return []
