"""report.xlsx: tables as sheets of a workbook, text that stays text, empty cells for what is not stated.

Limits are those of Excel 2007 and later ("Excel specifications and limits"): rows and columns of a sheet, UTF-16 units of a cell,
characters of a sheet's name; numbers are IEEE doubles.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from audit_lib.errors import TableError
from audit_lib.units import format_count

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
MAX_UNITS = 32_767
MAX_NAME = 31
# The largest whole number up to which a double holds every one.
MAX_EXACT = 2**53
COVER = "Cover"
_MEASURED_ROWS = 500
_MIN_WIDTH, _MAX_WIDTH = 8, 60
# A digest has 71 characters.
_COVER_WIDTH = 76
_LINE_HEIGHT = 15
_FORMATS = {"bytes": '#,##0" B"', "count": "#,##0", "share": "0.0%"}
# What a spreadsheet would take for a formula, were it typed in.
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")
_NOT_IN_NAMES = str.maketrans("[]:*?/\\'", "________")
_LEGEND = (
    ("An empty cell", 'Not stated, or not known. It is never zero, and never "none".'),
    ("… B", "Bytes. Counts have thousands separated, shares are percent (0 to 100 %)."),
    ("TRUE, FALSE", "Yes and no; an empty cell is neither."),
    ("Text", "Stays text, whatever it begins with: no cell of this workbook holds a formula."),
    ("Names of columns", "Those of tables/NAME.csv; the project's audit_lib/docs/tables.md says what each means."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the cover: its heading, and rows of texts, of which the first is a label."""

    heading: str
    rows: Sequence[Sequence[str]]


@dataclass(slots=True)
class _Sheet:
    """A sheet: its name, its rows, and what could not be put into cells as it is."""

    name: str
    table: str
    rows: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def write_workbook(
    path: Path, tables: Mapping[str, pd.DataFrame], *, title: str, parts: Sequence[Part], made_utc: str
) -> None:
    """Write tables as a workbook: a cover with `title` and `parts`, the legend and the list of sheets, then a sheet a table.

    Same tables, same bytes. What a cell cannot hold is said on the cover: a whole number beyond 2**53 is
    text, longer text is cut and ends in how long it was, more rows go on in further sheets. Raises `TableError` for a table with
    more columns than a sheet has.
    """
    sheets = list(_sheets(tables))
    properties = {"title": title, "created": dt.datetime.fromisoformat(made_utc).replace(tzinfo=None)}
    options = {"constant_memory": True, "tmpdir": str(path.parent)}
    with xlsxwriter.Workbook(str(path), options) as book:
        book.set_properties(properties)
        styles = _Styles(book)
        cover = book.add_worksheet(COVER)
        for sheet in sheets:
            _write_sheet(book.add_worksheet(sheet.name), sheet, styles)
        _write_cover(cover, title, [*parts, Part(heading="How to read it", rows=_LEGEND)], sheets, styles)


class _Styles:
    """The formats of a workbook's cells: each combination is made once."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self._book = book
        self._made: dict[tuple[tuple[str, Any], ...], Format] = {}
        self.head = self.of(bold=True, bg_color="#DCE6F1", bottom=1, valign="top")
        self.number_head = self.of(bold=True, bg_color="#DCE6F1", bottom=1, valign="top", align="right")
        self.title = self.of(bold=True, font_size=16)
        self.heading = self.of(bold=True, font_size=12, bottom=1)
        self.label = self.of(bold=True, valign="top")
        self.said = self.of(text_wrap=True, valign="top")
        self.link = self.of(font_color="#0B5394", underline=1)
        # Typed over or edited in place, such text would become a formula; the prefix keeps it text then too.
        self.quoted = self.of(quote_prefix=True)
        self.long = self.of(align="right")

    def of(self, **properties: Any) -> Format:
        key = tuple(sorted(properties.items()))
        if key not in self._made:
            self._made[key] = self._book.add_format(properties)
        return self._made[key]

    def number(self, unit: str | None) -> Format | None:
        return self.of(num_format=_FORMATS[unit]) if unit in _FORMATS else None


def _sheets(tables: Mapping[str, pd.DataFrame]) -> Iterator[_Sheet]:
    """Yield the sheets of the tables; one table's rows go on in a further sheet where one is full."""
    taken = {COVER.lower(), "history"}  # Excel keeps the latter for itself
    for table, rows in tables.items():
        if len(rows.columns) > MAX_COLUMNS:
            raise TableError(f"{table}: expected at most {MAX_COLUMNS} columns in a sheet, found {len(rows.columns)}")
        room = MAX_ROWS - 1
        count = max(1, math.ceil(len(rows) / room))
        for number in range(count):
            sheet = _Sheet(_free_name(table, taken), table, rows.iloc[number * room : (number + 1) * room])
            if not len(rows):
                sheet.notes.append("no rows: there is none, or nothing is known of it; the report tells which")
            if count > 1:
                sheet.notes.append(f"part {number + 1} of {count}: a sheet holds {format_count(room)} rows")
            yield sheet


def _free_name(table: str, taken: set[str]) -> str:
    """Return a name that a sheet can have and none has, whatever its case, and add it to those taken."""
    plain = table.translate(_NOT_IN_NAMES) or "table"
    name, number = plain[:MAX_NAME], 1
    while name.lower() in taken:
        number += 1
        ending = f"~{number}"
        name = plain[: MAX_NAME - len(ending)] + ending
    taken.add(name.lower())
    return name


