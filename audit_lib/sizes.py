"""Where the bytes are: what each file is for, and tables of bytes by category, folder, layer, package."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, get_args

import pandas as pd

from audit_lib.errors import TableError
from audit_lib.tables import Category, SizeGroup, make_table

Grouping = Literal["category", "layer", "package", "top_folder"]

# Folders that settle the category of all they hold, whatever it is. A rule is looked for anywhere in a folder
# that ends in "/", so it holds under /usr, /usr/local, /opt/… alike; "^" binds it to the root.
_CERTAIN: dict[Category, tuple[str, ...]] = {
    "debug symbols": (r"^(?:/usr)?(?:/local)?/lib/debug/",),
    "package-manager data": (
        r"^/var/lib/(?:dpkg|apt|apk|rpm|dnf|yum|zypp|pacman|opkg|portage|db/sbom)/",
        r"^/(?:usr/)?lib/(?:apk/db|sysimage|opkg)/",
        r"^/usr/share/rpm/",
        r"^/var/db/(?:pkg|repos)/",
    ),
    "caches": (
        r"^/var/cache/",
        r"^/etc/apk/cache/",
        r"/\.cache/",
        r"/\.npm/",
        r"/\.yarn/cache/",
        r"/\.?cargo/registry/",
        r"/pkg/mod/cache/",
        r"conda[^/]*/pkgs/",
    ),
    "time zones": (r"/share/zoneinfo(?:-\w+)?/", r"^/usr/lib/zoneinfo/"),
    "locales": (r"/share/(?:locale|locale-langpack|i18n|X11/locale)/", r"^/usr/lib/locale/", r"/LC_MESSAGES/"),
    "manual pages": (r"/share/man/", r"^/usr/(?:X11R6/|local/)?man/", r"/man/man\d\w*/"),
    "documentation": (
        r"/share/(?:doc|info|licenses|common-licenses|gtk-doc|help|doc-base|javadoc)/",
        r"^/usr/(?:local/)?(?:doc|info)/",
    ),
    "fonts": (r"/share/fonts(?:-[^/]+)?/",),
}
# Folders that settle it where neither a file's name nor its first bytes do.
_LIKELY: dict[Category, tuple[str, ...]] = {
    "language packages": (
        r"/(?:site-packages|dist-packages|node_modules|gems|vendor_ruby|rubygems-integration|rustlib|conda-meta)/",
        r"/lib(?:32|64)?/(?:[^/]+-linux-[^/]+/)?(?:python|pypy)\d[\d.]*/",
        r"/lib(?:32|64)?/(?:[^/]+-linux-[^/]+/)?(?:perl|perl5|perl-base|ruby|jvm|nodejs|lua|php|R|erlang|ghc|ocaml|go|go-[\d.]+|dotnet)/",
        r"/share/(?:python3?|nodejs|javascript|java|maven-repo|perl|perl5|php|ruby|lua|go|go-[\d.]+|dotnet)/",
        r"^/usr/local/(?:go|rustup|cargo)/",
        r"^/opt/java/",
        r"^/go/pkg/",
        r"/\.(?:m2|gem|nuget|rustup)/",
        r"conda[^/]*/lib/",
    ),
    "headers and static libraries": (
        r"/include/",
        r"/(?:pkgconfig|cmake|aclocal)/",
        r"^/usr/src/(?:linux-headers|kernels)",
    ),
    "executables": (r"/(?:s?bin|games|libexec)/",),
}
_SUFFIXES: dict[str, Category] = {
    **dict.fromkeys(("pyc", "pyo", "elc"), "bytecode"),
    **dict.fromkeys(("a", "la", "o", "h", "hh", "hpp", "hxx", "pc", "rlib", "gch"), "headers and static libraries"),
    **dict.fromkeys(("ttf", "otf", "ttc", "woff", "woff2", "eot", "pfb", "pcf", "bdf", "afm"), "fonts"),
    **dict.fromkeys(("md", "markdown", "rst", "adoc", "pod"), "documentation"),
    **dict.fromkeys(("jar", "war", "ear", "class", "whl", "egg", "gem", "nupkg", "crate", "pyi"), "language packages"),
}
# Names under which projects ship their licence and history; the ending tells NEWS.gz from news.py.
_DOCUMENT = re.compile(
    r"(?:readme|licen[cs]es?|unlicense|copying|copyright|changelog|changes|history|news|authors|contributors|contributing|notice)(?![a-z])",
    re.IGNORECASE,
)
_DOCUMENT_SUFFIXES = frozenset(
    ["", "txt", "html", "htm", "gz", "bz2", "xz", "debian", "lib", "lesser", "mit", "bsd", "gpl", "lgpl", "apache"],
)
_DEBUG_SUFFIXES = frozenset({"debug", "dwp"})
_CERTAIN_FOLDERS = [(category, re.compile("|".join(rules))) for category, rules in _CERTAIN.items()]
_LIKELY_FOLDERS = [(category, re.compile("|".join(rules))) for category, rules in _LIKELY.items()]


def category(path: str, kind: str, magic: str) -> Category:
    """Return what a file is for, from its path, kind and first bytes alone (no contents are read).

    `path` begins with "/"; `kind` is one of `tables.Kind`; `magic` is what the first bytes of a regular file
    say: "elf", "script" (`#!`), "archive" (`!<arch>`) or "". The first rule that fits decides:

    1. debug symbols, by name or folder;
    2. the folder, where it serves one purpose whatever lies in it: package-manager data, caches, time zones,
       locales, manual pages, documentation, fonts;
    3. the file's own nature: bytecode, headers and static libraries, fonts, documents and archives of a language
       by their names; then shared libraries (ELF, or a link, with `.so` in the name) and executables (other ELF);
    4. the folder it is installed in: language packages, headers, bin folders (executables);
    5. a script is an executable; all else is `other`.

    So a compiled module of a Python package is a shared library and its README is documentation: what a file
    *is* comes before whose it is. A directory has the category of what it is meant to hold.

    >>> category("/usr/share/doc/bash/copyright", "file", "")
    'documentation'
    >>> category("/usr/lib/python3/dist-packages/numpy/core/_multiarray.cpython-311.so", "file", "elf")
    'shared libraries'
    >>> category("/usr/bin/python3.11", "file", "elf"), category("/usr/bin/python3", "symlink", "")
    ('executables', 'executables')
    """
    if kind == "directory":
        certain, likely = _folder_categories(path + "/")
        return certain or likely or "other"
    cut = path.rindex("/") + 1
    name = path[cut:]
    suffix = name[name.rfind(".") + 1 :].lower() if "." in name else ""
    if suffix in _DEBUG_SUFFIXES and (magic == "elf" or suffix == "debug"):
        return "debug symbols"
    certain, likely = _folder_categories(path[:cut])
    if certain is not None:
        return certain
    if path == "/etc/ld.so.cache":
        return "caches"
    nature = _by_nature(name, suffix, kind, magic)
    if nature is None and magic == "" and likely != "executables" and _is_document(name, suffix):
        nature = "documentation"
    return nature or likely or ("executables" if magic == "script" else "other")


def _by_nature(name: str, suffix: str, kind: str, magic: str) -> Category | None:
    """Return the category that a file's own name and first bytes give it, None where they do not tell."""
    if magic == "elf":
        if suffix == "o":
            return "headers and static libraries"
        return "shared libraries" if _is_shared_library(name) or suffix == "node" else "executables"
    if kind == "symlink" and _is_shared_library(name):
        return "shared libraries"
    if magic == "archive" and suffix not in {"deb", "udeb"}:
        return "headers and static libraries"
    return _SUFFIXES.get(suffix)


