"""How two tables become one with both sides in it."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd

from audit_lib.tables import Row, make_table


def made(row: type[Row], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `row` that the columns of `frame` make; further columns are left out."""
    return make_table(row, {field.name: frame[field.name].array for field in fields(row)})


def merged(full: pd.DataFrame, minimal: pd.DataFrame, *, on: list[str]) -> pd.DataFrame:
    """Return both sides' rows by key, with `change` (removed, added or kept) and `delta_bytes`.

    Where a side does not have the row it counts with 0 bytes; where its bytes are unknown, so is the difference.
    """
    both = full.merge(
        minimal, on=on, how="outer", suffixes=("_full", "_minimal"), validate="one_to_one", indicator="change"
    )
    both["change"] = (
        both["change"].map({"left_only": "removed", "right_only": "added", "both": "kept"}).astype("string")
    )
    before = both["file_bytes_full"].mask(both["change"] == "added", 0)
    after = both["file_bytes_minimal"].mask(both["change"] == "removed", 0)
    return both.assign(delta_bytes=after - before)
