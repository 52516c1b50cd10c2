"""`image-audit ready`: files to begin with, for a schedule and for what runs it every night."""

from __future__ import annotations

from pathlib import Path

import click

from audit_lib.commands.shared import write_text

_FOLDER = Path(__file__).resolve().parent.parent / "ready"
_PURPOSES = {
    "audits.yml": "a schedule, with a comment at each key",
    "cron": "a line for cron",
    "image-audit.service": "what systemd runs",
    "image-audit.timer": "when systemd runs it",
    "github-actions.yml": "a workflow for GitHub Actions",
    "gitlab-ci.yml": "a pipeline for GitLab CI",
    "kubernetes.yml": "a CronJob for Kubernetes",
    "Dockerfile": "an image of the tool itself",
}


@click.command(
    "ready",
    short_help="Write a file to begin with: a schedule, cron, systemd, CI, Kubernetes, Docker.",
    help="Write a file to begin with; a comment in each says what to do with it.\n\n"
    "\b\n" + "\n".join(f"  {name:<21}{purpose}" for name, purpose in _PURPOSES.items()) + "\n\n"
    "\b\nExamples:\n"
    "  image-audit ready audits.yml -o audits.yml\n"
    "  image-audit ready cron\n"
    "  image-audit ready Dockerfile -o Dockerfile\n",
)
@click.argument("name", type=click.Choice(list(_PURPOSES)))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output.")
def command(name: str, output: Path | None) -> None:
    """Write a file to begin with."""
    write_text((_FOLDER / name).read_text(encoding="utf-8").removesuffix("\n"), output)
