"""rpmdb.sqlite, rpm's database since 4.16: a table of numbered headers, read by SQLite without letting the file decide anything.

Source: rpm's lib/backend/sqlite.c (the table Packages); "Defense Against The Dark Arts" and "Limits In SQLite" (sqlite.org).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from audit_lib.errors import DamagedDatabaseError

_MAGIC = b"SQLite format 3\0"
_HEADER_SIZE = 100
_ROLLBACK = b"\1\1"
# A plain table: brackets within the brackets would be a computed column.
_PLAIN = re.compile(r"CREATE TABLE [^()]*\([^()]*\)[^()]*", re.IGNORECASE)
# Steps of SQLite's machine between two questions whether it is enough; a row takes about six.
_STEPS = 10_000


def parse(data: bytes, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (number, header) for each package.

    Raises `DamagedDatabaseError` where the file is no such database or is cut, and where it asks for more work than a file of
    its size has in it. The file is a copy in memory: SQLite opens nothing, and no view, trigger or function of it runs.
    """
    _check(data, path)
    # A database in memory has no log; its file format is the same in both modes (file format, section 1.3.3).
    data = data[:18] + _ROLLBACK + data[20:]
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.deserialize(data)
            _fence(connection, len(data))
            yield from _rows(connection, len(data), path)
        except UnicodeDecodeError as error:  # names of the file's own that stand in what SQLite says of it
            raise DamagedDatabaseError(path, None, "SQLite: damaged, and its names are not UTF-8") from error
        except (sqlite3.Error, OverflowError, MemoryError) as error:
            raise DamagedDatabaseError(path, None, f"SQLite: {str(error) or type(error).__name__!r}") from error


def _check(data: bytes, path: str) -> None:
    if len(data) < _HEADER_SIZE or not data.startswith(_MAGIC):
        raise DamagedDatabaseError(
            path, None, f"{len(data):,} bytes, beginning {data[:16]!r}; expected SQLite format 3"
        )
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    pages = int.from_bytes(data[28:32], "big")
    # The count of pages holds where the program that wrote last knew of it (file format, section 1.3.8).
    if data[24:28] == data[92:96] and pages * size > len(data):
        raise DamagedDatabaseError(
            path, None, f"cut: {len(data):,} bytes; its header states {pages:,} pages of {size:,}"
        )


def _fence(connection: sqlite3.Connection, size: int) -> None:
    """Allow reading of the table and of the list of tables, as far as a file of this size can have something to read."""
    steps = iter(range(size // (5 * _STEPS) + 100))
    connection.set_progress_handler(lambda: next(steps, None) is None, _STEPS)
    for limit, most in (
        (sqlite3.SQLITE_LIMIT_LENGTH, size),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 10_000),
        (sqlite3.SQLITE_LIMIT_COLUMN, 100),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 10),
    ):
        connection.setlimit(limit, most)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.set_authorizer(_authorize)


def _authorize(action: int, table: str | None, *_: str | None) -> int:
    is_reading = action == sqlite3.SQLITE_READ and table in {"Packages", "sqlite_master"}
    return sqlite3.SQLITE_OK if is_reading or action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_DENY


def _rows(connection: sqlite3.Connection, size: int, path: str) -> Iterator[tuple[int, bytes]]:
    made = connection.execute("SELECT type, sql, rootpage FROM sqlite_master WHERE name = 'Packages'").fetchall()
    kind, sql, root = made[0] if len(made) == 1 else ("", "", 0)
    if kind != "table" or not root or not _PLAIN.fullmatch(str(sql)):
        raise DamagedDatabaseError(path, None, "SQLite without a plain table Packages; expected rpm's")
    rest = size
    for number, blob in connection.execute("SELECT hnum, blob FROM Packages"):
        if not isinstance(number, int) or not isinstance(blob, bytes):
            raise DamagedDatabaseError(
                path, None, f"package {number!r}: no number and header, but {type(blob).__name__}"
            )
        rest -= len(blob) + 1
        if rest < 0:
            raise DamagedDatabaseError(path, None, "headers longer together than the file: its pages are used twice")
        yield number, blob
