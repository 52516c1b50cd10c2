"""What several commands share: which image and how it is read, what is said of it, how tables are written."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pandas as pd
from tqdm import tqdm

from audit_lib import store
from audit_lib.audit import Audit, audit
from audit_lib.compliance import Policy
from audit_lib.exports.formats import FORMATS as _REPORT_FORMATS
from audit_lib.exports.show import show
from audit_lib.exports.tables import csv_of, json_of, parquet_of
from audit_lib.layer import Limits
from audit_lib.reference import SBOM, SBOM_PURPOSE
from audit_lib.sources import SOURCES
from audit_lib.sources.urls import PLAIN_HTTP
from audit_lib.vulnerabilities.base import ENVIRONMENT as ADVISORIES

WRONG_INPUT = 2
FORMATS = ("table", "csv", "json", "parquet")
_SCHEMES = tuple((source.scheme, source.purpose) for source in SOURCES)
REFERENCES = (
    "\b\nA reference names an image:\n"
    + "\n".join(f"  {scheme + ':…':17} {purpose}" for scheme, purpose in (*_SCHEMES, (SBOM, SBOM_PURPOSE)))
    + "\n  a path            recognised by what it holds"
    + "\n  any other name    looked for in Docker, then in Podman, then in its registry\n"
)


REPORT_FORMATS = "\b\nFormats of a report:\n" + "".join(
    f"  {one.name:17} {one.purpose}\n" for one in _REPORT_FORMATS.values()
)
WRITERS: Mapping[str, Callable[[pd.DataFrame], bytes]] = {"csv": csv_of, "json": json_of, "parquet": parquet_of}


POLICY_OPTION = click.option(
    "--policy",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The policy that findings follow; image-audit policy writes the default one.  [default: that one]",
)


class _Limits(click.ParamType[tuple[str, int]]):
    """`name=value`, one of the fields of `Limits`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return (name, value) of one limit."""
        name, _, number = str(value).partition("=")
        known = [field.name for field in dataclasses.fields(Limits)]
        if name not in known or not number.isdecimal():
            self.fail(f"{value!r}: expected NAME=NUMBER with NAME one of {', '.join(known)}", param, ctx)
        return name, int(number)


def _chosen_store(_: click.Context, __: click.Parameter, place: str | None) -> None:
    """Have every audit of this run keep its layers there, those of a notebook in a process of its own too."""
    if place is not None:
        os.environ[store.ENVIRONMENT] = place


STORE_OPTION = click.option(
    "--store",
    metavar="PLACE",
    expose_value=False,
    callback=_chosen_store,
    help="Where read layers are remembered: a folder, an fsspec URL, or none.  [default: AUDIT_STORE, else the cache folder]",
)


def _chosen_advisories(_: click.Context, __: click.Parameter, place: str | None) -> None:
    """Have every audit of this run hold its packages against these advisories."""
    if place is not None:
        os.environ[ADVISORIES] = place


ADVISORIES_OPTION = click.option(
    "--advisories",
    metavar="PLACE",
    expose_value=False,
    callback=_chosen_advisories,
    help="Where advisories are held (see image-audit advisories): a folder, an fsspec URL, or none.  "
    "[default: AUDIT_ADVISORIES, else the cache folder]",
)


def _named_plain(_: click.Context, __: click.Parameter, hosts: tuple[str, ...]) -> None:
    """Have everything in this run speak plain http to these hosts, a notebook in a process of its own too."""
    if hosts:
        os.environ[PLAIN_HTTP] = ",".join([*hosts, os.environ.get(PLAIN_HTTP, "")])


PLAIN_HTTP_OPTION = click.option(
    "--plain-http",
    metavar="HOST",
    multiple=True,
    expose_value=False,
    callback=_named_plain,
    help="A registry (HOST or HOST:PORT) to speak to without TLS.  [default: those in AUDIT_PLAIN_HTTP, by commas]",
)


SCANNER_REPORT_OPTION = click.option(
    "--scanner-report",
    "scanner_reports",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="What a scanner wrote of the image: Grype, Trivy, osv-scanner (JSON), Docker Scout (SARIF, GitLab), CycloneDX, SARIF.",
)
VEX_OPTION = click.option(
    "--vex",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Which vulnerabilities do not affect it, and why: OpenVEX, CycloneDX or CSAF. Nothing is dropped, all is marked.",
)


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of an image: platform, limits, store, check_files."""
    for option in (
        click.option(
            "--check-files",
            is_flag=True,
            help="Compare each file with the digest that its package states (table altered_files); takes longer.",
        ),
        click.option(
            "--limit",
            "limits",
            type=_Limits(),
            multiple=True,
            help="How much an image may ask for, such as entries=2000000 (listed in audit_lib/docs/images.md).",
        ),
        click.option(
            "--platform",
            metavar="OS/ARCH",
            help="Which image of an index, such as linux/arm64.  [default: this machine's]",
        ),
        PLAIN_HTTP_OPTION,
        ADVISORIES_OPTION,
        STORE_OPTION,
    ):
        command = option(command)
    return command


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of an image's vulnerabilities: scanner_reports, vex (tuples of paths)."""
    return SCANNER_REPORT_OPTION(VEX_OPTION(command))


