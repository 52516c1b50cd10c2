"""VEX statements held against vulnerabilities: which rows each is about, and which of several counts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from audit_lib.tables import VexStatement, Vulnerability, check_table, make_table, plain_text
from audit_lib.vulnerabilities.purls import Purl, bare_version, covers, parse_purl
from audit_lib.vulnerabilities.vex.base import Product, Statement, VexDocument

_IMAGES = frozenset({"oci", "docker"})
# What distributions write for a source package.
_SOURCES = frozenset({"source", "src"})
_NAMED = re.compile(r"(?:docker|podman|registry):(?P<name>.+)")
_REFERENCE = re.compile(r"(?P<path>[^@]+?)(?::(?P<tag>[^:/@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


class Applied(NamedTuple):
    """Vulnerabilities after VEX (schema `Vulnerability`), and what became of each statement (schema `VexStatement`)."""

    vulnerabilities: pd.DataFrame
    statements: pd.DataFrame


def apply_statements(
    vulnerabilities: pd.DataFrame,
    documents: Sequence[tuple[str, VexDocument]],
    packages: pd.DataFrame,
    image: pd.Series,
) -> Applied:
    """Return vulnerabilities with the status that statements of `documents`, each with its path, give them; no row is dropped.

    A statement is about a row where one of its ids is the row's id, or an alias of that by any row, and one of its products is the
    row's package (by its whole package URL: what the statement names of version and qualifiers must be so), or the image. Of
    several the latest counts, of the same time the one that is named last; the row's `status_detail` names all of them.
    """
    known = _Image(image, [parsed for purl in packages["purl"] if (parsed := parse_purl(purl)) is not None])
    rows = [_Target(*values) for values in _values(vulnerabilities)]
    by_id: dict[str, list[int]] = defaultdict(list)
    known_as: dict[str, set[str]] = defaultdict(set)
    for number, row in enumerate(rows):
        by_id[row.vulnerability_id].append(number)
        for alias in (row.aliases or row.vulnerability_id).split(", "):
            known_as[alias].add(row.vulnerability_id)
    said = list(_said(documents))
    meant = [{other for name in one.statement.ids for other in (name, *known_as.get(name, ()))} for one in said]
    about = [
        sorted(_about(one, {number for name in names for number in by_id.get(name, ())}, rows, known))
        for one, names in zip(said, meant, strict=True)
    ]
    by_row: dict[int, list[_Said]] = defaultdict(list)
    for one, numbers in zip(said, about, strict=True):
        for number in numbers:
            by_row[number].append(one)
    overruled: set[int] = set()
    columns = {name: vulnerabilities[name].tolist() for name in ("status", "justification", "status_detail")}
    for number, several in by_row.items():
        last = max(several, key=lambda one: (one.statement.stated_utc or "", one.order))
        contradicted = [one for one in several if one.statement.status != last.statement.status]
        overruled.update(one.order for one in contradicted)
        for column, value in _columns(last, contradicted, rows[number]).items():
            columns[column][number] = value
    changed = vulnerabilities.assign(**{name: pd.array(values, dtype="string") for name, values in columns.items()})
    statements = [
        _row(one, len(numbers), one.order in overruled, str(image["image"]))
        for one, numbers in zip(said, about, strict=True)
    ]
    return Applied(check_table(Vulnerability, changed), make_table(VexStatement, statements))


class _Target(NamedTuple):
    """What of a row of vulnerabilities a statement may be about."""

    vulnerability_id: str
    aliases: str | None
    purl: str | None
    version: str | None
    source_name: str | None
    status: str
    status_detail: str | None


class _Said(NamedTuple):
    """A statement on one product, with where it comes from."""

    order: int
    path: str
    document: VexDocument
    statement: Statement
    product: Product | None
    position: int


class _Image(NamedTuple):
    row: pd.Series
    packages: Sequence[Purl]

    def is_named(self, identity: str) -> bool:
        """Tell whether an id names the image: by digest, by package URL (oci, docker), or by its reference."""
        digests = {self.row[name] for name in ("manifest_digest", "config_digest") if not pd.isna(self.row[name])}
        if identity in digests:
            return True
        named = _NAMED.fullmatch(str(self.row["reference"]))
        reference = _REFERENCE.fullmatch(named["name"]) if named else None
        purl = parse_purl(identity)
        if purl is None:
            return named is not None and identity == named["name"]
        if purl.type not in _IMAGES:
            return False
        if (purl.version or "").startswith("sha256:"):
            return purl.version in digests
        return reference is not None and self._is_reference(purl, reference)

    def _is_reference(self, purl: Purl, reference: re.Match[str]) -> bool:
        path, tag = reference["path"], reference["tag"] or "latest"
        place = purl.qualifiers.get("repository_url", purl.name).rstrip("/")
        is_there = f"/{place}".endswith(f"/{path}") or f"/{path}".endswith(f"/{place}")
        wanted = {
            "tag": tag,
            "arch": self.row["architecture"],
            "platform": f"{self.row['os']}/{self.row['architecture']}",
        }
        is_so = all(wanted[key] == value for key, value in purl.qualifiers.items() if key in wanted)
        return is_there and is_so and (purl.version is None or purl.version == tag)


def _values(vulnerabilities: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    columns = vulnerabilities[list(_Target._fields)].astype("object")
    return columns.where(columns.notna(), None).itertuples(index=False, name=None)


def _said(documents: Sequence[tuple[str, VexDocument]]) -> Iterator[_Said]:
    order = 0
    for path, document in documents:
        for statement in document.statements:
            products: tuple[Product | None, ...] = statement.products or (None,)
            for position, product in enumerate(products):
                yield _Said(order, path, document, statement, product, position)
                order += 1


def _about(said: _Said, candidates: set[int], rows: Sequence[_Target], image: _Image) -> set[int]:
    """Return the numbers of those rows of its vulnerability that a statement is about."""
    product = said.product
    if product is None or not candidates:
        return set()
    is_image = any(image.is_named(identity) for identity in product.ids)
    wholes = [purl for identity in product.ids if (purl := parse_purl(identity)) is not None]
    if not product.parts:
        return candidates if is_image else {number for number in candidates if _is_one(wholes, rows[number])}
    if not is_image and not any(covers(whole, package) for whole in wholes for package in image.packages):
        return set()
    parts = [purl for identity in product.parts if (purl := parse_purl(identity)) is not None]
    return {number for number in candidates if _is_one(parts, rows[number])}


def _is_one(meant: Sequence[Purl], row: _Target) -> bool:
    purl = parse_purl(row.purl) if row.purl else None
    if purl is None:
        return False
    return any(covers(one, purl) or _is_source(one, purl, row) for one in meant)


def _is_source(meant: Purl, purl: Purl, row: _Target) -> bool:
    """Tell whether a package URL is for the source that a row's package was built from."""
    if meant.qualifiers.get("arch") not in _SOURCES or meant.type != purl.type:
        return False
    name, _, version = purl.qualifiers.get("upstream", row.source_name or purl.name.rpartition("/")[2]).partition("@")
    name = name.rpartition("/")[2]
    rest = {key: value for key, value in meant.qualifiers.items() if key not in {"arch", "epoch"}}
    if meant.name.rpartition("/")[2] != name or any(purl.qualifiers.get(key) != value for key, value in rest.items()):
        return False
    return meant.version is None or meant.core[2] == bare_version(purl.type, version or row.version)


