"""Programs by their names: which of them is a shell, a package manager, a network client and so on."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

import pandas as pd

from audit_lib.links import Links
from audit_lib.surface.facts import NO_SHELLS, Item, Seen, listed, may_write
from audit_lib.surface.names import category_of
from audit_lib.tables import SurfaceCategory

# Scripts and drivers that are named after the program that they serve, and the links of update-alternatives(1)
_NO_PROGRAMS = (
    "/etc/",
    "/usr/lib/apt/",
    "/usr/share/bash-completion/",
    "/usr/share/bug/",
    "/usr/share/doc/",
    "/var/lib/dpkg/",
)
# The database of a package manager, by the format's name
_FORMATS = {
    **dict.fromkeys(("apt", "apt-get", "aptitude", "dpkg"), "deb"),
    **dict.fromkeys(("dnf", "microdnf", "rpm", "tdnf", "yum", "zypper"), "rpm"),
    "apk": "apk",
    "pacman": "alpm",
    "opkg": "opkg",
    **dict.fromkeys(("conda", "mamba", "micromamba"), "conda"),
}


def programs(files: pd.DataFrame, databases: pd.DataFrame, links: Links, seen: Seen) -> Iterator[Item]:
    """Yield each program of a known name once a category, under the path to which its links lead."""
    executable = _Executables(files, links)
    applets = {executable.real(path): set(found) for path, found in seen.applets.items()}
    for (category, real), paths in sorted(_named(executable, applets, seen).items()):
        others = sorted(paths - {real})
        said = [f"also {listed(others)}"] if others else []
        if real in executable.boxes:
            said = list(_applets(category, others, applets.get(real)))
        if category == "package managers":
            said += _database(posixpath.basename(real), files, databases, seen)
        yield Item(category, real, posixpath.basename(real), "; ".join(said) or None)


def _named(
    executable: _Executables, applets: Mapping[str | None, set[str]], seen: Seen
) -> dict[tuple[SurfaceCategory, str], set[str]]:
    """Return the paths that have a known name, by category and the executable to which they lead."""
    found: dict[tuple[SurfaceCategory, str], set[str]] = {}
    for path in executable.candidates:
        category = None if path.startswith(_NO_PROGRAMS) else category_of(posixpath.basename(path))
        real = executable.real(path) if category else None
        if category and real:
            found.setdefault((category, real), set()).add(path)
    for path in seen.shells or ():
        real = executable.real(path)
        if real and posixpath.basename(path) not in NO_SHELLS:
            found.setdefault(("shells", real), set())
    for path in executable.boxes:
        for name in applets.get(path, {"sh"}):
            category = category_of(name)
            if category:
                found.setdefault((category, path), set())
    return found


class _Executables:
    """The executable files of a table: of a file's several names the one that says what it is (busybox), else the first.

    `candidates`: every path that is executable, or a link and may lead to what is. `boxes`: the paths of each busybox.
    """

    def __init__(self, files: pd.DataFrame, links: Links) -> None:
        self._links = links
        may_be_run = [mode for mode in files["mode"].unique() if int(mode, 8) & 0o111]
        is_run = files["mode"].isin(may_be_run)
        may_lead_there = files["kind"].eq("symlink") | (files["kind"].isin(["file", "hardlink"]) & is_run)
        self.candidates = files.loc[may_lead_there, "path"].tolist()
        self._files = {path: path for path in files.loc[files["kind"].eq("file") & is_run, "path"]}
        further = files.loc[files["kind"].eq("hardlink") & is_run, ["path", "link_target"]].to_numpy().tolist()
        self._files |= {first: path for path, first in further if _is_box(path) and not _is_box(first)}
        self.boxes = {path for path in self._files.values() if _is_box(path)}

    def real(self, path: str) -> str | None:
        """Return the executable file to which a path leads, None where it leads to none."""
        real = self._links.real(path)
        return None if real is None else self._files.get(real)


def _is_box(path: str) -> bool:
    return posixpath.basename(path).startswith("busybox")


def _applets(category: SurfaceCategory, links: list[str], applets: set[str] | None) -> Iterator[str]:
    linked = {posixpath.basename(path) for path in links}
    bare = sorted(name for name in applets or () if name not in linked and category_of(name) == category)
    if links:
        yield f"as {listed(links)}"
    if bare:
        yield f"without a link: {listed(bare)}"
    if not links and not bare:
        yield "which applets it holds is not known"


def _database(name: str, files: pd.DataFrame, databases: pd.DataFrame, seen: Seen) -> Iterator[str]:
    """Yield whether the database of a distribution's package manager is there, and whether the image's user may write to it."""
    form = _FORMATS.get(name) or _FORMATS.get(name.rstrip("0123456789.-"))
    if form is None:
        return
    there = databases[(databases["format"] == form) & (databases["status"] != "absent")]
    if there.empty:
        yield "its database is not there"
        return
    path = there["database_path"].iloc[0]
    user = seen.config.get("User") or "root"
    may = may_write(seen, files[files["path"] == path])
    yield f"its database {path} is there"
    answer = "is not known to be able to" if may is None else "may" if may else "may not"
    yield f"the image's user ({user}) {answer} write to it"
