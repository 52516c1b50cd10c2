"""What an ELF file says of itself: what the loader needs for it, and how it was hardened.

Headers, dynamic section and names of symbols are read, never code. Sources: System V gABI chapters 4 and 5 (headers, dynamic
section, symbols); Linux Standard Base Core, "Object Format" (PT_GNU_STACK, PT_GNU_RELRO, versions of symbols); glibc's elf.h
(DF_1_PIE) and debug/ (the functions that _FORTIFY_SOURCE replaces).
What is read comes from strangers: every offset is checked against the file, every count and every text is bounded.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, Literal, NamedTuple

from audit_lib.formats import elf
from audit_lib.formats.base import Extractor
from audit_lib.formats.elf import UnreadableError

Kind = Literal["executable", "shared_library", "object", "core", "debug", "other"]
NAME = "binaries"

_KINDS: Mapping[int, Kind] = {1: "object", 2: "executable", 3: "shared_library", 4: "core"}
_LINKED_AT_AN_ADDRESS, _LINKED_ANYWHERE = 2, 3
# By number, bits and byte order where that matters; named as by `uname -m`.
_MACHINES: Mapping[tuple[int, int, str], str] = {
    (3, 32, ""): "i686",
    (8, 32, ""): "mips",
    (8, 64, ""): "mips64",
    (20, 32, ""): "ppc",
    (21, 64, ">"): "ppc64",
    (21, 64, "<"): "ppc64le",
    (22, 64, ""): "s390x",
    (40, 32, ""): "arm",
    (62, 64, ""): "x86_64",
    (62, 32, ""): "x32",
    (183, 64, ""): "aarch64",
    (243, 32, ""): "riscv32",
    (243, 64, ""): "riscv64",
    (247, 64, ""): "bpf",
    (258, 64, ""): "loongarch64",
}
# Kinds of segments and of sections
_DYNAMIC, _INTERP, _STACK, _RELRO = 2, 3, 0x6474E551, 0x6474E552
_SYMTAB, _DYNSYM = 2, 11
# Tags of the dynamic section
_NEEDED, _HASH, _STRTAB, _SYMBOLS, _STRSZ, _SONAME, _RPATH, _BIND_NOW, _RUNPATH, _FLAGS = (
    1,
    4,
    5,
    6,
    10,
    14,
    15,
    24,
    29,
    30,
)
_FLAGS_1, _VERDEF, _VERDEFNUM, _VERNEED, _VERNEEDNUM = 0x6FFFFFFB, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_NOW, _NOW_1, _PIE_1 = 0x8, 0x1, 0x08000000
_NAMES_THE_FILE = 1  # VER_FLG_BASE
# More than any file holds that a linker made; beyond it lies what was made to keep a reader busy.
_MAX_TAGS, _MAX_VERSIONS, _MAX_SYMBOLS, _MAX_TEXT = 10_000, 5_000, 1_000_000, 4096
_CANARIES = (b"\0__stack_chk_fail\0", b"\0__stack_chk_guard\0", b"\0__intel_security_cookie\0")
# NAME where glibc exports __NAME_chk beside it; __fdelt_chk is what FD_SET becomes.
_FORTIFIABLE = frozenset(
    b"""
    asprintf confstr dprintf explicit_bzero fgets fgets_unlocked fgetws fgetws_unlocked fprintf fread fread_unlocked
    fwprintf getcwd getdomainname getgroups gethostname getlogin_r gets getwd inet_ntop inet_pton longjmp mbsnrtowcs
    mbsrtowcs mbstowcs memcpy memmove mempcpy memset obstack_printf obstack_vprintf poll ppoll pread pread64 printf
    ptsname_r read readlink readlinkat realpath recv recvfrom snprintf sprintf stpcpy stpncpy strcat strcpy strlcat
    strlcpy strncat strncpy swprintf syslog ttyname_r vasprintf vdprintf vfprintf vfwprintf vprintf vsnprintf vsprintf
    vswprintf vsyslog vwprintf wcpcpy wcpncpy wcrtomb wcscat wcscpy wcslcat wcslcpy wcsncat wcsncpy wcsnrtombs
    wcsrtombs wcstombs wctomb wmemcpy wmemmove wmempcpy wmemset wprintf
    """.split()
)
_GLIBC = re.compile(r":GLIBC_(\d{1,4}(?:\.\d{1,4}){1,3})$")
_CHECKED = frozenset(b"__%s_chk" % name for name in (*_FORTIFIABLE, b"fdelt"))
_LONGEST_NAME = max(map(len, _CHECKED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one ELF file states; None is "not stated" or not to be told from it. What each means says `tables.Binary`."""

    machine: str | None = None
    bits: int | None = None
    kind: Kind | None = None
    is_static: bool | None = None
    is_pie: bool | None = None
    relro: Literal["none", "partial", "full"] | None = None
    has_nx: bool | None = None
    has_canary: bool | None = None
    has_fortify: bool | None = None
    fortified_count: int | None = None
    fortifiable_count: int | None = None
    is_stripped: bool | None = None
    interpreter: str | None = None
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    needed_versions: tuple[str, ...] = ()
    defined_versions: tuple[str, ...] = ()
    needed_glibc: str | None = None
    detail: str | None = None


