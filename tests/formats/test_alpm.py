"""alpm: pacman's local database, a folder a package. The texts are those that pacman 6 writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import alpm
from audit_lib.formats.base import Broken, Found
from tests.formats.tree import DictTree

LOCAL = "var/lib/pacman/local"
VERSION = {f"{LOCAL}/ALPM_DB_VERSION": b"9\n"}
DESC = b"""%NAME%
libgcc

%VERSION%
1:14.2.1+r134-1

%BASE%
gcc

%ARCH%
x86_64

%SIZE%
912345

%LICENSE%
GPL-3.0-with-GCC-exception
GFDL-1.3-or-later

%VALIDATION%
pgp

"""
FILES = b"%FILES%\nusr/\nusr/lib/\nusr/lib/libgcc_s.so.1\n\n%BACKUP%\netc/x.conf\td41d8cd98f00b204e9800998ecf8427e\n\n"
FOLDER = f"{LOCAL}/libgcc-1:14.2.1+r134-1"
ONE = VERSION | {f"{FOLDER}/desc": DESC, f"{FOLDER}/files": FILES}


def read(files: dict[str, bytes]) -> list[Found | Broken]:
    return list(alpm.FORMAT.read(DictTree(files), LOCAL))


def test_an_installed_package_with_base_size_and_licences():
    assert read(ONE) == [
        Found(
            name="libgcc",
            version="1:14.2.1+r134-1",
            path=f"{FOLDER}/desc",
            architecture="x86_64",
            source_name="gcc",
            source_version="1:14.2.1+r134-1",
            licenses=("GPL-3.0-with-GCC-exception", "GFDL-1.3-or-later"),
            installed_size_bytes=912345,
        )
    ]


def test_folders_are_used_and_files_are_owned():
    tree = DictTree(ONE)
    assert alpm.FORMAT.files(tree, read(ONE)[0]) == ["usr/lib/libgcc_s.so.1"]


def test_a_package_without_a_list_does_not_say_what_it_owns():
    tree = DictTree(VERSION | {f"{FOLDER}/desc": DESC})
    assert alpm.FORMAT.files(tree, read(ONE)[0]) is None


def test_an_empty_database_is_there_and_holds_nothing():
    assert alpm.FORMAT.places(DictTree(VERSION)) == [LOCAL]
    assert read(VERSION) == []


def test_no_database_is_no_place():
    assert alpm.FORMAT.places(DictTree({"etc/pacman.conf": b""})) == []


@pytest.mark.parametrize(
    ("desc", "problem"),
    [
        (DESC[:-30], "the file ends within a block; was it cut?"),
        (b"", "no %NAME%; expected one"),
        (b"%NAME%\nx\n\n", "no %VERSION%; expected one"),
        (b"%NAME%\n\n%VERSION%\n1\n\n", "no %NAME%; expected one"),
        (b"NAME\nx\n\n", "expected a header like %NAME%, found 'NAME'"),
        (b"%NAME%\nx\n\n%NAME%\ny\n\n", "%NAME% twice"),
        (b"%NAME%\nx\0\n\n", "a NUL byte; expected text"),
    ],
)
def test_one_damaged_package_is_named_and_its_neighbours_are_read(desc, problem):
    broken = {f"{LOCAL}/bad-1/desc": desc}
    found = read(ONE | broken)
    assert Broken(f"{LOCAL}/bad-1/desc", problem) in found
    assert len(found) == 2


def test_a_deleted_description_is_told_by_the_list_beside_it():
    assert read(VERSION | {f"{FOLDER}/files": FILES}) == [
        Broken(f"{FOLDER}/desc", "not there, though the package's list of files is; was it deleted?")
    ]


@given(st.binary(max_size=300) | st.lists(st.sampled_from([b"%NAME%", b"x", b"", b"%VERSION%", b"%F"])).map(b"\n".join))
def test_any_bytes_give_blocks_or_the_named_error(data):
    try:
        blocks = alpm.parse(data, "desc")
    except DamagedDatabaseError:
        return
    assert all(isinstance(line, str) for lines in blocks.values() for line in lines)
