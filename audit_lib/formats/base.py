"""What a package-database format is: a value that names its files and the functions that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

_T = TypeVar("_T")

# Eight tebibytes: whoever states more fills no disk, but the 64 bits of a column that a million such sizes are added up in.
_LARGEST = 1 << 43


def size_of(stated: str | int | None, unit: int = 1) -> int | None:
    """Return a size that a database states, in bytes; None where it states none, or one that no disk holds.

    >>> size_of("12", 1024), size_of("-1"), size_of("9" * 5000), size_of(None)
    (12288, None, None, None)
    """
    if isinstance(stated, str):
        is_number = stated.isascii() and stated.isdecimal() and len(stated) <= len(str(_LARGEST))
        stated = int(stated) if is_number else None
    return None if stated is None or not 0 <= stated * unit <= _LARGEST else stated * unit


def utf8(text: str) -> str:
    r"""Return text that was read with its odd bytes kept as text that a table can hold: U+FFFD stands for each of them.

    >>> utf8("a\udcff")
    'a�'
    """
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Tree(Protocol):
    """What a format sees of an image: the files it asked for. Paths have no leading slash.

    Links, also those of folders on the way (`lib` → `usr/lib`), are followed inside the image.
    """

    def glob(self, pattern: str) -> Sequence[str]:
        """Return the kept files that match, sorted. `*` stays within a folder, `**/` is any depth, also none."""

    def read(self, path: str) -> bytes | None:
        """Return a kept file's contents, None where it is absent.

        Raises `DamagedDatabaseError` where the path is a link loop, or the file is larger than the limits allow.
        """

    def evidence(self, format: str) -> Mapping[str, bytes]:  # noqa: A002 - the column's name
        """Return what the format's `extract` took out of single files, by path, sorted."""

    def has_folder(self, path: str) -> bool:
        """Tell whether the path is a folder (through links) in the image."""

    def once(self, make: Callable[[Tree], _T]) -> _T:
        """Return `make(tree)`, made once as long as the tree stands as it does: for what is asked at each of many places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An installed package as a database states it. None is "not stated".

    `path` is the file that states it, without leading slash. `installed_size_bytes` is the claim of the
    database, in bytes. `namespace` and `qualifiers` go into the purl where the format has them: the namespace
    of a distribution's packages is the distribution and is added by the caller. `detail` says what a reader of this
    row has to know beside it, in words ("vendored in pip", "version string in the binary"). All texts but `path` are UTF-8.
    """

    name: str
    version: str | None
    path: str
    architecture: str | None = None
    source_name: str | None = None
    source_version: str | None = None
    licenses: tuple[str, ...] = ()
    installed_size_bytes: int | None = None
    namespace: str | None = None
    qualifiers: tuple[tuple[str, str], ...] = field(default=())
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """One file of many that cannot be read, while its neighbours can: a damaged row of its own."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class Note:
    """What has to be known of a place that could be read, in words: it stands in its row of `databases`."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """What takes evidence out of single files for a table that no package database makes; its fields are as `Format`'s.

    `extract_sieve` (path) returns a regular expression (RE2's) over bytes, one of a few: each text of at most
    `Limits.searched_bytes` in which it is found is handed over too.
    """

    name: str
    extract: Callable[[str, bytes], bytes | None]
    extract_globs: tuple[str, ...] = ()
    extract_magic: bytes | None = None
    extract_sieve: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One package-database format.

    `name`: the purl type. `globs`: the files that a scan keeps for it, without leading slash. `expected`: the
    places that get an `absent` row when they are not there. `places`: the databases that are there, sorted
    paths of a file or a folder. `read`: the packages of one place; raises `DamagedDatabaseError` where the place
    as a whole cannot be trusted. `files`: the paths that a package claims, no leading slash; None where the
    database does not say; a path that ends in "/" claims everything below that folder that no deeper package claims.
    `is_distribution`: the operating system's own packages (their purl names the distro).

    `extract` (path, contents) takes small evidence out of one file while it passes by: a file is handed to it, whole,
    when its path matches `extract_globs` or its contents begin with `extract_magic` (up to four bytes). What it returns is what
    `Tree.evidence(name)` gives for that path; None is "nothing of interest". It may raise `DamagedDatabaseError`.
    `digests`: what the database says of a package's files, path → (algorithm as hashlib names it, or "sha256-160" for the
    first 160 bits of one; hexadecimal digest); None where it says nothing. Configuration files are left out: they are there
    to be changed.
    `only_unrecorded`: a package whose file one of a distribution or of conda owns is left out, since that one says it better.
    """

    name: str
    globs: tuple[str, ...]
    expected: tuple[str, ...]
    places: Callable[[Tree], Sequence[str]]
    read: Callable[[Tree, str], Iterator[Found | Broken | Note]]
    files: Callable[[Tree, Found], Iterable[str] | None]
    is_distribution: bool = False
    extract: Callable[[str, bytes], bytes | None] | None = None
    extract_globs: tuple[str, ...] = ()
    extract_magic: bytes | None = None
    only_unrecorded: bool = False
    digests: Callable[[Tree, Found], Mapping[str, tuple[str, str]] | None] | None = None


def by_place(paths: Iterable[str], place_of: Callable[[str], str]) -> dict[str, list[str]]:
    """Return paths by the place that each counts to, places sorted, paths in their order.

    >>> by_place(["b/x", "a/y", "b/z"], lambda path: path[0])
    {'a': ['a/y'], 'b': ['b/x', 'b/z']}
    """
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(place_of(path), []).append(path)
    return dict(sorted(found.items()))