_NAMES = tuple(field.name for field in fields(Facts))


class _Linked(NamedTuple):
    """An executable or library: its dynamic section by tag, and the texts that this points into."""

    file: elf.Elf
    tags: Mapping[int, Sequence[int]]
    texts: bytes

    def value(self, tag: int) -> int | None:
        return self.tags[tag][0] if tag in self.tags else None

    def text(self, place: int) -> str:
        return _text(self.texts[place : place + _MAX_TEXT + 1], f"text {place} of the dynamic section")

    def stated(self, tag: int) -> str | None:
        return self.text(self.tags[tag][0]) if tag in self.tags else None


def parse(data: bytes) -> Facts:
    """Return what an ELF file states. Raises `UnreadableError` where it is cut, or says what cannot be.

    Of objects, core dumps and separate debug information little is told: they are not what a loader starts.
    """
    file = elf.parse(data)
    if len(data) > len(elf.MAGIC) and not data[len(elf.MAGIC) : _MAX_TEXT].strip(b"\0"):
        raise UnreadableError("nothing but zero bytes behind its magic number")
    if file is None:
        raise UnreadableError("no whole ELF header: cut, or of an unknown class or byte order")
    if len(file.sections) == 0 and "sections" in file.lost:
        has_symbols = None
    else:
        has_symbols = any(section.kind == _SYMTAB for section in file.sections)
    known = Facts(
        machine=_machine(file),
        bits=file.bits,
        kind=_KINDS.get(file.kind, "other"),
        is_stripped=None if has_symbols is None else not has_symbols,
        detail="its table of sections is not where the header says: cut?" if has_symbols is None else None,
    )
    if known.kind not in {"executable", "shared_library"}:
        return known if known.kind == "object" else replace(known, is_stripped=None)
    if any(
        section.kind == elf.NOBITS and section.name in {".text", ".dynamic", ".interp"} for section in file.sections
    ):
        return replace(known, kind="debug")
    return _facts(_linked(file), known)


def _machine(file: elf.Elf) -> str:
    name = _MACHINES.get((file.machine, file.bits, file.order)) or _MACHINES.get((file.machine, file.bits, ""))
    return name or f"machine {file.machine}, {file.bits} bits"


def _linked(file: elf.Elf) -> _Linked:
    if not file.segments:
        raise UnreadableError("an executable or library without segments that a loader could map")
    for segment in file.segments:
        end = segment.offset + segment.size
        if segment.kind in {elf.LOAD, _DYNAMIC, _INTERP} and end > len(file.data):
            raise UnreadableError(f"cut: a segment ends at byte {end:,}, the file has {len(file.data):,} bytes")
    tags: dict[int, list[int]] = {}
    for tag, value in _entries(file):
        tags.setdefault(tag, []).append(value)
    texts = b""
    if _STRTAB in tags and _STRSZ in tags:
        texts = file.at(tags[_STRTAB][0], tags[_STRSZ][0])
        if len(texts) < tags[_STRSZ][0]:
            raise UnreadableError("the texts of its dynamic section lie outside of what is mapped")
    return _Linked(file, tags, texts)


