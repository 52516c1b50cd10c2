"""Vulnerabilities: how many of which severity, in which packages, against how many bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from audit_lib.charts.drawing import (
    INK,
    LESS,
    MORE,
    NEUTRAL,
    ROLES,
    SMALL,
    TEXT,
    WASTED,
    axes,
    box,
    frame,
    known,
    patch,
    titled,
    unknown_box,
    write_at,
    write_in,
)
from audit_lib.units import mib

# What a bar's part has to be of the longest bar for its number to fit in.
_NUMBERED_SHARE = 0.04
# How near to each other, as shares of the axes, two names would be written over one another.
_NEAR = (0.1, 0.05)


class _Look(NamedTuple):
    name: str
    colour: str
    hatch: str = ""


# Worst first, from dark to light; then what is not known of, and what a statement rules out, both white.
_LOOKS: Mapping[str, _Look] = {
    "critical": _Look("critical", "#4a0e0e"),
    "high": _Look("high", MORE, "\\\\"),
    "medium": _Look("medium", "#d9824a"),
    "low": _Look("low", "#f0c9a0"),
    "negligible": _Look("negligible", LESS),
    "unknown": _Look("severity unknown", "white", "..."),
    "ruled out": _Look("ruled out by VEX", "white", WASTED),
}


def vulnerabilities_by_severity(counts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a bar an image and source: its vulnerabilities, each id once, by severity; what VEX rules out is a crossed part.

    `counts`: schema `SeverityCount` (a full and a minimal image) or `VulnerabilityCount` (one). A side that a source was not asked
    about is unknown; without any source both are, and no bar is drawn as none.
    """
    lines = list(_lines(counts))
    ax = axes(ax, bars=2.2 * len(lines) + 2)
    longest = max((sum(parts.values()) for _, parts in lines if parts is not None), default=0)
    for line, (_, parts) in enumerate(lines):
        if parts is None:
            unknown_box(ax, line, longest)
        else:
            _stacked(ax, line, parts, longest)
    frame(ax, [name for name, _ in lines], longest=longest, unit="vulnerabilities, each once", room=0.15)
    used = [patch(*look) for word, look in _LOOKS.items() if any(parts and parts.get(word) for _, parts in lines)]
    return titled(ax, "Vulnerabilities by severity", legend=used, is_long=True)


def packages_by_vulnerabilities(gains: pd.DataFrame, *, count: int = 15, ax: Axes | None = None) -> Axes:
    """Draw the `count` packages with most vulnerabilities, those that are critical or high dark, the rest light.

    `gains`: schema `RemovalGain`. Packages of which nothing is known are counted in a last line, as unknown.
    """
    told = gains.dropna(subset="vulnerability_count")
    order = ["vulnerability_count", "serious_count", "name"]
    shown = (
        told[told["vulnerability_count"] > 0]
        .sort_values(order, ascending=[False, False, True], kind="stable")
        .head(count)
    )
    unknown = len(gains) - len(told)
    names = [f"{name} ({form})" for name, form in zip(shown["name"], shown["format"], strict=True)]
    ax = axes(ax, bars=1.4 * (len(names) + bool(unknown)))
    longest = int(shown["vulnerability_count"].max()) if len(shown) else 0
    for line, (number, serious) in enumerate(zip(shown["vulnerability_count"], shown["serious_count"], strict=True)):
        box(ax, line, 0, serious, colour=MORE, hatch="\\\\")
        box(ax, line, serious, number - serious, colour=LESS)
        write_at(ax, line, number, f"{number:,}" + (f", {serious:,} critical or high" if serious else ""))
    if unknown:
        unknown_box(ax, len(names), longest)
        names.append(f"{unknown:,} package{'s' * (unknown > 1)}")
    if not names:
        ax.text(0.5, 0.5, "no package has any", ha="center", transform=ax.transAxes, fontsize=TEXT, color=INK)
    frame(ax, names, longest=longest, unit="vulnerabilities, each once", room=0.35)
    patches = [patch("critical or high", MORE, "\\\\"), patch("other", LESS)]
    return titled(ax, "Packages by vulnerabilities", legend=patches)


