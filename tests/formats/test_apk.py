"""apk: the installed database of Alpine, Wolfi and Chainguard."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib import audit
from audit_lib.distribution import Distribution
from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import apk
from audit_lib.formats.base import Found
from audit_lib.purl import purl_of
from tests.formats.tree import DictTree
from tests.images import oci_dir, symlink
from tests.syft import run_syft

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
        (MUSL[:20], "line 3: the file ends within a line: 'V:1.'"),
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


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("r:busybox-initscripts libcrypto1.1", "replaces files of busybox-initscripts libcrypto1.1"),
        ("T:virtual meta package", "a name that apk add --virtual gave to the packages it depends on; no files"),
        ("f:fs", "not installed whole: files, a script"),
        ("f:xS\nr:a", "not installed whole: extended attributes; replaces files of a"),
        ("f:S", None),
        ("k:10\np:cmd:a=1\ni:[]\nt:-62135596800\ng:x y", None),  # as apko writes them
    ],
)
def test_what_is_odd_about_a_package_is_said(fields: str, expected: str | None):
    [found] = read(f"P:a\nV:1\n{fields}\n\n".encode())
    assert found.detail == expected


# By sha1sum, sha256sum and base64 of b"x"; the third is the first 20 bytes of the second
SHA1, SHA256 = (
    "11f6ad8ec52a2984abaafd7c3b516503785c2072",
    "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
)
Q1, Q2, CUT = (
    "EfatjsUqKYSrqv18O1FlA3hcIHI=",
    "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=",
    "LXEWQrcmsEQBYnyp+6wy9chTD7E=",
)


@pytest.mark.parametrize(
    ("flags", "stated", "expected"),
    [
        ("", f"Q1{Q1}", ("sha1", SHA1)),
        ("", f"Q2{Q2}", ("sha256", SHA256)),
        ("f:S\n", f"Q1{CUT}", ("sha256-160", SHA256[:40])),
        ("", f"Q2{CUT}", None),
        ("", f"Q3{Q1}", None),
        ("", "Q1", None),
        ("", "Q1***", None),
        ("", "Q1ü", None),
    ],
)
def test_a_checksum_is_of_the_kind_that_its_letters_and_the_package_say(
    flags: str, stated: str, expected: tuple | None
):
    tree = DictTree({INSTALLED: f"P:a\nV:1\n{flags}F:bin\nR:a\na:0:0:755\nZ:{stated}\n\n".encode()})
    [found] = apk.FORMAT.read(tree, INSTALLED)
    assert apk.FORMAT.digests(tree, found) == ({} if expected is None else {"bin/a": expected})


def test_files_that_apk_lets_be_changed_are_not_checked():
    files = "".join(f"F:{folder}\nR:a\nZ:Q1{Q1}\n" for folder in ("etc", "etc/init.d", "etc/conf.d", "usr/etc"))
    tree = DictTree({INSTALLED: f"P:a\nV:1\n{files}\n".encode()})
    [found] = apk.FORMAT.read(tree, INSTALLED)
    assert list(apk.FORMAT.digests(tree, found)) == ["etc/init.d/a", "usr/etc/a"]


def test_bytes_that_are_no_text_stand_as_such_in_names_and_as_they_are_in_paths():
    tree = DictTree({INSTALLED: b"P:a\xff\nV:1\nA:x\xff\nF:u\xff\nR:x\n\n"})
    [found] = apk.FORMAT.read(tree, INSTALLED)
    assert (found.name, found.architecture) == ("a\ufffd", "x\ufffd")
    assert apk.FORMAT.files(tree, found) == ["u\udcff/x"]


@pytest.mark.parametrize("size", ["", "-1", "1.5", "9" * 30, "9" * 5000, "²"])
def test_a_size_that_is_none_is_not_stated(size: str):
    [found] = read(f"P:a\nV:1\nI:{size}\n\n".encode())
    assert found.installed_size_bytes is None


def test_a_file_in_front_of_every_folder_lies_in_the_root():
    """Apko wrote it so before 2023."""
    tree = DictTree({INSTALLED: b"P:nss-db\nV:2.37-r3\nR:libnss_db.so.2\na:0:0:0755\nF:usr\nF:usr/bin\nR:makedb\n\n"})
    [found] = apk.FORMAT.read(tree, INSTALLED)
    assert apk.FORMAT.files(tree, found) == ["libnss_db.so.2", "usr/bin/makedb"]


def test_a_wolfi_image_with_its_database_under_usr(tmp_path: Path):
    """Packages of version 2 and 3, `lib` a link; what was changed is told, what was not is not."""
    database = (
        f"P:busybox\nV:1.37.0-r0\nA:x86_64\no:busybox\nF:usr/bin\nR:busybox\na:0:0:755\nZ:Q1{Q1}\nR:sh\nZ:Q1{Q1}\n\n"
        f"P:ca\nV:2\nA:noarch\nf:S\nF:usr/lib\nR:same\nZ:Q1{CUT}\nR:other\nZ:Q1{CUT}\n\n"
    )
    layers = [
        {
            "etc/os-release": "ID=wolfi\nVERSION_ID=20230201\n",
            "lib": symlink("usr/lib"),
            "usr/lib/apk/db/installed": database,
            "usr/bin/busybox": b"x",
            "usr/bin/sh": b"x",
            "usr/lib/same": b"x",
            "usr/lib/other": b"x",
        },
        {"usr/bin/sh": b"y", "lib/other": b"y"},
    ]
    oci_dir(tmp_path / "image", layers)
    found = audit(f"oci-dir:{tmp_path / 'image'}", check_files=True)
    assert list(found.packages["purl"]) == [
        "pkg:apk/wolfi/busybox@1.37.0-r0?arch=x86_64&distro=wolfi-20230201",
        "pkg:apk/wolfi/ca@2?arch=noarch&distro=wolfi-20230201",
    ]
    altered = found.altered_files[["path", "package", "expected_digest"]].itertuples(index=False)
    assert [tuple(row) for row in altered] == [
        ("/usr/bin/sh", "busybox", f"sha1:{SHA1}"),
        ("/usr/lib/other", "ca", f"sha256-160:{SHA256[:40]}"),
    ]


@pytest.mark.parametrize("release", ["3.20.3", "3.10.9"])
def test_syft_says_the_same_of_real_alpines_purl_by_purl(shared_data: Path, tmp_path: Path, release: str):
    data = (shared_data / "apk" / release / INSTALLED).read_bytes()
    for path, content in {INSTALLED: data, "etc/os-release": f"ID=alpine\nVERSION_ID={release}\n".encode()}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
    told = json.loads(run_syft(f"dir:{tmp_path}", "apk-db-cataloger"))["artifacts"]
    tree = DictTree({INSTALLED: data})
    found = list(apk.FORMAT.read(tree, INSTALLED))
    made = {(one.name, one.version, purl_of(apk.FORMAT, one, Distribution("alpine", release))) for one in found}
    assert made == {(one["name"], one["version"], one["purl"]) for one in told}
    files = {one["name"]: {(file["path"], _of(file)) for file in one["metadata"]["files"]} for one in told}
    for one in found:
        listed = apk._owned(data, INSTALLED)[one.name, one.version][1]
        assert {(f"/{path}", checksum) for path, checksum in listed.items()} <= files[one.name]


def _of(file: dict) -> str:
    return file.get("digest", {}).get("value", "")


@given(st.binary(max_size=300) | st.text(alphabet="PVFRAo:\nab1", max_size=200).map(str.encode))
def test_any_bytes_are_packages_or_damage(data: bytes):
    try:
        assert all(isinstance(found, Found) for found in read(data))
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)
