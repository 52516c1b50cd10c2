"""Verdicts as stacked bars: how many controls of each framework, or checks of each severity, have which status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from audit_lib.charts.drawing import (
    LESS,
    MORE,
    NEUTRAL,
    UNKNOWN_HATCH,
    axes,
    box,
    frame,
    patch,
    titled,
    write_at,
    write_in,
)

_SEVERITIES = ("critical", "high", "medium", "low")


class _Look(NamedTuple):
    name: str
    colour: str
    hatch: str = ""


# In the order in which they are drawn: what holds, what does not, what is accepted; then what is not known, in white.
_LOOKS: Mapping[str, _Look] = {
    "pass": _Look("pass", LESS),
    "fail": _Look("fail", MORE, "\\\\"),
    "waived": _Look("waived", NEUTRAL),
    "manual": _Look("for a person", "white", "..."),
    "not_assessable": _Look("not assessable", "white", UNKNOWN_HATCH),
}


def controls_by_status(framework_counts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a bar a framework: how many of its controls have which status, the worst of their checks.

    `framework_counts`: schema `FrameworkCount`. What an image cannot tell is hatched white, what a person must look at dotted
    white: neither is drawn like a pass.
    """
    names = sorted(set(framework_counts["framework"]))
    counts = [_counts(framework_counts[framework_counts["framework"] == name]) for name in names]
    return _stacked(names, counts, unit="controls", title="Controls", ax=ax)


def checks_by_status(findings: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a bar a severity, gravest first: how many checks have which status.

    `findings`: schema `Finding`. Looks are those of `controls_by_status`.
    """
    counts = [
        {str(status): int(count) for status, count in rows["status"].value_counts().items()}
        for rows in (findings[findings["severity"] == severity] for severity in _SEVERITIES)
    ]
    return _stacked(_SEVERITIES, counts, unit="checks", title="Checks by severity", ax=ax)


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return dict(zip(rows["status"].tolist(), map(int, rows["control_count"]), strict=True))


def _stacked(
    names: Sequence[str], counts: Sequence[Mapping[str, int]], *, unit: str, title: str, ax: Axes | None
) -> Axes:
    ax = axes(ax, bars=2 * max(len(names), 1))
    longest = max((sum(count.values()) for count in counts), default=0)
    for line, count in enumerate(counts):
        start = 0
        for status, look in _LOOKS.items():
            number = count.get(status, 0)
            if number:
                box(ax, line, start, number, colour=look.colour, hatch=look.hatch)
                write_in(ax, line, start + number / 2, f"{number:,}")
            start += number
        write_at(ax, line, start, f"{start:,}")
    frame(ax, names, longest=longest, unit=unit, room=0.08)
    return titled(ax, title, legend=[patch(*look) for look in _LOOKS.values()])
