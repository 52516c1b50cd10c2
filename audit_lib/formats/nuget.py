"""nuget, the packages of .NET applications and of .NET itself: the *.deps.json that a build leaves beside them.

Sources: .NET's documentation of the "runtime configuration files" (.deps.json: `libraries`, `targets`, their assets `runtime`,
`native`, `resources`, `runtimeTargets`) and of its host ("assembly conflict resolution", the probing of assets).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree
from audit_lib.formats.documents import parse_object, text

_GLOB = "**/*.deps.json"
_ASSETS = ("runtime", "native", "resources", "runtimeTargets")
_DETAILS = {
    "package": None,
    "runtimepack": "a runtime pack",
    "project": "a project of the application's own, not a package",
    "reference": "an assembly that was referred to, not a package",
    "referenceassembly": "an assembly that was referred to, not a package",
    "platform": "a part of the platform",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library of an application. `kind`: package, project, … ; `assets`: the files it brings, as the package has them."""

    name: str
    version: str | None
    kind: str
    assets: tuple[str, ...]


def parse(data: bytes, path: str) -> list[Library]:
    """Return the libraries of a .deps.json, by name and version. Raises `DamagedDatabaseError` for anything else.

    >>> parse(b'{"libraries": {"Serilog/3.1.1": {"type": "package"}}}', "app.deps.json")
    [Library(name='Serilog', version='3.1.1', kind='package', assets=())]
    """
    document = parse_object(data, path)
    libraries = document.get("libraries")
    if not isinstance(libraries, dict):
        raise DamagedDatabaseError(path, None, "expected an object 'libraries', which is not in it")
    assets = _assets(document.get("targets"))
    found = []
    for key, stated in sorted(libraries.items()):
        name, _, version = key.rpartition("/") if "/" in key else (key, "", "")
        clean = text(name)
        if clean is None or not clean.strip("/ "):
            raise DamagedDatabaseError(path, None, f"expected a library's 'name/version', found {key[:60]!r}")
        kind = text(stated.get("type")) if isinstance(stated, dict) else None
        found.append(
            Library(name=clean, version=text(version), kind=kind or "", assets=tuple(sorted(assets.get(key, ()))))
        )
    return found


def _assets(targets: Any) -> Mapping[str, set[str]]:
    """Return the files of each library in all targets, by its key."""
    found: dict[str, set[str]] = {}
    for target in targets.values() if isinstance(targets, dict) else ():
        for key, library in target.items() if isinstance(target, dict) else ():
            for kind in _ASSETS if isinstance(library, dict) else ():
                named = library.get(kind)
                if isinstance(named, dict):
                    found.setdefault(key, set()).update(named)
    return found


def _places(tree: Tree) -> Sequence[str]:
    return sorted({posixpath.dirname(path) or path for path in tree.glob(_GLOB)})


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.glob(_GLOB):
        if (posixpath.dirname(path) or path) != place:
            continue
        try:
            libraries = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
            continue
        for library in libraries:
            yield Found(name=library.name, version=library.version, path=path, detail=_detail(library))


def _detail(library: Library) -> str | None:
    detail = _DETAILS.get(library.kind, f"type {library.kind or 'not stated'}")
    # Analysers and the like are stated though nothing of them is there when the application runs.
    return "brings no file of its own" if detail is None and not library.assets else detail


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    library = _by_key(tree.read(found.path) or b"", found.path).get((found.name, found.version))
    folder = posixpath.dirname(found.path)
    paths: set[str] = set()
    for asset in library.assets if library else ():
        # Publishing puts assets beside the application: by name, translations in a folder of their language, those
        # for one of several platforms (runtimes/…) as the package has them.
        parts = [part for part in asset.split("/") if part not in {"", ".", ".."}]
        paths.update(posixpath.join(folder, *parts[-count:]) for count in {1, 2, len(parts)} if len(parts) >= count > 0)
    return sorted(paths)


@lru_cache(maxsize=1)
def _by_key(data: bytes, path: str) -> dict[tuple[str, str | None], Library]:
    return {(library.name, library.version): library for library in parse(data, path)}


FORMAT = Format(
    name="nuget",
    globs=(_GLOB,),
    expected=(_GLOB,),
    places=_places,
    read=_read,
    files=_files,
)
