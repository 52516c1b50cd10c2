"""Several sources of vulnerabilities side by side: what they agree on, since when there are fixes, what a package costs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import combinations

import pandas as pd

from audit_lib.tables import Exposure, RemovalGain, SourceAgreement, make_table, total
from audit_lib.units import format_count
from audit_lib.vulnerabilities.base import OWN, SEVERITIES

# What a statement says does no harm any more.
GONE = ("not_affected", "fixed")
_SERIOUS = ("critical", "high")
# Formats of which the advisories that are held can tell.
_TOLD = ("matched", "by_distribution")
_PACKAGE = ["vulnerability_id", "format", "name"]


def agreement(vulnerabilities: pd.DataFrame, scanner_reports: pd.DataFrame) -> pd.DataFrame:
    """Return for every two sources of an image how much both find, and how much one of them alone (schema `SourceAgreement`).

    `vulnerabilities`: schema `Vulnerability`, `scanner_reports`: schema `ScannerReport`: a scanner that was asked and found nothing
    is a source too. What a scanner itself took out counts as found by it.
    """
    return make_table(SourceAgreement, _agreements(vulnerabilities, scanner_reports))


def _agreements(vulnerabilities: pd.DataFrame, scanner_reports: pd.DataFrame) -> Iterator[SourceAgreement]:
    sources = pd.concat([vulnerabilities[["image", "found_by"]], scanner_reports[["image", "found_by"]]])
    for image, named in sources.groupby("image"):
        rows = vulnerabilities[vulnerabilities["image"] == image]
        for first, second in combinations(sorted(set(named["found_by"])), 2):
            for counted, columns in (("matches", _PACKAGE), ("unique ids", _PACKAGE[:1])):
                here, there = (
                    set(rows.loc[rows["found_by"] == one, columns].itertuples(index=False, name=None))
                    for one in (first, second)
                )
                yield SourceAgreement(
                    image=str(image),
                    first=first,
                    second=second,
                    counted="matches" if counted == "matches" else "unique ids",
                    both_count=len(here & there),
                    first_only_count=len(here - there),
                    second_only_count=len(there - here),
                )


def exposure(vulnerabilities: pd.DataFrame, *, as_of_utc: str) -> pd.DataFrame:
    """Return since how many days a fix for each vulnerability could have been had (schema `Exposure`), as of the day `as_of_utc`.

    `vulnerabilities`: schema `Vulnerability`; rows that a statement says are `fixed` or `not_affected` are left out. Days are
    missing where no source states since when: that is unknown, not none.
    """
    today = dt.date.fromisoformat(as_of_utc)
    rows = each_once(vulnerabilities[~vulnerabilities["status"].isin(GONE)], by=["image", *_PACKAGE])
    days = [_days(stated, today) for stated in rows["fix_published_utc"]]
    columns = {name: rows[name].array for name in Exposure.__dataclass_fields__ if name in rows.columns}
    return make_table(
        Exposure,
        {
            **columns,
            "is_fixable": rows["fixed_version"].notna().array,
            "exposed_days": days,
            "as_of_utc": [as_of_utc] * len(rows),
        },
    )


def _days(stated_utc: object, today: dt.date) -> int | None:
    """Return the days since a day; 0 where that is still to come."""
    if not isinstance(stated_utc, str):
        return None
    try:
        return max((today - dt.date.fromisoformat(stated_utc[:10])).days, 0)
    except ValueError:
        return None


def removal_gains(
    packages: pd.DataFrame, vulnerabilities: pd.DataFrame, coverage: pd.DataFrame, *, is_known: bool
) -> pd.DataFrame:
    """Return what would be gone without each package: vulnerabilities, bytes, files (schema `RemovalGain`).

    `packages`: schema `Package`; `vulnerabilities`: schema `Vulnerability`; `coverage`: schema `VulnerabilityCoverage`. Counts are
    missing where nothing is known of the image's vulnerabilities (`is_known`), or where only the library's own matching was done
    and it has no advisories for the package's format.
    """
    key = ["format", "name"]
    left = vulnerabilities[vulnerabilities["is_joined"] & ~vulnerabilities["status"].isin(GONE)]
    severities = {pair: rows["severity"].tolist() for pair, rows in each_once(left, by=_PACKAGE).groupby(key)}
    told = set(coverage.loc[coverage["status"].isin(_TOLD), "format"])
    is_scanned = bool((vulnerabilities["found_by"] != OWN).any())

    def gain(pair: tuple[str, str], rows: pd.DataFrame) -> RemovalGain:
        found = severities.get(pair, [])
        is_told = bool(found) or (is_known and (is_scanned or pair[0] in told))
        return RemovalGain(
            format=pair[0],
            name=pair[1],
            version=", ".join(sorted(set(rows["version"].dropna()))) or None,
            vulnerability_count=len(found) if is_told else None,
            serious_count=sum(word in _SERIOUS for word in found) if is_told else None,
            file_bytes=total(rows["file_bytes"]),
            file_count=total(rows["file_count"]),
        )

    return make_table(RemovalGain, [gain((str(form), str(name)), rows) for (form, name), rows in packages.groupby(key)])


def notes_on(counts: pd.DataFrame, label: str) -> Iterator[str]:
    """Yield how many vulnerabilities of an image each source finds, counted in three ways; without any source, that it is unknown.

    `counts`: schema `VulnerabilityCount`.
    """
    rows = counts[counts["severity"] == "all"]
    if rows.empty:
        yield (
            f"Whether {label} has known vulnerabilities is unknown, which is not none: no advisories speak of its packages, "
            "and no scanner's report was named."
        )
    for found_by, own in rows.groupby("found_by"):
        numbers = own.set_index("counted")["vulnerability_count"]
        facts = own.iloc[0]
        version = "" if pd.isna(facts["found_by_version"]) else f" {facts['found_by_version']}"
        data = "data of a date that it does not state" if pd.isna(facts["data_utc"]) else f"data of {facts['data_utc']}"
        yield (
            f"{label}, by {found_by}{version} ({data}): {format_count(int(numbers['matches']))} matches, "
            f"{format_count(int(numbers['unique ids']))} unique ids, {format_count(int(numbers['after VEX']))} after VEX."
        )


def each_once(vulnerabilities: pd.DataFrame, *, by: list[str]) -> pd.DataFrame:
    """Return one row for each different value of the columns `by`: the worst of what the sources say, and all that fixes it.

    The worst severity and its version and status, the earliest `fix_published_utc`, the highest `epss_score`, and the sources and
    fixed versions joined by ", ". A row that is still `affected` in any source is affected.
    """
    places: dict[str, int] = {word: place for place, word in enumerate(SEVERITIES)}
    ordered = vulnerabilities.assign(
        place=vulnerabilities["severity"].map(places).astype("int64"), is_gone=vulnerabilities["status"].isin(GONE)
    ).sort_values(["is_gone", "place", "found_by"], kind="stable")
    grouped = ordered.groupby(by, sort=True)
    made = grouped.agg(
        version=("version", "first"),
        severity=("severity", "first"),
        status=("status", "first"),
        justification=("justification", "first"),
        status_detail=("status_detail", "first"),
        is_known_exploited=("is_known_exploited", "max"),
        epss_score=("epss_score", "max"),
        fix_published_utc=("fix_published_utc", "min"),
    )
    for name in ("fixed_version", "found_by"):
        stated = ordered.dropna(subset=name).drop_duplicates([*by, name])
        made[name] = (
            stated.sort_values(name, kind="stable")
            .groupby(by)[name]
            .agg(", ".join)
            .reindex(made.index)
            .astype("string")
        )
    return made.reset_index()
