"""`image-audit vex`: documents that say which vulnerabilities affect an image."""

from __future__ import annotations

from pathlib import Path

import click

from audit_lib.clock import now_utc
from audit_lib.commands.shared import REFERENCES, audited, finish, image_options, report_options, write_text
from audit_lib.errors import AuditError


@click.group(
    "vex",
    short_help="Draft a document that says which vulnerabilities affect an image.",
    help="""Draft a document (VEX) that says which vulnerabilities affect an image, and which do not and why.

\b
Examples:
  image-audit vex draft docker:my-app --scanner-report grype.json -o my-app.openvex.json
""",
)
def command() -> None:
    """Draft a document that says which vulnerabilities affect an image."""


@command.command(
    "draft",
    short_help="Write an OpenVEX document with a statement for each vulnerability that is left.",
    help=f"""Write an OpenVEX document with a statement for each vulnerability that is left, for a person to decide.

Each statement is `under_investigation`. Change it to `affected`, `fixed`, or `not_affected` with a justification, and name the
document with --vex. What --vex already says to be fixed or not affected is left out.

{REFERENCES}
\b
Examples:
  image-audit vex draft docker:my-app --scanner-report grype.json -o my-app.openvex.json
  image-audit vex draft docker:my-app --vex my-app.openvex.json --author "Security team"
""",
)
@click.argument("reference")
@click.option("--author", default="unknown", show_default=True, help="Who makes the statements.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output.")
@report_options
@image_options
@click.pass_obj
def draft(
    quiet: bool,
    reference: str,
    author: str,
    output: Path | None,
    platform: str | None,
    limits: tuple[tuple[str, int], ...],
    check_files: bool,
    scanner_reports: tuple[Path, ...],
    vex: tuple[Path, ...],
) -> None:
    """Write an OpenVEX document with a statement for each vulnerability that is left."""
    from audit_lib.vulnerabilities.vex.draft import draft_openvex  # noqa: PLC0415 - no other command needs it

    found = audited(
        reference, platform, limits, quiet=quiet, check_files=check_files, scanner_reports=scanner_reports, vex=vex
    )
    if not found.knows("vulnerabilities"):
        raise AuditError(f"{reference}: its vulnerabilities are unknown: name a --scanner-report, or hold advisories")
    write_text(draft_openvex(found.vulnerabilities, author=author, now_utc=now_utc()).removesuffix("\n"), output)
    finish(found.gaps, found.is_damaged, quiet=quiet)
