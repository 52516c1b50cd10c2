"""Packages of an image held against advisories, and records of the same thing made one row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from audit_lib.tables import Vulnerability, VulnerabilityCoverage, VulnerabilitySeverity, make_table
from audit_lib.vulnerabilities import ecosystems
from audit_lib.vulnerabilities.base import OWN, SEVERITIES, severity_word, vulnerabilities_table
from audit_lib.vulnerabilities.database import Database, Facts, Loaded, source_of
from audit_lib.vulnerabilities.ecosystems import Subject
from audit_lib.vulnerabilities.ranges import Record, affected_by
from audit_lib.vulnerabilities.scores import newest_score
from audit_lib.vulnerabilities.versions import InvalidVersionError, key_or_none, version_key

_COLUMNS = ("format", "name", "version", "purl", "source_name", "source_version", "database_path", "parent")
_MANY = 20
_Status = Literal["matched", "by_distribution", "no_data", "no_ecosystem", "no_version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A package of an image and what advisories are asked of it. `status`: what could be told, as in `VulnerabilityCoverage`."""

    package: Mapping[str, str | None]
    subject: Subject | None
    status: _Status
    stands_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A record that means a version of a package: `fixed` is the version that ends the range, `why` what was compared."""

    record: Record
    name: str
    fixed: str | None
    why: str


def load_for(database: Database, packages: pd.DataFrame, image: pd.Series) -> tuple[list[Asked], Loaded]:
    """Return what is asked of the packages of an image (schemas `Package`, `Image`), and what a database holds of it."""
    asked = asked_of(packages, _text(image["distro_id"]), _text(image["distro_version"]))
    wanted = {
        (one.subject.ecosystem, one.subject.release, name)
        for one in asked
        if one.subject is not None and one.subject.release is not None and one.status != "by_distribution"
        for name, _ in one.subject.names
    }
    return asked, database.load(wanted)


def match(asked: Sequence[Asked], loaded: Loaded, image: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the vulnerabilities of packages (schema `Vulnerability`), and what could be told (schema `VulnerabilityCoverage`)."""
    judged = [(one, _status(one, loaded)) for one in asked]
    rows = [row for one, status in judged if status == "matched" for row in _rows(one, loaded, image)]
    return vulnerabilities_table(rows), _coverage(judged, loaded, image)


