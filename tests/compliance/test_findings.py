"""What is not known is never a pass; waivers accept what they cover, until they end; the gate says what it is asked."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from audit_lib import audit, compare
from audit_lib.compliance import (
    CHECKS,
    control_statuses,
    controls,
    findings_of,
    framework_counts,
    parse_policy,
    sign_off,
    verdict,
    waivers,
)
from audit_lib.compliance.policy import read_policy
from audit_lib.tables import Control, ControlStatus, Finding, FindingChange, FrameworkCount, check_table
from tests.compliance.seeded import Seeds, finding, statuses
from tests.images import file, oci_dir

SBOM = Path(__file__).parents[1] / "documents" / "syft.cdx.json.xz"
DAY = "2025-02-01"
CIS = ["4.1", "4.10", "4.11", "4.12", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", "4.9"]


def image(folder, files, *, policy=None, **config):
    oci_dir(folder, layers=[files], config={"config": config, "created": "2025-01-01T00:00:00Z"})
    return audit(f"oci-dir:{folder}", policy=policy, today_utc=DAY)


def policy_of(text):
    return parse_policy(f"schema: 1\n{text}".encode(), "policy.yml")


def test_every_check_has_a_row_and_a_status_whatever_the_image_is(tmp_path):
    for name in ("sample:full", "sample:minimal"):
        assert check_table(Finding, audit(name).findings)["check_id"].tolist() == sorted(check.id for check in CHECKS)
    nothing = image(tmp_path, {})
    assert len(check_table(Finding, nothing.findings)) == len(CHECKS)


def test_an_image_known_from_an_sbom_alone_passes_only_what_packages_tell(tmp_path):
    path = tmp_path / "sbom.json"
    path.write_bytes(lzma.decompress(SBOM.read_bytes()))
    found = audit(f"sbom:{path}", today_utc=DAY)
    assert {name: status for name, status in statuses(found).items() if status != "not_assessable"} == {
        "licenses-allowed": "manual",
        "scanned": "manual",
        "signed-artifacts": "manual",
        "supported-distribution": "pass",
    }
    row = finding(found, "no-shell")
    assert row["reason"] == "the image is known from an SBOM alone, which does not tell what its files are"
    assert row["evidence"] is None


def test_a_damaged_database_leaves_what_needs_packages_undecided(tmp_path):
    found = image(
        tmp_path, {"var/lib/dpkg/status": "no stanza\n", "etc/os-release": "ID=debian\nVERSION_ID=12\n"}, User="1000"
    )
    row = finding(found, "licenses-allowed")
    assert (row["status"], row["reason"]) == (
        "not_assessable",
        "1 package database cannot be read: /var/lib/dpkg/status",
    )
    undecided = {name for name, status in statuses(found).items() if status == "not_assessable"}
    assert {"no-unnecessary-packages", "files-owned", "package-records-kept", "licenses-allowed"} <= undecided


def test_what_a_damaged_database_does_not_hide_still_fails(tmp_path):
    files = {
        "var/lib/dpkg/status": "no stanza\n",
        "opt/venv/lib/python3.11/site-packages/gdb-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: gdb\nVersion: 1.0\n",
    }
    row = finding(image(tmp_path, files), "no-unnecessary-packages")
    assert (row["status"], row["evidence"]) == ("fail", "1 package of the policy's list: gdb")


def test_an_image_without_any_database_does_not_pass_for_having_no_packages(tmp_path):
    found = image(tmp_path, {"app": file(b"\x7fELF", mode=0o755)})
    for name in ("licenses-allowed", "no-unnecessary-packages"):
        row = finding(found, name)
        assert (row["status"], row["reason"]) == (
            "not_assessable",
            "no package database was found, so the packages are unknown",
        )


def test_a_distribution_without_records_is_for_a_person(tmp_path):
    found = image(tmp_path, {"etc/os-release": "ID=debian\nVERSION_ID=12\n", "usr/lib/x.so": "x"})
    row = finding(found, "package-records-kept")
    assert (row["status"], row["evidence"]) == ("manual", "debian, without a package database")


def test_files_that_could_not_be_read_leave_hardening_undecided(tmp_path):
    row = finding(image(tmp_path, {"bin/x": file(b"\x7fELF" + bytes(100), mode=0o755)}), "binaries-hardened")
    assert (row["status"], row["reason"]) == ("not_assessable", "1 of 1 ELF file could not be read")


WAIVER = "waivers:\n  - {{check: {}, reason: needed, owner: ops, until: {}{}}}\n"


@pytest.mark.parametrize(
    ("check", "until", "status", "reason"),
    [
        ("non-root-user", "2025-02-01", "waived", "without the waiver: fail"),
        ("non-root-user", "2025-01-31", "fail", "the waiver of ops ended on 2025-01-31"),
        ("no-shell", "2025-12-31", "pass", "the waiver is not needed: the check passes"),
        ("no-shell", "2024-12-31", "pass", "the waiver is not needed: the check passes"),
        ("content-trust", "2025-12-31", "waived", None),
        ("content-trust", "2024-12-31", "fail", None),
        ("scanned", "2025-12-31", "waived", None),
        ("scanned", "2024-12-31", "fail", None),
    ],
)
def test_a_waiver_holds_to_the_end_of_its_day_and_fails_after_it(tmp_path, check, until, status, reason):
    found = image(tmp_path, {}, policy=policy_of(WAIVER.format(check, until, "")))
    row = finding(found, check)
    assert row["status"] == status
    assert (row["waiver_owner"], row["waiver_until_utc"], row["waiver_reason"]) == ("ops", until, "needed")
    assert reason is None or row["reason"] == reason
    assert waivers(found.findings)["check_id"].tolist() == [check]


def test_a_waiver_is_for_the_images_that_it_names(tmp_path):
    here = policy_of(WAIVER.format("non-root-user", "2025-12-31", f', images: ["oci-dir:{tmp_path}"]'))
    other = policy_of(WAIVER.format("non-root-user", "2025-12-31", ', images: ["docker:*"]'))
    found = image(tmp_path, {}, policy=here)
    assert statuses(found)["non-root-user"] == "waived"
    row = finding(replace(found, policy=other), "non-root-user")
    assert (row["status"], row["waiver_owner"]) == ("fail", None)


def test_a_waiver_keeps_a_check_from_failing_the_gate_and_an_expired_one_does_not(tmp_path):
    found = image(tmp_path, {}, policy=policy_of(WAIVER.format("non-root-user", "2025-12-31", "")))
    assert not finding(found, "non-root-user")["is_gate_failed"]
    expired = replace(found, today_utc="2026-01-01")
    assert finding(expired, "non-root-user")["is_gate_failed"]


def test_the_gate_is_the_severity_of_the_policy_or_a_graver_one(tmp_path):
    found = image(tmp_path, {})

    def gated(text):
        rows = replace(found, policy=policy_of(text)).findings
        return rows.loc[rows["is_gate_failed"], "check_id"].tolist()

    assert gated("") == ["non-root-user"]
    assert gated("fail_on: critical\n") == []
    assert gated("fail_on: medium\n") == ["base-age", "non-root-user"]
    assert gated("fail_on: low\n") == ["base-age", "healthcheck", "non-root-user"]
    assert gated("fail_on: never\n") == []


def test_what_cannot_be_told_fails_the_gate_only_where_the_policy_says_so(tmp_path):
    text = "fail_on: critical\nfail_on_not_assessable: true\nchecks:\n  content-trust: {{severity: critical{}}}\n"
    rows = image(tmp_path, {}, policy=policy_of(text.format(""))).findings
    assert rows.loc[rows["is_gate_failed"], "check_id"].tolist() == ["content-trust"]
    left_out = image(tmp_path, {}, policy=policy_of(text.format(", run: false"))).findings
    assert not left_out["is_gate_failed"].any()


def test_the_verdict_tells_the_gate_the_counts_and_what_did_not_decide():
    found = audit("sample:minimal")
    assert verdict(found.findings, found.policy) == (
        "The image passes the gate of policy default: no check of severity high or a graver one fails.",
        "Of 33 checks: 19 pass, 1 fail, 5 for a person to look at, 8 not assessable, 0 waived.",
        "13 checks did not decide: what cannot be told, and what a person must look at, is no pass.",
    )
    never = replace(found, policy=policy_of("name: open\nfail_on: never\n"))
    assert (
        verdict(never.findings, never.policy)[0] == "Policy open sets no gate: nothing that fails here stops the image."
    )


def test_evidence_is_one_line_that_any_terminal_can_show(tmp_path):
    found = image(tmp_path, {}, User="0:\x1b[31m\n\u202ered" + "x" * 5000)
    evidence = finding(found, "non-root-user")["evidence"]
    assert evidence.startswith("the user is 0:\\x1b[31m \\x202ered")
    assert len(evidence) <= 2001


def test_all_twelve_controls_of_cis_section_4_have_a_check():
    table = check_table(Control, controls())
    assert sorted(set(table.loc[table["framework"] == "CIS Docker", "control_id"])) == CIS


def test_every_check_speaks_to_a_control_and_every_control_names_a_check_that_is_there():
    table = controls()
    known = {check.id for check in CHECKS}
    assert set(table["check_id"]) == known
    assert set(table["framework"]) == {"CIS Docker", "EU CRA", "FedRAMP", "NIST 800-190", "NIST 800-53", "PCI DSS"}
    assert table["source"].str.len().min() > 10
    assert table["basis"].str.len().min() > 10


def test_what_stands_in_a_benchmark_is_not_repeated_beyond_its_short_titles():
    assert controls()["title"].str.len().max() <= 75


def test_a_control_is_as_good_as_the_worst_of_its_checks():
    table = check_table(ControlStatus, control_statuses(audit("sample:full").findings))
    rows = table.set_index(["framework", "control_id"])["status"]
    assert rows["CIS Docker", "4.1"] == "fail"
    assert rows["CIS Docker", "4.2"] == "manual"
    assert rows["CIS Docker", "4.5"] == "not_assessable"
    assert rows["CIS Docker", "4.7"] == "pass"
    assert rows["CIS Docker", "4.10"] == "not_assessable"
    checks = table.set_index(["framework", "control_id"])["checks"]
    assert checks["CIS Docker", "4.4"] == (
        "base-age: pass; image-age: pass; no-old-fixable-vulnerabilities: not_assessable; scanned: manual"
    )


def test_counts_by_framework_add_up_to_its_controls():
    counts = check_table(FrameworkCount, framework_counts(audit("sample:full").findings))
    cis = counts[counts["framework"] == "CIS Docker"]
    assert dict(zip(cis["status"], cis["control_count"], strict=True)) == {
        "fail": 4,
        "manual": 3,
        "not_assessable": 3,
        "pass": 2,
        "waived": 0,
    }
    assert counts["control_count"].sum() == len(control_statuses(audit("sample:full").findings))


def test_findings_are_compared_check_by_check():
    both = compare(audit("sample:full"), audit("sample:minimal"))
    changes = check_table(FindingChange, both.finding_changes).set_index("check_id")
    assert changes.loc["non-root-user", ["change", "status_full", "status_minimal"]].tolist() == [
        "changed",
        "fail",
        "pass",
    ]
    assert changes.loc["healthcheck", ["change", "status_full", "status_minimal"]].tolist() == ["kept", "fail", "fail"]


def test_the_sheet_to_sign_names_image_policy_and_day():
    found = audit("sample:minimal")
    sheet = sign_off(found.image, found.policy, found.today_utc)
    values = dict(zip(sheet["field"], sheet["value"].astype(object), strict=True))
    assert values["Image"] == "sample:minimal"
    assert values["Policy digest"] == read_policy().digest
    assert values["Judged as of"] == "2025-02-01"
    assert values["Reviewed by"] == "_" * 40


def test_checks_are_functions_of_tables_alone(tmp_path):
    seeds = Seeds(tmp_path)
    found = seeds.audited()
    before = {
        name: getattr(found, name).copy() for name in ("image", "layers", "files", "packages", "surface", "binaries")
    }
    first = findings_of(found, found.policy, found.today_utc)
    assert first.equals(findings_of(found, found.policy, found.today_utc))
    assert all(getattr(found, name).equals(table) for name, table in before.items())
    assert json.loads(first.to_json(orient="records"))
