"""NDB, rpm's own database of packages (SUSE): slots that point to blobs in a file of 16-byte blocks.

Source: rpm's lib/backend/ndb/rpmpkg.c: a header of 32 bytes, pages of slots (magic, package, first block, blocks), blobs
between a head (magic, package, time, length) and a tail (Adler-32 of all before it, length, magic); little-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from audit_lib.errors import DamagedDatabaseError

_HEADER, _SLOT, _HEAD, _TAIL = (
    struct.Struct("<4s3I"),
    struct.Struct("<4s3I"),
    struct.Struct("<4s3I"),
    struct.Struct("<2I4s"),
)
_HEADER_SIZE, _PAGE, _BLOCK = 32, 4096, 16
_LEAST = 96  # bytes of the smallest package: name, version and release alone


def parse(data: bytes, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (number, header) for each package, in the order in which they lie in the file.

    Raises `DamagedDatabaseError` where the file is no such database or is cut, where a slot points into another's blob, and
    where a blob's checksum is not the one that it states.
    """
    if len(data) < _HEADER.size or not data.startswith(b"RpmP"):
        raise DamagedDatabaseError(path, None, f"{len(data):,} bytes, beginning {data[:8]!r}; expected an NDB database")
    _, version, _, pages = _HEADER.unpack_from(data)
    if version:
        raise DamagedDatabaseError(path, None, f"version {version:,} of NDB; expected 0")
    if not 0 < pages <= len(data) // _PAGE:
        raise DamagedDatabaseError(path, None, f"{len(data):,} bytes; its header states {pages:,} pages of slots")
    free = pages * _PAGE
    for block, count, number in sorted(_slots(data, path, free)):
        start, end = block * _BLOCK, (block + count) * _BLOCK
        if start < free or end > len(data) or count * _BLOCK < _HEAD.size + _TAIL.size:
            raise DamagedDatabaseError(
                path,
                None,
                f"package {number:,}: {count:,} blocks at {block:,}, outside of the file or in another's; was it cut?",
            )
        free = end
        yield number, _blob(data, path, number, start, end)


def _slots(data: bytes, path: str, end: int) -> Iterator[tuple[int, int, int]]:
    room = (len(data) - end) // _LEAST
    for magic, number, block, count in _SLOT.iter_unpack(memoryview(data)[_HEADER_SIZE:end]):
        if magic != b"Slot":
            raise DamagedDatabaseError(path, None, f"a slot that begins {magic!r}; expected b'Slot'")
        if block:
            room -= 1
            if room < 0:
                raise DamagedDatabaseError(path, None, f"more packages than fit into its {len(data):,} bytes")
            yield block, count, number


def _blob(data: bytes, path: str, number: int, start: int, end: int) -> bytes:
    magic, owner, _, length = _HEAD.unpack_from(data, start)
    checksum, again, last = _TAIL.unpack_from(data, end - _TAIL.size)
    begin = start + _HEAD.size
    if (magic, last) != (b"BlbS", b"BlbE") or owner != number or length != again or begin + length > end - _TAIL.size:
        raise DamagedDatabaseError(path, None, f"package {number:,}: no blob of its own at byte {start:,}")
    if zlib.adler32(memoryview(data)[start : end - _TAIL.size]) != checksum:
        raise DamagedDatabaseError(path, None, f"package {number:,}: its checksum is not the one that it states")
    return data[begin : begin + length]
