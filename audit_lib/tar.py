"""tar, read header by header from a stream of chunks: every member type that images hold, nothing written to disk.

POSIX.1-1988 (ustar), POSIX.1-2001 (pax), GNU (long names, base-256 numbers, sparse files) and the
headers before them (v7). Sources: POSIX.1-2017 "pax Interchange Format" and "ustar Interchange Format",
GNU tar manual "Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

import io
import posixpath
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from audit_lib.errors import ImageFormatError, LimitError

BLOCK = 512
# A pax or GNU long-name header is held in memory; Linux takes no path above 4,096 bytes, extended
# attributes no value above 64 KiB, so this is generous for what a real file can need.
MAX_EXTENSION_BYTES = 1024 * 1024
# The pax records that are read. Others are not kept: there may be a hundred thousand, and global ones hold for all that follows.
_READ = frozenset(
    {
        "path",
        "linkpath",
        "size",
        "uid",
        "gid",
        "GNU.sparse.name",
        "GNU.sparse.realsize",
        "GNU.sparse.size",
        "SCHILY.xattr.security.capability",
    }
)
# A hole costs nothing to claim: eight tebibytes are more than any that is meant, and a million such files still add up in 64 bits.
_MAX_SPARSE = 2**43
_ZERO = bytes(BLOCK)
# Links, devices, folders and pipes have no contents, whatever the size field of their header says.
_HEADER_ONLY = frozenset("123456")


class Window:
    """A stream of chunks seen through a moving window: take some bytes, skip others, never go back."""

    def __init__(self, chunks: Iterator[bytes], jump: Callable[[int], int] | None = None) -> None:
        """`jump` passes over bytes of the source without reading them and returns how many there were."""
        self._chunks = chunks
        self._jump = jump
        self._chunk = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """Bytes taken or skipped so far."""
        return self._before + self._at

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes, fewer only at the end of the stream."""
        end = self._at + count
        if end <= len(self._chunk):
            part = self._chunk[self._at : end]
            self._at = end
            return part
        # BytesIO hands over what it holds without a copy: a large file is in memory once.
        parts = io.BytesIO()
        missing = count - parts.write(memoryview(self._chunk)[self._at :])
        while missing and self._advance():
            self._at = parts.write(memoryview(self._chunk)[:missing])
            missing -= self._at
        if missing:
            self._at = len(self._chunk)
        return parts.getvalue()

    def peek(self, count: int) -> bytes:
        """Return up to `count` bytes that come next without taking them; fewer only at the end."""
        while len(self._chunk) - self._at < count:
            rest, before = self._chunk[self._at :], self._before + self._at
            if not self._advance():
                break
            self._chunk, self._before = rest + self._chunk, before
        return self._chunk[self._at : self._at + count]

    def skip(self, count: int) -> int:
        """Pass over `count` bytes; return how many there were."""
        missing = count
        while True:
            here = min(missing, len(self._chunk) - self._at)
            self._at += here
            missing -= here
            if missing and self._jump is not None:
                jumped = self._jump(missing)
                self._before += jumped
                return count - missing + jumped
            if not missing or not self._advance():
                return count - missing

    def read(self, count: int, /) -> bytes:
        """Return between 1 and `count` bytes, b"" at the end: what a file's `read` would."""
        self.peek(1)
        return self.take(min(count, len(self._chunk) - self._at))

    def _advance(self) -> bool:
        """Move to the next chunk that is not empty; False at the end, where the last chunk stays."""
        for chunk in self._chunks:
            if chunk:
                self._before += len(self._chunk)
                self._chunk, self._at = chunk, 0
                return True
        return False


class Member(NamedTuple):
    """One member: `kind` is the type flag as ustar writes it ("0" file, "1" hard link, "5" folder …).

    `size` is what the file is long, `stored` what the archive holds of it (less for a sparse file).
    `owner` is (permission bits, uid, gid). What is stored of a sparse file are its map and its pieces. `pax` holds the
    pax records that are read here, None where there are none.
    """

    name: str
    kind: str
    size: int
    stored: int
    owner: tuple[int, int, int]
    link: str
    is_sparse: bool
    pax: dict[str, str] | None


