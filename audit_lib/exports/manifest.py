"""manifest.json and SHA256SUMS: what a report folder holds, and which of its files are the tool's own."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from audit_lib.errors import AuditError

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
_SCHEMA = "audit-lib report manifest, version 1"


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json` (the facts, then size and SHA-256 of each file) and `SHA256SUMS` into a folder.

    The manifest lists every file but these two; the sums list the manifest as well, so that
    `sha256sum --check SHA256SUMS` in the folder tells whether anything was changed.
    """
    files = {
        name: {"sha256": _sha256(folder / name), "bytes": (folder / name).stat().st_size}
        for name in files_in(folder)
        if name not in {MANIFEST, SUMS}
    }
    text = json.dumps({"schema": _SCHEMA, **facts, "files": files}, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in files_in(folder) if name != SUMS]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def files_in(folder: Path) -> list[str]:
    """Return the paths of all files in a folder, relative to it, with `/`, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def own_files(folder: Path) -> frozenset[str]:
    """Return the files that an earlier run wrote into this folder, as its manifest names them; without one, none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    if not isinstance(found, dict) or found.get("schema") != _SCHEMA or not isinstance(found.get("files"), dict):
        return frozenset()
    # A manifest that somebody edited must not make us delete anything elsewhere.
    return frozenset({MANIFEST, SUMS} | {name for name in found["files"] if _is_inside(folder, name)})


def check_free(folder: Path, names: frozenset[str]) -> None:
    """Raise `AuditError` where a file of one of these names is in the folder and not from an earlier run."""
    foreign = sorted(name for name in names - own_files(folder) if (folder / name).exists())
    if foreign:
        raise AuditError(
            f"{folder / foreign[0]} is there and was not written by an earlier run into this folder: "
            "move it away, or choose another folder"
        )


def replace_files(folder: Path, new: Path) -> None:
    """Put all files of the folder `new` into `folder`, in place of those of an earlier run; others stay untouched.

    Raises `AuditError`, before anything is changed, where a foreign file is in the way. `report.html` is
    the first to go and the last to come, so that it is never seen beside the files of another run.
    """
    names = files_in(new)
    check_free(folder, frozenset(names))
    old = own_files(folder)
    for name in sorted(old, key=lambda name: name != "report.html"):
        (folder / name).unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: name == "report.html"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(new / name, folder / name)  # a mounted folder is another file system
    left = {parent for name in old for parent in PurePosixPath(name).parents if parent.parts}
    for parent in sorted(left, key=lambda one: len(one.parts), reverse=True):
        if (folder / parent).is_dir() and not any((folder / parent).iterdir()):
            (folder / parent).rmdir()


def _is_inside(folder: Path, name: str) -> bool:
    path = folder / name.replace("\0", "")
    return path.parent.resolve().is_relative_to(folder.resolve()) and not path.is_dir()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
