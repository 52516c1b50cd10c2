"""The treemap: an image's folders as areas in proportion to the bytes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import squarify
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from audit_lib.charts.drawing import INK, SMALL, TEXT, UNKNOWN_HATCH, axes, titled, write_in
from audit_lib.units import format_bytes

# Light enough for dark text, told apart by their borders where colour is missing.
_TILES = ("#cfe0f0", "#fbe3c0", "#d9ead0", "#ead9ea", "#f5d5d0", "#d5ecec", "#f3efbf", "#e6e6e6")
_WIDTH, _HEIGHT = 100.0, 62.0
# A name cut shorter than this tells nothing.
_FEWEST_LETTERS = 5
# Lower than this, a top folder has no room for its name above what is in it.
_LEAST_LINES = 4
_Area = tuple[float, float, float, float]


def folder_treemap(files: pd.DataFrame, *, is_known: bool = True, ax: Axes | None = None) -> Axes:
    """Draw an image's folders as areas in proportion to the bytes in them; the small ones of a folder as one.

    `files`: schema `File`, of one image. A folder is opened while it holds a twentieth of all bytes and a folder in it
    a hundredth; what is left of it is called `…`. Top folders (one level deeper below /usr) share the whole area,
    those in one share what lies below its name; tiles too small for their name have none. Without any bytes in files
    the chart says so; where an image's files are not known (`is_known`), the whole area is hatched and says that.
    """
    tiles = _tiles(files)
    ax = axes(ax, bars=24)
    ax.set(xlim=(0, _WIDTH), ylim=(_HEIGHT, 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if not is_known:
        ax.add_patch(
            Rectangle((0, 0), _WIDTH, _HEIGHT, facecolor="white", edgecolor=INK, linewidth=0.5, hatch=UNKNOWN_HATCH)
        )
        write_in(ax, _HEIGHT / 2, _WIDTH / 2, "unknown")
        return titled(ax, "Bytes by folder")
    titled(ax, f"{format_bytes(sum(size for _, size in tiles))} by folder" if tiles else "Bytes by folder")
    if not tiles:
        ax.text(_WIDTH / 2, _HEIGHT / 2, "no bytes in files", ha="center", va="center", fontsize=TEXT, color=INK)
        return ax
    by_top: dict[str, list[tuple[str, int]]] = {}
    for folder, size in tiles:
        by_top.setdefault(_top(folder), []).append((folder, size))
    tops = [(top, sum(size for _, size in inside)) for top, inside in by_top.items()]
    tops.sort(key=lambda item: (-item[1], item[0]))
    paper = _Paper(ax)
    for place, ((top, size), area) in enumerate(
        zip(tops, _areas([size for _, size in tops], (0, 0, _WIDTH, _HEIGHT)), strict=True)
    ):
        _top_folder(paper, area, top, size, by_top[top], colour=_TILES[place % len(_TILES)])
    return ax


def _tiles(files: pd.DataFrame) -> list[tuple[str, int]]:
    """Return folders (`…` for the rest of one) with their bytes, biggest first, ties by name."""
    weights: dict[str, int] = {}
    for path, size in zip(files["path"], files["file_bytes"], strict=True):
        if size:
            folder = path.rpartition("/")[0]
            weights[folder] = weights.get(folder, 0) + int(size)
    sums, inside = _nested(weights)
    everything = sums.get("", 0)
    found: list[tuple[str, int]] = []
    opened = [""] if everything else []
    while opened:
        folder = opened.pop()
        large = [child for child in inside.get(folder, ()) if sums[child] >= everything / 100]
        if not large or sums[folder] < everything / 20:
            found.append((folder or "/", sums[folder]))
            continue
        opened.extend(large)
        rest = sums[folder] - sum(sums[child] for child in large)
        if rest:
            found.append((f"{folder}/…", rest))
    return sorted(found, key=lambda tile: (-tile[1], tile[0]))


def _nested(weights: Mapping[str, int]) -> tuple[dict[str, int], dict[str, set[str]]]:
    """Return the bytes in and below each folder, and the folders in it; the root is ""."""
    sums: dict[str, int] = {}
    inside: dict[str, set[str]] = {}
    for folder, size in weights.items():
        here = folder
        while True:
            sums[here] = sums.get(here, 0) + size
            if not here:
                break
            above = here.rpartition("/")[0]
            inside.setdefault(above, set()).add(here)
            here = above
    return sums, inside


def _top(folder: str) -> str:
    """Return the top folder that a tile belongs to, one level deeper below /usr; "" for the rest of / and /usr."""
    parts = folder.split("/")
    depth = 3 if parts[1] == "usr" else 2
    return "" if len(parts) <= depth - 1 or parts[depth - 1] == "…" else "/".join(parts[:depth])


def _areas(sizes: Sequence[int], area: _Area) -> list[_Area]:
    """Return x, y, width, height for each size, in order, filling the area."""
    x, y, width, height = area
    scale = width * height / sum(sizes) if sizes else 0
    tiles = squarify.squarify([size * scale for size in sizes], x, y, width, height)
    return [(tile["x"], tile["y"], tile["dx"], tile["dy"]) for tile in tiles]


class _Paper:
    """The Axes, with how many letters and lines of text fit into an area of it."""

    def __init__(self, ax: Axes) -> None:
        self.ax = ax
        figure = ax.figure.canvas.figure
        figure.draw_without_rendering()  # only then does the Axes have its final size
        extent = ax.get_window_extent()
        # A letter is about 0.6 of its height wide and a line 1.3 high; 72 points are an inch.
        self._letter = _WIDTH / (extent.width / figure.dpi * 72) * 0.6 * SMALL
        self.line = _HEIGHT / (extent.height / figure.dpi * 72) * 1.3 * SMALL

    def letters(self, width: float) -> int:
        return int((width - 1) / self._letter)

    def lines(self, height: float) -> int:
        return int((height - 0.8) / self.line)

    def tile(self, area: _Area, text: str, colour: str) -> None:
        x, y, width, height = area
        self.ax.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="white", linewidth=1.2))
        if text:
            self.ax.text(x + 0.5, y + 0.5, text, ha="left", va="top", fontsize=SMALL, color=INK, linespacing=1.15)


def _top_folder(  # noqa: PLR0913 - a folder and where it goes
    paper: _Paper, area: _Area, top: str, size: int, inside: Sequence[tuple[str, int]], *, colour: str
) -> None:
    """Draw a top folder: its name and bytes above, its folders below, where there is room for both."""
    x, y, width, height = area
    name = "all other" if not top else inside[0][0] if len(inside) == 1 else top
    head = f"{name}  {format_bytes(size)}"
    if len(inside) == 1 or len(head) > paper.letters(width) or height < _LEAST_LINES * paper.line:
        paper.tile(area, _fitted(name, format_bytes(size), paper.letters(width), paper.lines(height)), colour)
        return
    paper.tile(area, head, _darker(colour))
    strip = 1.4 * paper.line
    areas = _areas([size for _, size in inside], (x, y + strip, width, height - strip))
    for (folder, folder_size), tile in zip(inside, areas, strict=True):
        text = _fitted(
            folder.removeprefix(f"{top}/"), format_bytes(folder_size), paper.letters(tile[2]), paper.lines(tile[3])
        )
        paper.tile(tile, text, colour)


def _fitted(name: str, size: str, letters: int, lines: int) -> str:
    """Return a folder's name, broken at its slashes, and its size as they fit into so many lines of so many letters.

    A part that is too long is cut (`x86_64-li…`); "" where there is no room for that.
    """
    if letters < _FEWEST_LETTERS:
        return ""
    rows: list[str] = []
    for part in name.replace("/", "/\0").split("\0"):
        if rows and len(rows[-1]) + len(part) <= letters:
            rows[-1] += part
        else:
            rows.append(part if len(part) <= letters else part[: letters - 1] + "…")
    if len(rows) > lines:
        return ""
    return "\n".join([*rows, size] if len(rows) < lines and len(size) <= letters else rows)


def _darker(colour: str) -> str:
    return "#" + "".join(f"{int(int(colour[at : at + 2], 16) * 0.88):02x}" for at in (1, 3, 5))
