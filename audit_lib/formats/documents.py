"""JSON from strangers: the objects of a document, and the texts in them, or why there are none."""

from __future__ import annotations

import json
from typing import Any

from audit_lib.errors import DamagedDatabaseError

_DEFAULT_LIMIT = 64 * 1024**2


def parse_json(data: bytes, path: str, *, limit: int = _DEFAULT_LIMIT) -> Any:
    """Return a document of JSON in UTF-8. Raises `DamagedDatabaseError` for anything else, or more than `limit` bytes."""
    if len(data) > limit:
        raise DamagedDatabaseError(path, None, f"{len(data):,} bytes; expected JSON below {limit:,}")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DamagedDatabaseError(path, None, f"not JSON: {error or type(error).__name__}") from error


def parse_object(data: bytes, path: str, *, limit: int = _DEFAULT_LIMIT) -> dict[str, Any]:
    """Return a document that is one JSON object. Raises `DamagedDatabaseError` for anything else."""
    document = parse_json(data, path, limit=limit)
    if not isinstance(document, dict):
        raise DamagedDatabaseError(path, None, f"expected a JSON object, found a {type(document).__name__}")
    return document


def text(value: object) -> str | None:
    r"""Return a value that is text and says something, None for any other; what is no character becomes U+FFFD.

    >>> text(" 1.0 "), text(""), text(1.0), text("\udcff")
    ('1.0', None, None, '�')
    """
    if not isinstance(value, str):
        return None
    # JSON's escapes and names of files may hold halves of characters, which no file in UTF-8 can.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip() or None


def texts(value: object) -> tuple[str, ...]:
    """Return the texts of a list, or of a single text, sorted, each once; nothing for any other value."""
    listed = value if isinstance(value, list) else [value]
    return tuple(sorted({found for one in listed if (found := text(one)) is not None}))
