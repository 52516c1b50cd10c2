"""Files that a person names beside an image: scanners' reports and VEX documents, read whole or refused with one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from audit_lib.errors import DamagedDatabaseError, ReportError

# Reports of 10,000 matches have 20 MiB.
MAX_BYTES = 256 * 1024**2
# Files as a caller names them: one or several, or text with several, parted as in PATH.
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_T = TypeVar("_T")


def read_with(parse: Callable[..., _T], path: str | os.PathLike[str], what: str) -> _T:
    """Return what `parse(data, path, limit=…)` makes of a file; `ReportError` names the file and what is wrong with it.

    `what` says what was expected there ("a scanner's report").
    """
    try:
        if not Path(path).is_file():
            raise ReportError(f"{path}: expected {what}, found no file")  # a pipe would be waited for
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ReportError(f"{path}: expected {what}, cannot be read: {why}") from error
    if len(data) > MAX_BYTES:
        raise ReportError(f"{path}: expected {what} of at most {MAX_BYTES:,} bytes")
    try:
        return parse(data, str(path), limit=MAX_BYTES)
    except DamagedDatabaseError as error:
        line = "" if error.line is None else f"line {error.line}: "
        wanted = "" if "expected" in error.problem else f"; expected {what}"
        raise ReportError(f"{path}: {line}{error.problem}{wanted}") from error


def paths_of(named: Paths) -> list[str | os.PathLike[str]]:
    """Return the files that somebody names: a sequence, one path, or text in which several are parted as in PATH.

    >>> paths_of("a.json:b.json"), paths_of(""), paths_of(["c:d.json"])
    (['a.json', 'b.json'], [], ['c:d.json'])
    """
    if isinstance(named, str):
        return [path for path in named.split(os.pathsep) if path]
    return [named] if isinstance(named, os.PathLike) else list(named)
