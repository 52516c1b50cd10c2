"""index.html and index.json: all audits of a schedule on one page, with what came of each and its figures over time."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from audit_lib.exports import provenance
from audit_lib.units import format_bytes, format_count

SCHEMA = "audit-lib index of reports, version 1"
# What is shown of each image, and drawn over time.
FIGURES: Mapping[str, str] = {
    "package_count": "Packages",
    "file_bytes": "Files",
    "failed_check_count": "Failed checks",
    "vulnerability_count": "Vulnerabilities",
}
STATUSES: Mapping[str, str] = {
    "failed": "failed",
    "damaged": "damaged",
    "gate_failed": "gate failed",
    "done": "done",
    "unchanged": "unchanged",
}
_TEMPLATES = Path(__file__).with_name("templates")
_POINTS = 60
_SVG = Markup(
    '<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{label}"><title>{label}</title>'
    '{drawn}<circle cx="{x}" cy="{y}" r="2.2"/></svg>'
)
_WIDTH, _HEIGHT, _MARGIN = 96.0, 22.0, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One audit on the page.

    `status`: one of `STATUSES`; `said`: a sentence about it. `report`: the newest one, `reports`: all that are kept, newest first,
    each the path of the file to open, or of a folder, below the page's own. `judged`: the role of the image whose figures are
    drawn over time.
    """

    name: str
    status: str
    said: str | None
    report: str | None
    reports: Sequence[str]
    judged: str
    images: Mapping[str, str]


def index_of(entries: Sequence[Entry], runs: pd.DataFrame, *, title: str, run_utc: str) -> dict[str, Any]:
    """Return what the page shows, as JSON may hold it. `runs`: a history's table of that name, this run included."""
    return {
        "schema": SCHEMA,
        "title": title,
        "run_utc": run_utc,
        "tool": {"name": provenance.DISTRIBUTION, "version": provenance.version(), "commit": provenance.commit()},
        "audits": [_audit(entry, runs, run_utc) for entry in entries],
    }


def index_json(index: Mapping[str, Any]) -> str:
    """Return the index as JSON."""
    return json.dumps(index, indent=2, ensure_ascii=False) + "\n"


def index_html(index: Mapping[str, Any]) -> str:
    """Return the index as one page that opens offline, loads nothing, and reads the same without its script."""
    style = "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "index.css"))
    script = "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("sort.js", "index.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    counts = {status: sum(one["status"] == status for one in index["audits"]) for status in STATUSES}
    return environment.get_template("index.html.j2").render(
        index=index,
        counts={status: count for status, count in counts.items() if count},
        statuses=STATUSES,
        figures=FIGURES,
        cell=_cell,
        count=format_count,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _audit(entry: Entry, runs: pd.DataFrame, run_utc: str) -> dict[str, Any]:
    rows = runs[runs["audit"] == entry.name].sort_values("run_utc", kind="stable")
    judged = rows[rows["image"] == entry.images[entry.judged]].tail(_POINTS)
    return {
        "name": entry.name,
        "status": entry.status,
        "said": entry.said,
        "report": entry.report,
        "reports": list(entry.reports),
        "images": [_image(role, label, rows, run_utc) for role, label in entry.images.items()],
        "judged": entry.judged,
        "trend": {
            name: [[str(run), _plain(value)] for run, value in zip(judged["run_utc"], judged[name], strict=True)]
            for name in FIGURES
        },
    }


def _image(role: str, label: str, rows: pd.DataFrame, run_utc: str) -> dict[str, Any]:
    """Return what this run tells of an image: missing figures are unknown."""
    here = rows[(rows["image"] == label) & (rows["run_utc"] == run_utc)]
    facts = dict.fromkeys(("image_digest", *FIGURES)) if here.empty else here.iloc[-1]
    return {
        "role": role,
        "image": label,
        **{name: _plain(facts[name]) for name in ("image_digest", *FIGURES)},
    }


def _plain(value: Any) -> Any:
    """Return a cell of a table as JSON may hold it, None where it is missing."""
    return None if pd.isna(value) else value if isinstance(value, str) else value.item()


def _cell(audit: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a figure's cell holds: the value, how it sorts, the value of the full image, and the line over time."""
    by_role = {image["role"]: image[name] for image in audit["images"]}
    value = by_role[audit["judged"]]
    points = audit["trend"][name]
    return {
        "text": _written(name, value),
        "is_known": value is not None,
        "sort": "" if value is None else value,
        "full": _written(name, by_role["full"]) if "full" in by_role else None,
        "line": _line(name, points),
    }


def _written(name: str, value: int | None) -> str:
    return format_bytes(value) if name.endswith("_bytes") else format_count(value)


def _line(name: str, points: Sequence[Sequence[Any]]) -> Markup:
    """Return the values over time as a small drawing; runs that do not know the value leave a gap."""
    known = [value for _, value in points if value is not None]
    if not known or len(points) == 1:
        return Markup("")
    low, high = min(known), max(known)
    label = f"{_written(name, known[0])} to {_written(name, known[-1])} in {format_count(len(points))} runs"
    if len(known) < len(points):
        label += f", unknown in {format_count(len(points) - len(known))}"
    places = [
        None
        if value is None
        else (
            _MARGIN + (_WIDTH - 2 * _MARGIN) * number / (len(points) - 1),
            _HEIGHT / 2 if low == high else _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * (value - low) / (high - low),
        )
        for number, (_, value) in enumerate(points)
    ]
    drawn = "".join(_path(part) for part in _parts(places))
    last = next(place for place in reversed(places) if place is not None)
    size = {"width": int(_WIDTH), "height": int(_HEIGHT)}
    dot = {"x": f"{last[0]:.1f}", "y": f"{last[1]:.1f}"}
    return _SVG.format(label=label, drawn=Markup(drawn), **size, **dot)  # noqa: S704 - numbers of our own


def _parts(places: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    """Yield the stretches between gaps."""
    part: list[tuple[float, float]] = []
    for place in [*places, None]:
        if place is not None:
            part.append(place)
        elif part:
            yield part
            part = []


def _path(part: Sequence[tuple[float, float]]) -> str:
    if len(part) == 1:
        return f'<circle cx="{part[0][0]:.1f}" cy="{part[0][1]:.1f}" r="1"/>'
    return '<path d="M' + " L".join(f"{x:.1f} {y:.1f}" for x, y in part) + '"/>'
