"""What a scanner's report states, whatever its notation: matches with their place in it, and what it says of the scan."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from audit_lib.formats.base import Broken
from audit_lib.formats.documents import text
from audit_lib.tables import VulnerabilitySeverity
from audit_lib.vulnerabilities.base import severity_word

# Why a scanner states a match and does not report it: by VEX, by a rule of its user's, or because a person judged it.
MatchStatus = Literal["affected", "fixed", "not_affected", "under_investigation", "ignored"]
FixState = Literal["fixed", "not_fixed", "wont_fix", "unknown"]
# What scanners write where there is no version with the fix.
_NO_VERSION = frozenset({"not fixed", "none", "n/a", "unknown", "-"})
_ID = re.compile(r"(?:CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}|[A-Z][A-Z0-9]{1,15}-(?:SA-)?\d{4}[:-]\d+(?:-\d+)?)")
# Go writes nanoseconds, and "+0000 UTC" behind a time.
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2})(?:\.\d+)?(?: ?(Z|[+-]\d{2}:?\d{2}))?(?: .*)?)?")
_FIRST_YEAR = 1970
# From which CVSS base score on a severity is meant (CVSS 3.1, section 5; 4.0 keeps them).
_LEAST_SCORES: tuple[tuple[float, VulnerabilitySeverity], ...] = (
    (9.0, "critical"),
    (7.0, "high"),
    (4.0, "medium"),
    (0.1, "low"),
)
_MAX_BROKEN = 20
_LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A vulnerability of a package as a report states it. None is "not stated".

    `place` leads to it in the report (a JSON pointer, RFC 6901). `aliases`: further ids that the report gives the same
    vulnerability. `type` is the purl type, where the report tells it. `severity` is `unknown` where the report states none.
    `fixed_version`: versions with the fix, joined by ", ". `fixed_utc`: since when the fix can be had. `status` is `affected`
    unless the report itself says otherwise, with `justification` why.
    """

    place: str
    vulnerability_id: str
    aliases: tuple[str, ...] = ()
    purl: str | None = None
    type: str | None = None
    name: str | None = None
    version: str | None = None
    severity: VulnerabilitySeverity = "unknown"
    cvss_score: float | None = None
    fixed_version: str | None = None
    fix_state: FixState = "unknown"
    fixed_utc: str | None = None
    published_utc: str | None = None
    is_known_exploited: bool | None = None
    epss_score: float | None = None
    status: MatchStatus = "affected"
    justification: str | None = None
    path: str | None = None


@dataclass(slots=True, kw_only=True)
class Report:
    """A report that was read.

    `notation`: "Grype JSON", "SARIF 2.1.0" …. `scanned_utc`: when the report was made. `data_utc`: the date of the scanner's
    vulnerability data. `subject`: what was scanned; `digests`: the digests by which the report names it. `broken`: entries that
    cannot be read, the first ones with their place; `broken_count` of them. `left_out`: how many entries of which kind are no
    vulnerabilities of packages.
    """

    notation: str
    scanner: str | None = None
    scanner_version: str | None = None
    scanned_utc: str | None = None
    data_utc: str | None = None
    subject: str | None = None
    digests: frozenset[str] = frozenset()
    matches: list[Match] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    broken_count: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, kind: str, count: int = 1) -> None:
        """Count entries that are no vulnerabilities of packages."""
        if count:
            self.left_out[kind] = self.left_out.get(kind, 0) + count

    def breaks(self, place: str, problem: str) -> None:
        """Note an entry that cannot be read; of very many, the first ones stand for all."""
        self.broken_count += 1
        if len(self.broken) < _MAX_BROKEN:
            self.broken.append(Broken(place, problem))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFormat:
    """A notation: how a JSON object of it is told from others, and what reads it. `expected` names it in an error."""

    name: str
    expected: str
    recognises: Callable[[Mapping[str, Any]], bool]
    parse: Callable[[Mapping[str, Any], str], Report]


def list_of(value: object) -> list[Any]:
    """Return a list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def objects_of(value: object) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list, nothing for anything else."""
    yield from (one for one in list_of(value) if isinstance(one, dict))


