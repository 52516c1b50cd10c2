"""Which known vulnerabilities the packages of an image have, by whose word, and how these are counted."""

from __future__ import annotations

from audit_lib.vulnerabilities.counts import count_vulnerabilities, three_numbers
from audit_lib.vulnerabilities.sources import agreement, exposure, notes_on, removal_gains

__all__ = ["agreement", "count_vulnerabilities", "exposure", "notes_on", "removal_gains", "three_numbers"]
