"""The command line: `image-audit …`, the same as `python -m audit_lib …`."""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import click
import pandas as pd
import pyarrow as pa

from audit_lib.audit import TABLES, Audit
from audit_lib.commands.shared import (
    ADVISORIES_OPTION,
    FORMATS,
    PLAIN_HTTP_OPTION,
    POLICY_OPTION,
    REFERENCES,
    REPORT_FORMATS,
    STORE_OPTION,
    VEX_OPTION,
    WRITERS,
    WRONG_INPUT,
    audited,
    finish,
    image_options,
    output_options,
    report_options,
    write_table,
    write_text,
)
from audit_lib.compare import Comparison, compare
from audit_lib.errors import AuditError
from audit_lib.exports.show import show, show_facts
from audit_lib.severity import worst_first
from audit_lib.tags import tags
from audit_lib.vulnerabilities import three_numbers

_INTERRUPTED = 130
# as glibc's malloc.h numbers it
_MMAP_THRESHOLD = -3
AUDIT_TABLES = tuple(TABLES)
COMPARISON_TABLES = (
    "summary",
    "package_changes",
    "category_sizes",
    "layer_sizes",
    "file_changes",
    "surface_counts",
    "surface_changes",
    "finding_changes",
    "migration_risks",
    "vulnerability_changes",
    "severity_counts",
    "removal_gains",
)
_ALL = "all"
_SBOM_FORMATS = ("cyclonedx", "spdx", "spdx-tag-value")


# Commands with a module of their own in `audit_lib.commands`; imported when one is asked for, or all of them for --help.
_LATER = ("advisories", "bundle", "check", "fleet", "policy", "ready", "run", "same", "store", "verify", "vex")


class _Commands(click.Group):
    """The commands of this module, and those that have one of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), *_LATER])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, None where there is none."""
        if cmd_name in _LATER:
            command: click.Command = importlib.import_module(f"audit_lib.commands.{cmd_name}").command
            return command
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done; 1 a gate failed; 2 the input was wrong, as one line on standard error says.",
)
@click.version_option(package_name="audit-lib", prog_name="image-audit")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no messages on standard error, only errors.")
@click.pass_context
def cli(context: click.Context, *, quiet: bool) -> None:
    """Show what a container image really holds, and what a hardened image really gains.

    \b
    Try it without any image of your own:
      image-audit inspect sample:full
      image-audit compare sample:full sample:minimal
      image-audit report sample:full sample:minimal -o reports/my-first-report
    """  # noqa: D301 - \b tells click to keep the lines
    context.obj = quiet


@cli.command(
    help=f"""Show the tables of one image.

Without --table: an overview. With it, that table, whole.

{REFERENCES}
\b
Examples:
  image-audit inspect docker:python:3.13
  image-audit inspect oci-dir:build/image --table packages --format csv -o packages.csv
  image-audit inspect docker:python:3.13 --format cyclonedx -o python.cdx.json
  image-audit inspect docker:python:3.13 --scanner-report grype.json --vex python.openvex.json --table vulnerability_counts
  image-audit inspect full.tar --table all --format parquet -o tables/
"""
)
@click.argument("reference")
@click.option(
    "--table",
    type=click.Choice([*AUDIT_TABLES, _ALL]),
    help="Which table; all writes each to a file of its own in the folder -o.",
)
@partial(output_options, formats=(*FORMATS, *_SBOM_FORMATS), others="The others are the whole image as an SBOM.")
@POLICY_OPTION
@report_options
@image_options
@click.pass_obj
def inspect(
    quiet: bool,
    reference: str,
    table: str | None,
    form: str,
    output: Path | None,
    platform: str | None,
    limits: tuple[tuple[str, int], ...],
    check_files: bool,
    policy: Path | None,
    scanner_reports: tuple[Path, ...],
    vex: tuple[Path, ...],
) -> None:
    """Show the tables of one image."""
    if table is not None and form in _SBOM_FORMATS:
        raise click.UsageError(f"{form} is the whole image: leave out --table")
    found = audited(
        reference,
        platform,
        limits,
        quiet=quiet,
        check_files=check_files,
        policy=policy,
        scanner_reports=scanner_reports,
        vex=vex,
    )
    if table not in {None, _ALL} and not found.knows(table) and not quiet:
        click.echo(f"image-audit: note: {reference}: {table} are unknown, not none: {_why_unknown(table)}", err=True)
    if form in _SBOM_FORMATS:
        write_text(_sbom(found, form).removesuffix("\n"), output)
    elif table is None and form == "table":
        write_text(_overview(found), output)
    elif table == _ALL:
        _write_all(found, form, output)
    else:
        name = table or "image"
        write_table(getattr(found, name), form, output, is_known=found.knows(name))
    finish(found.gaps, found.is_damaged, quiet=quiet)


