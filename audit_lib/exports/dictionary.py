"""The data dictionary: every row class of `tables` as Markdown, with what `docs/columns.yml` says of its columns.

`python -m audit_lib.exports.dictionary FILE` writes the page that is committed as `docs/tables.md`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from audit_lib import tables
from audit_lib.errors import TableError
from audit_lib.tables import Column, Row, columns_of

_INTRODUCTION = """\
# The tables and their columns

Written by `make dictionary` out of the row classes of `audit_lib/tables.py` and the meanings in `columns.yml`; a test holds it
against them. How the numbers are counted, and their limits: [method.md](method.md).

Each table is a pandas DataFrame with exactly these columns, in this order; columns may be added at the end. It is sorted by its
key, whose columns are **bold**. "May be missing" means `pd.NA`: *not stated* or *not known*, never zero and never "". The unit is
the end of the name: `_bytes`, `_count`, `_share` (0 to 1), `_utc` (ISO text that ends in Z, or a day), `_digest` (with its
algorithm). No column is called "size": `compressed_bytes` is what a registry stores, `unpacked_bytes` the layer tars, `file_bytes`
the contents of the final tree, `installed_size_bytes` what a package database claims.
"""
_TYPES = {"string": "text", "Int64": "whole number", "Float64": "number", "boolean": "yes or no"}
_UNITS = {"bytes": "bytes", "count": "count", "share": "0 to 1", "utc": "time, UTC", "digest": "digest"}


@dataclass(frozen=True, slots=True)
class Section:
    """Tables that belong together: `rows` are the names of row classes by the names of their tables."""

    heading: str
    text: str
    rows: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """What `columns.yml` says: where tables are found, and what columns mean by `name` or `Class.name`."""

    sections: tuple[Section, ...]
    columns: Mapping[str, str]

    def meaning(self, row: type[Row], column: str) -> str:
        """Return what a column of a row class means. Raises `TableError` where nobody wrote it down."""
        found = self.columns.get(f"{row.__name__}.{column}") or self.columns.get(column)
        if not found:
            raise TableError(f"audit_lib/docs/columns.yml: expected what {row.__name__}.{column} means, found nothing")
        return found


def read_words() -> Words:
    """Return what the `columns.yml` that ships with the library says."""
    stated = yaml.safe_load(files("audit_lib").joinpath("docs", "columns.yml").read_text(encoding="utf-8"))
    return Words(tuple(Section(**one) for one in stated["tables"]), stated["columns"])


def dictionary() -> str:
    """Return the page. Raises `TableError` where a column's meaning is not written down."""
    words = read_words()
    return "\n".join([_INTRODUCTION, *(line for section in words.sections for line in _section(section, words))])


def _section(section: Section, words: Words) -> Iterator[str]:
    yield f"## {section.heading}\n\n{section.text}\n"
    for name, class_name in section.rows.items():
        row = getattr(tables, class_name)
        yield f"### `{name}`\n\n{inspect.getdoc(row)}\n"
        yield f"Row class `{class_name}`.\n"
        yield "| column | type | may be missing | unit or values | meaning |\n|---|---|---|---|---|"
        yield from (_line(row, column, facts, words) for column, facts in columns_of(row).items())
        yield ""


def _line(row: type[Row], column: str, facts: Column, words: Words) -> str:
    shown = f"**{column}**" if column in row.KEY else column
    missing = "yes" if facts.is_optional else ""
    if facts.vocabulary:
        values = ", ".join(f"`{word}`" for word in facts.vocabulary)
    else:
        values = _UNITS.get(column.removesuffix("_full").removesuffix("_minimal").rpartition("_")[2], "")
    return f"| {shown} | {_TYPES[facts.dtype]} | {missing} | {values} | {words.meaning(row, column)} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(dictionary(), encoding="utf-8")
