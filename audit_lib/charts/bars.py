"""Bars: packages, bytes, layers of the full and the minimal image side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from audit_lib.charts.drawing import (
    INK,
    LESS,
    MINUS,
    MORE,
    NEUTRAL,
    ROLE_COLOURS,
    ROLES,
    SHARED,
    SHARED_HATCH,
    TINTS,
    WASTED,
    Bar,
    axes,
    box,
    draw_bars,
    frame,
    known,
    patch,
    role_bars,
    role_patches,
    spaced,
    titled,
    unknown_box,
    write_at,
    write_in,
    written,
)
from audit_lib.errors import TableError
from audit_lib.tables import total
from audit_lib.units import format_bytes, format_share, mib

# A layer shorter than this share of the longest bar has no room for its number.
_NUMBERED_SHARE = 0.03


def packages_and_bytes(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the packages (a count, left) and the bytes (MiB, right) of both images side by side.

    `summary`: schema `Summary`. Formats are drawn apart where there are several. At the end of a minimal bar stands
    by how much it is less. The Axes that comes back is only a frame: its `child_axes` are the two panels.
    """
    measures = summary.set_index("measure")
    formats = [str(name) for name in measures.index if str(name).startswith("packages_")]
    counts = ["packages", *(formats if len(formats) > 1 else [])]
    sizes = ["file_bytes", "unpacked_bytes", "compressed_bytes"]
    ax = axes(ax, bars=2 * max(len(counts), len(sizes)))
    ax.set_axis_off()
    for left, names, unit in ((0.0, counts, "packages"), (0.6, sizes, "MiB")):
        panel = ax.inset_axes((left, 0.0, 0.4, 1.0))
        rows = measures.loc[[name for name in names if name in measures.index]]
        labels = [spaced(name).removeprefix("packages ") for name in rows.index]
        bars = [_summary_bars(row, unit) for _, row in rows.iterrows()]
        draw_bars(panel, list(zip(labels, bars, strict=True)), unit=unit, room=0.75, lines=max(len(counts), len(sizes)))
        is_last = unit == "MiB"
        titled(panel, "Bytes" if is_last else "Packages", legend=role_patches() if is_last else None)
    return ax


def size_by_category(
    category_sizes: pd.DataFrame, *, grouping: str = "category", count: int = 15, ax: Axes | None = None
) -> Axes:
    """Draw the bytes of both images by group, biggest first; those beyond the first `count` as one.

    `category_sizes`: schema `CategorySize`; `grouping` picks its rows, `category` or `top_folder`. A table without
    rows is unknown. Raises `TableError` for another grouping.
    """
    rows = _of_grouping(category_sizes, grouping)
    sizes = sorted(
        zip(
            rows["category"],
            map(known, rows["file_bytes_full"]),
            map(known, rows["file_bytes_minimal"]),
            strict=True,
        ),
        key=lambda row: (-max(row[1] or 0, row[2] or 0), row[0]),
    )
    rest = sizes[count:]
    if rest:
        sizes = [*sizes[:count], (f"{len(rest):,} smaller", _sum(row[1] for row in rest), _sum(row[2] for row in rest))]
    sizes = sizes or [("files", None, None)]
    ax = axes(ax, bars=2 * len(sizes))
    draw_bars(ax, [(name, role_bars(full, minimal)) for name, full, minimal in sizes])
    return titled(ax, f"Bytes by {spaced(grouping)}", legend=role_patches())


def waterfall(
    category_sizes: pd.DataFrame, *, grouping: str = "category", count: int = 10, ax: Axes | None = None
) -> Axes:
    """Draw the way from the full image's bytes to the minimal's: what each group takes away or adds.

    `category_sizes`: schema `CategorySize`; `grouping` picks its rows, `category` or `top_folder`. What takes away
    most comes first; changes beyond the `count` largest are drawn as one. Where the files of an image are unknown,
    so is the change. Raises `TableError` for another grouping.
    """
    rows = _of_grouping(category_sizes, grouping)
    full, minimal = (total(rows[f"file_bytes_{role}"]) if len(rows) else None for role in ROLES)
    steps = [] if full is None or minimal is None else _steps(rows, full, count)
    bars = [("full", Bar(value=full, colour=ROLE_COLOURS["full"]))]
    bars += [(name, _step(before, after)) for name, before, after in steps]
    if full is None or minimal is None:
        bars.append(("change", Bar(value=None, colour=LESS)))
    bars.append(("minimal", Bar(value=minimal, colour=ROLE_COLOURS["minimal"])))
    ax = axes(ax, bars=1.5 * len(bars))
    draw_bars(ax, [(name, [bar]) for name, bar in bars])
    for line, end in enumerate([full, *(after for _, _, after in steps)] if steps else []):
        ax.plot([mib(end or 0)] * 2, [line, line + 1], color=INK, linewidth=0.6, zorder=1)
    return titled(ax, f"Bytes from full to minimal, by {spaced(grouping)}")


