"""SBOM documents from strangers: which notation it is, and what it states; opens nothing itself."""

from __future__ import annotations

import base64
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import parse_object
from audit_lib.sboms import cyclonedx, markup, spdx, syft, tagged
from audit_lib.sboms.base import Document

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FEW = 5


def parse(data: bytes, path: str, *, limit: int) -> Document:
    """Return what an SBOM document states: CycloneDX (JSON, XML), SPDX 2 (JSON, tagged lines) or Syft's own JSON.

    The JSON ones may stand in an attestation, signed or not; a signature is not checked.

    Raises `DamagedDatabaseError`, with the place in the document, for anything else, or for more than `limit` bytes.
    """
    if len(data) > limit:
        raise DamagedDatabaseError(path, None, f"{len(data):,} bytes; expected an SBOM of at most {limit:,}")
    if begins_with_tags(data):
        return spdx.parse(tagged.parse(data, path), path)
    if data.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"<"):
        return cyclonedx.parse(markup.parse(data, path), path)
    document = _unwrapped(parse_object(data, path, limit=limit), path, limit)
    if "bomFormat" in document or "specVersion" in document:
        return cyclonedx.parse(document, path)
    if "spdxVersion" in document:
        return spdx.parse(document, path)
    if "artifacts" in document and "schema" in document:
        return syft.parse(document, path)
    keys = ", ".join(sorted(map(repr, list(document)[:_FEW]))) or "none"
    raise DamagedDatabaseError(
        path,
        None,
        "expected an SBOM in CycloneDX (bomFormat), SPDX 2 (spdxVersion) or Syft's JSON (artifacts, schema), "
        f"found an object with the keys {keys}",
    )


def _unwrapped(document: dict[str, Any], path: str, limit: int) -> dict[str, Any]:
    """Return the SBOM in an attestation: a signed envelope (DSSE) around an in-toto statement, or what buildx prints of one."""
    if isinstance(document.get("payload"), str) and "payloadType" in document:
        try:
            payload = base64.b64decode(document["payload"], validate=True)
        except ValueError as error:
            raise DamagedDatabaseError(path, None, f"/payload: not base64: {error}") from error
        document = parse_object(payload, path, limit=limit)
    for key in ("predicate", "SPDX"):
        inside = document.get(key)
        if isinstance(inside, dict):
            return inside
    return document


def begins_with_tags(head: bytes) -> bool:
    """Tell whether a document is SPDX in tagged lines, by its beginning; comments may come first."""
    for line in head.removeprefix(_BYTE_ORDER_MARK)[:4096].splitlines():
        if line.strip() and not line.startswith(b"#"):
            return line.startswith(tagged.MAGIC)
    return False
