"""What a reviewer reads of findings: the verdict in words, controls with their checks, waivers, the sheet to sign."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import pandas as pd

from audit_lib.compliance.base import counted, named
from audit_lib.compliance.controls import controls
from audit_lib.compliance.policy import Policy
from audit_lib.severity import worst_first
from audit_lib.tables import ControlStatus, FindingStatus, FrameworkCount, make_table

STATUSES: tuple[FindingStatus, ...] = typing.get_args(FindingStatus)
_LINE = "_" * 40
# A control is as good as the worst that its checks say; what is not known is worse than what passes.
_WORST: tuple[FindingStatus, ...] = ("fail", "not_assessable", "manual", "waived", "pass")


def verdict(findings: pd.DataFrame, policy: Policy) -> tuple[str, ...]:
    """Return the verdict in sentences made from the findings (schema `Finding`): the gate first, then each status counted."""
    return tuple(_sentences(findings, policy))


def control_statuses(findings: pd.DataFrame) -> pd.DataFrame:
    """Return one row a control (schema `ControlStatus`): what the checks that speak to it say together, and each of them.

    A control's `status` is the worst of its checks': fail, then not_assessable, manual, waived, pass.
    """
    both = controls().merge(findings[["check_id", "status"]], on="check_id", how="left", validate="many_to_one")
    rows = []
    for _, group in both.groupby(["framework", "control_id"], sort=True):
        said = group.dropna(subset="status")
        rows.append(
            ControlStatus(
                framework=group["framework"].iloc[0],
                control_id=group["control_id"].iloc[0],
                title=group["title"].iloc[0],
                status=min(said["status"], key=_WORST.index, default="not_assessable"),
                checks="; ".join(
                    f"{check}: {status}" for check, status in zip(said["check_id"], said["status"], strict=True)
                ),
                basis=group["basis"].iloc[0],
            )
        )
    return make_table(ControlStatus, rows)


def matrix(findings: pd.DataFrame) -> pd.DataFrame:
    """Return one row a check, gravest first: severity, status, and a column a framework with the controls that it speaks to."""
    rows = by_severity(findings)[["severity", "check_id", "status"]]
    wide = controls().pivot_table(index="check_id", columns="framework", values="control_id", aggfunc=", ".join)
    return rows.merge(wide, left_on="check_id", right_index=True, how="left", validate="one_to_one")


def framework_counts(findings: pd.DataFrame) -> pd.DataFrame:
    """Return one row a framework and status (schema `FrameworkCount`): how many of its controls have it, none included."""
    statuses = control_statuses(findings)
    counts = statuses.value_counts(["framework", "status"])
    return make_table(
        FrameworkCount,
        [
            FrameworkCount(framework=framework, status=status, control_count=int(counts.get((framework, status), 0)))
            for framework in sorted(set(statuses["framework"]))
            for status in STATUSES
        ],
    )


def waivers(findings: pd.DataFrame) -> pd.DataFrame:
    """Return the findings for which the policy has a waiver, in force, expired or not needed: who, why, until when."""
    columns = [
        "check_id",
        "status",
        "severity",
        "waiver_owner",
        "waiver_reason",
        "waiver_until_utc",
        "evidence",
        "reason",
    ]
    return findings.loc[findings["waiver_owner"].notna(), columns].reset_index(drop=True)


def sign_off(image: pd.DataFrame, policy: Policy, today_utc: str) -> pd.DataFrame:
    """Return the sheet to sign: what was reviewed, by which policy, as of which day, and lines that a person fills in."""
    row = image.iloc[0]
    facts = {
        "Image": row["image"],
        "Manifest digest": row["manifest_digest"],
        "Configuration digest": row["config_digest"],
        "Policy": f"{policy.name} ({policy.path})",
        "Policy digest": policy.digest,
        "Judged as of": today_utc,
        "Reviewed by": _LINE,
        "Role": _LINE,
        "Decision (accept, accept with waivers, reject)": _LINE,
        "Date and signature": _LINE,
    }
    values = [None if value is None or pd.isna(value) else str(value) for value in facts.values()]
    return pd.DataFrame({"field": pd.array(list(facts), dtype="string"), "value": pd.array(values, dtype="string")})


def by_severity(findings: pd.DataFrame) -> pd.DataFrame:
    """Return findings (schema `Finding`) gravest first, those that fail the gate before others of their severity."""
    return worst_first(findings.sort_values(["is_gate_failed", "check_id"], ascending=[False, True]))


def _sentences(findings: pd.DataFrame, policy: Policy) -> Iterator[str]:
    gated = by_severity(findings[findings["is_gate_failed"]])
    if policy.fail_on is None:
        yield f"Policy {policy.name} sets no gate: nothing that fails here stops the image."
    elif len(gated):
        checks = named(gated["check_id"], few=len(gated))
        yield f"The image fails the gate of policy {policy.name} at severity {policy.fail_on}, by {checks}."
    else:
        yield f"The image passes the gate of policy {policy.name}: no check of severity {policy.fail_on} or a graver one fails."
    counts = findings["status"].value_counts()
    said = ", ".join(f"{counts.get(status, 0):,} {_WORDS[status]}" for status in STATUSES)
    yield f"Of {counted(len(findings), 'check')}: {said}."
    unknown = int(counts.get("not_assessable", 0)) + int(counts.get("manual", 0))
    if unknown:
        yield f"{counted(unknown, 'check')} did not decide: what cannot be told, and what a person must look at, is no pass."
    expired = findings[(findings["status"] == "fail") & findings["waiver_owner"].notna()]
    if len(expired):
        yield f"{counted(len(expired), 'waiver')} expired: {named(expired['check_id'])}."


_WORDS: dict[FindingStatus, str] = {
    "pass": "pass",
    "fail": "fail",
    "manual": "for a person to look at",
    "not_assessable": "not assessable",
    "waived": "waived",
}