def _entries(file: elf.Elf) -> Iterator[tuple[int, int]]:
    segment = _segment(file, _DYNAMIC)
    if segment is None:
        return
    row = struct.Struct(file.order + ("QQ" if file.bits == 64 else "II"))  # noqa: PLR2004 - a class of ELF
    part = file.data[segment.offset : segment.offset + min(segment.size, _MAX_TAGS * row.size)]
    for tag, value in row.iter_unpack(part[: len(part) // row.size * row.size]):
        if tag == 0:
            return
        yield tag, value
    raise UnreadableError("its dynamic section has no end")


def _segment(file: elf.Elf, kind: int) -> elf.Segment | None:
    return next((segment for segment in file.segments if segment.kind == kind), None)


def _facts(linked: _Linked, known: Facts) -> Facts:
    file = linked.file
    interpreter, soname = _interpreter(file), linked.stated(_SONAME)
    needed = tuple(linked.text(place) for place in linked.tags.get(_NEEDED, ()))
    # Linkers mark position-independent executables since 2015; older ones have an interpreter, libraries have a name.
    is_marked = bool((linked.value(_FLAGS_1) or 0) & _PIE_1)
    is_pie = file.kind == _LINKED_ANYWHERE and (is_marked or (interpreter is not None and soname is None))
    is_executable = is_pie or file.kind == _LINKED_AT_AN_ADDRESS
    is_static = is_executable and interpreter is None and not needed
    names = _static_names(file) if is_static else linked.texts
    # musl has no checked functions: what is compiled against it checks in line, or not at all.
    is_musl = any("musl" in name or name == "libc.so" for name in (interpreter or "", *needed))
    fortified, fortifiable = (None, None) if is_musl or is_static else _fortified(linked)
    stack = _segment(file, _STACK)
    versions = _bounded(_needed_versions(linked))
    unsaid = None if stack else "no PT_GNU_STACK: whether its stack is executable is left to the kernel"
    return replace(
        known,
        kind="executable" if is_executable else "shared_library",
        is_static=is_static,
        is_pie=is_pie if is_executable else None,
        relro=_relro(linked),
        has_nx=stack is not None and not stack.flags & elf.EXECUTABLE,
        has_canary=None if names is None else any(name in names for name in _CANARIES),
        has_fortify=bool(fortified) if fortifiable else None,
        fortified_count=fortified,
        fortifiable_count=fortifiable,
        interpreter=interpreter,
        soname=soname,
        needed=needed,
        rpath=linked.stated(_RPATH),
        runpath=linked.stated(_RUNPATH),
        needed_versions=versions,
        defined_versions=_bounded(_defined_versions(linked)),
        needed_glibc=_highest_glibc(versions),
        detail="; ".join(filter(None, (known.detail, unsaid))) or None,
    )


def _interpreter(file: elf.Elf) -> str | None:
    segment = _segment(file, _INTERP)
    if segment is None:
        return None
    return _text(
        file.data[segment.offset : segment.offset + min(segment.size, _MAX_TEXT + 1)], "the interpreter's path"
    )


def _text(data: bytes, what: str) -> str:
    end = data.find(b"\0")
    if end < 0:
        raise UnreadableError(f"{what} has no end within {_MAX_TEXT:,} bytes")
    return data[:end].decode("utf-8", "backslashreplace")


def _relro(linked: _Linked) -> Literal["none", "partial", "full"]:
    if _segment(linked.file, _RELRO) is None:
        return "none"
    flags, flags_1 = linked.value(_FLAGS) or 0, linked.value(_FLAGS_1) or 0
    return "full" if _BIND_NOW in linked.tags or flags & _NOW or flags_1 & _NOW_1 else "partial"


def _static_names(file: elf.Elf) -> bytes | None:
    """Return the names of a static executable's symbols, one after the other; None where they were stripped."""
    table = next((section for section in file.sections if section.kind == _SYMTAB), None)
    if table is None or table.link >= len(file.sections):
        return None
    names = file.sections[table.link]
    return file.data[names.offset : names.offset + names.size]


def _fortified(linked: _Linked) -> tuple[int, int] | tuple[None, None]:
    """Return how many functions are imported in their checked form, and how many that have one in either form."""
    places = _symbols(linked)
    if places is None:
        return None, None
    texts = linked.texts
    names = {texts[place : place + _LONGEST_NAME + 1].partition(b"\0")[0] for place in places}
    checked = len(names & _CHECKED)
    return checked, checked + len(names & _FORTIFIABLE)


def _symbols(linked: _Linked) -> Iterator[int] | None:
    """Return where the names of the imported symbols stand among the texts; None where they cannot be told."""
    file = linked.file
    start = linked.value(_SYMBOLS)
    if start is None:
        return iter(())
    row = struct.Struct(file.order + ("IBBHQQ" if file.bits == 64 else "IIIBBH"))  # noqa: PLR2004 - a class of ELF
    count = _symbol_count(linked, row.size)
    if count is None or count > _MAX_SYMBOLS:
        return None
    table = file.at(start, count * row.size)
    where = 3 if file.bits == 64 else 5  # noqa: PLR2004 - as above
    whole = len(table) // row.size * row.size
    return (symbol[0] for symbol in row.iter_unpack(table[:whole]) if symbol[where] == 0 and symbol[0])


def _symbol_count(linked: _Linked, size: int) -> int | None:
    """Return how many symbols the dynamic section leads to: it does not say, so the section does, or the hash table."""
    for section in linked.file.sections:
        if section.kind == _DYNSYM:
            return section.size // size
    table = linked.value(_HASH)
    head = linked.file.at(table, 8) if table is not None else b""
    return struct.unpack(f"{linked.file.order}II", head)[1] if len(head) == 8 else None  # noqa: PLR2004 - two words


def _needed_versions(linked: _Linked) -> Iterator[str]:
    """Yield `file:version` for each version of symbols that is asked of a library."""
    need = struct.Struct(linked.file.order + "HHIII")
    one = struct.Struct(linked.file.order + "IHHII")
    for place, (_, count, library, first, _) in _chain(linked, need, _VERNEED, _VERNEEDNUM):
        name, at = linked.text(library), place + first
        for _ in range(count):
            _, _, _, version, step = _unpacked(linked, one, at)
            yield f"{name}:{linked.text(version)}"
            if not step:
                break
            at += step


def _defined_versions(linked: _Linked) -> Iterator[str]:
    definition = struct.Struct(linked.file.order + "HHHHIII")
    one = struct.Struct(linked.file.order + "II")
    for place, (_, flags, _, count, _, first, _) in _chain(linked, definition, _VERDEF, _VERDEFNUM):
        if count and not flags & _NAMES_THE_FILE:
            yield linked.text(_unpacked(linked, one, place + first)[0])


def _highest_glibc(versions: Iterable[str]) -> str | None:
    """Return the highest version of glibc among versions of symbols.

    >>> _highest_glibc(["libc.so.6:GLIBC_2.4", "libc.so.6:GLIBC_2.34", "libc.so.6:GLIBC_PRIVATE"])
    '2.34'
    """
    found = [match[1] for match in map(_GLIBC.search, versions) if match]
    return max(found, key=lambda version: [int(number) for number in version.split(".")], default=None)


def _chain(linked: _Linked, row: struct.Struct, start: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (address, fields) of records that each say, in their last field, how far it is to the next."""
    place, left = linked.value(start), min(linked.value(count) or 0, _MAX_VERSIONS)
    while place is not None and left:
        fields = _unpacked(linked, row, place)
        yield place, fields
        left -= 1
        place = place + fields[-1] if fields[-1] else None


def _bounded(versions: Iterator[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(islice(versions, _MAX_VERSIONS)))
    if next(versions, None) is not None:
        raise UnreadableError(f"more than {_MAX_VERSIONS:,} versions of symbols")
    return found


def _unpacked(linked: _Linked, row: struct.Struct, place: int) -> tuple[int, ...]:
    data = linked.file.at(place, row.size)
    if len(data) < row.size:
        raise UnreadableError("its versions of symbols lie outside of what is mapped")
    return row.unpack(data)


def facts_of(evidence: bytes) -> dict[str, Any]:
    """Return what `EXTRACTOR` took out of one file as columns of `tables.Binary`, several words joined by ", "."""
    facts = json.loads(evidence)
    return {name: ", ".join(value) or None if isinstance(value, list) else value for name, value in facts.items()}


def _extract(path: str, content: bytes) -> bytes:
    del path
    try:
        facts = parse(content)
    except UnreadableError as error:
        return json.dumps({"status": "damaged", "detail": str(error)}).encode()
    return json.dumps({"status": "read"} | {name: getattr(facts, name) for name in _NAMES}).encode()


EXTRACTOR = Extractor(name=NAME, extract=_extract, extract_magic=elf.MAGIC)
