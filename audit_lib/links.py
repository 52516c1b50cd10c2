"""Where a path of an image leads when its links are followed, told from the table of files alone."""

from __future__ import annotations

from collections.abc import Container, Mapping

import pandas as pd

# Linux gives up after 40 links on one path (path_resolution(7), MAXSYMLINKS).
_MAX_LINKS = 40


def links_of(files: pd.DataFrame) -> Links:
    """Return the links in a table of files (schema `File`); a file's further names lead to its first one."""
    is_link = files["kind"].isin(["symlink", "hardlink"])
    rows = files.loc[is_link, ["path", "kind", "link_target"]].to_numpy().tolist()
    symlinks = {path: target for path, kind, target in rows if kind == "symlink"}
    hardlinks = {path: target for path, kind, target in rows if kind == "hardlink"}
    return Links(
        set(files["path"].to_numpy().tolist()), symlinks, hardlinks
    )  # an element at a time is ten times as slow


class Links:
    """The links among paths: symbolic ones by their targets, hard ones by the first name of the file."""

    def __init__(
        self, paths: Container[str], symlinks: Mapping[str, str], hardlinks: Mapping[str, str] | None = None
    ) -> None:
        self._paths, self._symlinks, self._hardlinks = paths, symlinks, hardlinks or {}
        self._known: dict[str, str | None] = {}

    def real(self, path: str) -> str | None:
        """Return the path that remains when all links are followed, hard links to their first name; None for nothing or a loop.

        >>> links = Links({"/bin", "/usr", "/usr/bin", "/usr/bin/dash"}, {"/bin": "usr/bin"})
        >>> links.real("/bin/dash"), links.real("/bin/bash"), links.real("/bin/../bin")
        ('/usr/bin/dash', None, '/usr/bin')
        """
        return self._followed(path, "", _MAX_LINKS)

    def _followed(self, path: str, start: str, links: int) -> str | None:
        done: str | None = "" if path.startswith("/") else start
        for part in path.split("/"):
            if part in {"", "."}:
                continue
            if done is None:
                return None
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{part}"
            done = here if here not in self._symlinks else self._target(here, links)
            if done is not None and done and done not in self._paths:
                return None
        return done if done is None else self._hardlinks.get(done, done) or "/"

    def _target(self, link: str, links: int) -> str | None:
        """Return where a symbolic link leads; each is followed once, however many lead through it."""
        if link not in self._known:
            folder = link.rpartition("/")[0]
            found = self._followed(self._symlinks[link], folder, links - 1) if links else None
            if not links:
                return None
            self._known[link] = "" if found == "/" else found
        return self._known[link]
