"""Reports beside an image: which packages a match means, what is kept of the rest, how sources compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from audit_lib import audit, compare, show
from audit_lib.errors import ReportError
from audit_lib.tables import Package, make_table
from audit_lib.vulnerabilities import agreement, removal_gains
from audit_lib.vulnerabilities.purls import covers, parse_purl
from audit_lib.vulnerabilities.reports import parse
from audit_lib.vulnerabilities.scans import join_reports
from tests.vulnerabilities.reports import BY_HAND, BY_TRIVY, parsed, written


@pytest.fixture(scope="module")
def minimal():
    return audit("sample:minimal")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Return the sample with the reports of four scanners."""
    folder = tmp_path_factory.mktemp("reports")
    names = ("grype.json", "minimal.trivy.json", "scout.sarif", "osv-scanner.json")
    return audit("sample:minimal", scanner_reports=[written(name, folder) for name in names])


def trivy(*entries: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"SchemaVersion": 2, "ArtifactName": "x", "Results": [{"Vulnerabilities": list(entries)}], **more}


def reported(tmp_path: Path, report: dict[str, Any], **more: object):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    return audit("sample:minimal", scanner_reports=path, **more)


def test_without_any_source_vulnerabilities_are_unknown_not_none(minimal):
    for table in ("vulnerabilities", "vulnerability_counts", "exposure", "scanner_reports", "vex_statements"):
        assert not minimal.knows(table)
    (said,) = minimal.vulnerability_notes
    assert said.startswith("Whether sample:minimal has known vulnerabilities is unknown, which is not none")


def test_matches_are_joined_by_purl_else_name_else_source_and_the_rest_is_kept(scanned):
    counts = scanned.scanner_reports.set_index("found_by")
    columns = [
        "match_count",
        "purl_joined_count",
        "name_joined_count",
        "source_joined_count",
        "unjoined_count",
        "suppressed_count",
    ]
    assert counts[columns].T.to_dict("list") == {
        "docker-scout": [2, 1, 0, 1, 0, 0],
        "grype": [5, 4, 0, 0, 1, 2],
        "osv-scanner": [3, 0, 3, 0, 0, 0],
        "trivy": [8, 8, 0, 0, 0, 0],
    }
    (lost,) = scanned.vulnerabilities.query("not is_joined").to_dict("records")
    assert (lost["name"], lost["format"], lost["match_reason"]) == (
        "left-over",
        "binary",
        "/matches/2: no package of the image is meant",
    )
    assert any("1 of 5 matches are of no package that was found" in gap for gap in scanned.gaps)


@pytest.mark.parametrize("name", [*BY_TRIVY[1:], *BY_HAND])
def test_joined_rows_have_the_packages_own_names(minimal, name: str):
    found = join_reports([(name, parsed(name))], minimal.packages, minimal.image.iloc[0]).matches
    keys = set(
        minimal.packages[["format", "name", "version", "purl", "database_path"]].itertuples(index=False, name=None)
    )
    joined = [one for one in found if one.is_joined]
    assert joined
    assert all((one.format, one.name, one.version, one.purl, one.database_path) in keys for one in joined)


def test_a_vulnerability_that_one_source_knows_by_another_id_has_one_id(scanned):
    rows = scanned.vulnerabilities.query("vulnerability_id == 'CVE-2025-27516'").set_index("found_by")["aliases"]
    assert rows.fillna("").to_dict() == {"grype": "GHSA-cpwx-vrp4-4pq7", "trivy": ""}


def test_a_source_knows_an_id_only_by_its_alias_and_takes_the_others_cve(tmp_path):
    path = tmp_path / "grype.json"
    stated = {"id": "GHSA-pq67-6m6q-mj2v", "severity": "Medium"}
    match = {
        "vulnerability": stated,
        "artifact": {"name": "urllib3", "version": "2.3.0", "type": "python", "purl": "pkg:pypi/urllib3@2.3.0"},
    }
    path.write_text(json.dumps({"matches": [match], "descriptor": {"name": "grype"}}))
    found = audit("sample:minimal", scanner_reports=[path, written("osv-scanner.json", tmp_path)])
    assert set(found.vulnerabilities.query("name == 'urllib3' and found_by == 'grype'")["vulnerability_id"]) == {
        "CVE-2025-50181"
    }


def test_what_a_users_rule_took_out_stays_affected_and_says_so(scanned):
    rows = scanned.vulnerabilities.query("vulnerability_id == 'CVE-2019-9192' and found_by == 'grype'")
    assert rows["status"].tolist() == ["affected"]
    assert rows["status_detail"].iloc[0].startswith("taken out by grype, which is no statement on the vulnerability")


