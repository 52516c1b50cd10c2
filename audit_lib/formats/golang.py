"""golang, the modules that a Go executable was built from: the build information that Go's linker leaves in it.

Sources: Go's documentation of `debug/buildinfo` and `runtime/debug.BuildInfo` (the text of path, mod, dep, =>, build lines)
and of the linker's block: sixteen-aligned magic, pointer form up to Go 1.17, strings in line from Go 1.18. Go modules
reference, "Pseudo-versions".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import elf
from audit_lib.formats.base import Broken, Format, Found, Tree

_MAGIC = b"\xff Go buildinf:"
_SECTION = ".go.buildinfo"
_ALIGNMENT = 16
_HEADER = 32
_BIG_ENDIAN, _IN_LINE = 1, 2
_MAX_VERSION = 256
_MAX_INFO = 4 * 1024**2
# Sixteen bytes before and after the text let a running program find it; they are no part of it.
_SENTINEL = 16
_UNSTATED = {"", "(devel)"}
# Where constants are: what the linker's -X option sets is the one kind of Go string that ends in a NUL.
_CONSTANTS = (".rodata", ".data.rel.ro", ".noptrdata", ".data")
_TAIL = re.compile(rb"\.\d{1,9}\.\d{1,9}[-\w]{0,64}(?:\+[+\w]{0,63})?\0")
# Sections and segments of a linker do not overlap; thousands that do, in a hostile file, would be searched for hours.
_MAX_OVERLAP = 2
_HEAD = re.compile(rb"(?:\A|[\0\x80-\xff])(?:[^\n]L)?(v?\d{1,9})\Z")
_SET_BY_LINKER = re.compile(r"-X[ =]['\"]?[^\s=]*?\.(\w+)=(\S*)")
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+[-+.\w]*)")
_NAMES = (r"(?i:(release|git|build)*ver(sion)?)", r"\w*[vV]er(sion)?", r"\w*[tT]ag")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class Module:
    """A module as the linker recorded it: the one that was built in, where another replaced it. None is "not stated".

    `detail` says what it replaces.
    """

    path: str
    version: str | None
    detail: str | None = None


@dataclass(slots=True)
class BuildInfo:
    """What one executable was built from. `main` is None where not even the package's path is stated."""

    main: Module | None = None
    modules: list[Module] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


def parse(info: str, path: str) -> BuildInfo:
    r"""Return the modules and settings in the text of a build information.

    A module replaced by another counts as that other; one replaced by a local folder keeps its name and has no version,
    since what lay in that folder is not known. Raises `DamagedDatabaseError` with the line where a module has no path.

    >>> parse("path\ta.org/x/cmd\nmod\ta.org/x\tv1.2.3\th1:…\ndep\tb.org/y\tv2.0.0\n", "bin/x").modules
    [Module(path='b.org/y', version='v2.0.0', detail=None)]
    """
    found = BuildInfo()
    for number, line in enumerate(info.split("\n"), start=1):
        kind, _, rest = line.partition("\t")
        if kind == "path" and found.main is None:
            found.main = Module(rest, None)
        elif kind == "mod":
            found.main = _module(rest, path, number)
        elif kind == "dep":
            found.modules.append(_module(rest, path, number))
        elif kind == "=>":
            if not found.modules:
                raise DamagedDatabaseError(path, number, "a replacement ('=>') of no module")
            other = _module(rest, path, number)
            replaced = found.modules[-1]
            named = " ".join(filter(None, (replaced.path, replaced.version)))
            is_local = other.path.startswith((".", "/"))
            found.modules[-1] = (
                Module(replaced.path, None, f"replaces {named} by the folder {other.path}")
                if is_local
                else replace(other, detail=f"replaces {named}")
            )
        elif kind == "build":
            key, _, value = rest.partition("=")
            found.settings[key] = _unquoted(value)
    return found


