"""Reports with vulnerabilities: what a reader of the page finds, and what of a hostile report does not reach it."""

from __future__ import annotations

import json

from audit_lib.reports import run_report
from tests.vulnerabilities.reports import written

VEX = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "author": "Example",
    "timestamp": "2026-01-20T00:00:00Z",
    "statements": [
        {
            "vulnerability": {"name": "CVE-2025-47278"},
            "products": [{"@id": "pkg:pypi/flask@3.1.0"}],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
        }
    ],
}
HOSTILE = {"VulnerabilityID": "<img src=x onerror=alert(1)>", "PkgName": "=cmd|' /C calc'!A0", "InstalledVersion": "1"}


def test_a_page_says_which_are_there_by_whose_word_and_what_is_ruled_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written("grype.json", tmp_path)
    (tmp_path / "hostile.json").write_text(
        json.dumps({"SchemaVersion": 2, "Results": [{"Vulnerabilities": [HOSTILE]}]})
    )
    (tmp_path / "vex.json").write_text(json.dumps(VEX))
    parameters = {"image": "sample:minimal", "scanner_report_files": "grype.json:hostile.json", "vex_files": "vex.json"}
    made = run_report("vulnerability_review", tmp_path / "out", parameters, progress=False)
    page = (made.folder / "report.html").read_text()
    assert "5 matches, 5 unique ids, 4 after VEX" in page
    assert "CVE-2025-27516" in page
    assert "vulnerable_code_not_in_execute_path" in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert (made.folder / "tables" / "vex_statements.csv").read_text().count('"applied"') == 1
    assert str(tmp_path) not in page