def test_the_three_numbers_of_each_source_with_the_date_of_its_data(scanned):
    counts = scanned.vulnerability_counts.query("severity == 'all'").pivot_table(
        index="found_by", columns="counted", values="vulnerability_count", aggfunc="first"
    )
    assert counts[["matches", "unique ids", "after VEX"]].T.to_dict("list") == {
        "docker-scout": [2, 2, 2],
        "grype": [5, 5, 4],
        "osv-scanner": [3, 3, 3],
        "trivy": [8, 8, 8],
    }
    assert (
        "sample:minimal, by grype 0.104.0 (data of 2026-01-20T04:10:55Z): 5 matches, 5 unique ids, 4 after VEX."
        in scanned.vulnerability_notes
    )


def test_a_report_without_matches_is_none_not_unknown(tmp_path):
    found = reported(tmp_path, trivy(Trivy={"Version": "0.70.0"}))
    assert found.knows("vulnerabilities")
    assert found.vulnerability_counts.query("severity == 'all'")["vulnerability_count"].tolist() == [0, 0, 0]
    assert found.vulnerability_notes == (
        "sample:minimal, by trivy 0.70.0 (data of a date that it does not state): 0 matches, 0 unique ids, 0 after VEX.",
    )


@pytest.mark.parametrize(
    ("version", "is_bad"),
    [("0.69.3", False), ("0.69.4", True), ("v0.69.5", True), ("0.69.6", True), ("0.69.7", False), (None, None)],
)
def test_a_report_of_a_scanner_that_was_tampered_with_is_flagged(tmp_path, version, is_bad):
    found = reported(tmp_path, trivy(Trivy={"Version": version}))
    flag = found.scanner_reports["is_compromised"].astype("object").iloc[0]
    assert flag is is_bad or (is_bad is None and not isinstance(flag, bool))
    assert any("CVE-2026-33634" in gap and "do not rely on this report" in gap for gap in found.gaps) == bool(is_bad)


def test_a_report_of_another_image_is_said_one_of_this_image_is_known(scanned):
    same = scanned.scanner_reports.set_index("found_by")["is_same_image"].astype("object")
    assert same["grype"] is True
    assert same["trivy"] is False
    assert same.isna().to_dict() == {"docker-scout": True, "grype": False, "osv-scanner": True, "trivy": False}
    assert any("is of another image" in gap for gap in scanned.gaps)


def test_sources_side_by_side(scanned):
    rows = agreement(scanned.vulnerabilities, scanned.scanner_reports).query("counted == 'matches'")
    found = {
        (row.first, row.second): (row.both_count, row.first_only_count, row.second_only_count)
        for row in rows.itertuples()
    }
    assert found == {
        ("docker-scout", "grype"): (1, 1, 4),
        ("docker-scout", "osv-scanner"): (1, 1, 2),
        ("docker-scout", "trivy"): (2, 0, 6),
        ("grype", "osv-scanner"): (1, 4, 2),
        ("grype", "trivy"): (4, 1, 4),
        ("osv-scanner", "trivy"): (3, 0, 5),
    }


def test_days_since_a_fix_are_known_only_where_a_source_states_since_when(tmp_path):
    found = audit("sample:minimal", scanner_reports=written("grype.json", tmp_path), today_utc="2025-03-25")
    days = found.exposure.set_index("name")["exposed_days"].astype("object")
    assert days["jinja2"] == 20
    assert days.isna().to_dict() == {"jinja2": False, "left-over": True, "libc6": True, "zlib1g": True}
    assert "CVE-2025-47278" not in set(found.exposure["vulnerability_id"])


def test_what_each_package_costs(scanned, minimal):
    gains = removal_gains(
        scanned.packages, scanned.vulnerabilities, scanned.vulnerability_coverage, is_known=True
    ).set_index("name")
    columns = ["vulnerability_count", "serious_count", "file_bytes"]
    assert gains.loc[["urllib3", "zlib1g", "idna"], columns].to_numpy().tolist() == [
        [2, 1, 418022],
        [1, 1, 124207],
        [0, 0, 350239],
    ]
    unknown = removal_gains(minimal.packages, minimal.vulnerabilities, minimal.vulnerability_coverage, is_known=False)
    assert unknown["vulnerability_count"].isna().all()
    assert unknown["file_bytes"].notna().all()


