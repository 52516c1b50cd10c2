"""Reports of vulnerability scanners: which notation one is in, and what it states; opens nothing itself."""

from __future__ import annotations

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import parse_object
from audit_lib.vulnerabilities.reports import cyclonedx, gitlab, grype, osv, sarif, trivy
from audit_lib.vulnerabilities.reports.base import Report, ReportFormat

# A new notation is one module with a value FORMAT, and its name here; the first that recognises a document reads it.
REPORTS: tuple[ReportFormat, ...] = (
    sarif.FORMAT,
    cyclonedx.FORMAT,
    gitlab.FORMAT,
    grype.FORMAT,
    trivy.FORMAT,
    osv.FORMAT,
)
_FEW = 5


def parse(data: bytes, path: str, *, limit: int) -> Report:
    """Return what a scanner's report states, in one of the notations of `REPORTS` (JSON in UTF-8).

    Raises `DamagedDatabaseError`, with the place in the report, for anything else, or for more than `limit` bytes. An entry that
    cannot be read is counted in the report's `broken`; the rest is kept.
    """
    if len(data) > limit:
        raise DamagedDatabaseError(path, None, f"{len(data):,} bytes; expected a report of at most {limit:,}")
    document = parse_object(data, path, limit=limit)
    for form in REPORTS:
        if form.recognises(document):
            return form.parse(document, path)
    keys = ", ".join(sorted(map(repr, list(document)[:_FEW]))) or "none"
    expected = ", ".join(form.expected for form in REPORTS)
    raise DamagedDatabaseError(
        path, None, f"expected a scanner's report: {expected}; found an object with the keys {keys[:200]}"
    )
