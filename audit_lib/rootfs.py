"""Layers stacked into the one tree that a container sees: whiteouts, links, look-up.

Rules: OCI image-spec, layer.md ("Whiteouts", "Opaque Whiteout"). A whiteout hides what lies below its own
layer, wherever in the layer it stands. An entry whose folder is a link in the layers below (`lib` → `usr/lib`)
lands behind that link, as umoci and containerd unpack it; an entry that is itself a folder replaces the link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from audit_lib.errors import DamagedDatabaseError, ImageFormatError, LimitError
from audit_lib.formats.base import Tree
from audit_lib.formats.globs import is_open, pattern
from audit_lib.layer import LayerScan, Limits, NotKept
from audit_lib.tar import clean

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
# Linux gives up after 40 links on one path (path_resolution(7), MAXSYMLINKS).
_MAX_LINKS = 40
_T = TypeVar("_T")
_KINDS = {
    "0": "file",
    "1": "hardlink",
    "2": "symlink",
    "3": "character_device",
    "4": "block_device",
    "5": "directory",
    "6": "fifo",
}


class Entry(NamedTuple):
    """One entry of the tree as its layer states it; `layer` counts from 1, `size` is 0 but for files."""

    layer: int
    kind: str
    size: int
    mode: int
    uid: int
    gid: int
    link: str | None
    magic: str
    capability: bytes | None


class Rootfs:
    """The final tree of the layers added so far, bottom first. Serves as the `Tree` that formats read.

    Paths have no slash in front; the root itself is not an entry. Folders that no layer states (only what is in
    them) are there all the same: mode 0755, owned by root, as unpackers make them.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.scans: list[LayerScan] = []
        self._limits = limits or Limits()
        # path → (layer from 0, row); row -1 is a folder that no layer states
        self._live: dict[str, tuple[int, int]] = {}
        # (layer, row) of a hard link's entry → that of the file it names
        self._linked: dict[tuple[int, int], tuple[int, int]] = {}
        # (layer, row) of what lies behind a link in its folder's name → its path
        self._moved: dict[tuple[int, int], str] = {}
        # What was made of the tree as it stands: forgotten with the next layer. `_names_of`: `_linked` the other way round.
        self._names_of: dict[tuple[int, int], list[tuple[int, int]]] | None = None
        self._kept: _Named | None = None
        # what the layer added last hid or replaced of those below, as (path, its place)
        self.lost: list[tuple[str, tuple[int, int]]] = []
        self._examined: dict[str, dict[str, bytes | NotKept]] = {}
        self._evidence: dict[str, Mapping[str, bytes]] = {}
        self._made: dict[Callable[[Tree], Any], Any] = {}

    def add(self, scan: LayerScan) -> None:
        """Put a layer on top. Raises `ImageFormatError` for a hard link to nothing or in a loop, or a folder that is a file."""
        self.scans.append(scan)
        self._kept, self._names_of, self.lost = None, None, []
        self._examined, self._evidence, self._made = {}, {}, {}
        entries = self._whiteouts_applied(scan)
        number = len(self.scans) - 1
        folders = {scan.paths[row] for row in entries if scan.kinds[row] == "5"}
        own: dict[str, tuple[int, int]] = {}
        parents: dict[str, str] = {"": ""}
        for row in entries:
            path = scan.paths[row]
            if not path:
                continue
            folder, _, name = path.rpartition("/")
            real = parents.get(folder)
            if real is None:
                real = parents[folder] = self._made_folder(folder, folders, number, scan.name)
            where = f"{real}/{name}" if real else name
            if scan.kinds[row] == "5":
                parents[path] = where
            elif where in own and scan.kinds[own[where][1]] == "5":
                raise ImageFormatError(f"layer {scan.name}: states /{where} twice, as a folder and as something else")
            if where != path:
                self._moved[number, row] = where
            below = self._live.get(where)
            if below is not None and below[0] != number:
                self.lost.append((where, below))
            self._live[where] = own[where] = (number, row)
        if len(self._live) > self._limits.entries:
            raise LimitError(f"{scan.name}: more than {self._limits.entries:,} entries in the image (limit `entries`)")
        self._join_hard_links(scan, number, own)

    def copy(self) -> Rootfs:
        """Return the tree as it stands now; what is added to this one later does not show in it."""
        other = Rootfs(self._limits)
        other.scans = self.scans[:]
        other._live, other._linked, other._moved = self._live.copy(), self._linked.copy(), self._moved.copy()
        return other

    def paths(self) -> list[str]:
        """Return all paths, sorted."""
        return sorted(self._live)

    def entry(self, path: str) -> Entry | None:
        """Return the entry at exactly this path (no link followed), None where there is none."""
        return self.entries([path])[0][0] if path in self._live else None

    def entries(self, paths: Sequence[str]) -> tuple[list[Entry], list[tuple[int, int]]]:
        """Return the entries at exactly these paths, and for each what tells one file from another whatever its names.

        That is (layer from 0, row) of its contents. Raises `KeyError` for a path that is not in the tree.
        """
        found, inodes = [], []
        live, linked, scans = self._live, self._linked, self.scans
        for path in paths:
            place = live[path]
            layer = place[0] + 1
            number, row = inode = linked.get(place, place)
            inodes.append(inode)
            if row < 0:
                found.append(Entry(layer, "directory", 0, 0o755, 0, 0, None, "", None))
                continue
            scan = scans[number]
            kind = _KINDS[scan.kinds[row]]
            mode, uid, gid = scan.owners[row]
            link = scan.links[row] if kind == "symlink" else None
            found.append(
                Entry(
                    layer,
                    kind,
                    scan.sizes[row],
                    mode,
                    uid,
                    gid,
                    link,
                    scan.magics.get(row, ""),
                    scan.capabilities.get(row),
                )
            )
        return found, inodes

    def inode(self, path: str) -> tuple[int, int] | None:
        """Return what tells a path's file from another whatever its names, None where there is none."""
        place = self._live.get(path)
        return None if place is None else self._linked.get(place, place)

    def digests(self, path: str) -> Mapping[str, str]:
        """Return the digests of a file's contents by algorithm; none where the scans made none, or it is no file."""
        number, row = self.inode(path) or (0, -1)
        return self.scans[number].digests.get(row, {}) if row >= 0 else {}

    def shared_inodes(self) -> set[tuple[int, int]]:
        """Return the files that have, or had, more than one name."""
        return set(self._linked.values())

    def resolve(self, path: str) -> str | None:
        """Return the path that remains when all links are followed, None where it leads nowhere. Raises `LoopError`."""
        pending, done, links = path.split("/")[::-1], "", 0
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{part}" if done else part
            place = self._live.get(here)
            if place is None:
                return None
            target = self._symlink(place)
            if target is None:
                done = here
                continue
            links += 1
            if links > _MAX_LINKS:
                raise LoopError(path)
            if target.startswith("/"):
                done = ""
            pending.extend(target.split("/")[::-1])
        return done

    def real_folder(self, folder: str, known: dict[str, str | None]) -> str | None:
        """Return a folder with links followed, None where it leads nowhere or round in a loop; `known` remembers."""
        if folder not in known:
            try:
                known[folder] = self.resolve(folder)
            except LoopError:
                known[folder] = None
        return known[folder]

    def glob(self, glob: str) -> Sequence[str]:
        """Return the kept files that match, sorted (see `formats.base.Tree`)."""
        if self._kept is None:
            rows = [(number, row) for number, scan in enumerate(self.scans) for row in scan.kept]
            self._kept = _Named(path for row in rows for path in self._names(row))
        return self._kept.matching(glob)

    def read(self, path: str) -> bytes | None:
        """Return a kept file's contents through links, None where it is absent (see `formats.base.Tree`)."""
        try:
            real = self.resolve(path)
        except LoopError as error:
            raise DamagedDatabaseError(path, None, "a loop of symbolic links; expected a file") from error
        if real is None:
            if path in self._live:
                raise DamagedDatabaseError(path, None, "a symbolic link to nothing; expected a file")
            return None
        number, row = self._linked.get(self._live[real], self._live[real]) if real else (0, -1)
        if row < 0 or self.scans[number].kinds[row] != "0":
            if (
                real == path
                and row >= 0
                and self.scans[number].kinds[row] == "5"
                and row not in self.scans[number].kept
            ):
                return None
            kind = "directory" if row < 0 else _KINDS[self.scans[number].kinds[row]]
            raise DamagedDatabaseError(path, None, f"a {kind}; expected a file")
        content = self.scans[number].kept.get(row)
        if content is None:
            raise DamagedDatabaseError(path, None, f"a link to /{real}, which no package database is read from")
        if isinstance(content, NotKept):
            raise DamagedDatabaseError(path, None, content.why)
        return content

    def evidence(self, format: str) -> Mapping[str, bytes]:  # noqa: A002 - the column's name
        """Return what a format took out of single files, by path, sorted (see `formats.base.Tree`)."""
        if format not in self._evidence:
            found = self._taken(format)
            self._evidence[format] = {path: one for path, one in found.items() if isinstance(one, bytes)}
        return self._evidence[format]

    def hidden_evidence(self, format: str) -> Iterator[tuple[str, int, bytes]]:  # noqa: A002 - the column's name
        """Yield (path, layer, what was taken out) of files that a layer holds and the tree does not show any more."""
        for number, scan in enumerate(self.scans):
            for (form, row), found in scan.evidence.items():
                if form == format and isinstance(found, bytes) and not any(self._names((number, row))):
                    yield self._moved.get((number, row)) or scan.paths[row], number + 1, found

    def not_examined(self, format: str) -> Mapping[str, str]:  # noqa: A002 - the column's name
        """Return the files that a format asked for and could not look into, with the reason, by path."""
        return {path: found.why for path, found in self._taken(format).items() if isinstance(found, NotKept)}

    def evidence_at(self, format: str, path: str) -> bytes | NotKept | None:  # noqa: A002 - the column's name
        """Return what was taken out of the file to which a path leads, or why nothing was; None where there is no such path.

        An empty file gives nothing to be taken out: b"".
        """
        try:
            real = self.resolve(path)
        except LoopError:
            return NotKept("a loop of symbolic links; expected a file")
        if real is None:
            return NotKept("a symbolic link to nothing; expected a file") if path in self._live else None
        number, row = self.inode(real) or (0, -1)
        scan = self.scans[number] if self.scans else None
        if scan is None or row < 0 or scan.kinds[row] != "0":
            return NotKept("no regular file")
        found = scan.evidence.get((format, row))
        if found is None:
            return NotKept(f"a link to /{real}, which is not read") if scan.sizes[row] else b""
        return found

    def has_folder(self, path: str) -> bool:
        """Tell whether the path is a folder, through links."""
        try:
            real = self.resolve(path)
        except LoopError:
            return False
        if not real:
            return real is not None
        number, row = self._live[real]
        return row < 0 or self.scans[number].kinds[row] == "5"

    def once(self, make: Callable[[Tree], _T]) -> _T:
        """Return `make(self)`, made once until the next layer is added (see `formats.base.Tree`)."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast("_T", self._made[make])

    def reclaimable_bytes(self) -> list[int]:
        """Return for each layer the bytes of file contents it stores that the tree does not show."""
        shown = {self._linked.get(place, place) for place in self._live.values()}
        return [
            sum(size for row, size in enumerate(scan.sizes) if size and (number, row) not in shown)
            for number, scan in enumerate(self.scans)
        ]

    def _taken(self, name: str) -> dict[str, bytes | NotKept]:
        """Return what was taken out of files for a format, by path, sorted; of a file's several names the first counts."""
        if name not in self._examined:
            rows = {
                (number, row): found
                for number, scan in enumerate(self.scans)
                for (form, row), found in scan.evidence.items()
                if form == name
            }
            first = {min(names): found for row, found in rows.items() if (names := list(self._names(row)))}
            self._examined[name] = dict(sorted(first.items()))
        return self._examined[name]

    def _names(self, file: tuple[int, int]) -> Iterator[str]:
        """Yield the paths under which the tree shows what a layer's row holds: none where it is hidden."""
        if self._names_of is None:
            self._names_of = {}
            for link, named in self._linked.items():
                self._names_of.setdefault(named, []).append(link)
        for place in (file, *self._names_of.get(file, ())):
            path = self._moved.get(place) or self.scans[place[0]].paths[place[1]]
            if self._live.get(path) == place and self._linked.get(place, place) == file:
                yield path

    def _symlink(self, place: tuple[int, int]) -> str | None:
        number, row = place
        if row < 0 or self.scans[number].kinds[row] != "2":
            return None
        return self.scans[number].links[row]

    def _is_folder(self, place: tuple[int, int]) -> bool:
        number, row = place
        return row < 0 or self.scans[number].kinds[row] == "5"

    def _whiteouts_applied(self, scan: LayerScan) -> list[int]:
        """Hide what the layer deletes or replaces of the layers below; return the rows that are entries."""
        gone: set[str] = set()
        emptied: set[str] = set()
        entries: list[int] = []
        known: dict[str, str | None] = {}
        stated = {path for row, path in enumerate(scan.paths) if scan.kinds[row] == "5"}
        for row, path in enumerate(scan.paths):
            folder, _, name = path.rpartition("/")
            if name.startswith(_WHITEOUT):
                real = self.real_folder(folder, known)
                if real is None:
                    continue
                if name == _OPAQUE:
                    emptied.add(real)
                elif not name.startswith(".wh..wh."):  # AUFS keeps its own notes under such names
                    hidden = name[len(_WHITEOUT) :]
                    gone.add(f"{real}/{hidden}" if real else hidden)
                continue
            entries.append(row)
            if scan.kinds[row] == "5":
                continue
            if folder and folder not in self._live and folder not in stated:
                real = self.real_folder(folder, known)
                path = f"{real}/{name}" if real else path  # noqa: PLW2901 - the path behind the link
            below = self._live.get(path)
            if below is not None and self._is_folder(below):
                gone.add(path)
        if emptied or any(self._is_folder(self._live[path]) for path in gone if path in self._live):
            covered = _Hidden(gone, emptied)
            lost = [path for path in self._live if covered.hides(path)]
        else:
            lost = [path for path in gone if path in self._live]
        self.lost.extend((path, self._live.pop(path)) for path in lost)
        return entries

    def _made_folder(self, folder: str, stated: set[str], number: int, what: str) -> str:
        """Return where entries of a folder land; folders that nothing states are made."""
        done = ""
        for part in folder.split("/"):
            here = f"{done}/{part}" if done else part
            if here in stated:
                # The layer itself says that this is a folder: it replaces whatever lay there.
                if here not in self._live or not self._is_folder(self._live[here]):
                    self._live[here] = (number, -1)
                done = here
                continue
            place = self._live.get(here)
            if place is None:
                self._live[here] = (number, -1)
            elif not self._is_folder(place):
                try:
                    real = self.resolve(here)
                except LoopError as error:
                    raise ImageFormatError(f"layer {what}: {folder!r} lies behind a loop of symbolic links") from error
                if real is None or (real and not self._is_folder(self._live[real])):
                    raise ImageFormatError(f"layer {what}: an entry lies in /{folder}, but /{here} is not a folder")
                here = real
            done = here
        return done

    def _join_hard_links(self, scan: LayerScan, number: int, own: dict[str, tuple[int, int]]) -> None:
        by_name = {scan.paths[row]: row for row, kind in enumerate(scan.kinds) if kind in "01"}
        known: dict[str, str | None] = {}
        for where, (_, first) in own.items():
            row, seen = first, set()
            while scan.kinds[row] == "1":
                if row in seen:
                    raise ImageFormatError(f"layer {scan.name}: /{where} is a hard link in a loop")
                seen.add(row)
                target = clean(scan.links[row], f"layer {scan.name}")
                if target in by_name:
                    row = by_name[target]
                    continue
                folder, _, name = target.rpartition("/")
                real = self.real_folder(folder, known)
                place = self._live.get(f"{real}/{name}" if real else name) if real is not None else None
                if place is None or place[1] < 0:
                    raise ImageFormatError(
                        f"layer {scan.name}: /{where} is a hard link to /{target}, which is not there"
                    )
                if place[0] != number:
                    self._linked[number, first] = self._linked.get(place, place)
                    break
                row = place[1]
            else:
                if row != first:
                    self._linked[number, first] = (number, row)


