"""What SBOM documents inside an image claim, beside what its package databases state."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from operator import itemgetter
from typing import Any

import pandas as pd

from audit_lib import sboms
from audit_lib.errors import DamagedDatabaseError
from audit_lib.ownership import Ownership
from audit_lib.sboms.base import Document, Stated
from audit_lib.sboms.places import PUBLISHERS, Name, Publisher
from audit_lib.tables import Agreement, SbomClaim, SbomDocument, make_table

# The largest in wheels are a megabyte; more than so many documents are not a publisher's but somebody's to keep us busy.
_MAX_BYTES = 16 * 1024**2
_MAX_DOCUMENTS = 10_000
_MAX_PACKAGES = 200_000
_FEW = 3
# Purl types that a publisher made up for what it builds: databases know such a program, if at all, by its version string.
_OWN_TYPES = frozenset({"bitnami", "dhi"})


@dataclass(frozen=True, slots=True)
class _Held:
    """A document in the tree: what it states, or why that is not known. `owner` is the package whose file it is."""

    publisher: Publisher
    path: str
    layer: int
    owner: str | None
    document: Document | None = None
    problem: str | None = None


class _Found:
    """The packages that the databases state, for looking them up by name, by the package that brought them, or by folder."""

    def __init__(self, packages: pd.DataFrame) -> None:
        values = packages[["format", "name", "version", "purl", "database_path", "parent"]].astype(object)
        records = values.where(values.notna(), None).sort_values("database_path", kind="stable").to_dict("records")
        self.rows: list[dict[str, Any]] = [{str(name): value for name, value in row.items()} for row in records]
        self.by_name: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.by_parent: dict[str | None, list[dict[str, Any]]] = {}
        for row in self.rows:
            self.by_name.setdefault((row["format"], row["name"]), []).append(row)
            self.by_parent.setdefault(row["parent"], []).append(row)

    def below(self, folder: str) -> Iterator[dict[str, Any]]:
        """Yield the packages that are stated by files below a folder."""
        start = bisect_left(self.rows, folder, key=itemgetter("database_path"))
        yield from takewhile(lambda row: row["database_path"].startswith(folder), self.rows[start:])


def claims_tables(ownership: Ownership, packages: pd.DataFrame, label: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the SBOM documents of an image (schema `SbomDocument`), and what they claim (schema `SbomClaim`).

    `packages` is the image's table of packages. Nothing of the documents goes into it: what a document alone claims is evidence,
    not something that was found.
    """
    held = list(_held(ownership))
    found = _Found(packages)
    claims: dict[tuple[Any, ...], SbomClaim] = {}
    for one in held:
        for claim in (*_claims(one, found, label), *_unclaimed(one, found, label)):
            claims.setdefault(_key(claim), claim)
    for claim in _undocumented(held, found, label):
        claims.setdefault(_key(claim), claim)
    counts = Counter[tuple[str | None, str]]()
    counts.update((claim.document_path, claim.agreement or claim.role) for claim in claims.values())
    documents = [_document(one, counts, label) for one in held]
    return make_table(SbomDocument, documents), make_table(SbomClaim, claims.values())


def claim_notes(claims: pd.DataFrame, label: str) -> Iterator[str]:
    """Yield what has to be known of the documents before the packages are counted."""
    alone = claims[claims["agreement"] == "document_only"]
    if len(alone):
        names, paths = alone[["format", "name", "version"]].drop_duplicates(), alone["document_path"].nunique()
        yield (
            f"{label}: {len(names):,} packages are claimed by {paths:,} SBOM documents inside it and stated by no package "
            "database; they are not among its packages (see sbom_claims)"
        )


def _held(ownership: Ownership) -> Iterator[_Held]:
    tree = ownership.rootfs
    publishers = {path: one for one in PUBLISHERS for glob in one.globs for path in tree.glob(glob)}
    rows = {path: row for row, path in enumerate(ownership.paths)} if publishers else {}
    package_count = 0
    for number, path in enumerate(sorted(publishers), start=1):
        row = rows[path]
        owner = ownership.owners[row]
        held = _Held(publishers[path], path, ownership.entries[row].layer, None if owner is None else ":".join(owner))
        if number > _MAX_DOCUMENTS or package_count > _MAX_PACKAGES:
            limits = f"{_MAX_DOCUMENTS:,} documents or {_MAX_PACKAGES:,} packages"
            yield replace(held, problem=f"this and the documents after it are not read: more than {limits}")
            return
        try:
            document = sboms.parse(tree.read(path) or b"", path, limit=_MAX_BYTES)
        except DamagedDatabaseError as error:
            line = "" if error.line is None else f"line {error.line}: "
            yield replace(held, problem=line + error.problem)
        else:
            package_count += len(document.packages)
            yield replace(held, document=document)


