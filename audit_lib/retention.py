"""Which folders a schedule made, and which of them it may delete again: beside each folder lies a mark that says so.

The mark is a file of its own, not one in the folder, since a report's folder holds what its manifest names and nothing else. What
has no mark is never touched, and in a folder that has one only the files go that its manifest names.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path

from audit_lib.audits import Keep
from audit_lib.exports.manifest import MANIFEST, own_files

_MARK = re.compile(r"\.((\d{8}T\d{6}Z)(?:-(\d{1,9}))?)\.made")
_TO_OPEN = ("report.html", "report.pdf", "report.xlsx")
_TEXT = "image-audit run made the folder of this name; without this file it will not delete it.\n"


def new_folder(parent: Path, run_utc: str) -> Path:
    """Return a folder named for a time that nobody has yet, with its mark; the folder itself is for the report to make."""
    parent.mkdir(parents=True, exist_ok=True)
    base = re.sub("[^0-9TZ]", "", run_utc)
    number = 1
    while True:
        name = base if number == 1 else f"{base}-{number}"
        number += 1
        if (parent / name).exists():
            continue
        try:
            with (parent / f".{name}.made").open("x", encoding="utf-8") as mark:
                mark.write(_TEXT)
        except FileExistsError:
            continue
        return parent / name


def forget(folder: Path) -> None:
    """Remove the mark of a folder that was not made after all."""
    if not folder.exists():
        (folder.parent / f".{folder.name}.made").unlink(missing_ok=True)


def made_folders(parent: Path) -> list[Path]:
    """Return the folders below `parent` that a schedule made and that are there, oldest first."""
    return [folder for folder, _ in _marked(parent) if folder.is_dir() and not folder.is_symlink()]


def is_whole(folder: Path) -> bool:
    """Tell whether a folder holds a report that was written to its end, by its manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("status") == "complete"


def to_open(folder: Path) -> str:
    """Return the name of the file of a report to open first, "" where there is none such."""
    return next((name for name in _TO_OPEN if (folder / name).is_file()), "")


def remove_old(parent: Path, keep: Keep, *, run_utc: str) -> list[Path]:
    """Delete the reports below `parent` that are not to be kept, and return their folders.

    The newest report that is whole stays, whatever its age. Files that somebody put into such a folder stay, and it with them.
    """
    folders = made_folders(parent)
    whole = [folder for folder in folders if is_whole(folder)]
    newest_first = folders[::-1]
    too_many = set() if keep.reports is None else set(newest_first[keep.reports :])
    before = None if keep.days is None else dt.datetime.fromisoformat(run_utc) - dt.timedelta(days=keep.days)
    too_old = {folder for folder in folders if before is not None and _time_of(folder) < before}
    gone = [folder for folder in folders if folder in too_many | too_old and folder not in whole[-1:]]
    for folder in gone:
        _remove(folder)
    return gone


def _marked(parent: Path) -> Iterator[tuple[Path, Path]]:
    matches = [(mark, _MARK.fullmatch(mark.name)) for mark in parent.glob(".*.made") if mark.is_file()]
    found = [(match, mark) for mark, match in matches if match]
    for match, mark in sorted(found, key=lambda one: (one[0][2], int(one[0][3] or 1))):
        yield parent / match[1], mark


def _time_of(folder: Path) -> dt.datetime:
    return dt.datetime.strptime(folder.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)


def _remove(folder: Path) -> None:
    names = own_files(folder)
    # The manifest goes last: a deletion that is cut can be taken up again.
    for name in sorted(names, key=lambda name: (name == MANIFEST, name)):
        (folder / name).unlink(missing_ok=True)
    below = sorted((path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True)
    for path in [*below, folder]:
        if not any(path.iterdir()):
            path.rmdir()
    forget(folder)
