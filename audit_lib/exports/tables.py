"""CSV: how a table is written to a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from audit_lib.errors import TableError


def write_tables(folder: str | Path, /, **tables: pd.DataFrame) -> None:
    """Write each table as `<folder>/tables/<name>.csv`; with an empty folder name, write nothing.

    UTF-8, one header line, lines end in a line feed. Text is quoted and a missing value is an empty
    field without quotes, so that "not stated" and an empty text stay two things. Booleans are true
    and false, numbers have no thousands separator, the index is left out. Raises `TableError` for a
    table that has no plain columns or holds values of mixed types.
    """
    if not str(folder):
        return
    target = Path(folder) / "tables"
    for name, table in tables.items():
        if not name.isidentifier():
            raise TableError(f"a table's name becomes a file's name: expected letters, digits and _, found {name!r}")
        if not all(isinstance(column, str) for column in table.columns):
            raise TableError(f"{name}: expected columns with plain names, found {list(table.columns)}")
        try:
            content = pa.Table.from_pandas(table, preserve_index=False)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise TableError(f"{name}: {error}") from error
        target.mkdir(parents=True, exist_ok=True)
        csv.write_csv(content, target / f"{name}.csv")