def output_options(
    command: Callable[..., Any], formats: Sequence[str] = FORMATS, others: str = ""
) -> Callable[..., Any]:
    """Give a command the options of its output: which of `formats` (`others` tells of those that are no table), and the file."""
    for option in (
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            help="Write to this file instead of standard output.",
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(formats),
            default="table",
            show_default=True,
            help=f"How the table is written; csv, json and parquet hold every row. {others}".strip(),
        ),
    ):
        command = option(command)
    return command


def audited(
    reference: str,
    platform: str | None,
    limits: tuple[tuple[str, int], ...],
    *,
    quiet: bool,
    check_files: bool,
    policy: Policy | Path | None = None,
    today_utc: str | None = None,
    scanner_reports: Sequence[Path] = (),
    vex: Sequence[Path] = (),
) -> Audit:
    """Return the audit of an image, with its progress on standard error."""
    kept = store.opened_store(None)
    with _progress(reference, quiet=quiet) as progress:
        found = audit(
            reference,
            platform=platform,
            store=kept or store.NONE,
            limits=Limits(**dict(limits)),
            check_files=check_files,
            policy=policy,
            today_utc=today_utc,
            scanner_reports=scanner_reports,
            vex=vex,
            progress=progress,
        )
    for message in () if quiet or kept is None else kept.messages:
        click.echo(f"image-audit: note: {message}", err=True)
    return found


@contextmanager
def _progress(reference: str, *, quiet: bool) -> Iterator[Callable[[str, int], None]]:
    """Show on standard error how many layers and bytes were read; nothing where nobody looks."""
    layers: set[str] = set()
    with tqdm(
        desc=reference, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=True if quiet else None
    ) as bar:

        def advance(layer: str, count: int) -> None:
            if layer not in layers:
                layers.add(layer)
                bar.set_postfix_str(f"layer {len(layers)}", refresh=False)
            bar.update(count)

        yield advance


def finish(gaps: tuple[str, ...], is_damaged: bool, *, quiet: bool) -> None:
    """Say what could not be read; exit with 2 where it is damaged, for what was shown is not the whole."""
    if is_damaged or not quiet:
        for gap in gaps:
            click.echo(f"image-audit: {'error' if is_damaged else 'note'}: {gap}", err=True)
    if is_damaged:
        sys.exit(WRONG_INPUT)


def write_text(text: str, output: Path | None) -> None:
    """Write a text and a line feed to a file, else to standard output."""
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")


def write_table(table: pd.DataFrame, form: str, output: Path | None, *, is_known: bool = True) -> None:
    """Write a table in one of `FORMATS` to a file, else to standard output."""
    if form == "table":
        write_text(repr(show(table, rows=None, is_known=is_known)), output)
        return
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("parquet is not for a terminal; name a file with -o")
    data = WRITERS[form](table)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        output.write_bytes(data)
