"""`image-audit bundle`: a report's folder as one zip, the same bytes for the same files."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from audit_lib.bundles import open_bundle, pack_bundle
from audit_lib.errors import AuditError
from audit_lib.units import format_count
from audit_lib.verification import verify

_DIFFERS = 1


@click.command(
    "bundle",
    short_help="Pack a report into a zip, the same bytes for the same files.",
    help="""Pack a report into a zip, the same bytes for the same files.

A report that is not whole and unchanged is not packed; exit code 1, and image-audit verify says what differs. Signatures beside the
Statement are packed too. The zip has no folder above its files: unpack it into one.

\b
Examples:
  image-audit bundle reports/python
  image-audit bundle reports/python -o review-2026-01.zip
""",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The zip.  [default: FOLDER.zip]")
@click.pass_obj
def command(quiet: bool, folder: Path, output: Path | None) -> None:
    """Pack a report into a zip."""
    if not folder.is_dir():
        raise AuditError(f"{folder}: expected a report's folder")
    target = output or folder.absolute().with_name(f"{folder.absolute().name}.zip")
    if target.absolute().is_relative_to(folder.absolute()):
        raise AuditError(f"{target}: expected a place outside of the report's folder, which must stay as it is")
    with open_bundle(folder) as bundle:
        found = verify(bundle)
        if len(found.faults):
            for detail in found.faults["detail"]:
                click.echo(f"image-audit: error: {folder}: {detail}", err=True)
            sys.exit(_DIFFERS)
        # Whoever looks meets the whole zip or none.
        with tempfile.NamedTemporaryFile(dir=target.absolute().parent, prefix=f".{target.name}-", delete=False) as file:
            scratch = Path(file.name)
            try:
                pack_bundle(bundle, scratch)
                scratch.chmod(0o644)
                scratch.replace(target)
            finally:
                scratch.unlink(missing_ok=True)
    if not quiet:
        click.echo(f"Bundle: {target} ({format_count(found.file_count)} files)", err=True)
