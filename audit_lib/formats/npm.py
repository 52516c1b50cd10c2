"""npm, Node.js packages as installers lay them out: a folder each, with a package.json that names it.

Sources: npm's documentation ("package.json", "folders"), Node.js' documentation ("Modules: Loading from
node_modules folders"), Debian's JavaScript policy (/usr/share/nodejs).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, by_place
from audit_lib.formats.documents import parse_object, text, texts

_GLOB = "**/package.json"
# Where distributions put packages that Node finds without a node_modules folder.
_SYSTEM = ("usr/share/nodejs", "usr/lib/nodejs", "usr/share/javascript")
# The largest ones in the registry are a few hundred kilobytes (their readme included).
_MAX_BYTES = 16 * 1024 * 1024


def parse(data: bytes, path: str) -> dict[str, Any]:
    """Return a package.json as an object. Raises `DamagedDatabaseError` for anything else.

    >>> parse(b'{"name": "left-pad", "version": "1.3.0"}', "package.json")
    {'name': 'left-pad', 'version': '1.3.0'}
    """
    return parse_object(data, path, limit=_MAX_BYTES)


def _places(tree: Tree) -> Sequence[str]:
    found = set()
    for path in tree.glob(_GLOB):
        data = _contents(tree, path)
        # Most package.json files that name nothing only say which module system a folder uses.
        if data is None or (b'"name"' in data and b'"version"' in data) or _is_own(path):
            found.add(_place(path))
    return sorted(found)


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.once(_by_place)[place]:
        try:
            document = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            # Elsewhere than at a package's root it belongs to somebody's tests, where broken ones lie on purpose.
            if _is_own(path):
                yield Broken(path, error.problem)
            continue
        name, version = text(document.get("name")), text(document.get("version"))
        if name is None or version is None or not name.strip("@/ "):
            continue
        namespace = name.partition("/")[0] if name.startswith("@") and "/" in name else None
        yield Found(name=name, version=version, path=path, licenses=_licenses(document), namespace=namespace)


def _by_place(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.glob(_GLOB), _place)


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    del tree
    folder = posixpath.dirname(found.path)
    # A package.json in the root is the application's and would claim the whole image.
    return [f"{folder}/"] if folder else None


def _place(path: str) -> str:
    """Return the outermost folder of packages that a package.json lies in, else its own folder."""
    system = next((folder for folder in _SYSTEM if path.startswith(f"{folder}/")), None)
    parts = path.split("/")
    if system is None and "node_modules" in parts:
        return "/".join(parts[: parts.index("node_modules") + 1])
    return system or posixpath.dirname(path) or "package.json"


def _is_own(path: str) -> bool:
    """Tell whether this is the package.json of a package right in a node_modules folder (or a distribution's)."""
    folder = posixpath.dirname(posixpath.dirname(path))
    if posixpath.basename(folder).startswith("@"):
        folder = posixpath.dirname(folder)
    return posixpath.basename(folder) == "node_modules" or folder in _SYSTEM


def _contents(tree: Tree, path: str) -> bytes | None:
    try:
        return tree.read(path)
    except DamagedDatabaseError:
        return None


def _licenses(document: dict[str, Any]) -> tuple[str, ...]:
    stated = document.get("license", document.get("licenses"))
    listed = stated if isinstance(stated, list) else [stated]
    names = [one.get("type") if isinstance(one, dict) else one for one in listed]
    return texts(names)


FORMAT = Format(
    name="npm",
    globs=(_GLOB,),
    expected=("**/node_modules",),
    places=_places,
    read=_read,
    files=_files,
)