def _why_unknown(table: str) -> str:
    if table.startswith("vulnerabilit") or table == "exposure":
        return "no advisories are held that speak of its packages (image-audit advisories update), and no --scanner-report is named"
    if table in {"scanner_reports", "vex_statements"}:
        return "none is named (--scanner-report, --vex)"
    return "its source does not tell"


_APP_HELP = "An application's image that was built on FULL: which of its files would break on MINIMAL."


@cli.command(
    "compare",
    help=f"""Compare a full image with a minimal one.

Without --table: the summary and what changed most. With it, that table, whole.

{REFERENCES}
\b
Examples:
  image-audit compare docker:python:3.13 docker:python:3.13-slim
  image-audit compare full.tar minimal.tar --table package_changes --format csv
  image-audit compare docker:python:3.13 docker:python:3.13-slim --app docker:my-app --table migration_risks
""",
)
@click.argument("full")
@click.argument("minimal")
@click.option("--table", type=click.Choice(COMPARISON_TABLES), help="Which table.")
@click.option("--app", metavar="REFERENCE", help=_APP_HELP)
@click.option(
    "--full-report",
    "full_reports",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="What a scanner wrote of FULL.",
)
@click.option(
    "--minimal-report",
    "minimal_reports",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="What a scanner wrote of MINIMAL.",
)
@output_options
@POLICY_OPTION
@VEX_OPTION
@image_options
@click.pass_obj
def compare_images(
    quiet: bool,
    full: str,
    minimal: str,
    table: str | None,
    app: str | None,
    form: str,
    output: Path | None,
    platform: str | None,
    limits: tuple[tuple[str, int], ...],
    check_files: bool,
    policy: Path | None,
    full_reports: tuple[Path, ...],
    minimal_reports: tuple[Path, ...],
    vex: tuple[Path, ...],
) -> None:
    """Compare a full image with a minimal one."""
    audits = [
        audited(
            reference,
            platform,
            limits,
            quiet=quiet,
            check_files=check_files,
            policy=policy,
            scanner_reports=reports,
            vex=vex,
        )
        for reference, reports in (
            (full, full_reports),
            (minimal, minimal_reports),
            *([] if app is None else [(app, ())]),
        )
    ]
    both = compare(audits[0], audits[1], app=None if app is None else audits[2])
    if table is None and form == "table":
        write_text(_comparison_overview(both), output)
    else:
        name = table or "summary"
        shown = getattr(both, name)
        shown = worst_first(shown) if name == "migration_risks" else shown
        write_table(shown, form, output, is_known=both.knows(name))
    finish(both.gaps, any(one.is_damaged for one in audits), quiet=quiet)


