"""CycloneDX as VEX (ECMA-424): vulnerabilities with an `analysis`, on components of this document or of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from audit_lib.formats.documents import text
from audit_lib.sboms.base import inner, listed
from audit_lib.vulnerabilities.reports.base import ids_of, line_of, utc_of
from audit_lib.vulnerabilities.reports.cyclonedx import STATES, components, maker
from audit_lib.vulnerabilities.vex.base import Product, Statement, VexDocument, VexFormat

# A link to a component of another document: urn:cdx:SERIAL/VERSION#BOM-REF (section "BOM-Link").
_LINK = "urn:cdx:"


def parse(document: Mapping[str, Any], path: str) -> VexDocument:
    """Return the statements of a CycloneDX document (a parsed JSON object): its vulnerabilities that have an analysis.

    A vulnerability without an analysis states nothing. Raises `DamagedDatabaseError` where a list is none of objects.
    """
    metadata = inner(document, "metadata")
    name, version = maker(metadata, path)
    found = VexDocument(
        notation=f"CycloneDX {line_of(document.get('specVersion')) or '(no version)'}",
        id=line_of(document.get("serialNumber")),
        author=line_of(inner(metadata, "supplier").get("name"))
        or " ".join(one for one in (name, version) if one)
        or None,
        stated_utc=utc_of(metadata.get("timestamp")),
    )
    parts = components(document, path)
    for place, stated in listed(document, "vulnerabilities", "", path):
        analysis = inner(stated, "analysis")
        if not analysis:
            continue
        references = stated.get("references")
        others = [one.get("id") for one in references if isinstance(one, dict)] if isinstance(references, list) else []
        ids, status = ids_of([stated.get("id"), *others]), STATES.get(text(analysis.get("state")) or "")
        if not ids or status is None:
            found.breaks(place, f"expected an id, and an analysis with a state of {', '.join(STATES)}")
            continue
        state = text(analysis.get("state"))
        found.statements.append(
            Statement(
                place=place,
                ids=ids,
                products=tuple(
                    product
                    for _, one in listed(stated, "affects", place, path)
                    if (product := _product(text(one.get("ref")), parts)) is not None
                ),
                status=status,
                justification=line_of(analysis.get("justification")) or (state if state != status else None),
                detail=line_of(analysis.get("detail")),
                stated_utc=utc_of(analysis.get("lastUpdated"))
                or utc_of(analysis.get("firstIssued"))
                or found.stated_utc,
            )
        )
    return found


def _product(reference: str | None, parts: Mapping[str, Mapping[str, Any]]) -> Product | None:
    """Return the product of a reference; None where it leads to nothing with a package URL."""
    if reference is None:
        return None
    if reference.startswith(_LINK):
        reference = unquote(reference.partition("#")[2])
    component = parts.get(reference)
    purl = line_of((component or {}).get("purl")) or (reference if reference.startswith("pkg:") else None)
    return None if purl is None else Product((purl,))


FORMAT = VexFormat(
    name="cyclonedx",
    expected="CycloneDX (bomFormat, vulnerabilities)",
    recognises=lambda document: document.get("bomFormat") == "CycloneDX" and "vulnerabilities" in document,
    parse=parse,
)
