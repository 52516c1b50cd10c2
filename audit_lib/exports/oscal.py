"""OSCAL 1.2.1: findings as assessment results, and what is open as a plan of action and milestones.

Source: NIST, "Open Security Controls Assessment Language", assessment-results and plan-of-action-and-milestones models, JSON.
Controls are those of SP 800-53; identifiers are spelled as in NIST's own catalog (ac-6.10). What else a check speaks to stands in
properties of its observation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from audit_lib.errors import AuditError
from audit_lib.exports import provenance
from audit_lib.exports.assessment import TOOL, Assessment, controls, locations, waiver_text

VERSION = "1.2.1"
_NS = "urn:audit-lib:oscal"
_CATALOG = "NIST 800-53"
_ENHANCEMENT = re.compile(r"([A-Z]{2}-\d+)(?:\((\d+)\))?")


def assessment_results_json(made: Assessment) -> str:
    """Return findings as OSCAL assessment results in JSON.

    One observation a check, with its status, evidence and controls as properties; one risk a check that fails or is waived
    (`open`, `deviation-approved`); one finding a control of SP 800-53 that is told: not satisfied where one of its checks fails or
    is waived, satisfied where all pass. Where a check could not tell or is for a person, and none fails, there is no finding: the
    control is not decided. Identifiers are made of the contents.
    """
    policy = made.identifier("policy")
    risks = [_risk(row, made) for row in made.with_status("fail", "waived")]
    result = {
        "uuid": made.identifier("result"),
        "title": f"Checks of {_line(made.image)}",
        "description": f"What the checks of policy {made.policy['name']} say of the image, from its files and configuration alone.",
        "start": made.made_utc,
        "end": made.made_utc,
        "props": [
            *_props({f"{status.replace('_', '-')}-count": str(count) for status, count in made.counts.items()}),
            *_props({"judged-as-of": made.today_utc}),
        ],
        "local-definitions": {"components": [_image(made), _tool(made)], "assessment-assets": _platform(made)},
        "reviewed-controls": _reviewed(made),
        "observations": [_observation(row, made) for row in made.rows],
        **({"risks": risks} if risks else {}),
    }
    findings = _findings(made)
    if findings:
        result["findings"] = findings
    document = {
        "uuid": made.identifier("assessment-results", json.dumps(result)),
        "metadata": _metadata(f"Assessment of {_line(made.image)}", made),
        "import-ap": {
            "href": f"#{policy}",
            "remarks": "The policy that was applied stands in place of an assessment plan.",
        },
        "results": [result],
        "back-matter": {"resources": [_policy(policy, made)]},
    }
    return json.dumps({"assessment-results": document}, indent=2, ensure_ascii=False) + "\n"


def poam_json(made: Assessment) -> str:
    """Return the checks that fail or are waived as an OSCAL plan of action and milestones in JSON.

    Raises `AuditError` where there is none: OSCAL asks for at least one item.
    """
    rows = made.with_status("fail", "waived")
    if not rows:
        raise AuditError(
            f"{made.image}: no check fails or is waived, so there is nothing to plan (OSCAL asks for at least one item)"
        )
    items = [_poam_item(number, row, made) for number, row in enumerate(rows, 1)]
    document = {
        "uuid": made.identifier("poam", json.dumps(items)),
        "metadata": _metadata(f"Plan of action and milestones for {_line(made.image)}", made),
        "system-id": {"identifier-type": f"{_NS}:image", "id": made.facts.get("manifest_digest") or _line(made.image)},
        "local-definitions": {"components": [_image(made), _tool(made)]},
        "observations": [_observation(row, made) for row in rows],
        "risks": [_risk(row, made) for row in rows],
        "poam-items": items,
    }
    return json.dumps({"plan-of-action-and-milestones": document}, indent=2, ensure_ascii=False) + "\n"


def _metadata(title: str, made: Assessment) -> dict[str, Any]:
    return {"title": title, "last-modified": made.made_utc, "version": provenance.version(), "oscal-version": VERSION}


def _image(made: Assessment) -> dict[str, Any]:
    facts = {name.replace("_", "-"): value for name, value in made.facts.items()}
    return {
        "uuid": made.identifier("image"),
        "type": "software",
        "title": _line(made.image),
        "description": "The container image that was assessed.",
        "props": _props(facts),
        "status": {"state": "operational"},
    }


def _tool(made: Assessment) -> dict[str, Any]:
    return {
        "uuid": made.identifier("tool"),
        "type": "software",
        "title": TOOL,
        "description": "Reads container images and checks their tables; runs nothing of them.",
        "props": _props({"version": provenance.version()}),
        "status": {"state": "operational"},
    }


def _platform(made: Assessment) -> dict[str, Any]:
    return {
        "assessment-platforms": [
            {"uuid": made.identifier("platform"), "uses-components": [{"component-uuid": made.identifier("tool")}]}
        ]
    }


def _reviewed(made: Assessment) -> dict[str, Any]:
    reviewed = sorted({control for row in made.rows for control in _catalog_controls(row)})
    return {
        "control-selections": [
            {
                "description": "Controls of NIST SP 800-53 revision 5 that the checks are evidence for; they prove none of them.",
                **(
                    {"include-controls": [{"control-id": one} for one in reviewed]} if reviewed else {"include-all": {}}
                ),
            }
        ]
    }


def _observation(row: Mapping[str, Any], made: Assessment) -> dict[str, Any]:
    said = row["evidence"] or row["reason"]
    facts = {"check-id": row["check_id"], "status": row["status"].replace("_", "-"), "severity": row["severity"]}
    paths = locations(row)
    observation: dict[str, Any] = {
        "uuid": made.identifier("observation", row["check_id"]),
        "title": row["title"],
        "description": said,
        "props": [*_props(facts), *_control_props(row)],
        "methods": ["TEST"],
        "types": ["finding" if row["status"] == "fail" else "control-objective"],
        "origins": [_origin(made)],
        "subjects": [{"subject-uuid": made.identifier("image"), "type": "component"}],
        "collected": made.made_utc,
    }
    if paths:
        observation["relevant-evidence"] = [{"description": f"{one} in the image"} for one in paths]
    remarks = [row["reason"]] if row["reason"] and row["reason"] != said else []
    remarks += [waiver_text(row)] if row["waiver_owner"] else []
    if remarks:
        observation["remarks"] = "\n\n".join(remarks)
    return observation


def _risk(row: Mapping[str, Any], made: Assessment) -> dict[str, Any]:
    is_waived = row["status"] == "waived"
    risk: dict[str, Any] = {
        "uuid": made.identifier("risk", row["check_id"]),
        "title": row["title"],
        "description": row["evidence"] or row["reason"],
        "statement": f"The check {row['check_id']} does not pass. It asks for this: {row['title']}.",
        "props": _props({"check-id": row["check_id"]}),
        "status": "deviation-approved" if is_waived else "open",
        "characterizations": [
            {"origin": _origin(made), "facets": [{"name": "severity", "system": _NS, "value": row["severity"]}]}
        ],
        "remediations": [
            {
                "uuid": made.identifier("remedy", row["check_id"]),
                "lifecycle": "recommendation",
                "title": f"Remedy for {row['check_id']}",
                "description": row["remedy"],
            }
        ],
        "related-observations": [{"observation-uuid": made.identifier("observation", row["check_id"])}],
    }
    if is_waived:
        risk["deadline"] = f"{row['waiver_until_utc']}T23:59:59Z"
        risk["mitigating-factors"] = [
            {"uuid": made.identifier("waiver", row["check_id"]), "description": waiver_text(row)}
        ]
    return risk


def _findings(made: Assessment) -> list[dict[str, Any]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in made.rows:
        for control in _catalog_controls(row):
            rows.setdefault(control, []).append(row)
    return [found for control, several in sorted(rows.items()) for found in _finding(control, several, made)]


def _finding(control: str, rows: Sequence[Mapping[str, Any]], made: Assessment) -> list[dict[str, Any]]:
    """Return the finding of a control, none where its checks do not decide it."""
    broken = [row for row in rows if row["status"] in {"fail", "waived"}]
    if not broken and any(row["status"] != "pass" for row in rows):
        return []
    listed = ", ".join(f"{row['check_id']} ({row['status'].replace('_', ' ')})" for row in rows)
    state = "not-satisfied" if broken else "satisfied"
    found: dict[str, Any] = {
        "uuid": made.identifier("finding", control),
        "title": f"{control}: {'not satisfied' if broken else 'satisfied as far as the checks reach'}",
        "description": f"The checks that are evidence for {control} say: {listed}. They do not cover the whole control.",
        "target": {
            "type": "statement-id",
            "target-id": f"{control}_smt",
            "status": {"state": state, "reason": "fail" if broken else "pass"},
        },
        "related-observations": [{"observation-uuid": made.identifier("observation", row["check_id"])} for row in rows],
    }
    if broken:
        found["related-risks"] = [{"risk-uuid": made.identifier("risk", row["check_id"])} for row in broken]
    return [found]


def _poam_item(number: int, row: Mapping[str, Any], made: Assessment) -> dict[str, Any]:
    facts = {
        "poam-id": f"{number:03}",
        "check-id": row["check_id"],
        "severity": row["severity"],
        "status": row["status"],
    }
    item: dict[str, Any] = {
        "uuid": made.identifier("poam-item", row["check_id"]),
        "title": row["title"],
        "description": row["evidence"] or row["reason"],
        "props": [*_props(facts), *_control_props(row)],
        "related-observations": [{"observation-uuid": made.identifier("observation", row["check_id"])}],
        "related-risks": [{"risk-uuid": made.identifier("risk", row["check_id"])}],
    }
    if row["waiver_owner"]:
        item["remarks"] = waiver_text(row)
    return item


def _policy(identifier: str, made: Assessment) -> dict[str, Any]:
    return {
        "uuid": identifier,
        "title": f"Policy {_line(made.policy['name'])}",
        "description": "The policy of the checks: thresholds, severities, allowed bases and waivers.",
        "props": _props({"path": made.policy["path"], "digest": made.policy["digest"]}),
    }


def _origin(made: Assessment) -> dict[str, Any]:
    return {"actors": [{"type": "tool", "actor-uuid": made.identifier("tool")}]}


def _props(facts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "ns": _NS, "value": _line(value)} for name, value in facts.items()]


def _control_props(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": "control", "ns": _NS, "value": control, "class": re.sub(r"[^A-Za-z0-9.-]+", "-", framework)}
        for framework, control in controls(row)
    ]


def _catalog_controls(row: Mapping[str, Any]) -> list[str]:
    """Return the controls of SP 800-53 by the identifiers of NIST's catalog: AC-6(10) is ac-6.10."""
    matches = [_ENHANCEMENT.fullmatch(control) for framework, control in controls(row) if framework == _CATALOG]
    return [f"{one[1].lower()}{f'.{one[2]}' if one[2] else ''}" for one in matches if one]


def _line(text: str) -> str:
    """Return text in one line with no space around it, which OSCAL asks of names and values."""
    return " ".join(text.split()) or "-"
