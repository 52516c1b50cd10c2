"""Globs over paths inside an image: `*` and `?` stay within a folder, `**/` is any depth, also none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache


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


class Matcher:
    """Many globs asked at once of many paths: sorted by what a path's last part is, so that most are never tried."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._by_name: dict[str, list[re.Pattern[str]]] = {}
        self._by_folder: dict[str, list[re.Pattern[str]]] = {}
        self._by_ending: dict[str, list[re.Pattern[str]]] = {}
        self._rest: list[re.Pattern[str]] = []
        for glob in sorted(set(globs)):
            folder, _, name = glob.rpartition("/")
            ending = name.rpartition(".")[2]
            if "*" not in glob and "?" not in glob:
                self._exact.add(glob)
            elif "*" not in name and "?" not in name:
                self._by_name.setdefault(name, []).append(pattern(glob))
            elif "*" not in folder and "?" not in folder:
                self._by_folder.setdefault(folder, []).append(pattern(glob))
            elif "." in name and "*" not in ending and "?" not in ending:
                self._by_ending.setdefault(ending, []).append(pattern(glob))
            else:
                self._rest.append(pattern(glob))

    def names(self, path: str) -> bool:
        """Tell whether the path is one of the globs to the letter."""
        return path in self._exact

    def matches(self, path: str) -> bool:
        """Tell whether any of the globs names the path (no leading slash)."""
        if path in self._exact:
            return True
        folder, _, name = path.rpartition("/")
        for table, key in (
            (self._by_name, name),
            (self._by_folder, folder),
            (self._by_ending, name.rpartition(".")[2]),
        ):
            found = table.get(key)
            if found and any(regex.fullmatch(path) for regex in found):
                return True
        return any(regex.fullmatch(path) for regex in self._rest)
