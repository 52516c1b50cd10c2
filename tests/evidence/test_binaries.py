"""Facts of ELF files: told against readelf, on what `ld` links and on every executable and library of a real image."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib import Limits, audit
from audit_lib.evidence import binaries
from audit_lib.formats import elf
from audit_lib.formats.elf import UnreadableError
from tests.elves import elf_file
from tests.images import hardlink, oci_dir, symlink

SOURCE = ".globl _start, fine\n_start: fine: .long 0\n"
needs_binutils = pytest.mark.skipif(not shutil.which("ld"), reason="binutils are not installed")
LOADER = ["--dynamic-linker", "/lib64/ld-test.so.1"]


def readelf(*paths: Path) -> Iterator[dict[str, Any]]:
    """Yield what readelf says of each file, in the words of `binaries.Facts`."""
    command = [
        "readelf",
        "--wide",
        "--file-header",
        "--segments",
        "--sections",
        "--dynamic",
        "--dyn-syms",
        "--version-info",
    ]
    told = subprocess.run([*command, *paths], check=True, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout
    parts = re.split(r"^File: .*\n", told, flags=re.MULTILINE)
    for part in parts[1:] if len(paths) > 1 else parts:
        yield _told(part)


def _told(text: str) -> dict[str, Any]:
    def all_of(expression: str) -> list[str]:
        return re.findall(expression, text, re.MULTILINE)

    def first(expression: str) -> str | None:
        return next(iter(all_of(expression)), None)

    kind = first(r"^  Type: +(\w+)")
    stack = first(r"^  GNU_STACK .* ([R ][W ][E ]) 0x")
    is_now = bool(first(r"\((?:BIND_NOW)\)|\(FLAGS\) +.*(BIND_NOW)|\(FLAGS_1\) +.*(NOW)"))
    symbols = re.findall(r"^ +\d+: [0-9a-f]+ +\S+ \w+ +\w+ +\w+ +(\w+) ([^@\s]+)", text, re.MULTILINE)
    imported = {name for where, name in symbols if where == "UND"}
    needs, offers = [], []
    library = None
    for line in text.splitlines():
        if found := re.search(r"Version: \d+  File: (\S+)  Cnt", line):
            library = found[1]
        elif found := re.search(r"  Name: (\S+)  Flags: .*  Version: \d+$", line):
            needs.append(f"{library}:{found[1]}")
        elif found := re.search(r": Rev: \d+  Flags: (\S+) +Index: \d+  Cnt: \d+  Name: (\S+)", line):
            offers += [found[2]] * (found[1] != "BASE")
    return {
        "bits": 64 if first(r"^  Class: +(ELF64)") else 32,
        "type": kind,
        "is_pie": kind == "DYN" and bool(first(r"Type: .*\((Position-Independent Executable file)\)")),
        "relro": "none" if not first(r"^  (GNU_RELRO) ") else "full" if is_now else "partial",
        "has_nx": stack is not None and "E" not in stack,
        "has_canary": bool({name for _, name in symbols} & {"__stack_chk_fail", "__stack_chk_guard"}),
        "fortified_count": len([name for name in imported if re.fullmatch(r"__\w+_chk", name) and "stack" not in name]),
        "is_stripped": not first(r"^  \[ *\d+\] \S+ +(SYMTAB) "),
        "interpreter": first(r"Requesting program interpreter: (.*)\]"),
        "soname": first(r"\(SONAME\) +Library soname: \[(.*)\]"),
        "needed": tuple(all_of(r"\(NEEDED\) +Shared library: \[(.*)\]")),
        "rpath": first(r"\(RPATH\) +Library rpath: \[(.*)\]"),
        "runpath": first(r"\(RUNPATH\) +Library runpath: \[(.*)\]"),
        "needed_versions": tuple(needs),
        "defined_versions": tuple(offers),
    }


def told_and_read(path: Path, told: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what readelf tells otherwise than `binaries.parse` reads it: (name, told, read)."""
    facts = binaries.parse(path.read_bytes())
    read = {name: getattr(facts, name) for name in told if name != "type"}
    if facts.kind == "object":
        assert told["type"] == "REL"
        return [(name, told[name], read[name]) for name in ("bits", "is_stripped") if told[name] != read[name]]
    read["is_pie"] = bool(read["is_pie"])  # missing for a library
    return [(name, told[name], found) for name, found in read.items() if told[name] != found]


