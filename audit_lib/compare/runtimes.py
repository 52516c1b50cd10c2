"""Packages and modules of a language that its interpreter in another image would not find, or could not load.

Sources: PEP 3149 (file names of compiled modules), PEP 405 (virtual environments), Python's site module (where packages are);
Node.js, "ABI stability" (native addons are built for one major version); RubyGems and PHP have the version in a folder's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from audit_lib.compare.faults import Fault
from audit_lib.compare.world import World

_SITE = re.compile(r"(.*)/lib(?:64)?/python(3\.\d+)/(?:site|dist)-packages/")
_MODULE = re.compile(r".*\.cpython-3(\d+)[a-z]*-[\w-]+\.so")
_PYTHON = re.compile(r".*/bin/python(3\.\d+)")
# A folder of packages, and a folder of the interpreter's own library with the same number in its name.
_VERSIONED = (
    (
        "Ruby",
        re.compile(r"(?:.*/)?(?:gems|bundle/ruby)/(\d+\.\d+\.\d+)(?=/(?:gems|extensions)/)"),
        re.compile(r".*/lib/ruby/(\d+\.\d+\.\d+)/"),
    ),
    (
        "PHP's interface",
        re.compile(r".*/(?:extensions/[a-z-]*|php/)(\d{8})(?=/[^/]*\.so)"),
        re.compile(r".*/(?:extensions/[a-z-]*|php/)(\d{8})/"),
    ),
)


class Python(NamedTuple):
    """An interpreter: the folder that it is installed in, and its version ("3.11")."""

    prefix: str
    version: str


def pythons(world: World) -> dict[Python, str]:
    """Return the Python interpreters of a world, virtual environments included, each with the file that runs."""
    found = {}
    for path in world.entries:
        prefix, is_in_bin, name = path.rpartition("/bin/")
        if is_in_bin and name.startswith("python") and "/" not in name:
            real = world.file(path)
            match = _PYTHON.fullmatch(path) or _PYTHON.fullmatch(real or "")
            if real is not None and match is not None:
                found[Python(prefix, match[1])] = real
    return found


def python_faults(before: World, after: World, own: Iterable[str]) -> Iterator[tuple[Fault, str | None]]:
    """Yield the folders of Python packages, and the compiled modules, that no interpreter there is for after the move.

    With each the file of the interpreter that was there for it, None for a module that lies elsewhere.
    """
    earlier, later = pythons(before), pythons(after)
    seen = set()
    for path in sorted(own):
        site, module = _SITE.match(path), _MODULE.fullmatch(path)
        if site is not None:
            wanted = Python(site[1], site[2])
            served = _served(wanted, earlier)
            if wanted not in seen and served is not None and _served(wanted, later) is None:
                yield _site_fault(site[0].rstrip("/"), wanted, later), served
            seen.add(wanted)
        elif module is not None:
            version = f"3.{module[1]}"
            if _has_version(earlier, version) and not _has_version(later, version):
                yield _module_fault(path, version, later), None


def extension_faults(before: World, after: World, own: frozenset[str]) -> Iterator[Fault]:
    """Yield the folders of Ruby's and PHP's packages that are for a version whose own library is no longer there."""
    for language, folder, library in _VERSIONED:
        earlier, later = _versions(before.entries, library), _versions(set(after.entries) - own, library)
        matches = {match[0]: match[1] for path in own if (match := folder.match(path)) is not None}
        for found, version in sorted(matches.items()):
            if version in earlier and version not in later:
                there = ", ".join(sorted(later))
                yield Fault(
                    "runtime_version_differs",
                    found,
                    f"{language} {version}",
                    f"what is in {found} is for {language} {version}; the minimal image has "
                    + (f"{language} {there}" if there else f"no {language}"),
                    "install the packages anew with the minimal image's interpreter, or choose one with the same version",
                )


def addon_faults(full: Mapping[str, str], minimal: Mapping[str, str], own: Iterable[str]) -> Iterator[Fault]:
    """Yield the native addons of Node.js that were built for another major version; `full`, `minimal`: versions by package name."""
    before, after = _node(full), _node(minimal)
    if before is None or after is None or before == after:
        return
    for path in sorted(own):
        if path.endswith(".node") and "/node_modules/" in path:
            yield Fault(
                "runtime_version_differs",
                path,
                f"node {before}",
                f"{path} was built for Node.js {before}, the minimal image has {after}: it loads only where it keeps to Node-API",
                "run npm rebuild with the minimal image's Node.js",
            )


def _node(versions: Mapping[str, str]) -> str | None:
    known = [versions[name] for name in ("node", "nodejs", "nodejs-current") if name in versions]
    match = re.match(r"v?(?:\d+:)?(\d+)\.", known[0]) if known else None
    return match[1] if match is not None else None


def _versions(paths: Iterable[str], library: re.Pattern[str]) -> set[str]:
    return {match[1] for path in paths if (match := library.match(path)) is not None}


def _served(wanted: Python, there: Mapping[Python, str]) -> str | None:
    """Return the interpreter that looks into a folder of packages. Debian's, in /usr, looks into /usr/local as well."""
    if wanted.prefix == "/usr/local":
        return there.get(wanted) or there.get(Python("/usr", wanted.version))
    return there.get(wanted)


def _has_version(there: Iterable[Python], version: str) -> bool:
    return any(one.version == version for one in there)


def _site_fault(folder: str, wanted: Python, there: Iterable[Python]) -> Fault:
    return Fault(
        "runtime_version_differs",
        folder,
        f"python{wanted.version}",
        f"the packages in {folder} are for Python {wanted.version} in {wanted.prefix or '/'}; {_there(there)}",
        "install the packages anew with the minimal image's Python, or choose one with the same Python in the same place",
    )


def _module_fault(path: str, version: str, there: Iterable[Python]) -> Fault:
    return Fault(
        "runtime_version_differs",
        path,
        f"python{version}",
        f"{path} is compiled for Python {version}; {_there(there)}",
        "install the application's packages anew with the minimal image's Python, or choose one with the same version",
    )


def _there(there: Iterable[Python]) -> str:
    known = ", ".join(f"{one.version} in {one.prefix or '/'}" for one in sorted(there))
    return f"the minimal image has Python {known}" if known else "the minimal image has no Python"
