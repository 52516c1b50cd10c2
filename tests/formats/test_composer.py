"""composer: the installed.json of PHP's packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.distribution import Distribution
from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import composer
from audit_lib.formats.base import Found
from audit_lib.purl import purl_of
from tests import syft
from tests.formats.tree import DictTree

PATH = "srv/app/vendor/composer/installed.json"
MONOLOG = {
    "name": "monolog/monolog",
    "version": "3.5.0",
    "version_normalized": "3.5.0.0",
    "type": "library",
    "license": ["MIT"],
    "install-path": "../monolog/monolog",
}
PHPUNIT = {
    "name": "phpunit/phpunit",
    "version": "dev-main",
    "license": ["BSD-3-Clause"],
    "install-path": "../phpunit/phpunit",
}
META = {"name": "ext/meta", "version": "1.0.0", "type": "metapackage", "install-path": None}
DRUPAL = {"name": "drupal/core", "version": "10.1.0", "license": ["GPL-2.0-or-later"], "install-path": "../../web/core"}
SECOND = json.dumps(
    {"packages": [MONOLOG, PHPUNIT, META, DRUPAL], "dev": True, "dev-package-names": ["phpunit/phpunit"]}
).encode()
FIRST = json.dumps([{key: value for key, value in MONOLOG.items() if key != "install-path"}]).encode()


def read(data: bytes) -> list[Found]:
    return [one for one in composer.FORMAT.read(DictTree({PATH: data}), PATH) if isinstance(one, Found)]


def owned(data: bytes) -> list[object]:
    tree = DictTree({PATH: data})
    return [composer.FORMAT.files(tree, one) for one in read(data)]


def test_installed_packages_with_licences_and_what_they_are_for():
    assert read(SECOND) == [
        Found(name="monolog/monolog", version="3.5.0", path=PATH, namespace="monolog", licenses=("MIT",)),
        Found(
            name="phpunit/phpunit",
            version="dev-main",
            path=PATH,
            namespace="phpunit",
            licenses=("BSD-3-Clause",),
            detail="for development",
        ),
        Found(
            name="ext/meta",
            version="1.0.0",
            path=PATH,
            namespace="ext",
            detail="a metapackage: other packages, no files",
        ),
        Found(name="drupal/core", version="10.1.0", path=PATH, namespace="drupal", licenses=("GPL-2.0-or-later",)),
    ]


def test_its_purl_has_the_vendor_once():
    assert purl_of(composer.FORMAT, read(SECOND)[0], Distribution()) == "pkg:composer/monolog/monolog@3.5.0"


def test_a_package_owns_the_folder_it_was_installed_to():
    assert owned(SECOND) == [
        ["srv/app/vendor/monolog/monolog/"],
        ["srv/app/vendor/phpunit/phpunit/"],
        [],
        ["srv/app/web/core/"],
    ]


def test_the_first_versions_list_has_no_paths_but_one_place_for_each_name():
    assert [(one.name, one.version) for one in read(FIRST)] == [("monolog/monolog", "3.5.0")]
    assert owned(FIRST) == [["srv/app/vendor/monolog/monolog/"]]


def test_a_package_that_was_installed_to_the_root_does_not_own_the_image():
    assert owned(json.dumps({"packages": [{**MONOLOG, "install-path": "../../../../.."}]}).encode()) == [None]


def test_a_version_that_is_not_stated_is_none():
    assert [one.version for one in read(b'[{"name": "a/b"}, {"name": "a/c", "version": ""}]')] == [None, None]


@pytest.mark.parametrize("data", [b"[]", b'{"packages": [], "dev": false, "dev-package-names": []}'])
def test_an_empty_list_is_no_packages(data: bytes):
    assert read(data) == []


def test_a_vendor_folder_of_another_name_is_found():
    tree = DictTree({"srv/lib/composer/installed.json": FIRST, PATH: FIRST, "srv/installed.json": b"?"})
    assert composer.FORMAT.places(tree) == [PATH, "srv/lib/composer/installed.json"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON: Expecting value"),
        (SECOND[:-20], "not JSON: "),
        (b"\xff\xfe", "not JSON: "),
        (b'"text"', "expected a list of packages, or an object with one"),
        (b'{"dev": true}', "expected a list of packages, or an object with one"),
        (b'[{"name": "a/b"}, {"version": "1"}]', "package 2 has no name; expected 'vendor/package'"),
        (b"[1]", "package 1 has no name; expected 'vendor/package'"),
        (b"[" * 100_000, "not JSON: "),
    ],
)
def test_damage_is_told(data: bytes, said: str):
    with pytest.raises(DamagedDatabaseError) as error:
        read(data)
    assert str(error.value).startswith(f"/{PATH}: {said}")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "version", "license", "install-path", "type"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=100) | _JSON.map(lambda value: json.dumps({"packages": [value]}).encode()))
def test_any_bytes_are_packages_or_damage(data: bytes):
    assert_told(data)


@given(st.data())
def test_a_list_with_any_bytes_changed_is_packages_or_damage(data: st.DataObject):
    changed = bytearray(SECOND)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert_told(bytes(changed))


def assert_told(data: bytes) -> None:
    try:
        for one in read(data):
            assert purl_of(composer.FORMAT, one, Distribution()).startswith("pkg:composer/")
            assert one.version != ""
        owned(data)
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)


def test_syft_finds_the_same_packages(tmp_path: Path):
    for folder, data in (("one", FIRST), ("two", SECOND)):
        place = tmp_path / folder / "vendor" / "composer" / "installed.json"
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
    theirs = syft.syft_packages(f"dir:{tmp_path}", "php-composer-installed-cataloger")
    assert {(name, version) for name, version, _ in theirs} == {(one.name, one.version) for one in read(FIRST)} | {
        (one.name, one.version) for one in read(SECOND)
    }
