"""Executing a notebook with Papermill, in this interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode
from papermill.exceptions import PapermillException, PapermillExecutionError

from audit_lib import errors
from audit_lib.errors import AuditError
from audit_lib.exports.pictures import DOTS_PER_INCH
from audit_lib.reference import GIVEN

_PACKAGE = Path(__file__).resolve().parent


class ExecutionError(Exception):
    """A notebook did not run to its end; the message is one line that says where and why."""


def execute_notebook(  # noqa: PLR0913 - what a notebook is run with
    notebook: NotebookNode,
    path: Path,
    parameters: Mapping[str, object],
    *,
    source: Path,
    given: Mapping[str, str],
    progress: bool | None,
) -> NotebookNode:
    """Execute a notebook in the folder of `source`, where it comes from, and return it; `path` is where it is written.

    `given`: how the caller spelt the references and paths in `parameters`, by what stands there (see `reference.as_given`).

    Raises `ExecutionError` where a cell fails; then the notebook at `path` has that cell marked. Where the
    cell met an `AuditError`, the message is that error's own.
    """
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    # Papermill takes braces in a path for the names of parameters.
    name = str(path).replace("{", "{{").replace("}", "}}")
    disable = None if progress is None else not progress
    try:
        executed: NotebookNode = papermill.execute_notebook(
            name,
            name,
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            cwd=str(source.parent),
            progress_bar={"desc": source.stem, "file": sys.stderr, "leave": False, "disable": disable},
            kernel_manager_class=type("_ReportKernel", (_Kernel,), {"given": json.dumps(given)}),
        )
    except PapermillExecutionError as error:
        raise ExecutionError(_reason(source.stem, error)) from error
    except (PapermillException, RuntimeError) as error:  # nbclient's DeadKernelError is a RuntimeError
        raise ExecutionError(f"{source.stem}: the kernel stopped: {_first_line(str(error))}") from error
    return executed


class _Kernel(AsyncKernelManager):
    """A kernel in this very interpreter and with this very library, whatever kernels are registered on the machine."""

    given = "{}"

    @property
    def kernel_spec(self) -> KernelSpec:
        spec = KernelSpec(**get_kernel_dict())
        # Charts go to paper too.
        spec.argv = [
            *spec.argv,
            f"--InlineBackend.print_figure_kwargs={{'dpi': {DOTS_PER_INCH}, 'bbox_inches': 'tight'}}",
        ]
        spec.env = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", GIVEN: self.given}
        if _PACKAGE.parent.name not in {"site-packages", "dist-packages"}:
            paths = [str(_PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
            spec.env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        return spec

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override] # there it is an assigned function
        """Start the kernel; what it has to say of itself is for nobody who waits for a report.

        That it talks over TCP, on this machine; that it was interrupted, which is how it is ended where it is slow to end; that a
        socket was closed by then. What goes wrong in a cell does not come this way.
        """
        await super().start_kernel(stderr=subprocess.DEVNULL, **options)


def _reason(notebook: str, error: PapermillExecutionError) -> str:
    kind = getattr(errors, error.ename, None)
    if isinstance(kind, type) and issubclass(kind, AuditError):
        return str(error.evalue)
    cell = f"{notebook}, cell {error.exec_count} ({_first_line(error.source)})"
    return f"{cell}: {error.ename}: {_first_line(error.evalue)}"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")
