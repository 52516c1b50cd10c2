"""report.html: an executed notebook as one page that opens offline and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from nbformat import NotebookNode

from audit_lib.exports import provenance
from audit_lib.exports.annexes import Annex
from audit_lib.exports.content import Content, scrolling, table_kind

_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a report says beside its notebook.

    `images`: rows of the Image table as text, missing = not stated. `gaps`: what is not known, a sentence each.
    `is_damaged`: whether one of these is a damaged database. `notebook`: the notebook's name. `facts`: what the title page
    says beside that, such as the policy, a name and a text each. `annexes`: tables that stand whole at the end. `made`: the
    manifest's facts of how the report was made (tool, parameters, libraries, time); what it lacks is left out.
    """

    images: Sequence[Mapping[str, str | None]] = ()
    gaps: Sequence[str] = ()
    is_damaged: bool = False
    notebook: str = ""
    facts: Sequence[tuple[str, str]] = ()
    annexes: Sequence[Annex] = ()
    made: Mapping[str, Any] = field(default_factory=dict)


def render_html(notebook: NotebookNode, page: Page, *, folder: Path) -> str:
    """Return an executed notebook as one HTML page; pictures named in its text are looked for in `folder`.

    The first heading becomes the title, each second-level heading a section and an entry of the table of contents; what a cell
    tagged `title-page` shows stands in the title block too. Code is folded away at the end of its section. HTML inside
    Markdown is shown as text, not obeyed, since it may come from an image; scripts in outputs do not run and nothing is loaded
    from any address, as the page's content security policy forbids both.
    """
    script = '"use strict";\n' + template_text("sort.js") + template_text("report.js")
    return render(
        "report.html.j2",
        Content(notebook, folder),
        page,
        style=Markup(template_text("report.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def render(
    template: str,
    content: Content,
    page: Page,
    *,
    lay_out: Callable[[Markup, str], Markup] | None = None,
    **values: object,
) -> str:
    """Return a template of the report filled with a notebook's content and with what the page says beside it.

    `lay_out`: what is done to the HTML of each part, such as a table, given the part's kind.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["laid_out"] = lay_out or (lambda table, _: table)
    return environment.get_template(template).render(
        title=content.title or page.notebook or "Report",
        title_page=content.title_page,
        lead=content.sections[0],
        sections=content.sections[1:],
        annexes=[_annex(number, annex) for number, annex in enumerate(page.annexes)],
        page=page,
        version=provenance.version(),
        **values,
    )


def template_text(name: str) -> str:
    """Return a file of the report's templates: a style or a script."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _annex(number: int, annex: Annex) -> Mapping[str, object]:
    letter = chr(ord("A") + number)
    return {
        "letter": letter,
        "anchor": f"annex-{letter.lower()}",
        "title": annex.title,
        "text": annex.text,
        "kind": table_kind(annex.table.html),
        "table": Markup(scrolling(annex.table.html, annex.title)),  # noqa: S704 - escaped by `show`; the title is ours
    }
