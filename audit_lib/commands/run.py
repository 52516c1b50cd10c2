"""`image-audit run`: every audit that a schedule names, and a page of them all."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from tqdm import tqdm

from audit_lib.audits import Plan, Planned, read_plan
from audit_lib.clock import now_utc
from audit_lib.commands.check import GATE_FAILED
from audit_lib.commands.shared import PLAIN_HTTP_OPTION, STORE_OPTION, WRONG_INPUT
from audit_lib.errors import SourceError
from audit_lib.retention import is_whole, made_folders, remove_old, to_open
from audit_lib.store import NONE
from audit_lib.units import format_count
from audit_lib.workers import Processes

if TYPE_CHECKING:
    from audit_lib.history import History
    from audit_lib.runs import Outcome

_PLACES = ("AUDIT_STORE", "AUDIT_ADVISORIES")
_WORDS = {
    "done": "done",
    "unchanged": "unchanged",
    "gate_failed": "whose gate failed",
    "damaged": "damaged",
    "failed": "failed",
}


@click.command(
    "run",
    short_help="Write every report that a schedule names, and an index of them.",
    help="""Write every report that a schedule names, and an index of them.

SCHEDULE is a file that names images or pairs, what they are judged by, and what is written of them; image-audit ready audits.yml
writes one with a comment at each key. Paths in it are below its own folder.

Each audit gets a new folder below that of the reports, named for the time of the run. index.html there shows all of them, with
their figures over time, and index.json holds the same for programs; history/ keeps what each run found. An audit that fails does
not keep the others from being made: it is said at the end.

\b
Examples:
  image-audit run audits.yml
  image-audit run audits.yml --jobs 4 --only-changed
  image-audit run audits.yml --check