def members(window: Window, what: str) -> Iterator[Member]:  # noqa: C901, PLR0912, PLR0915 - runs once a member of 55,000
    """Yield the members in order; the caller may `take` up to `stored` bytes of each before the next.

    Ends at the end-of-archive block or, as other readers do, where the stream ends between two members.
    Raises `ImageFormatError` with `what` in its message for anything that is not tar.
    """
    defaults: dict[str, str] = {}
    owners: dict[bytes, tuple[int, int, int]] = {}
    pax: dict[str, str] = {}
    long_name = long_link = ""
    while True:
        at = window.position
        header = window.take(BLOCK)
        if not header or header == _ZERO:
            return
        if len(header) < BLOCK:
            raise ImageFormatError(
                f"{what}: truncated: expected a 512-byte tar header at byte {at}, found {len(header)} bytes"
            )
        _check(header, at, what)
        kind = chr(header[156])
        size = _number(header, 124, 136, at, what)
        if kind in "xgXLK":
            payload = _extension(window, size, at, what)
            if kind == "g":
                defaults = {**defaults, **_records(payload, at, what)}
            elif kind == "L":
                long_name = _text(payload)
            elif kind == "K":
                long_link = _text(payload)
            else:
                pax = {**pax, **_records(payload, at, what)}
            continue
        owner = owners.get(header[100:124])
        if owner is None:
            owner = owners[header[100:124]] = (
                _number(header, 100, 108, at, what) & 0o7777,
                _number(header, 108, 116, at, what),
                _number(header, 116, 124, at, what),
            )
        name = long_name or _name(header)
        link = (long_link or _text(header[157:257])) if kind in "12" else ""
        stored = 0 if kind in _HEADER_ONLY else size
        known = {**defaults, **pax} if defaults else pax
        if known:
            name = known.get("path", name)
            link = known.get("linkpath", link) if kind in "12" else link
            stored = 0 if kind in _HEADER_ONLY else _decimal(known, "size", at, what, size)
            uid, gid = (_decimal(known, key, at, what, owner[place]) for place, key in ((1, "uid"), (2, "gid")))
            owner = (owner[0], uid, gid)
        size, is_sparse = stored, kind == "S"
        if is_sparse:
            size = _number(header, 483, 495, at, what)
            _skip_gnu_sparse_map(window, header, at, what)
        elif "GNU.sparse.realsize" in known or "GNU.sparse.size" in known:
            is_sparse = True
            name = known.get("GNU.sparse.name", name)
            size = _decimal(known, "GNU.sparse.realsize", at, what, _decimal(known, "GNU.sparse.size", at, what))
        if size > _MAX_SPARSE and is_sparse:
            raise LimitError(f"{what}: {name!r} (header at byte {at}) claims {size:,} bytes, limit {_MAX_SPARSE:,}")
        if kind not in _HEADER_ONLY:
            # Before ustar a folder was a file whose name ends in a slash; unknown flags are read as files (POSIX).
            kind = "5" if kind == "\0" and name.endswith("/") else "0"
        if "\0" in name or "\0" in link:
            raise ImageFormatError(f"{what}: member at byte {at}: a name with a NUL byte in it: {name!r}")
        start = window.position
        yield Member(name, kind, size, stored, owner, link, is_sparse, known or None)
        pax, long_name, long_link = {}, "", ""
        left = start + (stored + BLOCK - 1) // BLOCK * BLOCK - window.position
        if left and window.skip(left) < left and window.position < start + stored:
            raise ImageFormatError(
                f"{what}: truncated: {name!r} (header at byte {at}) claims {stored:,} bytes, "
                f"only {window.position - start:,} follow"
            )


def clean(name: str, what: str) -> str:
    """Return a member's name as a path from the root: no leading or trailing slash, no `.` or `..`.

    Raises `ImageFormatError` where the name climbs out of the root.

    >>> clean("./usr//bin/", "layer"), clean("/etc/../bin/sh", "layer"), clean("./", "layer")
    ('usr/bin', 'bin/sh', '')
    """
    if name.startswith("./"):  # so every name begins where a tar was made of "."
        name = name[2:].lstrip("/")
    if "//" in name or "./" in name or "/." in name or name in {".", ".."}:
        path = posixpath.normpath(name.lstrip("/") or ".")
        if path == ".." or path.startswith("../"):
            raise ImageFormatError(f"{what}: member {name!r} climbs out of the root")
        return "" if path == "." else path
    return name.strip("/")


