"""`image-audit same`: whether references name the same image, and where they part."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd

from audit_lib.commands.shared import (
    REFERENCES,
    audited,
    finish,
    image_options,
    output_options,
    write_table,
    write_text,
)
from audit_lib.compare.drift import ASPECTS, compare_drift, drift_sentences, verdicts
from audit_lib.exports.show import show
from audit_lib.units import format_count

_NOT_THE_SAME = 1
# so many rows of an aspect, so many letters of a value are shown in the terminal; the other formats hold all
_ROWS, _LETTERS = 10, 50


@click.command(
    "same",
    short_help="Tell whether references name the same image; exit with 1 where they do not.",
    help=f"""Tell whether references name the same image; exit with 1 where they do not, or where that cannot be known.

The first is compared with each of the others: digests, layers, each key of the configuration, packages, files. The table tells
where they part; --format csv holds what is equal too. With --check-files, contents are compared where layers differ.

{REFERENCES}
\b
Examples:
  image-audit same docker:shop/web:1.4 registry:registry.example.org/shop/web:1.4
  image-audit same docker:my-app podman:my-app docker-archive:my-app.tar --format csv -o drift.csv
""",
)
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE REFERENCE...")
@output_options
@image_options
@click.pass_obj
def command(
    quiet: bool,
    references: tuple[str, ...],
    form: str,
    output: Path | None,
    platform: str | None,
    limits: tuple[tuple[str, int], ...],
    check_files: bool,
) -> None:
    """Tell whether references name the same image."""
    if len(references) == 1:
        raise click.UsageError("expected two references or more, found one")
    images = [audited(reference, platform, limits, quiet=quiet, check_files=check_files) for reference in references]
    drift = compare_drift(images)
    if form == "table":
        write_text("\n\n".join(_told(drift, references[0])), output)
    else:
        write_table(drift, form, output)
    finish(tuple(gap for one in images for gap in one.gaps), is_damaged=False, quiet=quiet)
    if set(verdicts(drift).values()) != {"same"}:
        sys.exit(_NOT_THE_SAME)


def _told(drift: pd.DataFrame, first: str) -> Iterator[str]:
    """Yield whether each image is the first, and the beginning of what parts them."""
    yield "\n".join(drift_sentences(drift, first))
    parted = drift[drift["status"] != "equal"].sort_values(
        "aspect", key=lambda names: names.map(ASPECTS.index), kind="stable"
    )
    for (_, image), rows in parted.groupby(["position", "image"]):
        shown = rows.groupby("aspect", sort=False).head(_ROWS).drop(columns=["position", "image"])
        left_out = len(rows) - len(shown)
        more = f"\n… {format_count(left_out)} more, in --format csv" if left_out else ""
        values = {name: shown[name].map(_short, na_action="ignore") for name in ("first_value", "value")}
        yield f"{image}\n{show(shown.assign(**values), rows=None)!r}{more}"


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[:_LETTERS]}…"
