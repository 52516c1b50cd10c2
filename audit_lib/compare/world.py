"""A root file system as a program in it would find it, made from tables: paths through links, and what files say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from audit_lib.links import Links

Known = TypeVar("Known")


class Entry(NamedTuple):
    """A path of the `files` table: `mode` are its permission bits, `link` a symbolic link's target."""

    kind: str
    size: int
    mode: int
    uid: int
    gid: int
    link: str | None
    package: str | None


class Binary(NamedTuple):
    """What an ELF file asks for, out of the `binaries` table; `is_read` is False where that is not known."""

    is_read: bool
    machine: str | None
    kind: str | None
    interpreter: str | None
    soname: str | None
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None
    needed_versions: tuple[str, ...]
    defined_versions: frozenset[str]


class Script(NamedTuple):
    """The first line of a script and the commands that it calls, out of the `scripts` table."""

    interpreter: str | None
    argument: str | None
    commands: tuple[str, ...]


class Place(NamedTuple):
    """A row of the `loader_paths` table."""

    stated_in: str
    kind: str
    path: str
    name: str | None


class User(NamedTuple):
    """A user of /etc/passwd: ids of the user and of the first group, the home folder."""

    uid: int
    gid: int
    home: str


class Group(NamedTuple):
    """A group of /etc/group: its id, and the users that it lists."""

    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """The files of an image by path, and what is known of their contents by path too (a file's further names included).

    `users`, `groups` by name; None where they are not known. `is_blind`: what stands in its programs is not known, so nothing can
    be said of their libraries.
    """

    entries: Mapping[str, Entry]
    links: Links
    binaries: Mapping[str, Binary]
    scripts: Mapping[str, Script]
    places: tuple[Place, ...]
    users: Mapping[str, User] | None = None
    groups: Mapping[str, Group] | None = None
    is_blind: bool = False

    def resolve(self, path: str) -> str | None:
        """Return the absolute path that remains when all links are followed, None where it leads nowhere or round in a loop."""
        entry = self.entries.get(path)
        return path if entry is not None and entry.kind != "symlink" else self.links.real(path)

    def file(self, path: str) -> str | None:
        """Return the regular file behind a path, None where there is none."""
        real = self.resolve(path)
        entry = None if real is None else self.entries.get(real)
        return real if entry is not None and entry.kind in {"file", "hardlink"} else None

    def folder(self, path: str) -> str | None:
        """Return the folder behind a path, None where there is none."""
        real = self.resolve(path)
        entry = None if real is None else self.entries.get(real)
        return real if real == "/" or (entry is not None and entry.kind == "directory") else None

    def is_there(self, path: str) -> bool:
        """Tell whether there is anything at a path, through links."""
        return self.resolve(path) is not None


class Tables(NamedTuple):
    """The tables that a `World` is made from, with the columns of `File`, `Binary`, `Script`, `LoaderPath` and `Account`.

    `accounts` is None where these are not known, `is_blind` says that `binaries` is not.
    """

    files: pd.DataFrame
    binaries: pd.DataFrame
    scripts: pd.DataFrame
    loader_paths: pd.DataFrame
    accounts: pd.DataFrame | None
    is_blind: bool = False


def make_world(tables: Tables) -> World:
    """Return the world that the tables of an image describe."""
    entries = {
        path: Entry(kind, size, int(mode, 8), *rest)
        for path, kind, size, mode, *rest in _rows(
            tables.files, "path", "kind", "file_bytes", "mode", "uid", "gid", "link_target", "package"
        )
    }
    binaries = {row[0]: _binary(row[1:]) for row in _rows(tables.binaries, "path", *_BINARY)}
    scripts = {
        path: Script(interpreter, argument, _words(commands))
        for path, interpreter, argument, commands in _rows(
            tables.scripts, "path", "interpreter", "argument", "commands"
        )
    }
    for path, entry in entries.items():
        if entry.kind == "hardlink" and entry.link is not None:
            _copy(binaries, entry.link, binaries, path)
            _copy(scripts, entry.link, scripts, path)
    places = tuple(Place(*row) for row in _rows(tables.loader_paths, "stated_in", "kind", "path", "name"))
    if tables.accounts is None:
        return World(entries, _links(entries), binaries, scripts, places, is_blind=tables.is_blind)
    rows = list(_rows(tables.accounts, "kind", "name", "id", "primary_gid", "home", "members"))
    users = {name: User(uid, gid, home or "") for kind, name, uid, gid, home, _ in rows if kind == "user"}
    groups = {name: Group(gid, _words(members)) for kind, name, gid, _, _, members in rows if kind == "group"}
    return World(entries, _links(entries), binaries, scripts, places, users, groups, tables.is_blind)


