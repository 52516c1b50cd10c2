"""SARIF 2.1.0 (OASIS), of Docker Scout, Trivy, Grype or any scanner whose results name a vulnerability and a package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.formats.documents import text
from audit_lib.sboms.base import inner, listed
from audit_lib.tables import VulnerabilitySeverity
from audit_lib.vulnerabilities.reports.base import (
    Match,
    Report,
    ReportFormat,
    fix_of,
    id_in,
    line_of,
    list_of,
    score_of,
    severity_of,
    utc_of,
    versions_of,
)

# What scanners call one thing, in the lines of their messages: "Installed Version: 1.0", "Package         : pkg:deb/…".
_LINE = re.compile(r"^[\s|*-]*(?P<key>[A-Za-z][A-Za-z ]{2,20}?)\s*[:|]\s*(?P<value>\S.*?)\s*\|?\s*$")
_KEYS = {
    "package": "package",
    "package name": "package",
    "installed version": "version",
    "version": "version",
    "fixed version": "fixed",
    "fix version": "fixed",
    "severity": "severity",
    "type": "type",
}
# Grype's message in one sentence.
_SENTENCE = re.compile(
    r"vulnerability in (?P<type>[\w-]+) package: (?P<package>\S+), version (?P<version>\S+) was found"
)
_PURL = re.compile(r"pkg:[a-z][a-z0-9.+-]*/[^\s|'\"<>]+")
_LEVELS: Mapping[str, VulnerabilitySeverity] = {
    "error": "high",
    "warning": "medium",
    "note": "low",
    "none": "negligible",
}
_LONG = 20_000


def parse(document: Mapping[str, Any], path: str) -> Report:
    """Return the results of a SARIF document (a parsed JSON object) that name a vulnerability and a package.

    Others (of code, of settings) are counted in `left_out`. What a result does not say itself is taken from its rule. The level
    (error, warning, note) counts as severity only where neither a word nor a score is stated. Raises `DamagedDatabaseError`
    where `runs`, or a list in it, is no list of objects.
    """
    found = Report(notation=f"SARIF {line_of(document.get('version')) or '(no version)'}")
    for place, run in listed(document, "runs", "", path):
        driver = inner(inner(run, "tool"), "driver")
        found.scanner = found.scanner or line_of(driver.get("name"))
        found.scanner_version = (
            found.scanner_version or line_of(driver.get("version")) or line_of(driver.get("semanticVersion"))
        )
        for where, invocation in listed(run, "invocations", place, path):
            del where
            found.scanned_utc = (
                found.scanned_utc or utc_of(invocation.get("endTimeUtc")) or utc_of(invocation.get("startTimeUtc"))
            )
        _describe(found, inner(run, "properties"))
        rules = [rule for _, rule in listed(driver, "rules", f"{place}/tool/driver", path)]
        by_id = {identity: rule for rule in reversed(rules) if (identity := text(rule.get("id"))) is not None}
        for where, result in listed(run, "results", place, path):
            _add(found, where, result, _rule(result, rules, by_id))
    return found


def _describe(found: Report, properties: Mapping[str, Any]) -> None:
    """Take what Trivy says of the image below a run's properties."""
    found.subject = found.subject or line_of(properties.get("imageName"))
    listed_ = properties.get("repoDigests")
    stated = [properties.get("imageID"), *(listed_ if isinstance(listed_, list) else [])]
    found.digests |= {digest.rpartition("@")[2] for one in stated if (digest := text(one)) is not None}


def _rule(result: Mapping[str, Any], rules: list[dict[str, Any]], by_id: Mapping[str, Any]) -> Mapping[str, Any]:
    index = result.get("ruleIndex")
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(rules):
        return rules[index]
    rule: Mapping[str, Any] = by_id.get(text(result.get("ruleId")) or text(inner(result, "rule").get("id")) or "", {})
    return rule


