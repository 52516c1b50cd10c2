"""What a container image really holds, and what a hardened image really gains, as pandas DataFrames."""

from __future__ import annotations

from audit_lib.audit import Audit, audit
from audit_lib.errors import AuditError

__all__ = ["Audit", "AuditError", "audit"]
