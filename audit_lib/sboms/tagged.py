"""SPDX's tag-value notation: lines of `Tag: value` → the objects that SPDX's JSON has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from audit_lib.errors import DamagedDatabaseError

MAGIC = b"SPDXVersion:"
_TAG = re.compile(r"([A-Za-z][A-Za-z0-9]*):[ \t]*(.*)", re.DOTALL)
# Tags that begin an element (clauses 7 to 12); what belongs to the others than packages and licences is passed over.
_BEGIN = frozenset({"PackageName", "FileName", "SnippetSPDXID", "LicenseID", "Relationship", "Annotator", "Reviewer"})
_DOCUMENT = {"SPDXVersion": "spdxVersion", "DocumentName": "name"}
_PACKAGE = {
    "PackageName": "name",
    "SPDXID": "SPDXID",
    "PackageVersion": "versionInfo",
    "PackageLicenseConcluded": "licenseConcluded",
    "PackageLicenseDeclared": "licenseDeclared",
    "PrimaryPackagePurpose": "primaryPackagePurpose",
    "PackageSummary": "summary",
    "PackageSourceInfo": "sourceInfo",
    "PackageComment": "comment",
}
_LICENSE = {"LicenseID": "licenseId", "LicenseName": "name", "ExtractedText": "extractedText"}
_REFERENCE, _RELATION = 3, 3


def parse(data: bytes, path: str) -> dict[str, Any]:
    """Return a document of tagged lines as SPDX's JSON has it: packages, licences, relationships; files are left out.

    Each package has its first line as `place`. Raises `DamagedDatabaseError` with the line that is none of the notation's.
    """
    builder = _Builder(path)
    for number, tag, value in _tags(data, path):
        builder.take(number, tag, value)
    return builder.document


class _Builder:
    """Lines as they come: an element begins with its first tag and takes what follows."""

    def __init__(self, path: str) -> None:
        self.document: dict[str, Any] = {
            "creationInfo": {"creators": []},
            "packages": [],
            "hasExtractedLicensingInfos": [],
            "relationships": [],
        }
        self._path = path
        self._element: dict[str, Any] = self.document
        self._names: dict[str, str] = _DOCUMENT

    def take(self, number: int, tag: str, value: str) -> None:
        if tag in _BEGIN:
            self._begin(number, tag, value)
        if tag in self._names:
            self._element[self._names[tag]] = value
        elif tag == "ExternalRef" and self._names is _PACKAGE:
            self._element["externalRefs"].append(_reference(value, number, self._path))
        elif tag == "Creator":
            self.document["creationInfo"]["creators"].append(value)
        elif tag == "Created":
            self.document["creationInfo"]["created"] = value

    def _begin(self, number: int, tag: str, value: str) -> None:
        self._element, self._names = {}, {}
        if tag == "PackageName":
            self._element = {"place": f"line {number}", "externalRefs": []}
            self._names = _PACKAGE
            self.document["packages"].append(self._element)
        elif tag == "LicenseID":
            self._names = _LICENSE
            self.document["hasExtractedLicensingInfos"].append(self._element)
        elif tag == "Relationship":
            self.document["relationships"].append(_relationship(value, number, self._path))


def _tags(data: bytes, path: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, tag, value); a value in <text> … </text> may take several lines (annex E)."""
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except ValueError as error:
        raise DamagedDatabaseError(path, None, f"not UTF-8: {error}") from error
    number = 0
    while number < len(lines):
        number += 1
        line = lines[number - 1].rstrip("\r")
        if not line.strip() or line.startswith("#"):
            continue
        match = _TAG.fullmatch(line)
        if match is None:
            raise DamagedDatabaseError(path, number, f"expected 'Tag: value', found {line[:100]!r}")
        tag, value = match[1], match[2]
        if value.startswith("<text>"):
            first = number
            value = value.removeprefix("<text>")
            parts = [value]
            while "</text>" not in parts[-1]:
                if number == len(lines):
                    raise DamagedDatabaseError(path, first, f"{tag}: <text> has no end")
                parts.append(lines[number])
                number += 1
            value = "\n".join(parts).partition("</text>")[0]
            yield first, tag, value
            continue
        yield number, tag, value.strip()


def _reference(value: str, number: int, path: str) -> dict[str, str]:
    words = value.split(None, _REFERENCE - 1)
    if len(words) < _REFERENCE:
        raise DamagedDatabaseError(
            path, number, f"ExternalRef: expected a category, a type and a locator, found {value[:100]!r}"
        )
    return {"referenceCategory": words[0], "referenceType": words[1], "referenceLocator": words[2]}


def _relationship(value: str, number: int, path: str) -> dict[str, str]:
    words = value.split()
    if len(words) != _RELATION:
        raise DamagedDatabaseError(
            path, number, f"Relationship: expected two elements and a type, found {value[:100]!r}"
        )
    return {"spdxElementId": words[0], "relationshipType": words[1], "relatedSpdxElement": words[2]}
