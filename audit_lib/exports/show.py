"""How a table, or a sentence with numbers in it, is shown in a notebook and hence in a report."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from audit_lib.units import format_bytes, format_count, format_share

_Kind = Literal["bytes", "count", "share", "number", "flag", "word", "digest", "measure", "text"]

_TEMPLATES = Path(__file__).with_name("templates")
_WORD_COLUMNS = frozenset({"status", "change", "severity"})
_ROLES = ("full", "minimal")
# A change says on which side there is nothing, so that nothing is not taken for unknown.
_ABSENT_SIDE = {"removed": "minimal", "added": "full"}
_NUMBERS = frozenset({"bytes", "count", "share", "number"})
_UNITS: dict[str, _Kind] = {"bytes": "bytes", "count": "count", "share": "share"}
_WORDS = {
    **{word: word.upper() for word in ("cmd", "cvss", "epss", "gid", "id", "os", "uid", "utc")},
    "purl": "package URL",
}
_DIGEST = re.compile(r"(sha\d+):([0-9a-f]{12})[0-9a-f]{20,}")
_SHORT_TEXT = 24
_LONG_TEXT = 160


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """Something to be displayed: as HTML where there is a page, as plain text where there is none."""

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html + sorting()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return {"text/plain": self.text, "text/html": self._repr_html_()}


@dataclass(frozen=True, slots=True, repr=False)
class Note:
    """Markdown made by code, to be displayed."""

    markdown: str

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


@cache
def sorting() -> str:
    """Return what makes the heads of shown tables buttons in a notebook, where there is no page that does it; see `sort.js`."""
    lines = (_TEMPLATES / "sort.js").read_text(encoding="utf-8").splitlines()
    code = "\n".join(line.strip() for line in lines if not line.strip().startswith("//"))
    return (_TEMPLATES / "sorting.html").read_text(encoding="utf-8").rstrip("\n").replace("// makeSortable", code)


def show(table: pd.DataFrame, /, *, rows: int | None = 20, caption: str | None = None, is_known: bool = True) -> Shown:
    """Return the first `rows` rows (None: all) as they should be read; put it last in a notebook's cell.

    Bytes are shown in binary units and shares in percent, by the column's name; in a table with a `unit`
    column (a summary), by each row's unit. A missing number reads "unknown", a missing text "—"; where a `change`
    or a `status` says that there is nothing, a missing value reads "—" as well. The raw value stays beside each
    number (`data-sort`), and in Jupyter each head is a button that sorts by it. Rows left out are counted in a last line. A
    table without rows says "no rows", or "unknown" where nothing is known of what it is about (`is_known`).

    >>> show(pd.DataFrame({"name": ["curl", None], "file_bytes": pd.array([2048, None], dtype="Int64")}))
    Name  File bytes
    curl     2.0 KiB
    —        unknown
    """
    shown = table if rows is None else table.head(rows)
    columns = _columns(shown)
    left_out = len(table) - len(shown)
    last = f"… {left_out:,} more {'row' if left_out == 1 else 'rows'}" if left_out else ""
    if table.empty:
        last = "no rows" if is_known else "unknown"
    return Shown(_as_html(columns, len(shown), caption, last), _as_text(columns, len(shown), caption, last))


def show_facts(table: pd.DataFrame, /, *, by: str, caption: str | None = None) -> Shown:
    """Return a table of few rows and many columns with the columns as lines; put it last in a notebook's cell.

    Each row becomes a column, headed by its value of the column `by`; each other column becomes a line. Values
    are shown as `show` shows them. Raises `KeyError` where there is no column `by`.

    >>> show_facts(pd.DataFrame({"role": ["full", "minimal"], "os": ["linux", None], "file_bytes": [2048, 0]}), by="role")
    Fact        full     minimal
    OS          linux    —
    File bytes  2.0 KiB  0 B
    """
    facts = [column for column in _columns(table) if column.name != by]
    names = _Column("fact", "Fact", is_number=False, cells=[_Cell(column.title, "text") for column in facts])
    sides = [
        _Column(str(value), str(value), is_number=False, cells=[column.cells[row] for column in facts])
        for row, value in enumerate(table[by])
    ]
    columns = [names, *sides]
    return Shown(_as_html(columns, len(facts), caption, ""), _as_text(columns, len(facts), caption, ""))


def note(text: str, /, **values: object) -> Note:
    r"""Return a sentence in Markdown; put it last in a notebook's cell.

    Each `{name}` is replaced by the value of that name, which is text from an image and hence
    escaped, so that a package called `*x*` or `<script>` reads as that.

    >>> note("**{count}** packages, the largest is {name}.", count=3, name="lib_*")
    **3** packages, the largest is lib\_\*.
    """
    escaped = {name: _escape_markdown(str(value)) for name, value in values.items()}
    return Note(text.format(**escaped) if values else text)


def listed(sentences: Iterable[str], /, *, none: str) -> Note:
    r"""Return sentences as a list in Markdown, escaped; `none` is said where there are none. Put it last in a cell.

    >>> listed(["one *thing*", "another"], none="Nothing."), listed([], none="Nothing.")
    (- one \*thing\*
    - another, Nothing.)
    """
    return Note("\n".join(f"- {_escape_markdown(sentence)}" for sentence in sentences) or none)


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    style: str
    sort: str | None = None
    full: str | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    title: str
    is_number: bool
    cells: Sequence[_Cell]


def _columns(table: pd.DataFrame) -> list[_Column]:
    units = _row_units(table)
    changes = _words(table, "change")
    statuses = _words(table, "status")
    columns = []
    for name in map(str, table.columns):
        if units is not None and name == "unit":
            continue
        values = table[name]
        kind = _kind(name, values)
        absent = [
            status == "absent" or name.endswith(f"_{_ABSENT_SIDE.get(change)}")
            for change, status in zip(changes, statuses, strict=True)
        ]
        kinds = units if units is not None and kind == "number" else [kind] * len(table)
        cells = [
            _cell(None if is_missing else value, kind_here, is_absent=is_absent, is_delta="delta" in name)
            for value, is_missing, kind_here, is_absent in zip(
                values.tolist(), values.isna().tolist(), kinds, absent, strict=True
            )
        ]
        columns.append(_Column(name, _title(name), kind in _NUMBERS, cells))
    return columns


def _words(table: pd.DataFrame, name: str) -> list[str]:
    return table[name].map(str).tolist() if name in table.columns else [""] * len(table)


def _row_units(table: pd.DataFrame) -> list[_Kind] | None:
    if "unit" not in table.columns or not table["unit"].isin(list(_UNITS)).all():
        return None
    return [_UNITS[unit] for unit in table["unit"]]


def _kind(name: str, values: pd.Series) -> _Kind:
    if pd.api.types.is_bool_dtype(values.dtype):
        return "flag"
    words = name.split("_")
    if pd.api.types.is_numeric_dtype(values.dtype):
        return next((_UNITS[word] for word in words if word in _UNITS), "number")
    if words[-1] == "digest" or name == "diff_id":
        return "digest"
    if name == "measure":
        return "measure"
    return "word" if name in _WORD_COLUMNS else "text"


def _cell(value: Any, kind: _Kind, *, is_absent: bool, is_delta: bool) -> _Cell:
    if value is None and is_absent:
        return _Cell("—", "absent number" if kind in _NUMBERS else "absent", sort="")
    if value is None:
        is_text = kind in {"text", "word", "digest", "measure"}
        return _Cell("—", "not-stated", sort="") if is_text else _Cell("unknown", "unknown", sort="")
    if kind in _NUMBERS:
        sign = "+" if is_delta and value > 0 else ""
        return _Cell(sign + _FORMATS[kind](value), "number", sort=repr(value))
    if kind == "flag":
        return _Cell("yes" if value else "no", "flag")
    text = _title(str(value)) if kind == "measure" else str(value)
    if kind == "digest" and (match := _DIGEST.fullmatch(text)):
        return _Cell(f"{match[1]}:{match[2]}…", "digest", full=text)
    return _Cell(text, "text" if kind == "measure" else kind)


def _fraction(value: float) -> str:
    """Return what is no whole number: a mean, a slope."""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


_FORMATS: dict[_Kind, Callable[[Any], str]] = {
    "bytes": lambda value: format_bytes(round(value)),
    "count": lambda value: format_count(int(value)) if value == int(value) else _fraction(value),
    "share": format_share,
    "number": _number,
}


def _title(name: str) -> str:
    words = name.split("_")
    if words[0] in {"is", "has"} and len(words) > 1:
        words = words[1:]
    role = f", {words.pop()}" if len(words) > 1 and words[-1] in _ROLES else ""
    text = " ".join(_WORDS.get(word, word) for word in words) + role
    return text[:1].upper() + text[1:]


def _as_html(columns: Sequence[_Column], count: int, caption: str | None, last: str) -> str:
    heads = (
        f'<th scope="col" class="{"number" if column.is_number else "text"}" title="{_escape(column.name)}">'
        f"{_escape(column.title)}</th>"
        for column in columns
    )
    lines = ['<table class="audit-table">']
    if caption is not None:
        lines.append(f"<caption>{_escape(caption)}</caption>")
    lines += ["<thead>", f"<tr>{''.join(heads)}</tr>", "</thead>", "<tbody>"]
    lines += [f"<tr>{''.join(_html_cell(column.cells[row]) for column in columns)}</tr>" for row in range(count)]
    lines.append("</tbody>")
    if last:
        lines += ["<tfoot>", f'<tr><td colspan="{max(1, len(columns))}">{last}</td></tr>', "</tfoot>"]
    return "\n".join([*lines, "</table>"])


def _html_cell(cell: _Cell) -> str:
    content = _escape(cell.text)
    label = ""
    if cell.style == "word":
        content = f'<span class="badge badge-{_escape(re.sub(r"[^a-z0-9]+", "-", cell.text.lower()))}">{content}</span>'
    elif cell.style == "digest":
        content = f'<code title="{_escape(cell.full or cell.text)}">{content}</code>'
    elif cell.style.startswith("absent"):
        label = ' aria-label="not there"'
    elif cell.style == "not-stated":
        label = ' aria-label="not stated"'
    elif len(cell.text) > _LONG_TEXT:
        content = f"<details><summary>{_escape(cell.text[: _LONG_TEXT // 2])}…</summary>{content}</details>"
    sort = f' data-sort="{_escape(cell.sort)}"' if cell.sort is not None else ""
    style = "text short" if cell.style == "text" and len(cell.text) <= _SHORT_TEXT else cell.style
    return f'<td class="{style}"{sort}{label}>{content}</td>'


def _as_text(columns: Sequence[_Column], count: int, caption: str | None, last: str) -> str:
    lines = [caption] if caption is not None else []
    grid = []
    for column in columns:
        texts = [column.title, *(" ".join(cell.text.split()) for cell in column.cells)]
        width = max(map(len, texts))
        grid.append([text.rjust(width) if column.is_number else text.ljust(width) for text in texts])
    lines += ["  ".join(texts[row] for texts in grid).rstrip() for row in range(count + 1)]
    return "\n".join([*lines, last] if last else lines)


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|$~&]|^[-+](?= ))", r"\\\1", " ".join(text.split()))
