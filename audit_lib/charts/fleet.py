"""Many images in one picture: measures side by side, what is shared, which packages make up the bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from audit_lib.charts.drawing import (
    INK,
    LESS,
    NEUTRAL,
    SHARED,
    SHARED_HATCH,
    SMALL,
    TEXT,
    Bar,
    axes,
    box,
    draw_bars,
    frame,
    known,
    patch,
    spaced,
    titled,
    unknown_box,
    write_at,
)
from audit_lib.errors import TableError
from audit_lib.units import format_bytes, format_share, mib

_MEASURES = ("package_count", "file_bytes", "unowned_bytes", "failed_check_count")


def images_and_measures(
    measures: pd.DataFrame, *, columns: Sequence[str] = _MEASURES, count: int = 20, ax: Axes | None = None
) -> Axes:
    """Draw images as rows and measures as columns, each column a panel of bars on a scale of its own.

    `measures`: schema `FleetMeasure`, or any table with `image` and these `columns` (bytes where the name says so, else counts).
    The first `count` rows are drawn, in their order; how many are left out stands in the title. The Axes that comes back is only
    a frame: its `child_axes` are the panels. Raises `TableError` where a column is not there.
    """
    for column in ("image", *columns):
        if column not in measures.columns:
            raise TableError(f"images_and_measures: expected a column {column!r}, found {list(measures.columns)}")
    rows = measures.head(count)
    ax = axes(ax, bars=1.4 * len(rows) + 3)
    ax.set_axis_off()
    ax.set(xticks=[], yticks=[])
    gap = 0.03
    width = (1 - gap * (len(columns) - 1)) / len(columns)
    for place, column in enumerate(columns):
        panel = ax.inset_axes((place * (width + gap), 0.0, width, 1.0))
        unit = "MiB" if column.endswith("_bytes") else "count"
        bars = [(str(row["image"]), [Bar(value=known(row[column]), colour=NEUTRAL)]) for _, row in rows.iterrows()]
        draw_bars(panel, bars, unit=unit, room=0.75)
        panel.set_xlabel(spaced(column) + (", MiB" if unit == "MiB" else ""), fontsize=TEXT, color=INK)
        panel.xaxis.set_major_locator(MaxNLocator(3, integer=unit != "MiB"))
        if place:
            panel.set_yticklabels([])
    left_out = len(measures) - len(rows)
    return titled(ax, f"Images and measures{_more(left_out)}")


def shared_and_own(measures: pd.DataFrame, *, count: int = 20, ax: Axes | None = None) -> Axes:
    """Draw the bytes of each image as a registry stores it, those of layers that others have too apart; largest first.

    `measures`: schema `FleetMeasure`. Images whose bytes are not stated are unknown, and come last.
    """
    rows = measures.sort_values(["compressed_bytes", "image"], ascending=[False, True], na_position="last").head(count)
    ax = axes(ax, bars=1.4 * len(rows))
    longest = mib(int(rows["compressed_bytes"].max())) if rows["compressed_bytes"].notna().any() else 0.0
    for line, (_, row) in enumerate(rows.iterrows()):
        stored, shared = known(row["compressed_bytes"]), known(row["shared_bytes"])
        if stored is None or shared is None:
            unknown_box(ax, line, longest)
            continue
        box(ax, line, 0, mib(shared), colour=SHARED, hatch=SHARED_HATCH)
        box(ax, line, mib(shared), mib(stored - shared), colour=NEUTRAL)
        write_at(ax, line, mib(stored), f"{format_bytes(int(stored))}, {format_bytes(int(stored - shared))} its own")
    frame(ax, [str(name) for name in rows["image"]], longest=longest, unit="MiB", room=0.5)
    ax.set_xlabel(f"MiB{_more(len(measures) - len(rows))}", fontsize=TEXT, color=INK)
    patches = [patch("in other images too", SHARED, SHARED_HATCH), patch("its own", NEUTRAL)]
    return titled(ax, "Bytes to pull", legend=patches)


def pareto(packages: pd.DataFrame, *, count: int = 20, ax: Axes | None = None) -> Axes:
    """Draw the packages that weigh most over all images, and, as a line, which share of all packages' bytes they make together.

    `packages`: schema `FleetPackage`. Packages whose bytes are unknown are in no share; they are counted in a last line.
    """
    ranked = packages.dropna(subset="file_bytes").sort_values(
        ["file_bytes", "format", "name"], ascending=[False, True, True]
    )
    shown = ranked.head(count)
    has_formats = len(set(packages["format"])) > 1
    names = [f"{row['name']} ({row['format']})" if has_formats else str(row["name"]) for _, row in shown.iterrows()]
    groups = [
        (name, [Bar(value=float(size), colour=LESS)]) for name, size in zip(names, shown["file_bytes"], strict=True)
    ]
    unknown = len(packages) - len(ranked)
    if unknown:
        groups.append((f"{unknown:,} package{'s' * (unknown > 1)}", [Bar(value=None, colour=NEUTRAL)]))
    ax = axes(ax, bars=1.4 * len(groups) + 3)
    draw_bars(ax, groups, room=1.2)
    _draw_shares(ax, [float(share) for share in shown["cumulative_share"]])
    if len(shown):
        last = float(shown["cumulative_share"].iloc[-1])
        together = f"{len(shown):,} of {len(ranked):,} packages: {format_share(last)} of the bytes"
    else:
        together = "no package's bytes are known"
    return titled(ax, together)


def _draw_shares(ax: Axes, shares: Sequence[float]) -> None:
    """Draw the shares as a line from the top down, right of the bars, on an axis of its own above."""
    right = ax.twiny()
    # The bars have the left part, so that the line crosses none of what stands at their ends.
    right.set(xlim=(-1.3, 1), ylim=ax.get_ylim())
    right.plot(shares, range(len(shares)), color=INK, linewidth=1, marker="o", markersize=3)
    right.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    right.set_xlabel("share of all packages' bytes, with those above", fontsize=SMALL, color=INK, loc="right")
    right.tick_params(labelsize=SMALL, colors=INK, length=0)
    right.spines[:].set_visible(False)


def _more(left_out: int) -> str:
    return f" ({left_out:,} more images are not drawn)" if left_out > 0 else ""
