"""From scanners' reports to rows: each match is joined to the package of the image that it means, or kept as not joined."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import pandas as pd

from audit_lib.tables import ScannerReport, Vulnerability, plain_text
from audit_lib.vulnerabilities.purls import bare_version, folded_name, parse_purl
from audit_lib.vulnerabilities.reports.base import Match, Report

# Releases of scanners whose programs were tampered with: nothing that they say, or leave out, can be relied on.
_COMPROMISED: Mapping[str, tuple[frozenset[str], str]] = {
    "trivy": (frozenset({"0.69.4", "0.69.5", "0.69.6"}), "CVE-2026-33634")
}
_TELLING = 200


class Joined(NamedTuple):
    """What reports say of an image: rows of `Vulnerability` and of `ScannerReport`."""

    matches: list[Vulnerability]
    reports: list[ScannerReport]


def join_reports(reports: Sequence[tuple[str, Report]], packages: pd.DataFrame, image: pd.Series) -> Joined:
    """Return the rows that reports, each with its path, make of an image.

    `packages`: schema `Package`; `image`: its row of schema `Image`. A match means the packages with its package URL (whatever
    qualifiers it does not share), else those with its name and version, else, as Docker Scout writes, those that its source
    package was built to. A match that means none is a row with `is_joined` false.
    """
    found = Joined([], [])
    known = _Packages(packages)
    for (path, report), name in zip(reports, _names([report for _, report in reports]), strict=True):
        hows: Counter[str] = Counter()
        for match in report.matches:
            rows, how = known.find(match)
            hows[how] += 1
            meant: Sequence[_Package | None] = rows or [None]
            found.matches.extend(_row(match, report, name, one, how, image["image"]) for one in meant)
        found.reports.append(_report_row(path, report, name, hows, image))
    return found


def primary_id(identity: str, aliases: Iterable[str]) -> str:
    """Return the CVE of a vulnerability where it has one, else its own id.

    >>> primary_id("GHSA-cpwx-vrp4-4pq7", ["CVE-2025-27516"]), primary_id("TEMP-1", [])
    ('CVE-2025-27516', 'TEMP-1')
    """
    return next((one for one in chain([identity], aliases) if one.startswith("CVE-")), identity)


class _Package(NamedTuple):
    format: str
    name: str
    version: str | None
    architecture: str | None
    purl: str
    source_name: str | None
    source_version: str | None
    database_path: str


class _Packages:
    """The packages of an image by what a scanner may call them."""

    def __init__(self, packages: pd.DataFrame) -> None:
        self._by_core: dict[tuple[Any, ...], list[_Package]] = defaultdict(list)
        self._by_name: dict[tuple[Any, ...], list[_Package]] = defaultdict(list)
        self._by_source: dict[tuple[Any, ...], list[_Package]] = defaultdict(list)
        columns = packages[list(_Package._fields)].astype("object")
        for values in columns.where(columns.notna(), None).itertuples(index=False, name=None):
            one = _Package(*values)
            purl = parse_purl(one.purl)
            if purl is not None:
                self._by_core[purl.core].append(one)
            bare = bare_version(one.format, one.version)
            self._by_name[one.format, folded_name(one.format, one.name), bare].append(one)
            self._by_name[None, one.name.lower(), bare].append(one)
            if one.source_name is not None:
                source = bare_version(one.format, one.source_version or one.version)
                for type_ in (one.format, None):
                    self._by_source[type_, one.source_name.lower(), source].append(one)

    def find(self, match: Match) -> tuple[list[_Package], str]:
        """Return the packages that a match means, and by what they were found: purl, name, source or nothing."""
        purl = parse_purl(match.purl) if match.purl else None
        if purl is not None:
            rows = [one for one in self._by_core.get(purl.core, ()) if _is_for(purl.qualifiers.get("arch"), one)]
            if rows:
                return self._at(rows, match), "purl"
        for type_, name, version in _spellings(match):
            bare = bare_version(type_, version)
            rows = self._by_name.get((type_, folded_name(type_, name) if type_ else name.lower(), bare), [])
            if rows:
                return self._at(rows, match), "name"
        for type_, name, version in _spellings(match):
            rows = self._by_source.get((type_, name.rpartition("/")[2].lower(), bare_version(type_, version)), [])
            if rows:
                return rows, "source"
        return [], "nothing"

    def _at(self, rows: list[_Package], match: Match) -> list[_Package]:
        """Return those of several that lie where the scanner says, all where it says nothing of it."""
        path = (match.path or "").lstrip("/")
        there = [one for one in rows if path and one.database_path.lstrip("/") == path]
        return there or rows


def _spellings(match: Match) -> Iterator[tuple[str | None, str, str | None]]:
    """Yield (type, name, version) as a match states them itself, and as its package URL does; without a type last."""
    purl = parse_purl(match.purl) if match.purl else None
    if purl is not None:
        yield purl.type, purl.name, purl.version
    if match.name is not None and match.version is not None:
        if match.type is not None:
            yield match.type, match.name, match.version
        yield None, match.name, match.version


def _is_for(architecture: str | None, one: _Package) -> bool:
    return architecture is None or one.architecture is None or architecture == one.architecture


def _row(  # noqa: PLR0913 - what a row is made of
    match: Match, report: Report, name: str, package: _Package | None, how: str, image: str
) -> Vulnerability:
    purl = parse_purl(match.purl) if match.purl else None
    first = primary_id(match.vulnerability_id, match.aliases)
    others = [one for one in (match.vulnerability_id, *match.aliases) if one != first]
    joined_by = {"purl": "package URL", "name": "name and version", "source": "source package"}.get(how)
    is_ignored = match.status == "ignored"
    stated = match.name or (purl.name if purl else None) or match.purl or "?"
    return Vulnerability(
        image=image,
        vulnerability_id=plain_text(first),
        format=package.format if package else match.type or (purl.type if purl else "unknown"),
        name=package.name if package else plain_text(stated),
        version=package.version if package else match.version or (purl.version if purl else None),
        severity=match.severity,
        cvss_score=match.cvss_score,
        fixed_version=match.fixed_version,
        status="affected" if match.status == "ignored" else match.status,
        justification=None if is_ignored else match.justification,
        is_known_exploited=match.is_known_exploited,
        epss_score=match.epss_score,
        found_by=name,
        data_utc=report.data_utc,
        aliases=", ".join(others) or None,
        purl=package.purl if package else match.purl,
        database_path=package.database_path if package else None,
        source_name=package.source_name if package else None,
        severity_source=None if match.severity == "unknown" else name,
        published_utc=match.published_utc,
        fix_published_utc=match.fixed_utc,
        match_reason=f"joined by {joined_by}" if joined_by else f"{match.place}: no package of the image is meant",
        status_detail=_said(match, name),
        found_by_version=report.scanner_version,
        is_joined=package is not None,
    )


def _said(match: Match, name: str) -> str | None:
    """Return what the scanner did with a match beside stating it."""
    if match.status == "ignored":
        return f"taken out by {name}, which is no statement on the vulnerability: {match.justification or 'no reason given'}"
    if match.status in {"affected", "under_investigation"}:
        return "the scanner says that it will not be fixed" if match.fix_state == "wont_fix" else None
    return f"stated in the report of {name}"


def _names(reports: Sequence[Report]) -> list[str]:
    """Return a name for each report: its scanner's, with a number from the second of one scanner on."""
    found: list[str] = []
    counts: Counter[str] = Counter()
    for report in reports:
        name = "-".join((report.scanner or "unknown scanner").lower().split())
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name} {counts[name]}")
    return found


