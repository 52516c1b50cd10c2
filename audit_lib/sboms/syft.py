"""Syft's own JSON: artifacts with where each was found, and the source that was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import text
from audit_lib.sboms.base import Document, inner, listed

# Schemas before had other fields; what is read here is the same in all of these.
_OLDEST, _NEWEST = 3, 16


def parse(document: Mapping[str, Any], path: str) -> Document:
    """Return what Syft's JSON (a parsed object) states.

    Raises `DamagedDatabaseError` for a schema that is not known, or where a list or an object is something else.
    """
    version = text(inner(document, "schema").get("version"))
    major = (version or "").partition(".")[0]
    if not major.isdecimal() or not _OLDEST <= int(major[:9]) <= _NEWEST:
        raise DamagedDatabaseError(
            path, None, f"expected Syft's schema {_OLDEST} to {_NEWEST}, found {version or '(none)'}"
        )
    tool = inner(document, "descriptor")
    source = inner(document, "source")
    metadata = inner(source, "metadata") or inner(source, "target")
    found = Document(
        notation=f"Syft JSON {version}",
        made_by=" ".join(part for key in ("name", "version") if (part := text(tool.get(key)))) or None,
        subject=text(source.get("name")) or text(metadata.get("userInput")),
    )
    found.facts = dict(_facts(inner(document, "distro"), metadata))
    for place, artifact in listed(document, "artifacts", "", path):
        details = inner(artifact, "metadata")
        found.add(
            place,
            name=text(artifact.get("name")),
            version=text(artifact.get("version")),
            purl=text(artifact.get("purl")),
            licenses=tuple(_licenses(artifact)),
            cpes=tuple(_cpes(artifact)),
            source=_source(details, text(artifact.get("version"))),
            installed_size_bytes=_installed_size(text(artifact.get("type")), details),
        )
    return found


def _licenses(artifact: Mapping[str, Any]) -> Iterator[str]:
    """Yield the licences: texts of old, objects since schema 8."""
    stated = artifact.get("licenses")
    for one in stated if isinstance(stated, list) else []:
        value = (text(one.get("spdxExpression")) or text(one.get("value"))) if isinstance(one, dict) else text(one)
        if value is not None:
            yield value


def _cpes(artifact: Mapping[str, Any]) -> Iterator[str]:
    """Yield the CPE names: texts of old, objects since schema 16."""
    stated = artifact.get("cpes")
    for one in stated if isinstance(stated, list) else []:
        value = text(one.get("cpe")) if isinstance(one, dict) else text(one)
        if value is not None:
            yield value


def _source(details: Mapping[str, Any], version: str | None) -> tuple[str | None, str | None]:
    name = text(details.get("source")) or text(details.get("originPackage"))
    return (name, text(details.get("sourceVersion")) or version) if name else (None, None)


def _installed_size(kind: str | None, details: Mapping[str, Any]) -> int | None:
    """Return what the package database claims, in bytes: dpkg states KiB, apk and rpm bytes."""
    size, unit = {
        "deb": (details.get("installedSize"), 1024),
        "apk": (details.get("installedSize"), 1),
        "rpm": (details.get("size"), 1),
    }.get(kind or "", (None, 1))
    return size * unit if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 50 else None


def _facts(distro: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    digests = metadata.get("repoDigests")
    stated = {
        "distro_id": distro.get("id"),
        "distro_version": distro.get("versionID"),
        "distro_name": distro.get("prettyName"),
        "distro_codename": distro.get("versionCodename"),
        "config_digest": metadata.get("imageID"),
        "os": metadata.get("os"),
        "architecture": metadata.get("architecture"),
        # Where an engine sent the image, Syft's own manifestDigest is that of a manifest which Syft made up.
        "manifest_digest": digests[0].rpartition("@")[2]
        if isinstance(digests, list) and digests and isinstance(digests[0], str)
        else None,
    }
    for column, value in stated.items():
        shown = text(value)
        if shown is not None:
            yield column, shown
