"""Which packages a record means, what rows come of it, and what is said where nothing can be."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.vulnerabilities import ecosystems
from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.ranges import affected_by
from audit_lib.vulnerabilities.versions import InvalidVersionError
from tests.vulnerabilities.advisories import assessed, before, database, found, package, record

# The recorded answers are older than these records, or the records were changed since: the day of each is told by its number and
# by what stands in its range.
NEWER_THAN_THE_ANSWERS = {
    # Recorded before Go 1.25.13 and 1.26.6 were out: the greatest number in the answers is GO-2026-5856.
    ("Go", "stdlib", "1.22.4"): {"5972", "6088", "6089", "6090", "6091", "6218"},
    ("Go", "stdlib", "1.26.0"): {"5942", "5972", "6088", "6089", "6090", "6091", "6218"},
    ("Go", "toolchain", "1.24.4"): {"6179", "6180"},
}
CHANGED_SINCE = {
    # Its range of stdlib ends with Go 1.25.13 and 1.26.6; before these were out, it was about golang.org/x/net alone.
    ("Go", "stdlib", "1.22.4"): {"GO-2026-5026"},
    ("Go", "stdlib", "1.26.0"): {"GO-2026-5026"},
    # As of 2024 it began with the first version; the advisory it stands for now begins with 1.25.4.
    ("PyPI", "urllib3", "1.24.3"): {"PYSEC-2021-108"},
}


def test_the_recorded_answers_of_osv_are_given(shared_data: Path, shared_database: Database):
    """A record of the local data is a yes or no for each package it names: at least 99 in 100 agree, each difference is known."""
    with (shared_data / "osv" / "answers.tsv").open() as file:
        answers = list(csv.DictReader(file, delimiter="\t"))
    asked = [(*ecosystems.release_of(one["ecosystem"]), one) for one in answers]
    places = [(kind, release, ecosystems.normalized(kind, one["name"])) for kind, release, one in asked]
    held = shared_database.load(places)
    decisions, agreed, missed, extra = 0, 0, {}, {}
    for place, answer in zip(places, answers, strict=True):
        records = held.records.get(place, [])
        expected = set(answer["ids"].split(",")) & {one["id"] for one in records}
        told = {one["id"] for one in records if _means(one, place[0], answer["version"])}
        decisions += len(records)
        agreed += len(records) - len(told ^ expected)
        key = (answer["ecosystem"], answer["name"], answer["version"])
        if expected - told:
            missed[key] = expected - told
        if told - expected:
            extra[key] = told - expected
    newer = {key: {f"GO-2026-{number}" for number in numbers} for key, numbers in NEWER_THAN_THE_ANSWERS.items()}
    assert missed == {}
    assert extra == {key: newer.get(key, set()) | CHANGED_SINCE.get(key, set()) for key in {*newer, *CHANGED_SINCE}}
    known_then = decisions - sum(len(ids) for ids in newer.values())
    assert decisions == 808
    assert agreed / known_then >= 0.99


def _means(one, ecosystem: str, version: str) -> bool:
    try:
        return affected_by(one, ecosystems.SCHEMES[ecosystem], version) is not None
    except InvalidVersionError:
        return False


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}, {"fixed": "1.2"}], ["0.0.1", "1.1.9", "1.2rc1"], ["1.2", "1.3"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.2"}], ["1.0", "1.2"], ["0.9", "1.2.1"]),
        ([{"introduced": "0"}], ["0.1", "999"], []),
        ([{"introduced": "0"}, {"limit": "2.0"}], ["1.9"], ["2.0", "2.1"]),
        (
            [{"introduced": "2.0"}, {"fixed": "2.1"}, {"introduced": "1.0"}, {"fixed": "1.5"}],
            ["1.0", "1.4", "2.0.5"],
            ["0.9", "1.5", "1.9", "2.1", "3"],
        ),
        ([{"fixed": "1.5"}, {"introduced": "1.0"}], ["1.2"], ["0.5", "1.5"]),
        ([{"introduced": "1.0", "fixed": "1.1"}], ["1.0"], ["1.1"]),
        ([{"introduced": "0"}, {"fixed": "0"}], [], ["0", "1"]),
    ],
)
def test_a_range_means_the_versions_that_the_schema_says(tmp_path: Path, events, inside, outside):
    held = database(tmp_path, [record("X-1", "PyPI", "thing", *events)])
    versions = [*inside, *outside]
    rows = found(held, [package("pypi", "thing", version) for version in versions])
    assert set(rows["version"]) == set(inside)


def test_listed_versions_are_meant_beside_the_range_however_they_are_written(tmp_path: Path):
    one = record("X-1", "PyPI", "thing", {"introduced": "3"})
    one["affected"][0]["versions"] = ["1.0"]
    alone = {
        "id": "X-2",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "other"}, "versions": ["1.0", "2004d"]}],
    }
    held = database(tmp_path, [one, alone])
    asked = [
        ("thing", "1.0"),
        ("thing", "2.0"),
        ("thing", "3.1"),
        ("other", "1.0.0"),
        ("other", "2004d"),
        ("other", "1.1"),
    ]
    rows = found(held, [package("pypi", name, version) for name, version in asked])
    assert set(zip(rows["name"], rows["version"], strict=True)) == {
        ("thing", "1.0"),
        ("thing", "3.1"),
        ("other", "1.0.0"),
        ("other", "2004d"),
    }


def test_a_record_that_was_taken_back_means_nothing(tmp_path: Path):
    taken_back = record("X-1", "PyPI", "thing", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z")
    told = assessed(database(tmp_path, [taken_back]), [package("pypi", "thing", "1")])
    assert told.is_known
    assert len(told.vulnerabilities) == 0


@pytest.mark.parametrize(
    ("distro", "form", "place", "name", "source"),
    [
        (("debian", "12"), "deb", "Debian:12", "libssl3", "openssl"),
        (("ubuntu", "22.04"), "deb", "Ubuntu:22.04:LTS", "libssl3", "openssl"),
        (("alpine", "3.20.3"), "apk", "Alpine:v3.20", "libssl3", "openssl"),
        (("wolfi", "20230201"), "apk", "Wolfi", "libssl3", "openssl"),
        (("chainguard", "20230214"), "apk", "Chainguard", "libssl3", "openssl"),
        (("rhel", "9.4"), "rpm", "Red Hat:enterprise_linux:9::baseos", "openssl-libs", "openssl"),
        (("almalinux", "9.4"), "rpm", "AlmaLinux:9", "openssl-libs", "openssl"),
        (("rocky", "9.4"), "rpm", "Rocky Linux:9", "openssl-libs", "openssl"),
        (("sles", "15.5"), "rpm", "SUSE:Linux Enterprise Module for Basesystem 15 SP5", "libopenssl3", "openssl-3"),
        (("opensuse-leap", "15.5"), "rpm", "openSUSE:Leap 15.5", "libopenssl3", "openssl-3"),
        (("opensuse-tumbleweed", "20240101"), "rpm", "openSUSE:Tumbleweed", "libopenssl3", "openssl-3"),
    ],
)
def test_a_distributions_package_is_found_by_its_source_and_release(tmp_path: Path, distro, form, place, name, source):
    other_place = (
        place.replace("12", "11").replace("22", "20").replace("9", "8").replace("5.5", "5.4").replace("SP5", "SP4")
    )
    held = database(
        tmp_path,
        [
            record("CVE-2026-0001", place, source, *before("3.0.5-1" if form != "apk" else "3.0.5-r1")),
            record("CVE-2026-0002", f"{other_place} of old", source, {"introduced": "0"}),
            record("CVE-2026-0003", "PyPI", source, {"introduced": "0"}),
        ],
    )
    old, new = ("3.0.1-r0", "3.0.5-r1") if form == "apk" else ("3.0.1-1", "3.0.5-1")
    rows = found(held, [package(form, name, old, source_name=source, source_version=old)], *distro)
    assert rows["vulnerability_id"].tolist() == ["CVE-2026-0001"]
    assert rows["name"].tolist() == [name]
    assert rows["is_distribution_data"].all()
    assert len(found(held, [package(form, name, new, source_name=source, source_version=new)], *distro)) == 0


def test_the_version_of_a_debs_source_counts_not_its_own(tmp_path: Path):
    held = database(tmp_path, [record("CVE-2026-0001", "Debian:12", "gcc-12", *before("12.2.0-14"))])
    rebuilt = package("deb", "libgcc1", "1:12.2.0-13+b1", source_name="gcc-12", source_version="12.2.0-13")
    assert found(held, [rebuilt], "debian", "12")["fixed_version"].tolist() == ["12.2.0-14"]


def test_the_epoch_of_an_rpm_holds_for_its_source_too(tmp_path: Path):
    held = database(tmp_path, [record("CVE-2026-0001", "Rocky Linux:9", "openssl", *before("1:3.0.7-25.el9"))])
    fixed = package("rpm", "openssl-libs", "1:3.0.7-27.el9", source_name="openssl", source_version="3.0.7-27.el9")
    assert len(found(held, [fixed], "rocky", "9.4")) == 0


@pytest.mark.parametrize(
    ("form", "ecosystem", "written", "name", "more"),
    [
        ("pypi", "PyPI", "Zope.Interface", "zope-interface", {}),
        ("npm", "npm", "@babel/traverse", "@babel/traverse", {}),
        ("golang", "Go", "golang.org/x/net", "golang.org/x/net", {}),
        ("cargo", "crates.io", "serde-json", "serde_json", {}),
        ("gem", "RubyGems", "rack", "rack", {}),
        ("nuget", "NuGet", "Newtonsoft.Json", "newtonsoft.json", {}),
        ("composer", "Packagist", "Symfony/HTTP-kernel", "symfony/http-kernel", {}),
        ("cran", "CRAN", "readxl", "readxl", {}),
        (
            "maven",
            "Maven",
            "org.apache.logging.log4j:log4j-core",
            "log4j-core",
            {"purl": "pkg:maven/org.apache.logging.log4j/log4j-core@1.0.0"},
        ),
    ],
)
def test_a_package_of_a_language_is_found_by_its_name_as_it_is_compared_there(
    tmp_path: Path, form, ecosystem, written, name, more
):
    held = database(tmp_path, [record("X-1", ecosystem, written, *before("1.2.0"))])
    rows = found(held, [package(form, name, "1.0.0", **more), package(form, "another", "1.0.0")])
    assert rows["name"].tolist() == [name]
    assert rows["fixed_version"].tolist() == ["1.2.0"]


def test_records_of_the_same_thing_are_one_row(tmp_path: Path):
    held = database(
        tmp_path,
        [
            record(
                "PYSEC-2026-1",
                "PyPI",
                "thing",
                *before("1.5"),
                aliases=["CVE-2026-0009"],
                published="2026-01-05T00:00:00Z",
            ),
            record(
                "GHSA-aaaa",
                "PyPI",
                "thing",
                *before("1.6"),
                aliases=["CVE-2026-0009"],
                published="2026-01-03T00:00:00Z",
            ),
            record("GHSA-bbbb", "PyPI", "thing", *before("1.6"), aliases=["PYSEC-2026-1", "CVE-2026-0002"]),
            record("GHSA-cccc", "PyPI", "thing", *before("1.6")),
        ],
    )
    rows = found(held, [package("pypi", "thing", "1.0")])
    assert rows["vulnerability_id"].tolist() == ["CVE-2026-0002", "GHSA-cccc"]
    assert rows.loc[0, "advisories"] == "GHSA-aaaa, GHSA-bbbb, PYSEC-2026-1"
    assert rows.loc[0, "aliases"] == "CVE-2026-0009"
    assert rows.loc[0, "fixed_version"] == "1.6"
    assert rows.loc[0, "published_utc"] == rows.loc[0, "fix_published_utc"] == "2026-01-03T00:00:00Z"


def test_a_bundle_of_a_distribution_is_a_row_for_each_of_its_vulnerabilities(tmp_path: Path):
    held = database(
        tmp_path,
        [
            record("DSA-1-1", "Debian:12", "thing", *before("1.5-1"), upstream=["CVE-2026-0001", "CVE-2026-0002"]),
            record("DEBIAN-CVE-2026-0002", "Debian:12", "thing", *before("1.5-1"), upstream=["CVE-2026-0002"]),
            record("DSA-2-1", "Debian:12", "thing", *before("1.5-1")),
        ],
    )
    rows = found(held, [package("deb", "thing", "1.0-1")], "debian", "12")
    assert dict(zip(rows["vulnerability_id"], rows["advisories"], strict=True)) == {
        "CVE-2026-0001": "DSA-1-1",
        "CVE-2026-0002": "DEBIAN-CVE-2026-0002, DSA-1-1",
        "DSA-2-1": "DSA-2-1",
    }


HIGH = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"
NEW = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:L/VA:N/SC:N/SI:N/SA:N"


@pytest.mark.parametrize(
    ("more", "severity", "source", "score"),
    [
        (
            {"database_specific": {"severity": "MODERATE"}, "severity": [{"type": "CVSS_V3", "score": HIGH}]},
            "medium",
            "record",
            7.5,
        ),
        ({"severity": [{"type": "CVSS_V3", "score": HIGH}]}, "high", "cvss", 7.5),
        ({"severity": [{"type": "CVSS_V3", "score": HIGH}, {"type": "CVSS_V4", "score": NEW}]}, "medium", "cvss", 6.9),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:C/I:C/A:C"}]}, "high", "cvss", 10.0),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:garbage"}]}, "unknown", None, None),
        ({"severity": [{"type": "Ubuntu", "score": "negligible"}]}, "negligible", "distribution", None),
        ({}, "unknown", None, None),
    ],
)
def test_severity_is_the_records_word_else_its_vectors_else_the_distributions(
    tmp_path: Path, more, severity, source, score
):
    held = database(tmp_path, [record("CVE-2026-0001", "Ubuntu:24.04:LTS", "thing", *before("2"), **more)])
    row = found(held, [package("deb", "thing", "1")], "ubuntu", "24.04").iloc[0].astype(object)
    assert (row["severity"], row["severity_source"] if source else None, row["cvss_score"] if score else None) == (
        severity,
        source,
        score,
    )


def test_urgency_that_debian_states_is_the_distributions_word(tmp_path: Path):
    one = record("DEBIAN-CVE-2026-0001", "Debian:12", "thing", *before("2"))
    one["affected"][0]["ecosystem_specific"] = {"urgency": "unimportant"}
    row = found(database(tmp_path, [one]), [package("deb", "thing", "1")], "debian", "12").iloc[0]
    assert (row["severity"], row["severity_source"]) == ("negligible", "distribution")


def test_what_a_distributions_package_brought_is_not_matched_a_second_time(tmp_path: Path):
    held = database(
        tmp_path,
        [
            record("DEBIAN-CVE-2026-0001", "Debian:12", "python-urllib3", *before("1.26.12-1+deb12u1")),
            record("PYSEC-2026-1", "PyPI", "urllib3", *before("1.26.18"), aliases=["CVE-2026-0001"]),
        ],
    )
    own = package("deb", "python3-urllib3", "1.26.12-1", source_name="python-urllib3", source_version="1.26.12-1")
    brought = package("pypi", "urllib3", "1.26.12", parent="deb:python3-urllib3")
    vendored = package("pypi", "urllib3", "1.26.17", database_path="/opt")
    told = assessed(held, [own, brought, vendored], "debian", "12")
    rows = told.vulnerabilities
    assert list(zip(rows["format"], rows["version"], rows["is_distribution_data"], strict=True)) == [
        ("deb", "1.26.12-1", True),
        ("pypi", "1.26.17", False),
    ]
    assert rows.loc[0, "match_reason"].endswith("stands for what it brought: pypi:urllib3 1.26.12")
    statuses = told.coverage[["format", "ecosystem", "status", "package_count"]].values.tolist()
    assert statuses == [
        ["deb", "Debian:12", "matched", 1],
        ["pypi", "Debian:12", "by_distribution", 1],
        ["pypi", "PyPI", "matched", 1],
    ]
    fixed = package(
        "deb", "python3-urllib3", "1.26.12-1+deb12u1", source_name="python-urllib3", source_version="1.26.12-1+deb12u1"
    )
    assert len(found(held, [fixed, brought], "debian", "12")) == 0


def test_where_a_distribution_publishes_nothing_the_language_is_asked(tmp_path: Path):
    held = database(tmp_path, [record("PYSEC-2026-1", "PyPI", "urllib3", *before("1.26.18"))])
    brought = package("pypi", "urllib3", "1.26.12", parent="alpm:python-urllib3")
    assert found(held, [brought], "arch")["vulnerability_id"].tolist() == ["PYSEC-2026-1"]


def test_no_advisories_is_not_no_vulnerabilities(tmp_path: Path):
    thing, other = package("pypi", "thing", "1"), package("deb", "thing", "1")
    assert assessed(Database(tmp_path / "nothing"), [thing]) is None
    held = database(
        tmp_path, [record("X-1", "PyPI", "another", *before("2")), record("X-2", "Debian:11", "another", *before("2"))]
    )
    partly = assessed(held, [thing, other], "debian", "12")
    assert partly.is_known
    (gap,) = partly.gaps
    assert gap == (
        "oci-dir:image: whether 1 deb package has vulnerabilities is unknown, not none: no advisories of Debian:12 are held "
        "(those of Debian that are held name other releases)"
    )
    brought = package("pypi", "brought", "1", parent="deb:thing")
    (gap,) = assessed(held, [other, brought, thing], "debian", "12").gaps
    assert gap.startswith(
        "oci-dir:image: whether 1 deb, 1 pypi packages have vulnerabilities is unknown, not none: no advisories of"
    )
    assert not assessed(held, [other], "debian", "12").is_known
    assert not assessed(held, [other], "debian").is_known
    assert "does not say which release" in assessed(held, [other], "debian").gaps[0]


def test_a_version_that_nobody_can_order_is_told_as_such(tmp_path: Path):
    held = database(tmp_path, [record("X-1", "Go", "example.com/app", {"introduced": "0"})])
    told = assessed(held, [package("golang", "example.com/app", "(devel)"), package("golang", "example.com/lib", None)])
    assert len(told.vulnerabilities) == 0
    row = told.coverage.iloc[0]
    assert (row["status"], row["package_count"]) == ("no_version", 2)
    assert row["detail"].endswith("example.com/app (devel), example.com/lib (no version)")


def test_what_is_known_to_be_exploited_and_how_likely_it_is_stands_beside_it(tmp_path: Path):
    kev = tmp_path / "kev.json"
    kev.write_text(
        json.dumps(
            {
                "catalogVersion": "1",
                "dateReleased": "2026-01-01T00:00:00Z",
                "vulnerabilities": [{"cveID": "CVE-2026-0001", "dateAdded": "2026-01-01"}],
            }
        )
    )
    epss = tmp_path / "epss.csv.gz"
    epss.write_bytes(
        gzip.compress(
            b"#model_version:v1,score_date:2026-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2026-0001,0.97,0.99\nCVE-2026-0002,0.01,0.1\n"
        )
    )
    records = [
        record("CVE-2026-0001", "PyPI", "thing", {"introduced": "0"}),
        record("CVE-2026-0003", "PyPI", "thing", {"introduced": "0"}),
        record("GHSA-x", "PyPI", "thing", {"introduced": "0"}),
    ]
    with_lists = found(database(tmp_path, records, kev, epss), [package("pypi", "thing", "1")]).astype(object)
    (tmp_path / "without").mkdir()
    without = found(database(tmp_path / "without", records), [package("pypi", "thing", "1")])
    shown = with_lists[["vulnerability_id", "is_known_exploited", "epss_score"]].fillna("unknown").values.tolist()
    assert shown == [
        ["CVE-2026-0001", True, 0.97],
        ["CVE-2026-0003", False, "unknown"],
        ["GHSA-x", "unknown", "unknown"],
    ]
    assert without["is_known_exploited"].isna().all()
    assert without["epss_score"].isna().all()


@given(data=st.data())
def test_any_version_is_meant_or_not_as_the_schemas_own_algorithm_says(data):
    """The algorithm of the OSV schema, "Evaluation", written down naively over whole numbers."""
    bounds = data.draw(
        st.lists(
            st.tuples(st.sampled_from(["introduced", "fixed", "last_affected"]), st.integers(0, 9)),
            min_size=1,
            max_size=5,
        )
    )
    events = [
        ["introduced", "0"],
        *([kind, str(bound)] for kind, bound in bounds if (kind, bound) != ("introduced", 0)),
    ]
    version = data.draw(st.integers(0, 10))
    vulnerable = False
    for kind, bound in sorted(events, key=lambda event: int(event[1]) if event != ["introduced", "0"] else -1):
        if kind == "introduced" and version >= int(bound):
            vulnerable = True
        if (kind == "fixed" and version >= int(bound)) or (kind == "last_affected" and version > int(bound)):
            vulnerable = False
    held = {"withdrawn": None, "ranges": json.dumps([events]), "versions": []}
    assert (affected_by(held, "semver", str(version)) is not None) == vulnerable
