"""Two audits side by side: what the minimal image has less of, more of, and differently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, Protocol

import pandas as pd

from audit_lib.sizes import Grouping, sizes_by
from audit_lib.tables import CategorySize, FileChange, LayerSize, PackageChange, Row, Summary, make_table, total
from audit_lib.units import format_bytes, format_count, format_share

# Formats of the operating system's own packages: one image has one of them, and they cut the same sources differently.
DISTRIBUTION_FORMATS = frozenset({"deb", "apk", "rpm", "alpm", "opkg"})
_ROLES: tuple[Literal["full"], Literal["minimal"]] = ("full", "minimal")
_FACTS = ("kind", "file_bytes", "mode", "uid", "gid", "link_target", "capabilities")
_GROUPINGS: tuple[Grouping, ...] = ("category", "top_folder")


class Audited(Protocol):
    """What a comparison needs of an image: its tables, with the columns of the row classes of those names."""

    @property
    def image(self) -> pd.DataFrame:
        """One row, schema `Image`."""

    @property
    def layers(self) -> pd.DataFrame:
        """Schema `Layer`."""

    @property
    def files(self) -> pd.DataFrame:
        """Schema `File`."""

    @property
    def databases(self) -> pd.DataFrame:
        """Schema `Database`."""

    @property
    def packages(self) -> pd.DataFrame:
        """Schema `Package`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """The tables of a full and a minimal image compared; each is made when it is first asked for.

    `full` and `minimal` are the two audits. A difference is `minimal - full`, so smaller is negative. What is
    unknown on a side stays unknown (missing) and is told by `gaps`; it is never counted as none.
    """

    full: Audited
    minimal: Audited

    @cached_property
    def images(self) -> pd.DataFrame:
        """Both images, one row each: `role` (full, minimal), then the columns of `Image`."""
        return _side_by_side(self.full.image, self.minimal.image)

    @cached_property
    def databases(self) -> pd.DataFrame:
        """The places where package databases were looked for in both images: `role`, then the columns of `Database`."""
        return _side_by_side(self.full.databases, self.minimal.databases)

    @property
    def headline(self) -> str:
        """The comparison in a few sentences made from the figures; what is unknown is said to be."""
        return " ".join(_headline(self.summary, str(_fact(self.full, "image")), str(_fact(self.minimal, "image"))))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a measure (schema `Summary`): see `compare_summaries`."""
        return compare_summaries(self.full, self.minimal)

    @cached_property
    def package_changes(self) -> pd.DataFrame:
        """One row a package name on either side (schema `PackageChange`): see `compare_packages`."""
        return compare_packages(self.full, self.minimal)

    @cached_property
    def category_sizes(self) -> pd.DataFrame:
        """One row a category, and one a top folder (schema `CategorySize`): see `compare_categories`."""
        return compare_categories(self.full, self.minimal)

    @cached_property
    def layer_sizes(self) -> pd.DataFrame:
        """One row a layer of either image (schema `LayerSize`): see `compare_layers`."""
        return compare_layers(self.full, self.minimal)

    @cached_property
    def file_changes(self) -> pd.DataFrame:
        """One row a path on either side, directories left out (schema `FileChange`): see `compare_files`."""
        return compare_files(self.full, self.minimal)

    @property
    def gaps(self) -> tuple[str, ...]:
        """What this comparison cannot tell and why, a sentence each, with counts; empty where it can tell all."""
        return (
            *_platform_gaps(self.full, self.minimal),
            *_package_gaps(self.full, self.minimal),
            *_match_gaps(self.package_changes),
            *_size_gaps(self.full, self.minimal),
        )


def compare(full: Audited, minimal: Audited) -> Comparison:
    """Return the `Comparison` of two audits (or of anything that has their tables)."""
    return Comparison(full=full, minimal=minimal)


def compare_summaries(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a measure (schema `Summary`).

    Bytes: `file_bytes`, `compressed_bytes`, `unpacked_bytes`, `reclaimable_bytes`, `executables_bytes`,
    `shared_libraries_bytes`. Counts: `packages` (and `packages_deb` … a format), `files` (directories left out),
    `layers`, `executables`, `shared_libraries` (regular files). Share: `unowned_share` of the bytes. A side where a
    measure is unknown is missing, and so are `delta` and `reduction_share`; the latter also where full is 0.
    """
    sides = [_measures(side, _formats_of(full) | _formats_of(minimal)) for side in (full, minimal)]
    return make_table(Summary, [_summary_row(measure, sides[0][measure], sides[1][measure]) for measure in sides[0]])


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
    formats = _formats_of(full) | _formats_of(minimal)
    known = formats - _unknown_formats(full, formats) - _unknown_formats(minimal, formats)
    sides = [_package_names(side.packages[side.packages["format"].isin(known)]) for side in (full, minimal)]
    both = _merged(sides[0], sides[1], on=["format", "name"])
    is_same = both["version_full"].fillna("") == both["version_minimal"].fillna("")
    both["change"] = both["change"].mask((both["change"] == "kept") & ~is_same, "changed")
    both["counterpart"] = _counterparts(both)
    both["matched_by"] = both["change"].map({"kept": "name", "changed": "name"}).astype("string")
    both["matched_by"] = both["matched_by"].mask(both["counterpart"].notna(), "source_name")
    return _made(PackageChange, both)


