"""Annexes of a report and what its title page says: out of the tables that a notebook wrote."""

import json

import pandas as pd
import pytest

from audit_lib import audit
from audit_lib.errors import TableError
from audit_lib.exports.annexes import read_annexes, title_facts
from audit_lib.exports.audits import read_audits, write_audits
from audit_lib.exports.tables import write_tables
from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.taking import import_paths
from tests.vulnerabilities.advisories import before, record

PACKAGES = pd.DataFrame(
    {
        "image": pd.array(["full"] * 2, dtype="string"),
        "format": pd.array(["deb"] * 2, dtype="string"),
        "name": pd.array(["curl", "line\nbreak"], dtype="string"),
        "version": pd.array(["", None], dtype="string"),
        "file_bytes": pd.array([2048, None], dtype="Int64"),
        "purl": pd.array(["pkg:deb/curl", "x"], dtype="string"),
    }
)


def test_every_package_is_in_an_annex_with_its_unit_and_what_is_missing_is_said(tmp_path):
    write_tables(tmp_path, packages_full=PACKAGES, packages_minimal=PACKAGES.head(1))
    full, minimal = read_annexes(tmp_path, {})
    assert (full.title, minimal.title) == ("All packages of the full image", "All packages of the minimal image")
    assert full.text.endswith(" 2 rows.")
    assert minimal.text.endswith(" 1 row.")
    assert str(full.table).splitlines() == [
        "Format  Name        Version  File bytes",
        "deb     curl                    2.0 KiB",
        "deb     line break  —           unknown",
    ]


def test_vulnerabilities_stand_after_packages_and_findings_and_their_data_have_a_day(tmp_path):
    found = pd.DataFrame(
        {
            "severity": ["high", "low"],
            "vulnerability_id": ["CVE-2024-1", "CVE-2024-2"],
            "name": ["curl", "curl"],
            "is_known_exploited": pd.array([True, None], dtype="boolean"),
            "data_utc": ["2025-03-01T04:05:06Z", "2025-02-01T00:00:00Z"],
        }
    )
    findings = pd.DataFrame({"severity": ["high"], "check_id": ["a"], "status": ["pass"]})
    write_tables(tmp_path, vulnerabilities=found, findings=findings, packages=PACKAGES)
    annexes = read_annexes(tmp_path, {})
    assert [annex.title for annex in annexes] == ["All packages", "All findings", "All vulnerabilities"]
    assert "yes" in str(annexes[2].table).splitlines()[1]
    assert title_facts(tmp_path, {}) == (("Vulnerability data", "as of 2025-02-01, as of 2025-03-01"),)


def test_what_a_notebook_handed_over_has_annexes_where_it_wrote_no_tables(tmp_path):
    found = audit("sample:minimal", today_utc="2025-02-01", advisories="none")
    write_audits(tmp_path, minimal=found, full=found)
    audits = read_audits(tmp_path)
    annexes = {annex.title: annex for annex in read_annexes(tmp_path, audits)}
    assert next(iter(annexes)) == "All packages of the full image"
    assert annexes["All findings of the minimal image"].text.endswith(f" {len(found.findings)} rows.")
    unknown = annexes["All vulnerabilities of the minimal image"]
    assert unknown.text.startswith("Nothing is known of them")
    assert str(unknown.table).splitlines()[-1] == "unknown"
    facts = title_facts(tmp_path, audits)
    policy = (("Policy", "default"), ("Policy digest", found.policy.digest), ("Judged as of", "2025-02-01"))
    assert facts == (*policy, ("Vulnerability data", "none"))


def test_advisories_that_were_asked_stand_on_the_title_page_and_what_they_told_in_an_annex(tmp_path):
    held = tmp_path / "pypi.json"
    held.write_bytes(json.dumps(record("BAD-1", "PyPI", "flask", *before("999"))).encode())
    database = Database(tmp_path / "advisories")
    import_paths(database, [held])
    write_audits(tmp_path, image=audit("sample:minimal", advisories=database))
    audits = read_audits(tmp_path)
    (annex,) = [one for one in read_annexes(tmp_path, audits) if one.title == "All vulnerabilities"]
    assert annex.text.endswith(" 1 row.")
    assert "BAD-1" in str(annex.table)
    assert "flask" in str(annex.table)
    assert dict(title_facts(tmp_path, audits))["Vulnerability data"].startswith("osv:PyPI as of ")


def test_tables_of_many_images_are_no_annex_and_a_file_that_is_no_table_is_an_error(tmp_path):
    write_tables(tmp_path, packages=PACKAGES[["format", "name", "file_bytes"]])
    assert read_annexes(tmp_path, {}) == ()
    assert title_facts(tmp_path, {}) == ()
    (tmp_path / "tables" / "packages.csv").write_bytes(b'a,b\n1\n"\xff')
    with pytest.raises(TableError, match=r"^packages: expected a table as CSV: "):
        read_annexes(tmp_path, {})
