"""An executed notebook's cells, sorted into a title, what its title page says, and sections."""

from __future__ import annotations

import base64
import html
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup
from mistune import BlockParser, InlineParser
from mistune.plugins import import_plugin
from nbconvert.filters import Highlight2HTML, strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from audit_lib.exports.show import sorting

_PLUGINS = ("table", "strikethrough", "def_list")
_PICTURES = ("image/svg+xml", "image/png", "image/jpeg")
_SECTION_LEVEL = 2
_HEADING = re.compile("\0(\\d)\0(.*?)\0", re.DOTALL)
_CAPTION = re.compile(r"<caption>([^<>]*)</caption>")
_HEADS = re.compile(r"<thead\b.*?</thead>", re.DOTALL)
_WIDE, _CROWDED = 8, 13
# Places of the page itself.
_TAKEN = {"report", "gaps", "how-made", *(f"annex-{letter}" for letter in "abcdefgh")}
TITLE_PAGE = "title-page"
_SUBHEADING = Markup(
    '<h{level} id="{anchor}">{text} <a class="anchor" href="#{anchor}" aria-label="Link to this part">#</a></h{level}>'
)


@dataclass(slots=True)
class Section:
    """What stands under one second-level heading; the first section is what stands before any."""

    anchor: str = ""
    heading: str = ""
    parts: list[tuple[str, Markup]] = field(default_factory=list)
    code: list[Markup] = field(default_factory=list)
    entries: list[tuple[str, Markup]] = field(default_factory=list)


class Content:
    """A notebook's cells, sorted into a title and sections; pictures named in its text are looked for in `folder`.

    `title`: the first heading. `title_page`: what the cells tagged `title-page` show, which stands in their section too.
    `sections`: what stands before any second-level heading, then one section for each.
    """

    def __init__(self, notebook: NotebookNode, folder: Path) -> None:
        self.title = ""
        self.title_page: list[tuple[str, Markup]] = []
        self.sections = [Section()]
        self._folder = folder
        self._anchors = set(_TAKEN)
        self._heading = ""
        self._labels: dict[str, int] = {}
        language = str(notebook.metadata.get("language_info", {}).get("pygments_lexer", "ipython3"))
        for cell in notebook.cells:
            self._add(cell, language)

    def _add(self, cell: NotebookNode, language: str) -> None:
        if cell.cell_type == "markdown":
            self._add_markdown(cell.source, cell.get("attachments", {}))
        elif cell.cell_type == "code":
            section = self.sections[-1]
            if cell.source.strip():
                section.code.append(_highlighted(cell.source, language))
            before = len(section.parts)
            for output in cell.outputs:
                self._add_output(output)
            if TITLE_PAGE in cell.metadata.get("tags", []):
                self.title_page += section.parts[before:]

    def _add_markdown(self, source: str, attachments: Mapping[str, Any]) -> None:
        pieces = _HEADING.split(_as_html(source, _Renderer(self._folder, attachments)))
        self._add_part("text", pieces[0])
        for level, text, following in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            self._add_heading(int(level), Markup(text))  # noqa: S704 - escaped by the renderer
            self._add_part("text", following)

    def _add_heading(self, level: int, text: Markup) -> None:
        self._heading = text.striptags()
        if level == 1 and not self.title:
            self.title = self._heading
            return
        anchor = self._anchor(self._heading)
        if level <= _SECTION_LEVEL:
            self.sections.append(Section(anchor, heading=text))
            return
        self.sections[-1].parts.append(("text", _SUBHEADING.format(level=level, anchor=anchor, text=text)))
        self.sections[-1].entries.append((anchor, text))

    def _add_output(self, output: NotebookNode) -> None:
        if output.output_type == "stream":
            self._add_part(f"stream {output.name}", f"<pre>{_plain(output.text)}</pre>")
            return
        if output.output_type == "error":
            lines = _plain("\n".join(output.traceback))
            self._add_part("stream stderr", f"<pre>{lines}</pre>")
            return
        data = output.data
        picture = next((kind for kind in _PICTURES if kind in data), None)
        if "text/html" in data:
            # The page sorts its tables itself.
            self._add_html(data["text/html"].replace(sorting(), ""))
        elif "text/markdown" in data:
            self._add_part("text", _HEADING.sub(r"\2", _as_html(data["text/markdown"], _Renderer(self._folder, {}))))
        elif picture is not None:
            self._add_part("chart", self._picture(picture, data[picture], output.metadata.get(picture, {})))
        elif "text/plain" in data:
            self._add_part("stream", f"<pre>{_plain(data['text/plain'])}</pre>")

    def _add_html(self, text: str) -> None:
        if "<table" not in text:
            self._add_part("output", text)
            return
        caption = _CAPTION.search(text)
        label = caption[1] if caption else html.escape(self._heading)
        count = self._labels[label] = self._labels.get(label, 0) + 1
        self._add_part(table_kind(text), scrolling(text, label if count == 1 else f"{label}, {count}"))

    def _add_part(self, kind: str, text: str) -> None:
        if text.strip():
            self.sections[-1].parts.append((kind, Markup(text)))  # noqa: S704 - escaped where it was made

    def _picture(self, kind: str, data: str, size: Mapping[str, Any]) -> str:
        encoded = base64.b64encode(data.encode()).decode() if kind == "image/svg+xml" else "".join(data.split())
        lengths = "".join(f' {name}="{int(size[name])}"' for name in ("width", "height") if name in size)
        alt = html.escape(f"Chart: {self._heading}") if self._heading else "Chart"
        return f'<figure><img alt="{alt}"{lengths} src="data:{kind};base64,{encoded}"></figure>'

    def _anchor(self, heading: str) -> str:
        base = re.sub(r"\W+", "-", heading.lower()).strip("-") or "part"
        anchor = next(name for name in _numbered(base) if name not in self._anchors)
        self._anchors.add(anchor)
        return anchor


