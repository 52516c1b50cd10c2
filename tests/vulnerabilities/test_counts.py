"""Three numbers, each counted by hand: rows, vulnerabilities, and what statements leave of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from audit_lib.tables import Vulnerability, VulnerabilityCoverage, make_table
from audit_lib.vulnerabilities import count_vulnerabilities, three_numbers


def row(identity: str, name: str, severity: str, **more: Any) -> Vulnerability:
    stated: dict[str, Any] = {
        "cvss_score": None,
        "fixed_version": None,
        "status": "affected",
        "justification": None,
        "is_known_exploited": False,
        "epss_score": None,
        "found_by": "audit-lib",
        "data_utc": "2026-01-01",
        "version": "1",
    }
    return Vulnerability(
        image="x", vulnerability_id=identity, format="deb", name=name, severity=severity, **{**stated, **more}
    )


ROWS = [
    # One vulnerability of two packages, fixed in one of them, graver in the other.
    row("CVE-1", "a", "high", fixed_version="2", is_known_exploited=True, epss_score=0.9),
    row("CVE-1", "b", "critical", is_known_exploited=True, epss_score=0.9),
    # Ruled out for the only package that has it.
    row("CVE-2", "a", "high", status="not_affected", justification="component_not_present", epss_score=0.1),
    # Ruled out for one of two: it remains.
    row("CVE-3", "a", "low", status="fixed"),
    row("CVE-3", "b", "low", status="under_investigation", epss_score=0.0999),
    row("CVE-9", "a", "medium", found_by="trivy", found_by_version="0.59.1", is_known_exploited=None, data_utc=None),
]


def counted(table: pd.DataFrame, found_by: str, severity: str) -> dict[str, list[Any]]:
    rows = table[(table["found_by"] == found_by) & (table["severity"] == severity)]
    columns = ["vulnerability_count", "fixable_count", "known_exploited_count", "epss_count"]
    values = rows[columns].astype(object).where(rows[columns].notna(), None)
    return dict(zip(rows["counted"], values.to_numpy().tolist(), strict=True))


def test_matches_ids_and_what_remains_are_three_numbers():
    table = count_vulnerabilities(make_table(Vulnerability, ROWS))
    assert counted(table, "audit-lib", "all") == {
        "matches": [5, 1, 2, 3],
        "unique ids": [3, 1, 1, 2],
        "after VEX": [2, 1, 1, 1],
    }


def test_a_vulnerability_counts_once_for_its_worst_severity():
    table = count_vulnerabilities(make_table(Vulnerability, ROWS))
    ids = table[(table["found_by"] == "audit-lib") & (table["counted"] == "unique ids")]
    assert ids.set_index("severity")["vulnerability_count"].to_dict() == {
        "all": 3,
        "critical": 1,
        "high": 1,
        "medium": 0,
        "low": 1,
        "negligible": 0,
        "unknown": 0,
    }


def test_each_source_counts_for_itself_with_its_version_and_the_date_of_its_data():
    table = count_vulnerabilities(make_table(Vulnerability, ROWS))
    assert counted(table, "trivy", "all")["unique ids"] == [1, 0, None, None]
    facts = table.drop_duplicates("found_by").set_index("found_by")[["data_utc", "found_by_version"]].astype(object)
    assert facts.where(facts.notna(), None).T.to_dict() == {
        "audit-lib": {"data_utc": "2026-01-01", "found_by_version": None},
        "trivy": {"data_utc": None, "found_by_version": "0.59.1"},
    }


def test_what_was_held_against_advisories_and_has_none_counts_0_what_was_not_has_no_row():
    nothing = make_table(Vulnerability, [])
    asked = [
        VulnerabilityCoverage(
            image="x",
            format="deb",
            ecosystem="Debian:12",
            status=status,
            package_count=1,
            data_utc="2026-01-01",
            detail=None,
        )
        for status in ("matched", "no_data")
    ]
    clean = count_vulnerabilities(nothing, make_table(VulnerabilityCoverage, asked[:1]))
    assert counted(clean, "audit-lib", "all")["matches"] == [0, 0, 0, 0]
    assert set(clean["data_utc"]) == {"2026-01-01"}
    assert len(count_vulnerabilities(nothing, make_table(VulnerabilityCoverage, asked[1:]))) == 0
    assert len(count_vulnerabilities(nothing)) == 0


def test_side_by_side_each_source_has_its_three_numbers_in_their_order():
    table = three_numbers(count_vulnerabilities(make_table(Vulnerability, ROWS)))
    shown = table[
        ["found_by", "counted", "all", "critical", "high", "low", "fixable", "known_exploited", "likely_exploited"]
    ]
    assert shown[shown["found_by"] == "audit-lib"].to_numpy().tolist() == [
        ["audit-lib", "matches", 5, 1, 2, 2, 1, 2, 3],
        ["audit-lib", "unique ids", 3, 1, 1, 1, 1, 1, 2],
        ["audit-lib", "after VEX", 2, 1, 0, 1, 1, 1, 1],
    ]
    assert table.loc[table["found_by"] == "trivy", "known_exploited"].isna().all()
    assert len(three_numbers(count_vulnerabilities(make_table(Vulnerability, [])))) == 0