def linked(folder: Path, *options: str) -> Path:
    """Return what `ld` links with these options out of a symbol without code."""
    source, made = folder / "made.s", folder / "made"
    source.write_text(SOURCE)
    subprocess.run(["as", "-o", folder / "made.o", source], check=True)
    subprocess.run(["ld", *options, "-o", made, folder / "made.o"], check=True, cwd=folder, capture_output=True)
    return made


def library(folder: Path, name: str, versions: str = "") -> str:
    """Make a shared library beside, to link with, and return its name."""
    (folder / "versions").write_text(versions)
    script = ["--version-script", str(folder / "versions")] if versions else []
    linked(folder, "-shared", "-soname", name, *script).rename(folder / name)
    return name


@needs_binutils
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-static"], {"kind": "executable", "is_static": True, "is_pie": False, "interpreter": None}),
        (["-pie", *LOADER], {"kind": "executable", "is_static": False, "is_pie": True, "interpreter": LOADER[1]}),
        (["-static", "-pie", "--no-dynamic-linker"], {"kind": "executable", "is_static": True, "is_pie": True}),
        (["-shared", "-soname", "liba.so.1"], {"kind": "shared_library", "is_pie": None, "soname": "liba.so.1"}),
        (["-r"], {"kind": "object", "relro": None, "has_nx": None, "is_stripped": False}),
        (["-pie", *LOADER, "-z", "norelro"], {"relro": "none"}),
        (["-pie", *LOADER, "-z", "relro", "-z", "lazy"], {"relro": "partial"}),
        (["-pie", *LOADER, "-z", "relro", "-z", "now"], {"relro": "full"}),
        (["-pie", *LOADER, "-z", "execstack"], {"has_nx": False}),
        (["-pie", *LOADER, "-z", "noexecstack"], {"has_nx": True}),
        (["-pie", *LOADER, "-s"], {"is_stripped": True, "has_canary": False}),
        (["-static", "-s"], {"is_stripped": True, "has_canary": None, "has_fortify": None}),
        (
            ["-pie", *LOADER, "-rpath", "$ORIGIN/lib:/opt", "--disable-new-dtags"],
            {"rpath": "$ORIGIN/lib:/opt", "runpath": None},
        ),
        (["-pie", *LOADER, "-rpath", "$ORIGIN/lib", "--enable-new-dtags"], {"rpath": None, "runpath": "$ORIGIN/lib"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_linker_was_told_is_what_is_read(tmp_path, options, expected):
    facts = binaries.parse(linked(tmp_path, *options).read_bytes())
    assert {name: getattr(facts, name) for name in expected} == expected


@needs_binutils
def test_needed_libraries_and_versions_are_read_in_the_order_of_the_file(tmp_path):
    libraries = [
        library(tmp_path, "libb.so.2"),
        library(tmp_path, "liba.so.1", "OLD_1.0 { other; }; NEW_1.10 { fine; } OLD_1.0;"),
    ]
    facts = binaries.parse((tmp_path / "liba.so.1").read_bytes())
    assert facts.defined_versions == ("OLD_1.0", "NEW_1.10")
    (tmp_path / "main.s").write_text(".globl _start\n_start: .quad fine\n.data\n.quad fine\n")
    subprocess.run(["as", "-o", "main.o", "main.s"], check=True, cwd=tmp_path)
    link = ["ld", "-pie", *LOADER, "-o", "main", "main.o", "--no-as-needed", *reversed(libraries)]
    subprocess.run(link, check=True, cwd=tmp_path, capture_output=True)
    facts = binaries.parse((tmp_path / "main").read_bytes())
    assert facts.needed == ("liba.so.1", "libb.so.2")
    assert facts.needed_versions == ("liba.so.1:NEW_1.10",)
    assert facts.needed_glibc is None


@pytest.mark.real
@needs_binutils
def test_every_executable_and_library_of_a_real_image_is_as_readelf_tells(full_image_tar, tmp_path):
    names = unpacked(full_image_tar, tmp_path)
    assert len(names) > 1000
    differing = {}
    paths = sorted(names)
    for start in range(0, len(paths), 200):
        some = paths[start : start + 200]
        for path, told in zip(some, readelf(*some), strict=True):
            differing |= {(names[path], name): (said, read) for name, said, read in told_and_read(path, told)}
    # A static executable without symbols: readelf sees no name of a canary, which does not say that there is none.
    assert differing == {
        ("./usr/sbin/ldconfig", "has_canary"): (False, None),
        ("./usr/sbin/ldconfig", "fortified_count"): (0, None),
    }


def unpacked(tar: Path, folder: Path) -> dict[Path, str]:
    """Write every ELF file of a tar into a folder and return where each is, with its name."""
    names = {}
    with tarfile.open(tar) as archive:
        for number, member in enumerate(archive):
            data = archive.extractfile(member) if member.isreg() else None
            if data is not None and (head := data.read(4)) == elf.MAGIC:
                path = folder / f"{number:06}"
                path.write_bytes(head + data.read())
                names[path] = member.name
    return names


SMALL = elf_file({".text": b"code", ".symtab": b""})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x7fELF", "no whole ELF header"),
        (b"\x7fELF" + bytes(100), "nothing but zero bytes"),
        (b"\x7fELF\2\1" + bytes(20), "no whole ELF header"),
        (SMALL[:200], "cut: a segment ends at byte"),
        (SMALL[:70], "without segments that a loader could map"),
    ],
)
def test_a_file_that_is_cut_says_where(data, problem):
    with pytest.raises(UnreadableError, match=problem):
        binaries.parse(data)


