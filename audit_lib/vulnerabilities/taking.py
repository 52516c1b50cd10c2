"""Advisories taken over into the database: out of files that somebody brings, or that were fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit_lib.clock import now_utc
from audit_lib.errors import AuditError
from audit_lib.vulnerabilities import ecosystems, records
from audit_lib.vulnerabilities.columns import Rows
from audit_lib.vulnerabilities.database import EPSS, KEV, Database, Facts
from audit_lib.vulnerabilities.intake import Item, Limits, read_path
from audit_lib.vulnerabilities.lists import CveList

_SHOWN = 300


@dataclass(slots=True, kw_only=True)
class Taken:
    """What was read: rows by ecosystem, lists by name, and what could not be used, a sentence each with file and record.

    `skipped` has these by ecosystem, "" where it does not show which. Of `record_count` records, `passed_over_count` are of
    ecosystems that are not matched here, or of commits alone.
    """

    rows: dict[str, Rows] = field(default_factory=dict)
    lists: dict[str, CveList] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    record_count: int = 0
    passed_over_count: int = 0

    def skipped_of(self, ecosystem: str) -> list[str]:
        """Return what could not be used of an ecosystem's, and what may have been one of these."""
        return [*self.skipped.get(ecosystem, ()), *self.skipped.get("", ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an update or an import: what is held now of each source that was touched, and what went wrong."""

    changed: tuple[Facts, ...]
    unchanged: tuple[str, ...]
    problems: tuple[str, ...]
    passed_over_count: int = 0


def import_paths(
    database: Database,
    paths: Sequence[Path],
    *,
    limits: Limits | None = None,
    progress: Callable[[int], object] | None = None,
) -> Outcome:
    """Take over advisories out of files and folders; of a record that is held already, the one that was modified last stays.

    OSV records (JSON, JSON lines), CISA KEV and EPSS, plain or in zip and gzip. Raises `AuditError` where a path is not there, or
    none of them holds anything that can be used; the database is then as it was.
    """
    for path in paths:
        if not path.exists():
            raise AuditError(f"{path}: expected a file or a folder with advisories, found nothing")
    taken = Taken()
    for path in paths:
        take(read_path(path, limits or Limits()), taken, progress=progress)
    if not taken.rows and not taken.lists:
        why = taken.problems[0] if taken.problems else "no records of an ecosystem that is matched here"
        raise AuditError(f"no advisories were found: {why}")
    digest = _digest(paths[0]) if len(paths) == 1 and paths[0].is_file() else None
    origin = ", ".join(str(path) for path in paths)
    changed = [
        database.merge(ecosystem, rows, facts_of(taken, ecosystem, origin=origin, digest=digest))
        for ecosystem, rows in sorted(taken.rows.items())
    ]
    changed += [
        database.replace_list(name, found.values, list_facts(name, found, origin=origin, digest=digest))
        for name, found in sorted(taken.lists.items())
    ]
    return Outcome(
        changed=tuple(changed), unchanged=(), problems=tuple(taken.problems), passed_over_count=taken.passed_over_count
    )


def take(
    items: Iterable[Item], taken: Taken, *, only: str | None = None, progress: Callable[[int], object] | None = None
) -> None:
    """Read what files hold into `taken`; of each record what it says of the ecosystem `only`, or of all."""
    for item in items:
        if item.problem is not None:
            _refuse(taken, item.place, item.problem, "")
        elif item.kev is not None or item.epss is not None:
            _keep_list(taken, item)
        else:
            _keep_record(taken, item, only)
            if progress is not None:
                progress(1)


def facts_of(taken: Taken, ecosystem: str, *, origin: str, digest: str | None) -> Facts:
    """Return what is to be noted of an ecosystem's rows."""
    skipped = taken.skipped_of(ecosystem)
    return Facts(
        source=ecosystem,
        updated_utc=now_utc(),
        skipped_count=len(skipped),
        origin=origin,
        digest=digest,
        detail=skipped[0][:_SHOWN] if skipped else None,
    )


def list_facts(name: str, found: CveList, *, origin: str, digest: str | None) -> Facts:
    """Return what is to be noted of a list of CVEs."""
    return Facts(
        source=name,
        data_utc=found.data_utc,
        updated_utc=now_utc(),
        skipped_count=len(found.skipped),
        origin=origin,
        digest=digest,
        detail=found.skipped[0][:_SHOWN] if found.skipped else None,
    )


def _keep_list(taken: Taken, item: Item) -> None:
    for name, found in ((KEV, item.kev), (EPSS, item.epss)):
        if found is not None:
            taken.lists[name] = found
            taken.problems += [f"{item.place}: {said}" for said in found.skipped]


def _keep_record(taken: Taken, item: Item, only: str | None) -> None:
    taken.record_count += 1
    problems: list[str] = []
    hint = _ecosystem_hint(item.record)
    is_kept = False
    try:
        for row in records.parse(item.record, problems):
            if only is None or row.ecosystem == only:
                taken.rows.setdefault(row.ecosystem, Rows()).add(row)
                is_kept = True
    except records.RecordError as error:
        problems.append(str(error))
    if problems:
        identity = item.record.get("id") if isinstance(item.record, dict) else None
        place = f"{item.place} ({ascii(identity)[1:-1][:90]})" if isinstance(identity, str) else item.place
        _refuse(taken, place, "; ".join(problems), hint)
    elif not is_kept:
        taken.passed_over_count += 1


def _refuse(taken: Taken, place: str, problem: str, ecosystem: str) -> None:
    taken.problems.append(f"{place}: {problem}")
    taken.skipped.setdefault(ecosystem, []).append(f"{place}: {problem}")


def _ecosystem_hint(record: object) -> str:
    try:
        return ecosystems.release_of(record["affected"][0]["package"]["ecosystem"])[0]  # type: ignore[index] # whatever it is
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
