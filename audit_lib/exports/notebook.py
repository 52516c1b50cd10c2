"""report.ipynb: an executed notebook, with nothing in it of when and on which machine it ran."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from copy import deepcopy
from fractions import Fraction
from typing import Any

from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from papermill.translators import papermill_translators

from audit_lib.exports.pictures import DOTS_PER_INCH, png_size, with_palette

_PNG = "image/png"
_INJECTED = "injected-parameters"
_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


# On a screen a chart is as large as in the notebook, where an inch has 100 dots.
_SHOWN = Fraction(100, DOTS_PER_INCH)


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
    random ids, and the cell that Papermill injected states `parameters` (as the caller gave them). Charts, which
    are drawn for paper, are stored with a palette and the size that they have on a screen.
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
        for output in cell.get("outputs", []):
            size = _store_small(output)
            if size is not None and "width" not in output.metadata.get(_PNG, {}):
                output.metadata[_PNG] = {"width": round(size[0] * _SHOWN), "height": round(size[1] * _SHOWN)}
    copy.nbformat, copy.nbformat_minor = 4, 5
    return copy


class SmallPictures(Preprocessor):
    """Stores the charts of a notebook that nbconvert executed with a palette (`make notebooks`), as those of a report are."""

    def preprocess_cell(self, cell: NotebookNode, resources: Any, _index: int) -> tuple[NotebookNode, Any]:
        """Return the cell with its pictures made small."""
        for output in cell.get("outputs", []):
            _store_small(output)
        return cell, resources


def _store_small(output: NotebookNode) -> tuple[int, int] | None:
    """Give the PNG of an output a palette, and return its size in pixels; None where there is none."""
    if _PNG not in output.get("data", {}):
        return None
    try:
        png = base64.b64decode(output.data[_PNG])
    except binascii.Error:
        return None
    output.data[_PNG] = base64.b64encode(with_palette(png)).decode()
    return png_size(png)
