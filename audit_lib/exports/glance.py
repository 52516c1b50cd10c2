"""How an audit, or a comparison, shows itself in a notebook: its sentences, and its tables folded."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from audit_lib.exports.show import show, sorting

_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """A table by the name under which it is asked for: what it holds, and the chart that draws it.

    `table`: None where it is not made yet. `is_known`: whether anything is known of what it is about. `is_open`: whether it is
    unfolded, with all its rows.
    """

    name: str
    says: str
    table: pd.DataFrame | None
    is_known: bool = True
    chart: str = ""
    is_open: bool = False


def at_a_glance(title: str, sentences: str, gaps: Sequence[str], glimpses: Sequence[Glimpse]) -> str:
    """Return HTML: the sentences, the gaps, and each table as a line that unfolds to its first five rows."""
    return "\n".join(_lines(title, sentences, gaps, glimpses))


def _lines(title: str, sentences: str, gaps: Sequence[str], glimpses: Sequence[Glimpse]) -> Iterator[str]:
    yield f'<section class="audit-glance"><h3>{html.escape(title)}</h3>'
    yield f"<p>{html.escape(sentences)}</p>"
    if gaps:
        yield f"<details><summary>Not known: {len(gaps)}</summary><ul>"
        yield from (f"<li>{html.escape(gap)}</li>" for gap in gaps)
        yield "</ul></details>"
    for glimpse in glimpses:
        yield f"<details{' open' if glimpse.is_open else ''}><summary><code>.{glimpse.name}</code> {_size(glimpse)}</summary>"
        yield f"<p>{html.escape(glimpse.says)}</p>"
        if glimpse.chart:
            yield f"<p>As a chart: <code>{html.escape(glimpse.chart)}</code></p>"
        if glimpse.table is not None:
            yield show(glimpse.table, rows=None if glimpse.is_open else _ROWS, is_known=glimpse.is_known).html
        yield "</details>"
    yield f"</section>{sorting()}"


def _size(glimpse: Glimpse) -> str:
    if not glimpse.is_known:
        return "unknown"
    if glimpse.table is None:
        return "made when it is asked for"
    return f"{len(glimpse.table):,} {'row' if len(glimpse.table) == 1 else 'rows'}"
