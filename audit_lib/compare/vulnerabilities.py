"""Vulnerabilities of both images: which are gone with the move, which stay, and what each removed package had."""

from __future__ import annotations

import pandas as pd

from audit_lib.compare.merging import made
from audit_lib.compare.sides import Audited
from audit_lib.tables import (
    RemovalGain,
    SeverityCount,
    VulnerabilityChange,
    VulnerabilityCoverage,
    check_table,
    make_table,
)
from audit_lib.vulnerabilities import removal_gains
from audit_lib.vulnerabilities.base import OWN
from audit_lib.vulnerabilities.sources import each_once

_KEY = ["vulnerability_id", "format", "name"]
_COUNT_KEY = ["found_by", "counted", "severity"]
_COUNTS = {
    "vulnerability_count": "count",
    "fixable_count": "fixable_count",
    "known_exploited_count": "known_exploited_count",
}


def compare_vulnerabilities(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a vulnerability and a package name on either side (schema `VulnerabilityChange`).

    Sources are taken together: the worst that any of them says counts, and a row that any of them calls affected is. The table
    is empty where the vulnerabilities of a side are unknown. A suppressed row is a row, with its status and justification.
    """
    if not (full.knows("vulnerabilities") and minimal.knows("vulnerabilities")):
        return make_table(VulnerabilityChange, [])
    sides = [each_once(side.vulnerabilities, by=_KEY) for side in (full, minimal)]
    both = sides[0].merge(
        sides[1], on=_KEY, how="outer", suffixes=("_full", "_minimal"), validate="one_to_one", indicator="change"
    )
    change = both["change"].map({"left_only": "removed", "right_only": "added", "both": "kept"}).astype("string")
    is_other = (both["status_full"] != both["status_minimal"]).fillna(value=False) & (change == "kept")
    facts = {
        name: both[f"{name}_minimal"].fillna(both[f"{name}_full"])
        for name in ("fixed_version", "justification", "is_known_exploited", "epss_score")
    }
    pairs = zip(both["found_by_full"].fillna(""), both["found_by_minimal"].fillna(""), strict=True)
    found_by = [", ".join(sorted({one for said in pair for one in said.split(", ") if one})) for pair in pairs]
    return made(VulnerabilityChange, both.assign(change=change.mask(is_other, "changed"), found_by=found_by, **facts))


def compare_severities(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return the counts of both sides by source, way to count and severity (schema `SeverityCount`).

    A side that was not held against a source has no numbers of it: these are missing, not 0.
    """
    sides = [
        side.vulnerability_counts[[*_COUNT_KEY, *_COUNTS, "data_utc"]].rename(columns=_COUNTS)
        for side in (full, minimal)
    ]
    both = sides[0].merge(sides[1], on=_COUNT_KEY, how="outer", suffixes=("_full", "_minimal"), validate="one_to_one")
    return made(SeverityCount, both.assign(delta_count=both["count_minimal"] - both["count_full"]))


def compare_gains(full: Audited, package_changes: pd.DataFrame) -> pd.DataFrame:
    """Return what each package had that only the full image has (schema `RemovalGain`): vulnerabilities, bytes, files.

    `package_changes`: schema `PackageChange`. Counts of vulnerabilities are missing where the full image's are unknown.
    """
    gains = removal_gains(
        full.packages, full.vulnerabilities, full.vulnerability_coverage, is_known=full.knows("vulnerabilities")
    )
    removed = package_changes.loc[package_changes["change"] == "removed", ["format", "name"]]
    return check_table(RemovalGain, gains.merge(removed, on=["format", "name"], how="inner", validate="one_to_one"))


def untold_packages(side: Audited) -> int:
    """Return how many packages of an image no advisories tell of; a scanner is taken to have looked at all of them."""
    if (side.vulnerability_counts["found_by"] != OWN).any():
        return 0
    coverage = side.vulnerability_coverage
    return int(coverage.loc[coverage["status"].isin(VulnerabilityCoverage.UNTOLD), "package_count"].sum())
