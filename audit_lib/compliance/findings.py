"""From an image's tables and a policy to its findings, one a check."""

from __future__ import annotations

import datetime as dt
import json

import pandas as pd

from audit_lib.compliance.base import Check, Judged, Rules, Verdict, fact, not_assessable
from audit_lib.compliance.checks import CHECKS
from audit_lib.compliance.controls import controls_of
from audit_lib.compliance.knowledge import gap, unknown
from audit_lib.compliance.policy import SEVERITIES, Policy, Setting, Waiver
from audit_lib.tables import Finding, FindingStatus, make_table

# A table of findings is no list of files: of those that a check means so many are named.
_MAX_LOCATIONS = 50
_MAX_TEXT = 2000


def findings_of(found: Judged, policy: Policy, today_utc: str) -> pd.DataFrame:
    """Return what every check says of an image under a policy (schema `Finding`), as of the day `today_utc`."""
    today = dt.date.fromisoformat(today_utc)
    return make_table(Finding, [_finding(check, found, policy, today) for check in CHECKS])


def verdict_of(check: Check, found: Judged, rules: Rules) -> Verdict:
    """Return what one check says: nothing is said of what is not known, and what is known in part can fail, never pass."""
    for need in check.needs:
        why = unknown(found, need)
        if why is not None:
            return not_assessable(why)
    verdict = check.judge(found, rules)
    if verdict.status == "pass":
        for need in check.needs:
            why = gap(found, need)
            if why is not None:
                return not_assessable(why, f"as far as is known: {verdict.evidence}")
    return verdict


def _finding(check: Check, found: Judged, policy: Policy, today: dt.date) -> Finding:
    image, setting = fact(found, "image"), policy.settings[check.id]
    if setting.run:
        verdict = verdict_of(check, found, Rules(setting.options, policy.bases, today))
    else:
        line = f", line {setting.line}" if setting.line else ""
        verdict = not_assessable(f"the policy leaves this check out ({policy.path}{line})")
    waiver = policy.waiver(check.id, image)
    status, reason = _waived(verdict, waiver, today)
    return Finding(
        image=image,
        check_id=check.id,
        status=status,
        severity=setting.severity,
        evidence=_shown(verdict.evidence),
        waiver_owner=waiver.owner if waiver else None,
        waiver_until_utc=str(waiver.until) if waiver else None,
        title=check.title,
        reason=_shown(reason),
        remedy=check.remedy,
        controls=controls_of().get(check.id),
        locations=json.dumps(verdict.locations[:_MAX_LOCATIONS], ensure_ascii=False) if verdict.locations else None,
        waiver_reason=waiver.reason if waiver else None,
        is_gate_failed=_fails_gate(status, setting, policy),
    )


def _shown(text: str | None) -> str | None:
    r"""Return text out of an image as any table, terminal and document can hold it: in one line, control characters as `\xNN`."""
    if text is None:
        return None
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    plain = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in line)
    return plain if len(plain) <= _MAX_TEXT else f"{plain[:_MAX_TEXT]}…"


def _waived(verdict: Verdict, waiver: Waiver | None, today: dt.date) -> tuple[FindingStatus, str | None]:
    """Return the status and the reason after a waiver: accepted while it lasts, failed when it has ended."""
    if waiver is None:
        return verdict.status, verdict.reason
    if verdict.status == "pass":
        return "pass", "the waiver is not needed: the check passes"
    why = f" ({verdict.reason})" if verdict.reason else ""
    if today > waiver.until:
        return "fail", f"the waiver of {waiver.owner} ended on {waiver.until}{why}"
    return "waived", f"without the waiver: {verdict.status.replace('_', ' ')}{why}"


def _fails_gate(status: FindingStatus, setting: Setting, policy: Policy) -> bool:
    if policy.fail_on is None or SEVERITIES.index(setting.severity) > SEVERITIES.index(policy.fail_on):
        return False
    return status == "fail" or (status == "not_assessable" and setting.run and policy.fail_on_not_assessable)
