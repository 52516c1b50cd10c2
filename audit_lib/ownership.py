"""Which package owns which path of an image, and what each package's files weigh."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import FORMATS
from audit_lib.formats.base import Format, Found
from audit_lib.inventory import Inventory

# conda installs programs as a distribution does, beside one.
_RECORDERS = frozenset(form.name for form in FORMATS if form.is_distribution) | {"conda"}


class Ownership:
    """Which package owns which path of the tree, and what each package's files weigh."""

    def __init__(self, inventory: Inventory) -> None:
        self.rootfs = inventory.rootfs
        self.paths = self.rootfs.paths()
        self.entries, self.inodes = self.rootfs.entries(self.paths)
        self._shared = self.rootfs.shared_inodes()
        self._rows = {path: row for row, path in enumerate(self.paths)}
        self.owners: list[tuple[str, str] | None] = [None] * len(self.paths)
        self.owner_counts = [0] * len(self.paths)
        self.weights: dict[int, tuple[int, int]] = {}
        self._folders: dict[str, str | None] = {}
        below: dict[str, list[tuple[Format, Found]]] = {}
        places = sorted(
            inventory.places.values(), key=lambda place: (not place.form.is_distribution, place.form.only_unrecorded)
        )
        for place in places:
            if place.form.only_unrecorded:
                place.packages = [found for found in place.packages if not self._is_recorded(found)]
                if not place.packages and not place.broken and place.problem is None:
                    del inventory.places[place.form.name, place.path]
            for found in place.packages:
                try:
                    claimed = place.form.files(self.rootfs, found)
                except DamagedDatabaseError as error:
                    place.detail = f"{found.name}: which files it owns is not known: {error}"
                    continue
                if claimed is None:
                    continue
                exact = []
                for path in claimed:
                    if path.endswith("/"):
                        below.setdefault(path.rstrip("/"), []).append((place.form, found))
                    else:
                        exact.append(path)
                self._claim(place.form, found, self._rows_of(exact))
        if below:
            self._claim_below(below)

    def owner(self, path: str) -> tuple[str, str] | None:
        """Return (format, name) of the package that owns a path of the tree, or another name of that file; None for none."""
        row = self._rows.get(path)
        if row is None:
            return None
        names = (row, *self._further_names.get(self.inodes[row], ()))
        return next((self.owners[name] for name in names if self.owners[name] is not None), None)

    def parent(self, form: Format, found: Found) -> str | None:
        """Return `format:name` of the distribution package that owns the file which states this one."""
        owner = None if form.is_distribution else self.owner(found.path)
        return None if owner is None or owner == (form.name, found.name) else f"{owner[0]}:{owner[1]}"

    @cached_property
    def _further_names(self) -> dict[tuple[int, int] | None, list[int]]:
        names: dict[tuple[int, int] | None, list[int]] = {inode: [] for inode in self._shared}
        for row, inode in enumerate(self.inodes) if names else ():
            if inode in names:
                names[inode].append(row)
        return names

    def _is_recorded(self, found: Found) -> bool:
        """Tell whether a package of a distribution, or of conda, owns the file in which a program was recognised."""
        owner = self.owner(found.path)
        return owner is not None and owner[0] in _RECORDERS

    def located(self, path: str) -> str | None:
        """Return the path under which the tree has what a package claims as this one, None where it has not."""
        if path in self._rows:
            return path
        # dpkg lists /lib/x where merged /usr has it in /usr/lib/x
        folder, _, name = path.rpartition("/")
        real = self.rootfs.real_folder(folder, self._folders)
        if real is None:
            return None
        path = f"{real}/{name}" if real else name
        return path if path in self._rows else None

    def _rows_of(self, paths: Iterable[str]) -> set[int]:
        rows = set()
        for path in paths:
            real = self.located(path)
            row = None if real is None else self._rows[real]
            if row is not None and self.entries[row].kind != "directory":
                rows.add(row)
        return rows

    def _claim(self, form: Format, found: Found, rows: set[int]) -> None:
        owner = (form.name, found.name)
        for row in rows:
            self.owner_counts[row] += 1
            if self.owners[row] is None:
                self.owners[row] = owner
        entries, inodes, shared = self.entries, self.inodes, self._shared
        # a file with several names weighs once; most have one
        size, count = self.weights.get(id(found), (0, 0))
        size += sum(entries[row].size for row in rows if inodes[row] not in shared)
        size += sum({inodes[row]: entries[row].size for row in rows if inodes[row] in shared}.values()) if shared else 0
        self.weights[id(found)] = (size, count + len(rows))

    def _claim_below(self, below: dict[str, list[tuple[Format, Found]]]) -> None:
        rows: dict[str, set[int]] = {folder: set() for folder in below}
        # folder → the claimed one that it is or lies in, "" for none; each folder is looked at once
        claimed = {"": "", **{folder: folder for folder in below}}
        for row, path in enumerate(self.paths):
            passed, folder = [], path.rpartition("/")[0]
            while folder not in claimed:
                passed.append(folder)
                folder = folder.rpartition("/")[0]
            claimed.update(dict.fromkeys(passed, claimed[folder]))
            if claimed[folder] and self.entries[row].kind != "directory":
                rows[claimed[folder]].add(row)
        for folder, claims in below.items():
            for form, found in claims:
                self._claim(form, found, rows[folder])
