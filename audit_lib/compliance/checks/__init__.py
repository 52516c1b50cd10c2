"""The checks: `CHECKS` lists every one of them."""

from __future__ import annotations

from audit_lib.compliance.base import Check
from audit_lib.compliance.checks import configuration, history, origin, software, surface, vulnerabilities

# A new check is one function and one value in its module; a new module has a name here.
CHECKS: tuple[Check, ...] = (
    *configuration.CHECKS,
    *history.CHECKS,
    *origin.CHECKS,
    *software.CHECKS,
    *surface.CHECKS,
    *vulnerabilities.CHECKS,
)