def _add(found: Report, place: str, result: Mapping[str, Any], rule: Mapping[str, Any]) -> None:
    identity = id_in(result.get("ruleId")) or id_in(rule.get("id"))
    message = text(inner(result, "message").get("text")) or ""
    help_ = inner(rule, "help")
    own = _facts(message)
    facts = {**_facts(text(help_.get("markdown")) or ""), **_facts(text(help_.get("text")) or ""), **own}
    properties = {**inner(rule, "properties"), **inner(result, "properties")}
    if identity is None or not ("package" in facts or _purls(properties)):
        found.leave_out("results that name no vulnerability of a package")
        return
    # Code hosts sort by `security-severity`. Trivy puts 2.0 there for every low one: a rank, no score of the vulnerability.
    score = score_of(properties.get("cvssV3"))
    rank = score_of(properties.get("security-severity"))
    words = [facts.get("severity"), properties.get("cvssV3_severity"), *list_of(properties.get("tags"))]
    suppressed = [one for one in list_of(result.get("suppressions")) if isinstance(one, dict)]
    for purl, name, version in _packages(own, facts, properties):
        fixed_version = versions_of(own.get("fixed") or properties.get("fixed_version") or facts.get("fixed"))
        severity = severity_of(words, rank if score is None else score)
        found.matches.append(
            Match(
                place=place,
                vulnerability_id=identity,
                purl=purl,
                type=facts.get("type") if purl is None else None,
                name=name,
                version=version,
                severity=_LEVELS.get(text(result.get("level")) or "", "unknown") if severity == "unknown" else severity,
                cvss_score=score,
                fixed_version=fixed_version,
                fix_state=fix_of(fixed_version, "not_fixed" if "not fixed" in message.lower() else None),
                status="ignored" if suppressed else "affected",
                justification=_reason(suppressed[0]) if suppressed else None,
                path=_path(result),
            )
        )


def _packages(
    own: Mapping[str, str], facts: Mapping[str, str], properties: Mapping[str, Any]
) -> Iterator[tuple[str | None, str | None, str | None]]:
    """Yield (purl, name, version): what the result says itself, else every package of its rule."""
    stated = own.get("package")
    purls = _purls(properties)
    if stated is not None and stated.startswith("pkg:"):
        yield stated, None, None
    elif stated is not None or not purls:
        name = stated or facts.get("package")
        fitting = [purl for purl in purls if name is not None and f"/{name}@" in purl]
        yield (fitting[0] if len(fitting) == 1 else None), name, own.get("version") or facts.get("version")
    else:
        yield from ((purl, None, None) for purl in purls)


def _facts(said: str) -> dict[str, str]:
    """Return what a message says of the package, by the words of `_KEYS`' values."""
    found: dict[str, str] = {}
    for line in said[:_LONG].splitlines():
        match = _LINE.match(line)
        key = _KEYS.get(match["key"].strip().lower()) if match else None
        if match is not None and key is not None:
            found.setdefault(key, line_of(match["value"]) or "")
    match = _SENTENCE.search(said[:_LONG])
    if match is not None:
        found = {**match.groupdict(), **found}
    purl = _PURL.search(found.get("package", ""))
    return {**found, "package": purl[0]} if purl else found


def _purls(properties: Mapping[str, Any]) -> list[str]:
    stated = [*list_of(properties.get("purls")), properties.get("purl")]
    return list(dict.fromkeys(purl for one in stated if (purl := line_of(one)) is not None and purl.startswith("pkg:")))


def _reason(suppression: Mapping[str, Any]) -> str:
    return (
        line_of(suppression.get("justification"))
        or f"suppressed in the report ({line_of(suppression.get('kind')) or 'no kind'})"
    )


def _path(result: Mapping[str, Any]) -> str | None:
    for location in list_of(result.get("locations")):
        if isinstance(location, dict):
            uri = inner(inner(location, "physicalLocation"), "artifactLocation").get("uri")
            return line_of(uri)
    return None


FORMAT = ReportFormat(
    name="sarif",
    expected="SARIF 2.1.0 (runs)",
    recognises=lambda document: isinstance(document.get("runs"), list),
    parse=parse,
)
