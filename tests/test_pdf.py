"""The report on paper: what Poppler's programs read out of the PDF."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from audit_lib.exports.annexes import Annex
from audit_lib.exports.html import Page
from audit_lib.exports.pdf import pdf_of
from audit_lib.exports.pictures import with_palette
from audit_lib.exports.show import show
from audit_lib.exports.widths import with_widths
from tests.test_pictures import png
from tests.tools import tool

PACKAGES = pd.DataFrame(
    {
        "format": ["deb"] * 650,
        "name": [f"library-{number}-of-many" for number in range(650)],
        "version": [f"1:{number}.2-3+deb12u{number % 9}" for number in range(650)],
        "licenses": ["GPL-2.0-or-later AND LGPL-2.1-or-later AND BSD-3-Clause" if n % 3 else None for n in range(650)],
        "file_bytes": pd.array([number * 4096 if number % 7 else None for number in range(650)], dtype="Int64"),
    }
)
ATTACHED = {
    "packages.csv": b'"name"\r\n"a"\r\n',
    "full.cdx.json": b'{"bomFormat": "CycloneDX"}\n',
    "report.xlsx": bytes(range(256)) * 9,
    "report.sarif": b"{}",
    "notes \xe4(1).bin": b"",
}
# Written twice, with everything around it different.
SCRIPT = """
import sys
from pathlib import Path
from tests.test_pdf import write
write(Path(sys.argv[1]), rows=30)
"""


def displayed(value):
    return new_output("display_data", data=value._repr_mimebundle_())


def page(rows=650, **more):
    annex = Annex(title="All packages", text="Every package.", table=show(PACKAGES.head(rows), rows=None))
    made = {"started_utc": "2025-02-01T10:20:30Z", "python": "3.11", "libraries": {"pandas": "3.1"}}
    image = {"image": "full", "reference": "docker:app:1", "manifest_digest": "sha256:" + "0f" * 32}
    stated = {
        "images": [image],
        "annexes": [annex],
        "made": made,
        "facts": [("Policy", "default")],
        "notebook": "sizes",
    }
    return Page(**(stated | more))


CHART = base64.b64encode(with_palette(png())).decode()
PICTURE = new_output("display_data", data={"image/png": CHART}, metadata={"image/png": {"width": 300, "height": 150}})
NOTEBOOK = new_notebook(
    cells=[
        new_markdown_cell("# What is gained?\n\nThis counts."),
        new_code_cell(
            "x",
            outputs=[new_output("display_data", data={"text/markdown": "Half as large."})],
            metadata={"tags": ["title-page"]},
        ),
        new_markdown_cell(
            "## Where are the bytes?\n\n日本 → ✓ [far](https://example.org/) ![far](https://example.org/a.png)"
        ),
        new_code_cell("y", outputs=[displayed(show(PACKAGES, rows=3)), PICTURE]),
        new_markdown_cell("### Layers\n\n## What does this not show?\n\nNothing was run."),
    ]
)


def attachments(folder):
    for name, content in ATTACHED.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in ATTACHED}


def write(folder, rows):
    document = pdf_of(NOTEBOOK, page(rows), folder=folder, attachments=attachments(folder))
    (folder / "report.pdf").write_bytes(document)


def poppler(program, *words):
    found = tool(program, "poppler-utils")
    return subprocess.run([found, *map(str, words)], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """Write a report with 650 packages, in less than a minute."""
    folder = tmp_path_factory.mktemp("report")
    begun = time.process_time()
    write(folder, rows=650)
    assert time.process_time() - begun < 60
    return folder / "report.pdf"


def test_the_same_report_has_the_same_bytes_wherever_and_whenever_it_is_written(tmp_path):
    written = []
    for name, zone, seed in (("one", "Pacific/Apia", "1"), ("another one", "Asia/Kolkata", "2")):
        folder = tmp_path / name
        folder.mkdir()
        around = {"TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C" if seed == "1" else "C.UTF-8"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder)],
            env=os.environ | around,
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        written.append((folder / "report.pdf").read_bytes())
    assert written[0] == written[1]


def test_it_says_of_itself_that_it_is_pdf_a_3_and_tagged(document):
    told = dict(re.findall(r"^(.+?): +(.*)$", poppler("pdfinfo", document), flags=re.MULTILINE))
    assert (told["Title"], told["Tagged"], told["PDF version"]) == ("What is gained?", "yes", "1.7")
    assert poppler("pdfinfo", "-isodates", document).count("2025-02-01T10:20:30Z") == 2
    assert re.search(r'pdfaid:part="3" pdfaid:conformance="U"', poppler("pdfinfo", "-meta", document))
    assert {"Table", "TR", "TH", "TD", "Figure", "H1", "H2"} <= set(
        re.findall(r"\w+", poppler("pdfinfo", "-struct", document))
    )


def test_every_attachment_comes_out_as_it_went_in(document, tmp_path):
    poppler("pdfdetach", "-saveall", "-o", tmp_path, document)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ATTACHED


def test_an_attachment_says_what_it_is_and_what_it_is_to_the_document(document):
    text = uncompressed(document.read_bytes())
    kinds = re.findall(rb"/Subtype /([\w#.+-]+)", text)
    for kind in (
        b"text#2fcsv",
        b"application#2fvnd.cyclonedx+json",
        b"application#2fsarif+json",
        b"application#2foctet-stream",
    ):
        assert kinds.count(kind) == 1
    assert sorted(re.findall(rb"/AFRelationship /(\w+)", text)) == [b"Data"] * 2 + [b"Supplement"] * 2 + [
        b"Unspecified"
    ]
    (listed,) = re.findall(rb"/AF \[([^\]]*)\]", text)
    assert len(re.findall(rb"\d+ 0 R", listed)) == len(set(re.findall(rb"\d+ 0 R", listed))) == len(ATTACHED)


def test_every_package_stands_in_it_with_its_version(document):
    text = poppler("pdftotext", "-raw", document, "-")
    for name, version in zip(PACKAGES["name"], PACKAGES["version"], strict=True):
        assert f"{name} {version}" in text
    assert text.count("unknown") >= 93


def test_heads_of_a_long_table_and_the_number_of_the_page_stand_on_every_page(document):
    pages = poppler("pdftotext", "-layout", document, "-").split("\f")[:-1]
    rows = [page for page in pages if "library-400-" in page or "library-600-" in page]
    assert len(rows) == 2
    for number, text in enumerate(pages, start=1):
        assert f"{number} of {len(pages)}" in text
        assert "library-" not in text or re.search(r"Format +Name +Version +Licenses +(File )?bytes", text)


def test_the_title_page_names_the_image_and_what_was_found(document):
    first = poppler("pdftotext", "-l", "1", document, "-")
    for said in ("What is gained?", "Half as large.", "docker:app:1", "2025-02-01T10:20:30Z", "Policy"):
        assert said in first
    assert ("sha256:" + "0f" * 32) in "".join(first.split())


def test_sections_and_annexes_are_bookmarks_and_contents_with_their_pages(document):
    text = uncompressed(document.read_bytes())
    titles = [title.decode("utf-16-be") for title in re.findall(rb"/Title \(\xfe\xff((?:[^)\\]|\\.)*)\)", text)]
    plain = [title.decode() for title in re.findall(rb"/Title \(([ -'*-~]+)\)", text)]
    found = titles + plain
    for title in ("1 Where are the bytes?", "Layers", "2 What does this not show?", "A All packages"):
        assert title in found
    contents = poppler("pdftotext", "-layout", "-f", "2", "-l", "2", document, "-")
    pages = poppler("pdftotext", "-layout", document, "-").split("\f")
    for title in ("1 Where are the bytes?", "A All packages"):
        number = int(re.search(rf"{re.escape(title[2:])} +(\d+)$", contents, flags=re.MULTILINE)[1])
        assert re.search(rf"^ *{title[0]} +{re.escape(title[2:])}$", pages[number - 1], flags=re.MULTILINE)


def test_every_font_is_inside(document):
    lines = poppler("pdffonts", document).splitlines()[2:]
    assert lines
    for line in lines:
        assert re.search(r"yes yes yes +\d+ +\d+$", line), line
    assert any("Report-Sans" in line for line in lines)


def test_a_chart_is_stored_by_its_palette_and_not_smoothed_as_pdf_a_demands(document):
    (line,) = poppler("pdfimages", "-list", document).splitlines()[2:]
    page, _, kind, width, height, colours, _, _, _, interpolation, *_ = line.split()
    assert (page, kind, width, height, colours, interpolation) == ("3", "image", "300", "150", "index", "no")


def test_what_is_attached_is_listed_with_its_sha256(document):
    text = "".join(poppler("pdftotext", document, "-").split())
    for content in ATTACHED.values():
        assert hashlib.sha256(content).hexdigest() in text


def test_nothing_is_loaded_from_anywhere(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    outside = (
        f'<table><tr><td><img src="file://{tmp_path}/secret.png"><img src="http://127.0.0.1:9/a.png"></td></tr></table>'
    )
    link = '<link rel="attachment" href="file:///etc/passwd"><a rel="attachment" href="file:///etc/passwd">x</a>'
    notebook = new_notebook(
        cells=[new_code_cell("x", outputs=[new_output("display_data", data={"text/html": outside + link})])]
    )
    (tmp_path / "a.pdf").write_bytes(pdf_of(notebook, page(annexes=[]), folder=tmp_path, attachments={}))
    assert poppler("pdfdetach", "-list", tmp_path / "a.pdf").strip() == "0 embedded files"
    assert len(poppler("pdfimages", "-list", tmp_path / "a.pdf").splitlines()) == 2


def test_a_machine_without_pango_is_told_what_to_install():
    script = """
