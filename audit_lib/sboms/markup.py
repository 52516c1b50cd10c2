"""CycloneDX's XML → the objects that its JSON has."""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

from audit_lib.errors import DamagedDatabaseError

_NAMESPACE = re.compile(r"http://cyclonedx\.org/schema/bom/([0-9.]+)")
_LISTS = frozenset({"components", "licenses", "properties", "tools"})
_SEPARATOR = " "


def parse(data: bytes, path: str) -> dict[str, Any]:
    """Return a document in XML as CycloneDX's JSON has it.

    Raises `DamagedDatabaseError`, with the line, for what is not well-formed, has a document type, or is no CycloneDX.
    """
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.characters, builder.doctype
    try:
        parser.Parse(data, True)  # noqa: FBT003 - positional in the C library's binding
    except _UnexpectedError as error:
        raise DamagedDatabaseError(path, parser.CurrentLineNumber, str(error)) from error
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DamagedDatabaseError(path, None, f"not XML: {error}") from error
    return builder.document


class _UnexpectedError(Exception):
    """Well-formed, but not what is read here."""


class _Builder:
    """Elements as they come: a dictionary each, a list where JSON has one."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self._open: list[tuple[str, Any, list[str]]] = []

    def doctype(self, *_: object) -> None:
        raise _UnexpectedError("a document type, which no SBOM has")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, tag = name.rpartition(_SEPARATOR)
        if not self._open:
            match = _NAMESPACE.fullmatch(namespace)
            if tag != "bom" or match is None:
                raise _UnexpectedError(f"expected <bom> of CycloneDX, found <{tag[:100]}>")
            attributes = {**attributes, "bomFormat": "CycloneDX", "specVersion": match[1]}
        self._open.append((tag, [] if tag in _LISTS else dict(attributes), []))

    def characters(self, characters: str) -> None:
        if self._open:
            self._open[-1][2].append(characters)

    def end(self, _name: str) -> None:
        tag, value, characters = self._open.pop()
        words = "".join(characters)
        if tag == "property":
            value["value"] = words
        elif tag == "tools" and value and isinstance(value[0], list):
            value = {"components": value[0]}
        elif value == {}:
            value = words
        if not self._open:
            self.document = value
            return
        above, parent, _ = self._open[-1]
        if not isinstance(parent, list):
            parent[tag] = value
        elif above == "licenses":
            parent.append({tag: value})
        else:
            parent.append(value)
