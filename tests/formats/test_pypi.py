"""pypi: dist-info and egg-info, folders or single files, and RECORD."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import pypi
from audit_lib.formats.base import Broken, Found
from tests.formats.tree import DictTree

SITE = "usr/lib/python3.11/site-packages"
FLASK = f"{SITE}/flask-3.1.0.dist-info"
METADATA = (
    b"Metadata-Version: 2.1\nName: Flask\nVersion: 3.1.0\nClassifier: License :: OSI Approved :: BSD License\n\n"
    b"# Flask\nName: not this\n"
)


def read(files: dict[str, bytes]) -> list[Found | Broken]:
    tree = DictTree(files)
    return [found for place in pypi.FORMAT.places(tree) for found in pypi.FORMAT.read(tree, place)]


def test_an_installed_wheel_with_its_record():
    tree = DictTree(
        {
            f"{FLASK}/METADATA": METADATA,
            f"{FLASK}/RECORD": b'flask/app.py,sha256=x,1\n"flask/a,b.py",,\n../../../bin/flask,,\n/etc/flask.conf,,\n',
        }
    )
    assert pypi.FORMAT.places(tree) == [SITE]
    (found,) = pypi.FORMAT.read(tree, SITE)
    assert found == Found(name="flask", version="3.1.0", path=f"{FLASK}/METADATA", licenses=("BSD License",))
    assert pypi.FORMAT.files(tree, found) == [
        f"{SITE}/flask/app.py",
        f"{SITE}/flask/a,b.py",
        "usr/bin/flask",
        "etc/flask.conf",
    ]


def test_eggs_as_folder_as_file_and_unpacked():
    files = {
        f"{SITE}/six-1.16.egg-info/PKG-INFO": b"Name: six\nVersion: 1.16\n",
        f"{SITE}/six-1.16.egg-info/installed-files.txt": b"../six.py\nPKG-INFO\n",
        f"{SITE}/old-1.0.egg-info": b"Name: old\nVersion: 1.0\n",
        f"{SITE}/unpacked-2.0-py3.11.egg/EGG-INFO/PKG-INFO": b"Name: unpacked\nVersion: 2.0\n",
    }
    tree = DictTree(files)
    found = {one.name: one for one in read(files)}
    assert {name: one.version for name, one in found.items()} == {"six": "1.16", "old": "1.0", "unpacked": "2.0"}
    assert pypi.FORMAT.files(tree, found["six"]) == [f"{SITE}/six.py", f"{SITE}/six-1.16.egg-info/PKG-INFO"]
    assert pypi.FORMAT.files(tree, found["old"]) is None
    assert pypi.FORMAT.files(tree, found["unpacked"]) == [f"{SITE}/unpacked-2.0-py3.11.egg/"]


def test_a_record_that_climbs_stays_inside_the_root():
    tree = DictTree({f"{FLASK}/METADATA": METADATA, f"{FLASK}/RECORD": b"../../../../../../../../etc/passwd,,\n"})
    (found,) = pypi.FORMAT.read(tree, SITE)
    assert pypi.FORMAT.files(tree, found) == ["etc/passwd"]


def test_a_record_that_is_no_csv_says_that_ownership_is_not_known():
    record = b'app.py,,\n"' + b"a" * 200_000 + b'",,\n'
    tree = DictTree({f"{FLASK}/METADATA": METADATA, f"{FLASK}/RECORD": record})
    (found,) = pypi.FORMAT.read(tree, SITE)
    for ask in (pypi.FORMAT.files, pypi.FORMAT.digests):
        with pytest.raises(DamagedDatabaseError, match=r"dist-info/RECORD, line 2: not CSV"):
            ask(tree, found)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"License-Expression: MIT OR Apache-2.0\nLicense: ignored\n", ("MIT OR Apache-2.0",)),
        (b"License: BSD-3-Clause\n", ("BSD-3-Clause",)),
        (b"License: UNKNOWN\n", ()),
        (b"License: Copyright someone\n  and much more text\n", ()),
        (b"", ()),
    ],
)
def test_licences_as_stated_but_no_texts(fields: bytes, expected: tuple[str, ...]):
    (found,) = read({f"{FLASK}/METADATA": b"Name: x\nVersion: 1\n" + fields})
    assert found.licenses == expected


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no Name: field; expected one"),
        (b"Name: x\n", "no Version: field"),
        (b"\x00\x01", "expected 'Field: value'"),
        (b" x\n", "a continuation of nothing"),
    ],
)
def test_one_broken_file_is_told_and_its_neighbours_are_read(data: bytes, said: str):
    found = read({f"{SITE}/bad-1.dist-info/METADATA": data, f"{FLASK}/METADATA": METADATA})
    assert [one.name for one in found if isinstance(one, Found)] == ["flask"]
    (broken,) = [one for one in found if isinstance(one, Broken)]
    assert broken.path == f"{SITE}/bad-1.dist-info/METADATA"
    assert said in broken.problem


def test_no_distribution_at_all_is_no_place():
    assert pypi.FORMAT.places(DictTree({"usr/bin/python3": b""})) == []


def test_names_are_compared_as_the_index_does():
    assert pypi.normalized("Zope.Interface__x") == "zope-interface-x"


@given(st.binary(max_size=300))
def test_any_bytes_are_fields_or_damage(data: bytes):
    try:
        assert pypi.parse(data, "METADATA")["name"]
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)


def details(files: dict[str, bytes], place: str, evidence: dict[str, bytes] | None = None) -> dict[str, str | None]:
    tree = DictTree(files, {"pypi": evidence or {}})
    assert place in pypi.FORMAT.places(tree)
    return {f"{found.name} {found.version}": found.detail for found in pypi.FORMAT.read(tree, place)}


def metadata(name: str, version: str) -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n".encode()


def test_a_copy_within_another_project_is_marked_as_one():
    path = "site/setuptools/_vendor/wheel-0.43.0.dist-info/METADATA"
    assert details({path: metadata("wheel", "0.43.0")}, "site/setuptools/_vendor") == {
        "wheel 0.43.0": "a copy within setuptools"
    }


def test_copies_that_pip_lists_in_a_text_are_rows_too():
    listed = b"CacheControl==0.14.1\nrequests==2.32.3\n    certifi==2024.8.30\nnot a requirement\nno-version\n"
    files = {"site/pip/_vendor/vendor.txt": listed}
    assert details(files, "site/pip/_vendor") == {
        "cachecontrol 0.14.1": "a copy within pip, which lists it",
        "requests 2.32.3": "a copy within pip, which lists it",
        "certifi 2024.8.30": "a copy within pip, which lists it",
    }
    tree = DictTree(files)
    assert {pypi.FORMAT.files(tree, found) for found in pypi.FORMAT.read(tree, "site/pip/_vendor")} == {None}


def test_where_a_distribution_was_installed_from_is_said_without_passwords():
    """The forms of PyPA "Direct URL Data Structure"."""
    info = "site/x-1.dist-info"
    for origin, said in [
        (b'{"url": "file:///src/x", "dir_info": {"editable": true}}', "editable, installed from file:///src/x"),
        (b'{"url": "file:///src/x", "dir_info": {}}', "installed from file:///src/x"),
        (
            b'{"url": "https://me:secret@example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "4f1"}}',
            "installed from https://example.org/x.git at 4f1",
        ),
        (b"not JSON", None),
        (b"{}", None),
    ]:
        files = {f"{info}/METADATA": metadata("x", "1"), f"{info}/direct_url.json": origin}
        assert details(files, "site") == {"x 1": said}


def egg(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return made.getvalue()


def test_a_zipped_egg_is_looked_into():
    evidence = pypi.FORMAT.extract("site/old-1.0-py3.egg", egg(**{"EGG-INFO__PKG-INFO": metadata("Old", "1.0")}))
    assert details({}, "site", {"site/old-1.0-py3.egg": evidence}) == {"old 1.0": "a zipped egg"}


def test_what_ends_in_egg_and_is_none_is_nothing_and_a_cut_one_is_damaged():
    whole = egg(**{"EGG-INFO__PKG-INFO": metadata("Old", "1.0")})
    assert pypi.FORMAT.extract("x.egg", b"an egg") is None
    assert pypi.FORMAT.extract("x.egg", egg(other=b"x")) is None
    for damaged in (whole[:-30], egg(**{"EGG-INFO__PKG-INFO": b"no fields"})):
        with pytest.raises(DamagedDatabaseError):
            pypi.FORMAT.extract("x.egg", damaged)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_in_an_egg_give_a_distribution_nothing_or_damage(data, cut):
    for content in (b"PK" + data, egg(**{"EGG-INFO__PKG-INFO": data}), egg(**{"EGG-INFO__PKG-INFO": b"Name: x"})[:cut]):
        try:
            assert pypi.FORMAT.extract("x.egg", content) is None or pypi.parse(data, "x")["name"]
        except DamagedDatabaseError:
            continue


def test_a_record_may_state_digests_in_hexadecimal_and_others_are_none():
    """Debian 12's charset-normalizer does; so long a text would be base64 of another length."""
    record = (
        f"a.py,sha256={'81d82100b00385775ecc8abc6bcbc31ef183bb2246afcecba36c57ec24b50d42'},1\n"
        "b.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
        "c.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hS,0\nd.py,md5=1,0\n"
    )
    tree = DictTree({f"{FLASK}/METADATA": METADATA, f"{FLASK}/RECORD": record.encode()})
    (found,) = pypi.FORMAT.read(tree, SITE)
    assert {path.rpartition("/")[2]: digest for path, digest in pypi.FORMAT.digests(tree, found).items()} == {
        "a.py": ("sha256", "81d82100b00385775ecc8abc6bcbc31ef183bb2246afcecba36c57ec24b50d42"),
        "b.py": ("sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    }