""",
)
@click.argument("schedule", type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(1, 64), help="How many audits at once.  [default: the schedule's, else 1]")
@click.option(
    "--only-changed",
    is_flag=True,
    help="Leave out audits whose images, settings and data are those of the run before; the index says that they are unchanged.",
)
@click.option("--check", is_flag=True, help="Only say whether the schedule fits, by file and line.")
@PLAIN_HTTP_OPTION
@STORE_OPTION
@click.pass_obj
def command(quiet: bool, schedule: Path, jobs: int | None, only_changed: bool, check: bool) -> None:
    """Write every report that a schedule names, and an index of them."""
    from audit_lib.runs import check_plan  # noqa: PLC0415 - Jupyter's machinery takes half a second to import

    plan = read_plan(schedule)
    _fix_places()
    with contextlib.chdir(schedule.parent):
        check_plan(plan)
        if check:
            click.echo(f"{schedule}: fits; {_plural(len(plan.audits), 'audit')}")
            return
        run_utc = now_utc()
        known, trouble = _history(plan)
        outcomes = _run(plan, run_utc, known if only_changed else None, jobs=jobs or plan.jobs, quiet=quiet)
        trouble += _finish(plan, outcomes, known, run_utc)
        page = Path(plan.reports).absolute() / "index.html"
    _say(outcomes, trouble, page, quiet=quiet)


def _fix_places() -> None:
    """Have what the environment names below the current folder stay there, whatever folder the schedule is in."""
    for name in _PLACES:
        place = os.environ.get(name)
        if place and place != NONE and "://" not in place:
            os.environ[name] = str(Path(place).absolute())


def _history(plan: Plan) -> tuple[History | None, list[str]]:
    """Return what earlier runs found, None where this is the first, and what is wrong with it."""
    from audit_lib.history import has_history, read_history  # noqa: PLC0415 - as above

    if not has_history(plan.history):
        return None, []
    history = read_history(plan.history)
    return history, list(history.gaps)


def _run(plan: Plan, run_utc: str, known: History | None, *, jobs: int, quiet: bool) -> dict[str, Outcome]:
    """Do all audits, `jobs` at once, and return what came of each by its name, in the order of the schedule."""
    from audit_lib.runs import failed_outcome, run_audit  # noqa: PLC0415 - as above

    outcomes: dict[str, Outcome] = {}
    with Processes(min(jobs, len(plan.audits))) as pool, _bar(len(plan.audits), quiet=quiet) as bar:
        asked: dict[Future[Outcome], Planned] = {
            pool.submit(
                run_audit,
                planned,
                reports=plan.reports,
                run_utc=run_utc,
                last=None if known is None else known.last_of(planned.name),
            ): planned
            for planned in plan.audits
        }
        for future in as_completed(asked):
            planned = asked[future]
            try:
                outcome = future.result()
            except Exception as error:  # noqa: BLE001 - whatever an audit, or the process it ran in, meets costs this one, not the run
                said = f"{type(error).__name__}: {' '.join(str(error).split())}"
                outcome = failed_outcome(planned, said, run_utc=run_utc)
            outcomes[planned.name] = outcome
            bar.set_postfix_str(planned.name, refresh=False)
            bar.update()
    return {planned.name: outcomes[planned.name] for planned in plan.audits}


@contextlib.contextmanager
def _bar(total: int, *, quiet: bool) -> Iterator[tqdm[Any]]:
    bar: tqdm[Any] = tqdm(desc="audits", total=total, unit="audit", leave=False, disable=True if quiet else None)
    with bar:
        yield bar


def _finish(plan: Plan, outcomes: dict[str, Outcome], known: History | None, run_utc: str) -> list[str]:
    """Keep what was found, write the index, delete what is not to be kept; return what went wrong with any of that."""
    from audit_lib.history import RUNS, append_history  # noqa: PLC0415 - as above

    trouble = []
    records = [one for planned in plan.audits for one in outcomes[planned.name].records]
    try:
        append_history(plan.history, records, run_utc)
    except SourceError as error:
        trouble.append(str(error))
    reports = Path(plan.reports)
    for planned in plan.audits:
        try:
            remove_old(reports / planned.name, planned.keep, run_utc=run_utc)
        except OSError as error:
            trouble.append(f"{error.filename}: an old report cannot be deleted: {error.strerror}")
    runs = pd.concat([*([] if known is None else [known.runs]), *(one[RUNS] for one in records)], ignore_index=True)
    _write_index(plan, outcomes, runs, run_utc)
    return trouble


def _write_index(plan: Plan, outcomes: dict[str, Outcome], runs: pd.DataFrame, run_utc: str) -> None:
    from audit_lib.exports.index import Entry, index_html, index_json, index_of  # noqa: PLC0415 - as above

    reports = Path(plan.reports)
    entries = [
        Entry(
            name=planned.name,
            status=outcomes[planned.name].status,
            said=outcomes[planned.name].said,
            report=_page(reports, outcomes[planned.name].report),
            reports=[
                f"{planned.name}/{folder.name}/{to_open(folder)}"
                for folder in reversed(made_folders(reports / planned.name))
                if is_whole(folder)
            ],
            judged=planned.judged,
            images={role: wanted.label for role, wanted in planned.images.items()},
        )
        for planned in plan.audits
    ]
    index = index_of(entries, runs, title=f"Audits of {Path(plan.path).name}", run_utc=run_utc)
    for name, text in (("index.json", index_json(index)), ("index.html", index_html(index))):
        whole = reports / f".{name}.new"
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(text, encoding="utf-8")
        whole.replace(reports / name)


def _page(reports: Path, folder: str | None) -> str | None:
    return None if folder is None else f"{folder}/{to_open(reports / folder)}"


def _say(outcomes: dict[str, Outcome], trouble: Sequence[str], page: Path, *, quiet: bool) -> None:
    """Say what came of the run, one line for each audit that is not well, and exit by it."""
    for outcome in outcomes.values():
        if outcome.status in {"failed", "damaged"}:
            click.echo(f"image-audit: error: {outcome.name}: {outcome.said}", err=True)
        elif outcome.status == "gate_failed":
            click.echo(f"image-audit: {outcome.name}: {outcome.said}", err=True)
    for sentence in trouble:
        click.echo(f"image-audit: error: {sentence}", err=True)
    statuses = [outcome.status for outcome in outcomes.values()]
    if not quiet:
        told = ", ".join(f"{statuses.count(word)} {said}" for word, said in _WORDS.items() if word in statuses)
        click.echo(f"{_plural(len(outcomes), 'audit')} ({told}): {page}", err=True)
    if trouble or {"failed", "damaged"} & set(statuses):
        sys.exit(WRONG_INPUT)
    if "gate_failed" in statuses:
        sys.exit(GATE_FAILED)


def _plural(count: int, what: str) -> str:
    return f"{format_count(count)} {what}{'' if count == 1 else 's'}"
