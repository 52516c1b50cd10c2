"""The header of rpm: the facts of one package as tagged values, the record that every rpm database holds.

Source: "RPM V4 Package format" (rpm.org), sections "Header" and "Regions", and "RPM Tags": two counts, index entries of four
words each (tag, type, offset, count), then the values; all numbers are big-endian. A region is the part that the package came
with; what rpm added when it installed the package follows behind it in the index.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from audit_lib.errors import DamagedDatabaseError

NAME, VERSION, RELEASE, EPOCH, SIZE = 1000, 1001, 1002, 1003, 1009
VENDOR, LICENSE, ARCH, OLD_FILE_NAMES = 1011, 1014, 1022, 1027
FILE_STATES, FILE_DIGESTS, FILE_FLAGS, SOURCE_RPM, FILE_VERIFY_FLAGS = 1029, 1035, 1037, 1044, 1045
DIR_INDEXES, BASE_NAMES, DIR_NAMES = 1116, 1117, 1118
LONG_SIZE, FILE_DIGEST_ALGORITHM, MODULARITY_LABEL = 5009, 5011, 5096

_IMMUTABLE, _SHA1, _SHA256 = 63, 269, 273
# The only tags that are kept: a header from a stranger has others by the ten thousand.
_TAGS = frozenset({
    NAME, VERSION, RELEASE, EPOCH, SIZE, VENDOR, LICENSE, ARCH, OLD_FILE_NAMES, FILE_STATES, FILE_DIGESTS, FILE_FLAGS, SOURCE_RPM,
    FILE_VERIFY_FLAGS, DIR_INDEXES, BASE_NAMES, DIR_NAMES, LONG_SIZE, FILE_DIGEST_ALGORITHM, MODULARITY_LABEL, _IMMUTABLE, _SHA1,
    _SHA256,
})  # fmt: skip
_COUNTS, _ENTRY, _TRAILER = struct.Struct(">2I"), struct.Struct(">4I"), struct.Struct(">2IiI")
# What a header begins with in a package file; databases leave it out, and digests are made over it.
_MAGIC = bytes.fromhex("8eade80100000000")
_TEXTS = frozenset({6, 8, 9})  # STRING, STRING_ARRAY, I18NSTRING
_NUMBERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q"}  # CHAR and the INTs
# No package has more files than this; a list of more is there to fill memory.
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose index is read; its values are looked up by one of the tags above. `where` names it in errors."""

    path: str
    where: str
    blob: bytes
    store: int
    index: Mapping[int, tuple[int, int, int]]

    def text(self, tag: int) -> str | None:
        """Return a text, of several the first, None where there is none or an empty one."""
        kind, offset, _ = self.index.get(tag, (0, 0, 0))
        if kind not in _TEXTS:
            return None
        start = self.store + offset
        end = self.blob.find(b"\0", start)
        if end < 0:
            raise self.damage(f"tag {tag}: a text without an end")
        return self.blob[start:end].decode("utf-8", "replace").strip() or None

    def number(self, tag: int) -> int | None:
        """Return a number, of several the first, None where there is none."""
        return next(iter(self.numbers(tag)), None)

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the numbers of a tag, () where there are none."""
        kind, offset, count = self.index.get(tag, (0, 0, 0))
        if kind not in _NUMBERS:
            return ()
        layout = f">{count}{_NUMBERS[kind]}"
        if count > _MOST or self.store + offset + struct.calcsize(layout) > len(self.blob):
            raise self.damage(f"tag {tag}: {count:,} numbers at {offset:,}, behind its end")
        return struct.unpack_from(layout, self.blob, self.store + offset)

    def texts(self, tag: int) -> list[bytes]:
        """Return the texts of a tag as they stand, [] where there are none."""
        kind, offset, count = self.index.get(tag, (0, 0, 0))
        if kind not in _TEXTS:
            return []
        if count > _MOST:
            raise self.damage(f"tag {tag}: {count:,} texts; expected at most {_MOST:,}")
        texts = self.blob[self.store + offset :].split(b"\0", count)
        if len(texts) <= count:
            raise self.damage(f"tag {tag}: {count:,} texts, of which {len(texts) - 1:,} are there")
        return texts[:-1]

    def damage(self, problem: str) -> DamagedDatabaseError:
        """Return the error that says what is wrong with this header."""
        return DamagedDatabaseError(self.path, None, f"{self.where}: {problem}")


def parse(blob: bytes, path: str, number: int) -> Header:
    """Return the header that a database holds as record `number`.

    Raises `DamagedDatabaseError` where its lengths do not add up, where it lacks name, version or release, and where it does
    not have the SHA-256, or in older packages the SHA-1, that it states of itself: rpm too refuses such a header.
    """
    where = f"package {number:,}"
    count, size = _COUNTS.unpack_from(blob) if len(blob) >= _COUNTS.size else (0, 0)
    store = _COUNTS.size + _ENTRY.size * count
    if not count or store + size != len(blob):
        raise DamagedDatabaseError(
            path, None, f"{where}: {len(blob):,} bytes; expected a header of {count:,} entries and {size:,} bytes"
        )
    index = {
        tag: (kind, offset, many)
        for tag, kind, offset, many in _ENTRY.iter_unpack(memoryview(blob)[_COUNTS.size : store])
        if tag in _TAGS
    }
    header = Header(path, where, blob, store, index)
    name = header.text(NAME)
    if not name or not header.text(VERSION) or not header.text(RELEASE):
        raise header.damage("no name, version or release")
    _check(header, name)
    return header


def _check(header: Header, name: str) -> None:
    """Compare the region that came with the package with the digest that stands outside of it."""
    _, offset, size = header.index.get(_IMMUTABLE, (0, 0, 0))
    stated = {"sha256": header.text(_SHA256), "sha1": header.text(_SHA1)}
    algorithm = next((one for one, digest in stated.items() if digest), None)
    if algorithm is None:  # packages of before 2001, keys that an old rpm imported
        return
    start, end = header.store + offset, header.store + offset + _TRAILER.size
    if size != _TRAILER.size or end > len(header.blob):
        raise header.damage(f"{name}: no region, or one that ends behind the header")
    back = -_TRAILER.unpack_from(header.blob, start)[2]
    if not 0 < back <= header.store - _COUNTS.size or back % _ENTRY.size:
        raise header.damage(f"{name}: a region of {back:,} bytes of entries")
    made = hashlib.new(algorithm, _MAGIC, usedforsecurity=False)
    made.update(_COUNTS.pack(back // _ENTRY.size, offset + _TRAILER.size))
    made.update(header.blob[_COUNTS.size : _COUNTS.size + back])
    made.update(header.blob[header.store : end])
    if made.hexdigest() != stated[algorithm]:
        raise header.damage(f"{name}: its {algorithm} is not the one that it states; was it edited?")
