"""What runs of a schedule found, kept for good: a folder of Parquet files, one append a run.

`PLACE/runs`, `PLACE/packages` … are a dataset each, with one file a run, under the same name in all of them; that in `runs` is
written last. Whoever reads looks there first, so a run that was cut is not there at all; and since no two runs choose the same
name, two at once do not meet.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit_lib.audit import TABLES, Audit, audit
from audit_lib.errors import SourceError, TableError
from audit_lib.store import open_place, write_whole
from audit_lib.tables import (
    HistoryDatabase,
    HistoryFinding,
    HistoryPackage,
    HistoryRole,
    HistoryRun,
    HistoryVulnerability,
    Image,
    Row,
    check_table,
    make_table,
)
from audit_lib.tasks import digest_of
from audit_lib.wanted import Wanted

RUNS = "runs"
# The tables of a history by name; `runs`, which says of what there are rows, comes last.
HISTORY_TABLES: Mapping[str, type[Row]] = {
    "databases": HistoryDatabase,
    "packages": HistoryPackage,
    "findings": HistoryFinding,
    "vulnerabilities": HistoryVulnerability,
    RUNS: HistoryRun,
}
AFFECTED = ("affected", "under_investigation")
_SEVERE = ("critical", "high")
_UNASSESSED = ("manual", "not_assessable")
_NAME = re.compile(r"[0-9TZ]{16}-[0-9a-f]{12}\.parquet")

_DAMAGED = (pa.ArrowException, OSError, KeyError, ValueError, TypeError)

Records = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, eq=False, kw_only=True)
class History:
    """A history that was read.

    `runs` has the columns of `HistoryRun`, then those of `Image`; `databases`, `packages`, `findings`, `vulnerabilities` those of
    the row class of their name. `gaps`: what of it could not be read, a sentence each. `notes`: what is to be known of it before
    its figures are read.
    """

    runs: pd.DataFrame
    databases: pd.DataFrame
    packages: pd.DataFrame
    findings: pd.DataFrame
    vulnerabilities: pd.DataFrame
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def latest(self) -> pd.DataFrame:
        """The last row of `runs` of each image and audit."""
        return self.runs.sort_values("run_utc", kind="stable").drop_duplicates(["image", "audit"], keep="last")

    def of_latest(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of one of these tables that the last run of each image and audit has."""
        return table.merge(self.latest[["image", "audit", "run_utc"]], how="inner", validate="many_to_one")

    def last_of(self, audit_name: str) -> History:
        """Return what the last run of an audit knew, all else left out."""
        tables: dict[str, Any] = {}
        for name in HISTORY_TABLES:
            rows = self.of_latest(getattr(self, name))
            tables[name] = rows[rows["audit"] == audit_name].reset_index(drop=True)
        return History(**tables)


def records_of(found: Audit, wanted: Wanted, *, audit_name: str, role: HistoryRole, run_utc: str) -> Records:
    """Return what a history keeps of an audit, by table; what the run adds (`report` …) is missing in `runs`."""
    label = wanted.label
    # What is in a database that cannot be read is not gone: a night of it must not end what is open.
    hidden = {"packages", "vulnerabilities"} if found.is_damaged else set()
    unknown = [name for name in TABLES if name in hidden or not found.knows(name)]
    vulnerabilities = None if "vulnerabilities" in unknown else found.vulnerabilities
    counts: dict[str, Any] = dict.fromkeys(("error", "is_gate_failed", "report", "fingerprint", "judged_until_utc"))
    counts |= _check_counts(found.findings)
    counts |= _vulnerability_counts(vulnerabilities)
    run = HistoryRun(
        image=label,
        audit=audit_name,
        run_utc=run_utc,
        role=role,
        status="damaged" if found.is_damaged else "read",
        image_digest=digest_of(found, wanted),
        unknown_tables=", ".join(unknown) or None,
        **counts,
    )
    tables = {"databases": found.databases, "packages": found.packages, "findings": found.findings}
    if vulnerabilities is not None:
        tables["vulnerabilities"] = vulnerabilities
    key = {"image": label, "audit": audit_name, "run_utc": run_utc}
    details = {name: _keyed(HISTORY_TABLES[name], tables.get(name), key) for name in HISTORY_TABLES if name != RUNS}
    return {**details, RUNS: _runs_table(run, found.image)}


