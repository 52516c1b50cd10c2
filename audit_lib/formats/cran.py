"""cran, packages of R as `install.packages` leaves them: a folder each in a library, with a DESCRIPTION.

Sources: "Writing R Extensions" (the DESCRIPTION file, written as Debian writes its control files) and "R Installation and
Administration" (libraries; `Built` is the field that installing adds).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, by_place
from audit_lib.formats.stanzas import stanzas

_GLOB = "**/DESCRIPTION"


def parse(data: bytes, path: str) -> Mapping[str, str]:
    r"""Return the fields of a DESCRIPTION, names in lower case. Raises `DamagedDatabaseError` where it is none, or names nothing.

    >>> parse(b"Package: jsonlite\nVersion: 1.8.4\nBuilt: R 4.2.2; ; 2022-12-09; unix\n", "DESCRIPTION")["version"]
    '1.8.4'
    """
    fields = next((fields for _, fields in stanzas(data, path)), {})
    for field in ("package", "version"):
        if not fields.get(field):
            raise DamagedDatabaseError(path, None, f"no {field.capitalize()}: field; expected one")
    return fields


def _places(tree: Tree) -> Sequence[str]:
    return list(tree.once(_by_library))


def _by_library(tree: Tree) -> dict[str, list[str]]:
    return by_place((path for path in tree.glob(_GLOB) if _is_installed(tree, path)), _library)


def _library(path: str) -> str:
    return posixpath.dirname(posixpath.dirname(path)) or posixpath.dirname(path)


def _is_installed(tree: Tree, path: str) -> bool:
    """Tell whether this is the DESCRIPTION of an installed package: others are of sources, or of nothing that R knows."""
    try:
        data = b"\n" + (tree.read(path) or b"")
    except DamagedDatabaseError:
        return False
    # R's own translations were not built.
    is_installed = b"\nBuilt:" in data or b"\nLicense: Part of R " in data
    return "/" in path and b"\nPackage:" in data and is_installed


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.once(_by_library)[place]:
        try:
            fields = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
            continue
        yield Found(
            name=fields["package"],
            version=fields["version"],
            path=path,
            licenses=(fields["license"],) if fields.get("license") else (),
            detail="part of R itself" if fields.get("priority") == "base" else None,
        )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    del tree
    return [f"{posixpath.dirname(found.path)}/"]


FORMAT = Format(
    name="cran",
    globs=(_GLOB,),
    expected=(),
    places=_places,
    read=_read,
    files=_files,
)
