"""apk: the installed database of Alpine, Wolfi and Chainguard."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import apk
from audit_lib.formats.base import Found
from tests.formats.tree import DictTree

INSTALLED = "lib/apk/db/installed"
MUSL = (
    b"C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nS:1\nI:667648\nT:the musl c library\nL:MIT\n"
    b"o:musl\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nZ:Q1def=\nR:libc.musl-x86_64.so.1\n\n"
)
SSL = (
    b"P:libssl3\nV:3.3.2-r0\nA:x86_64\nI:606208\nL:Apache-2.0\no:openssl\nF:\nR:rootfile\nF:usr/lib\nR:libssl.so.3\n\n"
)


def read(data: bytes) -> list[Found]:
    return list(apk.FORMAT.read(DictTree({INSTALLED: data}), INSTALLED))


def test_installed_packages_with_origin_size_and_licence():
    assert read(MUSL + SSL)[1] == Found(
        name="libssl3",
        version="3.3.2-r0",
        path=INSTALLED,
        architecture="x86_64",
        source_name="openssl",
        source_version="3.3.2-r0",
        licenses=("Apache-2.0",),
        installed_size_bytes=606208,
    )


def test_owned_files_lie_in_the_folder_named_before_them():
    tree = DictTree({INSTALLED: MUSL + SSL})
    musl, ssl = apk.FORMAT.read(tree, INSTALLED)
    assert apk.FORMAT.files(tree, musl) == ["lib/ld-musl-x86_64.so.1", "lib/libc.musl-x86_64.so.1"]
    assert apk.FORMAT.files(tree, ssl) == ["rootfile", "usr/lib/libssl.so.3"]


def test_an_empty_database_is_no_packages():
    assert read(b"") == []


@pytest.mark.parametrize("path", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_both_places_are_looked_at(path: str):
    assert apk.FORMAT.places(DictTree({path: MUSL})) == [path]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (MUSL[:-1], "the file ends within a package (musl); was it cut?"),
        (MUSL[:20], "the file ends within a package"),
        (b"P:a\n\n", "line 1: a package without version (V:)"),
        (b"V:1\n\n", "line 1: a package without name (P:)"),
        (b"<html>\n", "line 1: expected 'X:value', found '<html>'"),
        (b"P:a\nV:1\nP:b\nV:2\n\n", "line 3: field 'P' twice"),
        (b"P:a\nV:1\0\n\n", "line 2: a NUL byte"),
    ],
)
def test_damage_is_told_with_its_place(data: bytes, said: str):
    with pytest.raises(DamagedDatabaseError) as error:
        read(data)
    assert said in str(error.value)


def test_a_database_cut_at_any_byte_is_damaged_or_ends_between_packages():
    data = MUSL + SSL
    for cut in range(1, len(data)):
        try:
            found = read(data[:cut])
        except DamagedDatabaseError:
            continue
        assert cut == len(MUSL)
        assert [package.name for package in found] == ["musl"]


@pytest.mark.parametrize("release", ["3.20.3", "3.10.9"])
def test_databases_of_real_alpines_give_their_known_packages(shared_data: Path, release: str):
    with (shared_data / "apk" / "expected.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["release"] == release]
    expected = sorted(
        (row["package"], row["version"], row["origin"], row["arch"], row["installed_size"]) for row in rows
    )
    found = read((shared_data / "apk" / release / INSTALLED).read_bytes())
    stated = [
        (one.name, one.version, one.source_name, one.architecture, str(one.installed_size_bytes)) for one in found
    ]
    assert sorted(stated) == expected
    assert len(found) > 10


@given(st.binary(max_size=300) | st.text(alphabet="PVFRAo:\nab1", max_size=200).map(str.encode))
def test_any_bytes_are_packages_or_damage(data: bytes):
    try:
        assert all(isinstance(found, Found) for found in read(data))
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)