def _claims(held: _Held, found: _Found, label: str) -> Iterator[SbomClaim]:
    """Yield what a document says of each package, and what the databases say of it."""
    for one in held.document.packages if held.document else ():
        match = None if one.is_source else _match(one, found)
        agreement: Agreement | None = None
        if not one.is_source:
            same = match is not None and _is_same(one, match["version"])
            agreement = "document_only" if match is None else "both" if same else "other_version"
        yield SbomClaim(
            image=label,
            publisher=held.publisher.name,
            document_path=f"/{held.path}",
            role="source" if one.is_source else "installed",
            agreement=agreement,
            format=one.format,
            name=one.name,
            version=one.version,
            purl=one.purl,
            found_version=match["version"] if match else None,
            database_path=match["database_path"] if match else None,
        )


def _match(one: Stated, found: _Found) -> dict[str, Any] | None:
    """Return the package of this name that the databases state: the one of the same version where there are several."""
    rows = found.by_name.get((one.format, one.name)) or (
        found.by_name.get(("generic", one.name), []) if one.format in _OWN_TYPES else []
    )
    return next((row for row in rows if _is_same(one, row["version"])), rows[0] if rows else None)


def _is_same(one: Stated, version: str | None) -> bool:
    if one.format not in _OWN_TYPES or one.version is None or version is None:
        return one.version == version
    # 17.2.0-8 is the eighth build of what calls itself 17.2.
    release = one.version.partition("-")[0]
    return version in {one.version, release} or release.removesuffix(".0") == version


def _unclaimed(held: _Held, found: _Found, label: str) -> Iterator[SbomClaim]:
    """Yield the packages that a document is silent of, though they lie where it speaks of."""
    if held.document is None:
        return
    there: Iterable[dict[str, Any]] = ()
    if held.publisher.scope == "folder":
        there = found.below(f"/{posixpath.dirname(held.path)}/")
    elif held.publisher.scope == "owner" and held.owner is not None:
        there = found.by_parent.get(held.owner, ())
    claimed = {_name(one) for one in held.document.packages}
    for row in there:
        if _name(row) not in claimed:
            yield _databases_only(row, held.publisher.name, f"/{held.path}", label)


def _undocumented(held: Iterable[_Held], found: _Found, label: str) -> Iterator[SbomClaim]:
    """Yield the packages of a format of which each should have a document, and that no document names."""
    for publisher in PUBLISHERS:
        documents = [one.document for one in held if one.publisher is publisher and one.document]
        if publisher.scope != "apk" or not documents:
            continue
        claimed = {_name(one) for document in documents for one in document.packages if not one.is_source}
        for row in found.rows:
            if row["format"] == publisher.scope and _name(row) not in claimed:
                yield _databases_only(row, publisher.name, None, label)


def _name(one: Stated | Mapping[str, Any]) -> tuple[str, str]:
    """Return what packages are told apart by; a publisher's own type and a program that was recognised are the same thing."""
    form, name = (one.format, one.name) if isinstance(one, Stated) else (one["format"], one["name"])
    return "generic" if form in _OWN_TYPES else form, name


def _databases_only(row: Mapping[str, Any], publisher: Name, document_path: str | None, label: str) -> SbomClaim:
    return SbomClaim(
        image=label,
        publisher=publisher,
        document_path=document_path,
        role="installed",
        agreement="databases_only",
        format=row["format"],
        name=row["name"],
        version=None,
        purl=row["purl"],
        found_version=row["version"],
        database_path=row["database_path"],
    )


def _document(held: _Held, counts: Counter[tuple[str | None, str]], label: str) -> SbomDocument:
    document, path = held.document, f"/{held.path}"
    by_agreement = {
        f"{agreement}_count": None if document is None else counts[path, agreement]
        for agreement in ("both", "other_version", "document_only", "databases_only", "source")
    }
    broken = len(document.broken) if document else 0
    notes = [*document.notes] if document else [held.problem or ""]
    if broken:
        notes.insert(0, f"{broken:,} entries cannot be read: {document.broken[0].problem}" if document else "")
    return SbomDocument(
        image=label,
        document_path=path,
        publisher=held.publisher.name,
        status="damaged" if document is None or broken else "read",
        notation=document.notation if document else None,
        made_by=document.made_by if document else None,
        subject=document.subject if document else None,
        package_count=None if document is None else sum(not one.is_source for one in document.packages),
        **by_agreement,
        layer=held.layer,
        package=held.owner,
        detail="; ".join(notes[:_FEW]) or None,
    )


def _key(claim: SbomClaim) -> tuple[Any, ...]:
    return tuple(getattr(claim, name) for name in SbomClaim.KEY)
