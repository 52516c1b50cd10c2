"""GitLab's JSON of a container scan: Docker Scout (`docker scout cves --format gitlab`) and others write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.formats.documents import text
from audit_lib.sboms.base import inner, listed
from audit_lib.vulnerabilities.reports.base import (
    Match,
    Report,
    ReportFormat,
    fix_of,
    id_in,
    line_of,
    severity_of,
    utc_of,
)

_TYPES = frozenset({"container_scanning", "dependency_scanning"})
# Scanners write the fix into a sentence: Scout "Upgrade a to 1.2", Trivy "Upgrade a to 1.2", Grype "Upgrade a from 1.0 to 1.2".
_FIX = " to "
_NO_FIX = ("no fix", "no solution", "not fixed", "none")


def parse(document: Mapping[str, Any], path: str) -> Report:
    """Return what a GitLab report (a parsed JSON object, schema of container scanning 14 and 15) states.

    It has no purl: packages are known by name and version. Raises `DamagedDatabaseError` where `vulnerabilities` is no list of
    objects.
    """
    scan = inner(document, "scan")
    scanner = inner(scan, "scanner")
    found = Report(
        notation=f"GitLab {line_of(document.get('version')) or '(no version)'}",
        scanner=line_of(scanner.get("name")) or line_of(scanner.get("id")),
        scanner_version=line_of(scanner.get("version")),
        scanned_utc=utc_of(scan.get("end_time")) or utc_of(scan.get("start_time")),
    )
    for place, stated in listed(document, "vulnerabilities", "", path):
        location = inner(stated, "location")
        found.subject = found.subject or line_of(location.get("image"))
        dependency = inner(location, "dependency")
        identifiers = list(_identifiers(stated))
        identity, name = next(iter(identifiers), None), line_of(inner(dependency, "package").get("name"))
        if identity is None or name is None:
            found.breaks(place, "expected an identifier and /location/dependency/package/name")
            continue
        fixed_version = _fixed(stated)
        found.matches.append(
            Match(
                place=place,
                vulnerability_id=identity,
                aliases=tuple(one for one in dict.fromkeys(identifiers) if one != identity),
                name=name,
                version=line_of(dependency.get("version")),
                severity=severity_of([stated.get("severity")]),
                fixed_version=fixed_version,
                fix_state=fix_of(fixed_version),
                path=line_of(location.get("file")),
            )
        )
    return found


def _identifiers(stated: Mapping[str, Any]) -> Iterator[str]:
    """Yield ids of the vulnerability, CVEs first; weaknesses (CWE) are none."""
    identifiers = stated.get("identifiers")
    entries = [one for one in identifiers if isinstance(one, dict)] if isinstance(identifiers, list) else []
    entries.sort(key=lambda one: text(one.get("type")) != "cve")
    for one in entries:
        value = line_of(one.get("value")) or line_of(one.get("name"))
        if value is not None and text(one.get("type")) != "cwe":
            yield id_in(value) or value
    if not entries:
        known = id_in(stated.get("cve")) or id_in(stated.get("id"))
        if known is not None:
            yield known


def _fixed(stated: Mapping[str, Any]) -> str | None:
    """Return the version in the solution's sentence, None where it names none."""
    solution = line_of(stated.get("solution"))
    if solution is None or solution.lower().startswith(_NO_FIX) or _FIX not in solution:
        return None
    version = solution.rpartition(_FIX)[2].strip(" .\"'")
    return version if any(one.isdigit() for one in version) and " " not in version.replace(", ", ",") else None


FORMAT = ReportFormat(
    name="gitlab",
    expected="GitLab's container scan (vulnerabilities, scan)",
    recognises=lambda document: "vulnerabilities" in document and text(inner(document, "scan").get("type")) in _TYPES,
    parse=parse,
)
