"""CycloneDX with vulnerabilities, as Trivy, Grype and others write it beside, or instead of, an SBOM (ECMA-424)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import text
from audit_lib.sboms.base import inner, listed
from audit_lib.tables import VulnerabilityStatus
from audit_lib.vulnerabilities.reports.base import (
    Match,
    Report,
    ReportFormat,
    fix_of,
    line_of,
    objects_of,
    score_of,
    severity_of,
    utc_of,
)

_MAX_COMPONENTS = 1_000_000
# What `analysis.state` means in the words of VEX.
STATES: Mapping[str, VulnerabilityStatus] = {
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "exploitable": "affected",
    "in_triage": "under_investigation",
    "false_positive": "not_affected",
    "not_affected": "not_affected",
}
# The newest notation in which a vulnerability is rated counts.
_METHODS = ("CVSSv4", "CVSSv31", "CVSSv3", "CVSSv2")
_FIXED_IN = "aquasecurity:trivy:FixedVersion"


def parse(document: Mapping[str, Any], path: str) -> Report:
    """Return the vulnerabilities of a CycloneDX document (a parsed JSON object, version 1.4 to 1.7).

    One match a vulnerability and component that it affects. Raises `DamagedDatabaseError` where a list is none of objects.
    """
    metadata = inner(document, "metadata")
    scanner, version = maker(metadata, path)
    subject = inner(metadata, "component")
    found = Report(
        notation=f"CycloneDX {line_of(document.get('specVersion')) or '(no version)'}",
        scanner=scanner,
        scanner_version=version,
        scanned_utc=utc_of(metadata.get("timestamp")),
        subject=line_of(subject.get("name")),
        digests=frozenset(_digests(subject, path)),
    )
    parts = components(document, path)
    for place, stated in listed(document, "vulnerabilities", "", path):
        identity = line_of(stated.get("id"))
        if identity is None:
            found.breaks(place, "expected /id to be a text")
            continue
        affected = list(listed(stated, "affects", place, path))
        if not affected:
            found.breaks(place, f"{identity} affects no component")
        for where, one in affected:
            reference = text(one.get("ref"))
            component = parts.get(reference or "")
            if component is None and (reference is None or not reference.startswith("pkg:")):
                found.breaks(where, f"{identity}: no component has the bom-ref {reference!r}"[:200])
                continue
            found.matches.append(_match(where, identity, stated, one, component or {"purl": reference}))
    return found


def components(document: Mapping[str, Any], path: str) -> dict[str, Mapping[str, Any]]:
    """Return all components, the subject included, by their `bom-ref`. Not by Python's stack: documents from strangers are deep."""
    found: dict[str, Mapping[str, Any]] = {}
    waiting = [
        listed(document, "components", "", path),
        iter([("/metadata/component", inner(inner(document, "metadata"), "component"))]),
    ]
    while waiting:
        following = next(waiting[-1], None)
        if following is None:
            waiting.pop()
            continue
        reference = text(following[1].get("bom-ref"))
        if reference is not None:
            found.setdefault(reference, following[1])
        if len(found) > _MAX_COMPONENTS:
            raise DamagedDatabaseError(path, None, f"more than {_MAX_COMPONENTS:,} components")
        waiting.append(listed(following[1], "components", following[0], path))
    return found


def maker(metadata: Mapping[str, Any], path: str) -> tuple[str | None, str | None]:
    """Return name and version of the first tool; tools are a list of old, and an object with components since 1.5."""
    tools = metadata.get("tools")
    owner, key, place = (
        (tools, "components", "/metadata/tools") if isinstance(tools, dict) else (metadata, "tools", "/metadata")
    )
    for _, tool in listed(owner, key, place, path):
        name = line_of(tool.get("name"))
        if name is not None:
            return name, line_of(tool.get("version"))
    return None, None


def _digests(subject: Mapping[str, Any], path: str) -> Iterator[str]:
    for _, one in listed(subject, "properties", "/metadata/component", path):
        value = text(one.get("value"))
        if value is not None and text(one.get("name")) in {
            "aquasecurity:trivy:ImageID",
            "aquasecurity:trivy:RepoDigest",
        }:
            yield value.rpartition("@")[2]


def _match(
    place: str, identity: str, stated: Mapping[str, Any], affected: Mapping[str, Any], component: Mapping[str, Any]
) -> Match:
    score, words = _ratings(stated)
    analysis = inner(stated, "analysis")
    fixed_version = _fixed(stated, affected)
    group, name = line_of(component.get("group")), line_of(component.get("name"))
    references = stated.get("references")
    aliases = (
        [line_of(one.get("id")) for one in references if isinstance(one, dict)] if isinstance(references, list) else []
    )
    return Match(
        place=place,
        vulnerability_id=identity,
        aliases=tuple(dict.fromkeys(one for one in aliases if one is not None and one != identity)),
        purl=line_of(component.get("purl")),
        name=f"{group}/{name}" if group and name else name,
        version=line_of(component.get("version")),
        severity=severity_of(words, score),
        cvss_score=score,
        fixed_version=fixed_version,
        fix_state=fix_of(fixed_version),
        published_utc=utc_of(stated.get("published")),
        status=STATES.get(text(analysis.get("state")) or "", "affected"),
        justification=line_of(analysis.get("justification")) or line_of(analysis.get("detail")),
    )


def _ratings(stated: Mapping[str, Any]) -> tuple[float | None, list[object]]:
    """Return a CVSS score and severities, those of the vulnerability's own source first."""
    ratings = stated.get("ratings")
    entries = [one for one in ratings if isinstance(one, dict)] if isinstance(ratings, list) else []
    own = text(inner(stated, "source").get("name"))
    entries.sort(key=lambda one: text(inner(one, "source").get("name")) != own)
    for method in _METHODS:
        for one in entries:
            score = score_of(one.get("score"))
            if score is not None and text(one.get("method")) == method:
                return score, [each.get("severity") for each in entries]
    return None, [each.get("severity") for each in entries]


def _fixed(stated: Mapping[str, Any], affected: Mapping[str, Any]) -> str | None:
    """Return the versions that are said not to be affected, else what a known sentence or property names as the fix."""
    versions = affected.get("versions")
    for one in versions if isinstance(versions, list) else []:
        if isinstance(one, dict) and text(one.get("status")) == "unaffected":
            return line_of(one.get("version")) or line_of(one.get("range"))
    for one in objects_of(stated.get("properties")):
        if text(one.get("name")) == _FIXED_IN:
            return line_of(one.get("value"))
    sentence = line_of(stated.get("recommendation"))
    if sentence is not None and sentence.startswith("Upgrade ") and " to version " in sentence:
        return sentence.rpartition(" to version ")[2]
    return None


FORMAT = ReportFormat(
    name="cyclonedx",
    expected="CycloneDX (bomFormat, vulnerabilities)",
    recognises=lambda document: document.get("bomFormat") == "CycloneDX" and "vulnerabilities" in document,
    parse=parse,
)
