"""SPDX 2, the Linux Foundation's notation of an SBOM (ISO/IEC 5962): packages and how they relate, as JSON or as tagged lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import text
from audit_lib.sboms import columns
from audit_lib.sboms.base import Document, inner, listed

VERSIONS = ("SPDX-2.1", "SPDX-2.2", "SPDX-2.3")
# Said instead of a value: nobody knows, or there is none (clause 7).
_NOTHING = frozenset({"NOASSERTION", "NONE"})
# Purposes (7.24) of what is no installed package.
_NO_PACKAGES = {
    "CONTAINER": "images",
    "OPERATING-SYSTEM": "operating systems",
    "OPERATING_SYSTEM": "operating systems",
    "FILE": "files",
    "DEVICE": "devices",
    "SOURCE": "sources",
    "ARCHIVE": "archives",
}
# Relationships (clause 11) whose right side, or whose left side, is what something was built from, with or by.
_SOURCE_RIGHT = frozenset({"GENERATED_FROM", "DESCRIBED_BY"})
_SOURCE_LEFT = frozenset(
    {"BUILD_DEPENDENCY_OF", "BUILD_TOOL_OF", "DEV_DEPENDENCY_OF", "DEV_TOOL_OF", "TEST_DEPENDENCY_OF", "TEST_TOOL_OF"}
)
_LONG = 200


def parse(document: Mapping[str, Any], path: str) -> Document:
    """Return what an SPDX document (a parsed JSON object, or what `tagged.parse` makes of lines) states.

    Packages that the document itself calls what others were built from are marked as sources. Raises `DamagedDatabaseError`
    for another version, or where a list or an object is something else.
    """
    version = text(document.get("spdxVersion"))
    if version not in VERSIONS:
        raise DamagedDatabaseError(path, None, f"expected {VERSIONS[0]} to {VERSIONS[-1]}, found {version or '(none)'}")
    creation = inner(document, "creationInfo")
    found = Document(
        notation=version.replace("-", " "),
        made_by=_maker(creation.get("creators")),
        subject=text(document.get("name")),
        created=text(creation.get("created")),
    )
    names = _license_names(document, path)
    sources = _sources(document, path)
    identifiers: dict[str, str] = {}
    for pointer, package in listed(document, "packages", "", path):
        identifier = text(package.get("SPDXID"))
        place = text(package.get("place")) or pointer
        if identifier is not None and identifiers.setdefault(identifier, place) != place:
            found.notes.append(
                f"{place} has the SPDXID of {identifiers[identifier]}, though each stands for one package"
            )
        _add(found, (pointer, place), package, path, names, is_source=identifier in sources)
    return found


def _add(  # noqa: PLR0913 - a package, where it stands, and what others say of it
    found: Document,
    where: tuple[str, str],
    package: Mapping[str, Any],
    path: str,
    names: Mapping[str, str],
    *,
    is_source: bool,
) -> None:
    pointer, place = where
    purpose = text(package.get("primaryPackagePurpose")) or ""
    name, version = text(package.get("name")), _value(package.get("versionInfo"))
    noted = _noted(package, f"{place}: comment", path)
    purls, cpes = _references(package, pointer, path)
    if purpose in _NO_PACKAGES:
        found.leave_out(_NO_PACKAGES[purpose])
        if purpose.startswith("OPERATING"):
            stated = {"distro_id": name, "distro_version": version, "distro_name": text(package.get("summary"))}
            found.facts.update({key: value for key, value in stated.items() if value and key not in found.facts})
        if purpose == "CONTAINER":
            found.subject = name or found.subject
            found.facts.update({key: noted[key] for key in columns.FACTS if key in noted})
            found.databases.extend(
                columns.row_of(value, f"{place}: {key}", path)
                for key, value in noted.items()
                if key.startswith("database:")
            )
        return
    if not purls and purpose == "APPLICATION":
        found.leave_out("groups of packages")
        return
    found.add(
        place,
        name=name,
        version=version,
        purl=purls[0] if purls else None,
        licenses=tuple(_licenses(package, names)),
        cpes=tuple(cpes),
        source=_source(text(package.get("sourceInfo")) or ""),
        is_source=is_source,
        columns=noted,
    )


def _source(info: str) -> tuple[str | None, str | None]:
    """Return a distribution's source package as Trivy states it."""
    match = re.fullmatch(r"built package from: (\S+) (\S+)", info)
    return (match[1], match[2]) if match else (None, None)


def _references(package: Mapping[str, Any], pointer: str, path: str) -> tuple[list[str], list[str]]:
    """Return the purls and the CPE 2.3 names of a package, in order."""
    purls, cpes = [], []
    for _, one in listed(package, "externalRefs", pointer, path):
        kind, locator = text(one.get("referenceType")) or "", text(one.get("referenceLocator"))
        if locator is None:
            continue
        if kind.rpartition("/")[2] == "purl":
            purls.append(locator)
        elif kind.rpartition("/")[2] == "cpe23Type":
            cpes.append(locator)
    return purls, cpes


def _noted(package: Mapping[str, Any], place: str, path: str) -> dict[str, str]:
    """Return the columns that this library wrote into a package's comment."""
    prefix, _, columns_ = (text(package.get("comment")) or "").partition(":")
    return columns.row_of(columns_, place, path) if prefix == columns.PREFIX else {}


def _licenses(package: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Yield the licences, those that SPDX does not list by the names that the document gives them."""
    stated = _value(package.get("licenseDeclared")) or _value(package.get("licenseConcluded"))
    if stated is None:
        return
    if "LicenseRef-" not in stated:
        yield stated
        return
    # A choice stays whole; what is joined by AND alone can be told apart.
    parts = [stated] if " OR " in stated or "(" in stated else stated.split(" AND ")
    for part in parts:
        yield re.sub(r"(?:DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+", lambda match: names.get(match[0], match[0]), part)


def _license_names(document: Mapping[str, Any], path: str) -> dict[str, str]:
    """Return by LicenseRef what a licence is called: its name, its text where that is short, else the reference."""
    found = {}
    for _, one in listed(document, "hasExtractedLicensingInfos", "", path):
        reference, name, words = (text(one.get(key)) for key in ("licenseId", "name", "extractedText"))
        if reference is not None:
            is_name = words is not None and len(words) <= _LONG and "\n" not in words
            found[reference] = _value(name) or (words if is_name and words else reference.removeprefix("LicenseRef-"))
    return found


def _sources(document: Mapping[str, Any], path: str) -> set[str]:
    """Return the identifiers of what other elements were built from, with or by."""
    found = set()
    for _, one in listed(document, "relationships", "", path):
        kind = one.get("relationshipType")
        if kind in _SOURCE_RIGHT:
            found.add(text(one.get("relatedSpdxElement")))
        elif kind in _SOURCE_LEFT:
            found.add(text(one.get("spdxElementId")))
    return {identifier for identifier in found if identifier is not None}


def _maker(creators: object) -> str | None:
    """Return the first tool, its version after a space, as `Tool: NAME-VERSION` states it."""
    for creator in creators if isinstance(creators, list) else []:
        if isinstance(creator, str) and creator.startswith("Tool:"):
            stated = creator.partition(":")[2].strip()
            match = re.fullmatch(r"(.+?)[- ]\(?v?(\d[^()\s]*)\)?", stated)
            return f"{match[1]} {match[2]}" if match else stated or None
    return None


def _value(value: object) -> str | None:
    stated = text(value)
    return None if stated in _NOTHING else stated
