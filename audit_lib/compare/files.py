"""Files on both sides: by path, by category and top folder, by layer."""

from __future__ import annotations

import pandas as pd

from audit_lib.compare.merging import made, merged
from audit_lib.compare.sides import ROLES, Audited, has_files, has_layers
from audit_lib.sizes import Grouping, sizes_by
from audit_lib.tables import CategorySize, FileChange, LayerSize

_FACTS = ("kind", "file_bytes", "mode", "uid", "gid", "link_target", "capabilities")
_GROUPINGS: tuple[Grouping, ...] = ("category", "top_folder")


def compare_categories(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return bytes and files by category and by top folder on both sides (schema `CategorySize`).

    A group that one image does not have holds 0 there; where an image's files are unknown, its columns are missing.
    """
    return made(CategorySize, pd.concat([_grouped(full, minimal, name) for name in _GROUPINGS], ignore_index=True))


def compare_layers(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return the layers of both images, one row each (schema `LayerSize`); `is_shared` where both have that diff id.

    An image whose layers are unknown has no rows, and whether it shares the other's is missing.
    """
    shared = set(full.layers["diff_id"]) & set(minimal.layers["diff_id"])
    rows = [
        side.layers.assign(role=role, is_shared=side.layers["diff_id"].isin(shared).astype("boolean"))
        for role, side in zip(ROLES, (full, minimal), strict=True)
    ]
    if not (has_layers(full) and has_layers(minimal)):
        rows = [side.assign(is_shared=pd.array([None] * len(side), dtype="boolean")) for side in rows]
    return made(LayerSize, pd.concat(rows, ignore_index=True))


def compare_files(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a path that is not a directory, on either side (schema `FileChange`).

    `what` names the columns of `files` that differ, joined by ", "; a path with none is `kept`. The category is the
    full image's, or the minimal's where only that has the path. No rows where the files of either image are unknown.
    """
    is_known = has_files(full) and has_files(minimal)
    columns = ["path", "package", "category", *_FACTS]
    sides = [side.files.loc[side.files["kind"].ne("directory") & is_known, columns] for side in (full, minimal)]
    both = merged(sides[0], sides[1], on=["path"])
    both["what"] = pd.array(_what_differs(both), dtype="string")
    both["change"] = both["change"].mask(both["what"].notna(), "changed")
    both["category"] = both["category_full"].fillna(both["category_minimal"])
    return made(FileChange, both)


def _grouped(full: Audited, minimal: Audited, grouping: Grouping) -> pd.DataFrame:
    facts = ["file_bytes", "file_count"]
    sides = [sizes_by(side.files, grouping)[["grouping", "category", *facts]] for side in (full, minimal)]
    both = sides[0].merge(
        sides[1], on=["grouping", "category"], how="outer", suffixes=("_full", "_minimal"), validate="one_to_one"
    )
    for role, side in zip(ROLES, (full, minimal), strict=True):
        for fact in facts:
            column = both[f"{fact}_{role}"]
            both[f"{fact}_{role}"] = column.fillna(0) if has_files(side) else column.mask(column.notna())
    both["delta_bytes"] = both["file_bytes_minimal"] - both["file_bytes_full"]
    return both


def _what_differs(both: pd.DataFrame) -> list[str | None]:
    """Return for each path on both sides the facts that differ, None where none does (or one side has no such path)."""
    differs = {}
    for fact in _FACTS:
        full, minimal = both[f"{fact}_full"], both[f"{fact}_minimal"]
        differs[fact] = (full != minimal).fillna(full.isna() != minimal.isna()) & (both["change"] == "kept")
    table = pd.DataFrame(differs).astype(bool)
    changed = table[table.any(axis=1)]
    found: list[str | None] = [None] * len(both)
    for row, flags in zip(changed.index, changed.to_numpy().tolist(), strict=True):
        found[row] = ", ".join(fact for fact, is_other in zip(_FACTS, flags, strict=True) if is_other)
    return found