def _write_sheet(page: Worksheet, sheet: _Sheet, styles: _Styles) -> None:
    rows = sheet.rows
    columns = [_Column(str(name), rows[name], _row_units(rows)) for name in rows.columns]
    for position, column in enumerate(columns):
        page.set_column(position, position, column.width)
        page.write_string(
            0, position, _fitting(column.name)[0], styles.number_head if column.is_number else styles.head
        )
    for row in range(len(rows)):
        for position, column in enumerate(columns):
            _write_cell(page, row + 1, position, column, styles)
    sheet.notes += [note for column in columns for note in column.notes()]
    page.freeze_panes(1, 0)
    if columns:
        page.autofilter(0, 0, len(rows), len(columns) - 1)
    page.set_landscape()
    page.set_paper(9)  # A4
    page.fit_to_pages(1, 0)
    page.repeat_rows(0)
    page.set_footer("&L&A&RPage &P of &N")


class _Column:
    """A column's values, None where they are missing, and how many a cell could not hold as they are."""

    def __init__(self, name: str, values: pd.Series, units: Sequence[str] | None) -> None:
        self.name = name
        self.cells = [
            None if missing else value for value, missing in zip(values.tolist(), values.isna().tolist(), strict=True)
        ]
        self.is_number = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
        own = next((word for word in name.split("_") if word in _FORMATS), None)
        self.units: Sequence[str | None] = [own] * len(self.cells) if units is None else units
        self.cut_count = 0
        self.long_count = 0
        self.empty_count = sum(value == "" for value in self.cells)

    @property
    def width(self) -> int:
        shown = [len(str(value)) for value in self.cells[:_MEASURED_ROWS] if value is not None]
        # Room for the button of the filter behind the name; for separators and the unit behind a number.
        return min(_MAX_WIDTH, max(_MIN_WIDTH, len(self.name) + 3, max(shown, default=0) + 4))

    def notes(self) -> Iterator[str]:
        if self.cut_count:
            yield f"{self.name}: {format_count(self.cut_count)} texts are longer than a cell holds, and cut; the CSV has them whole"
        if self.empty_count:
            yield f"{self.name}: {format_count(self.empty_count)} texts are empty and look like not stated; the CSV can tell"
        if self.long_count:
            yield f"{self.name}: {format_count(self.long_count)} numbers are text, for a spreadsheet's numbers would round them"


def _row_units(rows: pd.DataFrame) -> list[str] | None:
    """Return the unit of each row, where the table has a column that says it."""
    if "unit" not in rows.columns or not rows["unit"].isin(list(_FORMATS)).all():
        return None
    return [str(unit) for unit in rows["unit"]]


def _write_cell(page: Worksheet, row: int, position: int, column: _Column, styles: _Styles) -> None:
    value = column.cells[row - 1]
    if value is None:
        return
    if isinstance(value, bool):
        page.write_boolean(row, position, value)
    elif isinstance(value, int) and abs(value) > MAX_EXACT:
        column.long_count += 1
        page.write_string(row, position, str(value), styles.long)
    elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        page.write_number(row, position, value, styles.number(column.units[row - 1]))
    else:
        text, is_cut = _fitting(value.isoformat() if isinstance(value, dt.datetime) else str(value))
        column.cut_count += is_cut
        page.write_string(row, position, text, styles.quoted if text.startswith(_FORMULA_BEGINS) else None)


def _fitting(text: str) -> tuple[str, bool]:
    """Return text as a cell can hold it, and whether it had to be cut; a character beyond U+FFFF takes two of a cell's units."""
    if len(text) * 2 <= MAX_UNITS or len(text.encode("utf-16-le", "surrogatepass")) <= 2 * MAX_UNITS:
        return text, False
    ending = f"… [cut; {format_count(len(text))} characters]"
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * (MAX_UNITS - len(ending))]
    return kept.decode("utf-16-le", "ignore") + ending, True


def _write_cover(page: Worksheet, title: str, parts: Sequence[Part], sheets: Sequence[_Sheet], styles: _Styles) -> None:
    page.set_column(0, 0, 24)
    page.set_column(
        1, max(2, *(len(texts) - 1 for part in parts for texts in part.rows)), 76
    )  # a digest has 71 characters
    page.hide_gridlines(2)
    page.set_landscape()
    page.set_paper(9)
    page.fit_to_pages(1, 0)
    page.write_string(0, 0, title, styles.title)
    row = 2
    for part in parts:
        page.write_string(row, 0, part.heading, styles.heading)
        for line, texts in enumerate(part.rows, start=1):
            page.set_row(row + line, _LINE_HEIGHT * max(1, *(math.ceil(len(text) / _COVER_WIDTH) for text in texts)))
            for position, text in enumerate(texts):
                page.write_string(row + line, position, _fitting(text)[0], styles.said if position else styles.label)
        row += len(part.rows) + 2
    page.write_string(row, 0, "Sheets", styles.heading)
    for position, text in enumerate(("sheet", "rows", "note")):
        page.write_string(row + 1, position, text, styles.head)
    for line, sheet in enumerate(sheets, start=row + 2):
        page.write_url(line, 0, f"internal:'{sheet.name}'!A1", styles.link, sheet.name)
        page.write_number(line, 1, len(sheet.rows), styles.of(num_format="#,##0", align="left"))
        if sheet.notes:
            page.write_string(line, 2, _fitting("; ".join(sheet.notes))[0], styles.said)
