"""The advisory database: a folder of Parquet files, one an ecosystem, sorted by release and package, so that little is read of it.

Each file says in its metadata where it came from and from when it is. It is written under a name of its own and renamed: whoever
reads meets the old one or the new one, whole.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import platformdirs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit_lib.errors import AuditError
from audit_lib.store import open_place, write_whole
from audit_lib.tables import AdvisorySource, make_table
from audit_lib.vulnerabilities.base import ENVIRONMENT
from audit_lib.vulnerabilities.columns import SCHEMA, Rows, newest

NONE = "none"
KEV, EPSS = "kev", "epss"
_OSV = "osv:"
_METADATA = b"audit_lib_advisories"
# The layout of these files; one of another layout has to be made anew.
_LAYOUT = 1
# Rows that are read together. Small, so that a few packages of many cost little; a row is some hundred bytes.
_GROUP_ROWS = 1024
_LOOKED_FOR = ("release", "package", "cve")
_LISTS = {
    KEV: pa.schema([("cve", pa.string()), ("value", pa.string())]),
    EPSS: pa.schema([("cve", pa.string()), ("value", pa.float64())]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a file of the database says of itself: the columns of `AdvisorySource`, what an update asks a server by (`url`, `etag`).

    `releases`: those of a distribution that any record names; of others nothing is known.
    """

    source: str
    data_utc: str | None = None
    updated_utc: str | None = None
    record_count: int = 0
    package_count: int | None = None
    withdrawn_count: int | None = None
    skipped_count: int = 0
    origin: str | None = None
    digest: str | None = None
    detail: str | None = None
    url: str | None = None
    etag: str | None = None
    releases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a database holds of the packages asked for: records by (ecosystem, release, package), facts by source, lists of CVEs.

    `exploited` and `scores` are None where that list is not held.
    """

    records: Mapping[tuple[str, str, str], list[dict[str, Any]]]
    facts: Mapping[str, Facts]
    exploited: Mapping[str, str] | None
    scores: Mapping[str, float] | None


class Database:
    """Advisories in a folder (or at an fsspec URL); made where it is not there yet when something is written to it.

    Without a place: what the environment's AUDIT_ADVISORIES names, else the user's cache folder. Raises `AuditError` where a file
    in it is damaged, or of another version of this library.
    """

    def __init__(self, place: str | os.PathLike[str] | None = None) -> None:
        self.place = os.fspath(place) if place is not None else default_place()
        self._fs, self._root = open_place(self.place, "advisories")

    def facts(self) -> dict[str, Facts]:
        """Return what each file says of itself, by source."""
        try:
            found = self._fs.ls(self._root, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        names = sorted(str(path).rpartition("/")[2] for path in found)
        every = [self._facts_in(name) for name in names if name.endswith(".parquet") and not name.startswith(".")]
        return {facts.source: facts for facts in every}

    def state(self) -> str:
        """Return a text that changes when what is held does."""
        said = [asdict(replace(facts, updated_utc=None)) for facts in self.facts().values()]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def table(self) -> pd.DataFrame:
        """Return what is held (schema `AdvisorySource`), one row a source."""
        columns = [field.name for field in fields(AdvisorySource) if field.name != "stored_bytes"]
        return make_table(
            AdvisorySource,
            [
                AdvisorySource(
                    **{name: getattr(facts, name) for name in columns},
                    stored_bytes=int(self._fs.size(self._path(facts.source))),
                )
                for facts in self.facts().values()
            ],
        )

    def load(self, wanted: Iterable[tuple[str, str, str]]) -> Loaded:
        """Return what is held of these (ecosystem, release, package); of everything else nothing is read."""
        facts = self.facts()
        by_ecosystem: dict[str, set[tuple[str, str]]] = {}
        for ecosystem, release, package in wanted:
            by_ecosystem.setdefault(ecosystem, set()).add((release, package))
        records: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for ecosystem, names in sorted(by_ecosystem.items()):
            if source_of(ecosystem) in facts:
                for row in self._rows(source_of(ecosystem), names):
                    records.setdefault((ecosystem, row["release"], row["package"]), []).append(row)
        cves = {cve for rows in records.values() for row in rows for cve in row["cves"]}
        lists = {name: self._values(name, cves) if name in facts else None for name in _LISTS}
        return Loaded(records=records, facts=facts, exploited=lists[KEV], scores=lists[EPSS])

    def replace(self, ecosystem: str, rows: Rows, facts: Facts) -> Facts:
        """Hold these rows, and none else, of an ecosystem."""
        return self._write_rows(ecosystem, rows.table(), facts)

    def merge(self, ecosystem: str, rows: Rows, facts: Facts) -> Facts:
        """Hold these rows beside those that are held already; of a record that both have, what was modified last."""
        new, source = rows.table(), source_of(ecosystem)
        if source not in self.facts():
            return self._write_rows(ecosystem, newest(new), facts)
        joined = replace(facts, digest=None, etag=None, url=None)
        with self._opened(source) as file:
            old = file.read(columns=SCHEMA.names)
        return self._write_rows(ecosystem, newest(pa.concat_tables([old.cast(SCHEMA), new])), joined)

    def replace_list(self, name: str, values: Mapping[str, Any], facts: Facts) -> Facts:
        """Hold this list of CVEs: `KEV` or `EPSS`."""
        facts = replace(facts, record_count=len(values))
        table = pa.table({"cve": sorted(values), "value": [values[cve] for cve in sorted(values)]}, schema=_LISTS[name])
        self._write(table, facts)
        return facts

    def touch(self, facts: Facts) -> None:
        """Note anew what a file says of itself, its rows left as they are."""
        with self._opened(facts.source) as file:
            table = file.read()
        self._write(table, facts)

    def _write_rows(self, ecosystem: str, table: pa.Table, facts: Facts) -> Facts:
        table = table.sort_by([("release", "ascending"), ("package", "ascending"), ("id", "ascending")])
        times = pc.coalesce(table["modified"], table["published"])
        withdrawn = table.filter(pc.is_valid(table["withdrawn"]))
        facts = replace(
            facts,
            source=source_of(ecosystem),
            # A record without a time may be the newest; where many have none, the date of the rest says little.
            data_utc=None if times.null_count * 100 > len(table) else pc.max(times).as_py(),
            record_count=pc.count_distinct(table["id"]).as_py(),
            package_count=len(table.group_by(["release", "package"]).aggregate([])),
            withdrawn_count=pc.count_distinct(withdrawn["id"]).as_py(),
            releases=tuple(sorted(pc.unique(table["release"]).to_pylist())),
        )
        self._write(table, facts)
        return facts

    def _write(self, table: pa.Table, facts: Facts) -> None:
        head = json.dumps({"layout": _LAYOUT, **asdict(facts)}).encode()
        buffer = pa.BufferOutputStream()
        pq.write_table(
            table.replace_schema_metadata({_METADATA: head}),
            buffer,
            compression="zstd",
            row_group_size=_GROUP_ROWS,
            write_page_checksum=True,
            # Only of what is looked for: those of all columns would be half of a large file's metadata.
            write_statistics=[name for name in table.column_names if name in _LOOKED_FOR],
        )
        try:
            write_whole(self._fs, self._path(facts.source), buffer.getvalue().to_pybytes())
        except OSError as error:
            raise AuditError(f"advisories {self.place}: cannot be written: {error.strerror or error}") from error

    def _rows(self, source: str, names: set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        packages = sorted({package for _, package in names})
        releases = sorted({release for release, _ in names})
        wanted = pa.array(releases, pa.string()), pa.array(packages, pa.string())
        with self._opened(source) as file:
            groups = [group for group in range(file.num_row_groups) if _may_hold(file, group, releases, packages)]
            # The names alone first: they are short, the rest is not.
            chosen = []
            for group in groups:
                keys = file.read_row_group(group, columns=["release", "package"])
                if pc.any(_is_wanted(keys, *wanted)).as_py():
                    chosen.append(group)
            for batch in file.iter_batches(_GROUP_ROWS, row_groups=chosen, columns=SCHEMA.names) if chosen else ():
                found = batch.filter(_is_wanted(batch, *wanted))
                yield from (row for row in found.to_pylist() if (row["release"], row["package"]) in names)

    def _values(self, name: str, cves: set[str]) -> dict[str, Any]:
        with self._opened(name) as file:
            table = file.read(columns=["cve", "value"])
        found = table.filter(pc.is_in(table["cve"], pa.array(sorted(cves), pa.string())))
        return dict(zip(found["cve"].to_pylist(), found["value"].to_pylist(), strict=True))

    def _facts_in(self, name: str) -> Facts:
        with self._opened(name.removesuffix(".parquet")) as file:
            stated = json.loads(file.schema_arrow.metadata[_METADATA])
            if stated.pop("layout") != _LAYOUT:
                raise AuditError(
                    f"advisories {self.place}: {name} was written by another version of this library; update or import anew"
                )
            known = {field.name for field in fields(Facts)}
            stated["releases"] = tuple(stated["releases"])
            return Facts(**{key: value for key, value in stated.items() if key in known})

    def _opened(self, source: str) -> _Opened:
        return _Opened(self._fs, self._path(source), f"advisories {self.place}")

    def _path(self, source: str) -> str:
        return f"{self._root}/{source.replace(':', '-').replace(' ', '_')}.parquet"


class _Opened:
    """A file of the database while it is read; what is wrong with it is one error that names it."""

    def __init__(self, filesystem: Any, path: str, what: str) -> None:
        self._fs, self._path, self._what = filesystem, path, what

    def __enter__(self) -> pq.ParquetFile:
        try:
            self._file = self._fs.open(self._path, "rb")
        except OSError as error:
            raise AuditError(f"{self._what}: {self._path.rpartition('/')[2]}: {error.strerror or error}") from error
        try:
            return pq.ParquetFile(self._file, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            self._file.close()
            raise self._damaged(error) from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if isinstance(error, (pa.ArrowException, OSError, ValueError, KeyError, TypeError)):
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> AuditError:
        name = self._path.rpartition("/")[2]
        return AuditError(
            f"{self._what}: {name} is damaged ({' '.join(str(error).split())[:200]}); update or import it anew"
        )


def source_of(ecosystem: str) -> str:
    """Return the name of the source that holds an ecosystem's advisories."""
    return f"{_OSV}{ecosystem}"


