"""What an attacker would find in both images: counted by category, and thing by thing."""

from __future__ import annotations

import typing

import pandas as pd

from audit_lib.compare.merging import made
from audit_lib.compare.sides import Audited, has_files
from audit_lib.tables import SurfaceCategory, SurfaceChange, SurfaceCount, make_table

_CATEGORIES: tuple[SurfaceCategory, ...] = typing.get_args(SurfaceCategory)


def compare_surface_counts(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return how many things of each category both images offer (schema `SurfaceCount`).

    A category of which nothing can be told on a side is missing there; none of its things is 0.
    """
    counts = [_counts(side) for side in (full, minimal)]
    return make_table(
        SurfaceCount, [_count_row(category, *(side[category] for side in counts)) for category in _CATEGORIES]
    )


def compare_surface(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a thing that either image offers (schema `SurfaceChange`), by category, path and name.

    `changed`: what is told of it differs. A category that is unknown on a side is left out, and `Comparison.gaps` says so.
    """
    unknown = {category for side in (full, minimal) for category, count in _counts(side).items() if count is None}
    key = ["category", "path", "name"]
    columns = [*key, "package", "detail", "item_count"]
    sides = [side.surface.loc[~side.surface["category"].isin(unknown), columns] for side in (full, minimal)]
    both = sides[0].merge(
        sides[1], on=key, how="outer", suffixes=("_full", "_minimal"), validate="one_to_one", indicator="change"
    )
    both["change"] = (
        both["change"].map({"left_only": "removed", "right_only": "added", "both": "kept"}).astype("string")
    )
    differs = pd.Series(data=False, index=both.index)
    for fact in ("detail", "item_count"):
        before, after = both[f"{fact}_full"], both[f"{fact}_minimal"]
        differs |= (before != after).fillna(before.isna() != after.isna()).astype(bool)
    both["change"] = both["change"].mask(both["change"].eq("kept") & differs, "changed")
    return made(SurfaceChange, both)


def _counts(side: Audited) -> dict[SurfaceCategory, int | None]:
    if not has_files(side):
        return dict.fromkeys(_CATEGORIES)
    unknown = set(side.surface.loc[side.surface["status"] == "unknown", "category"])
    found = side.surface["category"].value_counts()
    return {category: None if category in unknown else int(found.get(category, 0)) for category in _CATEGORIES}


def _count_row(category: SurfaceCategory, full: int | None, minimal: int | None) -> SurfaceCount:
    delta = None if full is None or minimal is None else minimal - full
    return SurfaceCount(category=category, count_full=full, count_minimal=minimal, delta_count=delta)