def main_version(settings: Mapping[str, str], set_by_linker: str | None) -> str | None:
    """Return the main module's version where its `mod` line states none, else None.

    In this order: a version given with `-ldflags "-X …Version=…"`; `set_by_linker`, a version found among the constants;
    the pseudo-version of the commit. All begin with "v", as Go's versions do.

    >>> main_version({"-ldflags": "-s -X main.version=1.2.3"}, None)
    'v1.2.3'
    >>> main_version({"vcs.revision": "41bc6bb410352845f22766e27dd48ba93aa825a4", "vcs.time": "2022-10-14T19:54:57Z"}, None)
    'v0.0.0-20221014195457-41bc6bb41035'
    """
    given = _SET_BY_LINKER.findall(settings.get("-ldflags", ""))
    for names in _NAMES:
        for name, value in given:
            stated = _VERSION.match(value.strip("'\"").rpartition("/")[2])
            if stated and re.fullmatch(names, name):
                return f"v{stated[1]}"
    if set_by_linker:
        return f"v{set_by_linker.removeprefix('v')}"
    revision, time = settings.get("vcs.revision"), _TIME.fullmatch(settings.get("vcs.time", ""))
    return f"v0.0.0-{''.join(time.groups())}-{revision[:12]}" if revision and time else None


def _module(text: str, path: str, line: int) -> Module:
    name, _, rest = text.partition("\t")
    if not name:
        raise DamagedDatabaseError(path, line, f"a module without a path: {text[:60]!r}")
    version = rest.partition("\t")[0]
    return Module(name, None if version in _UNSTATED else version)


def _unquoted(value: str) -> str:
    """Return a setting's value as it was given; Go quotes one with spaces."""
    if value.startswith("`") and value.endswith("`"):
        return value.strip("`")
    try:
        text = json.loads(value) if value.startswith('"') else value
    except ValueError:  # Go's quoting has escapes that JSON's does not know
        return value
    return str(text)


def _extract(path: str, content: bytes) -> bytes | None:
    """Return the build information of a Go executable as JSON: `go`, `info`, `constant`; None for what is none."""
    executable = elf.parse(content)
    if executable is None:
        return None
    stated = executable.section(_SECTION)
    block = _block(executable, stated, path)
    if block is None:
        if stated is None:
            return None
        raise DamagedDatabaseError(
            path, None, f"section {_SECTION} without Go's build information; expected {_MAGIC!r}"
        )
    header = block[:_HEADER]
    if len(header) < _HEADER:
        raise DamagedDatabaseError(path, None, "Go's build information is cut within its header")
    if header[15] & _IN_LINE:
        version, after = _in_line(block, _HEADER, _MAX_VERSION, path)
        info, _ = _in_line(block, after, _MAX_INFO, path)
    else:
        version = _pointed(executable, header, 0, _MAX_VERSION, path)
        info = _pointed(executable, header, 1, _MAX_INFO, path)
    if not version:
        raise DamagedDatabaseError(path, None, "a Go executable whose build information was blanked out")
    info = info[_SENTINEL:-_SENTINEL] if info[-_SENTINEL - 1 : -_SENTINEL] == b"\n" else b""
    text = info.decode("utf-8", "replace")
    found = parse(text, path)
    needs_version = found.main is not None and found.main.version is None
    evidence = {
        "go": version.decode("utf-8", "replace"),
        "info": text,
        "constant": _constant(executable, path) if needs_version else None,
    }
    return json.dumps(evidence, sort_keys=True).encode()


def _block(executable: elf.Elf, section: elf.Section | None, path: str) -> bytes | None:
    """Return what begins with the linker's block: of its section, or of the writable data of a stripped file."""
    parts: Sequence[elf.Section | elf.Segment] = (
        [section]
        if section
        else [
            segment
            for segment in executable.segments
            if segment.kind == elf.LOAD and segment.flags & (elf.WRITABLE | elf.EXECUTABLE) == elf.WRITABLE
        ]
    )
    for part in _searchable(executable, parts, path):
        place = executable.data.find(_MAGIC, part.offset, part.offset + part.size)
        while place >= 0:
            if (place - part.offset + part.address) % _ALIGNMENT == 0:
                return executable.data[place : part.offset + part.size]
            place = executable.data.find(_MAGIC, place + 1, part.offset + part.size)
    return None


