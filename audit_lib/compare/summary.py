"""Measures of both images: one number a side, its difference, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from audit_lib.compare.sides import Audited, fact, formats_of, has_files, has_layers, unknown_formats
from audit_lib.compare.surface import compare_surface_counts
from audit_lib.compare.vulnerabilities import compare_severities
from audit_lib.tables import Summary, make_table, total
from audit_lib.units import format_bytes, format_count, format_share

_HARDENED: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = {
    "pie": lambda binaries: binaries["is_pie"],
    "nx": lambda binaries: binaries["has_nx"],
    "full_relro": lambda binaries: binaries["relro"].eq("full"),
    "canary": lambda binaries: binaries["has_canary"],
    "fortify": lambda binaries: binaries["has_fortify"],
}

_COUNTED = {
    "matches": "vulnerability_matches",
    "unique ids": "vulnerability_ids",
    "after VEX": "vulnerabilities_after_vex",
}


def compare_summaries(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a measure (schema `Summary`).

    Bytes: `file_bytes`, `compressed_bytes`, `unpacked_bytes`, `reclaimable_bytes`, `executables_bytes`,
    `shared_libraries_bytes`. Counts: `packages` (and `packages_deb` … a format), `files` (directories left out),
    `layers`, `executables`, `shared_libraries` (regular files), `surface_elf_files`, and `surface_…` for each category of
    `surface` that either image has or of which nothing can be told. Shares: `unowned_share` of the bytes;
    `surface_elf_pie_share` of the executables, `surface_elf_nx_share`, `…_full_relro_share`, `…_canary_share`,
    `…_fortify_share` of the ELF files that can tell. Of each source of vulnerabilities that either image was held against:
    `vulnerability_matches_…`, `vulnerability_ids_…` (each once), `vulnerabilities_after_vex_…`. A side where a measure is unknown
    is missing, and so are `delta` and `reduction_share`; the latter also where full is 0.
    """
    sides = [_measures(side, formats_of(full) | formats_of(minimal)) for side in (full, minimal)]
    rows = [_summary_row(measure, sides[0][measure], sides[1][measure]) for measure in sides[0]]
    counts = compare_surface_counts(full, minimal)
    for count in counts[~(counts["count_full"].eq(0) & counts["count_minimal"].eq(0)).fillna(value=False)].itertuples():
        values = (("count", _whole(count.count_full)), ("count", _whole(count.count_minimal)))
        rows.append(_summary_row(f"surface_{str(count.category).replace(' ', '_').replace('-', '_')}", *values))
    for total_ in _totals(full, minimal).itertuples():
        measure = f"{_COUNTED[str(total_.counted)]}_{str(total_.found_by).replace('-', '_').replace(' ', '_')}"
        values = (("count", _whole(total_.count_full)), ("count", _whole(total_.count_minimal)))
        rows.append(_summary_row(measure, *values))
    return make_table(Summary, rows)


def _totals(full: Audited, minimal: Audited) -> pd.DataFrame:
    counts = compare_severities(full, minimal)
    return counts[counts["severity"] == "all"]


def headline_of(summary: pd.DataFrame, full: str, minimal: str) -> Iterator[str]:
    """Yield the comparison in a few sentences made from the summary; what is unknown is said to be."""
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


def _measures(side: Audited, formats: set[str]) -> dict[str, tuple[str, float | None]]:
    """Return unit and value by measure."""
    unknown = unknown_formats(side, formats)
    counts = side.packages["format"].value_counts()
    packages = None if (side.databases["status"] == "damaged").any() else fact(side, "package_count")
    measures: dict[str, tuple[str, float | None]] = {
        "packages": ("count", packages),
        "files": ("count", fact(side, "file_count")),
        "layers": ("count", fact(side, "layer_count")),
        "unowned_share": ("share", fact(side, "unowned_share")),
    }
    for name in sorted(formats):
        measures[f"packages_{name}"] = ("count", None if name in unknown else counts.get(name, 0))
    for name in ("file_bytes", "compressed_bytes", "unpacked_bytes"):
        measures[name] = ("bytes", fact(side, name))
    wasted = total(side.layers["reclaimable_bytes"]) if has_layers(side) else None
    measures["reclaimable_bytes"] = ("bytes", wasted)
    is_known = has_files(side)
    for category in ("executables", "shared libraries"):
        name = category.replace(" ", "_")
        files = side.files[(side.files["category"] == category) & (side.files["kind"] == "file")]
        measures[name] = ("count", len(files) if is_known else None)
        measures[f"{name}_bytes"] = ("bytes", total(files["file_bytes"]) if is_known else None)
    is_examined = side.knows("binaries")
    measures["surface_elf_files"] = ("count", len(side.binaries) if is_examined else None)
    for name, is_so in _HARDENED.items():
        measures[f"surface_elf_{name}_share"] = ("share", _share(side, is_so) if is_examined else None)
    return measures


def _share(side: Audited, is_so: Callable[[pd.DataFrame], pd.Series]) -> float | None:
    """Return the share of ELF files of which something holds, of those that tell; None where any was not read, or none tells."""
    if (side.binaries["status"] != "read").any():
        return None
    told = is_so(side.binaries).dropna()
    return float(told.mean()) if len(told) else None


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
