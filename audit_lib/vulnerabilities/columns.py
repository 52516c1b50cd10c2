"""Affected packages as columns: what the advisory database holds of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from audit_lib.vulnerabilities.records import Affected

_CHUNK_ROWS = 20_000
_TEXTS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("release", pa.string()),
        ("package", pa.string()),
        ("id", pa.string()),
        ("modified", pa.string()),
        ("published", pa.string()),
        ("withdrawn", pa.string()),
        ("aliases", _TEXTS),
        ("cves", _TEXTS),
        ("is_bundle", pa.bool_()),
        ("vectors", _TEXTS),
        ("record_word", pa.string()),
        ("distribution_word", pa.string()),
        ("summary", pa.string()),
        ("ranges", pa.string()),
        ("versions", _TEXTS),
    ]
)


class Rows:
    """Affected packages of one ecosystem on their way into the database, kept as columns: objects would take five times as much."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._waiting: list[Affected] = []

    def add(self, row: Affected) -> None:
        """Keep a row."""
        self._waiting.append(row)
        if len(self._waiting) >= _CHUNK_ROWS:
            self._pack()

    def table(self) -> pa.Table:
        """Return all rows."""
        self._pack()
        return pa.concat_tables(self._parts) if self._parts else SCHEMA.empty_table()

    def _pack(self) -> None:
        columns = {
            name: pa.array([getattr(row, name) for row in self._waiting], SCHEMA.field(name).type)
            for name in SCHEMA.names
        }
        self._parts.append(pa.table(columns, schema=SCHEMA))
        self._waiting = []


def newest(table: pa.Table) -> pa.Table:
    """Return the rows of each record as it was modified last; of two from the same time, the later ones here."""
    newest: dict[str, str] = {}
    ids, times = table["id"].to_pylist(), [time or "" for time in table["modified"].to_pylist()]
    for identity, time in zip(ids, times, strict=True):
        newest[identity] = max(time, newest.get(identity, ""))
    keys = zip(ids, table["release"].to_pylist(), table["package"].to_pylist(), strict=True)
    kept = {key: row for row, key in enumerate(keys) if times[row] == newest[key[0]]}
    return table.take(pa.array(sorted(kept.values()), pa.int64()))
