"""Globs over paths inside an image: `*` and `?` stay within a folder, `**/` is any depth, also none."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from typing import Generic, TypeVar

Asker = TypeVar("Asker", bound=Hashable)
_Rules = list[tuple[re.Pattern[str], Asker]]


@cache
def pattern(glob: str) -> re.Pattern[str]:
    """Return the regular expression of a glob.

    >>> bool(pattern("**/*.dist-info/METADATA").fullmatch("usr/lib/python3/pip-23.dist-info/METADATA"))
    True
    >>> bool(pattern("var/lib/dpkg/*").fullmatch("var/lib/dpkg/info/bash.list"))
    False
    """
    parts = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*|\?)", glob)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


class Router(Generic[Asker]):
    """Who of several asks for a path: all their globs, sorted by what a path's last part is, so that most are never tried.

    >>> router = Router({"deb": ["var/lib/dpkg/status"], "npm": ["**/package.json"]})
    >>> router.askers("srv/app/package.json"), router.askers("etc/passwd")
    ({'npm'}, frozenset())
    """

    def __init__(self, globs: Mapping[Asker, Iterable[str]]) -> None:
        self._exact: dict[str, set[Asker]] = {}
        self._by_name: dict[str, _Rules[Asker]] = {}
        self._by_folder: dict[str, _Rules[Asker]] = {}
        self._by_ending: dict[str, _Rules[Asker]] = {}
        self._rest: _Rules[Asker] = []
        for asker, its_globs in globs.items():
            for glob in sorted(set(its_globs)):
                self._add(asker, glob)

    def askers(self, path: str) -> set[Asker] | frozenset[Asker]:
        """Return whose globs name the path (no leading slash); not to be changed by the caller."""
        folder, _, name = path.rpartition("/")
        rules = self._by_name.get(name)
        more = self._by_folder.get(folder)
        if more is not None:
            rules = more if rules is None else rules + more
        more = self._by_ending.get(name.rpartition(".")[2])
        if more is not None:
            rules = more if rules is None else rules + more
        if self._rest:
            rules = self._rest if rules is None else rules + self._rest
        exact = self._exact.get(path)
        if rules is None:
            return exact or frozenset()
        found = {asker for regex, asker in rules if regex.fullmatch(path)}
        return found | exact if exact else found

    def _add(self, asker: Asker, glob: str) -> None:
        folder, _, name = glob.rpartition("/")
        ending = name.rpartition(".")[2]
        if not is_open(glob):
            self._exact.setdefault(glob, set()).add(asker)
        elif not is_open(name):
            self._by_name.setdefault(name, []).append((pattern(glob), asker))
        elif not is_open(folder):
            self._by_folder.setdefault(folder, []).append((pattern(glob), asker))
        elif "." in name and not is_open(ending):
            self._by_ending.setdefault(ending, []).append((pattern(glob), asker))
        else:
            self._rest.append((pattern(glob), asker))


def folders_of(glob: str) -> list[str]:
    """Return the folders that lie for certain on the way to what a glob names.

    >>> folders_of("var/lib/dpkg/info/*.list"), folders_of("**/package.json")
    (['var', 'var/lib', 'var/lib/dpkg', 'var/lib/dpkg/info'], [])
    """
    parts = glob.split("/")[:-1]
    sure = next((number for number, part in enumerate(parts) if is_open(part)), len(parts))
    return ["/".join(parts[: end + 1]) for end in range(sure)]


def is_open(glob: str) -> bool:
    """Tell whether a glob, or a part of one, leaves anything open."""
    return "*" in glob or "?" in glob
