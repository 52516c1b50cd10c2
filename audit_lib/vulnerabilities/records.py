"""An OSV record (OSV schema 1.x) as rows, one a package that it affects: what matching needs of it, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit_lib.vulnerabilities import ecosystems
from audit_lib.vulnerabilities.versions import InvalidVersionError, version_key

_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_ID = re.compile(r"\S{1,200}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# The time that records state which were never changed (Go's zero).
_NEVER = "0001-"
_MAX_NAME, _MAX_SUMMARY, _MAX_VERSIONS, _MAX_EVENTS, _MAX_IDS = 500, 300, 20_000, 2_000, 500
_EVENTS = ("introduced", "fixed", "last_affected", "limit")
_RANGES = ("ECOSYSTEM", "SEMVER")
# RustSec's records that nobody looks after a crate any more.
_NO_VULNERABILITY = ("unmaintained", "notice")
_DISTRIBUTION_WORDS = ("Ubuntu", "Debian")


class RecordError(ValueError):
    """A record, or a part of it, is not what the schema says; the message says what and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """A package that a record says is affected. `ranges`: JSON, a list of [[event, version] …]; `versions`: single ones.

    `cves`: the CVEs that it is about, each a vulnerability of its own where it is a bundle (`is_bundle`), else names of one.
    """

    ecosystem: str
    release: str
    package: str
    id: str
    aliases: tuple[str, ...]
    cves: tuple[str, ...]
    is_bundle: bool
    modified: str | None
    published: str | None
    withdrawn: str | None
    vectors: tuple[str, ...]
    record_word: str | None
    distribution_word: str | None
    summary: str | None
    ranges: str
    versions: tuple[str, ...]


def parse(record: object, problems: list[str]) -> Iterator[Affected]:
    """Yield what a record says of packages whose ecosystem is known here; what it says of others (and of commits) is passed over.

    A range that cannot be used is left out, and a sentence added to `problems`. Raises `RecordError` where all of it is of no use.
    """
    if not isinstance(record, dict):
        raise RecordError(f"expected an object, found {_shown(record)}")
    identity = record.get("id")
    if not isinstance(identity, str) or not _ID.fullmatch(identity) or not identity.isprintable():
        raise RecordError(f"expected an OSV record with an id, found {_shown(identity)}")
    affected = record.get("affected")
    if not isinstance(affected, list) or not affected:
        raise RecordError(f"expected a list of what is affected, found {_shown(affected)}")
    facts = _facts(record, identity)
    merged: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for one in affected:
        package = one.get("package") if isinstance(one, dict) else None
        if not isinstance(package, dict):
            if not isinstance(one, dict) or "ranges" not in one:
                problems.append(f"expected an affected package, found {_shown(one)}")
            continue  # commits of a repository alone: no package
        place, name = package.get("ecosystem"), package.get("name")
        if not (isinstance(place, str) and isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable()):
            problems.append(f"expected ecosystem and name of a package, found {_shown(package)}")
            continue
        ecosystem, release = ecosystems.release_of(place)
        if ecosystem in ecosystems.SCHEMES and len(release) <= _MAX_NAME:
            merged.setdefault((ecosystem, release, ecosystems.normalized(ecosystem, name)), []).append(one)
    for (ecosystem, release, package_name), entries in merged.items():
        yield from _affected(ecosystem, release, package_name, entries, facts, problems)


def _affected(  # noqa: PLR0913 - what a row is made of
    ecosystem: str,
    release: str,
    package: str,
    entries: list[Mapping[str, Any]],
    facts: dict[str, Any],
    problems: list[str],
) -> Iterator[Affected]:
    """Yield the row of a package, of all entries that name it; none where nothing that they say can be used."""
    ranges: list[list[list[str]]] = []
    versions: dict[str, None] = {}
    for entry in entries:
        for stated in _list(entry.get("ranges"), "ranges", problems):
            try:
                events = _events(stated, ecosystems.SCHEMES[ecosystem])
            except (RecordError, InvalidVersionError) as error:
                problems.append(f"{package}: range left out: {error}")
                continue
            if events and events not in ranges:
                ranges.append(events)
        for version in _list(entry.get("versions"), "versions", problems):
            if isinstance(version, str) and len(versions) < _MAX_VERSIONS:
                versions[version] = None
    if not ranges and not versions:
        if not facts["withdrawn"] and not any(entry.get("ranges") or entry.get("versions") for entry in entries):
            problems.append(f"{package}: expected ranges or versions, found neither")
        return
    is_distribution = ecosystem in ecosystems.DISTRIBUTIONS
    words = [word for entry in entries for word in _words(entry)]
    vectors = facts["vectors"] or _vectors([entry.get("severity") for entry in entries])
    upstream = [one for one in facts["upstream"] if _CVE.fullmatch(one)] if is_distribution else []
    own = _CVE.search(facts["id"])
    cves = [own[0]] if own else [one for one in (*facts["aliases"], *upstream) if _CVE.fullmatch(one)]
    yield Affected(
        ecosystem=ecosystem,
        release=release,
        package=package,
        id=facts["id"],
        aliases=facts["aliases"],
        cves=tuple(dict.fromkeys(cves)),
        is_bundle=is_distribution and own is None,
        modified=facts["modified"],
        published=facts["published"],
        withdrawn=facts["withdrawn"],
        vectors=vectors,
        record_word=facts["word"] or (None if is_distribution else next(iter(words), None)),
        distribution_word=facts["distribution_word"] or (next(iter(words), None) if is_distribution else None),
        summary=facts["summary"],
        ranges=json.dumps(ranges, separators=(",", ":")),
        versions=tuple(versions),
    )


