"""Trivy's JSON (`trivy image --format json`): results a target, each with vulnerabilities, and what was taken out of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.formats.documents import text
from audit_lib.sboms.base import inner, listed
from audit_lib.vulnerabilities.reports.base import (
    Match,
    MatchStatus,
    Report,
    ReportFormat,
    fix_of,
    ids_of,
    line_of,
    score_of,
    severity_of,
    utc_of,
    versions_of,
)

# What a result holds beside vulnerabilities; another question each.
_OTHERS = {
    "Misconfigurations": "misconfigurations",
    "Secrets": "secrets",
    "Licenses": "licences",
    "CustomResources": "custom resources",
}
_STATUSES: Mapping[str, MatchStatus] = {
    "not_affected": "not_affected",
    "fixed": "fixed",
    "under_investigation": "under_investigation",
}
# Trivy names results after distributions, lock files and languages; the purl has the type, but only since 0.49.
_TYPES = {
    **dict.fromkeys(("debian", "ubuntu", "wolfi-deb"), "deb"),
    **dict.fromkeys(("alpine", "wolfi", "chainguard"), "apk"),
    **dict.fromkeys(
        (
            "redhat",
            "centos",
            "fedora",
            "rocky",
            "alma",
            "amazon",
            "oracle",
            "photon",
            "cbl-mariner",
            "azurelinux",
            "opensuse",
            "sles",
        ),
        "rpm",
    ),
    **dict.fromkeys(("python-pkg", "pip", "pipenv", "poetry", "uv", "conda-pkg"), "pypi"),
    **dict.fromkeys(("node-pkg", "npm", "yarn", "pnpm"), "npm"),
    **dict.fromkeys(("gobinary", "gomod"), "golang"),
    **dict.fromkeys(("jar", "pom", "gradle"), "maven"),
    **dict.fromkeys(("rustbinary", "cargo"), "cargo"),
    **dict.fromkeys(("gemspec", "bundler"), "gem"),
    **dict.fromkeys(("composer", "composer-vendor"), "composer"),
    **dict.fromkeys(("nuget", "dotnet-core"), "nuget"),
}


def parse(document: Mapping[str, Any], path: str) -> Report:
    """Return what a report of Trivy (a parsed JSON object, `SchemaVersion` 2) states.

    It states its version only since 0.68, and the date of its database only where a server of Trivy was asked. Raises
    `DamagedDatabaseError` where `Results`, or a list in it, is no list of objects.
    """
    metadata, made_by = inner(document, "Metadata"), inner(document, "Trivy")
    found = Report(
        notation="Trivy JSON",
        scanner="trivy",
        scanner_version=line_of(made_by.get("Version")),
        scanned_utc=utc_of(document.get("CreatedAt")),
        data_utc=utc_of(inner(inner(made_by, "Server"), "VulnerabilityDB").get("UpdatedAt")),
        subject=line_of(document.get("ArtifactName")),
        digests=frozenset(_digests(metadata)),
    )
    for place, result in listed(document, "Results", "", path):
        type_ = _TYPES.get(text(result.get("Type")) or "")
        for where, stated in listed(result, "Vulnerabilities", place, path):
            _add(found, where, stated, type_)
        for where, modified in listed(result, "ExperimentalModifiedFindings", place, path):
            if text(modified.get("Type")) == "vulnerability":
                said = text(modified.get("Status")) or "ignored"
                why = (
                    line_of(modified.get("Statement"))
                    or f"Trivy: {said}, by {line_of(modified.get('Source')) or 'its configuration'}"
                )
                _add(found, f"{where}/Finding", inner(modified, "Finding"), type_, _STATUSES.get(said, "ignored"), why)
        for key, kind in _OTHERS.items():
            found.leave_out(kind, sum(1 for _ in listed(result, key, place, path)))
    return found


def _digests(metadata: Mapping[str, Any]) -> Iterator[str]:
    listed_ = metadata.get("RepoDigests")
    for value in (metadata.get("ImageID"), *(listed_ if isinstance(listed_, list) else [])):
        digest = text(value)
        if digest is not None:
            yield digest.rpartition("@")[2]


def _add(  # noqa: PLR0913 - where an entry stands and what was decided of it
    found: Report,
    place: str,
    stated: Mapping[str, Any],
    type_: str | None,
    status: MatchStatus = "affected",
    why: str | None = None,
) -> None:
    identity, name = line_of(stated.get("VulnerabilityID")), line_of(stated.get("PkgName"))
    if identity is None or name is None:
        found.breaks(place, "expected VulnerabilityID and PkgName to be texts")
        return
    fixed_version = versions_of(stated.get("FixedVersion"))
    score = _score(inner(stated, "CVSS"), text(stated.get("SeveritySource")))
    found.matches.append(
        Match(
            place=place,
            vulnerability_id=identity,
            aliases=ids_of(stated.get("VendorIDs")),
            purl=line_of(inner(stated, "PkgIdentifier").get("PURL")),
            type=type_,
            name=name,
            version=line_of(stated.get("InstalledVersion")),
            severity=severity_of([stated.get("Severity")], score),
            cvss_score=score,
            fixed_version=fixed_version,
            fix_state=fix_of(fixed_version, stated.get("Status")),
            published_utc=utc_of(stated.get("PublishedDate")),
            status="under_investigation"
            if status == "affected" and stated.get("Status") == "under_investigation"
            else status,
            justification=why,
            path=line_of(stated.get("PkgPath")),
        )
    )


def _score(scores: Mapping[str, Any], first: str | None) -> float | None:
    """Return the CVSS score of the source that gave the severity, else NVD's, else GitHub's, else the first one's by name."""
    for source in (first, "nvd", "ghsa", *sorted(scores)):
        stated = inner(scores, source) if source is not None else {}
        for key in ("V40Score", "V3Score", "V2Score"):
            score = score_of(stated.get(key))
            if score is not None:
                return score
    return None


FORMAT = ReportFormat(
    name="trivy",
    expected="Trivy (SchemaVersion, Results)",
    recognises=lambda document: "SchemaVersion" in document and ("ArtifactName" in document or "Results" in document),
    parse=parse,
)
