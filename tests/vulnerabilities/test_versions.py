"""Versions come in the order that dpkg, rpm, apk and the languages themselves have them in."""

from __future__ import annotations

import random
import shutil
import subprocess
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from audit_lib.vulnerabilities.versions import SCHEMES, InvalidVersionError, version_key

# One line of the 717 has a suffix that apk does not know, and is no version of its.
TABLES = [
    ("apk", "apk.apk-tools3.tsv", 717, [("23_foo", ">", "4_beta")]),
    ("deb", "deb.dpkg-perl.tsv", 43, []),
    ("rpm", "rpm.rpmvercmp.tsv", 91, []),
    ("semver", "scalibr.semver-versions.tsv", 86, []),
    ("maven", "scalibr.maven-versions.tsv", 98, []),
    ("nuget", "scalibr.nuget-versions.tsv", 34, []),
    ("gem", "scalibr.rubygems-versions.tsv", 25, []),
]


def order(scheme: str, one: str, other: str) -> str:
    left, right = version_key(scheme, one), version_key(scheme, other)
    return "<" if left < right else ">" if right < left else "=" if left == right else "?"


@pytest.mark.parametrize(("scheme", "name", "count", "invalid"), TABLES, ids=[name for _, name, _, _ in TABLES])
def test_the_tables_of_others_are_in_order_both_ways(shared_data: Path, scheme, name, count, invalid):
    lines = [tuple(line.split("\t")) for line in (shared_data / "versions" / name).read_text().splitlines()]
    turned = {"<": ">", ">": "<", "=": "="}
    wrong, refused = [], []
    for one, sign, other in lines:
        try:
            if (order(scheme, one, other), order(scheme, other, one)) != (sign, turned[sign]):
                wrong.append((one, sign, other))
        except InvalidVersionError:
            refused.append((one, sign, other))
    assert (len(lines), wrong, refused) == (count, [], invalid)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg compares what is compared here; CI runs on Debian")
def test_dpkg_itself_orders_made_up_versions_so():
    chosen = random.Random(7)
    for _ in range(150):
        one, other = ("".join(chosen.choices("01~.+-ab:", k=chosen.randint(1, 6))) for _ in range(2))
        one, other = f"1{one}", f"1{other}"
        asked = [
            subprocess.run(["dpkg", "--compare-versions", one, sign, other], capture_output=True, check=False)
            for sign in ("lt", "eq")
        ]
        if any(b"error" in done.stderr or b"warning" in done.stderr for done in asked):
            continue
        told = "<" if asked[0].returncode == 0 else "=" if asked[1].returncode == 0 else ">"
        try:
            assert order("deb", one, other) == told, (one, other)
        except InvalidVersionError:
            pytest.fail(f"dpkg takes {one} and {other}")


PEP_440 = r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?"


@given(st.lists(st.from_regex(PEP_440, fullmatch=True), min_size=2))
def test_versions_of_python_are_in_the_order_of_packaging(versions):
    by_key = sorted(versions, key=lambda version: version_key("pypi", version))
    assert [Version(version) for version in by_key] == sorted(map(Version, versions))


@pytest.mark.parametrize(
    ("scheme", "versions"),
    [
        ("pypi", ["2004d", "0.1.dev1", "0.1", "1!0.1"]),
        ("cran", ["1.2-3", "1.2.4", "1.10"]),
        ("composer", ["1.0.0-alpha1", "1.0.0", "1.0.1"]),
        ("semver", ["v1.0.0-0.20210101000000-abcdefabcdef", "v1.0.0-rc.1", "v1.0.0+incompatible", "v1.0.1"]),
        ("apk", ["4.10-r9", "4.10-1-r1", "4.10.2-r0"]),
    ],
)
def test_oddities_have_their_place(scheme, versions):
    keys = [version_key(scheme, version) for version in versions]
    assert all(before < after for before, after in pairwise(keys))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("version", ["", " ", "1 2", "no version at all!", "1\n2", "9" * 5000, "1." * 300])
def test_what_is_no_version_is_refused_by_name(scheme, version):
    with pytest.raises(InvalidVersionError):
        version_key(scheme, version)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(one=st.text(max_size=30), other=st.text(max_size=30))
def test_any_texts_have_an_order_or_are_refused(scheme, one, other):
    with suppress(InvalidVersionError):
        assert order(scheme, one, other) in {"<", ">", "="}
