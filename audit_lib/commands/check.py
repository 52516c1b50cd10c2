"""`image-audit check`: the findings of an image, and an exit code by them."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd

from audit_lib.audit import Audit
from audit_lib.commands.shared import (
    FORMATS,
    POLICY_OPTION,
    REFERENCES,
    audited,
    finish,
    image_options,
    output_options,
    report_options,
    write_table,
    write_text,
)
from audit_lib.compliance import NEVER, SEVERITIES, read_policy, verdict
from audit_lib.compliance.review import by_severity
from audit_lib.exports.assessment import Assessment, assessment_of
from audit_lib.exports.junit import junit_xml
from audit_lib.exports.markdown import markdown_summary
from audit_lib.exports.oscal import assessment_results_json, poam_json
from audit_lib.exports.poam import poam_items
from audit_lib.exports.sarif import sarif_json
from audit_lib.tables import Severity

GATE_FAILED = 1
_DOCUMENTS: Mapping[str, Callable[[Assessment], str]] = {
    "sarif": sarif_json,
    "junit": junit_xml,
    "markdown": markdown_summary,
    "oscal": assessment_results_json,
    "oscal-poam": poam_json,
}
_POAM = "poam"
_COLUMNS = ["status", "severity", "check_id", "evidence", "reason"]


class _Severities(click.ParamType[tuple[str, ...]]):
    """Severities separated by commas, in any case: HIGH,CRITICAL."""

    name = "severities"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the severities."""
        words = tuple(word.strip().lower() for word in str(value).split(","))
        for word in words:
            if word not in SEVERITIES:
                self.fail(f"{word!r}: expected some of {','.join(SEVERITIES)}", param, ctx)
        return words


@click.command(
    "check",
    short_help="Check an image by a policy; exit with 1 where its gate fails.",
    help=f"""Check an image by a policy; exit with 1 where its gate fails.

Every check says pass, fail, waived, manual (a person must look at it) or not_assessable (an image cannot tell, or not this one):
the last two are no pass. The gate fails where a check of the policy's severity `fail_on`, or a graver one, fails.

Who knows Trivy: --severity and --exit-code mean what they mean there, but the exit code is 1 unless another is asked for. Who
knows Grype: --fail-on is the same. SARIF levels are Trivy's: critical and high are errors, medium a warning, low a note.

{REFERENCES}
\b
Examples:
  image-audit check docker:my-app
  image-audit check docker:my-app --policy policy.yml --fail-on medium
  image-audit check oci-dir:build/image --format sarif -o image.sarif
  image-audit check registry:registry.example.org/shop/web:1.4 --format junit -o web.xml --severity HIGH,CRITICAL
""",
)
@click.argument("reference")
@click.option(
    "--severity",
    "severities",
    type=_Severities(),
    metavar="LIST",
    help="Only checks of these severities, such as HIGH,CRITICAL.  [default: all]",
)
@click.option(
    "--fail-on",
    type=click.Choice((*SEVERITIES, NEVER), case_sensitive=False),
    help="The lowest severity at which the gate fails.  [default: the policy's]",
)
@click.option(
    "--exit-code",
    type=click.IntRange(0, 125),
    default=GATE_FAILED,
    show_default=True,
    help="The exit code where the gate fails; 0 never stops a pipeline. 2 is the code of wrong input.",
)
@click.option(
    "--today", metavar="DAY", help="Judge ages and waivers by this day, such as 2026-01-31.  [default: today]"
)
@partial(output_options, formats=(*FORMATS, *_DOCUMENTS, _POAM), others="The others are for reviewers and servers.")
@POLICY_OPTION
@report_options
@image_options
@click.pass_obj
def command(
    quiet: bool,
    reference: str,
    severities: tuple[str, ...] | None,
    fail_on: str | None,
    exit_code: int,
    today: str | None,
    form: str,
    output: Path | None,
    platform: str | None,
    limits: tuple[tuple[str, int], ...],
    check_files: bool,
    policy: Path | None,
    scanner_reports: tuple[Path, ...],
    vex: tuple[Path, ...],
) -> None:
    """Check an image by a policy."""
    rules = read_policy(policy)
    if fail_on is not None:
        rules = rules.gated_at(None if fail_on == NEVER else typing.cast("Severity", fail_on))
    found = audited(
        reference,
        platform,
        limits,
        quiet=quiet,
        check_files=check_files,
        policy=rules,
        today_utc=today,
        scanner_reports=scanner_reports,
        vex=vex,
    )
    findings = found.findings
    if severities is not None:
        findings = findings[findings["severity"].isin(severities)].reset_index(drop=True)
    _write(found, findings, form, output)
    if not quiet:
        for sentence in verdict(findings, found.policy):
            click.echo(f"image-audit: {sentence}", err=True)
    finish(found.gaps, found.is_damaged, quiet=quiet)
    if findings["is_gate_failed"].any():
        sys.exit(exit_code)


def _write(found: Audit, findings: pd.DataFrame, form: str, output: Path | None) -> None:
    if form in _DOCUMENTS:
        write_text(_DOCUMENTS[form](assessment_of(found, findings)).removesuffix("\n"), output)
    elif form == _POAM:
        write_table(poam_items(assessment_of(found, findings)), "csv", output)
    elif form == "table":
        write_table(by_severity(findings)[_COLUMNS], form, output)
    else:
        write_table(findings, form, output)
