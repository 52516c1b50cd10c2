"""generic, programs that no package manager recorded: told by the version that they themselves print, found in the file.

Official images carry their runtime this way: built from source into /usr/local, outside of the distribution's database.
Which programs, and by what text: `programs`.
What is found is a version string in a file of the right name, so `detail` says so; a file that a distribution's package
owns is left out, since that package says better what it is (`only_unrecorded`).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence

from audit_lib.formats import elf
from audit_lib.formats.base import Broken, Format, Found, Tree
from audit_lib.formats.globs import pattern
from audit_lib.formats.programs import RULES, Rule

_WINDOW = 200
_MAX_TRIES = 200
# Few of many: each executable of an image is asked about.
_BY_BEGINNING = {
    beginning: tuple(rule for rule in RULES if beginning in {posixpath.basename(glob)[:2] for glob in rule.globs})
    for beginning in {posixpath.basename(glob)[:2] for rule in RULES for glob in rule.globs}
}
# The file `release` of a Java runtime: the name of who built it, and the versions, the fullest first. Azul's builds have advisories
# of their own.
_RELEASE = "release"
_STATED = re.compile(rb'^(IMPLEMENTOR|JAVA_RUNTIME_VERSION|JAVA_VERSION)="([^"\n]{1,60})"', re.MULTILINE)
_MAX_RELEASE = 64 * 1024
_RUNTIMES, _LAUNCHERS = frozenset({"openjdk", "zulu"}), frozenset({"java/jre", "java/jdk"})
_MINOR = re.compile(r"(?:lib)?python(\d\.\d{1,2})")
# PEP 3147
_TAG = re.compile(rb"cpython-(3)(\d{1,2})")


def parse(data: bytes, path: str) -> list[tuple[str, str, bool]]:
    r"""Return (name, version, whether it is a library) for each program that a file of this path is recognised as.

    >>> parse(b"\x7fELF @(#)Bash version 5.2.15(1) release GNU", "opt/bin/bash")
    [('bash', '5.2.15', False)]
    >>> parse(b"#!/bin/sh", "opt/bin/bash")
    []
    """
    if posixpath.basename(path) == _RELEASE:
        return _runtime(data)
    found: list[tuple[str, str, bool]] = []
    is_executable = data.startswith(elf.MAGIC)
    for rule in _BY_BEGINNING.get(posixpath.basename(path)[:2], ()):
        if rule.is_text is not is_executable and _matches(rule, path):
            version = _version(rule, data, path)
            if version is not None and not any(name == rule.name for name, _, _ in found):
                found.append((rule.name, version, rule.is_library))
    return found


def _runtime(data: bytes) -> list[tuple[str, str, bool]]:
    """Return the Java runtime that a file `release` states, none where it is the release of something else."""
    stated = {key: value.decode("utf-8", "replace") for key, value in _STATED.findall(data[:_MAX_RELEASE])}
    version = stated.get(b"JAVA_RUNTIME_VERSION") or stated.get(b"JAVA_VERSION")
    name = "zulu" if stated.get(b"IMPLEMENTOR", "").startswith("Azul") else "openjdk"
    return [(name, version, False)] if version and re.fullmatch(r"\d[\w.+-]*", version, re.ASCII) else []


def _matches(rule: Rule, path: str) -> bool:
    return any(pattern(glob).fullmatch(path) for glob in rule.globs)


def _version(rule: Rule, data: bytes, path: str) -> str | None:
    needle, expression = rule.needle, rule.version
    if b"{minor}" in needle:
        minor = _minor(data, posixpath.basename(path))
        if minor is None:
            return None
        needle = needle.replace(b"{minor}", minor)
        expression = expression.replace(b"{minor}", re.escape(minor))
    if not needle:
        match = re.search(expression, data)
        return match[1].decode() if match else None
    place = data.find(needle)
    for _ in range(_MAX_TRIES):
        if place < 0:
            return None
        match = re.match(
            rb"(?s:.*?)" + expression if rule.before else expression,
            data[max(place - rule.before, 0) : place + _WINDOW],
        )
        if match:
            return match[1].decode()
        place = data.find(needle, place + 1)
    return None


def _minor(data: bytes, name: str) -> bytes | None:
    """Return the `3.11` of a Python's version: of the file's name, else of the names that it looks for modules under."""
    said = _MINOR.match(name)
    if said:
        return said[1].encode()
    tagged = _TAG.search(data)
    return tagged[1] + b"." + tagged[2] if tagged else None


def _extract(path: str, content: bytes) -> bytes | None:
    found = parse(content, path)
    return json.dumps(found).encode() if found else None


def _places(tree: Tree) -> Sequence[str]:
    return list(tree.once(_standing))


def _standing(tree: Tree) -> dict[str, list[tuple[str, str, bool]]]:
    """Return what was recognised by path, without what is a part of something else that was."""
    evidence = {path: json.loads(found) for path, found in tree.evidence(FORMAT.name).items()}
    programs = {(name, version) for found in evidence.values() for name, version, is_library in found if not is_library}
    runtimes = {
        posixpath.dirname(path) for path, found in evidence.items() if any(one[0] in _RUNTIMES for one in found)
    }
    standing = {}
    for path, found in evidence.items():
        rows = [
            (name, version, is_library)
            for name, version, is_library in found
            # A library of the very version that stands as a program is part of it, as a launcher is of the runtime around it.
            if not (is_library and (name, version) in programs)
            and not (name in _LAUNCHERS and not runtimes.isdisjoint(_folders(path)))
        ]
        if rows:
            standing[path] = rows
    return standing


def _folders(path: str) -> Iterator[str]:
    while path:
        path = posixpath.dirname(path)
        yield path


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for name, version, is_library in tree.once(_standing)[place]:
        folder = name.rpartition("/")[0]
        is_text = name in _RUNTIMES or any(
            rule.name == name and rule.is_text and _matches(rule, place) for rule in RULES
        )
        kind = "text file" if is_text else "library" if is_library else "program"
        yield Found(
            name=name,
            version=version,
            path=place,
            namespace=folder or None,
            detail=f"told by the version string in this {kind}",
        )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    del tree
    return [found.path]


FORMAT = Format(
    name="generic",
    globs=(),
    expected=(),
    places=_places,
    read=_read,
    files=_files,
    extract=_extract,
    extract_globs=tuple(sorted({glob for rule in RULES if rule.is_text for glob in rule.globs} | {f"**/{_RELEASE}"})),
    extract_magic=elf.MAGIC,
    only_unrecorded=True,
)
