"""`image-audit fleet`: many images, each layer read once, into Parquet."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from tqdm import tqdm

from audit_lib.commands.shared import POLICY_OPTION, WRONG_INPUT, image_options
from audit_lib.errors import SourceError, UnknownImageError
from audit_lib.layer import Limits
from audit_lib.units import format_count
from audit_lib.wanted import Wanted, parse_list

if TYPE_CHECKING:
    from audit_lib.schedule import Progress

# A list of images is a page of text, not a disk.
_MAX_LIST_BYTES = 16 * 1024 * 1024


@click.command(
    "fleet",
    short_help="Audit many images, each layer once, into Parquet.",
    help="""Audit many images, each layer once, into Parquet.

IMAGES is a file with a reference a line, and a platform behind it where one is wanted; # begins a comment; - reads standard
input. OUT (a folder or an fsspec URL) then holds a dataset a table: OUT/packages, OUT/files, …, and OUT/images with one row an
image, those that could not be read included.

A run that was cut goes on where it stopped, and what OUT holds of an image whose digest is still the same is not made again.

\b
Examples:
  image-audit fleet images.txt -o fleet
  grep -v staging images.txt | image-audit fleet - -o fleet --workers 8
  image-audit fleet images.txt -o s3://audits/fleet --store s3://audits/layers --dask tcp://scheduler:8786
""",
)
@click.argument("images", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("-o", "--output", required=True, metavar="OUT", help="Where the tables go: a folder, or an fsspec URL.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="How many processes share the work.  [default: one a processor]"
)
@image_options
@POLICY_OPTION
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Have a Dask cluster do it, such as tcp://scheduler:8786; it must reach OUT and the store.",
)
@click.pass_obj
def command(
    quiet: bool,
    images: Path,
    output: str,
    workers: int | None,
    dask: str | None,
    platform: str | None,
    limits: tuple[tuple[str, int], ...],
    check_files: bool,
    policy: Path | None,
) -> None:
    """Audit many images, each layer once, into Parquet."""
    from audit_lib.fleet import audit_many  # noqa: PLC0415 - what reads datasets takes long to import

    wanted, again = _read_list(images)
    for message in () if quiet else again:
        click.echo(f"image-audit: note: {message}", err=True)
    with _cluster(dask) as executor, _bar(quiet=quiet) as progress:
        fleet = audit_many(
            wanted,
            output,
            executor=executor,
            workers=workers,
            platform=platform,
            limits=Limits(**dict(limits)),
            check_files=check_files,
            policy=policy,
            progress=progress,
        )
    for message in () if quiet else fleet.messages:
        click.echo(f"image-audit: note: {message}", err=True)
    for row in fleet.images[fleet.images["status"] != "read"].itertuples():
        for problem in _problems(row):
            click.echo(f"image-audit: error: {problem}", err=True)
    if not quiet:
        click.echo(_summary(fleet.images, output), err=True)
    if (fleet.images["status"] != "read").any():
        sys.exit(WRONG_INPUT)


def _read_list(path: Path) -> tuple[list[Wanted], list[str]]:
    what = "standard input" if str(path) == "-" else str(path)
    if str(path) == "-":
        data = sys.stdin.buffer.read(_MAX_LIST_BYTES + 1)
    else:
        with path.open("rb") as file:
            data = file.read(_MAX_LIST_BYTES + 1)
    if len(data) > _MAX_LIST_BYTES:
        raise UnknownImageError(f"{what}: larger than {_MAX_LIST_BYTES:,} bytes; expected a reference a line")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnknownImageError(f"{what}: not UTF-8 at byte {error.start:,}; expected a reference a line") from error
    return parse_list(text, what)


@contextmanager
def _cluster(address: str | None) -> Iterator[Executor | None]:
    """Connect to a Dask cluster and yield its executor; None where none is wanted."""
    if address is None:
        yield None
        return
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise SourceError("--dask needs the extra `dask`: pip install 'audit-lib[dask]'") from error
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise SourceError(f"--dask {address}: no Dask scheduler answers: {' '.join(str(error).split())}") from error
    with client:
        yield client.get_executor()


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Show on standard error how many images, layers and bytes are done, how fast, and how long it will take."""
    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=True if quiet else None) as bar:

        def show(step: Progress) -> None:
            bar.total = step.layer_bytes
            seen = (
                f"looked at {step.images_seen}" if step.images_seen < step.image_count else f"image {step.images_done}"
            )
            bar.set_description_str(f"{seen} of {step.image_count}", refresh=False)
            bar.set_postfix_str(f"layer {step.layers_done} of {step.layer_count}", refresh=False)
            bar.update(step.bytes_done - bar.n)

        yield show


def _problems(row: Any) -> list[str]:
    """Return what is wrong with an image, a sentence each, each beginning with its name."""
    if row.status == "damaged":
        return str(row.gaps).splitlines()
    return [row.error if row.error.startswith(row.image) else f"{row.image}: {row.error}"]


def _summary(images: pd.DataFrame, output: str) -> str:
    counts = images["status"].value_counts()
    told = ", ".join(
        f"{format_count(int(counts[name]))} {name}" for name in ("read", "damaged", "failed") if name in counts
    )
    return f"{format_count(len(images))} images ({told}): {output}"
