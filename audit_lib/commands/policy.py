"""`image-audit policy`: the default policy as a file to begin with, and whether a policy fits."""

from __future__ import annotations

from pathlib import Path

import click

from audit_lib.compliance import read_policy
from audit_lib.compliance.policy import DEFAULT
from audit_lib.units import format_count


@click.command(
    "policy",
    short_help="Write the default policy, or say whether a policy fits.",
    help="""Write the default policy, or say whether a policy fits.

Without FILE: the default policy, with a comment at each key. With it: what that policy sets, or what is wrong with it, by line.

\b
Examples:
  image-audit policy > policy.yml
  image-audit policy policy.yml
""",
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
def command(file: Path | None) -> None:
    """Write the default policy, or say whether a policy fits."""
    if file is None:
        click.echo(DEFAULT.read_text(encoding="utf-8"), nl=False)
        return
    policy = read_policy(file)
    own = [name for name, setting in policy.settings.items() if setting.line is not None]
    left_out = [name for name, setting in policy.settings.items() if not setting.run]
    click.echo(f"{'policy':<16}{policy.name}")
    click.echo(f"{'digest':<16}{policy.digest}")
    click.echo(f"{'fails on':<16}{policy.fail_on or 'never'}")
    click.echo(f"{'checks':<16}{format_count(len(policy.settings))}, {format_count(len(own))} set by this policy")
    click.echo(f"{'left out':<16}{', '.join(left_out) or 'none'}")
    click.echo(f"{'bases':<16}{', '.join(base.name for base in policy.bases) or 'none'}")
    click.echo(f"{'waivers':<16}{format_count(len(policy.waivers))}")
    for waiver in policy.waivers:
        click.echo(f"  {waiver.check}: {waiver.owner} until {waiver.until}: {waiver.reason}")
