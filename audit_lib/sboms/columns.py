"""Columns for which no SBOM standard has a field: the names under which exports write them and imports read them back."""

from __future__ import annotations

from collections.abc import Mapping

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import parse_object

# CycloneDX's property taxonomy asks for a prefix of one's own, with colons between its parts.
PREFIX = "audit-lib"
PACKAGE, IMAGE, DATABASE, GAP = (f"{PREFIX}:{kind}" for kind in ("package", "image", "database", "gap"))
# All columns of `Package` but the image's label and those that each notation has a field for: format, name, version, purl. These
# are written as well where a field would not give back the very same text.
TEXTS = (
    "architecture",
    "source_name",
    "source_version",
    "licenses",
    "database_path",
    "parent",
    "created_by",
    "cpes",
    "detail",
)
NUMBERS = ("installed_size_bytes", "file_bytes", "file_count", "first_layer")
# Facts of `Image` that a document may state; what an image weighs is exported too, and not taken from a document.
FACTS = (
    "manifest_digest",
    "config_digest",
    "os",
    "architecture",
    "created_utc",
    "distro_id",
    "distro_version",
    "distro_name",
    "distro_codename",
    "user",
    "entrypoint",
    "cmd",
)


def number(columns: Mapping[str, str], name: str) -> int | None:
    """Return a column of whole numbers, None where it is not stated or is none.

    >>> number({"file_bytes": "12"}, "file_bytes"), number({"file_bytes": "-1"}, "file_bytes"), number({}, "file_bytes")
    (12, None, None)
    """
    value = columns.get(name, "")
    # A column holds 64 bits.
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= 18 else None  # noqa: PLR2004


def row_of(value: str, place: str, path: str) -> dict[str, str]:
    """Return the columns that an export wrote as one JSON object of texts. Raises `DamagedDatabaseError` for anything else."""
    try:
        row = parse_object(value.encode("utf-8", "surrogatepass"), path)
    except DamagedDatabaseError as error:
        raise DamagedDatabaseError(path, None, f"{place}: {error.problem}") from error
    if not all(isinstance(text, str) for text in row.values()):
        raise DamagedDatabaseError(path, None, f"{place}: expected an object of texts")
    return {name: plain(text) for name, text in row.items()}


def with_prefix(properties: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the properties whose name begins with a prefix of this library, without it.

    >>> with_prefix({"audit-lib:package:parent": "deb:six", "other": "x"}, PACKAGE)
    {'parent': 'deb:six'}
    """
    return {
        name[len(prefix) + 1 :]: plain(value) for name, value in properties.items() if name.startswith(f"{prefix}:")
    }


def plain(value: str) -> str:
    r"""Return text that a file in UTF-8 can hold: halves of characters, as JSON can name them, become U+FFFD.

    >>> plain(" a\udc80")
    ' a�'
    """
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