def asked_of(packages: pd.DataFrame, distro_id: str | None, distro_version: str | None) -> list[Asked]:
    """Return what advisories are asked of each package.

    What a package of the distribution brought (`parent`), the distribution answers for, where it publishes advisories: it
    corrects old versions without numbering them anew, so the language's own advisories would be wrong.
    """
    columns = [[_text(value) for value in packages[name]] for name in _COLUMNS]
    rows = [dict(zip(_COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)]
    stands_for: dict[str, list[str]] = {}
    for row in rows:
        if row["parent"]:
            stands_for.setdefault(row["parent"], []).append(f"{row['format']}:{row['name']} {row['version']}")
    found = []
    for row in rows:
        subject = ecosystems.subject_of(row, distro_id, distro_version)
        owner = _owner(row, distro_id, distro_version)
        if owner is not None:
            found.append(Asked(package=row, subject=owner, status="by_distribution"))
            continue
        status: _Status = "no_ecosystem" if subject is None else "matched"
        if subject is not None and not any(_is_ordered(subject, version) for _, version in subject.names):
            status = "no_version"
        brought = tuple(stands_for.get(f"{row['format']}:{row['name']}", ()))
        found.append(Asked(package=row, subject=subject, status=status, stands_for=brought))
    return found


def _hits(one: Asked, loaded: Loaded) -> Iterator[Hit]:
    subject = one.subject
    assert subject is not None and subject.release is not None  # noqa: S101, PT018 - for mypy: `_status` saw to it
    scheme = ecosystems.SCHEMES[subject.ecosystem]
    for name, version in subject.names:
        for record in loaded.records.get((subject.ecosystem, subject.release, name), ()):
            try:
                told = None if version is None else affected_by(record, scheme, version)
            except InvalidVersionError:
                continue
            if told is not None:
                yield Hit(record=record, name=name, fixed=told[0], why=f"{name} {told[1]} ({subject.place})")


def _rows(one: Asked, loaded: Loaded, image: str) -> Iterator[Vulnerability]:
    """Yield a row for each vulnerability of a package."""
    hits = list({hit.record["id"]: hit for hit in _hits(one, loaded)}.values())
    for ids, group in _groups(hits):
        yield _row(one, ids, group, loaded, image)


def _groups(hits: Sequence[Hit]) -> Iterator[tuple[set[str], list[Hit]]]:
    """Yield the ids of one vulnerability and the records that tell of it: those that share an id; a bundle is in several."""
    named = []
    for hit in hits:
        record = hit.record
        if record["is_bundle"] and record["cves"]:
            named += [({cve}, hit) for cve in record["cves"]]
        else:
            named.append(({record["id"], *record["aliases"], *record["cves"]}, hit))
    groups: list[tuple[set[str], list[Hit]]] = []
    by_id: dict[str, tuple[set[str], list[Hit]]] = {}
    for ids, hit in named:
        joined = ({*ids}, [hit])
        for other in {id(by_id[one]): by_id[one] for one in ids if one in by_id}.values():
            joined = (joined[0] | other[0], [*other[1], *joined[1]])
            groups.remove(other)
        groups.append(joined)
        by_id.update(dict.fromkeys(joined[0], joined))
    for ids, found in groups:
        yield ids, sorted({id(hit): hit for hit in found}.values(), key=lambda hit: str(hit.record["id"]))


def _row(one: Asked, ids: set[str], hits: Sequence[Hit], loaded: Loaded, image: str) -> Vulnerability:
    subject, package = one.subject, one.package
    assert subject is not None  # noqa: S101 - for mypy
    scheme = ecosystems.SCHEMES[subject.ecosystem]
    records = [hit.record for hit in hits]
    cves = sorted((identity for identity in ids if identity.startswith("CVE-")), key=_by_number)
    identity = cves[0] if cves else str(records[0]["id"])
    advisories = [str(record["id"]) for record in records]
    # Where records differ, the version that all of them take for fixed.
    fixes = [hit.fixed for hit in hits if hit.fixed is not None]
    fixed = max(fixes, key=lambda version: version_key(scheme, version), default=None)
    severity, source = _severity(records)
    score = newest_score(vector for record in records for vector in record["vectors"])
    reason = "; ".join(dict.fromkeys(hit.why for hit in hits))
    if one.stands_for:
        reason += f"; stands for what it brought: {_few(one.stands_for)}"
    facts = loaded.facts[source_of(subject.ecosystem)]
    scores = [loaded.scores[cve] for cve in cves if loaded.scores is not None and cve in loaded.scores]
    return Vulnerability(
        image=image,
        vulnerability_id=identity,
        format=str(package["format"]),
        name=str(package["name"]),
        version=package["version"],
        severity=severity,
        cvss_score=None if score is None else score.score,
        fixed_version=fixed,
        status="affected",
        justification=None,
        is_known_exploited=None
        if loaded.exploited is None or not cves
        else any(cve in loaded.exploited for cve in cves),
        epss_score=max(scores, default=None),
        found_by=OWN,
        data_utc=facts.data_utc,
        aliases=", ".join(sorted(ids - {identity, *advisories})) or None,
        advisories=", ".join(advisories),
        purl=package["purl"],
        database_path=package["database_path"],
        source_name=package["source_name"],
        severity_source=source,
        cvss_vector=None if score is None else score.vector,
        summary=next((str(record["summary"]) for record in records if record["summary"]), None),
        published_utc=_first(record["published"] for record in records),
        fix_published_utc=_first(hit.record["published"] for hit in hits if hit.fixed is not None),
        is_distribution_data=subject.ecosystem in ecosystems.DISTRIBUTIONS,
        match_reason=reason,
    )


def _severity(records: Sequence[Record]) -> tuple[VulnerabilitySeverity, str | None]:
    """Return how severe records say it is and by what: a word of theirs, else a CVSS vector, else the distribution's word."""
    for column, source in (("record_word", "record"), ("vectors", "cvss"), ("distribution_word", "distribution")):
        if column == "vectors":
            score = newest_score(vector for record in records for vector in record["vectors"])
            words = [] if score is None else [score.severity]
        else:
            words = [word for record in records if (word := severity_word(record[column])) is not None]
        known = [word for word in words if word != "unknown"]
        if known:
            return min(known, key=SEVERITIES.index), source
    return "unknown", None


def _status(one: Asked, loaded: Loaded) -> _Status:
    """Return what can be told of a package by what is held."""
    if one.subject is None or one.status == "no_version":
        return one.status
    facts = loaded.facts.get(source_of(one.subject.ecosystem))
    return one.status if facts is not None and one.subject.release in facts.releases else "no_data"


def _coverage(judged: Iterable[tuple[Asked, _Status]], loaded: Loaded, image: str) -> pd.DataFrame:
    groups: dict[tuple[str, str | None, _Status], list[Asked]] = {}
    for one, status in judged:
        place = None if one.subject is None else one.subject.place
        groups.setdefault((str(one.package["format"]), place, status), []).append(one)
    rows = []
    for (form, place, status), members in groups.items():
        subject = members[0].subject
        facts = None if subject is None else loaded.facts.get(source_of(subject.ecosystem))
        rows.append(
            VulnerabilityCoverage(
                image=image,
                format=form,
                ecosystem=place,
                status=status,
                package_count=len(members),
                data_utc=None if facts is None else facts.data_utc,
                detail=_detail(status, members, facts),
            )
        )
    return make_table(VulnerabilityCoverage, rows)


def _detail(status: _Status, members: Sequence[Asked], facts: Facts | None) -> str | None:
    subject = members[0].subject
    if status == "by_distribution":
        return "brought by packages of the distribution, which answers for them"
    if status == "no_ecosystem":
        return "nobody publishes advisories that it could be held against"
    if status == "no_version":
        return "without a version that can be ordered: " + _few(
            [f"{one.package['name']} {one.package['version'] or '(no version)'}" for one in members]
        )
    if status == "no_data" and subject is not None:
        if subject.release is None:
            return "the image does not say which release it is"
        held = "" if facts is None else f" (those of {subject.ecosystem} that are held name other releases)"
        return f"no advisories of {subject.place} are held{held}"
    return None


def _owner(row: Mapping[str, str | None], distro_id: str | None, distro_version: str | None) -> Subject | None:
    """Return the subject of the distribution's package that brought this one; None where none did that there are advisories of."""
    form, _, name = (row["parent"] or "").partition(":")
    if form not in ecosystems.DISTRIBUTION_FORMATS or row["format"] in ecosystems.DISTRIBUTION_FORMATS:
        return None
    stated = {"format": form, "name": name, "version": None, "source_name": None, "source_version": None, "purl": None}
    return ecosystems.subject_of(stated, distro_id, distro_version)


def _is_ordered(subject: Subject, version: str | None) -> bool:
    return version is not None and key_or_none(ecosystems.SCHEMES[subject.ecosystem], version) is not None


def _by_number(cve: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d{1,19}", cve)]


def _first(times: Iterable[Any]) -> str | None:
    return min((str(time) for time in times if time), default=None)


def _few(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_MANY]) + (f" and {len(texts) - _MANY:,} more" if len(texts) > _MANY else "")


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)
