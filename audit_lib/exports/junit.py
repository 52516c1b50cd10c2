"""JUnit XML: findings as CI servers show them, one test case a check.

There is no standard; elements and attributes are those that Jenkins, GitLab and GitHub's actions read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from audit_lib.exports.assessment import Assessment, locations, waiver_text

# XML 1.0 has no place for these, not even as entities.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NUMBERS = ("tests", "failures", "errors", "skipped")
_UNDECIDED = {"manual": "for a person to look at", "not_assessable": "not assessable"}


def junit_xml(*made: Assessment) -> str:
    """Return the findings of one or several images as JUnit XML: one suite an image, one case a check.

    A check that fails is a failure, of the type of its severity; one that is waived, that a person must look at or that cannot be
    told is skipped, with the reason. So a suite without failures may have skipped cases: those did not pass.
    """
    numbers = [_numbers(one) for one in made]
    sums = {name: str(sum(int(each[name]) for each in numbers)) for name in _NUMBERS}
    suites = ET.Element("testsuites", {"name": "image-audit check", **sums})
    for one, counted in zip(made, numbers, strict=True):
        _suite(suites, one, counted)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _numbers(made: Assessment) -> dict[str, str]:
    counts = made.counts
    skipped = counts["waived"] + counts["manual"] + counts["not_assessable"]
    return dict(zip(_NUMBERS, map(str, (len(made.rows), counts["fail"], 0, skipped)), strict=True))


def _suite(suites: ET.Element, made: Assessment, numbers: Mapping[str, str]) -> None:
    named = {"name": _text(made.image), "timestamp": made.made_utc.removesuffix("Z"), "time": "0", **numbers}
    suite = ET.SubElement(suites, "testsuite", named)
    properties = ET.SubElement(suite, "properties")
    facts = {
        **made.facts,
        **{f"policy_{name}": value for name, value in made.policy.items()},
        "judged_as_of": made.today_utc,
    }
    for name, value in facts.items():
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})
    for row in made.rows:
        _case(suite, row)


def _case(suite: ET.Element, row: Mapping[str, Any]) -> None:
    case = ET.SubElement(suite, "testcase", {"name": _text(row["title"]), "classname": row["check_id"], "time": "0"})
    status = row["status"]
    if status == "fail":
        said = _text("; ".join(filter(None, (row["evidence"], row["reason"]))))
        failure = ET.SubElement(case, "failure", {"type": row["severity"], "message": said})
        lines = [
            f"Evidence: {said}",
            f"Remedy: {row['remedy']}",
            f"Controls: {row['controls'] or 'none'}",
            *locations(row),
        ]
        failure.text = _text("\n".join(lines))
    elif status == "waived":
        ET.SubElement(case, "skipped", {"message": _text(f"{waiver_text(row)}. {row['evidence'] or ''}".strip())})
    elif status in _UNDECIDED:
        ET.SubElement(case, "skipped", {"message": _text(f"{_UNDECIDED[status]}: {row['reason']}")})
    elif row["evidence"]:
        ET.SubElement(case, "system-out").text = _text(row["evidence"])


def _text(value: str) -> str:
    return _NO_XML.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
