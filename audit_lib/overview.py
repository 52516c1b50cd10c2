"""Many images at a glance: tables of a fleet → measures of each image, what they share, where bytes are that nobody claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from audit_lib.compare.merging import made
from audit_lib.sizes import sizes_by
from audit_lib.tables import File, FleetFolder, FleetLayer, FleetMeasure, FleetPackage, make_table, total
from audit_lib.units import format_bytes, format_count

_FEW = 5
_WORDS = {"read": "read", "damaged": "with a damaged package database", "failed": "not read"}
_SURFACE = {"shell_count": "shells", "package_manager_count": "package managers", "setuid_count": "setuid files"}
_CHECKS = {"failed_check_count": ["fail"], "unassessed_check_count": ["manual", "not_assessable"]}
_STATED = ("status", "distro_name", "architecture", "layer_count", "package_count", "compressed_bytes", "file_bytes")


def measures(
    images: pd.DataFrame, *, layers: pd.DataFrame, surface: pd.DataFrame, findings: pd.DataFrame
) -> pd.DataFrame:
    """Return one row an image, failed ones too, one column a measure (schema `FleetMeasure`).

    `images`: a fleet's table of that name; the others: those of all its images. What is not known of an image is missing, whether
    it failed, comes from an SBOM, or does not state a part of it.
    """
    rows = images.set_index("image")
    used = layers.groupby("diff_id")["image"].transform("nunique")
    shared = layers.assign(shared_bytes=layers["compressed_bytes"].mask(used == 1, 0))
    sums = {name: _sums(shared, name, rows.index) for name in ("shared_bytes", "reclaimable_bytes")}
    columns: dict[str, pd.Series] = {name: rows[name] for name in (*_STATED, "file_count", "unowned_share")}
    has_layers = rows["layer_count"].notna()
    columns |= {name: column.where(has_layers) for name, column in sums.items()}
    columns["unowned_bytes"] = (rows["unowned_share"] * rows["file_bytes"]).round().astype("Int64")
    for name, category in _SURFACE.items():
        things = surface[surface["category"] == category]
        unknown = rows.index.isin(things.loc[things["status"] == "unknown", "image"])
        columns[name] = _counts(things[things["status"] == "found"], rows, "surface").mask(unknown)
    for name, statuses in _CHECKS.items():
        columns[name] = _counts(findings[findings["status"].isin(statuses)], rows, "findings")
    return made(FleetMeasure, pd.DataFrame(columns).rename_axis("image").reset_index())


def fleet_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """Return one row a layer of several images' `layers`, with the images that have it (schema `FleetLayer`)."""
    groups = layers.sort_values(["image", "layer"]).drop_duplicates(["image", "diff_id"]).groupby("diff_id")
    table = groups.agg(
        image_count=("image", "nunique"),
        compressed_bytes=("compressed_bytes", "min"),
        unpacked_bytes=("unpacked_bytes", "max"),
        created_by=("created_by", "first"),
        images=("image", _some),
    ).reset_index()
    return made(FleetLayer, table.assign(saved_bytes=table["compressed_bytes"] * (table["image_count"] - 1)))


def fleet_packages(packages: pd.DataFrame) -> pd.DataFrame:
    """Return one row a package name of several images' `packages` (schema `FleetPackage`)."""
    key = ["format", "name"]
    rows = packages.assign(file_bytes=packages["file_bytes"].mask(packages["parent"].notna(), 0))
    groups = rows.sort_values([*key, "version"]).groupby(key)
    table = groups.agg(image_count=("image", "nunique"), version_count=("version", "nunique")).reset_index()
    sums = groups["file_bytes"].sum(skipna=False).reset_index()
    stated = rows.dropna(subset="version").drop_duplicates([*key, "version"]).sort_values([*key, "version"])
    versions = stated.groupby(key)["version"].agg(", ".join).rename("versions").reset_index()
    table = table.merge(sums, on=key, validate="one_to_one").merge(versions, on=key, how="left", validate="one_to_one")
    ranked = table.sort_values(["file_bytes", *key], ascending=[False, True, True], na_position="last")
    share = ranked["file_bytes"].astype("Float64") / (ranked["file_bytes"].sum() or 1)
    return made(FleetPackage, ranked.assign(weight_share=share, cumulative_share=share.cumsum()))


