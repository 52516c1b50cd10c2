"""Images over time: a measure as steps from run to run, and how long findings and vulnerabilities stayed open."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from audit_lib.charts.drawing import (
    INK,
    MORE,
    NEUTRAL,
    ROLE_COLOURS,
    SMALL,
    TEXT,
    UNKNOWN_HATCH,
    axes,
    box,
    frame,
    patch,
    spaced,
    titled,
    write_at,
)
from audit_lib.errors import TableError
from audit_lib.units import mib

_MEASURES = ("file_bytes", "package_count", "failed_check_count", "vulnerability_count")
# Told apart by their marks where colour is missing.
_LOOKS = (
    (ROLE_COLOURS["full"], "o"),
    (ROLE_COLOURS["minimal"], "s"),
    (MORE, "^"),
    ("#2f7d5b", "D"),
    (NEUTRAL, "v"),
    ("#7a4f9a", "P"),
)
_GAP = 0.16
_LONGEST_NAME = 44
_STILL_OPEN = "..."


def measures_over_time(
    values: pd.DataFrame, *, measures: Sequence[str] = _MEASURES, count: int = 6, ax: Axes | None = None
) -> Axes:
    """Draw each measure as a panel over the same time, each image as steps from run to run, from zero.

    `values`: what `trends.measures_over_time` returns. The first `count` images by name are drawn, six at most; how many are left
    out stands in the title. Where a run does not know a measure, its image's line has a gap, and a hatched box at the foot of the
    panel marks the time. The Axes that comes back is only a frame: its `child_axes` are the panels. Raises `TableError` for a
    measure that the table does not have.
    """
    for measure in measures:
        if len(values) and measure not in set(values["measure"]):
            raise TableError(f"measures_over_time: expected a measure of the table, found {measure!r}")
    series = list(values[["image", "audit"]].drop_duplicates().itertuples(index=False, name=None))
    drawn = series[: min(count, len(_LOOKS))]
    ax = axes(ax, bars=8.0 * len(measures) + len(drawn))
    ax.set_axis_off()
    ax.set(xticks=[], yticks=[])
    height = 1 / (len(measures) + _GAP * (len(measures) - 1))
    for place, measure in enumerate(measures):
        panel = ax.inset_axes((0.0, 1 - height - place * height * (1 + _GAP), 1.0, height))
        rows = values[values["measure"] == measure]
        _draw_measure(panel, measure, [rows[(rows["image"] == one) & (rows["audit"] == name)] for one, name in drawn])
        if place < len(measures) - 1:
            panel.set_xticklabels([])
    left_out = len(series) - len(drawn)
    _name_lines(ax, [_label(one, name, series) for one, name in drawn])
    return titled(ax, f"Over time ({left_out:,} more images are not drawn)" if left_out else "Over time")


def open_spells(spells: pd.DataFrame, *, count: int = 20, ax: Axes | None = None) -> Axes:
    """Draw when findings and vulnerabilities were open, longest first; those that still are end dotted, with "at least".

    `spells`: schema `OpenSpell`. The first `count` rows are drawn, longest first; how many are left out stands below.
    """
    order = spells.sort_values(["days_open", "kind", "item", "image", "first_utc"], ascending=[False, *[True] * 4])
    rows = order.head(count)
    ax = axes(ax, bars=1.4 * max(len(rows), 2) + 2)
    if rows.empty:
        ax.text(0.5, 0.5, "nothing was seen open", ha="center", transform=ax.transAxes, fontsize=TEXT, color=INK)
    starts = [_day(time) for time in rows["first_utc"]]
    first = min(starts, default=0.0)
    lengths = [float(days) for days in rows["days_open"]]
    for line, (start, days, is_open) in enumerate(zip(starts, lengths, rows["is_open"], strict=True)):
        colour, hatch = ("white", _STILL_OPEN) if is_open else (NEUTRAL, "")
        box(ax, line, start - first, days, colour=colour, hatch=hatch)
        said = f"{days:,.4g} {'day' if days == 1 else 'days'}"
        write_at(ax, line, start - first + days, f"at least {said}" if is_open else said)
    several = len(rows[["image", "audit"]].drop_duplicates()) > 1
    names = [
        f"{item} ({image})" if several else str(item) for item, image in zip(rows["item"], rows["image"], strict=True)
    ]
    longest = max((start - first + days for start, days in zip(starts, lengths, strict=True)), default=0.0)
    frame(ax, names, longest=longest, unit="days", room=0.3)
    left_out = len(spells) - len(rows)
    since = f"days since {rows['first_utc'].min()[:10]}" if len(rows) else "days"
    ax.set_xlabel(f"{since} ({left_out:,} more are not drawn)" if left_out else since, fontsize=TEXT, color=INK)
    return titled(ax, "How long open", legend=[patch("closed", NEUTRAL), patch("still open", "white", _STILL_OPEN)])


def _draw_measure(panel: Axes, measure: str, series: Sequence[pd.DataFrame]) -> None:
    is_bytes = measure.endswith("_bytes")
    highest = 0.0
    for rows, (colour, mark) in zip(series, _LOOKS, strict=False):
        times = [_day(time) for time in rows["run_utc"]]
        numbers = [float("nan") if pd.isna(value) else float(value) for value in rows["value"]]
        heights = [mib(number) for number in numbers] if is_bytes else numbers
        highest = max([highest, *(number for number in heights if number == number)])  # noqa: PLR0124 - not a number is unlike itself
        panel.plot(
            times, heights, color=colour, marker=mark, markersize=3, linewidth=1.2, drawstyle="steps-post", zorder=3
        )
    _mark_unknown(panel, series)
    panel.set_ylim(0, (highest or 1) * 1.15)
    panel.set_ylabel(spaced(measure) + (", MiB" if is_bytes else ""), fontsize=SMALL, color=INK)
    panel.yaxis.set_major_locator(MaxNLocator(3, integer=not is_bytes))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    panel.xaxis.set_major_locator(AutoDateLocator(maxticks=7))  # type: ignore[no-untyped-call]
    panel.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d"))  # type: ignore[no-untyped-call]
    panel.tick_params(labelsize=SMALL, colors=INK, length=0)
    panel.grid(visible=True, axis="y", color="#d5d9dd", linewidth=0.6)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.spines["bottom"].set_color(INK)


def _mark_unknown(panel: Axes, series: Sequence[pd.DataFrame]) -> None:
    """Hatch the times of runs that do not know the measure, and say so once."""
    times = sorted({_day(time) for rows in series for time in rows["run_utc"]})
    unknown = sorted({_day(time) for rows in series for time in rows.loc[rows["value"].isna(), "run_utc"]})
    half = (times[-1] - times[0]) / (len(times) - 1) / 2 if len(times) > 1 else 0.5
    for day in unknown:
        panel.axvspan(
            day - half, day + half, ymax=0.12, facecolor="white", edgecolor=INK, linewidth=0.5, hatch=UNKNOWN_HATCH
        )
    if unknown:
        panel.annotate(
            "unknown",
            (unknown[0] - half, 0.12),
            xycoords=("data", "axes fraction"),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
        )
    if times:
        panel.set_xlim(times[0] - half, times[-1] + half)


def _name_lines(ax: Axes, names: Sequence[str]) -> None:
    """Name the lines below the panels, two in a row."""
    handles = [
        Line2D([], [], color=colour, marker=mark, markersize=4, label=name)
        for name, (colour, mark) in zip(names, _LOOKS, strict=False)
    ]
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, -0.08),
        ncols=2,
        fontsize=SMALL,
        frameon=False,
        borderaxespad=0,
    )


def _label(image: str, audit: str, series: Sequence[tuple[str, str]]) -> str:
    """Return what a line is called: the image, with the audit where it stands in several."""
    name = f"{image} ({audit})" if sum(one == image for one, _ in series) > 1 else image
    return name if len(name) <= _LONGEST_NAME else f"…{name[-_LONGEST_NAME + 1 :]}"


def _day(time: str) -> float:
    return float(date2num(dt.datetime.fromisoformat(time)))  # type: ignore[no-untyped-call]
