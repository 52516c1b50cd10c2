"""What a report can be written as: one writer a format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audit_lib.errors import AuditError
from audit_lib.exports.assessment import Assessment, assessment_of
from audit_lib.exports.audits import FOLDER, WrittenAudit
from audit_lib.exports.tables import csv_of, read_tables

# The command line names the formats; Jupyter's machinery takes half a second to import.
if TYPE_CHECKING:
    from nbformat import NotebookNode

    from audit_lib.exports.html import Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a writer is given: the report's folder, as the notebook and earlier writers left it, and what was made so far.

    `notebook`: executed, as it is written. `source`: where the notebook comes from; pictures in its text are beside it.
    `page`: images and gaps. `audits`: what the notebook handed over of each image, by name.
    """

    folder: Path
    notebook: NotebookNode
    source: Path
    page: Page
    audits: Mapping[str, WrittenAudit]

    @property
    def assessments(self) -> list[Assessment]:
        """The findings of each image, in the order of their names."""
        return [assessment_of(found) for found in self.audits.values()]

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file of the report; its folder is made where it is not there."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format by its name: what writes it, what for, and whether it is made of what a notebook hands over of its images.

    `check` raises `AuditError` where it cannot be written on this machine.
    """

    name: str
    purpose: str
    write: Callable[[Made], None]
    is_of_images: bool = False
    check: Callable[[], None] = lambda: None


def _html(made: Made) -> None:
    from audit_lib.exports.html import render_html  # noqa: PLC0415 - see above

    made.write("report.html", render_html(made.notebook, made.page, folder=made.source.parent))


def _pdf(made: Made) -> None:
    from audit_lib.exports.pdf import pdf_of  # noqa: PLC0415 - see above

    inside = _inside(made.folder)
    made.write("report.pdf", pdf_of(made.notebook, made.page, folder=made.source.parent, attachments=inside))


def _can_pdf() -> None:
    from audit_lib.exports.pdf import check_pango  # noqa: PLC0415 - see above

    check_pango()


def _inside(folder: Path) -> dict[str, Path]:
    """Return the files of a report that other programs read, by the names that they have inside the PDF.

    Parquet is left out: it says the same as the CSV beside it. A name that several folders have is told by the folder.
    """
    found = [*folder.glob("tables/*.csv"), *folder.glob("sbom/*"), *folder.glob("oscal/*")]
    found += [path for path in folder.glob("*") if path.suffix in {".md", ".sarif", ".xlsx", ".xml"}]
    names = [path.name for path in found]
    return {path.name if names.count(path.name) == 1 else f"{path.parent.name}-{path.name}": path for path in found}


def _cyclonedx(made: Made) -> None:
    from audit_lib.exports.cyclonedx import cyclonedx_json  # noqa: PLC0415 - takes longer to import than to run

    for name, found in made.audits.items():
        made.write(f"sbom/{name}.cdx.json", cyclonedx_json(found))


def _spdx(made: Made) -> None:
    from audit_lib.exports.spdx import spdx_text  # noqa: PLC0415 - takes longer to import than to run

    for name, found in made.audits.items():
        made.write(f"sbom/{name}.spdx.json", spdx_text(found))


def _oscal(made: Made) -> None:
    from audit_lib.exports.oscal import assessment_results_json, poam_json  # noqa: PLC0415 - only where it is asked for
    from audit_lib.exports.poam import poam_items  # noqa: PLC0415 - only where it is asked for

    for name, assessed in zip(made.audits, made.assessments, strict=True):
        made.write(f"oscal/{name}.assessment-results.json", assessment_results_json(assessed))
        items = poam_items(assessed)
        made.write(f"oscal/{name}.poam.csv", csv_of(items))
        # OSCAL asks for at least one item; that there is none, the table without rows says.
        if len(items):
            made.write(f"oscal/{name}.poam.json", poam_json(assessed))


def _sarif(made: Made) -> None:
    from audit_lib.exports.sarif import sarif_json  # noqa: PLC0415 - only where it is asked for

    made.write("report.sarif", sarif_json(*made.assessments))


def _junit(made: Made) -> None:
    from audit_lib.exports.junit import junit_xml  # noqa: PLC0415 - only where it is asked for

    made.write("report.junit.xml", junit_xml(*made.assessments))


def _markdown(made: Made) -> None:
    from audit_lib.exports.markdown import markdown_summary  # noqa: PLC0415 - only where it is asked for

    made.write("summary.md", "\n".join(map(markdown_summary, made.assessments)))


def _xlsx(made: Made) -> None:
    from audit_lib.exports.workbook import cover_of  # noqa: PLC0415 - only where it is asked for
    from audit_lib.exports.xlsx import write_workbook  # noqa: PLC0415 - only where it is asked for

    title, parts = cover_of(made.notebook, made.page.made)
    write_workbook(
        made.folder / "report.xlsx",
        read_tables(made.folder),
        title=title,
        parts=parts,
        made_utc=made.page.made["started_utc"],
    )


def _kept(_: Made) -> None:
    """Write nothing: the notebook has written it already, and it stays because it was asked for."""


# In the order in which they are written: what comes later may hold what came before.
FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format(name="csv", purpose="each table as tables/NAME.csv; always written", write=_kept),
        Format(name="parquet", purpose="each table as tables/NAME.parquet too, and those of each image", write=_kept),
        Format(name="cyclonedx", purpose="sbom/IMAGE.cdx.json", write=_cyclonedx, is_of_images=True),
        Format(name="spdx", purpose="sbom/IMAGE.spdx.json", write=_spdx, is_of_images=True),
        Format(name="oscal", purpose="oscal/: assessment results and POA&M", write=_oscal, is_of_images=True),
        Format(name="sarif", purpose="report.sarif", write=_sarif, is_of_images=True),
        Format(name="junit", purpose="report.junit.xml", write=_junit, is_of_images=True),
        Format(name="markdown", purpose="summary.md, for a pull request", write=_markdown, is_of_images=True),
        Format(name="xlsx", purpose="report.xlsx, a sheet a table", write=_xlsx),
        Format(name="html", purpose="report.html, one page that opens offline", write=_html),
        Format(name="pdf", purpose="report.pdf, PDF/A-3 with tables and exports inside", write=_pdf, check=_can_pdf),
    )
}


def chosen_formats(names: Iterable[str], notebook: NotebookNode, called: str) -> list[Format]:
    """Return the formats of these names in the order in which they are written, each once.

    Raises `AuditError` for a name that is none, for a format that is made of images where the notebook hands none over, and for one
    that cannot be written on this machine.
    """
    wanted = [name.strip() for name in names]
    for name in wanted:
        if name not in FORMATS:
            raise AuditError(f"format {name!r}: expected one of {', '.join(FORMATS)}")
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    hands_over = "write_audits(" in code
    for name in wanted:
        if FORMATS[name].is_of_images and not hands_over:
            fitting = ", ".join(one.name for one in FORMATS.values() if not one.is_of_images)
            raise AuditError(
                f"{called}: format {name!r} is made of single images, and this notebook hands none over (it does not call "
                f"write_audits); expected some of {fitting}"
            )
    chosen = [one for one in FORMATS.values() if one.name in wanted]
    for one in chosen:
        one.check()
    return chosen


def drop_unasked(folder: Path, formats: Iterable[Format]) -> None:
    """Remove what a notebook wrote for writers alone, unless it was asked for; a Parquet without its CSV is the notebook's own."""
    if "parquet" in {one.name for one in formats}:
        return
    beside = [path for path in folder.glob("tables/*.parquet") if path.with_suffix(".csv").is_file()]
    for path in [*beside, *folder.glob(f"{FOLDER}/*/*")]:
        path.unlink()
    for path in sorted([*folder.glob(f"{FOLDER}/*"), *folder.glob(FOLDER)], reverse=True):
        path.rmdir()