class _Renderer(IPythonRenderer):
    """Markdown → HTML: headings set apart, HTML shown as text, pictures inside the page or not at all."""

    def __init__(self, folder: Path, attachments: Mapping[str, Any]) -> None:
        super().__init__(
            escape=True,
            allow_harmful_protocols=False,
            embed_images=True,
            path=str(folder),
            attachments=dict(attachments),
        )

    def heading(self, text: str, level: int, **_attributes: Any) -> str:
        return f"\0{level}\0{text}\0"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        source = self._embed_image_or_attachment(url)
        return super().image(text, url, title) if source.startswith("data:image/") else f"[picture: {text}]"

    def table(self, text: str) -> str:
        return scrolling(f"<table>\n{text}</table>", "") + "\n"


def scrolling(table: str, label: str) -> str:
    """Return the HTML of a table in a frame that scrolls: reachable by keyboard, and hence with a name."""
    name = f"Table: {label}" if label else "Table"
    return f'<div class="scroll" role="region" aria-label="{name}" tabindex="0">{table}</div>'


def table_kind(table: str) -> str:
    """Return what class of part the HTML of a table is: paper wants smaller letters where there are many columns."""
    heads = _HEADS.search(table)
    columns = heads[0].count("<th") - 1 if heads else 0  # but <thead
    return "table" + " wide" * (columns >= _WIDE) + " crowded" * (columns >= _CROWDED)


def _as_html(source: str, renderer: _Renderer) -> str:
    plugins = [import_plugin(name) for name in _PLUGINS]
    # Math is left out: a `$` in a report is one of a shell.
    markdown = MarkdownWithMath(renderer, block=BlockParser(), inline=InlineParser(), plugins=plugins)
    return markdown.render(source.replace("\0", ""))


def _highlighted(source: str, language: str) -> Markup:
    highlight = Highlight2HTML(pygments_lexer=language)  # type: ignore[no-untyped-call]
    return Markup(highlight(source))  # noqa: S704 - escaped by Pygments


def _plain(text: str) -> str:
    return html.escape(strip_ansi(text))  # type: ignore[no-untyped-call]


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}-{number}" for number in itertools.count(2))
