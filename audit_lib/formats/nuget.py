"""nuget, the packages of .NET applications and of .NET itself: the *.deps.json beside them, and assemblies that none names.

Sources: .NET's documentation of the "runtime configuration files" (.deps.json: `libraries`, `targets`, their assets `runtime`,
`native`, `resources`, `runtimeTargets`) and of its host ("assembly conflict resolution", the probing of assets), and of the
SDK's properties of assemblies (`InformationalVersion`). `pe` has those of the files.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import pe
from audit_lib.formats.base import Broken, Format, Found, Tree, by_place
from audit_lib.formats.documents import parse_object, text

_GLOB = "**/*.deps.json"
_ASSEMBLIES = ("**/*.dll", "**/*.exe")
_TRANSLATIONS = ".resources.dll"
# What the SDK writes as ProductVersion: the package's version, "+" and the commit.
_VERSION = re.compile(r"(\d+(?:\.\d+)+(?:-[0-9A-Za-z.-]+)?)(?:\+.*)?")
_ALONE = "an assembly that no .deps.json names, by its own version"
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


def _extract(path: str, content: bytes) -> bytes | None:
    """Return the strings of an assembly's version information as JSON, None for what is no .NET assembly."""
    strings = None if path.endswith(_TRANSLATIONS) else pe.assembly_strings(content, path)
    wanted = ("OriginalFilename", "ProductVersion", "FileVersion")
    return None if strings is None else json.dumps({key: strings[key] for key in wanted if key in strings}).encode()


def _places(tree: Tree) -> Sequence[str]:
    return sorted({*tree.once(_stated), *tree.once(_alone)})


def _stated(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.glob(_GLOB), _place)


def _place(path: str) -> str:
    return posixpath.dirname(path) or path


def _alone(tree: Tree) -> dict[str, list[str]]:
    """Return the assemblies that no .deps.json names as an asset, by place."""
    assemblies = tree.evidence(FORMAT.name)
    if not assemblies:
        return {}
    named: set[str] = set()
    for path in tree.glob(_GLOB):
        try:
            libraries = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError:
            continue
        for library in libraries:
            named.update(_owned(library, path))
    return by_place((path for path in assemblies if path not in named), _place)


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.once(_stated).get(place, ()):
        try:
            libraries = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
            continue
        for library in libraries:
            yield Found(name=library.name, version=library.version, path=path, detail=_detail(library))
    for path in tree.once(_alone).get(place, ()):
        yield _assembly(json.loads(tree.evidence(FORMAT.name)[path]), path)


def _assembly(strings: Mapping[str, str], path: str) -> Found:
    names = (strings.get("OriginalFilename", ""), posixpath.basename(path))
    stems = [text(posixpath.splitext(name)[0]) for name in names if "/" not in name]
    stated = [_VERSION.fullmatch(strings.get(key, "")) for key in ("ProductVersion", "FileVersion")]
    version = next((match[1] for match in stated if match), None)
    return Found(name=next((stem for stem in stems if stem), "?"), version=version, path=path, detail=_ALONE)


def _detail(library: Library) -> str | None:
    detail = _DETAILS.get(library.kind, f"type {library.kind or 'not stated'}")
    # Analysers and the like are stated though nothing of them is there when the application runs.
    return "brings no file of its own" if detail is None and not library.assets else detail


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    if found.detail == _ALONE:
        return [found.path]
    library = _by_name(tree.read(found.path) or b"", found.path).get((found.name, found.version))
    return sorted(_owned(library, found.path)) if library else []


def _owned(library: Library, path: str) -> set[str]:
    """Return where the assets of a library may lie, by the path of the .deps.json that states them."""
    folder = posixpath.dirname(path)
    paths: set[str] = set()
    for asset in library.assets:
        # Publishing puts assets beside the application: by name, translations in a folder of their language, those
        # for one of several platforms (runtimes/…) as the package has them.
        parts = [part for part in asset.split("/") if part not in {"", ".", ".."}]
        paths.update(posixpath.join(folder, *parts[-count:]) for count in {1, 2, len(parts)} if len(parts) >= count > 0)
    return paths


@lru_cache(maxsize=1)
def _by_name(data: bytes, path: str) -> Mapping[tuple[str, str | None], Library]:
    return {(library.name, library.version): library for library in reversed(parse(data, path))}


FORMAT = Format(
    name="nuget",
    globs=(_GLOB,),
    expected=(_GLOB,),
    places=_places,
    read=_read,
    files=_files,
    extract=_extract,
    extract_globs=_ASSEMBLIES,
)
