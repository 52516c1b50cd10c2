"""The advisory database brought up to date: OSV's archives, CISA's and FIRST's lists, each fetched only where it changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from audit_lib.clock import now_utc
from audit_lib.errors import AuditError
from audit_lib.vulnerabilities import ecosystems
from audit_lib.vulnerabilities.columns import Rows
from audit_lib.vulnerabilities.database import EPSS, KEV, Database, Facts, ecosystem_of, source_of
from audit_lib.vulnerabilities.fetching import Fetched, fetch, forget, local_folder
from audit_lib.vulnerabilities.intake import Limits, read_stream
from audit_lib.vulnerabilities.taking import Outcome, Taken, facts_of, list_facts, take


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where advisories are fetched from: OSV's archives `<osv>/<ecosystem>/all.zip`, CISA's KEV (JSON), FIRST's EPSS (CSV, gzip).

    The defaults are the publishers' own; a mirror has the same layout. "" leaves a list out.
    """

    osv: str = "https://osv-vulnerabilities.storage.googleapis.com"
    kev: str = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"
    epss: str = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"


def update(
    database: Database,
    wanted: Sequence[str] = (),
    *,
    addresses: Addresses | None = None,
    limits: Limits | None = None,
    progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Fetch what changed and hold it instead of what was held of that source; what fails leaves the old one, and is told.

    `wanted`: ecosystems as OSV names them (`Debian`, `PyPI`); without any, those that are held already, else all that are matched
    here. `progress` is called with each source before it is asked for. Raises `AuditError` for an ecosystem that is not known, and
    where the database cannot be written.
    """
    strange = [name for name in wanted if name not in ecosystems.SCHEMES]
    if strange:
        raise AuditError(f"{strange[0]!r}: expected one of the ecosystems {', '.join(ecosystems.SCHEMES)}")
    folder = local_folder(database.place)
    held = database.facts()
    at = addresses or Addresses()
    chosen = list(wanted) or [name for source in held if (name := ecosystem_of(source))] or list(ecosystems.SCHEMES)
    sources = [(source_of(name), f"{at.osv.rstrip('/')}/{quote(name)}/all.zip") for name in chosen]
    sources += [(name, url) for name, url in ((KEV, at.kev), (EPSS, at.epss)) if url]
    changed: list[Facts] = []
    unchanged, problems = [], []
    for source, url in sources:
        if progress is not None:
            progress(source)
        try:
            facts, said = _updated(database, source, url, held.get(source), folder, limits or Limits())
        except AuditError as error:
            problems.append(
                f"{source}: {error}; " + ("what was held stays" if source in held else "nothing is held of it")
            )
            continue
        problems += said
        if facts is None:
            unchanged.append(source)
        else:
            changed.append(facts)
    return Outcome(changed=tuple(changed), unchanged=tuple(unchanged), problems=tuple(problems))


def _updated(  # noqa: PLR0913 - what an update of one source needs
    database: Database, source: str, url: str, held: Facts | None, folder: Path, limits: Limits
) -> tuple[Facts | None, list[str]]:
    """Return what is held of a source now, None where it is unchanged, and what could not be used of it."""
    etag = held.etag if held is not None and held.url == url else None
    fetched = fetch(url, folder, etag=etag)
    if fetched is None and held is not None:
        database.touch(replace(held, updated_utc=now_utc()))
    if fetched is None:
        return None, []
    taken = Taken()
    ecosystem = ecosystem_of(source)
    with fetched.path.open("rb") as stream:
        take(read_stream(stream, url, limits), taken, only=ecosystem)
    try:
        return _held(database, source, taken, url, fetched), taken.problems
    finally:
        forget(fetched.path)


def _held(database: Database, source: str, taken: Taken, url: str, fetched: Fetched) -> Facts:
    ecosystem = ecosystem_of(source)
    shown = re.sub(r"//[^/@]*@", "//", url)  # a name and a password are not kept
    by, etag = (url, fetched.etag) if shown == url else (None, None)
    problem = taken.problems[0] if taken.problems else "nothing that is expected there"
    if ecosystem is not None:
        rows: Rows | None = taken.rows.get(ecosystem)
        if rows is None:
            raise AuditError(f"{shown} holds no advisories of {ecosystem}: {problem}")
        facts = facts_of(taken, ecosystem, origin=shown, digest=fetched.digest)
        return database.replace(ecosystem, rows, replace(facts, url=by, etag=etag))
    found = taken.lists.get(source)
    if found is None:
        raise AuditError(f"{shown} is not the list that it should be: {problem}")
    return database.replace_list(
        source, found.values, replace(list_facts(source, found, origin=shown, digest=fetched.digest), url=by, etag=etag)
    )