def failed_records(wanted: Wanted, error: str, *, audit_name: str, role: HistoryRole, run_utc: str) -> Records:
    """Return what a history keeps of an image that could not be read: a row of `runs` that says so."""
    facts: dict[str, Any] = {field.name: None for field in fields(HistoryRun)}
    facts |= {"image": wanted.label, "audit": audit_name, "run_utc": run_utc, "role": role, "error": error}
    run = HistoryRun(**facts | {"status": "failed", "unknown_tables": ", ".join(TABLES)})
    details = {name: make_table(row, []) for name, row in HISTORY_TABLES.items() if name != RUNS}
    return {**details, RUNS: _runs_table(run, make_table(Image, []))}


def repeated_records(last: History, *, run_utc: str) -> Records:
    """Return the rows of an audit's last run anew, as those of a run that found nothing changed."""
    records = {}
    for name in HISTORY_TABLES:
        rows = getattr(last, name)
        records[name] = rows.assign(run_utc=pd.array([run_utc] * len(rows), dtype="string"))
    unchanged = pd.array(["unchanged"] * len(records[RUNS]), dtype="string")
    return {**records, RUNS: records[RUNS].assign(status=unchanged)}


def append_history(place: str | os.PathLike[str], records: Sequence[Records], run_utc: str) -> None:
    """Add a run to the history at a place: a folder, or an fsspec URL. Raises `SourceError` where that cannot be.

    Nothing of what is there is changed. Whoever reads meanwhile, or after a run that was cut, meets all of it or nothing.
    """
    if not records:
        return
    filesystem, root = open_place(os.fspath(place), "history")
    name = f"{re.sub('[^0-9TZ]', '', run_utc)}-{uuid.uuid4().hex[:12]}.parquet"
    for table in HISTORY_TABLES:
        frame = pd.concat([one[table] for one in records], ignore_index=True)
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer, compression="zstd")
        try:
            write_whole(filesystem, f"{root}/{table}/{name}", buffer.getvalue().to_pybytes())
        except OSError as error:
            raise SourceError(f"history {place} cannot be written to: {error.strerror or error}") from error


def read_history(place: str | os.PathLike[str], *, image: str = "", from_utc: str = "", until_utc: str = "") -> History:
    """Return the history at a place: of images whose name holds `image`, of runs between two times or days.

    An empty place is an example made of the sample images, five runs (see `sample_history`). A file that is damaged is no error: it
    is said in `gaps`. Raises `SourceError` where there is no history, or no such run.
    """
    if not os.fspath(place):
        return _chosen(sample_history(), image, from_utc, until_utc)
    filesystem, root = open_place(os.fspath(place), "history")
    names = _names(filesystem, root)
    if not names:
        raise SourceError(f"history {place}: no runs are there; expected a folder that image-audit run wrote")
    read: dict[str, dict[str, pa.Table]] = {}
    gaps = []
    for name in names:
        try:
            read[name] = {table: _read(filesystem, f"{root}/{table}/{name}", table) for table in HISTORY_TABLES}
        except _DAMAGED as error:
            gaps.append(_unread(name, error))
    try:
        tables = _joined(read.values())
    except TableError:
        # One of them says what it cannot: each is looked at alone, which takes longer.
        for name in list(read):
            try:
                _joined([read[name]])
            except TableError as error:
                gaps.append(_unread(name, error))
                del read[name]
        tables = _joined(read.values())
    return _chosen(History(**tables, gaps=tuple(gaps)), image, from_utc, until_utc)


def has_history(place: str | os.PathLike[str]) -> bool:
    """Tell whether a run was ever kept at a place. Raises `SourceError` where there is no driver for its URL."""
    return bool(_names(*open_place(os.fspath(place), "history")))


def sample_history() -> History:
    """Return an example: five nights of an image that was the full sample on three and the minimal one from then on."""
    found = {name: audit(f"sample:{name}") for name in ("full", "minimal")}
    nights = zip(range(1, 6), ["full", "full", "full", "minimal", "minimal"], strict=True)
    wanted = Wanted("sample")
    records = [
        records_of(found[name], wanted, audit_name="sample", role="image", run_utc=f"2025-02-0{night}T02:00:00Z")
        for night, name in nights
    ]
    tables = _joined({table: pa.Table.from_pandas(one[table]) for table in HISTORY_TABLES} for one in records)
    note = (
        "This is an example made of the two sample images: five nights of one image, the full sample on the first three and the "
        "minimal one on the last two. history_dir names a history of your own."
    )
    return History(**tables, notes=(note,))


def _check_counts(findings: pd.DataFrame) -> dict[str, int | None]:
    counts = findings["status"].value_counts()
    return {
        "failed_check_count": int(counts.get("fail", 0)),
        "waived_check_count": int(counts.get("waived", 0)),
        "unassessed_check_count": sum(int(counts.get(status, 0)) for status in _UNASSESSED),
    }


