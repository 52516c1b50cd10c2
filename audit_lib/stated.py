"""From an SBOM document to the tables of an image that is known from it alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from audit_lib import distribution, licenses, sboms
from audit_lib.errors import DamagedDatabaseError, SbomError
from audit_lib.purl import make_purl
from audit_lib.reference import SBOM, split_scheme
from audit_lib.sboms.base import Document, Stated
from audit_lib.sboms.columns import number
from audit_lib.tables import Database, Image, Package, Status, make_table, total

SCHEME = SBOM
_HEAD = 4096
_FEW = 3


def find_document(reference: str) -> Path | None:
    """Return the path of the SBOM that a reference names, None where it names an image.

    `sbom:PATH` names one; so does a path of a file that begins as JSON, XML or SPDX's tagged lines do, which no archive does.
    """
    scheme, name = split_scheme(reference, frozenset({SCHEME}))
    if scheme is not None:
        return Path(name)
    try:
        if not Path(reference).is_file():  # a pipe would be waited for
            return None
        with Path(reference).open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return None
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return Path(reference) if begins in {b"{", b"<"} or sboms.begins_with_tags(head) else None


def read_document(path: Path, reference: str, *, limit: int) -> Document:
    """Return what the document at a path states. Raises `SbomError` where it cannot be read, or is larger than `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SbomError(f"{reference}: cannot be read: {why}") from error
    if len(data) > limit:
        raise SbomError(f"{reference}: larger than {limit:,} bytes (limit `kept_file_bytes`)")
    try:
        return sboms.parse(data, str(path), limit=limit)
    except DamagedDatabaseError as error:
        line = "" if error.line is None else f"line {error.line}: "
        raise SbomError(f"{reference}: {line}{error.problem}") from error


def packages_table(document: Document, path: Path, label: str) -> pd.DataFrame:
    """Return the packages that a document states (schema `Package`).

    `database_path` leads to each in the document (`PATH#/components/12`), unless an export of this library says where it was
    found. What the document calls the sources of others is left out. What a document cannot tell is missing.
    """
    rows: dict[tuple[Any, ...], Package] = {}
    for one in document.packages:
        if not one.is_source:
            row = _package(one, f"{path}#{one.place}", label)
            rows.setdefault((row.format, row.name, row.version, row.architecture, row.database_path), row)
    return make_table(Package, rows.values())


def databases_table(document: Document, path: Path, label: str) -> pd.DataFrame:
    """Return what is known of the places that packages were looked for in (schema `Database`).

    For an export of this library, the rows that it carries. For any other document one row a format, `read`, with the packages
    that it states (format `sbom` where it states none), and a `damaged` one for each entry that cannot be read.
    """
    rows: list[Database] = [_database(row, f"{path}: {place}", label) for place, row in enumerate(document.databases)]
    if not rows:
        counts: dict[str, int] = {}
        for one in document.packages:
            if not one.is_source:
                counts[one.format] = counts.get(one.format, 0) + 1
        detail = " ".join([document.notation, *([f"by {document.made_by}"] if document.made_by else [])])
        rows = [
            Database(
                image=label, database_path=str(path), format=form, status="read", package_count=count, detail=detail
            )
            for form, count in (counts or {SCHEME: 0}).items()
        ]
    for broken in document.broken:
        where = f"{path}#{broken.path}"
        rows.append(
            Database(
                image=label,
                database_path=where,
                format=SCHEME,
                status="damaged",
                package_count=None,
                detail=broken.problem,
            )
        )
    return make_table(Database, {(row.database_path, row.format): row for row in rows}.values())


def image_table(document: Document, databases: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the image's row (schema `Image`): facts that the document states, no totals of what it cannot tell."""
    facts = document.facts
    distro = distribution.Distribution(*(facts.get(f"distro_{name}") for name in ("id", "version", "name", "codename")))
    if distro.id is None and len(document.distros) == 1:
        name, _, version = next(iter(document.distros)).rpartition("-")
        distro = distribution.Distribution(name or None, version) if name else distro
    support = distribution.lifecycle(distro)
    counts = databases.loc[databases["status"] == "read", "package_count"]
    is_known = len(counts) > 0 and not (databases["status"] == "damaged").any()
    known = ("manifest_digest", "config_digest", "os", "architecture", "created_utc", "user", "entrypoint", "cmd")
    return make_table(
        Image,
        [
            Image(
                image=label,
                reference=label,
                source=SCHEME,
                **{name: facts.get(name) for name in known},
                distro_id=distro.id,
                distro_version=distro.version,
                distro_name=distro.name,
                distro_codename=distro.codename or support.codename,
                distro_eol_utc=support.end_of_life_utc,
                distro_extended_eol_utc=support.extended_end_of_life_utc,
                distro_eol_data_utc=support.data_utc,
                layer_count=None,
                compressed_bytes=None,
                unpacked_bytes=None,
                file_bytes=None,
                file_count=None,
                package_count=total(counts) if is_known else None,
                unowned_share=None,
            )
        ],
    )


def notes(document: Document, label: str) -> Iterator[str]:
    """Yield what has to be known before the figures are read: where they come from, and what was left out of them."""
    by = f" by {document.made_by}" if document.made_by else ""
    of = f" of {document.subject}" if document.subject else ""
    when = f", made {document.created}" if document.created else ""
    yield (
        f"{label} is known from an SBOM alone ({document.notation}{by}{of}{when}): its packages are those that the document "
        "states; its files, layers and sizes, and all that is told from files, are unknown"
    )
    left_out = dict(document.left_out)
    sources = sum(one.is_source for one in document.packages)
    if sources:
        left_out["sources that others were built from"] = sources
    if left_out:
        counted = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(left_out.items()))
        yield f"{label}: entries of the document that are no packages: {counted}"
    yield from (f"{label}: {one}" for one in document.notes[:_FEW])
    if len(document.notes) > _FEW:
        yield f"{label}: and {len(document.notes) - _FEW:,} more of this kind"


def _package(one: Stated, place: str, label: str) -> Package:
    own = one.columns
    return Package(
        image=label,
        format=one.format,
        name=own.get("name", one.name),
        version=own.get("version", one.version),
        architecture=own.get("architecture", one.architecture),
        purl=own.get("purl") or one.purl or make_purl("generic", None, one.name, one.version),
        source_name=own.get("source_name", None if own else one.source_name),
        source_version=own.get("source_version", None if own else one.source_version),
        licenses=own.get("licenses", None if own else licenses.normalized(one.licenses)),
        installed_size_bytes=number(own, "installed_size_bytes") if own else one.installed_size_bytes,
        file_bytes=number(own, "file_bytes"),
        file_count=number(own, "file_count"),
        first_layer=number(own, "first_layer"),
        database_path=own.get("database_path", place),
        parent=own.get("parent"),
        created_by=own.get("created_by"),
        cpes=own.get("cpes", None if own else " ".join(one.cpes) or None),
        detail=own.get("detail", None if own or one.purl else "the SBOM states no package URL"),
    )


def _database(row: Mapping[str, str], where: str, label: str) -> Database:
    statuses: dict[str, Status] = {"read": "read", "absent": "absent", "damaged": "damaged"}
    status = statuses.get(row.get("status", ""))
    if status is None or not row.get("database_path") or not row.get("format"):
        raise SbomError(f"{where}: expected a place where packages were looked for, found {dict(row)}")
    return Database(
        image=label,
        database_path=row["database_path"],
        format=row["format"],
        status=status,
        package_count=number(row, "package_count"),
        detail=row.get("detail"),
    )
