"""What is written for readers is true: examples run, every command stands in the README, every column in the dictionary."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from functools import cached_property
from pathlib import Path

import click
import matplotlib as mpl
import pytest
from click.testing import CliRunner
from matplotlib import pyplot as plt

from audit_lib import Comparison, tables
from audit_lib.__main__ import cli
from audit_lib.audit import TABLES
from audit_lib.exports.dictionary import dictionary, read_words
from audit_lib.layer import Limits
from audit_lib.sources import SOURCES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*sorted((ROOT / "audit_lib" / "docs").glob("*.md")), ROOT / "notebooks" / "README.md"]
WRITTEN = "\n".join([README, *(page.read_text() for page in PAGES)])
ROWS = [
    row
    for row in vars(tables).values()
    if isinstance(row, type) and issubclass(row, tables.Row) and row is not tables.Row
]
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", WRITTEN, re.DOTALL) for line in block.splitlines() if line]
RUNNABLE = [
    line for line in dict.fromkeys(SHELL) if line.startswith(("image-audit", "papermill")) and "sample:" in line
]

_CONTEXT = click.Context(cli)
COMMANDS = {name: command for name in cli.list_commands(_CONTEXT) if (command := cli.get_command(_CONTEXT, name))}


def headings(page: Path) -> set[str]:
    """Return the anchors that code hosts give to a page's headings."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line).lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_every_column_of_every_table_has_a_meaning(row):
    words = read_words()
    assert [name for section in words.sections for name in section.rows.values()].count(row.__name__) == 1
    assert all(words.meaning(row, field.name) for field in fields(row))


def test_every_meaning_is_that_of_a_column():
    names = {name for row in ROWS for field in fields(row) for name in (field.name, f"{row.__name__}.{field.name}")}
    assert set(read_words().columns) - names == set()


def test_the_dictionary_has_every_table_of_an_audit_and_of_a_comparison():
    found = {section.heading: section.rows for section in read_words().sections}
    assert found["Tables of an `Audit`"] == {name: row.__name__ for name, row in TABLES.items()}
    made = {name for name, kind in inspect.getmembers(Comparison) if isinstance(kind, cached_property)}
    assert set(found["Tables of a `Comparison`"]) == made - {"images", "databases"}


def test_the_page_of_the_tables_is_what_the_row_classes_say():
    page = (ROOT / "audit_lib" / "docs" / "tables.md").read_text()
    assert page == dictionary(), "run `make dictionary`, and commit audit_lib/docs/tables.md"


def test_a_line_of_the_dictionary_tells_type_missing_unit_values_and_meaning():
    lines = dictionary().splitlines()
    assert (
        lines.count(
            "| **image** | text |  |  | The image by the reference with which it was asked for; a label, not a digest. |"
        )
        > 9
    )
    assert "| status | text |  | `read`, `absent`, `damaged` | What came of it. |" in lines
    assert "| unowned_share | number | yes | 0 to 1 | Of `file_bytes`, what no package claims. |" in lines
    assert "| file_bytes_full | whole number | yes | bytes | What it weighs in the full image. |" in lines


def test_every_page_is_named_in_the_readme():
    assert [page.name for page in PAGES if f"({page.relative_to(ROOT)})" not in README] == []


def test_every_command_source_and_limit_is_written_of():
    assert [name for name in COMMANDS if f"image-audit {name}" not in README] == []
    assert [source.scheme for source in SOURCES if f"`{source.scheme}:" not in README] == []
    assert [field.name for field in fields(Limits) if f"`{field.name}`" not in WRITTEN] == []


@pytest.mark.parametrize("page", ["README.md", *(str(path.relative_to(ROOT)) for path in PAGES)])
def test_every_link_to_a_file_leads_to_it_and_to_a_heading_of_it(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if not link.startswith("https://"):
            path, _, heading = link.partition("#")
            target = ROOT / page if not path else (ROOT / page).parent / path
            assert target.exists(), link
            assert not heading or heading in headings(target), link


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 2
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []


def test_python_examples_run(monkeypatch):
    monkeypatch.setattr(mpl, "get_backend", lambda: "agg")
    plt.switch_backend("agg")
    blocks = re.findall(r"```python\n(.*?)```", WRITTEN, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})  # noqa: S102 - the pages' own lines
    plt.close("all")


@pytest.mark.parametrize("line", RUNNABLE)
def test_commands_on_the_samples_run(line, tmp_path):
    words = shlex.split(line)
    if words[0] == "papermill":
        words[1] = str(ROOT / words[1])
        words = [sys.executable, "-m", "papermill", "--no-progress-bar", *words[1:]]
    else:
        words = [sys.executable, "-m", "audit_lib", *words[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_on_other_images_have_real_options():
    for line in SHELL:
        if line.startswith("image-audit") and line not in RUNNABLE:
            name, *words = shlex.split(line)[1:]
            with COMMANDS[name].make_context(name, words):
                pass


def test_help_of_every_command_teaches():
    for name, command in COMMANDS.items():
        said = CliRunner().invoke(cli, [name, "--help"]).stdout
        assert "Examples:" in said
        assert "image-audit" in said
        assert [
            option.opts for option in command.params if option.param_type_name == "option" and not option.help
        ] == []
