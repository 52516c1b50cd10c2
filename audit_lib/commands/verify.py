"""`image-audit verify`: whether a report is whole and unchanged, and still true of an image."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd

from audit_lib.bundles import open_bundle
from audit_lib.commands.shared import (
    PLAIN_HTTP_OPTION,
    REFERENCES,
    STORE_OPTION,
    audited,
    output_options,
    write_table,
    write_text,
)
from audit_lib.errors import AuditError
from audit_lib.exports.show import show
from audit_lib.tables import BundleFault, make_table
from audit_lib.units import format_count
from audit_lib.verification import Verified, against, verify

_DIFFERS = 1


@click.command(
    "verify",
    short_help="Tell whether a report is whole and unchanged; exit with 1 where it is not.",
    help=f"""Tell whether a report is whole and unchanged, and still true of an image; exit with 1 where it is not.

BUNDLE is a report's folder, or the zip that image-audit bundle made of one. Each file is held against what the manifest, the
in-toto Statement and SHA256SUMS state of it, and these against each other: every difference is named. Who changes all three alike
is found out by a signature of the Statement only, which other programs make and check. With --against, the image that a reference
names now is read, and compared with the one that the report is of.

{REFERENCES}
\b
Examples:
  image-audit verify reports/python
  image-audit verify review.zip --format json
  image-audit verify reports/python --against docker:python:3.13 --against docker:python:3.13-slim
""",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--against",
    "references",
    metavar="REFERENCE",
    multiple=True,
    help="An image that the report should be of, as it is now; several times for several images, in the report's order.",
)
@click.option("--platform", metavar="OS/ARCH", help="Which image of an index.  [default: the report's]")
@output_options
@PLAIN_HTTP_OPTION
@STORE_OPTION
@click.pass_obj
def command(
    quiet: bool, bundle: Path, references: tuple[str, ...], platform: str | None, form: str, output: Path | None
) -> None:
    """Tell whether a report is whole and unchanged."""
    with open_bundle(bundle) as opened:
        found = verify(opened)
    faults = found.faults
    if references:
        rows = [
            fault
            for reference, recorded in _pairs(references, found.manifest.get("images", []), bundle)
            for fault in _now(reference, recorded, platform, quiet=quiet)
        ]
        faults = pd.concat([faults, make_table(BundleFault, list(dict.fromkeys(rows)))], ignore_index=True)
    if form == "table":
        write_text(_told(found, faults, bundle, references), output)
    else:
        write_table(faults, form, output)
    if found.manifest.get("status") == "failed" and not quiet:
        click.echo(
            f"image-audit: note: {bundle}: the run that wrote it failed: {found.manifest.get('error')}", err=True
        )
    if len(faults):
        sys.exit(_DIFFERS)


def _pairs(
    references: Sequence[str], images: Sequence[Mapping[str, Any]], bundle: Path
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each reference with the image that the report has of it: by its name, else by its place among them."""
    if not images:
        raise AuditError(f"{bundle}: its manifest names no image, so there is nothing to compare with")
    named = {str(image.get("reference")): image for image in images}
    if all(reference in named for reference in references):
        return [(reference, named[reference]) for reference in references]
    if len(references) == len(images):
        return list(zip(references, images, strict=True))
    unknown = next(reference for reference in references if reference not in named)
    raise AuditError(
        f"{unknown}: the report is of {', '.join(named)}; expected one of these, or as many references as it has images"
    )


def _now(reference: str, recorded: Mapping[str, Any], platform: str | None, *, quiet: bool) -> list[BundleFault]:
    """Return in what the image that a reference names now is not the one that was recorded."""
    stated = [recorded.get("os"), recorded.get("architecture")]
    wanted = platform or ("/".join(map(str, stated)) if all(stated) else None)
    found = audited(reference, wanted, (), quiet=quiet, check_files=False)
    layers = [str(one) for one in found.layers["diff_id"]] if found.knows("layers") else None
    return list(against(recorded, found.image.iloc[0], layers))


def _told(found: Verified, faults: pd.DataFrame, bundle: Path, references: Sequence[str]) -> str:
    count = format_count(found.file_count)
    if len(faults):
        said = f"{bundle}: {format_count(len(faults))} differences\n"
        text = said + repr(show(faults[["fault", "path", "detail", "expected", "found"]], rows=None))
    else:
        text = f"{bundle} is whole and unchanged: {count} files are as manifest, Statement and checksums state."
        text += f" It is still true of {', '.join(references)}." if references else ""
    signed = ", ".join(found.signatures)
    return text + (f"\nSignatures beside it were not checked: {signed}" if signed else "")
