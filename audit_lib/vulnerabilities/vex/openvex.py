"""OpenVEX (specification 0.2.0, and 0.0.x before it): a list of statements, each on one vulnerability and its products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.formats.documents import text
from audit_lib.sboms.base import inner, listed
from audit_lib.tables import VulnerabilityStatus
from audit_lib.vulnerabilities.reports.base import ids_of, line_of, utc_of
from audit_lib.vulnerabilities.vex.base import Product, Statement, VexDocument, VexFormat

CONTEXT = "https://openvex.dev/ns"
STATUSES: Mapping[str, VulnerabilityStatus] = {
    "affected": "affected",
    "fixed": "fixed",
    "not_affected": "not_affected",
    "under_investigation": "under_investigation",
}


def parse(document: Mapping[str, Any], path: str) -> VexDocument:
    """Return the statements of an OpenVEX document (a parsed JSON object).

    A statement without a time of its own has the document's, as section "Inheritance" says. Raises `DamagedDatabaseError`
    where `statements` is no list of objects; a statement without a vulnerability or with an unknown status is counted as broken.
    """
    found = VexDocument(
        notation="OpenVEX",
        id=line_of(document.get("@id")),
        author=line_of(document.get("author")),
        stated_utc=utc_of(document.get("last_updated")) or utc_of(document.get("timestamp")),
    )
    for place, stated in listed(document, "statements", "", path):
        ids, status = _ids(stated), STATUSES.get(text(stated.get("status")) or "")
        if not ids or status is None:
            found.breaks(place, f"expected a vulnerability, and a status of {', '.join(STATUSES)}")
            continue
        found.statements.append(
            Statement(
                place=place,
                ids=ids,
                products=tuple(_products(stated)),
                status=status,
                justification=line_of(stated.get("justification")),
                detail=line_of(stated.get("impact_statement"))
                or line_of(stated.get("action_statement"))
                or line_of(stated.get("status_notes")),
                stated_utc=utc_of(stated.get("last_updated")) or utc_of(stated.get("timestamp")) or found.stated_utc,
            )
        )
    return found


def _ids(stated: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the vulnerability: an object since 0.2.0, a text before."""
    vulnerability = stated.get("vulnerability")
    if not isinstance(vulnerability, dict):
        return ids_of([vulnerability])
    own = line_of(vulnerability.get("name")) or line_of(vulnerability.get("@id"))
    return ids_of([own, *ids_of(vulnerability.get("aliases"))])


def _products(stated: Mapping[str, Any]) -> Iterator[Product]:
    """Yield the products: objects since 0.2.0, texts before, when subcomponents stood beside them."""
    products = stated.get("products")
    beside = _parts(stated.get("subcomponents"))
    for one in products if isinstance(products, list) else []:
        product = one if isinstance(one, dict) else {"@id": one}
        parts = _parts(product.get("subcomponents")) or beside
        names = tuple(_names(product))
        if names:
            yield Product(names, parts)


def _parts(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else []
    return tuple(name for one in parts for name in _names(one if isinstance(one, dict) else {"@id": one}))


def _names(product: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of a product or a part: its package URL before its own id."""
    purl, own = line_of(inner(product, "identifiers").get("purl")), line_of(product.get("@id"))
    if purl is not None:
        yield purl
    if own is not None and own != purl:
        yield own
    for algorithm, digest in inner(product, "hashes").items():
        if algorithm == "sha-256" and (found := line_of(digest)) is not None:
            yield f"sha256:{found}"


FORMAT = VexFormat(
    name="openvex",
    expected="OpenVEX (@context, statements)",
    recognises=lambda document: (text(document.get("@context")) or "").startswith(CONTEXT),
    parse=parse,
)
