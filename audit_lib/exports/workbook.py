"""What the cover of a report's workbook says: which images, how it was made, what is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbformat import NotebookNode

from audit_lib.exports.xlsx import Part
from audit_lib.units import format_count

_SIDE_BY_SIDE = 4
_FACTS = (
    ("role", "role"),
    ("reference", "reference"),
    ("source", "read from"),
    ("manifest_digest", "manifest digest"),
    ("config_digest", "config digest"),
    ("created_utc", "created"),
    ("distro_name", "distribution"),
)


def cover_of(notebook: NotebookNode, facts: Mapping[str, Any]) -> tuple[str, list[Part]]:
    """Return the title of a workbook (the notebook's first heading) and the parts of its cover, from a report's facts."""
    return _title(notebook) or str(facts["notebook"]), list(_parts(facts))


def _title(notebook: NotebookNode) -> str:
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = (
        line.removeprefix("# ").strip() for text in texts for line in text.splitlines() if line.startswith("# ")
    )
    return next(headings, "")


def _parts(facts: Mapping[str, Any]) -> Iterator[Part]:
    yield Part(heading="What was examined", rows=_images(facts["images"]))
    yield Part(heading="What is not known", rows=_numbered(facts["gaps"]) or [("", "Nothing is known to be missing.")])
    yield Part(heading="How it was made", rows=list(_making(facts)))


def _images(images: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    """Return a row a fact with a column an image; of many images only how many they are, for they have a sheet."""
    if not images or len(images) > _SIDE_BY_SIDE:
        return [("images", f"{format_count(len(images))}; the sheet images lists them" if images else "not recorded")]
    rows: list[Sequence[str]] = [(label, *(image.get(name) or "" for image in images)) for name, label in _FACTS]
    platforms = ("/".join(filter(None, (image.get("os"), image.get("architecture")))) for image in images)
    return [row for row in (*rows, ("platform", *platforms)) if any(row[1:])]


def _making(facts: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    tool = facts["tool"]
    commit = f", commit {tool['commit']}" if tool["commit"] else ""
    yield "tool", f"{tool['name']} {tool['version']}{commit}"
    yield "notebook", str(facts["notebook"])
    yield "started", str(facts["started_utc"])
    for name, value in facts["parameters"].items():
        yield f"parameter {name}", value if isinstance(value, str) else json.dumps(value)
    versions = {"python": facts["python"], **facts["libraries"]}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())


def _numbered(sentences: Sequence[str]) -> list[Sequence[str]]:
    return [(str(number), sentence) for number, sentence in enumerate(sentences, 1)]
