"""Files that are not as their package brought them: told by digests where these were made, by the order of layers otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from audit_lib.errors import DamagedDatabaseError
from audit_lib.inventory import Inventory, Place, key_of
from audit_lib.ownership import Ownership

# What the databases that are read state digests in; all of them are made at once, since which is needed is known at the end only.
# A digest of which a database keeps the beginning alone: made whole, then cut to as many hexadecimal digits.
_CUT = {"sha256-160": ("sha256", 40)}


@dataclass(frozen=True, slots=True)
class Alteration:
    """A file (path without leading slash) that a package claims; `layer` holds it now, None where it is missing.

    `rewritten`: a later layer than the one that brought the package stores it anew; what is in it may be the same.
    `changed`: its digest is not the one that the package's database states. `missing`: that database states a digest of a file
    that is not there.
    """

    path: str
    change: Literal["rewritten", "changed", "missing"]
    format: str
    package: str
    layer: int | None
    expected: str | None = None
    found: str | None = None


def alterations(inventory: Inventory, ownership: Ownership, *, checked: bool) -> Iterator[Alteration]:
    """Yield the files that are not as their package brought them; `checked` tells whether the scans made digests."""
    for place in inventory.places.values():
        if checked and place.form.digests is not None:
            yield from _by_digest(place, inventory, ownership)
    yield from _by_layer(inventory, ownership, checked=checked)


def _by_digest(place: Place, inventory: Inventory, ownership: Ownership) -> Iterator[Alteration]:
    assert place.form.digests is not None  # noqa: S101 - asked before
    rootfs = inventory.rootfs
    for found in place.packages:
        try:
            stated = place.form.digests(rootfs, found) or {}
        except DamagedDatabaseError:
            continue
        for path, (algorithm, expected) in stated.items():
            real = ownership.located(path)
            if real is None:
                yield Alteration(path, "missing", place.form.name, found.name, None, f"{algorithm}:{expected}")
                continue
            whole, length = _CUT.get(algorithm, (algorithm, None))
            made = rootfs.digests(real).get(whole, "")[:length]
            entry = rootfs.entry(real)
            if made and entry is not None and made != expected.lower():
                yield Alteration(
                    real,
                    "changed",
                    place.form.name,
                    found.name,
                    entry.layer,
                    f"{algorithm}:{expected}",
                    f"{algorithm}:{made}",
                )


def _by_layer(inventory: Inventory, ownership: Ownership, *, checked: bool) -> Iterator[Alteration]:
    brought: dict[tuple[str, str], int] = {}
    for place in inventory.places.values():
        if checked and place.form.digests is not None:
            continue
        for found in place.packages:
            key = (place.form.name, found.name)
            brought[key] = max(brought.get(key, 0), place.first_layers.get(key_of(found), 0))
    for path, entry, owner in zip(ownership.paths, ownership.entries, ownership.owners, strict=True):
        if owner is None or entry is None or entry.kind not in {"file", "hardlink"}:
            continue
        first = brought.get(owner, 0)
        if 0 < first < entry.layer:
            yield Alteration(path, "rewritten", *owner, entry.layer)
