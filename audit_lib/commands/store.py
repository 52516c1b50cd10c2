"""`image-audit store`: what the layer store holds, and making it smaller."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import click

from audit_lib.commands.shared import STORE_OPTION
from audit_lib.store import Store
from audit_lib.units import format_bytes, format_count, parse_bytes


class _Size(click.ParamType[int]):
    """A number of bytes, such as 500MiB or 10GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        try:
            return parse_bytes(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    "store",
    short_help="Show, or make smaller, what is kept of layers already read.",
    help="""Show, or make smaller, what is kept of layers already read.

A layer that was read once is remembered by its diff id, so that the next image on the same base costs only its own layers; the
finished tables of an image are remembered too, until the image, the library or what is asked of it is another. The
place is the user's cache folder, or where --store or AUDIT_STORE points: a folder, or an fsspec URL such as s3://bucket/audit
(install the driver, here s3fs). "none" keeps nothing.

\b
Examples:
  image-audit store
  image-audit store --unused-for 30 --keep 10GiB
""",
)
@click.option(
    "--unused-for", type=click.IntRange(min=0), metavar="DAYS", help="Delete what was not used for so many days."
)
@click.option("--keep", type=_Size(), metavar="SIZE", help="Then delete the longest unused until this much remains.")
@STORE_OPTION
@click.pass_obj
def command(quiet: bool, unused_for: int | None, keep: int | None) -> None:
    """Show, or make smaller, what is kept of layers already read."""
    store = Store()
    if unused_for is not None or keep is not None:
        before = None
        if unused_for is not None:
            before = (dt.datetime.now(dt.UTC) - dt.timedelta(days=unused_for)).strftime("%Y-%m-%dT%H:%M:%SZ")
        gone = store.prune(before_utc=before, keep_bytes=keep)
        if not quiet:
            freed = format_bytes(sum(entry.stored_bytes for entry in gone))
            click.echo(f"Deleted {format_count(len(gone))} entries, {freed}.", err=True)
    entries = store.entries()
    counts = Counter(entry.kind for entry in entries)
    click.echo(f"{'place':<16}{store.place}")
    for title, kind in (("layers", "layer"), ("configs", "document"), ("tables", "tables")):
        click.echo(f"{title:<16}{format_count(counts[kind])}")
    click.echo(f"{'bytes':<16}{format_bytes(sum(entry.stored_bytes for entry in entries))}")
    if entries:
        click.echo(f"{'longest unused':<16}{entries[0].used_utc}")