def unowned_folders(files: pd.DataFrame | Iterable[pd.DataFrame], images: pd.DataFrame) -> pd.DataFrame:
    """Return the bytes that no package claims, by image and top folder (schema `FleetFolder`).

    `files`: a `files` table of all images, or one an image (`Fleet.each`), so that not all need be in memory at once. Images whose
    packages are not known are left out: that nothing claims their files says nothing.
    """
    known = set(images.loc[images["package_count"].notna(), "image"])
    found = []
    for table in [files] if isinstance(files, pd.DataFrame) else files:
        rows = table[table["package"].isna() & table["image"].isin(known)]
        found.append(sizes_by(rows, "top_folder"))
    both = pd.concat(found, ignore_index=True) if found else sizes_by(make_table(File, []), "top_folder")
    names = {"category": "folder", "file_bytes": "unowned_bytes", "file_count": "unowned_count"}
    return made(FleetFolder, both.rename(columns=names))


def folders_of_all(folders: pd.DataFrame) -> pd.DataFrame:
    """Return `unowned_folders` added up over all images: folder, unowned_bytes, unowned_count, image_count; most first."""
    groups = folders.groupby("folder", as_index=False)
    sums = groups.agg(
        unowned_bytes=("unowned_bytes", "sum"), unowned_count=("unowned_count", "sum"), image_count=("image", "nunique")
    )
    return sums.sort_values(["unowned_bytes", "folder"], ascending=[False, True], ignore_index=True)


def headline(images: pd.DataFrame, layers: pd.DataFrame) -> str:
    """Return a fleet in a few sentences made from its `images` and `fleet_layers`; what is unknown is said to be."""
    counts = images["status"].value_counts()
    told = [f"{format_count(int(counts[name]))} {word}" for name, word in _WORDS.items() if name in counts]
    shared = layers[layers["image_count"] > 1]
    stored, saved = total(layers["compressed_bytes"]), total(layers["saved_bytes"])
    return (
        f"{format_count(len(images))} images: {', '.join(told)}. They have {format_count(len(layers))} different layers, "
        f"{format_count(len(shared))} of them in more than one image. Each stored once, these are {format_bytes(stored)}; "
        f"sharing saves {format_bytes(saved)}."
    )


def notes(images: pd.DataFrame, *, count: int = 20) -> Iterator[str]:
    """Yield what has to be known before a fleet's figures are read: the first `count` sentences, and how many more there are."""
    return _first(_sentences(images, "notes"), "notes", count)


def gaps(images: pd.DataFrame, *, count: int = 20) -> Iterator[str]:
    """Yield what is not known of a fleet's images, those that failed before all others; as `notes` does."""
    failed = images[images["status"] == "failed"]
    said = [
        f"{image} could not be read: {error}" for image, error in zip(failed["image"], failed["error"], strict=True)
    ]
    return _first([*said, *_sentences(images, "gaps")], "gaps", count)


def _sentences(images: pd.DataFrame, column: str) -> list[str]:
    return [sentence for text in images[column].dropna() for sentence in str(text).splitlines()]


def _first(said: list[str], column: str, count: int) -> Iterator[str]:
    yield from said[:count]
    if len(said) > count:
        yield f"and {format_count(len(said) - count)} more sentences, in the column {column} of the table images"


def _sums(layers: pd.DataFrame, name: str, images: pd.Index) -> pd.Series:
    """Return the sum of a column of `layers` by image, missing where a part of it is."""
    sums = layers.groupby("image")[name].sum(skipna=False)
    return sums.reindex(images).mask(~images.isin(sums.index), 0)


def _counts(rows: pd.DataFrame, images: pd.DataFrame, table: str) -> pd.Series:
    """Return how many rows each image has, missing where it does not know that table."""
    counts = rows.groupby("image").size().reindex(images.index, fill_value=0).astype("Int64")
    unknown = [table in str(names).split(", ") for names in images["unknown_tables"]]
    return counts.mask(pd.Series(unknown, index=images.index, dtype=bool))


def _some(names: pd.Series) -> str:
    first = ", ".join(names[:_FEW])
    return first if len(names) <= _FEW else f"{first} and {format_count(len(names) - _FEW)} more"
