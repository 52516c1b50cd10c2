"""How vulnerabilities are counted: three numbers, each by severity, fixable, known to be exploited, likely to be."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Literal

import pandas as pd

from audit_lib.tables import CountedThing, VulnerabilityCount, VulnerabilitySeverity, make_table
from audit_lib.vulnerabilities.base import OWN, SEVERITIES

# From this score on (FIRST's EPSS, a probability) an exploit within 30 days counts as likely.
LIKELY = 0.1
_GROUPS: tuple[Literal["all"] | VulnerabilitySeverity, ...] = ("all", *SEVERITIES)
_REST = {
    "fixable_count": "fixable",
    "known_exploited_count": "known_exploited",
    "epss_count": "likely_exploited",
    "data_utc": "data_utc",
}
_GONE = ("not_affected", "fixed")
_STATED = ["image", "found_by", "data_utc", "scanner_version"]


def count_vulnerabilities(
    vulnerabilities: pd.DataFrame, coverage: pd.DataFrame | None = None, scanner_reports: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return how many vulnerabilities each source finds, in three ways (schema `VulnerabilityCount`).

    `vulnerabilities`: a table of schema `Vulnerability`. A vulnerability counts once for its worst severity; it is fixable where
    any of its rows has a fixed version. `coverage` (schema `VulnerabilityCoverage`): what was held against advisories; with it, the
    library's own matching counts 0 where it found nothing. `scanner_reports` (schema `ScannerReport`): with it, so does a scanner
    whose report has no matches. Of any other source without rows there is nothing to group by.
    """
    return make_table(VulnerabilityCount, _rows(vulnerabilities, coverage, scanner_reports))


def three_numbers(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts (schema `VulnerabilityCount`) as one row a source and a way to count: all, a column a severity, and the rest.

    Columns: found_by, counted, all, critical … unknown, fixable, known_exploited, likely_exploited (EPSS of 0.1 or more), data_utc.
    """
    key = ["found_by", "counted"]
    wide = counts.pivot_table(
        index=key, columns="severity", values="vulnerability_count", aggfunc="sum", observed=True
    ).reindex(columns=list(_GROUPS))
    rest = counts[counts["severity"] == "all"].set_index(key)[list(_REST)].rename(columns=_REST)
    order = {word: place for place, word in enumerate(typing.get_args(CountedThing))}
    joined = wide.join(rest).reset_index()
    return joined.sort_values(key, key=lambda column: column.replace(order), ignore_index=True)


def _rows(
    vulnerabilities: pd.DataFrame, coverage: pd.DataFrame | None, scanner_reports: pd.DataFrame | None
) -> Iterator[VulnerabilityCount]:
    sources = {(str(image), str(by)): rows for (image, by), rows in vulnerabilities.groupby(["image", "found_by"])}
    asked = {} if coverage is None else _dates(coverage[coverage["status"].isin(["matched", "by_distribution"])])
    for image in asked:
        sources.setdefault((image, OWN), vulnerabilities.iloc[:0])
    stated: dict[tuple[str, str], tuple[object, object]] = {}
    for image, found_by, *facts in (
        [] if scanner_reports is None else scanner_reports[_STATED].itertuples(index=False, name=None)
    ):
        stated[image, found_by] = (facts[0], facts[1])
        sources.setdefault((image, found_by), vulnerabilities.iloc[:0])
    for (image, found_by), rows in sources.items():
        each = _each_once(rows)
        remaining = _each_once(rows[~rows["status"].isin(_GONE)])
        ways: tuple[tuple[CountedThing, pd.DataFrame], ...] = (
            ("matches", rows.assign(is_fixable=rows["fixed_version"].notna())),
            ("unique ids", each),
            ("after VEX", remaining),
        )
        dates = {*rows["data_utc"].dropna(), *(asked.get(image, ()) if found_by == OWN else ())}
        versions = {*rows["found_by_version"].dropna()}
        if not len(rows) and (image, found_by) in stated:
            dates, versions = ({one} - {pd.NA} for one in stated[image, found_by])
        for counted, table in ways:
            for severity in _GROUPS:
                chosen = table if severity == "all" else table[table["severity"] == severity]
                yield VulnerabilityCount(
                    image=image,
                    found_by=found_by,
                    counted=counted,
                    severity=severity,
                    vulnerability_count=len(chosen),
                    fixable_count=int(chosen["is_fixable"].sum()),
                    known_exploited_count=_known(chosen["is_known_exploited"], rows["is_known_exploited"]),
                    epss_count=_known(chosen["epss_score"].ge(LIKELY), rows["epss_score"]),
                    data_utc=", ".join(sorted(dates)) or None,
                    found_by_version=", ".join(sorted(versions)) or None,
                )


def _dates(coverage: pd.DataFrame) -> dict[str, set[str]]:
    """Return the dates of the advisories that each image was held against."""
    return {str(image): {*rows["data_utc"].dropna()} for image, rows in coverage.groupby("image")}


def _each_once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a vulnerability: its worst severity, and whether any of its rows has a fix."""
    places = {word: place for place, word in enumerate(SEVERITIES)}
    ordered = rows.assign(place=rows["severity"].map(places).astype("int64"), is_fixable=rows["fixed_version"].notna())
    grouped = ordered.sort_values("place", kind="stable").groupby("vulnerability_id", sort=True)
    return grouped.agg(
        severity=("severity", "first"),
        is_fixable=("is_fixable", "max"),
        is_known_exploited=("is_known_exploited", "max"),
        epss_score=("epss_score", "max"),
    ).reset_index()


def _known(flags: pd.Series, every: pd.Series) -> int | None:
    """Return how many are so; None where of none of a source's rows it is known, since the list was not at hand."""
    if len(every) and every.isna().all():
        return None
    return int(flags.fillna(value=False).sum())
