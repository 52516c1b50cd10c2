"""report.ipynb: an executed notebook, with nothing in it of when and on which machine it ran."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from nbformat import NotebookNode
from papermill.translators import papermill_translators

_INJECTED = "injected-parameters"
_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def prepare_notebook(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without outputs and with the kernel's name set, ready to be executed."""
    copy = deepcopy(notebook)
    copy["metadata"] = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    return copy


def tidy_notebook(notebook: NotebookNode, parameters: Mapping[str, object]) -> NotebookNode:
    """Return a copy of an executed notebook that is the same for the same input.

    Papermill's and the kernel's times, durations and paths are taken out, cells are numbered in place of
    random ids, and the cell that Papermill injected states `parameters` (as the caller gave them).
    """
    copy = deepcopy(notebook)
    copy["metadata"] = {
        "kernelspec": _KERNEL,
        "language_info": notebook.metadata.get("language_info", {}),
        "papermill": {"parameters": dict(parameters)},
    }
    for number, cell in enumerate(copy.cells, start=1):
        tags = cell.metadata.get("tags", [])
        cell.id = f"cell-{number}"
        cell["metadata"] = {"tags": tags} if tags else {}
        if _INJECTED in tags:
            translator = papermill_translators.find_translator("python3", "python")
            cell.source = translator.codify(dict(parameters), "Parameters").rstrip("\n")
    copy.nbformat, copy.nbformat_minor = 4, 5
    return copy
