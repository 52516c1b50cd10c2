"""What a comparison cannot tell and why, counted."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from audit_lib.compare.sides import (
    DISTRIBUTION_FORMATS,
    ROLES,
    Audited,
    fact,
    formats_of,
    has_files,
    has_layers,
    is_built_on,
    is_stated,
)


def gaps_of(
    full: Audited, minimal: Audited, package_changes: pd.DataFrame, app: Audited | None = None
) -> Iterator[str]:
    """Yield a sentence for each thing that is unknown, guessed or not comparable."""
    yield from _platform_gaps(full, minimal)
    yield from _package_gaps(full, minimal)
    yield from _match_gaps(package_changes)
    yield from _size_gaps(full, minimal)
    yield from _surface_gaps(full, minimal)
    yield from _move_gaps(full, minimal, app)
    yield from _vulnerability_gaps(full, minimal)


def _platform_gaps(full: Audited, minimal: Audited) -> Iterator[str]:
    platforms = [
        f"{fact(side, 'os') or 'unknown'}/{fact(side, 'architecture') or 'unknown'}" for side in (full, minimal)
    ]
    if platforms[0] != platforms[1]:
        yield f"the images are for different platforms: full is for {platforms[0]}, minimal for {platforms[1]}"


def _package_gaps(full: Audited, minimal: Audited) -> Iterator[str]:
    for role, side, other in (("full", full, minimal), ("minimal", minimal, full)):
        label = f"{role} ({fact(side, 'image')})"
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
        change = "removed" if role == "minimal" else "added"
        if is_stated(side):
            yield from _unlisted(label, sorted(set(there.index) - formats_of(side)), there, change)
            continue
        own = formats_of(side) & DISTRIBUTION_FORMATS
        lost = sorted(set(there.index) & DISTRIBUTION_FORMATS) if not own else []
        for form in lost:
            yield (
                f"{label}: no package database of a distribution was found; the other image's {there[form]:,} {form} "
                f"packages count as {change}, though files of theirs may be there"
            )


def _unlisted(label: str, formats: list[str], there: pd.Series, change: str) -> Iterator[str]:
    for form in formats:
        yield (
            f"{label}: its SBOM lists no {form} packages; the other image's {there[form]:,} count as {change}, though whoever "
            "made the SBOM may not have looked for them"
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
    for role, side in zip(ROLES, (full, minimal), strict=True):
        label = f"{role} ({fact(side, 'image')})"
        if not has_files(side):
            yield (
                f"{label}: its files are unknown; bytes by category, changed files, the attack surface and what a move would "
                "break are not compared"
            )
        if fact(side, "compressed_bytes") is None:
            yield f"{label}: its compressed bytes are not stated by where it was read from ({fact(side, 'source')})"
        unknown = int(side.packages["file_bytes"].isna().sum())
        if unknown:
            yield (
                f"{label}: {unknown:,} of {len(side.packages):,} packages do not state their files, "
                "so their bytes are unknown"
            )


def _surface_gaps(full: Audited, minimal: Audited) -> Iterator[str]:
    for role, side in zip(ROLES, (full, minimal), strict=True):
        label = f"{role} ({fact(side, 'image')})"
        unread = int((side.binaries["status"] != "read").sum())
        if unread:
            yield f"{label}: {unread:,} of {len(side.binaries):,} ELF files could not be read, so how they were hardened is unknown"
        unknown = side.surface[side.surface["status"] == "unknown"]
        places = unknown.assign(place=unknown["path"].fillna(unknown["name"]))
        for (path, detail), rows in places.groupby(["place", "detail"]):
            yield f"{label}: {' and '.join(rows['category'])} are unknown and not compared: {path}: {detail}"


def _move_gaps(full: Audited, minimal: Audited, app: Audited | None) -> Iterator[str]:
    """Yield what is not known of what a move would break, beside what the images' files tell."""
    sides = {"full": full, "minimal": minimal, **({} if app is None else {"app": app})}
    blind = [role for role, side in sides.items() if has_files(side) and not side.knows("binaries")]
    if blind:
        yield (
            f"{' and '.join(blind)}: what stands in programs is unknown, so what the move would break is told without their "
            "libraries and interpreters"
        )
    if app is None:
        return
    if not has_files(app):
        yield f"app ({fact(app, 'image')}): its files are unknown, and so is what the move would break"
    elif has_layers(full) and not is_built_on(full, app):
        yield (
            f"app ({fact(app, 'image')}): its layers do not begin with those of {fact(full, 'image')}; what that does not have was "
            "taken for the application's own"
        )


def _vulnerability_gaps(full: Audited, minimal: Audited) -> Iterator[str]:
    known = [side.knows("vulnerabilities") for side in (full, minimal)]
    for role, side, is_known in zip(ROLES, (full, minimal), known, strict=True):
        if any(known) and not is_known:
            yield f"{role} ({fact(side, 'image')}): its vulnerabilities are unknown, not none, and are not compared"
        yield from side.vulnerability_gaps
