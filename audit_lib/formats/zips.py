"""zip: the members of an archive from a stranger, read from its bytes with a bound on everything it may ask for.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14-4.3.16 (its end, Zip64).
Python's own zipfile makes an object of each member before the first can be looked at: a hostile directory of half a
gigabyte becomes many. Here a member that nobody asks for costs one header.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from audit_lib.errors import DamagedDatabaseError

_END, _END64, _LOCATOR, _ENTRY, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
# Fields after the four bytes of the signature.
_END_FIELDS = struct.Struct("<4H2LH")
_END64_FIELDS = struct.Struct("<Q2H2L4Q")
_ENTRY_FIELDS = struct.Struct("<6H3L5H2L")
_LOCAL_FIELDS = struct.Struct("<5H3L2H")
_END_SIZE, _END64_SIZE, _LOCATOR_SIZE, _ENTRY_SIZE, _LOCAL_SIZE = 22, 56, 20, 46, 30
_LONGEST_COMMENT = 0xFFFF
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64_FIELD = 1
_ENCRYPTED, _UTF8 = 1, 0x800
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the central directory states it; sizes in bytes, `start` is where its local header begins."""

    name: str
    method: int
    is_encrypted: bool
    crc: int
    stored: int
    size: int
    start: int


def members(data: bytes, path: str) -> Iterator[Member]:
    """Yield the members in the order of the central directory.

    What stands before the archive (a shell script that starts it) is passed over. Raises `DamagedDatabaseError` where
    the archive has no end, or its directory does not lie where the end says.
    """
    end = data.rfind(_END, max(0, len(data) - _END_SIZE - _LONGEST_COMMENT))
    if end < 0 or end + _END_SIZE > len(data):
        raise DamagedDatabaseError(path, None, "no end of a zip archive; expected one: is it cut, or something else?")
    *_, size, offset, _ = _END_FIELDS.unpack_from(data, end + 4)
    stop = end
    locator, end64 = end - _LOCATOR_SIZE, end - _LOCATOR_SIZE - _END64_SIZE
    if end64 >= 0 and data.startswith(_LOCATOR, locator) and data.startswith(_END64, end64):
        *_, size, offset = _END64_FIELDS.unpack_from(data, end64 + 4)
        stop = end64
    place, shift = stop - size, stop - size - offset
    if place < 0 or shift < 0:
        raise DamagedDatabaseError(path, None, f"a zip directory of {size:,} bytes at {offset:,}, cut or moved")
    while place < stop:
        if not data.startswith(_ENTRY, place) or place + _ENTRY_SIZE > stop:
            raise DamagedDatabaseError(path, None, f"byte {place:,}: expected an entry of the zip directory")
        _, _, flags, method, _, _, crc, stored, length, named, extra, comment, _, _, _, start = (
            _ENTRY_FIELDS.unpack_from(data, place + 4)
        )
        after = place + _ENTRY_SIZE + named
        name = data[place + _ENTRY_SIZE : after].decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        if _IN_ZIP64 in (stored, length, start):
            stored, length, start = _zip64(data[after : after + extra], stored, length, start)
        yield Member(name, method, bool(flags & _ENCRYPTED), crc, stored, length, start + shift)
        place = after + extra + comment


def content(data: bytes, member: Member, path: str, *, limit: int) -> bytes:
    """Return a member's contents, at most `limit` bytes of them; whole ones are checked against their checksum.

    Raises `DamagedDatabaseError` for what is encrypted, packed in another way than deflate, cut or altered.
    """
    where = f"{member.name[:200]!r} in it"
    if limit < 1:  # zlib reads 0 as "no limit"
        return b""
    start = member.start
    if not data.startswith(_LOCAL, start) or start + _LOCAL_SIZE > len(data):
        raise DamagedDatabaseError(path, None, f"{where}: expected its header at byte {start:,}")
    if member.is_encrypted:
        raise DamagedDatabaseError(path, None, f"{where} is encrypted")
    *_, named, extra = _LOCAL_FIELDS.unpack_from(data, start + 4)
    begin = start + _LOCAL_SIZE + named + extra
    raw = memoryview(data)[begin : begin + member.stored]
    if member.method == _STORED:
        found = bytes(raw[:limit])
    elif member.method == _DEFLATED:
        try:
            found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, limit)
        except zlib.error as error:
            raise DamagedDatabaseError(path, None, f"{where}: {error}") from error
    else:
        raise DamagedDatabaseError(path, None, f"{where} is packed by method {member.method}; expected 0 or 8")
    if len(found) < min(limit, member.size):
        raise DamagedDatabaseError(path, None, f"{where} is cut: {len(found):,} of {member.size:,} bytes")
    if len(found) > member.size:
        raise DamagedDatabaseError(
            path, None, f"{where} is longer than the {member.size:,} bytes that its archive states"
        )
    if len(found) == member.size and zlib.crc32(found) != member.crc:
        raise DamagedDatabaseError(path, None, f"{where} does not have the checksum that its archive states")
    return found


def _zip64(extra: bytes, stored: int, size: int, start: int) -> tuple[int, int, int]:
    """Return the lengths and place that did not fit into 32 bits: in this order, those alone that did not fit."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == _ZIP64_FIELD:
            field = extra[place + 4 : place + 4 + length]
            values = iter(struct.unpack_from(f"<{len(field) // 8}Q", field))
            size = next(values, size) if size == _IN_ZIP64 else size
            stored = next(values, stored) if stored == _IN_ZIP64 else stored
            start = next(values, start) if start == _IN_ZIP64 else start
        place += 4 + length
    return stored, size, start
