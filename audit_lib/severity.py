"""The words for how severe a thing is, and tables in their order."""

from __future__ import annotations

import pandas as pd

from audit_lib.errors import TableError

# Worst first. Not every table has all of them; what a word means, its row class says.
SEVERITIES = ("critical", "high", "medium", "low", "negligible", "info", "unknown")


def worst_first(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a column `severity`, worst rows first; within a severity in the table's own order.

    A word that is none of `SEVERITIES` comes last. Raises `TableError` where there is no such column.

    >>> worst_first(pd.DataFrame({"severity": ["low", "high", "medium"]}))["severity"].tolist()
    ['high', 'medium', 'low']
    """
    if "severity" not in table.columns:
        raise TableError(f"worst_first: expected a column 'severity', found {list(table.columns)}")
    places = {word: place for place, word in enumerate(SEVERITIES)}
    order = table["severity"].map(places).fillna(len(SEVERITIES)).astype("int64")
    return table.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
