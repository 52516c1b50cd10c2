"""What the cover of a report's workbook says: which images, how it was made, what is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbformat import NotebookNode

from audit_lib.exports.xlsx import Part

_IMAGE_HEAD = ("", "reference", "manifest digest", "config digest", "platform", "created", "distribution", "source")


def cover_of(notebook: NotebookNode, facts: Mapping[str, Any]) -> tuple[str, list[Part]]:
    """Return the title of a workbook (the notebook's first heading) and the parts of its cover, from a report's facts."""
    return _title(notebook) or str(facts["notebook"]), list(_parts(facts))


def _title(notebook: NotebookNode) -> str:
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = (line.removeprefix("# ").strip() for text in texts for line in text.splitlines() if line.startswith("# "))
    return next(headings, "")


def _parts(facts: Mapping[str, Any]) -> Iterator[Part]:
    images = [_image(image) for image in facts["images"]]
    if images:
        yield Part(heading="What was examined", rows=[_IMAGE_HEAD, *images], has_head=True)
    yield Part(heading="What is not known", rows=_numbered(facts["gaps"]) or [("", "Nothing is known to be missing.")])
    yield Part(heading="How it was made", rows=list(_making(facts)))


def _image(image: Mapping[str, Any]) -> list[str]:
    platform = "/".join(filter(None, (image.get("os"), image.get("architecture"))))
    named = (image.get("role"), image.get("reference"), image.get("manifest_digest"), image.get("config_digest"))
    rest = (platform, image.get("created_utc"), image.get("distro_name"), image.get("source"))
    return [text or "" for text in (*named, *rest)]


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
