"""Which known vulnerabilities the packages of an image have, by whose word, and how these are counted."""

from __future__ import annotations

from audit_lib.vulnerabilities.counts import count_vulnerabilities

__all__ = ["count_vulnerabilities"]
