"""`image-audit check` and `image-audit policy`: what is printed, and which exit code says what."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from click.testing import CliRunner

from audit_lib.__main__ import cli
from audit_lib.compliance.policy import DEFAULT
from audit_lib.errors import AuditError
from tests.images import oci_dir


def run(*words):
    return CliRunner().invoke(cli, ["check", *words])


def test_a_gate_that_fails_is_exit_code_1_and_one_that_holds_is_0():
    assert run("sample:full").exit_code == 1
    assert run("sample:minimal").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--fail-on", "critical"], 0),
        (["--fail-on", "HIGH"], 1),
        (["--fail-on", "low"], 1),
        (["--fail-on", "never"], 0),
        (["--exit-code", "0"], 0),
        (["--exit-code", "7"], 7),
        (["--severity", "CRITICAL"], 0),
        (["--severity", "HIGH,CRITICAL"], 1),
        (["--severity", "low,medium"], 0),
        (["--severity", "low,medium", "--fail-on", "low"], 1),
    ],
)
def test_the_options_of_other_scanners_mean_what_they_mean_there(words, code):
    assert run("sample:full", *words).exit_code == code


def test_severities_pick_the_rows_that_are_shown():
    rows = json.loads(run("sample:full", "--severity", "HIGH", "--format", "json").stdout)
    assert {row["severity"] for row in rows} == {"high"}
    assert len(rows) == 9


@pytest.mark.parametrize(
    "words", [["--severity", "grave"], ["--fail-on", "none"], ["--exit-code", "-1"], ["--format", "xml"]]
)
def test_words_that_mean_nothing_are_wrong_input(words):
    done = run("sample:full", *words)
    assert done.exit_code == 2
    assert "Error: Invalid value" in done.stderr


def test_the_table_begins_with_what_is_gravest_and_fails():
    lines = run("sample:full", "--format", "table").stdout.splitlines()
    assert lines[0].split() == ["Status", "Severity", "Check", "ID", "Evidence", "Reason"]
    assert [line.split()[2] for line in lines[1:5]] == [
        "no-secrets-in-environment",
        "no-secrets-in-files",
        "no-secrets-in-history",
        "non-root-user",
    ]
    assert len(lines) == 34


def test_the_verdict_is_told_on_standard_error_and_nowhere_when_quiet():
    assert run("sample:full").stderr.splitlines()[:2] == [
        "image-audit: The image fails the gate of policy default at severity high, by non-root-user.",
        "image-audit: Of 33 checks: 15 pass, 5 fail, 5 for a person to look at, 8 not assessable, 0 waived.",
    ]
    assert CliRunner().invoke(cli, ["--quiet", "check", "sample:full"]).stderr == ""


def test_csv_holds_every_column_of_findings(tmp_path):
    path = tmp_path / "findings.csv"
    assert run("sample:minimal", "--format", "csv", "-o", str(path)).exit_code == 0
    table = pd.read_csv(path)
    assert table.columns.tolist() == [
        *("image", "check_id", "status", "severity", "evidence", "waiver_owner", "waiver_until_utc", "title", "reason"),
        *("remedy", "controls", "locations", "waiver_reason", "is_gate_failed"),
    ]
    assert len(table) == 33


def test_a_plan_is_rows_of_csv():
    table = pd.read_csv(io.StringIO(run("sample:minimal", "--format", "poam").stdout))
    assert table["source_identifier"].tolist() == ["healthcheck"]


def test_a_policy_decides_and_its_waivers_are_told(tmp_path):
    policy = tmp_path / "policy.yml"
    waiver = "schema: 1\nwaivers:\n  - {check: non-root-user, reason: r, owner: o, until: 2025-02-01}\n"
    policy.write_text(waiver)
    assert run("sample:full", "--policy", str(policy)).exit_code == 0
    assert run("sample:full", "--policy", str(policy), "--today", "2025-02-01").exit_code == 0
    done = run("sample:full", "--policy", str(policy), "--today", "2025-02-02", "--format", "json")
    assert done.exit_code == 1
    assert "1 waiver expired: non-root-user." in done.stderr
    (row,) = [row for row in json.loads(done.stdout) if row["check_id"] == "non-root-user"]
    assert (row["status"], row["reason"]) == ("fail", "the waiver of o ended on 2025-02-01")


def test_a_policy_that_does_not_fit_is_told_before_the_image_is_read(tmp_path):
    policy = tmp_path / "policy.yml"
    policy.write_text("schema: 1\nfail_on: all\n")
    done = run("docker:there-is-none", "--policy", str(policy))
    assert isinstance(done.exception, AuditError)
    assert str(done.exception).startswith(
        f"{policy}, line 2: fail_on: expected one of critical, high, medium, low, never"
    )


def test_a_day_that_is_none_is_told():
    assert (
        str(run("sample:full", "--today", "soon").exception)
        == "today_utc: expected a day such as 2026-01-31, found 'soon'"
    )


def test_a_damaged_database_is_exit_code_2_whatever_the_gate_says(tmp_path):
    oci_dir(tmp_path, layers=[{"var/lib/dpkg/status": "no stanza\n"}], config={"config": {"User": "1000"}})
    done = run(f"oci-dir:{tmp_path}", "--format", "json")
    assert done.exit_code == 2
    rows = {row["check_id"]: row for row in json.loads(done.stdout)}
    assert rows["licenses-allowed"]["status"] == "not_assessable"
    assert rows["licenses-allowed"]["reason"] == "1 package database cannot be read: /var/lib/dpkg/status"


def test_the_default_policy_is_written_and_fits(tmp_path):
    done = CliRunner().invoke(cli, ["policy"])
    assert done.stdout == DEFAULT.read_text()
    path = tmp_path / "policy.yml"
    path.write_text(done.stdout)
    said = CliRunner().invoke(cli, ["policy", str(path)]).stdout.splitlines()
    assert said[0].split() == ["policy", "default"]
    assert said[3].split(maxsplit=1) == ["checks", "33, 33 set by this policy"]


def test_findings_stand_among_the_tables_of_inspect_and_compare():
    done = CliRunner().invoke(cli, ["inspect", "sample:full", "--table", "findings", "--format", "json"])
    assert len(json.loads(done.stdout)) == 33
    words = ["compare", "sample:full", "sample:minimal", "--table", "finding_changes", "--format", "json"]
    changed = [row for row in json.loads(CliRunner().invoke(cli, words).stdout) if row["change"] == "changed"]
    assert [(row["check_id"], row["status_full"], row["status_minimal"]) for row in changed] == [
        ("no-package-manager", "fail", "pass"),
        ("no-setuid", "fail", "pass"),
        ("no-shell", "fail", "pass"),
        ("non-root-user", "fail", "pass"),
    ]