import cffi
def missing(self, name, flags=0): raise OSError(f"cannot load library '{name}': no such file")
cffi.FFI.dlopen = missing
from audit_lib.errors import AuditError
from audit_lib.exports.pdf import check_pango
try:
    check_pango()
except AuditError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == (
        "PDF: a library that sets text is missing (cannot load library 'libgobject-2.0-0'): "
        "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0\n"
    )


def test_a_column_is_as_wide_as_its_words_and_long_lines_get_the_rest():
    table = pd.DataFrame(
        {"format": ["deb"] * 3, "evidence": ["some words that go on and on, " * 9] * 3, "layer": [1, 2, 3]}
    )
    widths = [
        float(width) for width in re.findall(r'<col style="width: ([0-9.]+)%">', with_widths(show(table).html, "table"))
    ]
    assert sum(widths) == pytest.approx(100, abs=0.1)
    assert widths[0] < 10
    assert widths[1] > 80
    assert with_widths(show(table).html, "table").startswith('<div class="short">')
    assert with_widths(show(PACKAGES).html, "table").startswith("<table")
    many = pd.DataFrame({f"reclaimable_{number}": ["x"] for number in range(11)})
    assert with_widths(show(many).html, "table").startswith('<div class="wide crowded short">')
    assert with_widths("<p>no table</p>", "table") == "<p>no table</p>"
    assert with_widths("<table></table><table></table>", "table") == "<table></table><table></table>"


def uncompressed(document):
    """Return the objects of a PDF as text: those in compressed streams of objects too."""
    streams = re.findall(rb"/Type /ObjStm.*?stream\r?\n(.*?)\r?\nendstream", document, flags=re.DOTALL)
    return document + b"\n".join(zlib.decompress(stream) for stream in streams)