def compare_categories(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return bytes and files by category and by top folder on both sides (schema `CategorySize`).

    A group that one image does not have holds 0 there; where an image's files are unknown, its columns are missing.
    """
    return _made(CategorySize, pd.concat([_grouped(full, minimal, name) for name in _GROUPINGS], ignore_index=True))


def compare_layers(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return the layers of both images, one row each (schema `LayerSize`); `is_shared` where both have that diff id."""
    shared = set(full.layers["diff_id"]) & set(minimal.layers["diff_id"])
    rows = [
        side.layers.assign(role=role, is_shared=side.layers["diff_id"].isin(shared))
        for role, side in zip(_ROLES, (full, minimal), strict=True)
    ]
    return _made(LayerSize, pd.concat(rows, ignore_index=True))


def compare_files(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a path that is not a directory, on either side (schema `FileChange`).

    `what` names the columns of `files` that differ, joined by ", "; a path with none is `kept`. The category is the
    full image's, or the minimal's where only that has the path. No rows where the files of either image are unknown.
    """
    is_known = _has_files(full) and _has_files(minimal)
    columns = ["path", "package", "category", *_FACTS]
    sides = [side.files.loc[side.files["kind"].ne("directory") & is_known, columns] for side in (full, minimal)]
    both = _merged(sides[0], sides[1], on=["path"])
    both["what"] = pd.array(_what_differs(both), dtype="string")
    both["change"] = both["change"].mask(both["what"].notna(), "changed")
    both["category"] = both["category_full"].fillna(both["category_minimal"])
    return _made(FileChange, both)


def _side_by_side(full: pd.DataFrame, minimal: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([full.assign(role="full"), minimal.assign(role="minimal")], ignore_index=True)
    return both.astype({"role": "string"})[["role", *full.columns]]


def _headline(summary: pd.DataFrame, full: str, minimal: str) -> Iterator[str]:
    rows = summary.set_index("measure")
    formats = {"count": format_count, "bytes": format_bytes}
    for measure, noun, verb in (
        ("packages", "packages", "holds"),
        ("file_bytes", "of files", "holds"),
        ("compressed_bytes", "to pull", "is"),
    ):
        row = rows.loc[measure]
        before, after = _whole(row["full"]), _whole(row["minimal"])
        shown = formats[str(row["unit"])]
        if before is None and after is None:
            if measure != "compressed_bytes":
                yield f"How much {minimal} holds ({noun}) is unknown, and so it is of {full}."
        elif before is None or after is None:
            known, other = (minimal, full) if before is None else (full, minimal)
            yield f"{known} {verb} {shown(after if before is None else before)} {noun}; of {other} that is unknown."
        else:
            share = row["reduction_share"]
            how: str = "" if pd.isna(share) else f" ({format_share(abs(share))} {'less' if share >= 0 else 'more'})"
            yield f"{minimal} {verb} {shown(after)} {noun} instead of {shown(before)}{how}."


def _whole(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)


def _made(row: type[Row], frame: pd.DataFrame) -> pd.DataFrame:
    return make_table(row, {field.name: frame[field.name].array for field in fields(row)})


def _merged(full: pd.DataFrame, minimal: pd.DataFrame, *, on: list[str]) -> pd.DataFrame:
    """Return both sides' rows by key, with `change` (removed, added or kept) and `delta_bytes`.

    Where a side does not have the row it counts with 0 bytes; where its bytes are unknown, so is the difference.
    """
    both = full.merge(
        minimal, on=on, how="outer", suffixes=("_full", "_minimal"), validate="one_to_one", indicator="change"
    )
    both["change"] = (
        both["change"].map({"left_only": "removed", "right_only": "added", "both": "kept"}).astype("string")
    )
    before = both["file_bytes_full"].mask(both["change"] == "added", 0)
    after = both["file_bytes_minimal"].mask(both["change"] == "removed", 0)
    return both.assign(delta_bytes=after - before)


def _fact(side: Audited, name: str) -> Any:
    value = side.image[name].iloc[0]
    return None if pd.isna(value) else value


def _has_files(side: Audited) -> bool:
    """Tell whether an image's files are known; those of one known from an SBOM alone are not."""
    return _fact(side, "file_bytes") is not None


def _measures(side: Audited, formats: set[str]) -> dict[str, tuple[str, float | None]]:
    """Return unit and value by measure."""
    unknown = _unknown_formats(side, formats)
    counts = side.packages["format"].value_counts()
    packages = None if (side.databases["status"] == "damaged").any() else _fact(side, "package_count")
    measures: dict[str, tuple[str, float | None]] = {
        "packages": ("count", packages),
        "files": ("count", _fact(side, "file_count")),
        "layers": ("count", _fact(side, "layer_count")),
        "unowned_share": ("share", _fact(side, "unowned_share")),
    }
    for name in sorted(formats):
        measures[f"packages_{name}"] = ("count", None if name in unknown else counts.get(name, 0))
    for name in ("file_bytes", "compressed_bytes", "unpacked_bytes"):
        measures[name] = ("bytes", _fact(side, name))
    wasted = None if _fact(side, "layer_count") is None else total(side.layers["reclaimable_bytes"])
    measures["reclaimable_bytes"] = ("bytes", wasted)
    is_known = _has_files(side)
    for category in ("executables", "shared libraries"):
        name = category.replace(" ", "_")
        files = side.files[(side.files["category"] == category) & (side.files["kind"] == "file")]
        measures[name] = ("count", len(files) if is_known else None)
        measures[f"{name}_bytes"] = ("bytes", total(files["file_bytes"]) if is_known else None)
    return measures


def _summary_row(measure: str, full: tuple[Any, Any], minimal: tuple[Any, Any]) -> Summary:
    unit, before = full
    _, after = minimal
    is_known = before is not None and after is not None
    return Summary(
        measure=measure,
        unit=unit,
        full=None if before is None else float(before),
        minimal=None if after is None else float(after),
        delta=float(after - before) if is_known else None,
        reduction_share=1 - float(after) / float(before) if is_known and before else None,
    )


def _formats_of(side: Audited) -> set[str]:
    """Return the formats that an image has a database of, readable or not."""
    return set(side.databases.loc[side.databases["status"] != "absent", "format"]) | set(side.packages["format"])


def _unknown_formats(side: Audited, formats: set[str]) -> set[str]:
    """Return those of `formats` whose packages in this image are not known, which is not the same as none."""
    if not side.databases["status"].isin(["read", "damaged"]).any():
        return formats
    return formats & set(side.databases.loc[side.databases["status"] == "damaged", "format"])


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


def _grouped(full: Audited, minimal: Audited, grouping: Grouping) -> pd.DataFrame:
    facts = ["file_bytes", "file_count"]
    sides = [sizes_by(side.files, grouping)[["grouping", "category", *facts]] for side in (full, minimal)]
    both = sides[0].merge(
        sides[1], on=["grouping", "category"], how="outer", suffixes=("_full", "_minimal"), validate="one_to_one"
    )
    for role, side in zip(_ROLES, (full, minimal), strict=True):
        for fact in facts:
            column = both[f"{fact}_{role}"]
            both[f"{fact}_{role}"] = column.fillna(0) if _has_files(side) else column.mask(column.notna())
    both["delta_bytes"] = both["file_bytes_minimal"] - both["file_bytes_full"]
    return both


def _what_differs(both: pd.DataFrame) -> list[str | None]:
    """Return for each path on both sides the facts that differ, None where none does (or one side has no such path)."""
    differs = {}
    for fact in _FACTS:
        full, minimal = both[f"{fact}_full"], both[f"{fact}_minimal"]
        differs[fact] = (full != minimal).fillna(full.isna() != minimal.isna()) & (both["change"] == "kept")
    table = pd.DataFrame(differs).astype(bool)
    changed = table[table.any(axis=1)]
    found: list[str | None] = [None] * len(both)
    for row, flags in zip(changed.index, changed.to_numpy().tolist(), strict=True):
        found[row] = ", ".join(fact for fact, is_other in zip(_FACTS, flags, strict=True) if is_other)
    return found


def _platform_gaps(full: Audited, minimal: Audited) -> Iterator[str]:
    platforms = [
        f"{_fact(side, 'os') or 'unknown'}/{_fact(side, 'architecture') or 'unknown'}" for side in (full, minimal)
    ]
    if platforms[0] != platforms[1]:
        yield f"the images are for different platforms: full is for {platforms[0]}, minimal for {platforms[1]}"


def _package_gaps(full: Audited, minimal: Audited) -> Iterator[str]:
    for role, side, other in (("full", full, minimal), ("minimal", minimal, full)):
        label = f"{role} ({_fact(side, 'image')})"
        there = other.packages["format"].value_counts()
        if not side.databases["status"].isin(["read", "damaged"]).any():
            yield (
                f"{label}: no package database was found, so its packages are unknown; the {len(other.packages):,} "
                "packages of the other image are not compared"
            )
            continue
        damaged = side.databases[side.databases["status"] == "damaged"]
        for form, rows in damaged.groupby("format"):
            first = rows.iloc[0]
            yield (
                f"{label}: {len(rows):,} damaged package database{'s' * (len(rows) > 1)} of format {form} "
                f"({first['database_path']}: {first['detail']}); no {form} packages are compared, "
                f"the other image states {there.get(form, 0):,}"
            )
        own = _formats_of(side) & DISTRIBUTION_FORMATS
        lost = sorted(set(there.index) & DISTRIBUTION_FORMATS) if not own else []
        change = "removed" if role == "minimal" else "added"
        for form in lost:
            yield (
                f"{label}: no package database of a distribution was found; the other image's {there[form]:,} {form} "
                f"packages count as {change}, though files of theirs may be there"
            )


def _match_gaps(package_changes: pd.DataFrame) -> Iterator[str]:
    guessed = package_changes[package_changes["matched_by"] == "source_name"]
    if len(guessed):
        counts = guessed["format"].value_counts().sort_index()
        named = " and ".join(f"{count:,} {form}" for form, count in counts.items())
        yield (
            f"the images are of different distributions: {named} packages come from sources that both have, which is a "
            "guess at what replaces what; they count as removed and added all the same"
        )


def _size_gaps(full: Audited, minimal: Audited) -> Iterator[str]:
    for role, side in zip(_ROLES, (full, minimal), strict=True):
        label = f"{role} ({_fact(side, 'image')})"
        if not _has_files(side):
            yield f"{label}: its files are unknown; bytes by category and changed files are not compared"
        if _fact(side, "compressed_bytes") is None:
            yield f"{label}: its compressed bytes are not stated by where it was read from ({_fact(side, 'source')})"
        unknown = int(side.packages["file_bytes"].isna().sum())
        if unknown:
            yield (
                f"{label}: {unknown:,} of {len(side.packages):,} packages do not state their files, "
                "so their bytes are unknown"
            )