def test_a_file_without_its_table_of_sections_has_unknown_symbols_not_none():
    facts = binaries.parse(SMALL[: len(SMALL) - 10])
    assert facts.is_stripped is None
    assert facts.detail.startswith("its table of sections is not where the header says")


def test_a_stack_that_is_not_mentioned_is_not_protected():
    facts = binaries.parse(SMALL)
    assert facts.has_nx is False
    assert facts.detail == "no PT_GNU_STACK: whether its stack is executable is left to the kernel"


def loadable(tags: Sequence[tuple[int, int]], data: bytes) -> bytes:
    """Return a library mapped at 0 in one segment: headers, `data` from byte 176 on, and a dynamic section of these tags."""
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    end = 176 + len(data)
    whole = end + len(dynamic)
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, whole, whole, 1)
    return head + load + struct.pack("<IIQQQQQQ", 2, 4, end, end, end, len(dynamic), len(dynamic), 8) + data + dynamic


TEXTS = b"\0libc.so.6\0GLIBC_2.34\0"
TEXT_TAGS = [(5, 176), (10, len(TEXTS))]


def needs(*records: bytes) -> bytes:
    """Return a library that holds these records of versions behind its texts."""
    return loadable([*TEXT_TAGS, (0x6FFFFFFE, 176 + len(TEXTS)), (0x6FFFFFFF, 2**40)], TEXTS + b"".join(records))


def test_a_version_of_glibc_is_read():
    record = struct.pack("<HHIII", 1, 1, 1, 16, 0) + struct.pack("<IHHII", 0, 0, 2, 11, 0)
    facts = binaries.parse(needs(record))
    assert (facts.needed_versions, facts.needed_glibc) == (("libc.so.6:GLIBC_2.34",), "2.34")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (loadable([(1, 10**9), *TEXT_TAGS], TEXTS), "text 1000000000 of the dynamic section has no end"),
        (loadable([(14, 11), (5, 176), (10, 20)], TEXTS), "text 11 of the dynamic section has no end"),
        (loadable([(5, 176), (10, 10**12)], TEXTS), "outside of what is mapped"),
        (loadable([(1, 0)] * 10_001, b""), "dynamic section has no end"),
        (needs(struct.pack("<HHIII", 1, 1, 1, 2**32 - 1, 0)), "versions of symbols lie outside"),
        (needs(struct.pack("<HHIII", 1, 0, 1, 16, 2**20)), "versions of symbols lie outside"),
    ],
    ids=["name", "cut name", "texts", "dynamic", "first version", "next version"],
)
def test_a_dynamic_section_that_cannot_be_says_why(data, problem):
    with pytest.raises(UnreadableError, match=problem):
        binaries.parse(data)


