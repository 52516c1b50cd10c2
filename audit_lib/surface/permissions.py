"""Files that give away rights: setuid, setgid, capabilities, what everybody may write to, owners without a name."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from audit_lib.surface.facts import Item, Seen, listed, names_of
from audit_lib.tables import SurfaceCategory

_SETUID, _SETGID, _STICKY, _WORLD = 0o4000, 0o2000, 0o1000, 0o002


def permissions(files: pd.DataFrame, seen: Seen) -> Iterator[Item]:
    """Yield the files and folders whose mode, attributes or owner are worth a look."""
    owners = _Owners(seen)
    further: dict[str, list[str]] = {}
    for name, first in files.loc[files["kind"] == "hardlink", ["path", "link_target"]].to_numpy().tolist():
        further.setdefault(first, []).append(name)
    regular = files[files["kind"] == "file"]
    marked: tuple[tuple[SurfaceCategory, pd.Series], ...] = (
        ("setuid files", _has(regular, _SETUID)),
        ("setgid files", _has(regular, _SETGID)),
        ("file capabilities", regular["capabilities"].notna()),
    )
    for category, rows in marked:
        for path, mode, uid, gid, capabilities in _rows(regular[rows], "mode", "uid", "gid", "capabilities"):
            others = further.get(path)
            said = capabilities if category == "file capabilities" else f"{mode} {owners.text(uid, gid)}"
            yield Item(category, path, posixpath.basename(path), f"{said}; also {listed(others)}" if others else said)
    yield from _writable(files, owners)
    yield from _unnamed(files, owners, seen)


class _Owners:
    """Ids as names where the image has names for them."""

    def __init__(self, seen: Seen) -> None:
        self._users, self._groups = names_of(seen)

    def text(self, uid: int, gid: int) -> str:
        """Return `user:group`, ids where there are no names."""
        return f"{self._users.get(uid, uid)}:{self._groups.get(gid, gid)}"

    def unnamed(self, files: pd.DataFrame) -> pd.Series:
        """Return which files have a user or a group without a name."""
        return ~(files["uid"].isin(list(self._users)) & files["gid"].isin(list(self._groups)))


def _writable(files: pd.DataFrame, owners: _Owners) -> Iterator[Item]:
    """Yield what everybody may write to. In a folder with the sticky bit only a file's owner may delete it (chmod(1))."""
    is_open = _has(files, _WORLD) & files["kind"].isin(["file", "directory", "fifo"])
    is_open &= ~(files["kind"].eq("directory") & _has(files, _STICKY))
    found = files[is_open]
    counts = _topmost(found["path"], [""] * len(found))
    for path, kind, mode, uid, gid in _rows(found, "kind", "mode", "uid", "gid"):
        if path in counts:
            said = f"{kind}, {mode} {owners.text(uid, gid)}"
            yield Item(
                "world-writable paths", path, posixpath.basename(path), said + _below(counts[path]), counts[path]
            )


def _unnamed(files: pd.DataFrame, owners: _Owners, seen: Seen) -> Iterator[Item]:
    """Yield what `find -nouser -o -nogroup` finds, of that the topmost of each owner."""
    for file, names in (("/etc/passwd", seen.users), ("/etc/group", seen.groups)):
        if names is None:
            yield Item("unnamed owners", file, "", seen.unknown.get(file), 0, "unknown")
    if seen.users is None or seen.groups is None:
        return
    found = files[owners.unnamed(files) & files["kind"].ne("hardlink")]
    pairs = [f"{uid}:{gid}" for _, uid, gid in _rows(found, "uid", "gid")]
    counts = _topmost(found["path"], pairs)
    for (path, kind), pair in zip(_rows(found, "kind"), pairs, strict=True):
        if path in counts:
            yield Item("unnamed owners", path, pair, kind + _below(counts[path]), counts[path])


def _topmost(paths: Iterable[str], marks: Iterable[str]) -> dict[str, int]:
    """Return how many of the paths, in sorted order, lie at or below each that has none above it of the same mark."""
    tops: dict[str, tuple[str, str]] = {}
    counts: dict[str, int] = {}
    for path, mark in zip(paths, marks, strict=True):
        above = tops.get(posixpath.dirname(path))
        top = above[0] if above and above[1] == mark else path
        tops[path] = (top, mark)
        counts[top] = counts.get(top, 0) + 1
    return counts


def _below(count: int) -> str:
    return f"; and {count - 1:,} paths below it" if count > 1 else ""


def _has(files: pd.DataFrame, bit: int) -> pd.Series:
    return files["mode"].isin([mode for mode in files["mode"].unique() if int(mode, 8) & bit])


def _rows(files: pd.DataFrame, *columns: str) -> Iterable[tuple[Any, ...]]:
    return zip(files["path"], *(files[column] for column in columns), strict=True)