def test_a_comparison_tells_what_is_gone_and_what_removed_packages_brought(tmp_path):
    reports = [written(name, tmp_path) for name in ("full.trivy.json", "minimal.trivy.json")]
    both = compare(
        audit("sample:full", scanner_reports=reports[0]), audit("sample:minimal", scanner_reports=reports[1])
    )
    changes = both.vulnerability_changes
    gone = changes.query("change == 'removed'")[["vulnerability_id", "name"]].to_numpy().tolist()
    assert gone == [
        ["CVE-2005-2541", "tar"],
        ["CVE-2018-20796", "libc-bin"],
        ["CVE-2019-9192", "libc-bin"],
        ["CVE-2024-2379", "curl"],
        ["CVE-2024-2379", "libcurl4"],
    ]
    assert len(changes.query("change == 'kept'")) == 8
    assert both.removal_gains.set_index("name").loc[["tar", "curl", "apt"], "vulnerability_count"].tolist() == [1, 1, 0]
    counts = both.severity_counts.query("severity == 'all'").set_index("counted")
    assert counts[["count_full", "count_minimal", "delta_count"]].T.to_dict("list") == {
        "after VEX": [10, 8, -2],
        "matches": [13, 8, -5],
        "unique ids": [10, 8, -2],
    }
    summary = both.summary.set_index("measure")["delta"]
    assert summary[
        ["vulnerability_matches_trivy", "vulnerability_ids_trivy", "vulnerabilities_after_vex_trivy"]
    ].tolist() == [-5, -2, -2]


def test_a_comparison_with_one_side_unknown_has_no_changes_and_says_so(minimal, tmp_path):
    full = audit("sample:full", scanner_reports=written("full.trivy.json", tmp_path))
    both = compare(full, minimal)
    assert not both.knows("vulnerability_changes")
    assert both.vulnerability_changes.empty
    assert both.severity_counts["count_full"].notna().all()
    assert both.severity_counts["count_minimal"].isna().all()
    assert any(
        gap.startswith("minimal (sample:minimal): its vulnerabilities are unknown, not none") for gap in both.gaps
    )


def test_two_places_of_one_package_are_told_apart_by_the_scanners_path():
    places = ["/a/node_modules/x/package.json", "/b/node_modules/x/package.json"]
    rows = [package("npm", "x", "1.0", "pkg:npm/x@1.0", place) for place in places]
    stated = {
        "VulnerabilityID": "CVE-2024-0001",
        "PkgName": "x",
        "InstalledVersion": "1.0",
        "PkgIdentifier": {"PURL": "pkg:npm/x@1.0"},
    }
    assert joined(rows, {**stated, "PkgPath": places[1][1:]}) == [places[1]]
    assert joined(rows, stated) == places


@pytest.mark.parametrize(
    ("row", "stated"),
    [
        (
            ("rpm", "bash", "0:5.1-2.el9", "pkg:rpm/redhat/bash@5.1-2.el9?arch=x86_64&epoch=0"),
            ("bash", "5.1-2.el9", None),
        ),
        (("golang", "github.com/x/y", "v1.2.3", "pkg:golang/github.com/x/y@v1.2.3"), ("github.com/x/y", "1.2.3", None)),
        (
            ("pypi", "zope-interface", "5", "pkg:pypi/zope-interface@5"),
            ("zope.interface", "5", "pkg:pypi/zope.interface@5"),
        ),
        (("maven", "org.x:y", "1", "pkg:maven/org.x/y@1"), ("org.x:y", "1", "pkg:maven/org.x/y@1")),
        (("npm", "@a/b", "1", "pkg:npm/%40a/b@1"), ("@a/b", "1", "pkg:npm/%40a/b@1")),
        (
            ("deb", "libc6", "2.36-9", "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12"),
            ("libc6", "2.36-9", "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12.13"),
        ),
    ],
    ids=lambda value: value[1] if len(value) == 4 else "",
)
def test_scanners_spell_names_and_versions_in_their_own_way(row: tuple[str, ...], stated: tuple[str, ...]):
    name, version, purl = stated
    entry = {
        "VulnerabilityID": "CVE-2024-0001",
        "PkgName": name,
        "InstalledVersion": version,
        "PkgIdentifier": {"PURL": purl},
    }
    assert joined([package(*row, "/here")], entry) == ["/here"]


def package(form: str, name: str, version: str, purl: str, place: str) -> Package:
    nothing = dict.fromkeys(
        (
            "architecture",
            "source_name",
            "source_version",
            "licenses",
            "installed_size_bytes",
            "file_bytes",
            "file_count",
            "first_layer",
            "parent",
        )
    )
    return Package(image="i", format=form, name=name, version=version, purl=purl, database_path=place, **nothing)


