"""npm: a package.json a package, wherever Node would find it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import npm
from audit_lib.formats.base import Broken, Found
from tests.formats.tree import DictTree

MODULES = "app/node_modules"


def package(**facts) -> bytes:
    return json.dumps(facts).encode()


def read(files: dict[str, bytes]) -> list[Found | Broken]:
    tree = DictTree(files)
    return [found for place in npm.FORMAT.places(tree) for found in npm.FORMAT.read(tree, place)]


def test_installed_packages_scoped_and_nested_with_their_versions():
    files = {
        f"{MODULES}/left-pad/package.json": package(name="left-pad", version="1.3.0", license="WTFPL"),
        f"{MODULES}/@babel/core/package.json": package(
            name="@babel/core", version="7.0.0", licenses=[{"type": "MIT"}, {"type": "ISC"}]
        ),
        f"{MODULES}/left-pad/node_modules/deep/package.json": package(name="deep", version="2.0.0"),
        "app/package.json": package(name="my-app", version="0.0.1", private=True),
    }
    found = {one.name: one for one in read(files)}
    assert {name: one.version for name, one in found.items()} == {
        "left-pad": "1.3.0",
        "@babel/core": "7.0.0",
        "deep": "2.0.0",
        "my-app": "0.0.1",
    }
    assert (found["@babel/core"].namespace, found["@babel/core"].licenses) == ("@babel", ("ISC", "MIT"))
    assert found["left-pad"].licenses == ("WTFPL",)
    assert npm.FORMAT.places(DictTree(files)) == ["app", MODULES]


def test_debians_packages_are_one_place_bundled_ones_included():
    files = {
        "usr/share/nodejs/npm/package.json": package(name="npm", version="9.2.0"),
        "usr/share/nodejs/npm/node_modules/abbrev/package.json": package(name="abbrev", version="1.1.1"),
    }
    assert npm.FORMAT.places(DictTree(files)) == ["usr/share/nodejs"]
    assert [one.name for one in read(files)] == ["abbrev", "npm"]


def test_a_package_owns_its_folder_but_the_root_is_nobodys():
    files = {
        f"{MODULES}/a/package.json": package(name="a", version="1"),
        "package.json": package(name="root", version="1"),
    }
    owned = {one.name: npm.FORMAT.files(DictTree(files), one) for one in read(files)}
    assert owned == {"a": [f"{MODULES}/a/"], "root": None}


@pytest.mark.parametrize(
    "facts",
    [
        {"type": "module"},
        {"name": "x"},
        {"version": "1"},
        {"name": ["x"], "version": "1"},
        {"name": "", "version": "1"},
    ],
)
def test_what_has_no_name_and_version_is_no_package(facts: dict):
    assert read({f"{MODULES}/x/package.json": package(**facts)}) == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe{}", b"[" * 100_000, b'{"name": "x"', b"1e999999"])
def test_a_broken_package_is_told_and_its_neighbours_are_read(data: bytes):
    found = read(
        {f"{MODULES}/bad/package.json": data, f"{MODULES}/good/package.json": package(name="good", version="1")}
    )
    assert [one.name for one in found if isinstance(one, Found)] == ["good"]
    assert [one.path for one in found if isinstance(one, Broken)] == [f"{MODULES}/bad/package.json"]


def test_a_broken_file_among_a_packages_tests_is_no_packages_fault():
    assert read({f"{MODULES}/resolve/test/broken/package.json": b'{"name": "version"'}) == []


def test_a_byte_order_mark_is_passed_over():
    assert [
        one.name for one in read({f"{MODULES}/x/package.json": b"\xef\xbb\xbf" + package(name="x", version="1")})
    ] == ["x"]


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "version", "license"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_packages_or_damage(data: bytes):
    for one in read({f"{MODULES}/x/package.json": data}):
        assert isinstance(one, Found | Broken)
    try:
        assert isinstance(npm.parse(data, "package.json"), dict)
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)
