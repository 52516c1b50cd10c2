"""The annexes of a report: tables that a notebook wrote and that a reader wants whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from audit_lib.errors import TableError
from audit_lib.exports.audits import WrittenAudit
from audit_lib.exports.show import Shown, show

_NUMBERS = {"bytes": "Int64", "count": "Int64", "layer": "Int64", "share": "Float64", "score": "Float64"}
_UNKNOWN = "Nothing is known of them: that none stands here does not mean that there is none."
_ROLES = ("full", "minimal", "app")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annex:
    """A table at the end of a report: its title, a sentence on what it holds, and all its rows as they are read."""

    title: str
    text: str
    table: Shown


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of annex: the columns shown of a table that has the first three of them, and what stands before it."""

    title: str
    columns: tuple[str, ...]
    text: str


_KINDS = {
    "packages": _Kind(
        "All packages",
        ("format", "name", "version", "architecture", "licenses", "file_bytes", "first_layer"),
        "Every package that the databases of the image state. File bytes are what its files weigh in the final tree; "
        "first layer is the one that brought this version.",
    ),
    "findings": _Kind(
        "All findings",
        ("severity", "check_id", "status", "evidence", "reason", "controls"),
        "Every check of the policy, those that pass included.",
    ),
    "vulnerabilities": _Kind(
        "All vulnerabilities",
        (
            *("severity", "vulnerability_id", "name", "version", "fixed_version", "status", "justification"),
            *("is_known_exploited", "found_by"),
        ),
        "Every vulnerability that is known of a package of the image, those judged not to affect it included.",
    ),
}


def read_annexes(folder: Path, audits: Mapping[str, WrittenAudit]) -> tuple[Annex, ...]:
    """Return the annexes of a report: packages, findings and vulnerabilities of each image, in this order.

    They are the tables of these names in `<folder>/tables`, such as `packages_full`; where there are none, those of the images
    that the notebook handed over, one of which nothing is known said to be unknown. Raises `TableError` for a file of that name
    that is no table.
    """
    return tuple(
        Annex(
            title=f"{kind.title}{of}",
            text=f"{kind.text} {_counted(len(table))}." if is_known else _UNKNOWN,
            table=_shown(table, kind, is_one=bool(of), is_known=is_known),
        )
        for name, kind in _KINDS.items()
        for of, table, is_known in _found(folder, audits, name)
        # A notebook of many images writes tables of other rows under the same names.
        if set(kind.columns[:3]) <= set(table.columns)
    )


def title_facts(folder: Path, audits: Mapping[str, WrittenAudit]) -> tuple[tuple[str, str], ...]:
    """Return what a report was judged by, a name and a text each: the policy, its digest, the day, and the days of the data."""
    policies = {(one.policy.name, one.policy.digest, one.today_utc) for one in audits.values()}
    facts = [(name, text) for said in sorted(policies) for name, text in zip(_OF_A_POLICY, said, strict=True)]
    handed_over = {_source(one) for audit in audits.values() for one in audit.vulnerability_data}
    dates = {
        "Vulnerability data": sorted(handed_over) or _days(folder, "vulnerabilities", "data_utc"),
        "End-of-life data": _days(folder, "images", "distro_eol_data_utc"),
    }
    facts += [(name, ", ".join(said)) for name, said in dates.items() if said]
    if audits and not dates["Vulnerability data"]:
        facts.append(("Vulnerability data", "none"))
    return tuple(facts)


_OF_A_POLICY = ("Policy", "Policy digest", "Judged as of")


def _source(told: Mapping[str, str | None]) -> str:
    name = told.get("source") or told.get("found_by") or "unknown"
    day = told.get("data_utc")
    return f"{name} as of {day[:10] if day else 'an unknown day'}"


def _days(folder: Path, name: str, column: str) -> list[str]:
    tables = [table for _, table in _tables(folder, name) if column in table.columns]
    return [f"as of {day}" for day in sorted({day[:10] for table in tables for day in table[column].dropna()})]


def _found(folder: Path, audits: Mapping[str, WrittenAudit], name: str) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """Yield the tables of a name: what a title says of whose it is, its rows, and whether anything is known of them."""
    written = [(of, table, True) for of, table in _tables(folder, name)]
    yield from written or (
        (f" of the {role} image" if len(audits) > 1 else "", getattr(audit, name), name not in audit.unknown)
        for role, audit in sorted(audits.items(), key=lambda item: (*_ROLES, item[0]).index(item[0]))
    )


def _tables(folder: Path, name: str) -> Iterator[tuple[str, pd.DataFrame]]:
    for role in ("", *_ROLES):
        path = folder / "tables" / (f"{name}_{role}.csv" if role else f"{name}.csv")
        if path.is_file():
            yield f" of the {role} image" if role else "", _read(path)


def _read(path: Path) -> pd.DataFrame:
    """Return a table as `write_tables` wrote it: text, and numbers where the column's name says so."""
    options = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""])
    try:
        header = csv.open_csv(path, parse_options=_LINES).schema.names
        options.column_types = dict.fromkeys(header, pa.string())
        table = csv.read_csv(path, parse_options=_LINES, convert_options=options)
        frame: pd.DataFrame = table.to_pandas(types_mapper={pa.string(): pd.StringDtype()}.get)
        return frame.astype({name: kind for name in header if (kind := _NUMBERS.get(name.rpartition("_")[2]))})
    except (pa.ArrowException, ValueError, UnicodeDecodeError) as error:
        raise TableError(f"{path.stem}: expected a table as CSV: {error}") from error


_LINES = csv.ParseOptions(newlines_in_values=True)


def _shown(table: pd.DataFrame, kind: _Kind, *, is_one: bool, is_known: bool) -> Shown:
    columns = [name for name in kind.columns if name in table.columns]
    # An image of its own has no column that says which it is: the title page does.
    of_several = [] if is_one or "image" not in table.columns or table["image"].nunique() < 2 else ["image"]  # noqa: PLR2004
    flags = {
        name: table[name].map({"true": "yes", "false": "no"})
        for name in columns
        if name.startswith("is_") and table[name].dtype.name == "string"
    }
    return show(table.assign(**flags)[[*of_several, *columns]], rows=None, is_known=is_known)


def _counted(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"