def _columns(last: _Said, contradicted: Sequence[_Said], row: _Target) -> dict[str, str | None]:
    """Return the columns of a row that a statement changes."""
    detail = f"{last.statement.status} {_source(last)}"
    if last.statement.detail is not None:
        detail += f": {last.statement.detail}"
    if contradicted:
        detail += "; overrules " + " and ".join(f"{one.statement.status} {_source(one)}" for one in contradicted)
    if row.status_detail is not None:
        detail += f"; before: {row.status_detail}"
    return {
        "status": last.statement.status,
        "justification": last.statement.justification,
        "status_detail": plain_text(detail),
    }


def _source(said: _Said) -> str:
    by = f"by {said.document.author}, " if said.document.author else ""
    when = f", {said.statement.stated_utc}" if said.statement.stated_utc else ""
    return f"({by}{said.path}{when})"


def _row(said: _Said, match_count: int, is_overruled: bool, image: str) -> VexStatement:  # noqa: FBT001 - a fact of the statement
    statement, product = said.statement, said.product
    return VexStatement(
        image=image,
        document_path=plain_text(said.path),
        place=statement.place,
        position=said.position,
        vulnerability_id=statement.ids[0],
        status=statement.status,
        justification=statement.justification,
        detail=statement.detail,
        product=None if product is None else " ".join(product.ids),
        parts=None if product is None else " ".join(product.parts) or None,
        outcome="not_matched" if not match_count else "overruled" if is_overruled else "applied",
        match_count=match_count,
        stated_utc=statement.stated_utc,
        author=said.document.author,
        document_id=said.document.id,
        notation=said.document.notation,
    )
