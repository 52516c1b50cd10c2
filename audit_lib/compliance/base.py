"""What a check is: a function from an image's tables to a verdict, and what it needs for that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import pandas as pd

from audit_lib.tables import FindingStatus

# What a policy may set for a check: whole numbers, shares from 0 to 1, bytes such as 512MiB, lists of text, yes or no.
OptionKind = Literal["count", "share", "bytes", "texts", "flag"]

_FEW = 5


class Judged(Protocol):
    """What checks need of an image: its tables, with the columns of the row classes of those names."""

    @property
    def image(self) -> pd.DataFrame:
        """One row, schema `Image`."""

    @property
    def layers(self) -> pd.DataFrame:
        """Schema `Layer`."""

    @property
    def files(self) -> pd.DataFrame:
        """Schema `File`."""

    @property
    def databases(self) -> pd.DataFrame:
        """Schema `Database`."""

    @property
    def packages(self) -> pd.DataFrame:
        """Schema `Package`."""

    @property
    def removed_packages(self) -> pd.DataFrame:
        """Schema `RemovedPackage`."""

    @property
    def binaries(self) -> pd.DataFrame:
        """Schema `Binary`."""

    @property
    def referrers(self) -> pd.DataFrame:
        """Schema `Referrer`."""

    @property
    def referrers_problem(self) -> str | None:
        """Why what is attached is not known, where a registry was asked."""

    @property
    def surface(self) -> pd.DataFrame:
        """Schema `SurfaceItem`."""

    @property
    def vulnerabilities(self) -> pd.DataFrame:
        """Schema `Vulnerability`."""

    @property
    def vulnerability_coverage(self) -> pd.DataFrame:
        """Schema `VulnerabilityCoverage`."""

    @property
    def vulnerability_counts(self) -> pd.DataFrame:
        """Schema `VulnerabilityCount`."""

    @property
    def scanner_reports(self) -> pd.DataFrame:
        """Schema `ScannerReport`."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The image configuration as parsed JSON; empty where it is not known."""

    def knows(self, table: str) -> bool:
        """Tell whether the rows of a table, or that it has none, say something of the image."""


class Base(NamedTuple):
    """An image that a policy allows as a base: its layers from the bottom up, by diff id or by digest."""

    name: str
    layers: tuple[str, ...]


class Rules(NamedTuple):
    """What a check is told beside the tables: its options, the allowed bases, and the day to judge by."""

    options: Mapping[str, Any]
    bases: tuple[Base, ...]
    today: dt.date


class Verdict(NamedTuple):
    """What a check says. `evidence`: what was found; `reason`: why it cannot tell, or what a person must look at."""

    status: FindingStatus
    evidence: str | None = None
    reason: str | None = None
    locations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check.

    `title`: what is so where it passes. `judge` is called only where all that `needs` names is known: tables by their names,
    `config`, `history` (what each layer was made by). `remedy`: what to do where it fails. `options`: what a policy may set;
    a tuple is the words of which it takes a list.
    """

    id: str
    title: str
    needs: tuple[str, ...]
    judge: Callable[[Judged, Rules], Verdict]
    remedy: str
    options: Mapping[str, OptionKind | tuple[str, ...]] = field(default_factory=dict)


def passed(evidence: str) -> Verdict:
    """Return the verdict of a check that found what it wants, or none of what it does not want."""
    return Verdict("pass", evidence)


def failed(evidence: str, locations: Iterable[str] = ()) -> Verdict:
    """Return the verdict of a check that found what it does not want; `locations`: the paths meant."""
    return Verdict("fail", evidence, locations=tuple(locations))


def to_look_at(what: str, evidence: str | None = None) -> Verdict:
    """Return the verdict of a check that only a person can decide: what to look at."""
    return Verdict("manual", evidence, what)


def not_assessable(why: str, evidence: str | None = None) -> Verdict:
    """Return the verdict of a check that this image cannot answer, and why."""
    return Verdict("not_assessable", evidence, why)


def fact(found: Judged, name: str) -> Any:
    """Return a column of the image's row, None where it is missing."""
    value = found.image[name].iloc[0]
    return None if pd.isna(value) else value


def run_config(found: Judged) -> Mapping[str, Any]:
    """Return what a container is started with (`config` of the image configuration); empty where it states none."""
    stated = found.config.get("config")
    return stated if isinstance(stated, dict) else {}


def named(names: Iterable[Any], *, few: int = _FEW) -> str:
    """Return names as text: the first few, and how many more there are.

    >>> named(["a", "b", "c"], few=2)
    'a, b and 1 more'
    """
    known = [str(name) for name in names]
    more = len(known) - few
    return ", ".join(known[:few]) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an s where there are several.

    >>> counted(1, "file"), counted(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