def bytes_and_vulnerabilities(gains: pd.DataFrame, *, labels: int = 8, ax: Axes | None = None) -> Axes:
    """Draw each package as a point: what its files weigh (MiB) against how many vulnerabilities it has.

    `gains`: schema `RemovalGain`. At most `labels` with most vulnerabilities are named, where there is room. Packages of which
    one of the two is unknown are in no place; they are counted in the title.
    """
    drawn = gains.dropna(subset=["vulnerability_count", "file_bytes"])
    ax = axes(ax, bars=18)
    sizes = [mib(int(size)) for size in drawn["file_bytes"]]
    numbers = [int(number) for number in drawn["vulnerability_count"]]
    has_serious = [bool(serious) for serious in drawn["serious_count"]]
    for wanted, colour, marker, name in (
        (False, NEUTRAL, "o", "none critical or high"),
        (True, MORE, "^", "some critical or high"),
    ):
        places = [place for place, serious in enumerate(has_serious) if serious == wanted]
        ax.scatter(
            [sizes[place] for place in places],
            [numbers[place] for place in places],
            s=26,
            c=colour,
            marker=marker,
            edgecolors="white",
            linewidths=0.5,
            label=name,
            zorder=3,
        )
    ax.set_xlabel("MiB", fontsize=TEXT, color=INK)
    ax.set_ylabel("vulnerabilities, each once", fontsize=TEXT, color=INK)
    ax.set(xlim=(0, max([*sizes, 1.0]) * 1.25), ylim=(-0.3, max([*numbers, 1]) * 1.15))
    _label_points(ax, drawn, sizes, numbers, labels)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.tick_params(labelsize=TEXT, colors=INK, length=0)
    ax.grid(visible=True, color="#d5d9dd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if len(drawn):
        ax.legend(loc="upper right", fontsize=SMALL, frameon=False)
    else:
        ax.text(0.5, 0.5, "unknown", ha="center", transform=ax.transAxes, fontsize=TEXT, color=INK)
    unknown = len(gains) - len(drawn)
    return titled(
        ax, "Bytes and vulnerabilities by package" + (f" ({unknown:,} unknown, not drawn)" if unknown else "")
    )


def _lines(counts: pd.DataFrame) -> Iterator[tuple[str, dict[str, int] | None]]:
    """Yield the name of each bar and its parts; None where they are unknown."""
    if "count_full" in counts.columns:
        columns = {role: f"count_{role}" for role in ROLES}
    else:
        columns = {str(image): "vulnerability_count" for image in counts["image"].drop_duplicates()} or {
            "vulnerabilities": ""
        }
    if counts.empty:
        yield from ((name, None) for name in columns)
    for found_by in sorted(set(counts["found_by"])):
        own = counts[counts["found_by"] == found_by]
        for name, column in columns.items():
            rows = own[own["image"] == name] if "image" in own.columns else own
            yield f"{name}, by {found_by}", _parts(rows, column)


def _parts(rows: pd.DataFrame, column: str) -> dict[str, int] | None:
    """Return the numbers of a bar by severity, after VEX, and how many that rules out; None where they are unknown."""
    numbers = {
        (str(counted), str(severity)): known(value)
        for counted, severity, value in zip(rows["counted"], rows["severity"], rows[column], strict=True)
    }
    every, left = numbers.get(("unique ids", "all")), numbers.get(("after VEX", "all"))
    if every is None or left is None:
        return None
    parts = {word: int(numbers.get(("after VEX", word)) or 0) for word in _LOOKS if word != "ruled out"}
    return {**parts, "ruled out": int(every - left)}


def _stacked(ax: Axes, line: int, parts: Mapping[str, int], longest: int) -> None:
    start = 0
    for word, number in parts.items():
        if number:
            look = _LOOKS[word]
            box(ax, line, start, number, colour=look.colour, hatch=look.hatch)
            if number > _NUMBERED_SHARE * longest:
                write_in(ax, line, start + number / 2, f"{number:,}")
        start += number
    write_at(ax, line, start, f"{start:,}")


def _label_points(ax: Axes, drawn: pd.DataFrame, sizes: Sequence[float], numbers: Sequence[int], labels: int) -> None:
    """Write the names of the points with most vulnerabilities, as far as there is room."""
    places = [place for place, number in enumerate(numbers) if number]
    serious = drawn["serious_count"].tolist()
    places.sort(key=lambda place: (-numbers[place], -serious[place], -sizes[place], str(drawn["name"].iloc[place])))
    width, height = ax.get_xlim()[1] or 1, ax.get_ylim()[1] or 1
    written: list[tuple[float, float]] = []
    for place in places:
        here = (sizes[place] / width, numbers[place] / height)
        is_free = all(abs(here[0] - x) > _NEAR[0] or abs(here[1] - y) > _NEAR[1] for x, y in written)
        if is_free and len(written) < labels:
            written.append(here)
            name = str(drawn["name"].iloc[place])
            point = (sizes[place], numbers[place])
            ax.annotate(name, point, xytext=(4, 3), textcoords="offset points", fontsize=SMALL, color=INK)