def _check(header: bytes, at: int, what: str) -> None:
    """Raise unless the header's checksum is right (the sum of its bytes, the field itself read as spaces)."""
    field = header[148:156]
    try:
        stated = int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        stated = -1
    # Adler-32's low half is 1 + the sum of the bytes, modulo 65521: the sum at the speed of C.
    quick = ((zlib.adler32(header) & 0xFFFF) - 1 - sum(field) + 8 * 32 - stated) % 65521
    if quick == 0 and stated >= 0:
        return
    # Some old tars added signed bytes; tarfile and GNU tar accept both.
    signed = sum(byte - 256 if byte > 127 else byte for byte in header[:148] + header[156:]) + 8 * 32  # noqa: PLR2004
    if signed != stated:
        raise ImageFormatError(f"{what}: not a tar header at byte {at}: wrong checksum")


def _number(header: bytes, start: int, end: int, at: int, what: str) -> int:
    """Return an octal field, or a base-256 one (GNU: first bit set, big-endian two's complement)."""
    if header[start] & 0x80:
        value = int.from_bytes(header[start:end], "big", signed=False) & ((1 << (8 * (end - start) - 1)) - 1)
        if header[start] & 0x40:
            raise ImageFormatError(f"{what}: header at byte {at}: a negative number in bytes {start}-{end}")
        return value
    try:
        return int(header[start:end].split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        found = header[start:end]
        raise ImageFormatError(f"{what}: header at byte {at}: expected an octal number, found {found!r}") from None


def _decimal(known: dict[str, str], key: str, at: int, what: str, default: int = 0) -> int:
    """Return a pax record as a whole number that is not negative (`size`, `uid`, `gid`)."""
    text = known.get(key)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - 2**63 has 19 digits
        raise ImageFormatError(f"{what}: pax header before byte {at}: {key} is {text[:40]!r}, expected a whole number")
    return int(text)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    # GNU's magic is "ustar  \0" and uses the prefix field for times; only POSIX's holds a prefix there.
    if header[257:263] == b"ustar\0" and header[345]:
        name = header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name.decode("utf-8", "surrogateescape")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _extension(window: Window, size: int, at: int, what: str) -> bytes:
    """Return the payload of a pax or GNU extension header."""
    if size > MAX_EXTENSION_BYTES:
        raise LimitError(f"{what}: header at byte {at}: an extension of {size:,} bytes, limit {MAX_EXTENSION_BYTES:,}")
    payload = window.take((size + BLOCK - 1) // BLOCK * BLOCK)
    if len(payload) < size:
        raise ImageFormatError(f"{what}: truncated: extension header at byte {at} claims {size:,} bytes")
    return payload[:size]


def _records(payload: bytes, at: int, what: str) -> dict[str, str]:
    r"""Return those pax records that are read here, each `"%d %s=%s\n"` with its own length in front.

    >>> _records(b"20 path=some/thing\n\n"[:19].replace(b"20", b"19") + b"12 comment=\n", 0, "x")
    {'path': 'some/thing'}
    """
    found: dict[str, str] = {}
    position = 0
    while position < len(payload) and payload[position]:
        space = payload.find(b" ", position, position + 20)
        length = payload[position:space] if space > 0 else b""
        end = position + int(length) if length.isdigit() else 0
        equals = payload.find(b"=", space, end)
        if not length.isdigit() or end <= space or end > len(payload) or payload[end - 1] != ord("\n") or equals < 0:
            raise ImageFormatError(
                f"{what}: pax header at byte {at}: expected 'length key=value', found {payload[position : position + 30]!r}"
            )
        key = payload[space + 1 : equals].decode("utf-8", "surrogateescape")
        if key in _READ:
            # Binary values (security.capability) survive the decoding: surrogateescape is undone byte for byte.
            found[key] = payload[equals + 1 : end - 1].decode("utf-8", "surrogateescape")
        position = end
    return found


def _skip_gnu_sparse_map(window: Window, header: bytes, at: int, what: str) -> None:
    """Pass over the further blocks of an old GNU sparse map; they stand between header and data."""
    extended = header[482]
    while extended:
        block = window.take(BLOCK)
        if len(block) < BLOCK:
            raise ImageFormatError(f"{what}: truncated: sparse map of the header at byte {at}")
        extended = block[504]
