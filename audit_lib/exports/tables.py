"""CSV, JSON and Parquet: how a table is written."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from audit_lib.errors import TableError


def write_tables(folder: str | Path, /, **tables: pd.DataFrame) -> None:
    """Write each table as `<folder>/tables/<name>.csv` and `.parquet`; with an empty folder name, write nothing.

    Parquet keeps the types. CSV: UTF-8, one header line, lines end in a line feed. Text is quoted and a missing value is an empty
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
        content = csv_of(table, name)
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{name}.csv").write_bytes(content)
        (target / f"{name}.parquet").write_bytes(parquet_of(table))


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that `write_tables` wrote into a folder, by name, sorted; with the types that they had.

    A CSV that came without its Parquet, from elsewhere, is text throughout.
    """
    found = {}
    for path in sorted((folder / "tables").glob("*.csv")):
        typed = path.with_suffix(".parquet")
        try:
            found[path.stem] = pd.read_parquet(typed) if typed.is_file() else _text_of(path)
        except (pa.ArrowException, ValueError) as error:
            raise TableError(f"{path.name}: expected a table: {error}") from error
    return found


def csv_of(table: pd.DataFrame, name: str = "table") -> bytes:
    """Return a table as CSV, as `write_tables` writes it; `name` is what a `TableError` calls it."""
    try:
        content = pa.Table.from_pandas(table, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TableError(f"{name}: {error}") from error
    sink = pa.BufferOutputStream()
    csv.write_csv(content, sink)
    return bytes(sink.getvalue().to_pybytes())


def json_of(table: pd.DataFrame) -> bytes:
    """Return a table as a JSON list of objects, one a row; a missing value is null."""
    return (table.to_json(orient="records", indent=2, force_ascii=False) + "\n").encode("utf-8")


def parquet_of(table: pd.DataFrame) -> bytes:
    """Return a table as Parquet."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _text_of(path: Path) -> pd.DataFrame:
    names = csv.open_csv(path).schema.names
    kept = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    table: pd.DataFrame = csv.read_csv(
        path, convert_options=kept, parse_options=csv.ParseOptions(newlines_in_values=True)
    ).to_pandas(types_mapper={pa.string(): pd.StringDtype()}.get)
    return table