def joined(rows: list[Package], entry: dict[str, Any]) -> list[str | None]:
    report = parse(json.dumps(trivy(entry)).encode(), "r", limit=10**6)
    image = audit("sample:minimal").image.iloc[0]
    return [
        one.database_path
        for one in join_reports([("r", report)], make_table(Package, rows), image).matches
        if one.is_joined
    ]


def test_a_statements_purl_covers_what_has_all_that_it_says():
    general, special = (
        parse_purl("pkg:deb/debian/a?arch=amd64"),
        parse_purl("pkg:deb/debian/a@1?arch=amd64&distro=debian-12"),
    )
    assert general is not None
    assert special is not None
    assert covers(general, special)
    assert not covers(special, general)


def test_a_report_that_is_none_is_one_error_with_the_file(tmp_path):
    path = tmp_path / "report.json"
    path.write_text('{"matches": [')
    with pytest.raises(ReportError) as caught:
        audit("sample:minimal", scanner_reports=path)
    assert str(caught.value).startswith(f"{path}: not JSON: ")
    assert str(caught.value).endswith("; expected a scanner's report")
    with pytest.raises(ReportError, match=r"none\.json: expected a scanner's report, found no file"):
        audit("sample:minimal", scanner_reports=tmp_path / "none.json")


def test_ten_thousand_matches_are_rows_in_less_than_two_seconds(tmp_path):
    entry = {
        "PkgName": "urllib3",
        "InstalledVersion": "2.3.0",
        "PkgIdentifier": {"PURL": "pkg:pypi/urllib3@2.3.0"},
        "Severity": "HIGH",
    }
    report = trivy(
        *({**entry, "VulnerabilityID": f"CVE-2024-{number:05}", "Title": "x" * 500} for number in range(10_000))
    )
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    start = time.process_time()
    found = audit("sample:minimal", scanner_reports=path)
    assert len(found.vulnerabilities) == 10_000
    assert time.process_time() - start < 2


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audit_lib", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_the_command_reads_reports_and_drafts_vex(tmp_path):
    report = str(written("grype.json", tmp_path))
    shown = run(
        "inspect", "sample:minimal", "--scanner-report", report, "--table", "vulnerability_counts", "--format", "csv"
    )
    assert shown.returncode == 0, shown.stderr
    assert '"sample:minimal","grype","unique ids","all",5,' in shown.stdout
    words = ("--quiet", "vex", "draft", "sample:minimal", "--scanner-report", report, "--author", "me")
    drafts = [run(*words, SOURCE_DATE_EPOCH="1767225600") for _ in range(2)]
    assert drafts[0].stdout == drafts[1].stdout
    document = json.loads(drafts[0].stdout)
    assert (document["timestamp"], document["author"], len(document["statements"])) == ("2026-01-01T00:00:00Z", "me", 3)


def test_overviews_say_the_numbers_of_each_source_or_that_they_are_unknown(tmp_path):
    report = str(written("minimal.trivy.json", tmp_path))
    shown = run("--quiet", "compare", "sample:full", "sample:minimal", "--minimal-report", report)
    assert shown.returncode == 0, shown.stderr
    assert "Whether sample:full has known vulnerabilities is unknown, which is not none" in shown.stdout
    assert (
        "sample:minimal, by trivy (data of a date that it does not state): 8 matches, 8 unique ids, 8 after VEX."
        in shown.stdout
    )


def test_the_command_names_what_is_wrong_in_one_line(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("{}")
    failed = run("inspect", "sample:minimal", "--scanner-report", str(path))
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith(f"image-audit: error: {path}: expected a scanner's report")
    unknown = run("vex", "draft", "sample:minimal", "--advisories", "none")
    assert unknown.returncode == 2
    assert "its vulnerabilities are unknown" in unknown.stderr


def test_text_of_a_report_is_shown_as_text(tmp_path):
    entry = {
        "VulnerabilityID": "<script>alert(1)</script>",
        "PkgName": "=cmd|' /C calc'!A0\x1b[2J",
        "InstalledVersion": "1\n2",
    }
    found = reported(tmp_path, trivy(entry))
    shown = show(found.vulnerabilities)
    assert "<script>alert" not in shown._repr_html_()
    assert "\x1b" not in repr(shown)
    assert found.vulnerabilities["version"].tolist() == ["1 2"]
