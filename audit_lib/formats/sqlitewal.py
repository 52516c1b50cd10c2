"""The write-ahead log of SQLite: pages that were committed and that the database file does not have yet.

Source: "Database File Format" (sqlite.org/fileformat2.html), section 4: a header of 32 bytes, then frames of 24 bytes and a
page. A log ends at the first frame that belongs to an earlier one (its salt differs) or was not written whole (its checksum
differs); of what is left all up to the last commit counts. That is how SQLite itself reads a database that lies beside one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from audit_lib.errors import DamagedDatabaseError

_HEADER, _FRAME = struct.Struct(">8I"), struct.Struct(">6I")
_MAGIC, _VERSION = 0x377F0682, 3007000
_FEWEST, _MOST = 512, 65536


def replayed(data: bytes, wal: bytes, path: str) -> bytes:
    """Return the database with what its log has committed.

    Raises `DamagedDatabaseError` where the log is none of SQLite's, or for a database of another page size. A log that is empty,
    or without a commit, changes nothing.
    """
    if len(wal) < _HEADER.size:
        return data
    magic, version, size, *_ = _HEADER.unpack_from(wal)
    if magic & ~1 != _MAGIC or version != _VERSION or not _FEWEST <= size <= _MOST or size & (size - 1):
        raise DamagedDatabaseError(path, None, f"magic {magic:#x}, pages of {size:,} bytes; expected a log of SQLite's")
    pages: dict[int, int] = {}
    committed: dict[int, int] = {}
    count = 0
    for number, after, place in _frames(wal, size, "<" if magic == _MAGIC else ">"):
        pages[number] = place
        if after:
            committed |= pages
            pages, count = {}, after
    if not count:
        return data
    own = int.from_bytes(data[16:18], "big") if data else size
    if data and (own if own != 1 else _MOST) != size:
        raise DamagedDatabaseError(
            path, None, f"a log with pages of {size:,} bytes, for a database with pages of {own:,}"
        )
    if count * size > len(data) + len(wal):
        raise DamagedDatabaseError(path, None, f"{count:,} pages after its last commit, more than there are")
    made = bytearray(data[: count * size].ljust(count * size, b"\0"))
    for number, place in committed.items():
        if number <= count:
            made[(number - 1) * size : number * size] = wal[place : place + size]
    return bytes(made)


def _frames(wal: bytes, size: int, order: str) -> Iterator[tuple[int, int, int]]:
    """Yield (page, pages of the database after this commit or 0, where its contents begin) of each frame that counts."""
    salt, words = wal[16:24], struct.Struct(f"{order}{size // 4}I")
    sums = _sums((0, 0), struct.unpack_from(f"{order}6I", wal))
    if sums != _HEADER.unpack_from(wal)[6:]:
        return
    for start in range(_HEADER.size, len(wal) - size - _FRAME.size + 1, size + _FRAME.size):
        number, after, *_, first, second = _FRAME.unpack_from(wal, start)
        place = start + _FRAME.size
        sums = _sums(sums, struct.unpack_from(f"{order}2I", wal, start) + words.unpack_from(wal, place))
        if wal[start + 8 : start + 16] != salt or sums != (first, second) or not number:
            return
        yield number, after, place


def _sums(sums: tuple[int, int], words: tuple[int, ...]) -> tuple[int, int]:
    one, other = sums
    for at in range(0, len(words), 2):
        one = (one + words[at] + other) & 0xFFFFFFFF
        other = (other + words[at + 1] + one) & 0xFFFFFFFF
    return one, other
