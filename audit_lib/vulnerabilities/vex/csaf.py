"""CSAF 2.0 and 2.1 (OASIS): a tree of products with ids, and for each vulnerability which of them have which status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import text
from audit_lib.sboms.base import inner, listed
from audit_lib.tables import VulnerabilityStatus
from audit_lib.vulnerabilities.reports.base import ids_of, line_of, utc_of
from audit_lib.vulnerabilities.vex.base import Product, Statement, VexDocument, VexFormat

# Section 3.2.3.9 (product status) of CSAF 2.0; what is recommended or last affected says nothing of the others.
_STATUSES: Mapping[str, VulnerabilityStatus] = {
    "known_not_affected": "not_affected",
    "fixed": "fixed",
    "first_fixed": "fixed",
    "known_affected": "affected",
    "first_affected": "affected",
    "under_investigation": "under_investigation",
}
_MAX_PRODUCTS = 1_000_000


def parse(document: Mapping[str, Any], path: str) -> VexDocument:
    """Return the statements of a CSAF document (a parsed JSON object): one a vulnerability, status, justification and detail.

    A product that is a component of another one (`relationships`) is a part of it where the other one has a package URL, else it
    stands for itself: distributions name themselves by CPE. Raises `DamagedDatabaseError` where a list is none of objects.
    """
    about, tracking = inner(document, "document"), inner(inner(document, "document"), "tracking")
    found = VexDocument(
        notation=f"CSAF {line_of(about.get('csaf_version')) or '(no version)'}",
        id=line_of(tracking.get("id")),
        author=line_of(inner(about, "publisher").get("name")),
        stated_utc=utc_of(tracking.get("current_release_date")) or utc_of(tracking.get("initial_release_date")),
    )
    products = _products(document, path)
    groups = {
        identity: ids_of(group.get("product_ids"))
        for _, group in listed(inner(document, "product_tree"), "product_groups", "/product_tree", path)
        if (identity := text(group.get("group_id"))) is not None
    }
    for place, stated in listed(document, "vulnerabilities", "", path):
        ids = ids_of([stated.get("cve"), *(one.get("text") for _, one in listed(stated, "ids", place, path))])
        if not ids:
            found.breaks(place, "expected a cve or an id")
            continue
        found.statements.extend(_statements(stated, place, ids, products, groups, found.stated_utc, path))
    return found


def _statements(  # noqa: PLR0913 - what a statement of CSAF is gathered from
    stated: Mapping[str, Any],
    place: str,
    ids: tuple[str, ...],
    products: Mapping[str, Product],
    groups: Mapping[str, tuple[str, ...]],
    stated_utc: str | None,
    path: str,
) -> Iterator[Statement]:
    labels = _by_product(stated, "flags", "label", place, groups, path)
    details = {
        **_by_product(stated, "remediations", "details", place, groups, path),
        **_by_product(stated, "threats", "details", place, groups, path),
    }
    gathered: dict[tuple[VulnerabilityStatus, str | None, str | None], list[Product]] = {}
    for key, status in _STATUSES.items():
        for identity in ids_of(inner(stated, "product_status").get(key)):
            said = (status, labels.get(identity), details.get(identity))
            gathered.setdefault(said, []).extend([products[identity]] if identity in products else [])
    for (status, label, detail), meant in gathered.items():
        yield Statement(
            place=place,
            ids=ids,
            products=tuple(dict.fromkeys(meant)),
            status=status,
            justification=label,
            detail=detail,
            stated_utc=stated_utc,
        )


def _by_product(  # noqa: PLR0913 - where a list stands, and what it names products by
    stated: Mapping[str, Any], key: str, value: str, place: str, groups: Mapping[str, tuple[str, ...]], path: str
) -> dict[str, str]:
    """Return what a list (flags, threats) says of each product."""
    found: dict[str, str] = {}
    for _, one in listed(stated, key, place, path):
        said = line_of(one.get(value))
        members = [member for group in ids_of(one.get("group_ids")) for member in groups.get(group, ())]
        for identity in (*ids_of(one.get("product_ids")), *members):
            if said is not None:
                found.setdefault(identity, said)
    return found


def _products(document: Mapping[str, Any], path: str) -> dict[str, Product]:
    """Return the products of the tree that have a package URL, by their ids."""
    tree = inner(document, "product_tree")
    purls: dict[str, tuple[str, ...]] = {}
    for product in _full_names(tree, path):
        identity = text(product.get("product_id"))
        helper = inner(product, "product_identification_helper")
        if identity is not None:
            purls[identity] = ids_of([helper.get("purl"), *ids_of(helper.get("purls"))])
    found = {identity: Product(own) for identity, own in purls.items() if own}
    for _, relation in listed(tree, "relationships", "/product_tree", path):
        identity = text(inner(relation, "full_product_name").get("product_id"))
        part, whole = (
            purls.get(text(relation.get(key)) or "", ())
            for key in ("product_reference", "relates_to_product_reference")
        )
        if identity is not None and (part or whole):
            found[identity] = Product(whole, part) if whole else Product(part)
    return found


def _full_names(tree: Mapping[str, Any], path: str) -> Iterator[Mapping[str, Any]]:
    """Yield all products; branches lie in branches, and are not followed by Python's stack."""
    yield from (one for _, one in listed(tree, "full_product_names", "/product_tree", path))
    waiting = [listed(tree, "branches", "/product_tree", path)]
    count = 0
    while waiting:
        following = next(waiting[-1], None)
        if following is None:
            waiting.pop()
            continue
        count += 1
        if count > _MAX_PRODUCTS:
            raise DamagedDatabaseError(path, None, f"more than {_MAX_PRODUCTS:,} products")
        yield inner(following[1], "product")
        waiting.append(listed(following[1], "branches", following[0], path))


FORMAT = VexFormat(
    name="csaf",
    expected="CSAF (document with csaf_version)",
    recognises=lambda document: "csaf_version" in inner(document, "document"),
    parse=parse,
)
