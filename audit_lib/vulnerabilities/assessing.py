"""What the advisories that are held say of one image, and of what in it they say nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from audit_lib.units import format_count
from audit_lib.vulnerabilities.base import ENVIRONMENT
from audit_lib.vulnerabilities.database import NONE, Database, Facts, ecosystem_of

_OF_A_SOURCE = ("source", "data_utc", "updated_utc", "origin", "digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """Tables of the schemas `Vulnerability` and `VulnerabilityCoverage`, and `gaps`: what is unknown, a sentence each.

    `sources`: the bodies of advisories and lists that were asked, with the day and the digest of each (`AdvisorySource`).
    `is_known`: whether the advisories that are held speak of any of the packages; where not, no rows mean nothing.
    """

    vulnerabilities: pd.DataFrame
    coverage: pd.DataFrame
    gaps: tuple[str, ...]
    sources: tuple[Mapping[str, str | None], ...]
    is_known: bool


def assess(
    packages: pd.DataFrame,
    image: pd.Series,
    advisories: Database | str | os.PathLike[str] | None,
    *,
    only_if_named: bool,
) -> Assessed | None:
    """Return what advisories say of an image's packages; None where that is unknown, which is not none.

    It is unknown where no advisories are held, or where the packages are unknown.
    `packages`, `image`: the table of an audit, and the row of its image. `advisories`: where they are, default AUDIT_ADVISORIES,
    else the user's cache folder; "none" asks none. With `only_if_named` the cache folder does not count: what a sample
    shows must not depend on what this machine has. Raises `AuditError` where the database is damaged.
    """
    named = os.environ.get(ENVIRONMENT) if advisories is None else advisories
    if named == NONE or (named is None and only_if_named):
        return None
    database = named if isinstance(named, Database) else Database(named)
    if pd.isna(image["package_count"]) and not len(packages):
        return None
    if not any(ecosystem_of(source) for source in database.facts()):
        return None
    # Not needed where no advisories are held, and the start of every audit.
    from audit_lib.vulnerabilities.matching import load_for, match  # noqa: PLC0415

    asked, loaded = load_for(database, packages, image)
    vulnerabilities, coverage = match(asked, loaded, str(image["image"]))
    return Assessed(
        vulnerabilities=vulnerabilities,
        coverage=coverage,
        gaps=tuple(_gaps(coverage)),
        sources=tuple(_sources(loaded.facts, {place.partition(":")[0] for place in coverage["ecosystem"].dropna()})),
        is_known=not len(coverage) or bool(coverage["status"].isin(["matched", "by_distribution"]).any()),
    )


def _sources(facts: Mapping[str, Facts], ecosystems: Collection[str]) -> Iterator[dict[str, str | None]]:
    for name, one in sorted(facts.items()):
        if ecosystem_of(name) is None or ecosystem_of(name) in ecosystems:
            yield {column: getattr(one, column) for column in _OF_A_SOURCE}


def _gaps(coverage: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each reason why nothing can be told, with the packages that it holds for."""
    unknown = coverage[coverage["status"] == "no_data"]
    for (image, why), rows in unknown.groupby(["image", "detail"], sort=False):
        counted = [
            f"{format_count(count)} {form}" for form, count in zip(rows["format"], rows["package_count"], strict=True)
        ]
        packages = "package has" if rows["package_count"].sum() == 1 else "packages have"
        yield f"{image}: whether {', '.join(counted)} {packages} vulnerabilities is unknown, not none: {why}"
