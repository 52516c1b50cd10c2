"""Packages and modules of a language that its interpreter in another image would not find, or could not load.

Sources: PEP 3149 (file names of compiled modules), PEP 405 (virtual environments), Python's site module (where packages are);
Node.js, "ABI stability" (native addons are built for one major version).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from audit_lib.compare.programs import Fault
from audit_lib.compare.world import World

_SITE = re.compile(r"(.*)/lib(?:64)?/python(3\.\d+)/(?:site|dist)-packages/")
_MODULE = re.compile(r".*\.cpython-3(\d+)[a-z]*-[\w-]+\.so")
_PYTHON = re.compile(r"(.*)/bin/python(3\.\d+)")
_ADDON = re.compile(r".*/node_modules/.*\.node")


class Python(NamedTuple):
    """An interpreter: the folder that it is installed in, and its version ("3.11")."""

    prefix: str
    version: str


def pythons(world: World) -> frozenset[Python]:
    """Return the Python interpreters of a world, virtual environments included."""
    found = set()
    for path in world.entries:
        match = _PYTHON.fullmatch(path)
        if match is not None and world.file(path) is not None:
            found.add(Python(match[1], match[2]))
    for path in world.entries:
        if path.endswith(("/bin/python", "/bin/python3")):
            match = _PYTHON.fullmatch(world.file(path) or "")
            if match is not None:
                found.add(Python(path.rpartition("/bin/")[0], match[2]))
    return frozenset(found)


def python_faults(before: World, after: World, own: Iterable[str]) -> Iterator[Fault]:
    """Yield the folders of Python packages, and the compiled modules, that no interpreter there is for after the move."""
    earlier, later = pythons(before), pythons(after)
    versions = {one.version for one in later}
    seen = set()
    for path in sorted(own):
        site = _SITE.match(path)
        if site is not None:
            wanted = Python(site[1], site[2])
            if wanted not in seen and _is_served(wanted, earlier) and not _is_served(wanted, later):
                yield _site_fault(site[0].rstrip("/"), wanted, later)
            seen.add(wanted)
            continue
        module = _MODULE.fullmatch(path)
        if module is not None:
            version = f"3.{module[1]}"
            if version in {one.version for one in earlier} and version not in versions:
                yield Fault(
                    "runtime_version_differs",
                    path,
                    f"python{version}",
                    f"{path} is compiled for Python {version}; {_there(later)}",
                    "install the application's packages anew with the minimal image's Python, or choose one with the same version",
                )


def addon_faults(full: Mapping[str, str], minimal: Mapping[str, str], own: Iterable[str]) -> Iterator[Fault]:
    """Yield the native addons of Node.js that were built for another major version; `full`, `minimal`: versions by package name."""
    before, after = _node(full), _node(minimal)
    if before is None or after is None or before == after:
        return
    for path in sorted(own):
        if _ADDON.fullmatch(path):
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


def _is_served(wanted: Python, there: frozenset[Python]) -> bool:
    """Tell whether an interpreter looks into a folder of packages. Debian's, in /usr, looks into /usr/local as well."""
    if wanted in there:
        return True
    return wanted.prefix == "/usr/local" and Python("/usr", wanted.version) in there


def _site_fault(folder: str, wanted: Python, there: frozenset[Python]) -> Fault:
    return Fault(
        "runtime_version_differs",
        folder,
        f"python{wanted.version}",
        f"the packages in {folder} are for Python {wanted.version} in {wanted.prefix or '/'}; {_there(there)}",
        "install the packages anew with the minimal image's Python, or choose one with the same Python in the same place",
    )


def _there(there: frozenset[Python]) -> str:
    known = ", ".join(f"{one.version} in {one.prefix or '/'}" for one in sorted(there))
    return f"the minimal image has Python {known}" if known else "the minimal image has no Python"
