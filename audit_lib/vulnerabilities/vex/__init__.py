"""VEX documents: which notation one is in, and what it states; opens nothing itself."""

from __future__ import annotations

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import parse_object
from audit_lib.vulnerabilities.vex import csaf, cyclonedx, openvex
from audit_lib.vulnerabilities.vex.base import VexDocument, VexFormat

# A new notation is one module with a value FORMAT, and its name here.
VEX: tuple[VexFormat, ...] = (openvex.FORMAT, cyclonedx.FORMAT, csaf.FORMAT)
_FEW = 5


def parse(data: bytes, path: str, *, limit: int) -> VexDocument:
    """Return what a VEX document states, in one of the notations of `VEX` (JSON in UTF-8).

    Raises `DamagedDatabaseError`, with the place in the document, for anything else, or for more than `limit` bytes. A statement
    that cannot be read is counted in `broken`; the rest is kept. Signatures are not checked.
    """
    document = parse_object(data, path, limit=limit)
    for form in VEX:
        if form.recognises(document):
            return form.parse(document, path)
    keys = ", ".join(sorted(map(repr, list(document)[:_FEW]))) or "none"
    expected = ", ".join(form.expected for form in VEX)
    raise DamagedDatabaseError(path, None, f"expected VEX: {expected}; found an object with the keys {keys[:200]}")
