"""ELF, the container of executables: where its sections and segments lie in the file.

Source: "Executable and Linking Format", System V gABI chapters 4 and 5 (headers, extended numbering, SHF_COMPRESSED).
What is read comes from strangers: every offset is checked against the file, every count and every text is bounded.
"""

from __future__ import annotations

import struct
import threading
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

MAGIC = b"\x7fELF"
LOAD = 1
NOBITS = 8
WRITABLE, EXECUTABLE = 2, 1
_COMPRESSED = 0x800
_ZLIB = 1
# More sections than this have object files only, and these are numbered in another way (gABI, "e_shnum").
_MAX_HEADERS = 0xFF00
_MAX_NAME = 255
# Several readers ask about the same file, one after the other: each thread remembers the last one, unless it is very large.
_LAST = threading.local()
_MAX_REMEMBERED = 64 * 1024**2


class UnreadableError(Exception):
    """Something that the headers promise is not in the file; the text says what."""


class Section(NamedTuple):
    """A named part of the file. `size` is what the file holds of it: 0 for .bss. `link` is the row of the section it refers to."""

    name: str
    flags: int
    address: int
    offset: int
    size: int
    kind: int
    link: int


class Segment(NamedTuple):
    """A part of the file as the loader maps it; `size` is what the file holds of it."""

    kind: int
    flags: int
    address: int
    offset: int
    size: int


class _Table(NamedTuple):
    """Rows of one kind; none where they do not lie in the file."""

    row: struct.Struct
    offset: int
    stride: int
    length: int

    def read(self, data: bytes) -> list[tuple[int, ...]]:
        return [self.row.unpack_from(data, self.offset + self.stride * number) for number in range(self.length)]


@dataclass(frozen=True)
class Elf:
    """An ELF file taken apart, as far as it is asked for.

    `order` is struct's sign for its byte order, `kind` and `machine` are numbers of the gABI.
    `lost`: the tables ("sections", "segments") that the header promises and the file does not hold.
    """

    data: bytes
    bits: Literal[32, 64]
    order: Literal["<", ">"]
    kind: int
    machine: int
    lost: tuple[str, ...]
    _sections: _Table
    _segments: _Table
    # where the names of sections begin in the file, None where there are none
    _names: int | None

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections in the order of their table."""
        return tuple(_section(self.data, row, self._names) for row in self._sections.read(self.data))

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The segments in the order of their table."""
        return tuple(_segment(row, self.bits) for row in self._segments.read(self.data))

    def section(self, name: str) -> Section | None:
        """Return the first section of that name, None where there is none."""
        # Most executables are asked for what they have not: names lie together, near the end of the file.
        if self._names is None or self.data.find(name.encode("latin-1"), self._names) < 0:
            return None
        return next((section for section in self.sections if section.name == name), None)

    def contents(self, section: Section, *, limit: int) -> bytes:
        """Return what is in a section, inflated where it is stored compressed.

        Raises `UnreadableError` where it lies outside of the file, is larger than `limit` bytes or cannot be inflated.
        """
        if section.offset + section.size > len(self.data):
            raise UnreadableError(
                f"section {section.name} ends at {section.offset + section.size:,}, past the file's end"
            )
        if section.size > limit:
            raise UnreadableError(f"section {section.name} has {section.size:,} bytes, limit {limit:,}")
        stored = self.data[section.offset : section.offset + section.size]
        if not section.flags & _COMPRESSED:
            return stored
        header = struct.Struct(self.order + ("IIQQ" if self.bits == 64 else "III"))  # noqa: PLR2004 - a class of ELF
        if len(stored) < header.size:
            raise UnreadableError(f"section {section.name} is too short for the header of its compression")
        method = header.unpack_from(stored)[0]
        if method != _ZLIB:
            raise UnreadableError(f"section {section.name} is compressed by method {method}, expected 1 (zlib)")
        return inflated(stored[header.size :], f"section {section.name}", limit=limit)

    def at(self, address: int, count: int) -> bytes:
        """Return up to `count` bytes that the loader maps at an address: fewer where the file ends, none where nothing is."""
        for kind, _, start, offset, size in self.segments:
            if kind == LOAD and start <= address < start + size:
                begin = offset + address - start
                return self.data[begin : min(begin + count, offset + size)]
        return b""


