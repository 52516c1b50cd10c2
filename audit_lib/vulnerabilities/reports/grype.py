"""Grype's JSON (`grype IMAGE -o json`): matches, and below `ignoredMatches` those that rules or VEX took out."""

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
    list_of,
    number_of,
    score_of,
    severity_of,
    utc_of,
    versions_of,
)

# Grype's words for its package types that are not those of purls.
_TYPES = {
    "python": "pypi",
    "go-module": "golang",
    "java-archive": "maven",
    "rust-crate": "cargo",
    "php-composer": "composer",
}
_STATUSES: Mapping[str, MatchStatus] = {"not_affected": "not_affected", "fixed": "fixed"}


def parse(document: Mapping[str, Any], path: str) -> Report:
    """Return what a report of Grype (a parsed JSON object) states.

    The date of its database is `built`, below `descriptor.db` in older versions, `descriptor.db.status` since 0.88.
    Raises `DamagedDatabaseError` where `matches` or `ignoredMatches` is no list of objects.
    """
    descriptor, target = inner(document, "descriptor"), inner(inner(document, "source"), "target")
    database = inner(descriptor, "db")
    found = Report(
        notation="Grype JSON",
        scanner=line_of(descriptor.get("name")) or "grype",
        scanner_version=line_of(descriptor.get("version")),
        scanned_utc=utc_of(descriptor.get("timestamp")),
        data_utc=utc_of(inner(database, "status").get("built")) or utc_of(database.get("built")),
        subject=line_of(target.get("userInput")) or line_of(inner(document, "source").get("target")),
        digests=frozenset(_digests(target)),
    )
    for place, match in listed(document, "matches", "", path):
        _add(found, place, match, "affected", None)
    for place, match in listed(document, "ignoredMatches", "", path):
        status, why = _ignored(match)
        _add(found, place, match, status, why)
    return found


def _digests(target: Mapping[str, Any]) -> Iterator[str]:
    for value in (target.get("imageID"), target.get("manifestDigest"), *list_of(target.get("repoDigests"))):
        digest = text(value)
        if digest is not None:
            yield digest.rpartition("@")[2]


def _ignored(match: Mapping[str, Any]) -> tuple[MatchStatus, str | None]:
    """Return the status and the reason of a match that was taken out: the VEX statement's, where one did."""
    for rule in list_of(match.get("appliedIgnoreRules")):
        if not isinstance(rule, dict):
            continue
        said = text(rule.get("vex-status"))
        if said is not None:
            return _STATUSES.get(said, "ignored"), line_of(rule.get("vex-justification")) or f"VEX in Grype: {said}"
        why = line_of(rule.get("reason")) or line_of(rule.get("fix-state"))
        if why is not None:
            return "ignored", f"rule of Grype's configuration: {why}"
    return "ignored", "rule of Grype's configuration"


def _add(found: Report, place: str, match: Mapping[str, Any], status: MatchStatus, why: str | None) -> None:
    stated, artifact = inner(match, "vulnerability"), inner(match, "artifact")
    identity, name = line_of(stated.get("id")), line_of(artifact.get("name"))
    if identity is None or name is None:
        found.breaks(place, "expected /vulnerability/id and /artifact/name to be texts")
        return
    related = [one for one in list_of(match.get("relatedVulnerabilities")) if isinstance(one, dict)]
    score = _score(stated, *related)
    fix = inner(stated, "fix")
    fixed_version = versions_of(fix.get("versions"))
    type_ = text(artifact.get("type"))
    found.matches.append(
        Match(
            place=place,
            vulnerability_id=identity,
            aliases=tuple(one for one in ids_of([other.get("id") for other in related]) if one != identity),
            purl=line_of(artifact.get("purl")),
            type=_TYPES.get(type_ or "", type_),
            name=name,
            version=line_of(artifact.get("version")),
            severity=severity_of([stated.get("severity"), *(one.get("severity") for one in related)], score),
            cvss_score=score,
            fixed_version=fixed_version,
            fix_state=fix_of(fixed_version, fix.get("state")),
            fixed_utc=min(_dates(fix), default=None),
            is_known_exploited=bool(stated["knownExploited"])
            if isinstance(stated.get("knownExploited"), list)
            else None,
            epss_score=_epss(stated, *related),
            status=status,
            justification=why,
            path=next(
                (line_of(one.get("path")) for one in list_of(artifact.get("locations")) if isinstance(one, dict)), None
            ),
        )
    )


def _score(*stated: Mapping[str, Any]) -> float | None:
    """Return the highest CVSS score of the first record that states any."""
    for one in stated:
        scores = [
            score_of(inner(cvss, "metrics").get("baseScore"))
            for cvss in list_of(one.get("cvss"))
            if isinstance(cvss, dict)
        ]
        known = [score for score in scores if score is not None]
        if known:
            return max(known)
    return None


def _epss(*stated: Mapping[str, Any]) -> float | None:
    for one in stated:
        for entry in list_of(one.get("epss")):
            if isinstance(entry, dict) and (score := number_of(entry.get("epss"), most=1)) is not None:
                return score
    return None


def _dates(fix: Mapping[str, Any]) -> Iterator[str]:
    for one in list_of(fix.get("available")):
        if isinstance(one, dict) and (day := utc_of(one.get("date"))) is not None:
            yield day


FORMAT = ReportFormat(
    name="grype",
    expected="Grype (matches, descriptor)",
    recognises=lambda document: "matches" in document and isinstance(document.get("descriptor"), dict),
    parse=parse,
)
