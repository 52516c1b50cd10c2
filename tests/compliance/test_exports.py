"""Findings as other programs read them: SARIF by its schema, OSCAL by trestle's models, JUnit and Markdown by what they say."""

from __future__ import annotations

import json
import lzma
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from trestle.oscal.assessment_results import Model as Results
from trestle.oscal.poam import Model as Plan

from audit_lib import AuditError, audit
from audit_lib.compliance import controls, parse_policy
from audit_lib.exports.assessment import FRAMEWORKS, assessment_of
from audit_lib.exports.junit import junit_xml
from audit_lib.exports.markdown import markdown_summary
from audit_lib.exports.oscal import assessment_results_json, poam_json
from audit_lib.exports.poam import poam_items
from audit_lib.exports.sarif import sarif_json
from audit_lib.tables import PoamItem, check_table
from tests.images import file, oci_dir

SCHEMA = Path(__file__).parents[1] / "documents" / "sarif-2.1.0-rtm.5.schema.json.xz"
WAIVED = b"""schema: 1
name: shop
waivers:
  - {check: no-setuid, reason: "su is | needed", owner: "@ops", until: 2026-12-31}
  - {check: scanned, reason: scanned by hand, owner: security, until: 2026-12-31}
  - {check: healthcheck, reason: probes, owner: ops, until: 2024-12-31}
"""
EXPORTS = (sarif_json, junit_xml, markdown_summary, assessment_results_json, poam_json)


@pytest.fixture(scope="module")
def full():
    return audit("sample:full", policy=parse_policy(WAIVED, "shop.yml"))


