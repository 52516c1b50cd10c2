"""manifest.json and SHA256SUMS: what a report folder holds, and which of its files are the tool's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from audit_lib.errors import AuditError
from audit_lib.exports.inputs import sha256_of
from audit_lib.exports.statement import STATEMENT, statement_json

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
SCHEMA = "audit-lib report manifest, version 1"
# What says what a folder holds; all else in it is what is held.
ABOUT = frozenset({MANIFEST, SUMS, STATEMENT})


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json` (the facts, then size and SHA-256 of each file), the Statement and `SHA256SUMS` into a folder.

    The manifest lists every file but these three; the Statement's subjects are those and the manifest; the sums list everything
    but themselves, so that `sha256sum --check SHA256SUMS` in the folder tells whether anything was changed.
    """
    files = {
        name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
        for name in files_in(folder)
        if name not in ABOUT
    }
    manifest = {"schema": SCHEMA, **facts, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    digests = {name: str(said["sha256"]) for name, said in files.items()}
    digests[MANIFEST] = sha256_of(folder / MANIFEST)
    (folder / STATEMENT).write_text(statement_json(manifest, dict(sorted(digests.items()))), encoding="utf-8")
    digests[STATEMENT] = sha256_of(folder / STATEMENT)
    lines = [sums_line(name, digest) for name, digest in sorted(digests.items())]
    (folder / SUMS).write_bytes("".join(lines).encode("utf-8", "surrogateescape"))


def sums_line(name: str, digest: str) -> str:
    r"""Return a file's line as `sha256sum` writes it: a name with a backslash or a line end in it is escaped, and said to be.

    >>> print(sums_line("a.csv", "00"), sums_line("a" + chr(92) + "b", "00"), sep="", end="")
    00  a.csv
    \00  a\\b
    """
    escaped = name.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def files_in(folder: Path) -> list[str]:
    """Return the paths of all files in a folder, relative to it, with `/`, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def own_files(folder: Path) -> frozenset[str]:
    """Return the files that an earlier run wrote into this folder, as its manifest names them; without one, none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("files"), dict):
        return frozenset()
    # A manifest that somebody edited must not make us delete anything elsewhere.
    return frozenset(ABOUT | {name for name in found["files"] if _is_inside(folder, name)})


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