def line_of(value: object) -> str | None:
    r"""Return text in one line of at most 2,000 characters, None for anything else: reports quote whole advisories.

    Control characters become U+FFFD: a terminal would obey them.

    >>> line_of("two\n  lines"), line_of("\x1b[2J"), line_of(3)
    ('two lines', '�[2J', None)
    """
    found = text(value)
    if found is None:
        return None
    found = " ".join(found.split())
    if not found.isprintable():
        found = "".join(one if one.isprintable() else "\ufffd" for one in found)
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"


def id_in(value: object) -> str | None:
    """Return the first vulnerability id in a text, None where there is none.

    >>> id_in("CVE-2023-5363-libssl3"), id_in("see GHSA-xxxx-yyyy-1234"), id_in("py/sql-injection")
    ('CVE-2023-5363', 'GHSA-xxxx-yyyy-1234', None)
    """
    found = text(value)
    match = _ID.search(found) if found else None
    return match[0] if match else None


def ids_of(values: object) -> tuple[str, ...]:
    """Return the ids in a list, in its order, each once."""
    return tuple(dict.fromkeys(found for one in list_of(values) if (found := line_of(one)) is not None))


def number_of(value: object, *, most: float) -> float | None:
    """Return a number from 0 to `most`, as a number or as text; None for anything else.

    >>> number_of("7.5", most=10), number_of(11, most=10), number_of(True, most=10), number_of("nan", most=10)
    (7.5, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0 <= found <= most else None


def score_of(value: object) -> float | None:
    """Return a CVSS score, from 0 to 10; None for anything else, and for 0, which stands for "none was given"."""
    return number_of(value, most=10) or None


def versions_of(values: object) -> str | None:
    """Return fixed versions, of a list or a text, joined by ", "; None where there are none.

    >>> versions_of(["1.2", "", "1.2", "2.0"]), versions_of("not fixed")
    ('1.2, 2.0', None)
    """
    listed = values if isinstance(values, list) else [values]
    found = [one for value in listed if (one := line_of(value)) is not None and one.lower() not in _NO_VERSION]
    return ", ".join(dict.fromkeys(found)) or None


def utc_of(value: object) -> str | None:
    """Return a day, or a time in UTC ending in Z, of ISO text; None for anything else, and for Go's zero time.

    >>> utc_of("2025-03-01T12:00:00.123456789Z"), utc_of("2025-03-01T12:00:00+02:00")
    ('2025-03-01T12:00:00Z', '2025-03-01T10:00:00Z')
    >>> utc_of("2025-03-01"), utc_of("0001-01-01T00:00:00Z"), utc_of("2025-02-30")
    ('2025-03-01', None, None)
    """
    match = _TIME.fullmatch(text(value) or "")
    if match is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00:00'}{match[3] or 'Z'}").astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    if moment.year < _FIRST_YEAR:
        return None
    return match[1] if match[2] is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def severity_of(words: Sequence[object], score: float | None = None) -> VulnerabilitySeverity:
    """Return the severity of the first text that is a known word, else that of the CVSS score, else `unknown`.

    >>> severity_of(["strange", "IMPORTANT"]), severity_of([], 9.8), severity_of([None])
    ('high', 'critical', 'unknown')
    """
    for word in words:
        found = severity_word(word)
        if found is not None and found != "unknown":
            return found
    return "unknown" if score is None else next((word for least, word in _LEAST_SCORES if score >= least), "negligible")


def fix_of(version: str | None, state: object = None) -> FixState:
    """Return the state of the fix: a version that has it says so, else the scanner's own word.

    >>> fix_of("1.2"), fix_of(None, "will_not_fix"), fix_of(None, "affected"), fix_of(None)
    ('fixed', 'wont_fix', 'not_fixed', 'unknown')
    """
    if version is not None:
        return "fixed"
    return _STATES.get((text(state) or "").lower().replace("-", "_"), "unknown")


_STATES: Mapping[str, FixState] = {
    "not_fixed": "not_fixed",
    "affected": "not_fixed",
    "fix_deferred": "not_fixed",
    "not fixed": "not_fixed",
    "wont_fix": "wont_fix",
    "will_not_fix": "wont_fix",
    "end_of_life": "wont_fix",
}
