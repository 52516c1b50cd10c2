"""PNG and SVG: how a chart is written to a file."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes

_DOTS_PER_INCH = 150


def save_figures(folder: str | Path, /, **axes: Axes) -> None:
    """Write the figure of each Axes as `<folder>/figures/<name>.png` (150 dpi) and `.svg`.

    With an empty folder name, write nothing. Same figure, same bytes: the ids inside an SVG derive from the
    chart's name, and neither file says when or with which version it was made.
    """
    if not str(folder):
        return
    target = Path(folder) / "figures"
    for name, chart in axes.items():
        if not name.isidentifier():
            raise ValueError(f"a chart's name becomes a file's name: expected letters, digits and _, found {name!r}")
        target.mkdir(parents=True, exist_ok=True)
        figure = chart.figure.canvas.figure
        with mpl.rc_context({"svg.hashsalt": name}):
            figure.savefig(target / f"{name}.png", dpi=_DOTS_PER_INCH, bbox_inches="tight", metadata={"Software": None})
            figure.savefig(target / f"{name}.svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
