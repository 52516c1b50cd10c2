"""Packages by name on both sides, where both sides' packages are known."""

from __future__ import annotations

import pandas as pd

from audit_lib.compare.merging import made, merged
from audit_lib.compare.sides import DISTRIBUTION_FORMATS, Audited, formats_of, unknown_formats
from audit_lib.tables import PackageChange


def compare_packages(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a package name (schema `PackageChange`), compared by (format, name).

    Versions of one name are joined by ", " in the order of text; `kept` means the same versions. A name that one side
    lacks has missing versions and bytes there, and counts with 0 in `delta_bytes`; a package whose files are not
    stated makes bytes and delta missing.

    A format is left out altogether where a side's packages of it are not known: one of its databases is damaged
    there, or that image has no package database of any kind. `Comparison.gaps` counts what was left out. A format
    that merely one side does not use is `removed` or `added`.

    Across distributions no name means the same package for certain. Rows that one side lacks and that come from the
    same source (`source_name`, else the name) as packages of another distribution's format on the other side say so:
    `matched_by` is `source_name`, `counterpart` lists those packages as `format:name`. That is a guess; `change` and
    all numbers stand as they are.
    """
    formats = formats_of(full) | formats_of(minimal)
    known = formats - unknown_formats(full, formats) - unknown_formats(minimal, formats)
    sides = [_package_names(side.packages[side.packages["format"].isin(known)]) for side in (full, minimal)]
    both = merged(sides[0], sides[1], on=["format", "name"])
    is_same = both["version_full"].fillna("") == both["version_minimal"].fillna("")
    both["change"] = both["change"].mask((both["change"] == "kept") & ~is_same, "changed")
    both["counterpart"] = _counterparts(both)
    both["matched_by"] = both["change"].map({"kept": "name", "changed": "name"}).astype("string")
    both["matched_by"] = both["matched_by"].mask(both["counterpart"].notna(), "source_name")
    return made(PackageChange, both)


def _package_names(packages: pd.DataFrame) -> pd.DataFrame:
    """Return one row a (format, name): bytes (missing where any part is), versions, source."""
    key = ["format", "name"]
    rows = packages.assign(source=packages["source_name"].fillna(packages["name"])).sort_values([*key, "version"])
    names = rows.groupby(key)["file_bytes"].sum(skipna=False).reset_index()
    sources = rows.drop_duplicates(key)[[*key, "source"]]
    stated = rows.dropna(subset="version").drop_duplicates([*key, "version"])
    versions = stated.groupby(key, as_index=False).agg(version=("version", ", ".join)).astype("string")
    for facts in (sources, versions):
        names = names.merge(facts, on=key, how="left", validate="one_to_one")
    return names


def _counterparts(both: pd.DataFrame) -> pd.Series:
    """Return for each row the packages of another distribution's format, on the other side only, of the same source."""
    is_alone = both["change"].isin(["added", "removed"]) & both["format"].isin(DISTRIBUTION_FORMATS)
    alone = both.assign(source=both["source_full"].fillna(both["source_minimal"]), row=both.index)[is_alone]
    facts = ["source", "row", "change", "format", "name"]
    pairs = alone[facts].merge(alone[facts], on="source", suffixes=("", "_other"), validate="many_to_many")
    pairs = pairs[(pairs["change"] != pairs["change_other"]) & (pairs["format"] != pairs["format_other"])]
    pairs = pairs.assign(other=pairs["format_other"] + ":" + pairs["name_other"]).sort_values(["row", "other"])
    return pairs.groupby("row")["other"].agg(", ".join).reindex(both.index).astype("string")
