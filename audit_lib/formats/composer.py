"""composer, PHP's packages: one installed.json that Composer keeps in vendor/composer.

Sources: Composer's documentation ("composer.json schema", "runtime utilities") and its repository of installed packages: a list
up to version 1, an object with `packages`, `dev-package-names` and install paths from version 2.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree
from audit_lib.formats.documents import parse_json, text, texts

# The folder `vendor` may have another name (config `vendor-dir`); `composer` in it may not.
_GLOB = "**/composer/installed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed package. `install_path` is relative to the folder of installed.json, None where nothing is installed."""

    name: str
    version: str | None
    licenses: tuple[str, ...]
    install_path: str | None
    is_for_development: bool
    is_metapackage: bool


def parse(data: bytes, path: str) -> list[Package]:
    """Return the packages of an installed.json in its order. Raises `DamagedDatabaseError` for anything else.

    >>> found = parse(b'[{"name": "psr/log", "version": "1.1.4", "license": ["MIT"]}]', "vendor/composer/installed.json")
    >>> found[0].name, found[0].version, found[0].install_path
    ('psr/log', '1.1.4', '../psr/log')
    """
    document = parse_json(data, path)
    is_second = isinstance(document, dict)
    listed = document.get("packages") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise DamagedDatabaseError(path, None, "expected a list of packages, or an object with one")
    development = set(texts(document.get("dev-package-names"))) if isinstance(document, dict) else set()
    return [_package(one, path, number, development, is_second=is_second) for number, one in enumerate(listed, start=1)]


def _package(stated: Any, path: str, number: int, development: set[str], *, is_second: bool) -> Package:
    name = text(stated.get("name")) if isinstance(stated, dict) else None
    if name is None or not name.strip("/ "):
        raise DamagedDatabaseError(path, None, f"package {number} has no name; expected 'vendor/package'")
    return Package(
        name=name,
        version=text(stated.get("version")),
        licenses=texts(stated.get("license")),
        # Version 1 of Composer knows no other place than the one that the name gives.
        install_path=text(stated.get("install-path")) if is_second else f"../{name}",
        is_for_development=name in development,
        is_metapackage=stated.get("type") == "metapackage",
    )


def _places(tree: Tree) -> Sequence[str]:
    return tree.glob(_GLOB)


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for package in parse(tree.read(place) or b"", place):
        detail = "for development" if package.is_for_development else None
        yield Found(
            name=package.name,
            version=package.version,
            path=place,
            licenses=package.licenses,
            namespace=package.name.rpartition("/")[0] or None,
            detail="a metapackage: other packages, no files" if package.is_metapackage else detail,
        )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    package = _by_name(tree.read(found.path) or b"", found.path).get((found.name, found.version))
    if package is None or package.install_path is None or package.is_metapackage:
        return []
    folder = posixpath.normpath(posixpath.join("/", posixpath.dirname(found.path), package.install_path)).strip("/")
    # What claims the root claims the whole image.
    return [f"{folder}/"] if folder else None


@lru_cache(maxsize=1)
def _by_name(data: bytes, path: str) -> dict[tuple[str, str | None], Package]:
    return {(package.name, package.version): package for package in parse(data, path)}


FORMAT = Format(
    name="composer",
    globs=(_GLOB,),
    expected=(_GLOB,),
    places=_places,
    read=_read,
    files=_files,
)
