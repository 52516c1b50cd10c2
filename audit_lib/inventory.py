"""Every package database of an image, read each time that a layer changed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import FORMATS
from audit_lib.formats.base import Broken, Format, Found
from audit_lib.formats.globs import Matcher
from audit_lib.rootfs import Rootfs
from audit_lib.scan import LayerScan, Limits


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
        asks = {form.name: Matcher(form.globs).matches for form in FORMATS}
        for number, scan in enumerate(scans, start=1):
            self.rootfs.add(scan)
            changed = {form for form, _ in scan.evidence}
            hides = any("/.wh." in f"/{path}" for path in scan.paths)
            kept = [scan.paths[row] for row in (*scan.kept, *scan.links)]
            for form in FORMATS:
                if form.name in changed or hides or any(asks[form.name](path) for path in kept):
                    self._read(form, number)

    def _read(self, form: Format, number: int) -> None:
        """Read all databases of a format as they stand with this layer on top."""
        found = {(form.name, path): _read_place(form, path, self.rootfs) for path in form.places(self.rootfs)}
        for key, place in found.items():
            before = self.places.get(key)
            known = before.first_layers if before else {}
            place.first_layers = {key_of(package): known.get(key_of(package), number) for package in place.packages}
            if place.problem is not None and before is not None:
                place.first_layers = known
        for key in [key for key in self.places if key[0] == form.name and key not in found]:
            lost = self.places.pop(key)
            told = "damaged" if lost.problem else f"{len(lost.packages):,} packages"
            self.deleted[key] = f"deleted by layer {number}; below it: {told}"
        self.places.update(found)


def _read_place(form: Format, path: str, rootfs: Rootfs) -> Place:
    place = Place(form, path)
    try:
        for found in form.read(rootfs, path):
            if isinstance(found, Broken):
                place.broken.append(found)
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


def key_of(found: Found) -> tuple[Any, ...]:
    """Return what tells one package of an image from another."""
    return (found.name, found.version, found.architecture, found.path)
