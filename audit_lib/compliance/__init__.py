"""What an auditor asks of an image: checks over its tables, a policy, waivers, and the controls that they speak to."""

from __future__ import annotations

from audit_lib.compliance.checks import CHECKS
from audit_lib.compliance.controls import controls
from audit_lib.compliance.findings import findings_of
from audit_lib.compliance.policy import NEVER, SEVERITIES, Policy, parse_policy, read_policy
from audit_lib.compliance.review import (
    by_severity,
    control_statuses,
    framework_counts,
    matrix,
    sign_off,
    verdict,
    waivers,
)

__all__ = [
    "CHECKS",
    "NEVER",
    "SEVERITIES",
    "Policy",
    "by_severity",
    "control_statuses",
    "controls",
    "findings_of",
    "framework_counts",
    "matrix",
    "parse_policy",
    "read_policy",
    "sign_off",
    "verdict",
    "waivers",
]
