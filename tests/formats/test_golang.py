"""golang: build information of Go executables, told against Syft on real ones and by files that lie."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import golang
from audit_lib.formats.base import Found
from tests.elves import BASE, elf_file
from tests.formats.tree import DictTree
from tests.syft import syft_packages, syft_path
from tests.tools import tool

INFO = (
    "path\texample.org/app/cmd/app\n"
    "mod\texample.org/app\tv1.4.0\th1:x=\n"
    "dep\tgithub.com/a/b\tv0.9.1\th1:y=\n"
    "dep\tgithub.com/old/c\tv1.0.0\n"
    "=>\tgithub.com/new/c\tv1.0.1\th1:z=\n"
    "dep\tgithub.com/d/d\tv2.0.0\n"
    "=>\t./local\t(devel)\n"
    "build\t-compiler=gc\n"
)
SENTINEL = bytes(range(16))


def length(count: int) -> bytes:
    done = b""
    while count > 0x7F:
        done += bytes([count & 0x7F | 0x80])
        count >>= 7
    return done + bytes([count])


def in_line(info: str = INFO, version: str = "go1.21.5") -> bytes:
    """Return the linker's block as Go 1.18 and later write it."""
    text = SENTINEL + info.encode() + SENTINEL if info else b""
    head = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16)
    return head + length(len(version)) + version.encode() + length(len(text)) + text


def binary(block: bytes, **facts) -> bytes:
    return elf_file({".text": b"code", ".go.buildinfo": block}, **facts)


def packages(content: bytes, path: str = "usr/bin/app") -> list[Found]:
    evidence = golang.FORMAT.extract(path, content)
    assert evidence is not None
    return list(golang.FORMAT.read(DictTree({}, {"golang": {path: evidence}}), path))


def versions(content: bytes) -> dict[str, str | None]:
    return {found.name: found.version for found in packages(content)}


EXPECTED = {
    "example.org/app": "v1.4.0",
    "github.com/a/b": "v0.9.1",
    "github.com/new/c": "v1.0.1",
    "github.com/d/d": None,
    "stdlib": "go1.21.5",
}


def test_main_module_dependencies_replacements_and_the_standard_library():
    assert versions(binary(in_line())) == EXPECTED


def test_a_replacement_says_what_it_replaces():
    details = {found.name: found.detail for found in packages(binary(in_line())) if found.detail}
    assert details == {
        "github.com/new/c": "replaces github.com/old/c v1.0.0",
        "github.com/d/d": "replaces github.com/d/d v2.0.0 by the folder ./local",
    }


def test_a_stripped_binary_is_searched_in_its_writable_segment():
    assert versions(binary(in_line(), stripped=True)) == EXPECTED


@pytest.mark.parametrize(("bits", "order"), [(64, "<"), (64, ">"), (32, "<"), (32, ">")])
def test_pointers_as_go_before_1_18_wrote_them(bits, order):
    """Two pointers to Go strings, each a pointer and a length, in the byte order of the machine."""
    word = "Q" if bits == 64 else "I"
    width = struct.calcsize(word)
    text = SENTINEL + INFO.encode() + SENTINEL
    start = BASE + 0x100  # where the first section is mapped
    strings = start + 32  # right behind the block's header
    texts = strings + 4 * width
    header = b"\xff Go buildinf:" + bytes([width, 1 if order == ">" else 0])
    header += struct.pack(f"{order}2{word}", strings, strings + 2 * width).ljust(16, b"\0")
    body = struct.pack(f"{order}4{word}", texts, 8, texts + 8, len(text)) + b"go1.16.7" + text
    file = elf_file({".go.buildinfo": header + body}, bits=bits, order=order)
    assert versions(file) == EXPECTED | {"stdlib": "go1.16.7"}


def test_a_binary_that_states_no_module_has_the_standard_library():
    assert versions(binary(in_line(info=""))) == {"stdlib": "go1.21.5"}


def test_a_version_given_to_the_linker_stands_for_devel():
    info = 'path\tx.org/a\nmod\tx.org/a\t(devel)\nbuild\t-ldflags="-s -w -X main.version=2.3.4"\n'
    content = binary(in_line(info))
    assert versions(content)["x.org/a"] == "v2.3.4"
    told = "its version is not stated as such: told by the linker's settings, a constant or the commit"
    assert [found.detail for found in packages(content)] == [None, told]


def test_an_executable_that_is_not_go_is_nothing():
    assert golang.FORMAT.extract("bin/x", elf_file({".text": b"code"})) is None
    assert golang.FORMAT.extract("bin/x", b"#!/bin/sh\n") is None


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (b"nothing of the kind".ljust(64), "section .go.buildinfo without Go's build information"),
        (in_line()[:20], "Go's build information is cut within its header"),
        (in_line()[:60], "Go's build information claims a text of"),
        (in_line(info="", version=""), "a Go executable whose build information was blanked out"),
        (in_line(info="=>\tx\tv1\n"), "a replacement ('=>') of no module"),
        (in_line(info="dep\t\tv1\n"), "a module without a path"),
    ],
)
def test_what_is_cut_or_blanked_is_damaged_and_says_so(block, problem):
    with pytest.raises(DamagedDatabaseError) as caught:
        golang.FORMAT.extract("bin/x", elf_file({".text": b"code", ".go.buildinfo": block})[:None])
    assert caught.value.problem.startswith(problem)


def test_all_modules_weigh_together_what_the_main_one_weighs():
    evidence = golang.FORMAT.extract("bin/x", binary(in_line()))
    tree = DictTree({}, {"golang": {"bin/x": evidence}})
    owned = {found.name: golang.FORMAT.files(tree, found) for found in golang.FORMAT.read(tree, "bin/x")}
    assert owned.pop("example.org/app") == ["bin/x"]
    assert set(map(str, owned.values())) == {"None"}


@pytest.mark.parametrize(
    ("name", "package"),
    [("skopeo", "skopeo"), ("podman", "podman"), ("dockerd", "docker.io"), ("containerd", "containerd")],
)
def test_real_executables_hold_what_syft_finds_in_them(name, package, tmp_path: Path):
    shutil.copy(tool(name, package), tmp_path / name)
    expected = syft_packages(f"dir:{tmp_path}", "go-module-binary-cataloger")
    ours = {(one.name, one.version, name) for one in packages((tmp_path / name).read_bytes(), name)}
    assert expected
    assert expected - ours == set()


def test_a_program_of_many_modules_holds_what_syft_finds_in_it(tmp_path: Path):
    """Syft itself is one: hundreds of modules, stripped of its symbols."""
    shutil.copy(syft_path(), tmp_path / "program")
    expected = syft_packages(f"dir:{tmp_path}", "go-module-binary-cataloger")
    ours = {(one.name, one.version, "program") for one in packages((tmp_path / "program").read_bytes(), "program")}
    assert len(expected) > 150
    assert expected - ours == set()


@given(st.binary(max_size=200), st.sampled_from(["data", "block", "info", "cut"]), st.integers(0, 400))
def test_any_bytes_give_evidence_none_or_the_named_error(data, where, cut):
    content = {
        "data": b"\x7fELF" + data,
        "block": binary(in_line()[:32] + data),
        "info": binary(in_line(info=data.decode("latin-1"))),
        "cut": binary(in_line())[:cut] + data,
    }[where]
    try:
        evidence = golang.FORMAT.extract("bin/x", content)
    except DamagedDatabaseError:
        return
    if evidence is not None:
        assert json.loads(evidence)["go"]
        list(golang.FORMAT.read(DictTree({}, {"golang": {"bin/x": evidence}}), "bin/x"))
