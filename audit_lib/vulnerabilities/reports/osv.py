"""osv-scanner's JSON (`osv-scanner --format json`): packages a source, each with the OSV records that match it."""

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
    ids_of,
    line_of,
    objects_of,
    score_of,
    severity_of,
    utc_of,
    versions_of,
)

# Ecosystems of OSV (its schema, section "Defined ecosystems") and the purl types of their packages.
_TYPES = {
    **dict.fromkeys(("Debian", "Ubuntu"), "deb"),
    **dict.fromkeys(("Alpine", "Wolfi", "Chainguard", "MinimOS", "Alpaquita", "BellSoft Hardened Containers"), "apk"),
    **dict.fromkeys(
        ("Red Hat", "AlmaLinux", "Rocky Linux", "SUSE", "openSUSE", "Mageia", "openEuler", "Photon OS", "Azure Linux"),
        "rpm",
    ),
    "PyPI": "pypi",
    "npm": "npm",
    "Go": "golang",
    "crates.io": "cargo",
    "Maven": "maven",
    "RubyGems": "gem",
    "Packagist": "composer",
    "NuGet": "nuget",
    "CRAN": "cran",
    "Pub": "pub",
    "Hex": "hex",
}


def parse(document: Mapping[str, Any], path: str) -> Report:
    """Return what a report of osv-scanner (a parsed JSON object, version 1 or 2) states.

    It names neither the scanner's version nor a day. Records that are aliases of each other stand in one group: one match.
    Raises `DamagedDatabaseError` where `results`, or a list in it, is no list of objects.
    """
    found = Report(notation="osv-scanner JSON", scanner="osv-scanner")
    for place, result in listed(document, "results", "", path):
        for where, entry in listed(result, "packages", place, path):
            package = inner(entry, "package")
            name = line_of(package.get("name")) or line_of(package.get("os_package_name"))
            if name is None:
                found.breaks(where, "expected /package/name to be a text")
                continue
            records = {
                identity: record
                for _, record in listed(entry, "vulnerabilities", where, path)
                if (identity := line_of(record.get("id"))) is not None
            }
            for spot, ids, group in _groups(entry, records, where, path):
                found.matches.extend(_matches(spot, ids, group, records, package))
            if not records:
                found.leave_out("packages without vulnerabilities")
    return found


def _groups(
    entry: Mapping[str, Any], records: Mapping[str, Any], place: str, path: str
) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, Any]]]:
    """Yield (place, ids, group): those that the report makes, then a group of its own for each record that stands in none."""
    seen: set[str] = set()
    for where, group in listed(entry, "groups", place, path):
        ids = ids_of(group.get("ids"))
        if ids:
            seen.update(ids)
            yield where, ids, group
    for number, identity in enumerate(records):
        if identity not in seen:
            yield f"{place}/vulnerabilities/{number}", (identity,), {}


def _matches(
    place: str, ids: tuple[str, ...], group: Mapping[str, Any], records: Mapping[str, Any], package: Mapping[str, Any]
) -> Iterator[Match]:
    """Yield one match a group; of a distribution's advisory that bundles several vulnerabilities, one for each of these."""
    own = [records[identity] for identity in ids if identity in records]
    stated = [*ids, *ids_of(group.get("aliases")), *(one for record in own for one in ids_of(record.get("aliases")))]
    bundled = [one for record in own for one in ids_of(record.get("upstream"))]
    score = score_of(group.get("max_severity"))
    name = line_of(package.get("name"))
    fixed_version = versions_of(sorted({version for record in own for version in _fixed(record, name)}))
    words = [
        inner(record, key).get("severity") for record in own for key in ("database_specific", "ecosystem_specific")
    ]
    is_bundle = len(set(bundled)) > 1 and not any(one.startswith("CVE-") for one in stated)
    for first in dict.fromkeys(bundled) if is_bundle else ids[:1]:
        aliases = dict.fromkeys(stated if is_bundle else [*stated, *bundled])
        yield Match(
            place=place,
            vulnerability_id=first,
            aliases=tuple(one for one in aliases if one != first),
            purl=line_of(package.get("purl")),
            type=_TYPES.get((text(package.get("ecosystem")) or "").partition(":")[0]),
            name=line_of(package.get("os_package_name")) or name,
            version=line_of(package.get("version")) or line_of(package.get("commit")),
            severity=severity_of(words, score),
            cvss_score=score,
            fixed_version=fixed_version,
            fix_state=fix_of(fixed_version),
            published_utc=min((day for one in own if (day := utc_of(one.get("published"))) is not None), default=None),
        )


def _fixed(record: Mapping[str, Any], name: str | None) -> Iterator[str]:
    """Yield the versions that a record says have the fix, of the package that was matched."""
    for affected in objects_of(record.get("affected")):
        if line_of(inner(affected, "package").get("name")) != name:
            continue
        for one in objects_of(affected.get("ranges")):
            if text(one.get("type")) != "GIT":
                yield from (
                    version
                    for event in objects_of(one.get("events"))
                    if (version := line_of(event.get("fixed"))) is not None
                )


FORMAT = ReportFormat(
    name="osv-scanner",
    expected="osv-scanner (results with packages)",
    recognises=lambda document: (
        isinstance(document.get("results"), list) and "runs" not in document and "version" not in document
    ),
    parse=parse,
)