def _searchable(
    executable: elf.Elf, parts: Sequence[elf.Section | elf.Segment], path: str
) -> Sequence[elf.Section | elf.Segment]:
    whole = len(executable.data)
    if sum(max(min(part.size, whole - part.offset), 0) for part in parts) > _MAX_OVERLAP * whole:
        raise DamagedDatabaseError(path, None, f"{len(parts):,} parts of an executable that overlap: not looked into")
    return parts


def _in_line(block: bytes, place: int, limit: int, path: str) -> tuple[bytes, int]:
    """Return a text with its length before it (seven bits a byte, lowest first), and where the next one begins."""
    length = shift = 0
    for byte in block[place : place + 5]:
        place += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return _checked(block[place : place + min(length, limit)], length, limit, path), place + length


def _pointed(executable: elf.Elf, header: bytes, number: int, limit: int, path: str) -> bytes:
    """Return the text behind the first or second pointer: each leads to a Go string, that is a pointer and a length."""
    width, order = header[14], "big" if header[15] & _BIG_ENDIAN else "little"
    if width not in {4, 8}:
        raise DamagedDatabaseError(path, None, f"Go's build information has pointers of {width} bytes; expected 4 or 8")
    pointer = header[16 + number * width : 16 + (number + 1) * width]
    string = executable.at(_number(pointer, order), 2 * width)
    length = _number(string[width:], order)
    return _checked(executable.at(_number(string[:width], order), min(length, limit)), length, limit, path)


def _number(data: bytes, order: str) -> int:
    return int.from_bytes(data, "big" if order == "big" else "little")


def _checked(data: bytes, length: int, limit: int, path: str) -> bytes:
    if length > limit or len(data) < length:
        raise DamagedDatabaseError(
            path,
            None,
            f"Go's build information claims a text of {length:,} bytes, {len(data):,} are there, limit {limit:,}",
        )
    return data


def _constant(executable: elf.Elf, path: str) -> str | None:
    """Return the first version among the constants that ends in a NUL, None where there is none."""
    named = [section for section in executable.sections if section.name in _CONSTANTS]
    parts: Sequence[elf.Section | elf.Segment] = named or [
        part for part in executable.segments if part.kind == elf.LOAD
    ]
    for part in sorted(_searchable(executable, parts, path), key=lambda part: part.offset):
        for tail in _TAIL.finditer(executable.data, part.offset, part.offset + part.size):
            before = executable.data[max(part.offset, tail.start() - 14) : tail.start()]
            head = _HEAD.search(before)
            if head:
                return (head[1] + tail[0][:-1]).decode("ascii")
    return None


def _places(tree: Tree) -> Sequence[str]:
    return list(tree.evidence(FORMAT.name))


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    evidence = json.loads(tree.evidence(FORMAT.name)[place])
    found = parse(evidence["info"], place)
    modules = list(found.modules)
    if found.main is not None:
        version = found.main.version or main_version(found.settings, evidence["constant"])
        guessed = version is not None and found.main.version is None
        detail = "its version is not stated as such: told by the linker's settings, a constant or the commit"
        modules.append(Module(found.main.path, version, detail if guessed else None))
    release = re.search(r"go\d\S*", evidence["go"])
    modules.append(Module("stdlib", release[0] if release else None))
    for module in sorted(modules, key=lambda module: (module.path, module.version or "")):
        folder = module.path.rpartition("/")[0]
        yield Found(
            name=module.path, version=module.version, path=place, namespace=folder or None, detail=module.detail
        )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    # All modules of an executable weigh what it weighs, together: the main one stands for them.
    main = _main_path(tree.evidence(FORMAT.name).get(found.path, b"{}"))
    return [found.path] if found.name == main else None


@lru_cache(maxsize=1)
def _main_path(evidence: bytes) -> str | None:
    main = parse(json.loads(evidence).get("info", ""), "").main
    return main.path if main else None


FORMAT = Format(
    name="golang",
    globs=(),
    expected=(),
    places=_places,
    read=_read,
    files=_files,
    extract=_extract,
    extract_magic=elf.MAGIC,
)
