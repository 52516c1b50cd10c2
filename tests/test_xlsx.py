"""report.xlsx: what a cell may hold, and that LibreOffice reads the tables out of it as they were put in."""

from __future__ import annotations

import csv
import subprocess
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from audit_lib.errors import TableError
from audit_lib.exports import xlsx
from audit_lib.exports.tables import read_tables, write_tables
from audit_lib.exports.xlsx import Part, write_workbook
from audit_lib.reports import run_report
from tests.tools import tool

PARTS = [Part(heading="What was examined", rows=[("reference", "sample:full")])]
# Fields by commas, text in quotes, UTF-8, cells as they are and not as they are shown, each sheet a file.
TO_CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,true,false,false,false,false,-1"


def written(path: Path, **tables: pd.DataFrame) -> Path:
    write_workbook(path / "book.xlsx", tables, title="A title", parts=PARTS, made_utc="2025-01-01T00:00:00Z")
    return path / "book.xlsx"


def text(*values: str | None) -> pd.DataFrame:
    return pd.DataFrame({"name": pd.array(values, dtype="string")})


def cells(book: Path, sheet: str) -> list[list[object]]:
    return [[cell.value for cell in row] for row in openpyxl.load_workbook(book)[sheet].iter_rows()]


def cover(book: Path) -> str:
    return "\n".join(" | ".join(str(value) for value in row if value is not None) for row in cells(book, "Cover"))


def as_libreoffice_reads_it(book: Path, folder: Path) -> dict[str, list[list[str]]]:
    """Return the sheets of a workbook as LibreOffice converts them to CSV, by name."""
    command = [
        tool("soffice", "libreoffice-calc"),
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        "--convert-to",
        TO_CSV,
    ]
    subprocess.run([*command, "--outdir", folder / "csv", book], check=True, capture_output=True, timeout=120)
    found = {}
    for path in (folder / "csv").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem.removeprefix(f"{book.stem}-")] = list(csv.reader(file))
    return found


def same_number(shown: str, value: object) -> bool:
    # LibreOffice writes a share as percent, in full.
    number = float(shown[:-1]) / 100 if shown.endswith("%") else float(shown)
    return number == pytest.approx(value, rel=1e-14)


def differences(sheet: list[list[str]], table: pd.DataFrame) -> list[tuple[object, ...]]:
    """Return each cell of a sheet, as CSV, that is not the table's value."""
    assert sheet[0] == list(table.columns)
    assert len(sheet) == len(table) + 1
    found = []
    columns = list(zip(*sheet[1:], strict=True)) if len(table) else [()] * len(table.columns)
    for name, column in zip(table.columns, columns, strict=True):
        for row, (shown, value) in enumerate(zip(column, table[name].tolist(), strict=True)):
            if pd.isna(value):
                same = shown == ""
            elif isinstance(value, bool):
                same = shown in {str(value).upper(), str(int(value))}
            elif isinstance(value, int | float):
                same = same_number(shown, value)
            else:
                same = shown == value
            if not same:
                found.append((name, row, shown, value))
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xlsx") / "report"
    images = {"full_image": "sample:full", "minimal_image": "sample:minimal"}
    return run_report("compare_images", folder, images, formats=["xlsx", "parquet"], progress=False).folder


def test_every_sheet_is_its_table_as_libreoffice_reads_it(report, tmp_path):
    tables = read_tables(report)
    sheets = as_libreoffice_reads_it(report / "report.xlsx", tmp_path)
    assert sorted(sheets) == sorted(["Cover", *tables])
    assert len(tables) >= 12
    assert {name: found for name, table in tables.items() if (found := differences(sheets[name], table))} == {}
    assert len(sheets["packages_full"]) == 144


def test_odd_text_arrives_as_it_was(tmp_path):
    odd = [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\tx",
        "=cmd|' /C calc'!A0",
        "007",
        "1e5",
        "2025-01-31",
        " a ",
        "a\nb",
        'a"b,c;d',
        "Größe 🐍",
    ]
    odd += ["_x0041_", "<b>&amp;", "TRUE", "http://example.org/", "'quoted"]
    book = written(tmp_path, odd=text(*odd, None))
    found = [row[0] if row else "" for row in as_libreoffice_reads_it(book, tmp_path)["odd"][1:]]
    assert found[: len(odd)] == odd