def test_sixty_thousand_versions_are_refused_in_no_time():
    one = struct.pack("<IHHII", 0, 0, 2, 11, 16)
    names = bytes(range(65, 91)) * 12 + b"\0"
    many = b"".join(struct.pack("<IHHII", 0, 0, 2, number % 300, 16) for number in range(60_000))
    data = loadable(
        [(5, 176), (10, len(names)), (0x6FFFFFFE, 176 + len(names)), (0x6FFFFFFF, 2**40)],
        names + struct.pack("<HHIII", 1, 65535, 0, 16, 16) + one + many,
    )
    start = time.perf_counter()
    with pytest.raises(UnreadableError, match="more than 5,000 versions"):
        binaries.parse(data)
    assert time.perf_counter() - start < 1


@cache
def real_file() -> bytes:
    found = shutil.which("true")
    assert found is not None
    return Path(found).resolve().read_bytes()


NUMBERS = [0, 1, 2, 3, 7, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1]


@settings(max_examples=300, deadline=1000)
@given(
    st.lists(st.tuples(st.integers(0, 2**16), st.sampled_from([1, 2, 4, 8]), st.sampled_from(NUMBERS)), max_size=6),
    st.none() | st.integers(0, 2**16),
)
def test_a_real_file_that_was_tampered_with_gives_facts_or_a_damaged_row(edits, length):
    data = bytearray(real_file())
    tables = [place for place, _ in _interesting()]
    for choice, width, number in edits:
        # Half of the edits strike what the reader looks at: headers, dynamic section, symbols, versions.
        place = tables[choice // 2 % len(tables)] if choice % 2 else choice % (len(data) - 8)
        data[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
    found = json.loads(binaries._extract("true", bytes(data[:length])))
    assert found["status"] in {"read", "damaged"}
    assert found["status"] == "read" or found["detail"]


@cache
def _interesting() -> list[tuple[int, int]]:
    """Return every eighth place of the parts that are read."""
    file = elf.parse(real_file())
    assert file is not None
    names = {".dynamic", ".dynsym", ".dynstr", ".gnu.version_r", ".gnu.hash", ".interp"}
    parts = [(0, 64 + 56 * len(file.segments))]
    parts += [(section.offset, section.size) for section in file.sections if section.name in names]
    return [(place, 8) for start, size in parts for place in range(start, start + size, 4)]


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_magic_number_give_facts_or_a_damaged_row(data):
    found = json.loads(binaries._extract("x", elf.MAGIC + data))
    assert found["status"] in {"read", "damaged"}


def test_each_elf_file_of_an_image_has_one_row_under_its_first_name(tmp_path):
    status = "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
    layer = {
        "var/lib/dpkg/status": status,
        "var/lib/dpkg/info/tool.list": "/usr/bin/tool\n",
        "usr/bin/tool": SMALL,
        "usr/bin/alias": hardlink("usr/bin/tool"),
        "usr/bin/link": symlink("tool"),
        "opt/cut": SMALL[:200],
        "opt/large": SMALL + bytes(1000),
        "opt/script": "#!/bin/sh\n",
    }
    oci_dir(tmp_path, layers=[layer])
    found = audit(f"oci-dir:{tmp_path}", limits=Limits(examined_bytes=len(SMALL)))
    rows = found.binaries[["path", "package", "status", "kind"]].astype(object).fillna("-").to_numpy().tolist()
    assert rows == [
        ["/opt/cut", "-", "damaged", "-"],
        ["/opt/large", "-", "not_examined", "-"],
        ["/usr/bin/alias", "tool", "read", "executable"],
    ]
    assert found.gaps[-1].endswith(
        "2 of 3 ELF files could not be read: what they need and how they were hardened is unknown (see binaries)"
    )
