"""pe, executables of Windows and assemblies of .NET: the strings of their version information.

Sources: Microsoft's "PE Format" (headers, section table, the .rsrc section) and "VERSIONINFO resource"
(VS_VERSIONINFO, StringFileInfo, StringTable, String); ECMA-335, II.25.3.3 (the CLI header that makes it an assembly).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from audit_lib.errors import DamagedDatabaseError

_RESOURCES, _CLI = 2, 14
_VERSION_RESOURCE = 16
_DIRECTORIES = {0x10B: 96, 0x20B: 112}
_MAX_SECTIONS = 96
_MAX_ENTRIES = 1024
_MAX_VERSION_BYTES = 64 * 1024
_MAX_TEXT = 200
_BLOCK = struct.Struct("<3H")
_IS_FOLDER = 0x80000000


@dataclass(frozen=True, slots=True)
class _Image:
    """The file, its sections as (address, size, place in the file), its data directories as (address, size)."""

    data: bytes
    sections: tuple[tuple[int, int, int], ...]
    directories: tuple[tuple[int, int], ...]

    def at(self, address: int, size: int) -> bytes:
        """Return what lies at an address once loaded, as far as it is in the file."""
        for start, length, place in self.sections:
            if start <= address < start + length:
                return self.data[place + address - start : place + min(address - start + size, length)]
        return b""


def assembly_strings(data: bytes, path: str) -> dict[str, str] | None:
    """Return the strings of a .NET assembly's version information by name, none where it has none; None for any other file.

    Raises `DamagedDatabaseError` where the file is cut before the version information that it says it has.
    """
    image = _image(data)
    if image is None or not image.directories[_CLI][0]:
        return None
    address, size = image.directories[_RESOURCES]
    entry = _version_entry(image, address) if address and size else None
    if entry is None:
        return {}
    start, length = entry
    found = image.at(start, min(length, _MAX_VERSION_BYTES))
    if len(found) < min(length, _MAX_VERSION_BYTES):
        raise DamagedDatabaseError(path, None, f"version information of {length:,} bytes, {len(found):,} are there")
    return dict(_strings(found))


def _image(data: bytes) -> _Image | None:
    if data[:2] != b"MZ" or len(data) < 64:  # noqa: PLR2004 - the header of DOS
        return None
    (head,) = struct.unpack_from("<L", data, 60)
    if data[head : head + 4] != b"PE\0\0" or head + 26 > len(data):
        return None
    section_count, optional_size = struct.unpack_from("<H12xH", data, head + 6)
    (magic,) = struct.unpack_from("<H", data, head + 24)
    table, sections = head + 24 + optional_size, head + 24 + _DIRECTORIES.get(magic, 0)
    directories = data[sections : min(sections + 16 * 8, table)]
    if magic not in _DIRECTORIES or len(directories) < (_CLI + 1) * 8 or section_count > _MAX_SECTIONS:
        return None
    rows = [data[table + 40 * row : table + 40 * row + 40] for row in range(section_count)]
    fields = [struct.unpack_from("<4L", row, 8) for row in rows if len(row) == 40]  # noqa: PLR2004 - a section's header
    return _Image(
        data,
        tuple((address, stored, place) for _, address, stored, place in fields),
        tuple(struct.iter_unpack("<2L", directories[: len(directories) // 8 * 8])),
    )


def _version_entry(image: _Image, address: int) -> tuple[int, int] | None:
    """Return address and size of the version information: the first of its name and language."""
    place = address
    for level in range(3):
        head = image.at(place, 16)
        if len(head) < 16:  # noqa: PLR2004 - the header of a folder of resources
            return None
        count = sum(struct.unpack_from("<2H", head, 12))
        entries = image.at(place + 16, 8 * min(count, _MAX_ENTRIES))
        rows = [struct.unpack_from("<2L", entries, at) for at in range(0, len(entries) // 8 * 8, 8)]
        row = next((offset for kind, offset in rows if level or kind == _VERSION_RESOURCE), None)
        if row is None:
            return None
        place = address + (row & ~_IS_FOLDER)
        if not row & _IS_FOLDER:
            break
    entry = image.at(place, 16)
    return struct.unpack_from("<2L", entry) if len(entry) == 16 else None  # noqa: PLR2004 - a data entry


def _strings(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the names and values of all String blocks: VS_VERSIONINFO > StringFileInfo > StringTable > String."""
    for _, version in _blocks(data, skips_value=True):
        for key, info in _blocks(version):
            if key == "StringFileInfo":
                for _, table in _blocks(info):
                    for name, value in _blocks(table):
                        yield (
                            name[:_MAX_TEXT],
                            value.decode("utf-16-le", "replace").partition("\0")[0].strip()[:_MAX_TEXT],
                        )


def _blocks(data: bytes, *, skips_value: bool = False) -> Iterator[tuple[str, bytes]]:
    """Yield key and contents of the blocks that follow one another; of a block with a value and children, the children."""
    place = 0
    while place + _BLOCK.size <= len(data):
        length, value_length, _ = _BLOCK.unpack_from(data, place)
        if length < _BLOCK.size:
            return
        block = data[place : place + length]
        end = next((at for at in range(_BLOCK.size, len(block) - 1, 2) if block[at : at + 2] == b"\0\0"), len(block))
        key = block[_BLOCK.size : end].decode("utf-16-le", "replace")
        start = (end + 2 + 3) // 4 * 4
        if skips_value:
            start = (start + value_length + 3) // 4 * 4
        yield key, block[start:]
        place += (length + 3) // 4 * 4
