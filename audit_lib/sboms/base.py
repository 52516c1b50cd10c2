"""What an SBOM document states, whatever its notation: packages with their place in it, and what it says of the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from packageurl import PackageURL

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken
from audit_lib.formats.documents import text

# A distribution's purl has the distribution as its namespace; Maven's group is not part of an artifact's name either.
_NAMESPACE_APART = frozenset({"deb", "apk", "rpm", "alpm", "opkg", "maven"})
_DISTRIBUTION = frozenset({"deb", "apk", "rpm", "alpm", "opkg"})
# What stands for an image, not for something installed in one.
_IMAGES = frozenset({"oci", "docker"})
# These makers name a source package in the purl wherever it is another one than the package.
_STATES_UPSTREAM = ("syft", "audit-lib")
_MAX_BROKEN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A package as a document states it. None is "not stated".

    `place` leads to it in the document: a JSON pointer (RFC 6901) or a line. `format`: its purl's type, `generic` where it
    states no purl. `is_source`: what others were built from or with, by the document's own words, not something installed.
    `columns`: what this library wrote of a package for which the notation has no field (see `audit_lib.sboms.columns`).
    """

    place: str
    format: str
    name: str
    version: str | None
    purl: str | None
    architecture: str | None = None
    source_name: str | None = None
    source_version: str | None = None
    licenses: tuple[str, ...] = ()
    cpes: tuple[str, ...] = ()
    installed_size_bytes: int | None = None
    is_source: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Document:
    """A document that was read.

    `notation` with its version ("CycloneDX 1.6"), `made_by` the tool, `subject` what is described, `created` as stated.
    `facts`: what it says of the image, by columns of `Image`. `broken`: entries that cannot be read as packages, each with its
    place. `left_out`: how many entries of which kind are no packages. `notes`: what a reader has to know, in words.
    `distros`: what the purls of a distribution's packages say that they are of ("debian-12").
    `databases`: the rows of `Database` that an export of this library carries, as text by column; empty in any other document.
    """

    notation: str
    made_by: str | None = None
    subject: str | None = None
    created: str | None = None
    packages: list[Stated] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    databases: list[Mapping[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    distros: set[str] = field(default_factory=set)

    def leave_out(self, kind: str) -> None:
        """Count an entry that is no package."""
        self.left_out[kind] = self.left_out.get(kind, 0) + 1

    def breaks(self, place: str, problem: str) -> None:
        """Note an entry that cannot be read; of very many, the first ones stand for all."""
        if len(self.broken) < _MAX_BROKEN:
            self.broken.append(Broken(place, problem))
        elif len(self.broken) == _MAX_BROKEN:
            self.broken.append(Broken("", "there are more entries like these"))

    def add(  # noqa: PLR0913 - what a notation may say of a package
        self,
        place: str,
        *,
        name: str | None,
        version: str | None,
        purl: str | None,
        licenses: tuple[str, ...] = (),
        cpes: tuple[str, ...] = (),
        source: tuple[str | None, str | None] = (None, None),
        installed_size_bytes: int | None = None,
        is_source: bool = False,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Take an entry as a package; as a broken one where it has no name, or a purl that is none."""
        if name is None:
            self.breaks(place, "a package without a name")
            return
        try:
            parsed = None if purl is None else PackageURL.from_string(purl)
        except ValueError:
            self.breaks(place, f"{name}: expected a package URL, found {_short(purl)}")
            return
        if parsed is not None and parsed.type in _IMAGES:
            self.leave_out("images")
            return
        form = "generic" if parsed is None else parsed.type
        if parsed is not None and form in _DISTRIBUTION and isinstance(parsed.qualifiers, dict):
            self.distros.update(filter(None, [text(parsed.qualifiers.get("distro"))]))
        version = version or (text(parsed.version) if parsed else None)
        is_exact = (self.made_by or "").startswith(_STATES_UPSTREAM)
        found = _from_purl(parsed, name, version, source, is_exact=is_exact)
        self.packages.append(
            Stated(
                place=place,
                format=form,
                name=name if columns else found["name"] or name,
                version=version,
                purl=purl,
                architecture=found["architecture"],
                source_name=found["source_name"],
                source_version=found["source_version"],
                licenses=licenses,
                cpes=cpes,
                installed_size_bytes=installed_size_bytes,
                is_source=is_source,
                columns=columns or {},
            )
        )


def listed(owner: Mapping[str, Any], key: str, place: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (pointer, object) of a list of objects, nothing where it is not stated.

    Raises `DamagedDatabaseError` where it is something else than a list of objects.
    """
    value = owner.get(key)
    if value is None:
        return
    if not isinstance(value, list):
        raise DamagedDatabaseError(path, None, f"{place}/{key}: expected a list, found {_kind(value)}")
    for number, one in enumerate(value):
        if not isinstance(one, dict):
            raise DamagedDatabaseError(path, None, f"{place}/{key}/{number}: expected an object, found {_kind(one)}")
        yield f"{place}/{key}/{number}", one


def inner(owner: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object in another one, an empty one where there is none."""
    value = owner.get(key)
    return value if isinstance(value, dict) else {}


def _from_purl(
    parsed: PackageURL | None, name: str, version: str | None, source: tuple[str | None, str | None], *, is_exact: bool
) -> dict[str, str | None]:
    """Return name, architecture and source package, as the tables of an image call them."""
    if parsed is None:
        return {"name": name, "architecture": None, "source_name": source[0], "source_version": source[1]}
    qualifiers = parsed.qualifiers if isinstance(parsed.qualifiers, dict) else {}
    full = (
        parsed.name if parsed.type in _NAMESPACE_APART or not parsed.namespace else f"{parsed.namespace}/{parsed.name}"
    )
    is_distribution = parsed.type in _DISTRIBUTION
    source_name, source_version = source
    upstream = text(qualifiers.get("upstream"))
    if source_name is None and upstream is not None:
        source_name, _, stated_version = upstream.removesuffix(".src.rpm").partition("@")
        source_version = stated_version or version
    elif source_name is None and is_distribution and is_exact:
        source_name, source_version = name, version
    return {
        # A purl folds letters that a package's own name tells apart; Python's tables hold the folded one.
        "name": name if parsed.type != "pypi" and _folded(name) == _folded(full) else text(full),
        "architecture": text(qualifiers.get("arch")) if is_distribution else None,
        "source_name": source_name,
        "source_version": source_version,
    }


def _folded(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:100]}…"  # noqa: PLR2004 - a line's worth


def _kind(value: object) -> str:
    names = {str: "text", bool: "a truth value", int: "a number", float: "a number", dict: "an object", list: "a list"}
    return names.get(type(value), "null")
