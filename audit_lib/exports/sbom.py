"""What every exported SBOM says, whatever its notation: rows under stable identifiers, columns that have no field there."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from audit_lib.clock import now_utc
from audit_lib.exports import provenance
from audit_lib.sboms.columns import NUMBERS, TEXTS

TOOL = provenance.DISTRIBUTION
# NISTIR 7695, figure 6-3: five attributes, a language, four attributes.
_ATTRIBUTE = r"(?::(?:(?:[a-zA-Z0-9._-]|\\[!-/:-@\[-`{-~])+|[*-]))"
_CPE = re.compile(
    rf"cpe:2\.3:[aho*-]{_ATTRIBUTE}{{5}}:(?:[a-zA-Z]{{2,3}}(?:-(?:[a-zA-Z]{{2}}|\d{{3}}))?|[*-]){_ATTRIBUTE}{{4}}"
)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:audit-lib:sbom")


class Audited(Protocol):
    """What an SBOM is made of: tables of one image, with the columns of the row classes of those names."""

    @property
    def image(self) -> pd.DataFrame:
        """One row, schema `Image`."""

    @property
    def databases(self) -> pd.DataFrame:
        """Schema `Database`."""

    @property
    def packages(self) -> pd.DataFrame:
        """Schema `Package`."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What could not be read, a sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A package to be written: an identifier of its own, its row, the columns without a field, and the items it is a part of."""

    identifier: str
    row: Mapping[str, Any]
    columns: Mapping[str, str]
    parents: tuple[str, ...]


def items(found: Audited) -> list[Item]:
    """Return the packages in the order of their table.

    An identifier is made of format, name and the row's key, so that the same package has the same one in every run.
    """
    rows = _rows(found.packages)
    identifiers = [_identifier(row) for row in rows]
    by_name: dict[str, list[str]] = {}
    for row, identifier in zip(rows, identifiers, strict=True):
        by_name.setdefault(f"{row['format']}:{row['name']}", []).append(identifier)
    return [
        Item(
            identifier=identifier,
            row=row,
            columns=_columns(row),
            parents=tuple(one for one in by_name.get(row.get("parent") or "", ()) if one != identifier),
        )
        for row, identifier in zip(rows, identifiers, strict=True)
    ]


def image_facts(found: Audited) -> dict[str, str]:
    """Return the columns of `Image` that are known, as text, in their order; shares to six decimals."""
    (row,) = _rows(found.image)
    return {
        name: f"{value:.6f}" if isinstance(value, float) else str(value)
        for name, value in row.items()
        if name != "image"
    }


def database_rows(found: Audited) -> Iterator[str]:
    """Yield each place that packages were looked for in as a JSON object of texts, missing values left out."""
    for row in _rows(found.databases):
        yield as_json({name: str(value) for name, value in row.items() if name != "image"})


def as_json(columns: Mapping[str, str]) -> str:
    """Return columns as one line of JSON that fits into any notation (no angle brackets, for SPDX's <text>)."""
    return json.dumps(columns, ensure_ascii=False).replace("<", "\\u003c")


def is_incomplete(found: Audited) -> bool:
    """Tell whether a package database is there and could not be read: packages are missing from the list for certain."""
    return bool((found.databases["status"] == "damaged").any())


def created(found: Audited) -> dt.datetime | None:
    """Return the time that a document states: SOURCE_DATE_EPOCH, else when the image was made; None where neither is known.

    The clock is not asked: the same image gives the same bytes.
    """
    if "SOURCE_DATE_EPOCH" in os.environ:
        return dt.datetime.fromisoformat(now_utc())
    stated = image_facts(found).get("created_utc")
    return None if stated is None else dt.datetime.fromisoformat(stated)


def serial_number(found: Audited) -> uuid.UUID:
    """Return a number made of what the document says: another image, other packages or another version, another number."""
    said = [*image_facts(found).items(), *(one.identifier for one in items(found)), *database_rows(found)]
    return uuid.uuid5(_NAMESPACE, json.dumps([provenance.version(), *said]))


def cpes(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the CPE names of a package that are well-formed: those of a stranger's SBOM need not be."""
    yield from (name for name in str(row.get("cpes", "")).split() if _CPE.fullmatch(name))


def slug(text: str) -> str:
    """Return text with all but letters, digits, dots and hyphens replaced, at most 60 long: what identifiers may hold.

    >>> slug("@babel/core 7+")
    '-babel-core-7-'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)[:60]


def _columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns without a field as text; the name and the version too where a notation of lines would change them."""
    odd = [
        name for name in ("name", "version") if (text := row.get(name)) is not None and " ".join(text.split()) != text
    ]
    return {name: str(row[name]) for name in (*odd, *TEXTS, *NUMBERS) if name in row}


def _identifier(row: Mapping[str, Any]) -> str:
    key = [row.get(name) for name in ("format", "name", "version", "architecture", "database_path")]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return f"{slug(row['format'])}-{slug(row['name'])}-{digest}"


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows, missing values left out."""
    columns = {str(name): (table[name].tolist(), table[name].isna().tolist()) for name in table.columns}
    return [
        {name: values[row] for name, (values, missing) in columns.items() if not missing[row]}
        for row in range(len(table))
    ]
