"""Where a path of an image leads when its links are followed, told from the table of files alone."""

from __future__ import annotations

import pandas as pd

# Linux gives up after 40 links on one path (path_resolution(7), MAXSYMLINKS).
_MAX_LINKS = 40


class Links:
    """The symbolic and hard links of a table of files (schema `File`)."""

    def __init__(self, files: pd.DataFrame) -> None:
        is_link = files["kind"].isin(["symlink", "hardlink"])
        rows = files.loc[is_link, ["path", "kind", "link_target"]].to_numpy().tolist()
        self._symlinks = {path: target for path, kind, target in rows if kind == "symlink"}
        self._hardlinks = {path: target for path, kind, target in rows if kind == "hardlink"}
        self._paths = set(files["path"])

    def real(self, path: str) -> str | None:
        """Return the path that remains when all links are followed, hard links to their first name; None for nothing or a loop.

        >>> columns = ["path", "kind", "link_target"]
        >>> rows = [["/bin", "symlink", "usr/bin"], ["/usr", "directory", None], ["/usr/bin", "directory", None]]
        >>> links = Links(pd.DataFrame([*rows, ["/usr/bin/dash", "file", None]], columns=columns))
        >>> links.real("/bin/dash"), links.real("/bin/bash"), links.real("/bin/../bin")
        ('/usr/bin/dash', None, '/usr/bin')
        """
        pending, done, links = path.split("/")[::-1], "", 0
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{part}"
            target = self._symlinks.get(here)
            if target is None:
                if here not in self._paths:
                    return None
                done = here
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            done = "" if target.startswith("/") else done
            pending.extend(target.split("/")[::-1])
        return self._hardlinks.get(done, done) or "/"
