"""What a notebook hands over of the images that it examined: SBOMs and documents of findings are made of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from audit_lib.errors import TableError
from audit_lib.exports.assessment import TOOL, StatedPolicy
from audit_lib.exports.tables import parquet_of
from audit_lib.tables import Database, Finding, Image, Layer, Package, Row, Vulnerability, check_table

FOLDER = "audits"
_FACTS = "facts.json"
_TABLES: Mapping[str, type[Row]] = {
    "image": Image,
    "layers": Layer,
    "databases": Database,
    "packages": Package,
    "findings": Finding,
    "vulnerabilities": Vulnerability,
}


class Examined(Protocol):
    """An image with the tables that documents are made of."""

    @property
    def image(self) -> pd.DataFrame:
        """One row, schema `Image`."""

    @property
    def layers(self) -> pd.DataFrame:
        """Schema `Layer`."""

    @property
    def databases(self) -> pd.DataFrame:
        """Schema `Database`."""

    @property
    def packages(self) -> pd.DataFrame:
        """Schema `Package`."""

    @property
    def findings(self) -> pd.DataFrame:
        """Schema `Finding`."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What could not be read, a sentence each."""

    @property
    def unknown(self) -> frozenset[str]:
        """The tables of which nothing is known."""

    @property
    def vulnerabilities(self) -> pd.DataFrame:
        """Schema `Vulnerability`."""

    @property
    def advisory_sources(self) -> tuple[Mapping[str, str | None], ...]:
        """The bodies of advisories that its packages were held against."""

    @property
    def policy(self) -> StatedPolicy:
        """What the findings were judged by."""

    @property
    def today_utc(self) -> str:
        """The day by which ages and waivers were judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPolicy:
    """What was written of a policy: its name, where it was read, the SHA-256 of its file."""

    name: str
    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenAudit:
    """What `write_audits` wrote of one image, read back.

    `vulnerability_data`: whose data on vulnerabilities were used, of which day, with the digest of each body of advisories.
    """

    image: pd.DataFrame
    layers: pd.DataFrame
    databases: pd.DataFrame
    packages: pd.DataFrame
    findings: pd.DataFrame
    vulnerabilities: pd.DataFrame
    gaps: tuple[str, ...]
    unknown: frozenset[str]
    policy: WrittenPolicy
    today_utc: str
    vulnerability_data: tuple[Mapping[str, str | None], ...]


def write_audits(folder: str | Path, /, **audits: Examined | None) -> None:
    """Write of each image what SBOMs and documents of findings are made of, below `<folder>/audits/<name>/`.

    The tables image, layers, databases, packages, findings and vulnerabilities as Parquet, and `facts.json` with the policy, the
    day and the gaps. With an empty folder name, write nothing; an image that is None is left out.
    """
    if not str(folder):
        return
    for name, found in audits.items():
        if found is None:
            continue
        target = Path(folder) / FOLDER / name
        target.mkdir(parents=True, exist_ok=True)
        for table in _TABLES:
            (target / f"{table}.parquet").write_bytes(parquet_of(getattr(found, table)))
        policy = {"name": found.policy.name, "path": found.policy.path, "digest": found.policy.digest}
        facts = {
            "today_utc": found.today_utc,
            "policy": policy,
            "gaps": list(found.gaps),
            "unknown": sorted(found.unknown),
            "vulnerability_data": list(_vulnerability_data(found)),
        }
        (target / _FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_audits(folder: Path) -> dict[str, WrittenAudit]:
    """Return what `write_audits` wrote into a folder, by name, sorted; empty where it wrote nothing. Raises `TableError`."""
    return {path.parent.name: _read(path) for path in sorted((folder / FOLDER).glob(f"*/{_FACTS}"))}


def _vulnerability_data(found: Examined) -> Iterator[dict[str, str | None]]:
    """Yield whose data say what there is to say of vulnerabilities: the advisories that were asked, and each scanner."""
    yield from map(dict, found.advisory_sources)
    told = found.vulnerabilities[["found_by", "found_by_version", "data_utc"]].drop_duplicates()
    for row in told[told["found_by"] != TOOL].sort_values(list(told.columns)).itertuples(index=False):
        values = [None if pd.isna(value) else str(value) for value in row]
        yield dict(zip(("found_by", "version", "data_utc"), values, strict=True))


def _read(path: Path) -> WrittenAudit:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tables = {
            name: check_table(row, pd.read_parquet(path.with_name(f"{name}.parquet"))) for name, row in _TABLES.items()
        }
        return WrittenAudit(
            **tables,
            gaps=tuple(facts["gaps"]),
            unknown=frozenset(facts["unknown"]),
            policy=WrittenPolicy(**facts["policy"]),
            today_utc=facts["today_utc"],
            vulnerability_data=tuple(facts["vulnerability_data"]),
        )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise TableError(f"{path.parent.name}: what the notebook handed over cannot be read: {error}") from error