@cli.command(
    short_help="Write a report: HTML, tables, figures, notebook.",
    help=f"""Write a report that a reviewer can open: HTML, tables, figures and the executed notebook.

With two images, the notebook compare_images; with one, image_inventory. The notebook fleet_overview is about many.

{REPORT_FORMATS}
{REFERENCES}
\b
Examples:
  image-audit report docker:python:3.13 docker:python:3.13-slim -o reports/python
  image-audit report docker:my-app -o reports/my-app --formats html,xlsx,cyclonedx,sarif
  image-audit report docker:my-app -o reports/my-app
  image-audit report full.tar minimal.tar -o reports/mine -p top_n 30
  image-audit report --notebook fleet_overview -p fleet_dir fleet -o reports/fleet
""",
)
@click.argument("full", required=False)
@click.argument("minimal", required=False)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The report's folder.  [default: reports/<notebook>]",
)
@click.option("--notebook", help="Another notebook: a name in notebooks/, or a path to one.")
@click.option(
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter of the notebook; may be given several times.",
)
@click.option(
    "--formats",
    default="html",
    show_default=True,
    metavar="LIST",
    help="What is written beside the notebook, its tables and figures, separated by commas; see above.",
)
@click.option(
    "--platform", metavar="OS/ARCH", help="Which image of an index, such as linux/arm64.  [default: this machine's]"
)
@click.option("--app", metavar="REFERENCE", help=_APP_HELP)
@PLAIN_HTTP_OPTION
@ADVISORIES_OPTION
@STORE_OPTION
@click.pass_obj
def report(
    quiet: bool,
    full: str | None,
    minimal: str | None,
    folder: Path | None,
    notebook: str | None,
    parameters: tuple[tuple[str, str], ...],
    formats: str,
    platform: str | None,
    app: str | None,
) -> None:
    """Write a report that a reviewer can open."""
    from audit_lib.reports import notebook_parameters, run_report  # noqa: PLC0415 - Jupyter's machinery takes half a second to import

    if full is None and notebook is None:
        raise click.UsageError("name an image, or two, or a --notebook that asks for none")
    name = notebook or ("compare_images" if minimal else "image_inventory")
    given = [image for image in (full, minimal) if image is not None]
    images = dict(zip(("full_image", "minimal_image") if minimal else ("image",), given, strict=False))
    if given and notebook is not None and "images" in notebook_parameters(notebook):
        images = {"images": " ".join(given)}
    if platform is not None:
        images["platform"] = platform
    if app is not None:
        images["app_image"] = app
    target = folder or Path("reports") / Path(name).stem
    made = run_report(
        name,
        target,
        {**images, **dict(parameters)},
        formats=tuple(part for part in formats.split(",") if part),
        progress=not quiet,
    )
    if not quiet:
        click.echo(f"Report: {made.main}", err=True)
    finish(made.gaps, made.is_damaged, quiet=quiet)


@cli.command(
    "tags",
    short_help="List the tags of a repository.",
    help="""List the tags of a repository in a registry, numbers in their order (3.9 before 3.10).

\b
Examples:
  image-audit tags registry:python
  image-audit tags registry.example.com/team/app --format csv
""",
)
@click.argument("repository")
@output_options
@PLAIN_HTTP_OPTION
def list_tags(repository: str, form: str, output: Path | None) -> None:
    """List the tags of a repository."""
    write_table(tags(repository), form, output)


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 a gate failed, 2 the input was wrong."""
    _give_memory_back()
    # An audit makes millions of values that stay and hardly a circle: looking for circles as often as Python does by itself
    # takes a tenth of the time.
    gc.set_threshold(200_000, 50, 100)
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AuditError as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}")
    except (click.Abort, KeyboardInterrupt):
        click.echo("image-audit: interrupted", err=True)
        sys.exit(_INTERRUPTED)


def _give_memory_back() -> None:
    """Let the process return what it no longer needs: 80 MiB less at the peak on an image of 55,000 files.

    Arrow's own pools keep what they once had. And glibc, once it has freed an executable of 40 MB that was looked into, takes room
    for the next ones from the heap, which comes back in pieces (mallopt(3), M_MMAP_THRESHOLD). What is read on the way comes in
    pieces of 1 MiB; these stay on the heap, since a page fault for each of their pages took a second of an audit.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 4 * 1024 * 1024)


