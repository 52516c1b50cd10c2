"""Reports: a notebook and parameters → a folder with the page, the executed notebook, tables, figures and checksums."""

from __future__ import annotations

import csv
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbformat import NotebookNode

from audit_lib.clock import now_utc
from audit_lib.errors import AuditError, TableError
from audit_lib.execution import ExecutionError, execute_notebook
from audit_lib.exports import provenance
from audit_lib.exports.annexes import read_annexes, title_facts
from audit_lib.exports.audits import WrittenAudit, read_audits
from audit_lib.exports.formats import Made, chosen_formats, drop_unasked
from audit_lib.exports.html import Page
from audit_lib.exports.inputs import inputs_of
from audit_lib.exports.manifest import ABOUT, check_free, files_in, replace_files, write_manifest
from audit_lib.exports.notebook import prepare_notebook, tidy_notebook
from audit_lib.parameters import Parameter, Value, absolute, fit_values, read_parameters, spellings
from audit_lib.tables import Database, Image, Row

_HERE = Path(__file__).resolve().parent
# An installed package carries its notebooks; a checkout has them beside the package.
_FOLDERS = (_HERE / "notebooks", _HERE.parent / "notebooks")
_NOTEBOOK = "report.ipynb"
_PAGE = "report.html"
_TO_OPEN = (_PAGE, "report.pdf", "report.xlsx")
_OUTPUT_DIR = "output_dir"
_IMAGE_FACTS = (
    *("role", "image", "reference", "source", "manifest_digest", "config_digest", "os", "architecture", "created_utc"),
    *("distro_id", "distro_version", "distro_name"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that was written: its folder and its files, all absolute.

    `gaps`: what could not be read or is not there, a sentence each. `is_damaged`: whether one of them is a package database that is
    there and could not be read, or one of several images that could not.
    """

    folder: Path
    files: tuple[Path, ...]
    gaps: tuple[str, ...]
    is_damaged: bool

    @property
    def main(self) -> Path:
        """The file to open first; the folder, where neither a page nor a PDF was asked for."""
        return next((path for name in _TO_OPEN if (path := self.folder / name) in self.files), self.folder)


def run_report(
    notebook: str | Path,
    output_dir: str | Path,
    parameters: Mapping[str, object],
    *,
    formats: Iterable[str] = ("html",),
    progress: bool | None = None,
) -> Report:
    """Execute a notebook with these parameters and return the report that was written into `output_dir`.

    `notebook`: one of `notebook_names()`, or a path. Paths among the parameters may be relative to the current folder.
    `formats`: names of `exports.formats.FORMATS`. `progress`: a bar on standard error; None shows it on a terminal only.

    An earlier report in the folder is replaced once the new one is ready; files that no earlier run wrote are
    left alone. Same input, same bytes, but for the time of the run in `manifest.json` and on the title page; SOURCE_DATE_EPOCH
    sets it.

    Raises `UnknownParameterError` or `AuditError` before anything is written where the notebook, a parameter, a
    format or the folder does not fit; and `AuditError` with the reason where a cell fails: then the folder holds
    `report.ipynb` with the error marked, a manifest that says so, and no `report.html`.
    """
    source = find_notebook(notebook)
    document = prepare_notebook(_read_notebook(source))
    known = read_parameters(document)
    values = fit_values(known, parameters, notebook=source.stem)
    chosen = chosen_formats(formats, document, source.stem)
    run = _Run(source, known, values, tuple(one.name for one in chosen), now_utc())
    target = Path(output_dir).absolute()
    _check_target(target, run)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        folder = Path(scratch)
        try:
            executed = _execute(run, document, folder, progress=progress)
        except ExecutionError as error:
            drop_unasked(folder, chosen)
            write_manifest(folder, _facts(run, _Found.read(folder), read_audits(folder), error=str(error)))
            replace_files(target, folder)
            raise AuditError(str(error)) from error
        found = _Found.read(folder)
        audits = read_audits(folder)
        facts = _facts(run, found, audits)
        page = _page(run, folder, found, audits, facts)
        made = Made(folder=folder, notebook=executed, source=run.source, page=page, audits=audits)
        for one in chosen:
            one.write(made)
        drop_unasked(folder, chosen)
        write_manifest(folder, {**facts, "finished_utc": now_utc()})
        files = tuple(target / name for name in files_in(folder))
        replace_files(target, folder)
    return Report(folder=target, files=files, gaps=found.gaps, is_damaged=found.is_damaged)


def notebook_names() -> tuple[str, ...]:
    """Return the names of the notebooks that come with the library, sorted."""
    return tuple(sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.ipynb")}))


def notebook_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook (a name or a path) by name: type, default, help. Raises `AuditError`."""
    return read_parameters(prepare_notebook(_read_notebook(find_notebook(notebook))))


def find_notebook(notebook: str | Path) -> Path:
    """Return the absolute path of a notebook given by name or path; raise `AuditError` naming those there are."""
    text = os.fspath(notebook)
    if text.endswith(".ipynb") or os.sep in text:
        if Path(text).is_file():
            return Path(text).absolute()
        raise AuditError(f"{text}: no such notebook")
    for folder in _FOLDERS:
        if (folder / f"{text}.ipynb").is_file():
            return folder / f"{text}.ipynb"
    names = ", ".join(notebook_names()) or "none is there"
    raise AuditError(f"no notebook is called {text!r}: expected a path, or one of: {names}")


@dataclass(frozen=True, slots=True)
class _Run:
    source: Path
    known: Mapping[str, Parameter]
    given: Mapping[str, Value]
    formats: tuple[str, ...]
    started: str

    def injected(self, output_dir: str) -> dict[str, Value]:
        """Return what the notebook is given: the caller's values, and the folder if it asks for one."""
        return {**self.given, _OUTPUT_DIR: output_dir} if _OUTPUT_DIR in self.known else dict(self.given)

    def in_force(self) -> dict[str, Value]:
        """Return all parameters with the values that the notebook ran with, but the folder."""
        values = {name: parameter.default for name, parameter in self.known.items()} | dict(self.given)
        return {name: value for name, value in values.items() if name != _OUTPUT_DIR}


@dataclass(frozen=True, slots=True)
class _Found:
    """What the tables that a notebook wrote say of the images: `images.csv` and `databases.csv`."""

    images: tuple[Mapping[str, str | None], ...]
    gaps: tuple[str, ...]
    is_damaged: bool

    @classmethod
    def read(cls, folder: Path) -> _Found:
        images = _rows(folder / "tables" / "images.csv", Image)
        databases = _rows(folder / "tables" / "databases.csv", Database)
        if images is None or databases is None:
            gap = "the notebook wrote no tables `images` and `databases`, so what it examined is not recorded"
            return cls(tuple(images or ()), (gap,), is_damaged=False)
        damaged = [row for row in databases if row["status"] == "damaged"]
        gaps = ["{image}: {database_path} ({format} database) is damaged: {detail}".format(**row) for row in damaged]
        # A fleet's images have a status of their own; one that could not be read has no databases either.
        unread = {row["image"]: row.get("error") for row in images if row.get("status") == "failed"}
        gaps += [f"{image} could not be read: {error}" for image, error in unread.items()]
        present = {row["image"] for row in databases if row["status"] in {"read", "damaged"}} | unread.keys()
        gaps += [
            f"{row['image']}: no package database was found, so its packages are unknown"
            for row in images
            if row["image"] not in present
        ]
        gaps += [
            f"{row['image']}: known from an SBOM alone, so its files, layers and sizes are unknown"
            for row in images
            if row["source"] == "sbom"
        ]
        return cls(tuple(images), tuple(gaps), is_damaged=bool(damaged or unread))


def _page(run: _Run, folder: Path, found: _Found, audits: Mapping[str, WrittenAudit], facts: Mapping[str, Any]) -> Page:
    return Page(
        images=found.images,
        gaps=found.gaps,
        is_damaged=found.is_damaged,
        notebook=run.source.stem,
        facts=title_facts(folder, audits),
        annexes=read_annexes(folder, audits),
        made=facts,
    )


def _read_notebook(path: Path) -> NotebookNode:
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise AuditError(f"{path}: expected a Jupyter notebook: {str(error).splitlines()[0]}") from error
    return notebook


def _check_target(target: Path, run: _Run) -> None:
    if _OUTPUT_DIR in run.given:
        raise AuditError(f"{run.source.stem}: parameter {_OUTPUT_DIR} is the report's own folder and cannot be given")
    if target.exists() and not target.is_dir():
        raise AuditError(f"{target}: expected a folder for the report, found a file")
    check_free(target, frozenset({_PAGE, _NOTEBOOK, *ABOUT}))


def _execute(run: _Run, document: NotebookNode, folder: Path, *, progress: bool | None) -> NotebookNode:
    """Execute the notebook, which writes tables and figures into `folder`; return it tidied, as it is written there."""
    path = folder / _NOTEBOOK
    values = {name: absolute(name, value) for name, value in run.injected(str(folder)).items()}
    try:
        given = spellings(run.given)
        executed = execute_notebook(document, path, values, source=run.source, given=given, progress=progress)
    except ExecutionError:
        _tidy(path, nbformat.read(path, as_version=4), run)  # type: ignore[no-untyped-call]
        raise
    return _tidy(path, executed, run)


def _tidy(path: Path, executed: NotebookNode, run: _Run) -> NotebookNode:
    tidied = tidy_notebook(executed, run.injected("."))
    nbformat.write(tidied, path)  # type: ignore[no-untyped-call]
    return tidied


def _facts(run: _Run, found: _Found, audits: Mapping[str, WrittenAudit], *, error: str | None = None) -> dict[str, Any]:
    return {
        "status": "complete" if error is None else "failed",
        "error": error,
        "tool": {"name": provenance.DISTRIBUTION, "version": provenance.version(), "commit": provenance.commit()},
        "notebook": run.source.stem,
        "parameters": run.in_force(),
        "formats": list(run.formats),
        "images": [
            {**{name: row.get(name) for name in _IMAGE_FACTS}, "diff_ids": _diff_ids(row, audits)}
            for row in found.images
        ],
        "inputs": inputs_of(run.source, run.in_force(), _sources(found), audits),
        "gaps": list(found.gaps),
        "python": platform.python_version(),
        "libraries": provenance.libraries(),
        "started_utc": run.started,
        "finished_utc": now_utc(),
    }


def _sources(found: _Found) -> dict[str, str | None]:
    return {reference: row["source"] for row in found.images if (reference := row["reference"]) is not None}


def _diff_ids(row: Mapping[str, str | None], audits: Mapping[str, WrittenAudit]) -> list[str] | None:
    """Return the digests of an image's layers, base first; None where nothing tells, or it was not handed over."""
    for found in audits.values():
        image = found.image.iloc[0]
        stated = None if pd.isna(image["config_digest"]) else str(image["config_digest"])
        if (str(image["image"]), stated) == (row["image"], row["config_digest"]):
            return None if "layers" in found.unknown else [str(one) for one in found.layers["diff_id"]]
    return None


def _rows(path: Path, row: type[Row]) -> list[dict[str, str | None]] | None:
    """Return the rows of a table that the notebook wrote, as text; None where it wrote none."""
    if not path.is_file():
        return None
    expected = [field.name for field in fields(row)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not set(expected) <= set(reader.fieldnames or ()):
            found = str(reader.fieldnames)[1:-1]
            raise TableError(f"{path.stem}: expected the columns {str(expected)[1:-1]}, found {found}")
        return [{name: value or None for name, value in values.items()} for values in reader]
