"""SARIF 2.1.0: findings as code hosts show them.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0". Levels are those that Trivy
writes; `security-severity` is a number within the range that code hosts call by that name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from audit_lib.exports import provenance
from audit_lib.exports.assessment import TOOL, Assessment, controls, locations, waiver_text

_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
_ROOT = "IMAGE_ROOT"
_SHOWN = 20


def sarif_json(*made: Assessment) -> str:
    """Return the findings of one or several images as a SARIF 2.1.0 log in JSON, valid against its schema; one run an image.

    Results are the checks that fail and those that are waived; the latter are suppressed, with who and why. Code hosts show every
    result as an alert, whatever its kind, so checks that pass are rules without a result, and those that a person must look at or
    that cannot be told are notifications of the invocation: they are in the file, and no alert.
    """
    log = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [_run(one) for one in made],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _run(made: Assessment) -> dict[str, Any]:
    rules = [_rule(row) for row in made.rows]
    places = {row["check_id"]: place for place, row in enumerate(made.rows)}
    return {
        "tool": {"driver": {"name": TOOL, "version": provenance.version(), "rules": rules}},
        "automationDetails": {"id": f"{TOOL}/{made.image}/"},
        "invocations": [_invocation(made, places)],
        "originalUriBaseIds": {_ROOT: {"description": {"text": f"the root of the image {made.image}"}}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(row, places, made) for row in made.with_status("fail", "waived")],
        "properties": {
            "image": dict(made.facts),
            "policy": dict(made.policy),
            "judgedAsOf": made.today_utc,
            "statusCounts": made.counts,
        },
    }


def _rule(row: Mapping[str, Any]) -> dict[str, Any]:
    tags = ["security", "container", *(f"{framework} {control}" for framework, control in controls(row))]
    return {
        "id": row["check_id"],
        "name": "".join(word.capitalize() for word in row["check_id"].split("-")),
        "shortDescription": {"text": row["title"]},
        "fullDescription": {"text": f"{row['title']}."},
        "help": {"text": row["remedy"], "markdown": row["remedy"]},
        "defaultConfiguration": {"level": _LEVELS[row["severity"]]},
        "properties": {"tags": tags, "precision": "high", "security-severity": _SCORES[row["severity"]]},
    }


def _result(row: Mapping[str, Any], places: Mapping[str, int], made: Assessment) -> dict[str, Any]:
    paths = locations(row)
    text = ". ".join(filter(None, (f"{row['title']}: this does not hold", row["evidence"], row["reason"])))
    result = {
        "ruleId": row["check_id"],
        "ruleIndex": places[row["check_id"]],
        "kind": "fail",
        "level": _LEVELS[row["severity"]],
        "message": {"text": f"{made.image}: {text}"},
        "locations": [_location(path) for path in paths[:_SHOWN]] or [_location(None, made.image)],
        "partialFingerprints": {"imageAndCheck/v1": _fingerprint(made, row)},
        "properties": {"severity": row["severity"], "status": row["status"], "locationCount": len(paths)},
    }
    if row["status"] == "waived":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": waiver_text(row)}]
    return result


def _location(path: str | None, image: str = "") -> dict[str, Any]:
    """Return a place in the image's tree; without one, the image itself, under its name."""
    artifact = {"uri": quote(path.lstrip("/") if path is not None else image)}
    if path is not None:
        artifact["uriBaseId"] = _ROOT
    region = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
    said = path if path is not None else image
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}, "message": {"text": said}}


def _fingerprint(made: Assessment, row: Mapping[str, Any]) -> str:
    """Return what makes an alert the same one in the next run: the image's name and the check, not what was found."""
    return hashlib.sha256(f"{made.image}\0{row['check_id']}".encode()).hexdigest()


def _invocation(made: Assessment, places: Mapping[str, int]) -> dict[str, Any]:
    return {
        "executionSuccessful": True,
        "endTimeUtc": made.made_utc,
        "toolExecutionNotifications": [
            {
                "descriptor": {"id": row["status"]},
                "associatedRule": {"id": row["check_id"], "index": places[row["check_id"]]},
                "level": "note",
                "message": {"text": f"{row['title']}: {_UNDECIDED[row['status']]}: {row['reason']}"},
            }
            for row in made.with_status("manual", "not_assessable")
        ],
    }


_UNDECIDED = {"manual": "for a person to look at", "not_assessable": "cannot be told"}