def _facts(record: Mapping[str, Any], identity: str) -> dict[str, Any]:
    """Return what a record says of all packages alike."""
    specific = record.get("database_specific")
    word = specific.get("severity") if isinstance(specific, dict) else None
    stated = record.get("severity")
    scores = [one for one in stated if isinstance(one, dict)] if isinstance(stated, list) else []
    said = [one.get("score") for one in scores if one.get("type") in _DISTRIBUTION_WORDS]
    summary = record.get("summary") or record.get("details")
    return {
        "id": identity,
        "aliases": tuple(one for one in _ids(record.get("aliases")) if one != identity),
        "upstream": (*_ids(record.get("upstream")), *_ids(record.get("related"))),
        "modified": _time(record.get("modified")),
        "published": _time(record.get("published")),
        "withdrawn": _time(record.get("withdrawn")),
        "vectors": _vectors([stated]),
        "word": word if isinstance(word, str) else None,
        "distribution_word": next((one for one in said if isinstance(one, str)), None),
        "summary": _line(summary) if isinstance(summary, str) else None,
    }


def _events(stated: object, scheme: str) -> list[list[str]]:
    """Return the events of a range in the order of their versions; none of a range of commits."""
    if not isinstance(stated, dict) or not isinstance(stated.get("type"), str):
        raise RecordError(f"expected a range with a type, found {_shown(stated)}")
    if stated["type"] not in _RANGES:
        return []
    events = stated.get("events")
    if not isinstance(events, list) or not 0 < len(events) <= _MAX_EVENTS:
        raise RecordError(f"expected up to {_MAX_EVENTS:,} events, found {_shown(events)}")
    found = []
    for event in events:
        known = [(kind, event[kind]) for kind in _EVENTS if kind in event] if isinstance(event, dict) else []
        if not known or not all(isinstance(version, str) for _, version in known):
            raise RecordError(f"expected one of {', '.join(_EVENTS)} with a version, found {_shown(event)}")
        found += [[kind, version] for kind, version in known if not (kind == "limit" and version == "*")]
    for kind, version in found:
        if not (kind == "introduced" and version == "0"):
            version_key(scheme, version)
    if not any(kind == "introduced" for kind, _ in found):
        raise RecordError(f"expected an event 'introduced', found {_shown(events)}")
    return found


def _words(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the words for how severe it is that stand beside a package."""
    for part in ("ecosystem_specific", "database_specific"):
        specific = entry.get(part)
        if isinstance(specific, dict):
            yield from (specific[key] for key in ("severity", "urgency") if isinstance(specific.get(key), str))
            if specific.get("informational") in _NO_VULNERABILITY:
                yield "informational"


def _vectors(stated: list[Any]) -> tuple[str, ...]:
    found = [one.get("score") for part in stated if isinstance(part, list) for one in part if isinstance(one, dict)]
    return tuple(dict.fromkeys(one for one in found if isinstance(one, str) and "/" in one and len(one) <= _MAX_NAME))


def _ids(stated: object) -> tuple[str, ...]:
    found = stated[:_MAX_IDS] if isinstance(stated, list) else []
    return tuple(
        dict.fromkeys(one for one in found if isinstance(one, str) and _ID.fullmatch(one) and one.isprintable())
    )


def _list(stated: object, name: str, problems: list[str]) -> list[Any]:
    if stated is not None and not isinstance(stated, list):
        problems.append(f"expected a list of {name}, found {_shown(stated)}")
    return stated if isinstance(stated, list) else []


def _time(stated: object) -> str | None:
    """Return a time to the second, as every table has it."""
    if not isinstance(stated, str) or not _DAY.match(stated) or stated.startswith(_NEVER):
        return None
    return f"{stated[:19]}Z" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", stated) else stated[:10]


def _line(text: str) -> str:
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text[: 4 * _MAX_SUMMARY]).split())
    return line if len(line) <= _MAX_SUMMARY else f"{line[:_MAX_SUMMARY]}…"


def _shown(found: object) -> str:
    text = "nothing" if found is None else ascii(found)
    return text if len(text) <= 90 else f"{text[:90]}…"  # noqa: PLR2004 - enough to recognise it by
