"""conda: the records of an environment's packages; Syft 1.18.1 has no cataloger of them to compare with."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.distribution import Distribution
from audit_lib.formats import conda
from audit_lib.formats.base import Broken, Found
from audit_lib.purl import purl_of
from tests.formats.tree import DictTree

META = "opt/conda/conda-meta"
PATH = f"{META}/numpy-1.26.0-py311h64a7726_0.json"
RECORD = {
    "name": "numpy",
    "version": "1.26.0",
    "build": "py311h64a7726_0",
    "build_number": 0,
    "subdir": "linux-64",
    "arch": "x86_64",
    "channel": "https://channels.example.org/conda-forge/linux-64",
    "license": "BSD-3-Clause",
    "fn": "numpy-1.26.0-py311h64a7726_0.conda",
    "size": 7000000,
    "files": ["bin/f2py", "lib/python3.11/site-packages/numpy/__init__.py"],
    "paths_data": {
        "paths": [
            {"_path": "bin/f2py", "path_type": "hardlink", "size_in_bytes": 240},
            {
                "_path": "lib/python3.11/site-packages/numpy/__init__.py",
                "path_type": "hardlink",
                "size_in_bytes": 17000,
            },
            {"_path": "lib/libx.so", "path_type": "softlink"},
        ]
    },
}
NUMPY = json.dumps(RECORD).encode()


def read(files: dict[str, bytes]) -> list[Found | Broken]:
    tree = DictTree(files)
    return [found for place in conda.FORMAT.places(tree) for found in conda.FORMAT.read(tree, place)]


def one(**changed: object) -> Found:
    record = {key: value for key, value in {**RECORD, **changed}.items() if value is not ...}
    (found,) = read({PATH: json.dumps(record).encode()})
    assert isinstance(found, Found)
    return found


def test_installed_packages_with_build_channel_licence_and_size():
    found = one()
    assert (found.name, found.version, found.architecture, found.licenses) == (
        "numpy",
        "1.26.0",
        "linux-64",
        ("BSD-3-Clause",),
    )
    assert found.installed_size_bytes == 17240
    assert purl_of(conda.FORMAT, found, Distribution()) == (
        "pkg:conda/numpy@1.26.0?build=py311h64a7726_0&channel=conda-forge&subdir=linux-64&type=conda"
    )


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("conda-forge", "conda-forge"),
        ("pkgs/main", "main"),
        ("https://channels.example.org/pkgs/main/linux-64", "main"),
        ("https://channels.example.org/pkgs/main/linux-64/", "main"),
        ("<unknown>", None),
        (..., None),
    ],
)
def test_a_channel_is_named_whether_or_not_by_its_address(channel: object, name: str | None):
    assert dict(one(channel=channel).qualifiers).get("channel") == name


def test_what_is_not_stated_is_none():
    bare = one(subdir=..., channel=..., build=..., fn=..., license=..., paths_data=...)
    assert bare == Found(name="numpy", version="1.26.0", path=PATH)


def test_a_size_is_not_stated_when_that_of_one_file_is_not():
    assert one(paths_data={"paths": [{"size_in_bytes": 1}, {"_path": "x"}]}).installed_size_bytes is None


def test_a_package_owns_its_files_and_its_record():
    assert conda.FORMAT.files(DictTree({PATH: NUMPY}), one()) == [
        PATH,
        "opt/conda/bin/f2py",
        "opt/conda/lib/python3.11/site-packages/numpy/__init__.py",
    ]
    without = json.dumps({"name": "numpy", "version": "1"}).encode()
    assert conda.FORMAT.files(DictTree({PATH: without}), one()) is None


def test_an_environment_with_a_history_alone_is_empty_not_absent():
    tree = DictTree({f"{META}/history": b"==> 2024-01-01 00:00:00 <==\n"})
    assert conda.FORMAT.places(tree) == [META]
    assert list(conda.FORMAT.read(tree, META)) == []


def test_each_environment_is_a_place_of_its_own():
    other = "opt/conda/envs/a/conda-meta/zlib-1.json"
    assert conda.FORMAT.places(DictTree({PATH: NUMPY, other: NUMPY})) == [META, "opt/conda/envs/a/conda-meta"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "expected a JSON object, found a list"),
        (b'{"name": "a"}', "a record without version; expected name and version"),
        (b'{"name": 1, "version": "1"}', "a record without name; expected name and version"),
    ],
)
def test_a_damaged_record_is_a_row_of_its_own_and_its_neighbours_are_read(data: bytes, said: str):
    bad = f"{META}/bad-1-0.json"
    found = read({bad: data, PATH: NUMPY})
    assert found[0] == Broken(bad, said)
    assert [record.name for record in found[1:] if isinstance(record, Found)] == ["numpy"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["paths", "size_in_bytes"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.binary(max_size=100)
    | st.dictionaries(st.sampled_from(sorted(RECORD)), _JSON).map(lambda record: json.dumps(record).encode())
)
def test_any_bytes_are_a_package_or_damage(data: bytes):
    assert_told(data)


@given(st.sampled_from(sorted(RECORD)), _JSON)
def test_a_record_with_anything_in_a_field_is_a_package_or_damage(field: str, value: object):
    assert_told(json.dumps({**RECORD, field: value}).encode())


@given(st.data())
def test_a_record_with_any_bytes_changed_is_a_package_or_damage(data: st.DataObject):
    changed = bytearray(NUMPY)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert_told(bytes(changed))


def assert_told(data: bytes) -> None:
    (found,) = read({PATH: data})
    if isinstance(found, Found):
        assert purl_of(conda.FORMAT, found, Distribution()).startswith("pkg:conda/")
        assert found.version
        conda.FORMAT.files(DictTree({PATH: data}), found)