def _fail(message: str) -> NoReturn:
    click.echo(f"image-audit: error: {' '.join(message.split())}", err=True)
    sys.exit(WRONG_INPUT)


def _overview(found: Audit) -> str:
    packages = found.packages[["format", "name", "version", "file_bytes", "first_layer"]]
    attached = found.referrers[["kind", "predicate_type", "media_type", "artifact_bytes", "found_by", "digest"]]
    return "\n\n".join(
        [
            repr(show_facts(found.image.drop(columns="reference"), by="image")),
            "Package databases\n" + repr(show(found.databases.drop(columns="image"), rows=None)),
            "Layers\n"
            + repr(
                show(
                    found.layers[["layer", "content_bytes", "reclaimable_bytes", "file_count", "created_by"]].assign(
                        created_by=_short(found.layers["created_by"])
                    ),
                    rows=None,
                    is_known=found.knows("layers"),
                )
            ),
            "Largest packages\n"
            + repr(show(packages.sort_values(["file_bytes", "name"], ascending=[False, True]), rows=15)),
            "Vulnerabilities (--table vulnerabilities tells all, vulnerability_coverage what was held against what)\n"
            + repr(
                show(three_numbers(found.vulnerability_counts), rows=None, is_known=found.knows("vulnerability_counts"))
            ),
            "Known vulnerabilities\n" + "\n".join(found.vulnerability_notes),
            *(["Attached to it (listed, not checked)\n" + repr(show(attached))] if len(attached) else []),
        ]
    )


def _comparison_overview(both: Comparison) -> str:
    changes = both.package_changes
    largest = (
        changes[changes["change"] != "kept"]
        .assign(order=lambda table: table["delta_bytes"].abs())
        .sort_values("order", ascending=False, kind="stable")
    )
    risks = worst_first(both.migration_risks[both.migration_risks["severity"].isin(["high", "medium"])])
    return "\n\n".join(
        [
            repr(show(both.summary, rows=None)),
            "What the move would break (severity high and medium; --table migration_risks tells all)\n"
            + repr(show(risks[["severity", "place", "why"]], rows=15, is_known=both.knows("migration_risks"))),
            "Known vulnerabilities\n" + "\n".join(both.vulnerability_notes),
            "Package databases\n" + repr(show(pd.concat([both.full.databases, both.minimal.databases]), rows=None)),
            "Packages that changed most\n"
            + repr(show(largest.drop(columns=["order", "matched_by", "counterpart"]), rows=15)),
            "Bytes by category\n"
            + repr(
                show(
                    both.category_sizes[both.category_sizes["grouping"] == "category"].drop(columns="grouping"),
                    rows=None,
                )
            ),
        ]
    )


def _short(texts: pd.Series, limit: int = 60) -> pd.Series:
    return texts.map(lambda text: text if len(text) <= limit else f"{text[:limit]}…", na_action="ignore")


def _sbom(found: Audit, form: str) -> str:
    # Either library takes longer to import than a small image to be read.
    if form == "cyclonedx":
        from audit_lib.exports.cyclonedx import cyclonedx_json  # noqa: PLC0415 - see above

        return cyclonedx_json(found)
    from audit_lib.exports.spdx import spdx_text  # noqa: PLC0415 - see above

    return spdx_text(found, notation="json" if form == "spdx" else "tag-value")


def _write_all(found: Audit, form: str, folder: Path | None) -> None:
    """Write each table that is known to a file of its own: of one that is unknown there is no file."""
    if folder is None or form not in WRITERS:
        raise click.UsageError(f"--table all writes files: name a folder with -o and --format {', '.join(WRITERS)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in AUDIT_TABLES:
        if found.knows(name):
            (folder / f"{name}.{form}").write_bytes(WRITERS[form](getattr(found, name)))


if __name__ == "__main__":
    main()
