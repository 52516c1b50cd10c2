"""Where a dynamic loader looks for libraries: folders built into it, folders and names in its settings.

Sources: ld.so(8) and ldconfig(8); glibc's sysdeps/generic/dl-cache.h (the cache) and elf/ldconfig.c (ld.so.conf); musl's
ldso/dynlink.c. glibc's loader itself reads the cache and never ld.so.conf, which is for ldconfig.
"""

from __future__ import annotations

import json
import posixpath
import re
import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

from audit_lib.formats.base import Extractor

NAME = "loader"
CACHE, CONFIGURATION, PRELOAD = "ld.so.cache", "ld.so.conf", "ld.so.preload"

Kind = Literal["default", "cache", "configured", "included", "preload", "unreadable"]

_OLD_CACHE, _NEW_CACHE = b"ld.so-1.7.0", b"glibc-ld.so.cache1.1"
_OLD_HEAD, _OLD_ROW = 16, 12
_HEAD, _ROW = 48, 24
_BIG_ENDIAN = 3  # cache_file_new_flags_endian_big
_MAX_ENTRIES, _MAX_TEXT = 100_000, 4096
# SYSTEM_DIRS: texts one after the other, each a folder with a slash at its end; musl joins them by colons.
_GLIBC_FOLDERS = re.compile(rb"(?:/[\w./+-]{1,200}/\0){2,16}")
_MUSL_FOLDERS = re.compile(rb"\0(/[\w./+-]{1,200}(?::/[\w./+-]{1,200}){1,16})\0")
# The names that programs ask for (glibc's shlib-versions, and the System V ABI of each processor), spelled out: globs would be
# tried for every path of an image. Before glibc 2.34 these are links to `ld-2.31.so`.
_GLIBC_LOADERS = (
    *("ld-linux-x86-64.so.2", "ld-linux-x32.so.2", "ld-linux.so.2", "ld-linux.so.3", "ld-linux-armhf.so.3"),
    *("ld-linux-aarch64.so.1", "ld-linux-riscv64-lp64d.so.1", "ld-linux-loongarch-lp64d.so.1"),
    *("ld64.so.1", "ld64.so.2", "ld.so.1"),
)
_MUSL_SIGN = b"/etc/ld-musl-"


class Place(NamedTuple):
    """One statement of where libraries are.

    `default`: a folder built into the loader. `cache`: the library of this `name` is at this path. `configured`: a folder in
    ld.so.conf, or in musl's settings. `included`: a glob of further settings. `preload`: a library loaded before all others.
    `unreadable`: the file that states this is not what it should be; `name` says why.
    """

    kind: Kind
    path: str
    name: str | None = None


def cached(data: bytes) -> Iterator[Place]:
    """Yield the libraries in an ld.so.cache, in its order; one `unreadable` place for what is no cache of today's format."""
    start = data.find(_NEW_CACHE, 0, len(data)) if data.startswith((_OLD_CACHE, _NEW_CACHE)) else -1
    if start < 0:
        yield Place("unreadable", "", "no cache of glibc 2.2 or newer")
        return
    whole = data[start:]
    order = ">" if whole[28:29] == bytes([_BIG_ENDIAN]) else "<"
    if len(whole) < _HEAD:
        yield Place("unreadable", "", "its header is cut")
        return
    (count,) = struct.unpack_from(f"{order}I", whole, len(_NEW_CACHE))
    if count > _MAX_ENTRIES or _HEAD + count * _ROW > len(whole):
        yield Place("unreadable", "", f"it promises {count:,} libraries and has {len(whole):,} bytes")
        return
    for row in range(_HEAD, _HEAD + count * _ROW, _ROW):
        _, name, path = struct.unpack_from(f"{order}iII", whole, row)
        yield Place("cache", _text_at(whole, path), _text_at(whole, name))


def configured(text: str) -> Iterator[Place]:
    r"""Yield the folders and the globs of further settings in an ld.so.conf.

    >>> list(configured("# local\n/usr/local/lib\ninclude ld.so.conf.d/*.conf\n"))
    [Place(kind='configured', path='/usr/local/lib', name=None), Place(kind='included', path='ld.so.conf.d/*.conf', name=None)]
    """
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] == "hwcap":
            continue
        if words[0] == "include":
            yield from (Place("included", glob) for glob in words[1:])
        else:
            yield Place("configured", words[0].partition("=")[0])


def musl_configured(text: str) -> Iterator[Place]:
    r"""Yield the folders in musl's /etc/ld-musl-ARCH.path.

    >>> [place.path for place in musl_configured("/lib:/usr/lib\n/opt/lib\n")]
    ['/lib', '/usr/lib', '/opt/lib']
    """
    yield from (Place("configured", folder) for folder in re.split(r"[:\n]", text) if folder)


def built_in(data: bytes) -> Iterator[Place]:
    """Yield the folders that a loader looks into by itself; none for a file that is no loader."""
    if _MUSL_SIGN in data:
        folders = next((found[1].split(b":") for found in _MUSL_FOLDERS.finditer(data) if b"lib" in found[1]), [])
    else:
        folders = next((found[0].split(b"\0") for found in _GLIBC_FOLDERS.finditer(data) if b"lib" in found[0]), [])
    for folder in folders:
        if folder:
            yield Place("default", posixpath.normpath(folder.decode("ascii", "backslashreplace")))


def _text_at(data: bytes, place: int) -> str:
    end = data.find(b"\0", place, place + _MAX_TEXT)
    return data[place : max(end, place)].decode("utf-8", "backslashreplace")


def _extract(path: str, content: bytes) -> bytes | None:
    name = posixpath.basename(path)
    text = content.decode("utf-8", "backslashreplace")
    if name == CACHE:
        found = list(cached(content))
    elif name.endswith(".path"):
        found = list(musl_configured(text))
    elif name.endswith("conf"):
        found = list(configured(text))
    elif name == PRELOAD:
        found = [Place("preload", word) for word in re.split(r"[\s:]+", text) if word]
    else:
        found = list(built_in(content))
        return json.dumps(found).encode() if found else None
    return json.dumps(found).encode()


EXTRACTOR = Extractor(
    name=NAME,
    extract=_extract,
    extract_globs=(
        *(f"etc/{name}" for name in (CACHE, CONFIGURATION, PRELOAD)),
        "etc/ld.so.conf.d/*.conf",
        "etc/ld-musl-*.path",
        *(f"**/{name}" for name in _GLIBC_LOADERS),
        "**/ld-*.so",
        "**/ld-musl-*.so.1",
        "**/libc.so",
    ),
)
