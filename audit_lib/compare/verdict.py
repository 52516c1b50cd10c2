"""What a comparison comes to, in one paragraph made from its figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

import pandas as pd

from audit_lib.tables import RiskSeverity
from audit_lib.units import format_count

_UNDECIDED = ("manual", "not_assessable")
_GONE = ("not_affected", "fixed")


def verdict_of(  # noqa: PLR0913 - what a verdict is made of
    sentences: Iterable[str],
    *,
    findings: pd.DataFrame,
    vulnerabilities: pd.DataFrame | None,
    untold: tuple[int, int] = (0, 0),
    risks: pd.DataFrame | None,
    gaps: tuple[str, ...],
) -> str:
    """Return a paragraph: what the minimal image has less of, what fails and is vulnerable on either, what the move breaks.

    `sentences`: those of `headline_of`. Schemas: `FindingChange`, `VulnerabilityChange`, `MigrationRisk`; None where nothing is
    known of them. `untold`: how many packages of the full and of the minimal image no advisories tell of. What was not decided is
    counted beside what fails, what is unknown is said to be, and gaps are counted last.
    """
    parts = [*sentences, *_failing(findings), _vulnerable(vulnerabilities, untold), _breaking(risks), *_unknown(gaps)]
    return " ".join(parts)


def _failing(findings: pd.DataFrame) -> Iterator[str]:
    if findings.empty:
        return
    full, minimal = (findings[f"status_{role}"] for role in ("full", "minimal"))
    yield (
        f"Of {_counted(len(findings), 'check')} of the policy, {format_count(int(full.eq('fail').sum()))} fail on the full image "
        f"and {format_count(int(minimal.eq('fail').sum()))} on the minimal one; "
        f"{format_count(int(full.isin(_UNDECIDED).sum()))} and {format_count(int(minimal.isin(_UNDECIDED).sum()))} are not decided."
    )


def _vulnerable(vulnerabilities: pd.DataFrame | None, untold: tuple[int, int]) -> str:
    if vulnerabilities is None:
        return "How many vulnerabilities they have is unknown."
    counts = []
    for role in ("full", "minimal"):
        status = vulnerabilities[f"status_{role}"]
        counts.append(vulnerabilities.loc[status.notna() & ~status.isin(_GONE), "vulnerability_id"].nunique())
    return (
        f"{_counted(counts[0], 'vulnerability', 'vulnerabilities')} of the full image and {format_count(counts[1])} of the minimal "
        "one are known and not ruled out."
    ) + (
        f" Of {_counted(untold[0], 'package')} of the full image and {format_count(untold[1])} of the minimal one no advisories "
        "tell."
        if any(untold)
        else ""
    )


def _breaking(risks: pd.DataFrame | None) -> str:
    if risks is None:
        return "What the move would break is unknown."
    counts = risks["severity"].value_counts()
    said = [f"{format_count(int(counts[name]))} {name}" for name in get_args(RiskSeverity) if name in counts.index]
    if not said:
        return "The files show nothing that the move would break."
    return f"The files show {_counted(len(risks), 'thing')} that the move would break or change: {', '.join(said)}."


def _unknown(gaps: tuple[str, ...]) -> Iterator[str]:
    if gaps:
        yield f"{_counted(len(gaps), 'gap')} in what is known {'stands' if len(gaps) == 1 else 'stand'} in the report."


def _counted(count: int, noun: str, several: str | None = None) -> str:
    return f"{format_count(count)} {noun if count == 1 else several or f'{noun}s'}"
