"""Checks of known vulnerabilities: whether anybody looked for them lately, and whether fixes were left lying."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import pandas as pd

from audit_lib.clock import parse_day
from audit_lib.compliance.base import (
    Check,
    Judged,
    Rules,
    Verdict,
    counted,
    failed,
    named,
    not_assessable,
    passed,
    to_look_at,
)
from audit_lib.vulnerabilities.sources import exposure

_SEVERITIES = ("critical", "high", "medium", "low", "negligible")


class _Source(NamedTuple):
    """What looked for vulnerabilities, the day of its data (else of its report), and why it does not count."""

    name: str
    day: dt.date | None
    fault: str | None


def scanned(found: Judged, rules: Rules) -> Verdict:
    """Pass where a scanner, or advisories, of at most `max_days` ago speak of this image; leave to a person where none is named."""
    if not found.knows("vulnerabilities"):
        return to_look_at(
            "a vulnerability scan of this image, by its digest: which scanner, data of which day, what was found and fixed"
        )
    sources = _sources(found)
    good = [one for one in sources if one.fault is None]
    told = named(f"{one.name} ({one.fault or one.day or 'no date'})" for one in sources)
    if not good:
        return failed(told)
    days = [(rules.today - one.day).days for one in good if one.day is not None]
    if not days:
        return to_look_at("of which day the scanner's data was: the report does not state it", told)
    if min(days) > rules.options["max_days"]:
        return failed(f"{told}; the policy allows {rules.options['max_days']:,} days before {rules.today}")
    return passed(told)


def no_old_fixable_vulnerabilities(found: Judged, rules: Rules) -> Verdict:
    """Fail where a vulnerability of the policy's severities has had a fix for more than `max_days`."""
    rows = exposure(found.vulnerabilities, as_of_utc=rules.today.isoformat())
    fixable = rows[rows["is_fixable"]]
    grave = fixable[fixable["severity"].isin(rules.options["severities"])]
    most = rules.options["max_days"]
    old = grave[(grave["exposed_days"] > most).fillna(value=False)].sort_values(
        "exposed_days", ascending=False, kind="stable"
    )
    words = " or ".join(rules.options["severities"])
    if len(old):
        said = named(_told(row) for _, row in old.iterrows())
        return failed(f"{counted(len(old), f'fixable {words} one')} older than {most:,} days: {said}")
    undated = grave[grave["exposed_days"].isna()]
    if len(undated):
        said = named(f"{row['vulnerability_id']} in {row['name']}" for _, row in undated.iterrows())
        return not_assessable(
            f"no source states since when {counted(len(undated), f'fixable {words} one')} could be fixed: {said}"
        )
    ungraded = int((fixable["severity"] == "unknown").sum())
    if ungraded:
        return not_assessable(f"the severity of {counted(ungraded, 'fixable one')} is unknown")
    return passed(f"{counted(len(grave), f'fixable {words} one')}, none older than {most:,} days")


def _told(row: pd.Series) -> str:
    return f"{row['vulnerability_id']} in {row['name']} (fixed in {row['fixed_version']}, {int(row['exposed_days']):,} days)"


def _sources(found: Judged) -> list[_Source]:
    reports = {row["found_by"]: row for _, row in found.scanner_reports.iterrows()}
    counts = found.vulnerability_counts.drop_duplicates("found_by")
    sources = []
    for found_by, data_utc, version in zip(
        counts["found_by"], counts["data_utc"], counts["found_by_version"], strict=True
    ):
        report = reports.get(found_by)
        name = found_by if pd.isna(version) else f"{found_by} {version}"
        stated = data_utc if report is None or not pd.isna(data_utc) else report["scanned_utc"]
        # Of advisories of several ecosystems the oldest day counts.
        day = None if pd.isna(stated) else parse_day(min(str(stated).split(", ")))
        sources.append(_Source(name, day, None if report is None else _fault(report)))
    return sources


def _fault(report: pd.Series) -> str | None:
    """Return why a report says nothing that counts of this image."""
    if not pd.isna(report["is_compromised"]) and report["is_compromised"]:
        return "that version was tampered with"
    if not pd.isna(report["is_same_image"]) and not report["is_same_image"]:
        return "of another image, by its digest"
    return None


CHECKS = (
    Check(
        id="scanned",
        title="The image was scanned for vulnerabilities",
        needs=(),
        judge=scanned,
        remedy="Scan it before each deployment and at least every month, and name the report (--scanner-report).",
        options={"max_days": "count"},
    ),
    Check(
        id="no-old-fixable-vulnerabilities",
        title="No grave vulnerability has had a fix for long",
        needs=("vulnerabilities",),
        judge=no_old_fixable_vulnerabilities,
        remedy="Build the image anew with the fixed versions; where one does not affect it, state that (--vex).",
        options={"max_days": "count", "severities": _SEVERITIES},
    ),
)