def test_no_cell_is_a_formula_and_what_looks_like_one_stays_text_when_it_is_edited(tmp_path):
    book = written(tmp_path, odd=text("=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "plain"))
    assert b"<f>" not in b"".join(zipfile.ZipFile(book).read(name) for name in zipfile.ZipFile(book).namelist())
    page = openpyxl.load_workbook(book)["odd"]
    assert {page.cell(row, 1).data_type for row in range(2, 9)} == {"s"}
    assert [page.cell(row, 1).quotePrefix for row in range(2, 9)] == [True] * 6 + [False]


def test_missing_is_an_empty_cell_and_zero_is_not(tmp_path):
    table = pd.DataFrame(
        {
            "path": pd.array(["/a", "/b"], dtype="string"),
            "file_bytes": pd.array([0, None], dtype="Int64"),
            "unowned_share": pd.array([0.0, None], dtype="Float64"),
            "is_static": pd.array([False, None], dtype="boolean"),
        }
    )
    assert cells(written(tmp_path, files=table), "files")[1:] == [["/a", 0, 0, False], ["/b", None, None, None]]


def test_numbers_have_their_unit_and_head_and_filter_stay(tmp_path):
    table = pd.DataFrame(
        {
            "measure": pd.array(["a", "b", "c"], dtype="string"),
            "unit": pd.array(["bytes", "count", "share"], dtype="string"),
            "full": pd.array([1024.0, 3.0, 0.5], dtype="Float64"),
        }
    )
    sizes = pd.DataFrame({"file_bytes": pd.array([1], dtype="Int64"), "layer": pd.array([1], dtype="Int64")})
    book = openpyxl.load_workbook(written(tmp_path, summary=table, sizes=sizes))
    assert [book["summary"].cell(row, 3).number_format for row in (2, 3, 4)] == ['#,##0" B"', "#,##0", "0.0%"]
    assert [book["sizes"].cell(2, column).number_format for column in (1, 2)] == ['#,##0" B"', "General"]
    assert (book["sizes"].freeze_panes, book["sizes"].auto_filter.ref) == ("A2", "A1:B2")
    assert (book["sizes"].print_title_rows, book.sheetnames) == ("$1:$1", ["Cover", "summary", "sizes"])


def test_numbers_that_a_double_cannot_hold_are_text_and_said(tmp_path):
    values = [2**53, 2**53 + 1, -(2**63), 2**63 - 1]
    book = written(tmp_path, sizes=pd.DataFrame({"file_bytes": pd.array(values, dtype="Int64")}))
    found = ["9007199254740993", "-9223372036854775808", "9223372036854775807"]
    assert cells(book, "sizes")[1:] == [[2**53], *([one] for one in found)]
    assert "file_bytes: 3 numbers are text, for a spreadsheet's numbers would round them" in cover(book)


def test_numbers_that_are_none_are_text(tmp_path):
    table = pd.DataFrame({"score": pd.array([float("inf"), float("-inf")], dtype="Float64")})
    assert cells(written(tmp_path, scores=table), "scores")[1:] == [["inf"], ["-inf"]]


def test_text_longer_than_a_cell_is_cut_and_said(tmp_path):
    book = written(tmp_path, long=text("a" * 32767, "b" * 32768, "🐍" * 20000))
    whole, cut, wide = (row[0] for row in cells(book, "long")[1:])
    assert whole == "a" * 32767
    assert (len(cut), cut[-28:]) == (32767, "b… [cut; 32,768 characters]"[-28:].rjust(28, "b"))
    assert wide.endswith("🐍… [cut; 20,000 characters]")
    assert len(wide.encode("utf-16-le")) <= 2 * 32767
    assert "name: 2 texts are longer than a cell holds, and cut; the CSV has them whole" in cover(book)


def test_an_empty_text_is_said_for_its_cell_looks_like_not_stated(tmp_path):
    book = written(tmp_path, texts=text("", None))
    assert "name: 1 texts are empty and look like not stated; the CSV can tell" in cover(book)


def test_control_characters_do_not_break_the_workbook(tmp_path):
    odd = "".join(map(chr, range(1, 32))) + "\x7f\ufffe\uffff"
    book = written(tmp_path, odd=text(odd, "\x00"))
    assert openpyxl.utils.escape.unescape(cells(book, "odd")[1][0]).replace("\r", "") == odd.replace("\r", "")
    assert len(as_libreoffice_reads_it(book, tmp_path)["odd"]) >= 3


def test_more_rows_than_a_sheet_holds_go_on_in_a_further_one(tmp_path, monkeypatch):
    monkeypatch.setattr(xlsx, "MAX_ROWS", 4)
    book = written(tmp_path, numbers=pd.DataFrame({"n": pd.array(range(7), dtype="Int64")}))
    assert openpyxl.load_workbook(book).sheetnames == ["Cover", "numbers", "numbers~2", "numbers~3"]
    assert [cells(book, f"numbers{end}")[1:] for end in ("", "~2", "~3")] == [[[0], [1], [2]], [[3], [4], [5]], [[6]]]
    assert "numbers~3 | 1 | part 3 of 3: a sheet holds 3 rows" in cover(book)
    book = written(tmp_path, numbers=pd.DataFrame({"n": pd.array(range(3), dtype="Int64")}))
    assert openpyxl.load_workbook(book).sheetnames == ["Cover", "numbers"]


def test_names_of_sheets_are_short_and_unique_whatever_their_case(tmp_path):
    names = ["a" * 40, "A" * 31, "a" * 31 + "b", "cover", "history", "x:y/z"]
    book = openpyxl.load_workbook(written(tmp_path, **{name: text("1") for name in names}))
    expected = ["Cover", "a" * 31, "A" * 29 + "~2", "a" * 29 + "~3", "cover~2", "history~2", "x_y_z"]
    assert book.sheetnames == expected


def test_a_table_without_rows_has_its_head_and_one_that_is_too_wide_is_refused(tmp_path):
    book = written(tmp_path, none=text())
    assert cells(book, "none") == [["name"]]
    assert "none | 0 | no rows: there is none, or nothing is known of it; the report tells which" in cover(book)
    with pytest.raises(TableError, match="wide: expected at most 16384 columns in a sheet, found 16385"):
        written(tmp_path, wide=pd.DataFrame([[1] * 16385], columns=[str(number) for number in range(16385)]))


def test_the_same_tables_give_the_same_bytes(tmp_path, monkeypatch):
    contents = []
    for zone in ("UTC", "Asia/Kolkata"):
        monkeypatch.setenv("TZ", zone)
        (tmp_path / zone[:3]).mkdir()
        contents.append(written(tmp_path / zone[:3], one=text("a")).read_bytes())
    assert contents[0] == contents[1]


def test_the_cover_says_what_was_examined_with_what_and_how_to_read_it(report):
    said = cover(report / "report.xlsx")
    assert said.startswith("What does the minimal image gain over the full one?\n")
    assert "reference | sample:full | sample:minimal" in said
    config = "config digest | sha256:ae140dbecc6057b95a23f44797e9b67b109a380ac361d290c18c456b881f4a6a | sha256:2a503366"
    assert config in said
    assert "An empty cell | Not stated, or not known. It is never zero" in said
    assert "xlsxwriter " in said
    assert "packages_full | 143" in said


def test_tables_keep_their_types_on_the_way_to_a_workbook(tmp_path):
    table = pd.DataFrame(
        {
            "name": pd.array(["1", "", None], dtype="string"),
            "n": pd.array([1, None, None], dtype="Int64"),
            "all_missing_bytes": pd.array([None, None, None], dtype="Int64"),
            "is_x": pd.array([True, None, False], dtype="boolean"),
        }
    )
    write_tables(tmp_path, one=table)
    pd.testing.assert_frame_equal(read_tables(tmp_path)["one"], table)
    (tmp_path / "tables" / "one.parquet").unlink()
    found = read_tables(tmp_path)["one"]
    assert found["name"].tolist()[:2] == ["1", ""]
    assert found["n"].tolist()[0] == "1"
    assert found.isna().to_numpy().tolist() == table.isna().to_numpy().tolist()