def layers_stacked(layer_sizes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the file contents of each image's layers end to end, the base first, each with its number.

    `layer_sizes`: schema `LayerSize`. Layers that both images have for certain are grey. The crossed end of a layer is its
    `reclaimable_bytes`: stored, but hidden by a layer above. An image that states no layers is unknown.
    """
    ax = axes(ax, bars=6)
    sums = layer_sizes.groupby("role")["content_bytes"].sum()
    longest = mib(int(sums.max())) if len(sums) else 0.0
    for line, role in enumerate(ROLES):
        layers = layer_sizes[layer_sizes["role"] == role].sort_values("layer")
        if len(layers):
            end = _layer_boxes(ax, line, layers, (ROLE_COLOURS[role], TINTS[role]), longest)
            stored = format_bytes(total(layers["content_bytes"]))
            write_at(ax, line, end, f"{stored} in {len(layers):,} layer{'s' * (len(layers) > 1)}")
        else:
            unknown_box(ax, line, longest)
    frame(ax, ROLES, longest=longest, unit="MiB", room=0.28)
    patches = [*role_patches(), patch("in both", SHARED, SHARED_HATCH), patch("reclaimable", "white", WASTED)]
    return titled(ax, "Bytes stored, by layer", legend=patches)


def largest_packages(packages: pd.DataFrame, *, count: int = 15, ax: Axes | None = None) -> Axes:
    """Draw the `count` packages whose files weigh most, biggest first.

    `packages`: schema `Package` (one image, one bar each) or `PackageChange` (two). Packages of unknown weight cannot
    be ranked: they are counted in a last line. A side that does not have a package says "not installed".
    """
    is_change = "change" in packages.columns
    columns = ["file_bytes_full", "file_bytes_minimal"] if is_change else ["file_bytes"]
    weight = packages[columns].max(axis=1)
    ranked = packages.assign(weight=weight, label=_package_labels(packages)).dropna(subset="weight")
    shown = ranked.sort_values(["weight", "label"], ascending=[False, True], kind="stable").head(count)
    groups = [(row["label"], _package_bars(row, columns)) for _, row in shown.iterrows()]
    unknown = int(weight.isna().sum())
    if unknown:
        groups.append((f"{unknown:,} packages", [Bar(value=None, colour=NEUTRAL)]))
    ax = axes(ax, bars=len(columns) * len(groups))
    draw_bars(ax, groups)
    return titled(ax, "Largest packages", legend=role_patches() if is_change else None)


def surface_by_category(surface_counts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many things an attacker would find in both images by category, most first; categories that neither has are left out.

    `surface_counts`: schema `SurfaceCount`.
    """
    rows = [
        (str(row["category"]), known(row["count_full"]), known(row["count_minimal"]))
        for _, row in surface_counts.iterrows()
    ]
    shown = [row for row in rows if row[1] != 0 or row[2] != 0]
    shown.sort(key=lambda row: (-max(row[1] or 0, row[2] or 0), row[0]))
    ax = axes(ax, bars=2 * len(shown))
    draw_bars(ax, [(name, role_bars(full, minimal)) for name, full, minimal in shown], unit="things found")
    return titled(ax, "Attack surface by category", legend=role_patches())


def size_bars(
    table: pd.DataFrame,
    *,
    name: str | None = None,
    value: str = "file_bytes",
    is_known: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw one bar a row of any table: the column `value` (bytes), named by the column `name`, biggest first.

    Without `name`, rows are named by their `category` where the table has that column, else by their `image`. Rows
    whose value is missing come last, as unknown; so does a table of which nothing is known (`is_known`). Raises
    `TableError` where the table lacks a column.
    """
    name = name or ("category" if "category" in table.columns else "image")
    for column in (name, value):
        if column not in table.columns:
            raise TableError(f"size_bars: expected a column {column!r}, found {list(table.columns)}")
    rows = table.sort_values([value, name], ascending=[False, True], kind="stable", na_position="last")
    ax = axes(ax, bars=1.4 * len(rows))
    bars = [Bar(value=known(size), colour=NEUTRAL) for size in rows[value]]
    groups = [(str(label), [bar]) for label, bar in zip(rows[name], bars, strict=True)]
    draw_bars(ax, groups if is_known else [(spaced(name), [Bar(value=None, colour=NEUTRAL)])])
    return titled(ax, f"{spaced(value).capitalize()} by {spaced(name)}")


def _summary_bars(row: pd.Series, unit: str) -> list[Bar]:
    """Return both sides of a measure; the minimal one says by how much it is less (or more)."""
    full, minimal = role_bars(known(row["full"]), known(row["minimal"]))
    share = known(row["reduction_share"])
    if share is None or minimal.value is None:
        return [full, minimal]
    sign = MINUS if share > 0 else "+" if share < 0 else ""
    return [full, replace(minimal, text=f"{written(minimal.value, unit)} ({sign}{format_share(abs(share))})")]


def _layer_boxes(ax: Axes, line: int, layers: pd.DataFrame, colours: tuple[str, str], longest: float) -> float:
    """Draw an image's layers end to end and return where the last one ends, in MiB."""
    start = 0.0
    columns = ["layer", "content_bytes", "reclaimable_bytes", "is_shared"]
    facts = layers[columns].fillna({"is_shared": False}).to_numpy().tolist()
    for place, (number, content_bytes, reclaimable_bytes, is_shared) in enumerate(facts):
        content, wasted = mib(content_bytes), mib(reclaimable_bytes)
        colour, hatch = (SHARED, SHARED_HATCH) if is_shared else (colours[place % 2], "")
        box(ax, line, start, content - wasted, colour=colour, hatch=hatch)
        box(ax, line, start + content - wasted, wasted, colour="white", hatch=WASTED)
        if content > _NUMBERED_SHARE * longest:
            write_in(ax, line, start + content / 2, str(number))
        start += content
    return start


def _package_labels(packages: pd.DataFrame) -> list[str]:
    """Return names, with the format where there are several and the version where a name comes twice."""
    formats = len(set(packages["format"])) > 1
    labels = packages["name"] + (" (" + packages["format"] + ")" if formats else "")
    if "version" in packages.columns:
        labels = labels.mask(labels.duplicated(keep=False), labels + " " + packages["version"].fillna(""))
    return [str(label) for label in labels]


def _package_bars(row: pd.Series, columns: Sequence[str]) -> list[Bar]:
    if len(columns) == 1:
        return [Bar(value=known(row[columns[0]]), colour=NEUTRAL)]
    lacking = {"removed": "minimal", "added": "full"}.get(row["change"])
    return [
        Bar(value=0, colour=colour, text="not installed")
        if role == lacking
        else Bar(value=known(row[f"file_bytes_{role}"]), colour=colour)
        for role, colour in ROLE_COLOURS.items()
    ]


def _of_grouping(category_sizes: pd.DataFrame, grouping: str) -> pd.DataFrame:
    known = sorted(set(category_sizes["grouping"]))
    if len(category_sizes) and grouping not in known:
        raise TableError(f"expected one of the groupings {known}, found {grouping!r}")
    return category_sizes[category_sizes["grouping"] == grouping]


def _steps(rows: pd.DataFrame, full: int, count: int) -> list[tuple[str, int, int]]:
    """Return (name, bytes before, bytes after), what takes away most first; beyond the largest `count` as one."""
    deltas = [
        (int(delta), str(name)) for delta, name in zip(rows["delta_bytes"], rows["category"], strict=True) if delta
    ]
    largest = sorted(deltas, key=lambda step: (-abs(step[0]), step[1]))
    steps = sorted(largest[:count])
    if largest[count:]:
        steps.append((sum(delta for delta, _ in largest[count:]), f"{len(largest) - count:,} smaller"))
    found, here = [], full
    for delta, name in steps:
        found.append((name, here, here + delta))
        here += delta
    return found


def _step(before: int, after: int) -> Bar:
    delta = after - before
    text = f"{MINUS if delta < 0 else '+'}{format_bytes(abs(delta))}"
    colour, hatch = (LESS, "") if delta < 0 else (MORE, "\\\\")
    return Bar(value=abs(delta), start=min(before, after), colour=colour, hatch=hatch, text=text)


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