def _report_row(path: str, report: Report, name: str, hows: Counter[str], image: pd.Series) -> ScannerReport:
    suppressed = sum(match.status in {"ignored", "not_affected", "fixed"} for match in report.matches)
    left_out = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(report.left_out.items()))
    return ScannerReport(
        image=image["image"],
        found_by=name,
        report_path=plain_text(path),
        notation=report.notation,
        scanner=report.scanner,
        scanner_version=report.scanner_version,
        scanned_utc=report.scanned_utc,
        data_utc=report.data_utc,
        subject=report.subject,
        is_same_image=_is_same(report, image),
        match_count=len(report.matches),
        purl_joined_count=hows["purl"],
        name_joined_count=hows["name"],
        source_joined_count=hows["source"],
        unjoined_count=hows["nothing"],
        suppressed_count=suppressed,
        broken_count=report.broken_count,
        left_out=left_out or None,
        is_compromised=_is_compromised(report),
        detail="; ".join(_details(report)) or None,
    )


def _is_same(report: Report, image: pd.Series) -> bool | None:
    """Tell whether a report names the image by digest; None where either states none."""
    own = {image[name] for name in ("config_digest", "manifest_digest") if not pd.isna(image[name])}
    return bool(own & report.digests) if own and report.digests else None


def _is_compromised(report: Report) -> bool | None:
    bad = _COMPROMISED.get((report.scanner or "").lower())
    if bad is None:
        return False
    return None if report.scanner_version is None else report.scanner_version.removeprefix("v") in bad[0]


def _details(report: Report) -> Iterator[str]:
    if _is_compromised(report):
        why = _COMPROMISED[(report.scanner or "").lower()][1]
        yield f"{report.scanner} {report.scanner_version} was tampered with ({why}): do not rely on this report"
    if report.scanner_version is None:
        yield "the report does not name the scanner's version"
    if report.data_utc is None:
        yield "the report does not state the date of the scanner's data"
    for one in report.broken[:1]:
        more = f" and {report.broken_count - 1:,} more" if report.broken_count > 1 else ""
        yield f"{one.path}: {one.problem}"[:_TELLING] + more