@pytest.fixture(scope="module")
def made(full):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1735689600")
        return assessment_of(full)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return an image whose names try to be markup: users, paths, labels and a reference."""
    path = tmp_path_factory.mktemp("hostile") / "a|b <script>@all"
    files = {
        "bin/sh|`x` <img src=x>": file(b"x", mode=0o4755),
        "usr/bin/bash": file(b"x", mode=0o755),
        "srv/\x1b[31mred\n\ud7ff\x00"[:-1]: file(b"", mode=0o666),
    }
    config = {"User": "root:*b* | @team\n\x07", "Labels": {"org.opencontainers.image.base.name": "](http://x) \ud800"}}
    oci_dir(path, layers=[files], config={"config": config})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1735689600")
        return assessment_of(audit(f"oci-dir:{path}", today_utc="2025-01-01"))


def sarif_faults(text):
    schema = json.loads(lzma.decompress(SCHEMA.read_bytes()))
    checker = jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)
    return [error.message for error in checker.iter_errors(json.loads(text))]


def test_sarif_is_valid_by_its_schema(made, hostile):
    assert sarif_faults(sarif_json(made)) == []
    assert sarif_faults(sarif_json(hostile)) == []


def test_sarif_shows_what_fails_and_what_is_waived_as_results_and_nothing_else(made):
    (run,) = json.loads(sarif_json(made))["runs"]
    results = {result["ruleId"]: result for result in run["results"]}
    assert set(results) == {"healthcheck", "no-package-manager", "no-setuid", "no-shell", "non-root-user", "scanned"}
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {row["check_id"] for row in made.rows}
    assert results["no-setuid"]["suppressions"] == [
        {
            "kind": "external",
            "status": "accepted",
            "justification": "waived by @ops until 2026-12-31: su is | needed",
        }
    ]
    assert [name for name, result in results.items() if "suppressions" in result] == ["no-setuid", "scanned"]
    told = {note["associatedRule"]["id"] for note in run["invocations"][0]["toolExecutionNotifications"]}
    assert told == {row["check_id"] for row in made.rows if row["status"] in {"manual", "not_assessable"}}
    assert run["properties"]["statusCounts"] == {"pass": 15, "fail": 4, "waived": 2, "manual": 4, "not_assessable": 8}


def test_sarif_levels_and_scores_follow_the_severity(made):
    (run,) = json.loads(sarif_json(made))["runs"]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    shown = {
        name: (rules[name]["defaultConfiguration"]["level"], rules[name]["properties"]["security-severity"])
        for name in ("no-secrets-in-files", "non-root-user", "no-setuid", "no-shell")
    }
    assert shown == {
        "no-secrets-in-files": ("error", "9.5"),
        "non-root-user": ("error", "8.0"),
        "no-setuid": ("warning", "5.5"),
        "no-shell": ("note", "2.0"),
    }
    levels = {result["ruleId"]: result["level"] for result in run["results"]}
    assert (levels["non-root-user"], levels["no-package-manager"], levels["no-shell"]) == ("error", "warning", "note")
    for result in run["results"]:
        assert rules[result["ruleId"]] is run["tool"]["driver"]["rules"][result["ruleIndex"]]


def test_sarif_places_are_paths_below_the_root_of_the_image(made, hostile):
    (run,) = json.loads(sarif_json(made))["runs"]
    (shell,) = [result for result in run["results"] if result["ruleId"] == "no-shell"]
    assert [place["physicalLocation"]["artifactLocation"] for place in shell["locations"]] == [
        {"uri": "usr/bin/bash", "uriBaseId": "IMAGE_ROOT"},
        {"uri": "usr/bin/dash", "uriBaseId": "IMAGE_ROOT"},
    ]
    (run,) = json.loads(sarif_json(hostile))["runs"]
    uris = {
        place["physicalLocation"]["artifactLocation"]["uri"]
        for result in run["results"]
        for place in result["locations"]
    }
    assert "bin/sh%7C%60x%60%20%3Cimg%20src%3Dx%3E" in uris


def test_an_alert_of_sarif_is_the_same_one_the_next_day(full):
    prints = []
    for day in ("1735689600", "1735776000"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", day)
            (run,) = json.loads(sarif_json(assessment_of(full)))["runs"]
        prints.append([result["partialFingerprints"] for result in run["results"]])
    assert prints[0] == prints[1]


def test_oscal_holds_with_the_models_of_trestle(made, hostile):
    for one in (made, hostile):
        Results.model_validate_json(assessment_results_json(one))
        Plan.model_validate_json(poam_json(one))


def test_oscal_has_an_observation_a_check_and_a_risk_for_what_is_open(made):
    document = json.loads(assessment_results_json(made))["assessment-results"]
    assert document["metadata"]["oscal-version"] == "1.2.1"
    (result,) = document["results"]
    assert len(result["observations"]) == len(made.rows) == 33
    statuses = {prop(one, "check-id"): one["status"] for one in result["risks"]}
    assert statuses == {
        "healthcheck": "open",
        "no-package-manager": "open",
        "no-setuid": "deviation-approved",
        "no-shell": "open",
        "non-root-user": "open",
        "scanned": "deviation-approved",
    }
    setuid = next(one for one in result["risks"] if prop(one, "check-id") == "no-setuid")
    assert setuid["deadline"] == "2026-12-31T23:59:59Z"
    assert setuid["mitigating-factors"][0]["description"] == "waived by @ops until 2026-12-31: su is | needed"


def test_oscal_decides_a_control_only_where_its_checks_do(made):
    (result,) = json.loads(assessment_results_json(made))["assessment-results"]["results"]
    states = {one["target"]["target-id"]: one["target"]["status"]["state"] for one in result["findings"]}
    assert states == {
        "ac-6.10_smt": "not-satisfied",
        "ac-6_smt": "not-satisfied",
        "cm-6_smt": "not-satisfied",
        "cm-7_smt": "not-satisfied",
        "ra-5_smt": "not-satisfied",
        "sa-22_smt": "satisfied",
    }
    reviewed = {one["control-id"] for one in result["reviewed-controls"]["control-selections"][0]["include-controls"]}
    assert reviewed == {
        *(
            "ac-6",
            "ac-6.10",
            "cm-10",
            "cm-14",
            "cm-2",
            "cm-6",
            "cm-7",
            "cm-8",
            "ia-5.7",
            "ra-5",
            "sa-22",
            "si-2",
            "si-3",
        ),
        *("si-7", "sr-11", "sr-4"),
    }


def test_every_reference_within_oscal_leads_somewhere_and_no_identifier_is_used_twice(made):
    for text in (assessment_results_json(made), poam_json(made)):
        defined = re.findall(r'"uuid": "([^"]+)"', text)
        used = re.findall(r'"(?:observation|risk|actor|subject|component)-uuid": "([^"]+)"', text)
        assert len(defined) == len(set(defined))
        assert set(used) <= set(defined)


def test_a_plan_without_an_item_is_told_not_written():
    clean = [f"{check}: {{run: false}}" for check in ("healthcheck",)]
    policy = parse_policy(("schema: 1\nchecks:\n" + "".join(f"  {line}\n" for line in clean)).encode(), "p.yml")
    made = assessment_of(audit("sample:minimal", policy=policy))
    assert len(poam_items(made)) == 0
    with pytest.raises(AuditError, match="sample:minimal: no check fails or is waived, so there is nothing to plan"):
        poam_json(made)


def test_rows_of_a_plan_are_what_fails_and_what_is_waived(made):
    rows = check_table(PoamItem, poam_items(made))
    assert rows["source_identifier"].tolist() == [
        "healthcheck",
        "no-package-manager",
        "no-setuid",
        "no-shell",
        "non-root-user",
        "scanned",
    ]
    assert rows["status"].tolist() == ["open", "open", "risk accepted", "open", "open", "risk accepted"]
    assert rows["poam_id"].tolist() == ["001", "002", "003", "004", "005", "006"]
    assert rows["point_of_contact"].isna().tolist() == [False, True, False, True, True, False]
    assert rows["original_risk_rating"].tolist() == ["low", "medium", "medium", "low", "high", "high"]
    assert rows.loc[1, "controls"] == (
        "CIS Docker 4.3; EU CRA I (2)(j); FedRAMP hardened-images; NIST 800-190 4.1.2; NIST 800-53 CM-7; PCI DSS 2.2.4"
    )


def test_junit_has_a_case_a_check_and_skips_what_did_not_decide(made, hostile):
    suites = parsed(junit_xml(made))
    (suite,) = suites
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "33",
        "failures": "4",
        "errors": "0",
        "skipped": "14",
    }
    cases = suite.findall("testcase")
    assert [len(suite.findall(f"testcase/{name}")) for name in ("failure", "skipped")] == [4, 14]
    assert {case.get("classname") for case in cases} == {row["check_id"] for row in made.rows}
    skipped = {
        case.get("classname"): case.find("skipped").get("message") for case in cases if case.find("skipped") is not None
    }
    assert skipped["no-setuid"].startswith("waived by @ops until 2026-12-31: su is | needed. 11 setuid or setgid files")
    assert skipped["base-allowed"].startswith("for a person to look at: which base")
    assert skipped["fixed-name"].startswith("not assessable: the image was read from sample")
    failed = next(case.find("failure") for case in cases if case.get("classname") == "healthcheck")
    assert failed.get("type") == "low"
    assert "the waiver of ops ended on 2024-12-31" in failed.get("message")
    assert parsed(junit_xml(hostile)).get("tests") == "33"


def test_markdown_says_the_verdict_what_fails_and_who_waived_what(made):
    text = markdown_summary(made)
    assert text.startswith(
        "### ❌ sample:full\n\n**1 of 33 checks fail the gate** of policy shop. Checks: 15 passed, 4 failed, 2 waived, "
    )
    assert "| **high** (gate) | `non-root-user` | no user is stated, so processes start as root |" in text
    assert "| `no-setuid` | waived | @\u2060ops | 2026-12-31 | su is \\| needed |" in text
    assert "| `healthcheck` | fail | ops | 2024-12-31 | probes |" in text
    assert len(text) < 65_536


def test_markdown_shows_an_images_own_text_as_text(hostile):
    text = markdown_summary(hostile)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
    assert cells <= {3, 5, 6}
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert not re.search(r"@\w", text)
    assert "\x1b" not in text


@pytest.mark.parametrize("export", EXPORTS)
def test_the_same_findings_give_the_same_bytes(export, full, made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1735689600")
        assert export(assessment_of(full)) == export(made)
    assert export(made).endswith("\n")


@pytest.mark.parametrize("export", EXPORTS)
def test_every_export_holds_every_check_that_is_open(export, made):
    text = export(made)
    for row in made.with_status("fail", "waived"):
        assert row["check_id"] in text


def test_the_frameworks_are_those_of_the_controls_file():
    assert tuple(sorted(set(controls()["framework"]))) == FRAMEWORKS


def test_exporting_needs_no_trestle():
    code = "import sys; import audit_lib.commands.check; print([name for name in sys.modules if name.startswith('trestle')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def parsed(text):
    return ET.fromstring(text)  # noqa: S314 - our own document


def prop(thing, name):
    return next(one["value"] for one in thing["props"] if one["name"] == name)
