"""Every package database of an image, read each time that a layer changed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import FORMATS
from audit_lib.formats.base import Broken, Format, Found, Note
from audit_lib.formats.globs import Router, folders_of
from audit_lib.layer import LayerScan, Limits
from audit_lib.removals import Removal, removals
from audit_lib.rootfs import Rootfs

_ASKING = Router({form.name: form.globs for form in FORMATS})
# A folder, or a link to one, on the way to what a format asks for → the format
_BELOW: dict[str, set[str]] = {}
for _form in FORMATS:
    for _glob in _form.globs:
        for _folder in folders_of(_glob):
            _BELOW.setdefault(_folder, set()).add(_form.name)


@dataclass(slots=True)
class Place:
    """What is known of one database: its packages with the layer that introduced each, or why they are not known."""

    form: Format
    path: str
    problem: str | None = None
    packages: list[Found] = field(default_factory=list)
    first_layers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    detail: str | None = None


class Inventory:
    """The layers stacked, and every package database read each time that a layer changed it."""

    def __init__(self, scans: Sequence[LayerScan], limits: Limits) -> None:
        self.rootfs = Rootfs(limits)
        self.places: dict[tuple[str, str], Place] = {}
        self.deleted: dict[tuple[str, str], str] = {}
        self._removed: list[Removal] = []
        for number, scan in enumerate(scans, start=1):
            before = self.rootfs.copy() if self.places else None
            self.rootfs.add(scan)
            changed = self._changed(scan)
            for form in FORMATS:
                if form.name in changed:
                    has_read = any(place.form is form for place in self.places.values())
                    self._read(form, number, before if has_read else None)

    @property
    def removed(self) -> list[Removal]:
        """The packages that a layer removed and that no later one brought back."""
        present = {
            (place.form.name, _identity(place.form, found))
            for place in self.places.values()
            for found in place.packages
        }
        return [one for one in self._removed if (one.form.name, _identity(one.form, one.found)) not in present]

    def _changed(self, scan: LayerScan) -> set[str]:
        """Return the formats for which the layer added last may have changed something: what it brings, hides or replaces."""
        changed = {form for form, _ in scan.evidence}
        paths = [scan.paths[row] for row in (*scan.kept, *scan.links)]
        for path, (number, row) in self.rootfs.lost:
            paths.append(path)
            evidence = self.rootfs.scans[number].evidence
            changed.update(form.name for form in FORMATS if (form.name, row) in evidence)
        for path in paths:
            changed |= _ASKING.askers(path)
            changed |= _BELOW.get(path, frozenset())
        return changed

    def _read(self, form: Format, number: int, before: Rootfs | None) -> None:
        """Read all databases of a format as they stand with this layer on top of the tree `before`."""
        found = {(form.name, path): _read_place(form, path, self.rootfs) for path in form.places(self.rootfs)}
        known = {
            _identity(form, package): place.first_layers[key_of(package)]
            for place in self.places.values()
            if place.form is form
            for package in place.packages
        }
        for key, place in found.items():
            earlier = self.places.get(key)
            if place.problem is not None and earlier is not None:
                place.first_layers = earlier.first_layers
                continue
            before_damage = earlier.first_layers if earlier else {}
            place.first_layers = {
                key_of(package): known.get(_identity(form, package), before_damage.get(key_of(package), number))
                for package in place.packages
            }
        if before is not None:
            self._compare(form, found, number, before)
        for key in [key for key in self.places if key[0] == form.name and key not in found]:
            lost = self.places.pop(key)
            told = "damaged" if lost.problem else f"{len(lost.packages):,} packages"
            if not form.only_unrecorded:  # a program that a distribution removed has its own row there
                self.deleted[key] = f"deleted by layer {number}; below it: {told}"
        self.places.update(found)

    def _compare(self, form: Format, after: Mapping[tuple[str, str], Place], number: int, before: Rootfs) -> None:
        """Note which packages of a format are no longer stated, unless a damaged database hides whether they are.

        A program that no package manager recorded is not followed: whether one did is known of the final tree only.
        """
        if form.only_unrecorded or any(place.problem for place in after.values()):
            return
        present = {_identity(form, found) for place in after.values() for found in place.packages}
        gone = [
            (found, place.first_layers[key_of(found)])
            for place in self.places.values()
            if place.form is form
            for found in place.packages
            if _identity(form, found) not in present
        ]
        versions = {found.name: found.version for place in after.values() for found in place.packages}
        self._removed.extend(removals(form, gone, before, number, versions))


def _read_place(form: Format, path: str, rootfs: Rootfs) -> Place:
    place = Place(form, path)
    try:
        for found in form.read(rootfs, path):
            if isinstance(found, Broken):
                place.broken.append(found)
            elif isinstance(found, Note):
                place.detail = found.text
            else:
                place.packages.append(found)
    except DamagedDatabaseError as error:
        where = "" if error.path.lstrip("/") == path and error.line is None else _where(error, path)
        place.problem, place.packages = where + error.problem, []
    return place


def _where(error: DamagedDatabaseError, path: str) -> str:
    file = "" if error.path.lstrip("/") == path else f"/{error.path.lstrip('/')}"
    line = "" if error.line is None else f"line {error.line}"
    return ", ".join(part for part in (file, line) if part) + ": "


def _identity(form: Format, found: Found) -> tuple[Any, ...]:
    """Return what stays the same of a package from layer to layer: a distribution's database may move, or change its kind."""
    return key_of(found)[:3] if form.is_distribution else key_of(found)


def key_of(found: Found) -> tuple[Any, ...]:
    """Return what tells one package of an image from another."""
    return (found.name, found.version, found.architecture, found.path)
