"""notebooks/README.md is true: it names every notebook, its question, and every parameter as the notebook declares it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from audit_lib.reports import notebook_parameters

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_notebook_is_in_the_table_and_has_a_part():
    assert sorted(re.findall(r"^\| \[(\w+)\]\(\1\.ipynb\) \| .+\? \|$", PAGE, re.MULTILINE)) == NOTEBOOKS
    assert sorted(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_parameter_stands_there_as_the_notebook_declares_it(name):
    part = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (own,) = [text for text in part if text.startswith(f"{name}\n")]
    expected = [
        f"| `{one.name}` | {one.type}{' or None' if one.is_optional else ''} | `{one.default!r}` | {one.help} |"
        for one in notebook_parameters(name).values()
    ]
    assert [line for line in own.splitlines() if line.startswith("| `")] == expected


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_question_of_the_table_is_repeated_above_the_parameters(name):
    (question,) = re.findall(rf"^\| \[{name}\]\({name}\.ipynb\) \| (.+) \|$", PAGE, re.MULTILINE)
    assert f"## {name}\n\n{question}\n" in PAGE
    first = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells[0].source
    assert first.startswith("# ")
    assert "?" in first.splitlines()[0]