def moved(below: World, above: World, own: Iterable[str]) -> World:
    """Return `below` with the paths `own` of `above` copied onto it, as COPY does: into folders that are there, through links.

    A folder that is there stays as it is.
    """
    entries, binaries, scripts = dict(below.entries), dict(below.binaries), dict(below.scripts)
    folders = {"": ""}
    for path in sorted(own):
        folder, _, name = path.rpartition("/")
        where = f"{_made_folder(folder, folders, below, entries)}/{name}"
        entry = above.entries[path]
        if entry.kind == "directory" and where in below.entries and below.folder(where) is not None:
            continue
        entries[where] = entry
        _copy(above.binaries, path, binaries, where)
        _copy(above.scripts, path, scripts, where)
    replaced = set(own)
    places = [place for place in below.places if place.stated_in not in replaced]
    places += [place for place in above.places if place.stated_in in replaced]
    return World(
        entries,
        _links(entries),
        binaries,
        scripts,
        tuple(places),
        users=above.users if "/etc/passwd" in replaced else below.users,
        groups=above.groups if "/etc/group" in replaced else below.groups,
        is_blind=below.is_blind or above.is_blind,
    )


def _made_folder(folder: str, known: dict[str, str], below: World, entries: dict[str, Entry]) -> str:
    """Return where a folder is, links followed; what is not there is made, with those above it, as COPY does."""
    pending = []
    while folder not in known:
        pending.append(folder)
        folder = folder.rpartition("/")[0]
    for here in reversed(pending):
        above, _, name = here.rpartition("/")
        where = f"{known[above]}/{name}"
        entry = below.entries.get(where)
        is_link = entry is not None and entry.kind == "symlink"
        known[here] = (below.resolve(where) or where).rstrip("/") if is_link else where
        if entry is None:
            entries.setdefault(where, Entry("directory", 0, 0o755, 0, 0, None, None))
        folder = here
    return known[folder]


def _links(entries: Mapping[str, Entry]) -> Links:
    targets = {
        path: entry.link for path, entry in entries.items() if entry.kind == "symlink" and entry.link is not None
    }
    return Links(entries, targets)


def _copy(source: Mapping[str, Known], path: str, target: dict[str, Known], where: str) -> None:
    """Have what is known of one path be known of another, nothing where nothing is."""
    if path in source:
        target[where] = source[path]
    else:
        target.pop(where, None)


_BINARY = (
    "status",
    "machine",
    "kind",
    "interpreter",
    "soname",
    "needed",
    "rpath",
    "runpath",
    "needed_versions",
    "defined_versions",
)


def _binary(row: tuple[Any, ...]) -> Binary:
    status, machine, kind, interpreter, soname, needed, rpath, runpath, wants, offers = row
    return Binary(
        status == "read",
        machine,
        kind,
        interpreter,
        soname,
        _words(needed),
        rpath,
        runpath,
        _words(wants),
        frozenset(_words(offers)),
    )


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()


def _rows(table: pd.DataFrame, *columns: str) -> Iterable[tuple[Any, ...]]:
    """Return rows as plain tuples, None where a value is missing."""
    values: Mapping[str, Any] = {column: table[column] for column in columns}
    chosen = [values[column].to_numpy(dtype=object, na_value=None).tolist() for column in columns]
    return zip(*chosen, strict=True)
