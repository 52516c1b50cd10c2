"""ELF headers, told against readelf, and files that lie about themselves."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.formats import elf
from audit_lib.formats.elf import UnreadableError
from tests.elves import BASE, FIRST, Part, elf_file

KINDS = [(64, "<"), (64, ">"), (32, "<"), (32, ">")]
MANY = 0x10000


def contents(file: bytes, name: str, limit: int = 1000) -> bytes:
    taken = elf.parse(file)
    assert taken is not None
    section = taken.section(name)
    assert section is not None
    return taken.contents(section, limit=limit)


@pytest.mark.parametrize(("bits", "order"), KINDS)
def test_sections_are_found_by_name_in_every_class_and_byte_order(bits, order):
    file = elf_file({".one": b"first", ".two": b"second"}, bits=bits, order=order)
    assert contents(file, ".two") == b"second"


@pytest.mark.parametrize(("bits", "order"), KINDS)
def test_an_address_is_read_through_the_segments(bits, order):
    taken = elf.parse(elf_file({".data": b"0123456789"}, bits=bits, order=order, stripped=True))
    assert taken is not None
    assert taken.sections == ()
    assert taken.at(BASE + FIRST + 3, 4) == b"3456"
    assert taken.at(BASE - 1, 4) == b""


def test_a_read_ends_where_the_segment_ends():
    file = elf_file({".data": b"0123456789"}, stripped=True)
    taken = elf.parse(file)
    assert taken is not None
    assert taken.at(BASE + len(file) - 2, 100) == file[-2:]
    assert taken.at(BASE + len(file), 1) == b""


def test_bss_holds_nothing_in_the_file():
    file = elf_file({".bss": Part(b"x" * 500, nobits=True), ".data": b"data"})
    assert contents(file, ".bss") == b""
    assert contents(file, ".data") == b"data"


@pytest.mark.parametrize(("bits", "order"), KINDS)
def test_a_compressed_section_is_inflated(bits, order):
    header = struct.pack(order + ("IIQQ" if bits == 64 else "III"), *((1, 0, 500, 1) if bits == 64 else (1, 500, 1)))
    stored = Part(header + zlib.compress(b"text " * 100), flags=0x800)
    assert contents(elf_file({".debug": stored}, bits=bits, order=order), ".debug") == b"text " * 100


def test_a_compressed_section_larger_than_the_limit_is_not_inflated_whole():
    stored = Part(struct.pack("<IIQQ", 1, 0, 1, 1) + zlib.compress(bytes(1001)), flags=0x800)
    with pytest.raises(UnreadableError, match=r"section \.bomb becomes larger than 1,000 bytes"):
        contents(elf_file({".bomb": stored}), ".bomb")


def test_a_compressed_section_of_exactly_the_limit_is_inflated():
    stored = Part(struct.pack("<IIQQ", 1, 0, 1, 1) + zlib.compress(bytes(1000)), flags=0x800)
    assert contents(elf_file({".data": stored}), ".data") == bytes(1000)


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        (b"\1\0", "too short for the header"),
        (struct.pack("<IIQQ", 2, 0, 1, 1) + b"zstd", r"method 2, expected 1 \(zlib\)"),
        (struct.pack("<IIQQ", 1, 0, 1, 1) + b"not zlib", "cannot be inflated"),
        (struct.pack("<IIQQ", 1, 0, 1, 1) + zlib.compress(b"text")[:-3], "is cut"),
    ],
)
def test_compression_that_cannot_be_undone_says_why(stored, problem):
    with pytest.raises(UnreadableError, match=problem):
        contents(elf_file({".debug": Part(stored, flags=0x800)}), ".debug")


def test_a_section_past_the_end_of_the_file_says_so():
    file = bytearray(elf_file({".data": b"data"}))
    row = len(file) - 2 * 64  # the first of the last two rows of the section table
    struct.pack_into("<Q", file, row + 32, 10**9)
    with pytest.raises(UnreadableError, match="past the file's end"):
        contents(bytes(file), ".data", limit=10**10)


def test_a_section_larger_than_the_limit_says_so():
    with pytest.raises(UnreadableError, match="has 11 bytes, limit 10"):
        contents(elf_file({".data": b"0123456789!"}), ".data", limit=10)


def test_counts_that_do_not_fit_stand_in_the_first_section_header():
    file = bytearray(elf_file({".data": b"data"}))
    table = struct.unpack_from("<Q", file, 40)[0]
    count, names = struct.unpack_from("<HH", file, 60)
    struct.pack_into("<HH", file, 60, 0, 0xFFFF)
    struct.pack_into("<QI", file, table + 32, count, names)
    assert contents(bytes(file), ".data") == b"data"


def test_a_table_that_claims_more_rows_than_fit_reads_as_none():
    file = bytearray(elf_file({".data": b"data"}))
    struct.pack_into("<H", file, 60, 60000)
    taken = elf.parse(bytes(file))
    assert taken is not None
    assert taken.sections == ()


def test_a_name_without_an_end_is_cut_not_copied_whole():
    file = bytearray(elf_file({".data": b"x" * MANY}))
    row = len(file) - 2 * 64
    names = struct.unpack_from("<Q", file, row + 64 + 24)[0]
    struct.pack_into("<I", file, row, (FIRST - names) % 2**32)
    struct.pack_into("<Q", file, row + 64 + 24, 0)
    struct.pack_into("<I", file, row, FIRST)
    taken = elf.parse(bytes(file))
    assert taken is not None
    assert max(len(section.name) for section in taken.sections) == 255


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n" * 10, elf_file({})[:40], b"\x7fELF\3\1" + bytes(90)])
def test_what_has_no_whole_header_is_no_elf(data):
    assert elf.parse(data) is None


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_magic_are_taken_apart_or_none(data):
    taken = elf.parse(elf.MAGIC + data)
    assert taken is None or len(taken.sections) < MANY


@given(st.data(), st.sampled_from(KINDS))
def test_any_damage_to_the_tables_gives_sections_or_one_named_error(data, kind):
    bits, order = kind
    whole = bytearray(elf_file({".a": b"0123456789", ".b": Part(b"text", flags=0x802)}, bits=bits, order=order))
    places = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, min_size=1, max_size=8)):
        whole[place] = value
    taken = elf.parse(bytes(whole))
    for section in taken.sections if taken else ():
        try:
            assert len(taken.contents(section, limit=1000)) <= 1000
        except UnreadableError:
            continue
    for segment in taken.segments if taken else ():
        assert len(taken.at(segment.address, 100)) <= 100


def real_files() -> list[Path]:
    named = [sys.executable, shutil.which("true"), shutil.which("readelf"), shutil.which("ruff")]
    paths = [Path(name).resolve() for name in named if name]
    return [path for path in paths if path.read_bytes()[:4] == elf.MAGIC]


@pytest.mark.skipif(not shutil.which("readelf"), reason="readelf is not installed")
@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_real_files_have_the_sections_and_segments_that_readelf_shows(path):
    told = subprocess.run(
        ["readelf", "--wide", "--sections", "--segments", path], check=True, capture_output=True, text=True
    ).stdout
    sections = re.findall(r"^ +\[ *\d+\] (\S*) +([A-Z]\w+) +([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ", told, re.MULTILINE)
    segments = re.findall(r"^ +(LOAD) +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) ", told, re.MULTILINE)
    taken = elf.parse(path.read_bytes())
    assert taken is not None
    assert len(sections) > 10
    assert [(part.name, part.address, part.offset, part.size) for part in taken.sections[1:]] == [
        (name, int(address, 16), int(offset, 16), 0 if kind == "NOBITS" else int(size, 16))
        for name, kind, address, offset, size in sections
        if kind != "NULL"
    ]
    assert [(part.offset, part.address, part.size) for part in taken.segments if part.kind == elf.LOAD] == [
        (int(offset, 16), int(address, 16), int(size, 16)) for _, offset, address, size in segments
    ]


@pytest.mark.skipif(not shutil.which("readelf"), reason="readelf is not installed")
@pytest.mark.parametrize(("bits", "order"), KINDS)
def test_the_files_of_these_tests_are_elf_files_to_readelf_too(bits, order, tmp_path):
    made = tmp_path / "made"
    made.write_bytes(elf_file({".go.buildinfo": b"text"}, bits=bits, order=order))
    told = subprocess.run(["readelf", "-SW", made], check=True, capture_output=True, text=True)
    assert re.search(rf"\[ 1\] \.go\.buildinfo +PROGBITS +0*{BASE + FIRST:x} 0*{FIRST:x} 0*4 ", told.stdout)
    assert told.stderr == ""