def _vulnerability_counts(vulnerabilities: pd.DataFrame | None) -> dict[str, Any]:
    """Return how many vulnerabilities there are, and of when the data are; all missing where nothing is known of any."""
    if vulnerabilities is None:
        return dict.fromkeys(("vulnerability_count", "severe_vulnerability_count", "data_utc"))
    rows = vulnerabilities[vulnerabilities["status"].isin(AFFECTED)]
    severe = rows[rows["severity"].isin(_SEVERE)]
    stated = vulnerabilities["data_utc"].dropna()
    return {
        "vulnerability_count": rows["vulnerability_id"].nunique(),
        "severe_vulnerability_count": severe["vulnerability_id"].nunique(),
        "data_utc": str(stated.max()) if len(stated) else None,
    }


def _keyed(row: type[Row], table: pd.DataFrame | None, key: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of `row` that a table of an audit has, under the key of a run, each key once."""
    if table is None or table.empty:
        return make_table(row, [])
    columns = {field.name: table[field.name] for field in fields(row) if field.name not in key}
    frame = pd.DataFrame(columns).drop_duplicates([name for name in row.KEY if name not in key])
    stated = {name: [value] * len(frame) for name, value in key.items()}
    return make_table(row, {**stated, **{name: frame[name].array for name in columns}})


def _runs_table(run: HistoryRun, image: pd.DataFrame) -> pd.DataFrame:
    facts = image.drop(columns="image").reindex(range(1))
    return pd.concat([make_table(HistoryRun, [run]), facts], axis="columns")


def _names(filesystem: Any, root: str) -> list[str]:
    """Return the names of the runs' files, oldest first."""
    try:
        found = sorted(path.rpartition("/")[2] for path in filesystem.find(f"{root}/{RUNS}"))
    except FileNotFoundError:
        return []
    return [name for name in found if _NAME.fullmatch(name)]


def _read(filesystem: Any, path: str, table: str) -> pa.Table:
    """Return one file's rows; columns that a later version added are missing in those of an earlier one."""
    found = pq.read_table(pa.BufferReader(filesystem.cat_file(path)))
    schema = _schema(table)
    for field in schema:
        if field.name not in found.column_names:
            found = found.append_column(field.name, pa.nulls(found.num_rows, field.type))
    return found.select(schema.names).cast(schema)


@cache
def _schema(table: str) -> pa.Schema:
    """Return the columns of a table of a history."""
    frame = make_table(HISTORY_TABLES[table], [])
    if table == RUNS:
        frame = pd.concat([frame, make_table(Image, []).drop(columns="image")], axis="columns")
    return pa.Schema.from_pandas(frame, preserve_index=False)


def _joined(runs: Iterable[Mapping[str, pa.Table]]) -> dict[str, Any]:
    """Return the rows of several runs by table and key; of two runs of the same second the later file counts.

    Raises `TableError` where they hold what a row cannot.
    """
    found = list(runs)
    joined = {}
    for table, row in HISTORY_TABLES.items():
        key = list(row.KEY)
        frame = pa.concat_tables(
            [_schema(table).empty_table(), *(one[table].cast(_schema(table)) for one in found)]
        ).to_pandas()
        frame = frame.drop_duplicates(key, keep="last").sort_values(key, kind="stable", ignore_index=True)
        joined[table] = check_table(row, frame)
    return joined


def _unread(name: str, error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return f"history: {RUNS}/{name} or a file of its name cannot be read, so that run is unknown: {said}"


def _chosen(history: History, image: str, from_utc: str, until_utc: str) -> History:
    """Return the rows of images whose name holds `image`, of runs from a time on and until the end of another."""

    def choose(table: pd.DataFrame) -> pd.DataFrame:
        # The tilde comes after everything that a time is written with, so a day means all of it.
        fits = (table["run_utc"] >= from_utc) & (table["run_utc"] <= f"{until_utc}~")
        fits &= table["image"].str.contains(image, regex=False)
        return table[fits].reset_index(drop=True)

    chosen: dict[str, Any] = {name: choose(getattr(history, name)) for name in HISTORY_TABLES}
    if chosen[RUNS].empty and not history.runs.empty:
        images = ", ".join(sorted(set(history.runs["image"])))
        raise SourceError(f"history: no run of {image or 'any image'} between these times; it has runs of {images}")
    return History(**chosen, gaps=history.gaps, notes=history.notes)
