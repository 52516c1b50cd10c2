"""What an attacker would find in an image, told from its tables: programs, rights, accounts, secrets, services."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from audit_lib.links import links_of
from audit_lib.surface.accounts import accounts
from audit_lib.surface.facts import Item, Secret, Seen
from audit_lib.surface.permissions import permissions
from audit_lib.surface.places import declared, places, secrets
from audit_lib.surface.programs import programs
from audit_lib.tables import SurfaceItem, make_table

__all__ = ["Secret", "Seen", "surface_table"]


def surface_table(files: pd.DataFrame, databases: pd.DataFrame, seen: Seen, *, label: str) -> pd.DataFrame:
    """Return one row a thing that an attacker would find (schema `SurfaceItem`).

    `files`, `databases`: the image's tables; `seen`: what was seen beside them. `label` names the image.
    """
    items = list(_items(files, databases, seen))
    there = files[files["path"].isin([item.path for item in items if item.path])]
    packages = dict(
        zip(there["path"], there["package"].astype(object).where(there["package"].notna(), None), strict=True)
    )
    rows = [
        SurfaceItem(
            image=label,
            category=item.category,
            path=item.path,
            package=packages.get(item.path or ""),
            detail=item.detail,
            name=item.name,
            item_count=item.item_count,
            status=item.status,
        )
        for item in items
    ]
    return make_table(SurfaceItem, rows)


def _items(files: pd.DataFrame, databases: pd.DataFrame, seen: Seen) -> Iterator[Item]:
    links = links_of(files)
    yield from programs(files, databases, links, seen)
    yield from permissions(files, seen)
    yield from accounts(links, seen)
    yield from declared(seen)
    yield from places(files, links)
    yield from secrets(seen)