class LoopError(Exception):
    """Symbolic links that lead round in a circle; what that means is for the caller to say."""


class _Named:
    """Paths to be asked for by glob: found by their last part, where the glob names it, or by how it ends."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._all = sorted(paths)
        self._by_name: dict[str, list[str]] = {}
        self._by_ending: dict[str, list[str]] = {}
        for path in self._all:
            name = path.rpartition("/")[2]
            self._by_name.setdefault(name, []).append(path)
            self._by_ending.setdefault(name.rpartition(".")[2], []).append(path)

    def matching(self, glob: str) -> list[str]:
        """Return the paths that match, sorted."""
        name = glob.rpartition("/")[2]
        ending = name.rpartition(".")[2]
        if not is_open(name):
            some = self._by_name.get(name, [])
        elif "." in name and not is_open(ending):
            some = self._by_ending.get(ending, [])
        else:
            some = self._all
        return [path for path in some if pattern(glob).fullmatch(path)]


class _Hidden:
    """What lies at or below deleted paths, or below emptied folders; each folder is looked at once."""

    def __init__(self, gone: set[str], emptied: set[str]) -> None:
        self._gone = gone
        self._folders = dict.fromkeys(gone | emptied, True)
        self._folders.setdefault("", "" in emptied)

    def hides(self, path: str) -> bool:
        """Tell whether a path of the layers below is hidden."""
        return path in self._gone or self._holds(path.rpartition("/")[0])

    def _holds(self, folder: str) -> bool:
        passed = []
        while (known := self._folders.get(folder)) is None:
            passed.append(folder)
            folder = folder.rpartition("/")[0]
        self._folders.update(dict.fromkeys(passed, known))
        return known
