"""What nbval cannot see of a notebook: that it was run, that its cells are sentences, that its parameters are documented."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

from audit_lib.reports import notebook_parameters

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PLAIN = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
BRANCHES = (
    ast.FunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.If,
    ast.IfExp,
    ast.For,
    ast.While,
    ast.Try,
    ast.With,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_every_cell_was_run_in_order(path: Path):
    assert [cell.execution_count for cell in code_cells(path)] == list(range(1, len(code_cells(path)) + 1))


def test_no_cell_shows_an_error_or_a_warning(path: Path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert outputs
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result"}


def test_cells_are_sentences(path: Path):
    for cell in code_cells(path):
        if "parameters" in cell.metadata.get("tags", []):
            continue
        tree = ast.parse(cell.source)
        assert all(isinstance(statement, PLAIN) for statement in tree.body), cell.source
        assert not any(isinstance(node, BRANCHES) for node in ast.walk(tree)), cell.source
        assert not cell.source.rstrip().endswith(";"), cell.source
        assert not any(word in cell.source for word in ("%", "!pip", "sys.path", "plt.")), cell.source


def test_markdown_holds_no_number_that_parameters_could_change(path: Path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert not any(
                word.strip(".,;:%").replace(",", "").isdigit() and len(word) > 1 for word in cell.source.split()
            ), cell.source


def test_what_was_read_stands_before_the_first_chart(path: Path):
    cells = code_cells(path)
    databases = next(number for number, cell in enumerate(cells) if "databases" in cell.source)
    first_chart = next(number for number, cell in enumerate(cells) if "charts." in cell.source)
    assert databases < first_chart


def test_every_parameter_has_a_type_a_default_and_help(path: Path):
    parameters = notebook_parameters(path)
    declared = [cell for cell in code_cells(path) if cell.metadata.get("tags") == ["parameters"]]
    assert len(declared) == 1
    names = [
        statement.target.id for statement in ast.parse(declared[0].source).body if isinstance(statement, ast.AnnAssign)
    ]
    assert list(parameters) == names
    assert len(names) == len(declared[0].source.strip().splitlines())
    assert all(parameter.type and parameter.help for parameter in parameters.values())


def test_no_output_names_a_path_of_a_machine_or_a_time(path: Path):
    text = path.read_text()
    assert str(ROOT) not in text
    assert "object at 0x" not in text
    assert '"start_time"' not in text
