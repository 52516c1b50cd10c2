"""`image-audit advisories`: what is held of known vulnerabilities, brought up to date or out of files."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from tqdm import tqdm

from audit_lib.commands.shared import ADVISORIES_OPTION, PLAIN_HTTP_OPTION, WRONG_INPUT, output_options, write_table
from audit_lib.units import format_count
from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.taking import Outcome, import_paths
from audit_lib.vulnerabilities.updating import Addresses, update

_SHOWN = 20


@click.group(
    "advisories",
    short_help="Hold advisories: update, import, show.",
    help="""Hold advisories that the packages of an image are matched against, without any network when it is audited.

OSV's records of Debian, Ubuntu, Alpine, Wolfi, Chainguard, Red Hat, AlmaLinux, Rocky Linux, SUSE, openSUSE, PyPI, npm, Go,
crates.io, Maven, RubyGems, NuGet, Packagist and CRAN; CISA's list of known exploited vulnerabilities (KEV); FIRST's scores of how
likely an exploit is (EPSS). The place is the user's cache folder, or where --advisories or AUDIT_ADVISORIES points.

\b
Examples:
  image-audit advisories update --ecosystem Debian --ecosystem PyPI
  image-audit advisories import all.zip known_exploited_vulnerabilities.json epss_scores-current.csv.gz
  image-audit advisories show
  image-audit inspect docker:python:3.13 --table vulnerabilities
""",
)
def command() -> None:
    """Hold advisories that the packages of an image are matched against."""


@command.command(
    "update",
    help="""Fetch what changed since the last update.

What is fetched is held to its digest, and what was cut is gone on with. A source that cannot be had, or is not what it should be,
leaves what was held of it as it was; the exit code is 2 then.

\b
Examples:
  image-audit advisories update
  image-audit advisories update --ecosystem Alpine --osv-url https://mirror.example.com/osv --kev-url "" --epss-url ""
""",
)
@click.option(
    "--ecosystem",
    "wanted",
    multiple=True,
    help="An ecosystem as OSV names it; may be given several times.  [default: those held, else all]",
)
@click.option("--osv-url", default=Addresses().osv, show_default=True, help="Where <ecosystem>/all.zip lie.")
@click.option("--kev-url", default=Addresses().kev, show_default=True, help='CISA\'s list as JSON; "" leaves it out.')
@click.option(
    "--epss-url", default=Addresses().epss, show_default=True, help='FIRST\'s scores as CSV; "" leaves them out.'
)
@ADVISORIES_OPTION
@PLAIN_HTTP_OPTION
@click.pass_obj
def update_command(quiet: bool, wanted: tuple[str, ...], osv_url: str, kev_url: str, epss_url: str) -> None:
    """Fetch what changed since the last update."""
    say = None if quiet else lambda source: click.echo(f"image-audit: {source} …", err=True)
    outcome = update(Database(), wanted, addresses=Addresses(osv=osv_url, kev=kev_url, epss=epss_url), progress=say)
    _finish(outcome, quiet=quiet)


@command.command(
    "import",
    help="""Take over advisories out of files and folders, for machines without a network.

OSV records as JSON, JSON lines or zip archives, CISA's KEV, FIRST's EPSS; plain or with gzip. Of a record that is held already,
the one that was modified last stays. What cannot be used is told with file and record, and counted; the exit code is 2 then.

\b
Examples:
  image-audit advisories import osv/Debian/all.zip osv/PyPI/all.zip
  image-audit advisories import /media/advisories
""",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@ADVISORIES_OPTION
@click.pass_obj
def import_command(quiet: bool, paths: tuple[Path, ...]) -> None:
    """Take over advisories out of files and folders."""
    with tqdm(desc="records", unit="", leave=False, disable=True if quiet else None) as bar:
        outcome = import_paths(Database(), paths, progress=bar.update)
    _finish(outcome, quiet=quiet)


@command.command(
    "show",
    help="""Show what is held, from when, and how much.

\b
Examples:
  image-audit advisories show
  image-audit advisories show --format json
""",
)
@output_options
@ADVISORIES_OPTION
@click.pass_obj
def show_command(quiet: bool, form: str, output: Path | None) -> None:
    """Show what is held, from when, and how much."""
    database = Database()
    table = database.table()
    write_table(table, form, output)
    if not quiet:
        held = "" if len(table) else ": no advisories are held (image-audit advisories update, or import)"
        click.echo(f"image-audit: {database.place}{held}", err=True)


def _finish(outcome: Outcome, *, quiet: bool) -> None:
    """Say what became of it; exit with 2 where something could not be had or used."""
    for facts in () if quiet else outcome.changed:
        skipped = f", {format_count(facts.skipped_count)} skipped" if facts.skipped_count else ""
        count, day = format_count(facts.record_count), facts.data_utc or "(not stated)"
        click.echo(f"image-audit: {facts.source}: {count} records, as of {day}{skipped}", err=True)
    for source in () if quiet else outcome.unchanged:
        click.echo(f"image-audit: {source}: unchanged", err=True)
    for problem in outcome.problems[:_SHOWN]:
        click.echo(f"image-audit: error: {' '.join(problem.split())}", err=True)
    if len(outcome.problems) > _SHOWN:
        click.echo(f"image-audit: error: and {format_count(len(outcome.problems) - _SHOWN)} more", err=True)
    if outcome.problems:
        sys.exit(WRONG_INPUT)