def _is_shared_library(name: str) -> bool:
    return name.endswith(".so") or ".so." in name


def _is_document(name: str, suffix: str) -> bool:
    return _DOCUMENT.match(name) is not None and (suffix in _DOCUMENT_SUFFIXES or suffix.isdigit())


# Paths come sorted, so a folder's files come together; the bound keeps the memory of a hostile image small.
@lru_cache(maxsize=4096)
def _folder_categories(folder: str) -> tuple[Category | None, Category | None]:
    certain = next((name for name, rule in _CERTAIN_FOLDERS if rule.search(folder)), None)
    likely = next((name for name, rule in _LIKELY_FOLDERS if rule.search(folder)), None)
    return certain, likely


def sizes_by(files: pd.DataFrame, grouping: Grouping) -> pd.DataFrame:
    """Return bytes and files by group, one row each (schema `SizeGroup`), of the tables of one or more images.

    `files` is a `File` table; directories do not count, and `file_bytes` adds up to the image's. `grouping` is
    `category`, `layer` (the layer that brought the entry, digits of equal width so that they sort), `package`
    (`format:name`, or `(no package)`) or `top_folder` (`/etc`; one level deeper below /usr, where nearly everything
    lies: `/usr/share`; `/` for files in the root). Raises `TableError` for another grouping.
    """
    counted = files[files["kind"] != "directory"]
    keys = [counted["image"], _groups(counted, grouping).astype("string")]
    sums = counted.groupby(keys, sort=False)["file_bytes"].agg(["sum", "size"])
    return make_table(
        SizeGroup,
        {
            "image": list(sums.index.get_level_values(0)),
            "grouping": [grouping] * len(sums),
            "category": list(sums.index.get_level_values(1)),
            "file_bytes": list(sums["sum"]),
            "file_count": list(sums["size"]),
        },
    )


def largest(table: pd.DataFrame, *, by: str = "file_bytes", count: int = 15) -> pd.DataFrame:
    """Return the `count` rows of any table that are largest in the column `by`, largest first, same columns.

    Ties keep the table's order; rows where the value is unknown are not among them. So
    `largest(audit.layers, by="reclaimable_bytes")` tells which layer wastes most. Raises `TableError` where there
    is no such column.
    """
    if by not in table.columns:
        raise TableError(f"largest: expected a column {by!r}, found {list(table.columns)}")
    known = table[table[by].notna()]
    return known.sort_values(by, ascending=False, kind="stable", ignore_index=True).head(count)


def _groups(files: pd.DataFrame, grouping: Grouping) -> pd.Series:
    if grouping == "category":
        return files["category"]
    if grouping == "layer":
        digits = files["layer"].astype("string")
        return digits.str.zfill(int(digits.str.len().max()) if len(files) else 1)
    if grouping == "package":
        return (files["format"] + ":" + files["package"]).fillna("(no package)")
    if grouping == "top_folder":
        return files["path"].str.extract(r"^(/usr/[^/]+|/[^/]+)/", expand=False).fillna("/")
    raise TableError(f"sizes_by: expected one of {list(get_args(Grouping))}, found {grouping!r}")