def ecosystem_of(source: str) -> str | None:
    """Return the ecosystem whose advisories a source holds, None for a list of CVEs."""
    return source.removeprefix(_OSV) if source.startswith(_OSV) else None


def default_place() -> str:
    """Return where advisories are when nobody says where: AUDIT_ADVISORIES, else below the user's cache folder (XDG_CACHE_HOME)."""
    return os.environ.get(ENVIRONMENT) or str(Path(platformdirs.user_cache_dir("audit-lib"), "advisories"))


def _may_hold(file: pq.ParquetFile, group: int, releases: Sequence[str], packages: Sequence[str]) -> bool:
    """Tell by its least and greatest values whether a group of rows may hold any of these, which are sorted."""
    bounds = []
    for column in range(2):
        statistics = file.metadata.row_group(group).column(column).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        bounds.append((statistics.min, statistics.max))
    if not _any_between(*bounds[0], releases):
        return False
    # Names are in order within a release only.
    return bounds[0][0] != bounds[0][1] or _any_between(*bounds[1], packages)


def _any_between(least: str, greatest: str, wanted: Sequence[str]) -> bool:
    place = bisect.bisect_left(wanted, least)
    return place < len(wanted) and wanted[place] <= greatest


def _is_wanted(rows: pa.Table | pa.RecordBatch, releases: pa.Array, packages: pa.Array) -> pa.Array:
    return pc.and_(pc.is_in(rows["package"], packages), pc.is_in(rows["release"], releases))
