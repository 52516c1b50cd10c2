"""Images over time: tables of a history → slopes with their intervals, how long things stayed open, what changed between two runs.

What a run does not know is in no figure: it neither begins nor ends anything, and is counted beside.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import pandas as pd

from audit_lib.errors import TableError
from audit_lib.tables import HistoryChange, HistoryChangeKind, OpenKind, OpenSpell, OpenTime, Trend, Unit, make_table
from audit_lib.units import format_bytes, format_count, format_share

MEASURES = (
    "package_count",
    "file_bytes",
    "compressed_bytes",
    "unowned_share",
    "failed_check_count",
    "vulnerability_count",
    "severe_vulnerability_count",
)
_SERIES = ["image", "audit"]
_OPEN = {"finding": ("fail", "waived"), "vulnerability": ("affected", "under_investigation")}
_CLOSED = {"finding": ("pass",), "vulnerability": ("fixed", "not_affected")}
_ITEMS: Mapping[OpenKind, tuple[str, str]] = {
    "finding": ("findings", "check_id"),
    "vulnerability": ("vulnerabilities", "vulnerability_id"),
}
_MIN_DAYS, _MIN_RUNS = 2, 3
_SECONDS_A_DAY = 86_400
_Z975 = 1.959963984540054
_WRITTEN = {"bytes": format_bytes, "count": format_count, "share": format_share}


class Kept(Protocol):
    """What is asked of a history here: `audit_lib.history.History` has it."""

    @property
    def runs(self) -> pd.DataFrame:
        """One row an image of a run."""

    @property
    def packages(self) -> pd.DataFrame:
        """The packages of each run."""

    @property
    def findings(self) -> pd.DataFrame:
        """What each check said in each run."""

    @property
    def vulnerabilities(self) -> pd.DataFrame:
        """The vulnerabilities of each run."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What could not be read."""


