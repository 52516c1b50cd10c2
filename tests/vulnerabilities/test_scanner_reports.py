"""What scanners' reports state: the same vulnerabilities whatever the notation, and one clear error for what is no report."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.vulnerabilities.reports import REPORTS, parse
from audit_lib.vulnerabilities.reports.base import Match
from tests.vulnerabilities.reports import BY_HAND, BY_TRIVY, LIMIT, document, parsed

BY_NAME = {
    ("CVE-2018-20796", "libc6", "2.36-9+deb12u14", "low", None),
    ("CVE-2019-9192", "libc6", "2.36-9+deb12u14", "low", None),
    ("CVE-2023-45853", "zlib1g", "1:1.2.13.dfsg-1", "critical", None),
    ("CVE-2024-47081", "requests", "2.32.3", "medium", "2.32.4"),
    ("CVE-2025-27516", "Jinja2", "3.1.5", "medium", "3.1.6"),
    ("CVE-2025-47278", "Flask", "3.1.0", "low", "3.1.1"),
    ("CVE-2025-50181", "urllib3", "2.3.0", "medium", "2.5.0"),
    ("CVE-2025-66418", "urllib3", "2.3.0", "high", "2.6.0"),
}


def facts(matches: list[Match]) -> set[tuple[Any, ...]]:
    return {(one.vulnerability_id, one.name, one.version, one.severity, one.fixed_version) for one in matches}


def read(value: object) -> list[Match]:
    return parse(json.dumps(value).encode(), "report.json", limit=LIMIT).matches


@pytest.mark.parametrize("name", ["minimal.trivy.json", "minimal.trivy.sarif", "minimal.trivy.cdx.json"])
def test_trivy_says_the_same_in_each_of_its_notations(name: str):
    assert facts(parsed(name).matches) == BY_NAME


def test_a_report_says_who_made_it_when_of_what():
    reports = {name: parsed(name) for name in (*BY_TRIVY, *BY_HAND)}
    made = {
        name: (one.notation, one.scanner, one.scanner_version, one.data_utc, one.subject)
        for name, one in reports.items()
    }
    assert made == {
        "full.trivy.json": ("Trivy JSON", "trivy", None, None, "full"),
        "minimal.trivy.json": ("Trivy JSON", "trivy", None, None, "minimal"),
        "minimal.trivy-vex.json": ("Trivy JSON", "trivy", None, None, "minimal"),
        "minimal.trivy.sarif": ("SARIF 2.1.0", "Trivy", "0.59.1", None, "minimal"),
        "minimal.trivy.cdx.json": ("CycloneDX 1.6", "trivy", "0.59.1", None, "minimal"),
        "grype.json": ("Grype JSON", "grype", "0.104.0", "2026-01-20T04:10:55Z", "minimal.tar"),
        "scout.sarif": ("SARIF 2.1.0", "docker scout", "1.18.2", None, None),
        "scout.gitlab.json": ("GitLab 15.0.4", "Docker Scout", "1.18.2", None, "minimal:latest"),
        "osv-scanner.json": ("osv-scanner JSON", "osv-scanner", None, None, None),
    }
    assert reports["grype.json"].scanned_utc == "2026-01-20T08:00:00Z"
    assert reports["scout.gitlab.json"].scanned_utc == "2026-01-20T09:00:04Z"
    assert not any(one.broken for one in reports.values())


def test_what_trivy_suppressed_by_vex_is_there_and_says_so():
    suppressed = [one for one in parsed("minimal.trivy-vex.json").matches if one.status != "affected"]
    assert [(one.vulnerability_id, one.status, one.justification) for one in suppressed] == [
        ("CVE-2025-47278", "not_affected", "vulnerable_code_not_in_execute_path")
    ]


def test_a_newer_trivy_names_its_version_and_a_server_the_date_of_its_data():
    made_by = {
        "Version": "0.69.5",
        "Server": {"Version": "0.69.5", "VulnerabilityDB": {"UpdatedAt": "2026-01-02T03:04:05.6Z"}},
    }
    report = parse(
        json.dumps({"SchemaVersion": 2, "Trivy": made_by, "ArtifactName": "a", "Results": []}).encode(), "", limit=LIMIT
    )
    assert (report.scanner_version, report.data_utc) == ("0.69.5", "2026-01-02T03:04:05Z")


def test_secrets_and_settings_in_a_report_of_trivy_are_counted_not_read():
    result = {"Target": "x", "Secrets": [{"RuleID": "r"}, {"RuleID": "s"}], "Misconfigurations": [{"ID": "DS001"}]}
    report = parse(json.dumps({"SchemaVersion": 2, "Results": [result]}).encode(), "", limit=LIMIT)
    assert (report.matches, report.left_out) == ([], {"secrets": 2, "misconfigurations": 1})


def test_grype_states_aliases_scores_fixes_and_what_it_left_out():
    jinja, zlib, left_over, flask, libc = parsed("grype.json").matches
    assert (jinja.vulnerability_id, jinja.aliases, jinja.type) == ("GHSA-cpwx-vrp4-4pq7", ("CVE-2025-27516",), "pypi")
    assert (jinja.severity, jinja.cvss_score, jinja.epss_score, jinja.fixed_utc) == (
        "medium",
        5.4,
        0.00075,
        "2025-03-05",
    )
    assert (zlib.severity, zlib.cvss_score, zlib.fix_state, zlib.is_known_exploited) == (
        "critical",
        9.8,
        "wont_fix",
        True,
    )
    assert (left_over.purl, left_over.severity, left_over.is_known_exploited) == (None, "unknown", None)
    assert (flask.status, flask.justification) == ("not_affected", "vulnerable_code_not_in_execute_path")
    assert (libc.status, libc.justification) == ("ignored", "rule of Grype's configuration: accepted by the team")


def test_the_database_of_an_older_grype_has_its_date_elsewhere():
    old = {
        "matches": [],
        "descriptor": {
            "name": "grype",
            "version": "0.79.2",
            "db": {"built": "2024-07-01T01:29:00Z", "schemaVersion": 5},
        },
    }
    assert parse(json.dumps(old).encode(), "", limit=LIMIT).data_utc == "2024-07-01T01:29:00Z"


def test_scout_names_the_source_package_by_its_purl_each_result_its_own():
    libc, urllib3 = parsed("scout.sarif").matches
    assert libc.purl == "pkg:deb/debian/glibc@2.36-9%2Bdeb12u14?os_distro=bookworm&os_name=debian&os_version=12"
    assert (libc.vulnerability_id, libc.severity, libc.fixed_version, libc.fix_state) == (
        "CVE-2019-9192",
        "low",
        None,
        "not_fixed",
    )
    assert (urllib3.purl, urllib3.severity, urllib3.cvss_score, urllib3.fixed_version) == (
        "pkg:pypi/urllib3@2.3.0",
        "medium",
        5.3,
        "2.5.0",
    )


def test_an_older_scout_names_one_purl_in_the_rule_and_nothing_in_the_message():
    rule = {
        "id": "CVE-2024-1",
        "properties": {
            "purl": "pkg:maven/org.x/y@1.4.5",
            "cvssV3_severity": "UNSPECIFIED",
            "fixed_version": "not fixed",
        },
    }
    result = {"ruleId": "CVE-2024-0001", "ruleIndex": 0, "level": "note", "message": {"text": "found"}}
    run = {"tool": {"driver": {"name": "docker scout", "rules": [rule]}}, "results": [result]}
    (match,) = read({"version": "2.1.0", "runs": [run]})
    assert (match.purl, match.severity, match.fixed_version) == ("pkg:maven/org.x/y@1.4.5", "low", None)


def test_grypes_sarif_names_the_package_in_a_sentence():
    result = {
        "ruleId": "CVE-2023-5363-libssl3",
        "message": {
            "text": "A high vulnerability in deb package: libssl3, version 3.0.11-1 was found at: /var/lib/dpkg/status"
        },
    }
    (match,) = read({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "Grype"}}, "results": [result]}]})
    assert (match.vulnerability_id, match.type, match.name, match.version) == (
        "CVE-2023-5363",
        "deb",
        "libssl3",
        "3.0.11-1",
    )


def test_results_of_code_scanners_in_sarif_are_counted_not_read():
    results = [{"ruleId": "py/sql-injection", "message": {"text": "query built from user input"}}]
    run = {"tool": {"driver": {"name": "CodeQL"}}, "results": results}
    report = parse(json.dumps({"version": "2.1.0", "runs": [run]}).encode(), "", limit=LIMIT)
    assert (report.matches, report.left_out) == ([], {"results that name no vulnerability of a package": 1})


def test_gitlab_names_the_fix_in_a_sentence():
    urllib3, libc = parsed("scout.gitlab.json").matches
    assert (urllib3.vulnerability_id, urllib3.name, urllib3.fixed_version) == ("CVE-2025-50181", "urllib3", "2.5.0")
    assert (libc.name, libc.severity, libc.fixed_version) == ("glibc", "low", None)


def test_osv_scanner_groups_aliases_into_one_match():
    zlib, redirects, decompression = parsed("osv-scanner.json").matches
    assert (zlib.vulnerability_id, zlib.aliases) == ("DEBIAN-CVE-2023-45853", ("CVE-2023-45853",))
    assert (zlib.name, zlib.type, zlib.severity, zlib.fixed_version) == ("zlib1g", "deb", "critical", None)
    assert (redirects.aliases, redirects.severity, redirects.cvss_score) == (("CVE-2025-50181",), "medium", 5.3)
    assert (decompression.severity, decompression.cvss_score, decompression.fixed_version) == ("high", None, "2.6.0")


def test_an_advisory_that_bundles_vulnerabilities_is_a_match_for_each():
    record = {"id": "DSA-1-1", "upstream": ["CVE-2024-0001", "CVE-2024-0002"], "affected": []}
    package = {
        "package": {"name": "a", "version": "1", "ecosystem": "Debian:12"},
        "vulnerabilities": [record],
        "groups": [{"ids": ["DSA-1-1"]}],
    }
    found = read({"results": [{"packages": [package]}]})
    assert [(one.vulnerability_id, one.aliases) for one in found] == [
        ("CVE-2024-0001", ("DSA-1-1",)),
        ("CVE-2024-0002", ("DSA-1-1",)),
    ]


def test_entries_that_name_no_package_are_counted_and_the_rest_is_kept():
    good = {"VulnerabilityID": "CVE-2024-0001", "PkgName": "a"}
    stated = {"SchemaVersion": 2, "Results": [{"Vulnerabilities": [{"VulnerabilityID": 5}, good, {"PkgName": "b"}]}]}
    report = parse(json.dumps(stated).encode(), "", limit=LIMIT)
    assert [one.name for one in report.matches] == ["a"]
    assert report.broken_count == 2
    assert [one.path for one in report.broken] == ["/Results/0/Vulnerabilities/0", "/Results/0/Vulnerabilities/2"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (document("grype.json")[:2000], "not JSON"),
        (b"", "not JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}', "expected a scanner's report"),
        (b'{"matches": {}, "descriptor": {}}', "/matches: expected a list, found an object"),
        (b'{"SchemaVersion": 2, "Results": [1]}', "/Results/0: expected an object, found a number"),
        (b'{"runs": [{"results": 1}]}', "/runs/0/results: expected a list"),
        (b'{"matches":' + b"[" * 200_000, "not JSON"),
    ],
    ids=["truncated", "empty", "list", "sbom", "no list", "no object", "no results", "deep"],
)
def test_what_is_no_report_is_one_clear_error(data: bytes, said: str):
    with pytest.raises(DamagedDatabaseError, match=r"report\.json") as caught:
        parse(data, "report.json", limit=LIMIT)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_report_larger_than_the_limit_is_refused_unread():
    with pytest.raises(DamagedDatabaseError, match="expected a report of at most 100"):
        parse(document("grype.json"), "report.json", limit=100)


def large_grype() -> dict[str, Any]:
    report: dict[str, Any] = json.loads(document("grype.json")) | {"ignoredMatches": []}
    one = report["matches"][0]
    report["matches"] = [
        {**one, "vulnerability": {**one["vulnerability"], "id": f"CVE-2024-{number:05}"}} for number in range(10_000)
    ]
    return report


def large_trivy() -> dict[str, Any]:
    report: dict[str, Any] = json.loads(document("minimal.trivy.json"))
    one = report["Results"][1]["Vulnerabilities"][0]
    report["Results"] = [
        {
            "Type": "python-pkg",
            "Vulnerabilities": [{**one, "VulnerabilityID": f"CVE-2024-{n:05}"} for n in range(10_000)],
        }
    ]
    return report


@pytest.mark.parametrize("made", [large_grype, large_trivy])
def test_ten_thousand_rows_are_read_in_less_than_two_seconds(made):
    data = json.dumps(made()).encode()
    start = time.process_time()
    assert len(parse(data, "report.json", limit=LIMIT).matches) == 10_000
    assert time.process_time() - start < 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["CVE-2024-0001", "pkg:deb/a/b@1", "fixed"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=8,
)


def spoilt(value: object, place: int, by: object) -> tuple[object, int]:
    """Return a document with its value number `place`, depth first, replaced, and how many places are left."""
    if place == 0:
        return by, -1
    place -= 1
    if isinstance(value, dict | list):
        entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        made = []
        for key, one in entries:
            if place >= 0:
                one, place = spoilt(one, place, by)  # noqa: PLW2901 - the changed entry is the entry
            made.append((key, one))
        return (dict(made) if isinstance(value, dict) else [one for _, one in made]), place
    return value, place


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from([*BY_TRIVY[1:], *BY_HAND]), place=st.integers(1, 400), by=JSON)
def test_anything_in_any_place_of_a_report_gives_matches_or_the_named_error(name: str, place: int, by: object):
    changed, _ = spoilt(json.loads(document(name)), place, by)
    try:
        report = parse(json.dumps(changed).encode(), name, limit=LIMIT)
    except DamagedDatabaseError:
        return
    for match in report.matches:
        assert match.vulnerability_id
        assert match.name or match.purl


@given(data=st.binary(max_size=200))
def test_any_bytes_give_the_named_error(data: bytes):
    with pytest.raises(DamagedDatabaseError):
        parse(data, "x", limit=LIMIT)


def test_every_notation_is_read_by_a_test():
    assert {form.name for form in REPORTS} == {"sarif", "cyclonedx", "gitlab", "grype", "trivy", "osv-scanner"}
