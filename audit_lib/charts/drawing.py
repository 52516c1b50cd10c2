"""How bars are drawn: sizes in MiB from zero, roles by colour, unknown as a hatched box that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from audit_lib.units import format_bytes, format_count, mib

# Okabe and Ito's blue, darkened, and orange: lightness 33 and 74 of 100.
ROLE_COLOURS: Mapping[str, str] = {"full": "#0b4f8a", "minimal": "#f0a830"}
TINTS = {"full": "#5b90c0", "minimal": "#fadcae"}
NEUTRAL, LESS, MORE, SHARED = "#5f6b76", "#b9c4ce", "#9c2f10", "#c3c9ce"
INK, _PALE = "#222222", "#d5d9dd"
UNKNOWN_HATCH, WASTED, SHARED_HATCH = "////", "xxxxx", "..."
_WIDTH, _DPI, TEXT, SMALL = 7.0, 100, 8.5, 7.5
# The length of an unknown value's box, as a share of the longest bar.
_UNKNOWN_SHARE = 0.06
MINUS = "\N{MINUS SIGN}"
ROLES = ("full", "minimal")
_LONGEST_NAME = 34
_LEGEND_POINTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: its value (None is unknown), where it begins, its look, and what stands at its end if not the value."""

    value: float | None
    colour: str
    start: float = 0
    hatch: str = ""
    text: str | None = None


def axes(ax: Axes | None, *, bars: float) -> Axes:
    """Return `ax`, or the Axes of a new pyplot figure that is high enough for so many bars."""
    if ax is not None:
        return ax
    _, made = plt.subplots(figsize=(_WIDTH, 0.9 + 0.15 * max(bars, 4)), dpi=_DPI, layout="constrained")
    return made


def draw_bars(
    ax: Axes,
    groups: Sequence[tuple[str, Sequence[Bar]]],
    *,
    unit: str = "MiB",
    room: float = 0.2,
    lines: int | None = None,
) -> None:
    """Draw groups of bars from the top down, each bar with its value at its end.

    `unit` is "MiB" for values in bytes, else what is counted. `room` is the space for the text right of the longest
    bar, as a share of it. `lines` keeps bars as thin as those of a chart with so many groups.
    """
    scale = mib if unit == "MiB" else float
    longest = max((scale(bar.start + (bar.value or 0)) for _, bars in groups for bar in bars), default=0.0)
    for line, (_, bars) in enumerate(groups):
        height = 0.8 / len(bars)
        for place, bar in enumerate(bars):
            y = line + (place - (len(bars) - 1) / 2) * height
            if bar.value is None:
                unknown_box(ax, y, longest, height=height)
                continue
            start, length = scale(bar.start), scale(bar.value)
            box(ax, y, start, length, colour=bar.colour, hatch=bar.hatch, height=height)
            write_at(ax, y, start + length, bar.text or written(bar.value, unit))
    if not groups:
        ax.text(0.5, 0.5, "no rows", ha="center", transform=ax.transAxes, fontsize=TEXT, color=INK)
    frame(ax, [name for name, _ in groups], longest=longest, unit=unit, room=room, lines=lines)


def written(value: float, unit: str) -> str:
    """Return a value as it stands at the end of its bar."""
    return format_bytes(int(value)) if unit == "MiB" else format_count(int(value))


def box(  # noqa: PLR0913 - a rectangle's place and look
    ax: Axes, y: float, start: float, length: float, *, colour: str, hatch: str = "", height: float = 0.6
) -> None:
    """Draw a bar at line `y`, in the axis's units."""
    ax.barh(y, length, height, left=start, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.5, zorder=2)


def unknown_box(ax: Axes, y: float, longest: float, *, height: float = 0.6) -> None:
    """Draw what stands for an unknown value beside a longest bar of `longest`, and say so."""
    length = _UNKNOWN_SHARE * (longest or 1)
    box(ax, y, 0, length, colour="white", hatch=UNKNOWN_HATCH, height=height)
    write_at(ax, y, length, "unknown")


def write_at(ax: Axes, y: float, x: float, text: str) -> None:
    """Write at the end of a bar."""
    ax.annotate(
        text,
        (x, y),
        xytext=(3, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=SMALL,
        color=INK,
        zorder=3,
    )


def write_in(ax: Axes, y: float, x: float, text: str) -> None:
    """Write into the middle of a bar, legible on any colour."""
    plate = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.15"}
    ax.text(x, y, text, ha="center", va="center_baseline", fontsize=SMALL, color=INK, bbox=plate, zorder=3)


def frame(  # noqa: PLR0913 - what surrounds the bars
    ax: Axes, names: Sequence[str], *, longest: float, unit: str, room: float, lines: int | None = None
) -> None:
    """Draw what surrounds the bars: names from the top down, units, grid."""
    middle, half = (len(names) - 1) / 2, max(lines or len(names), 1) / 2 + 0.1
    ax.set(xlim=(0, (longest or 1) * (1 + room)), ylim=(middle + half, middle - half))
    ax.set_yticks(range(len(names)), [_shortened(name) for name in names])
    ax.set_xlabel(unit, fontsize=TEXT, color=INK)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=unit != "MiB"))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    ax.tick_params(labelsize=TEXT, colors=INK, length=0)
    ax.grid(visible=True, axis="x", color=_PALE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.spines["left"].set_color(INK)


def _shortened(name: str) -> str:
    """Return a name that leaves room for the bars: the beginning and the end say most."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME // 2]}…{name[-_LONGEST_NAME // 2 + 1 :]}"


def titled(ax: Axes, title: str, *, legend: Sequence[Patch] | None = None, is_long: bool = False) -> Axes:
    """Write the title, with the legend in the same line, or below it where that `is_long`, and return `ax`."""
    pad = _LEGEND_POINTS if legend and is_long else None
    ax.set_title(title, loc="left", fontsize=TEXT + 1, fontweight="bold", color=INK, pad=pad)
    if legend:
        ax.legend(
            handles=list(legend),
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=len(legend),
            fontsize=SMALL if is_long else TEXT,
            frameon=False,
            borderaxespad=0.1,
            columnspacing=0.9 if is_long else 1.2,
            handlelength=1.2 if is_long else None,
        )
    return ax


def patch(name: str, colour: str, hatch: str = "") -> Patch:
    """Return an entry of a legend."""
    return Patch(facecolor=colour, edgecolor=INK, linewidth=0.5, hatch=hatch, label=name)


def role_patches() -> list[Patch]:
    """Return the legend's entries for the two images."""
    return [patch(role, colour) for role, colour in ROLE_COLOURS.items()]


def role_bars(full: float | None, minimal: float | None) -> list[Bar]:
    """Return the bars of both images, the full one first."""
    values = zip(ROLES, (full, minimal), strict=True)
    return [Bar(value=value, colour=ROLE_COLOURS[role]) for role, value in values]


def spaced(name: object) -> str:
    """Return a column's or measure's name as words."""
    return str(name).replace("_", " ")


def known(value: Any) -> float | None:
    """Return a cell of a table as a number, None where it is missing."""
    return None if pd.isna(value) else float(value)
