"""Berkeley DB hash, rpm's database up to 4.15: buckets of pages, in them keys and values, large ones on pages of their own.

Source: Berkeley DB 4.3 to 5.3, src/dbinc/db_page.h (page layouts) and hash.h (buckets to pages). A file is in the byte order of
the machine that made it, pages have 512 bytes to 64 KiB. rpm's key is a number; under 0 it keeps the next one to be given.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from audit_lib.errors import DamagedDatabaseError

_HASH_MAGIC, _BTREE_MAGIC = 0x061561, 0x053162
_VERSIONS = range(7, 11)
_META_SIZE, _HEADER_SIZE, _FEWEST, _MOST = 512, 26, 512, 65536
_CHECKSUMS = 1  # DBMETA_CHKSUM
_UNSORTED, _OVERFLOW, _SORTED = 2, 7, 13  # page types
_KEYDATA, _OFFPAGE = 1, 3  # item types
_OFFPAGE_SIZE = 12


class _File(NamedTuple):
    data: bytes
    path: str
    order: str
    page_size: int
    last_page: int

    def damage(self, problem: str) -> DamagedDatabaseError:
        return DamagedDatabaseError(self.path, None, problem)

    def unpack(self, layout: str, place: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + layout, self.data, place)


class _Page(NamedTuple):
    start: int
    following: int
    items: int
    filled: int
    kind: int


def parse(data: bytes, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (number, header) for each package, bucket by bucket.

    Raises `DamagedDatabaseError` where the file is no such database or is cut, and where a page is met that is not the one
    pointed to, or is met twice (which also ends every chain that leads back into itself).
    """
    file, last_bucket, spares = _meta(data, path)
    seen: set[int] = set()
    for bucket in range(last_bucket + 1):
        following = bucket + spares[bucket.bit_length()]
        while True:
            number, page = following, _page(file, following, seen)
            if page.kind not in {_UNSORTED, _SORTED}:
                raise file.damage(f"page {number:,} is of type {page.kind}; expected a page of bucket {bucket:,}")
            yield from _pairs(file, page, number, seen)
            following = page.following
            if not following:
                break


def _meta(data: bytes, path: str) -> tuple[_File, int, tuple[int, ...]]:
    if len(data) < _META_SIZE:
        raise DamagedDatabaseError(path, None, f"{len(data):,} bytes; expected a Berkeley DB hash")
    order = next(
        (one for one in "<>" if struct.unpack_from(f"{one}I", data, 12)[0] in {_HASH_MAGIC, _BTREE_MAGIC}), "<"
    )
    file = _File(
        data, path, order, *struct.unpack_from(f"{order}I", data, 20), *struct.unpack_from(f"{order}I", data, 32)
    )
    magic, version = file.unpack("2I", 12)
    if magic != _HASH_MAGIC or version not in _VERSIONS:
        kind = "a Berkeley DB tree" if magic == _BTREE_MAGIC else f"magic {magic:#x}, version {version}"
        raise file.damage(f"{kind}; expected a Berkeley DB hash of version 7 to 10")
    size = file.page_size
    if not _FEWEST <= size <= _MOST or size & (size - 1):
        raise file.damage(f"pages of {size:,} bytes; expected a power of two from 512 to 65,536")
    if data[24] or data[26] & _CHECKSUMS:
        raise file.damage("an encrypted database, or one with checksums, which rpm never makes")
    if (file.last_page + 1) * size > len(data):
        raise file.damage(f"cut: {len(data):,} bytes; its header states {file.last_page + 1:,} pages of {size:,}")
    (last_bucket,) = file.unpack("I", 72)
    if last_bucket > file.last_page:
        raise file.damage(f"{last_bucket + 1:,} buckets in {file.last_page + 1:,} pages")
    return file, last_bucket, file.unpack("32I", 96)


def _page(file: _File, number: int, seen: set[int]) -> _Page:
    if not 0 < number <= file.last_page or number in seen:
        raise file.damage(f"page {number:,} {'is pointed to twice' if number in seen else 'is not in the file'}")
    seen.add(number)
    start = number * file.page_size
    named, _, following, items, filled = file.unpack("3I2H", start + 8)
    if named != number:
        raise file.damage(f"page {number:,} says that it is page {named:,}")
    return _Page(start, following, items, filled, file.data[start + 25])


def _pairs(file: _File, page: _Page, number: int, seen: set[int]) -> Iterator[tuple[int, bytes]]:
    if _HEADER_SIZE + 2 * page.items > file.page_size or page.items % 2:
        raise file.damage(f"page {number:,} has {page.items:,} items")
    # Items lie from the end of the page to its middle, each up to where the one before it begins.
    starts = file.unpack(f"{page.items}H", page.start + _HEADER_SIZE)
    ends = (file.page_size, *starts)
    for at in range(0, page.items, 2):
        key, value = (_item(file, page, number, starts[one], ends[one], seen) for one in (at, at + 1))
        if len(key) != 4:  # noqa: PLR2004 - rpm's keys are of 32 bits
            raise file.damage(f"page {number:,} has a key of {len(key):,} bytes; expected 4")
        package = int.from_bytes(key, "little" if file.order == "<" else "big")
        if package:
            yield package, value


def _item(file: _File, page: _Page, number: int, start: int, end: int, seen: set[int]) -> bytes:  # noqa: PLR0913 - a place
    if not _HEADER_SIZE + 2 * page.items <= start < end:
        raise file.damage(f"page {number:,} has an item from {start:,} to {end:,}")
    place = page.start + start
    kind = file.data[place]
    if kind == _KEYDATA:
        return file.data[place + 1 : page.start + end]
    if kind != _OFFPAGE or end - start != _OFFPAGE_SIZE:
        raise file.damage(f"page {number:,} has an item of type {kind} and {end - start:,} bytes")
    first, length = file.unpack("2I", place + 4)
    return _overflow(file, first, length, seen)


def _overflow(file: _File, number: int, length: int, seen: set[int]) -> bytes:
    pieces, rest = [], length
    while rest:
        page = _page(file, number, seen)
        if page.kind != _OVERFLOW or not 0 < page.filled <= min(rest, file.page_size - _HEADER_SIZE):
            raise file.damage(
                f"page {number:,} is of type {page.kind} with {page.filled:,} bytes; expected {rest:,} more"
            )
        begin = page.start + _HEADER_SIZE
        pieces.append(file.data[begin : begin + page.filled])
        number, rest = page.following, rest - page.filled
    return b"".join(pieces)