def parse(data: bytes) -> Elf | None:
    """Return an ELF file taken apart, None where there is no complete ELF header.

    A table of sections or segments that does not lie in the file reads as an empty one: stripped files have none.
    """
    last: tuple[bytes, Elf | None] = getattr(_LAST, "parsed", (b"", None))
    if last[0] is not data:
        _LAST.parsed = last = (data, _parsed(data)) if len(data) <= _MAX_REMEMBERED else (b"", _parsed(data))
    return last[1]


def _parsed(data: bytes) -> Elf | None:
    if len(data) < 16 or not data.startswith(MAGIC) or data[4] not in {1, 2} or data[5] not in {1, 2}:  # noqa: PLR2004 - bytes of e_ident
        return None
    bits: Literal[32, 64] = 64 if data[4] == 2 else 32  # noqa: PLR2004 - ELFCLASS64
    order: Literal["<", ">"] = "<" if data[5] == 1 else ">"
    header = struct.Struct(order + ("16xHHIQQQIHHHHHH" if bits == 64 else "16xHHIIIIIHHHHHH"))  # noqa: PLR2004 - as above
    if len(data) < header.size:
        return None
    fields = header.unpack_from(data)
    segment_table, section_table = fields[4:6]
    segment_stride, segment_count, section_stride, section_count, names = fields[8:13]
    sections = struct.Struct(order + ("IIQQQQIIQQ" if bits == 64 else "10I"))  # noqa: PLR2004 - as above
    segments = struct.Struct(order + ("IIQQQQQQ" if bits == 64 else "8I"))  # noqa: PLR2004 - as above
    first = _table(data, sections, section_table, section_stride, 1 if section_table else 0).read(data)
    if first:
        # Counts that do not fit into 16 bits stand in the first section header (gABI, "extended numbering").
        section_count = section_count or first[0][5]
        names = first[0][6] if names == 0xFFFF else names  # noqa: PLR2004 - SHN_XINDEX
        segment_count = first[0][7] if segment_count == 0xFFFF else segment_count  # noqa: PLR2004 - PN_XNUM
    rows = _table(data, sections, section_table, section_stride, section_count if section_table else 0)
    mapped = _table(data, segments, segment_table, segment_stride, segment_count)
    promised = (("sections", section_count * bool(section_table), rows), ("segments", segment_count, mapped))
    return Elf(
        data,
        bits,
        order,
        kind=fields[0],
        machine=fields[1],
        lost=tuple(name for name, count, table in promised if count and not table.length),
        _sections=rows,
        _segments=mapped,
        _names=sections.unpack_from(data, rows.offset + names * rows.stride)[4] if names < rows.length else None,
    )


def inflated(stored: bytes, what: str, *, limit: int) -> bytes:
    """Return zlib data inflated; raises `UnreadableError` where it is damaged, cut, or becomes larger than `limit` bytes."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stored, limit + 1)
    except zlib.error as error:
        raise UnreadableError(f"{what} cannot be inflated: {error}") from error
    if len(data) > limit:
        raise UnreadableError(f"{what} becomes larger than {limit:,} bytes when inflated")
    if not inflater.eof:
        raise UnreadableError(f"{what} is cut: its compressed data ends early")
    return data


def _table(data: bytes, row: struct.Struct, offset: int, stride: int, count: int) -> _Table:
    is_there = stride >= row.size and count <= _MAX_HEADERS and offset + stride * count <= len(data)
    return _Table(row, offset, stride, count if is_there else 0)


def _section(data: bytes, row: tuple[int, ...], names: int | None) -> Section:
    name = ""
    if names is not None and names + row[0] < len(data):
        start = names + row[0]
        end = data.find(b"\0", start, start + _MAX_NAME + 1)
        name = data[start : end if end >= 0 else start + _MAX_NAME].decode("latin-1")
    return Section(name, row[2], row[3], row[4], 0 if row[1] == NOBITS else row[5], row[1], row[6])


def _segment(row: tuple[int, ...], bits: Literal[32, 64]) -> Segment:
    kind, flags, offset, address, size = (
        (row[0], row[1], row[2], row[3], row[5]) if bits == 64 else (row[0], row[6], row[1], row[2], row[4])  # noqa: PLR2004
    )
    return Segment(kind, flags, address, offset, size)