def trends(history: Kept, *, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """Return one row an image and measure: first and last value, slope with its interval, time to zero (schema `Trend`).

    Raises `TableError` for a measure that is no column of the history's `runs`.
    """
    for measure in measures:
        if measure not in history.runs.columns:
            raise TableError(f"trends: expected a column of runs, found the measure {measure!r}")
    rows = [
        _trend(str(image), str(name), measure, runs[["run_utc", measure]])
        for (image, name), runs in _series(history.runs)
        for measure in measures
    ]
    return make_table(Trend, rows)


def measures_over_time(history: Kept, *, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """Return one row a run, image and measure: image, audit, run_utc, measure, unit, value (missing is unknown)."""
    long = history.runs.melt(id_vars=[*_SERIES, "run_utc"], value_vars=list(measures), var_name="measure")
    long = long.assign(
        measure=long["measure"].astype("string"),
        unit=long["measure"].map(_unit).astype("string"),
        value=long["value"].astype("Float64"),
    )
    columns = [*_SERIES, "run_utc", "measure", "unit", "value"]
    return long[columns].sort_values([*_SERIES, "measure", "run_utc"], kind="stable", ignore_index=True)


def open_spells(history: Kept) -> pd.DataFrame:
    """Return one row a time during which a finding or vulnerability was open (schema `OpenSpell`)."""
    rows: list[OpenSpell] = []
    for (image, name), runs in _series(history.runs):
        for kind, (table, column) in _ITEMS.items():
            known = [run for run, is_known in zip(runs["run_utc"], _knows(runs, table), strict=True) if is_known]
            details = getattr(history, table)
            details = details[(details["image"] == image) & (details["audit"] == name)]
            for item, states, severity in _items(details, column, kind, known):
                rows += _spells(_Item(str(image), str(name), kind, item, severity), states, first_run=known[0])
    return make_table(OpenSpell, rows)


def open_times(spells: pd.DataFrame) -> pd.DataFrame:
    """Return one row an image and kind: how many were open, and the median of the days (schema `OpenTime`).

    `spells`: schema `OpenSpell`. An image without any has no row: nothing was open, or nothing is known; `trends` tells which.
    """
    rows = []
    for (image, name, kind), group in spells.groupby([*_SERIES, "kind"]):
        days = [float(value) for value in group["days_open"]]
        is_open = [bool(value) for value in group["is_open"]]
        rows.append(
            OpenTime(
                image=str(image),
                audit=str(name),
                kind="finding" if kind == "finding" else "vulnerability",
                spell_count=len(group),
                closed_count=len(group) - sum(is_open),
                open_count=sum(is_open),
                from_first_run_count=int(group["is_from_first_run"].sum()),
                median_days_open=median_days(days, is_open),
                longest_days_open=max(days),
            )
        )
    return make_table(OpenTime, rows)


def median_days(days: Sequence[float], is_open: Sequence[bool]) -> float | None:
    """Return the median of times of which some are not over yet, by the estimate of Kaplan and Meier (1958), section 3.

    It is the first time by which the estimated share of those still open is one half or less; None where it never is, so that the
    median is longer than anything that was seen.

    >>> median_days([2, 4, 6], [False, False, False])
    4
    >>> median_days([2, 4, 6], [False, True, True])
    """
    share = Fraction(1)
    for day in sorted({day for day, still in zip(days, is_open, strict=True) if not still}):
        at_risk = sum(one >= day for one in days)
        closed = sum(one == day and not still for one, still in zip(days, is_open, strict=True))
        share *= 1 - Fraction(closed, at_risk)
        if share <= Fraction(1, 2):
            return day
    return None


def changes_between(history: Kept, *, from_utc: str = "", until_utc: str = "") -> pd.DataFrame:
    """Return what differs in each image between two runs (schema `HistoryChange`).

    The first run at or after `from_utc` and the last at or before `until_utc` (a time, or a day, which means all of it) that could
    read the image; empty: the first and the last of all. An image with fewer than two such runs has no rows.
    """
    rows: list[HistoryChange] = []
    for (image, name), runs in _series(history.runs):
        fits = (runs["run_utc"] >= from_utc) & (runs["run_utc"] <= f"{until_utc}~") & (runs["status"] != "failed")
        ends = runs[fits]
        if len(ends) > 1:
            rows += _changes(history, str(image), str(name), ends.iloc[0], ends.iloc[-1])
    return make_table(HistoryChange, rows)


def headline(history: Kept) -> str:
    """Return a history in a few sentences made from its figures."""
    runs = history.runs
    count = runs["run_utc"].nunique()
    failed = int((runs["status"] == "failed").sum())
    images = runs.drop_duplicates(_SERIES)
    first, last = str(runs["run_utc"].min()), str(runs["run_utc"].max())
    times = f"from {first} to {last}" if count > 1 else f"at {first}"
    said = f"{_plural(count, 'run')} {times}, {_plural(len(images), 'image')}"
    unread = f"; {_plural(failed, 'time')} an image could not be read." if failed else "."
    alone = "" if count > 1 else " Of a single run no trend can be told: slopes and days are unknown, not zero."
    return said + unread + alone


def gaps(history: Kept, *, count: int = 20) -> Iterator[str]:
    """Yield what is not known: the first `count` sentences, and how many more there are."""
    said = [*history.gaps, *_gaps(history.runs)]
    yield from said[:count]
    if len(said) > count:
        yield f"and {format_count(len(said) - count)} more sentences"


def _gaps(runs: pd.DataFrame) -> Iterator[str]:
    for (image, _), rows in _series(runs):
        readable = rows[rows["status"] != "failed"]
        failed = rows[rows["status"] == "failed"]
        if len(failed):
            last = failed.iloc[-1]
            yield f"{image} could not be read in {len(failed):,} of {len(rows):,} runs, last at {last['run_utc']}: {last['error']}"
        if len(readable) == 1:
            yield f"{image}: only one run could read it, so no trend can be told"
        for column, what in (("package_count", "packages"), ("vulnerability_count", "vulnerabilities")):
            unknown = int(readable[column].isna().sum())
            if unknown:
                yield f"{image}: {what} are unknown in {unknown:,} of the {len(readable):,} runs that read it"


def _series(runs: pd.DataFrame) -> Iterable[tuple[Any, pd.DataFrame]]:
    return runs.sort_values("run_utc", kind="stable").groupby(_SERIES)


def _plural(count: int, what: str) -> str:
    return f"{format_count(count)} {what}{'' if count == 1 else 's'}"


def _unit(measure: str) -> Unit:
    return "bytes" if measure.endswith("_bytes") else "share" if measure.endswith("_share") else "count"


def _moment(utc: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(utc)
    except ValueError as error:
        raise TableError(f"run_utc: expected a time such as 2026-01-31T02:00:00Z, found {utc!r}") from error


def days_between(first_utc: str, last_utc: str) -> float:
    """Return the days from one time to another.

    >>> days_between("2026-01-01T02:00:00Z", "2026-01-02T14:00:00Z")
    1.5
    """
    return (_moment(last_utc) - _moment(first_utc)).total_seconds() / _SECONDS_A_DAY


def _trend(image: str, name: str, measure: str, values: pd.DataFrame) -> Trend:
    known = values.dropna(subset=measure)
    times = [str(time) for time in known["run_utc"]]
    numbers = [float(value) for value in known[measure]]
    days = [days_between(times[0], time) for time in times]
    slope, low, high = slope_of(days, numbers)
    last = numbers[-1] if numbers else None
    return Trend(
        image=image,
        audit=name,
        measure=measure,
        unit=_unit(measure),
        run_count=len(known),
        unknown_run_count=len(values) - len(known),
        first_utc=times[0] if times else None,
        last_utc=times[-1] if times else None,
        first_value=numbers[0] if numbers else None,
        last_value=last,
        slope_per_day=slope,
        slope_low=low,
        slope_high=high,
        zero_utc=_zero_since(times, numbers),
        days_to_zero=_days_to_zero(last, slope),
        days_to_zero_low=_days_to_zero(last, low),
        days_to_zero_high=_days_to_zero(last, high),
    )


def slope_of(days: Sequence[float], values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return the slope of the least-squares line and the ends of its interval at 95 %, None for what cannot be told.

    >>> slope_of([0, 1, 2, 3], [1, 3, 5, 7])
    (2.0, 2.0, 2.0)
    >>> slope_of([0, 1], [1, 3]), slope_of([0], [1])
    ((2.0, None, None), (None, None, None))
    """
    count = len(days)
    if len(set(days)) < _MIN_DAYS:
        return None, None, None
    middle, mean = sum(days) / count, sum(values) / count
    spread = sum((day - middle) ** 2 for day in days)
    slope = sum((day - middle) * (value - mean) for day, value in zip(days, values, strict=True)) / spread
    if count < _MIN_RUNS:
        return slope, None, None
    left = sum((value - mean - slope * (day - middle)) ** 2 for day, value in zip(days, values, strict=True))
    half = _student(count - 2) * math.sqrt(left / (count - 2) / spread)
    return slope, slope - half, slope + half


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t: exact for 1 and 2 degrees of freedom, else to 0.2 %.

    The series is Abramowitz and Stegun's 26.7.5.
    """
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:  # noqa: PLR2004 - degrees of freedom with a formula of their own
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, v = _Z975, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92_160 * v**4)
    )


def _zero_since(times: Sequence[str], values: Sequence[float]) -> str | None:
    since = None
    for time, value in zip(times, values, strict=True):
        since = (since or time) if value == 0 else None
    return since


def _days_to_zero(value: float | None, slope: float | None) -> float | None:
    if value == 0:
        return 0.0
    return None if value is None or slope is None or slope >= 0 else value / -slope


def _knows(runs: pd.DataFrame, table: str) -> list[bool]:
    """Tell of each run whether its rows of a table, or that it has none, say something of the image."""
    return [
        status != "failed" and table not in ("" if pd.isna(unknown) else str(unknown)).split(", ")
        for status, unknown in zip(runs["status"], runs["unknown_tables"], strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Item:
    image: str
    audit: str
    kind: OpenKind
    item: str
    severity: str | None


def _items(
    details: pd.DataFrame, column: str, kind: str, known: Sequence[str]
) -> Iterator[tuple[str, list[tuple[str, bool | None]], str | None]]:
    """Yield (item, its state in each run, its last severity): open, not open, or None where the run cannot tell."""
    # A vulnerability that no row names is not there; a check without a row was not made.
    absent = False if kind == "vulnerability" else None
    for item, rows in details[details["run_utc"].isin(known)].groupby(column):
        states: dict[str, bool | None] = dict.fromkeys(known, absent)
        for run, statuses in rows.groupby("run_utc")["status"]:
            is_open = bool(statuses.isin(_OPEN[kind]).any())
            is_closed = bool(statuses.isin(_CLOSED[kind]).all())
            states[str(run)] = True if is_open else False if is_closed else None
        severities = rows.sort_values("run_utc", kind="stable")["severity"].dropna()
        yield str(item), list(states.items()), str(severities.iloc[-1]) if len(severities) else None


def _spells(item: _Item, states: Sequence[tuple[str, bool | None]], *, first_run: str) -> Iterator[OpenSpell]:
    first = last = None
    for run, is_open in states:
        if is_open:
            first, last = first or run, run
        elif is_open is False and first is not None and last is not None:
            yield _spell(item, first, last, run, first_run)
            first = last = None
    if first is not None and last is not None:
        yield _spell(item, first, last, None, first_run)


def _spell(item: _Item, first: str, last: str, closed: str | None, first_run: str) -> OpenSpell:
    return OpenSpell(
        image=item.image,
        audit=item.audit,
        kind=item.kind,
        item=item.item,
        first_utc=first,
        severity=item.severity,
        last_utc=last,
        closed_utc=closed,
        days_open=days_between(first, closed or last),
        is_open=closed is None,
        is_from_first_run=first == first_run,
    )


def _changes(history: Kept, image: str, name: str, first: pd.Series, last: pd.Series) -> Iterator[HistoryChange]:
    for kind, (before, after) in _sides(history, image, name, first, last).items():
        for item in sorted(before.keys() | after.keys()):
            old, new = before.get(item), after.get(item)
            if old != new:
                yield HistoryChange(
                    image=image,
                    audit=name,
                    kind=kind,
                    item=item,
                    change="changed" if item in before and item in after else "removed" if item in before else "added",
                    before=old,
                    after=new,
                    before_utc=str(first["run_utc"]),
                    after_utc=str(last["run_utc"]),
                )


_Values = Mapping[str, str | None]


def _sides(
    history: Kept, image: str, name: str, first: pd.Series, last: pd.Series
) -> dict[HistoryChangeKind, tuple[_Values, _Values]]:
    """Return by kind what two runs of an image say, as text; of what either does not know, nothing is compared."""
    sides: dict[HistoryChangeKind, tuple[_Values, _Values]] = {
        "digest": (_digest(first), _digest(last)),
        "measure": (_measures(first), _measures(last)),
    }
    ends = pd.DataFrame([first, last])
    tables: tuple[tuple[HistoryChangeKind, str, list[str], str], ...] = (
        ("package", "packages", ["format", "name"], "version"),
        ("finding", "findings", ["check_id"], "status"),
        ("vulnerability", "vulnerabilities", ["vulnerability_id"], "status"),
    )
    for kind, table, key, value in tables:
        if kind == "package" and ends["package_count"].isna().any():
            continue
        if all(_knows(ends, table)):
            rows = getattr(history, table)
            rows = rows[(rows["image"] == image) & (rows["audit"] == name)]
            before, after = (_texts(rows[rows["run_utc"] == end["run_utc"]], key, value) for end in (first, last))
            sides[kind] = (before, after)
    return sides


def _digest(run: pd.Series) -> _Values:
    return {"image_digest": None if pd.isna(run["image_digest"]) else str(run["image_digest"])}


def _measures(run: pd.Series) -> _Values:
    return {
        measure: None if pd.isna(run[measure]) else _WRITTEN[_unit(measure)](run[measure].item())
        for measure in MEASURES
    }


def _texts(rows: pd.DataFrame, key: list[str], value: str) -> _Values:
    """Return by item the different values that rows have, joined by ", "."""
    named = rows.assign(item=rows[key].agg(":".join, axis="columns") if len(rows) else "")
    groups = named.groupby("item")[value]
    return {str(item): ", ".join(sorted({str(one) for one in values.dropna()})) or None for item, values in groups}
