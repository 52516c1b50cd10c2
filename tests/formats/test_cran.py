"""cran: packages of R in their libraries; what is no installed package is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import cran
from audit_lib.formats.base import Broken, Found
from tests.formats.tree import DictTree

LIBRARY = "usr/lib/R/site-library"
JSONLITE = b"""Package: jsonlite
Version: 1.8.4
Title: A Simple and Robust JSON Parser and Generator for R
License: MIT + file LICENSE
Authors@R: c(
    person("Jeroen", "Ooms", role = c("aut", "cre")),
    person("Duncan", "Temple Lang", role = "ctb"))
Built: R 4.2.2; x86_64-pc-linux-gnu; 'Fri, 09 Dec 2022 11:32:41 +0100'; unix
"""


def read(files: dict[str, bytes]) -> list[Found | Broken]:
    tree = DictTree(files)
    return [one for place in cran.FORMAT.places(tree) for one in cran.FORMAT.read(tree, place)]


def test_installed_packages_and_what_each_claims():
    base = b"Type: Package\nPackage: base\nVersion: 4.2.2\nPriority: base\nBuilt: R 4.2.2; ; 2022-11-10; unix\n"
    tree = DictTree({f"{LIBRARY}/jsonlite/DESCRIPTION": JSONLITE, "usr/lib/R/library/base/DESCRIPTION": base})
    assert cran.FORMAT.places(tree) == ["usr/lib/R/library", LIBRARY]
    (jsonlite,) = cran.FORMAT.read(tree, LIBRARY)
    assert jsonlite == Found(
        name="jsonlite", version="1.8.4", path=f"{LIBRARY}/jsonlite/DESCRIPTION", licenses=("MIT + file LICENSE",)
    )
    assert cran.FORMAT.files(tree, jsonlite) == [f"{LIBRARY}/jsonlite/"]
    assert [one.detail for one in cran.FORMAT.read(tree, "usr/lib/R/library")] == ["part of R itself"]


def test_the_translations_of_r_itself_are_a_package_though_they_were_not_built():
    text = b"Package: translations\nVersion: 4.2.2\nLicense: Part of R 4.2.2\n"
    assert [one.name for one in read({"usr/lib/R/library/translations/DESCRIPTION": text})] == ["translations"]


def test_a_single_package_and_none():
    assert [one.name for one in read({"r/x/DESCRIPTION": JSONLITE})] == ["jsonlite"]
    assert read({}) == []


@pytest.mark.parametrize(
    "text", [b"A description of something.\n", JSONLITE.partition(b"Built:")[0], b"Built: of brick\n", b""]
)
def test_sources_and_other_descriptions_are_no_packages(text):
    assert read({"srv/x/DESCRIPTION": text}) == []


def test_a_package_without_a_version_or_cut_is_damaged_beside_its_neighbours():
    without, cut = JSONLITE.replace(b"Version: 1.8.4\n", b""), JSONLITE[:-5]
    found = read({f"r/{name}/DESCRIPTION": text for name, text in {"a": without, "b": JSONLITE, "c": cut}.items()})
    assert found[0] == Broken("r/a/DESCRIPTION", "no Version: field; expected one")
    assert [type(one) for one in found] == [Broken, Found, Broken]


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_fields_or_the_named_error(data, has_beginning):
    try:
        fields = cran.parse(b"Package: x\nVersion: 1\n" * has_beginning + data, "DESCRIPTION")
    except DamagedDatabaseError:
        return
    assert fields["package"]
    assert fields["version"]
