"""rpm, the packages of Red Hat, SUSE, Amazon, Azure and their kin: one database of headers, or a manifest in distroless images.

Sources: rpm's manual (rpm(8), "RPM Tags"), lib/rpmverify.c for which files are held against their digest; Azure Linux's
toolkit (`generateContainerManifests`) for the manifests, which are what `rpm -qa` printed before the database was deleted.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import rpmbdb, rpmheaders, rpmndb, rpmsqlite, sqlitewal
from audit_lib.formats.base import Format, Found, Note, Tree, size_of
from audit_lib.formats.rpmheaders import Header
from audit_lib.formats.stanzas import lines

# The second since Fedora 36 and in SUSE, the third in images made by ostree; links between them are followed.
_FOLDERS = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
_SQLITE, _NDB, _BDB = "rpmdb.sqlite", "Packages.db", "Packages"
_MANIFESTS = tuple(f"var/lib/rpmmanifest/container-manifest-{number}" for number in (2, 1))
# Best evidence first: what two of them state is read from the first.
_DATABASES = (*(f"{folder}/{name}" for folder in _FOLDERS for name in (_SQLITE, _NDB, _BDB)), *_MANIFESTS)
_LOG, _JOURNAL = "-wal", "-journal"
_HOT_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # SQLite's file format, section 3

_SOURCE = re.compile(r"(.+)-([^-]+-[^-]+)[.-](?:no)?src\.rpm")
_NAMED = re.compile(r"(.+)-([^-]+-[^-]+)\.([^.-]+)|(gpg-pubkey)-([^-]+-[^-]+)")
_COLUMNS = 10
_KEY = "gpg-pubkey"
# File flags (rpmfiles.h): what may differ or be missing. A ghost is a name that a package keeps for what others write.
_CONFIG, _MISSING_OK, _GHOST = 1 << 0, 1 << 3, 1 << 6
_VERIFY_DIGEST = 1 << 0
_STATE_NORMAL, _STATE_NET_SHARED = 0, 3
# By number (RFC 9580, section 9.5), as hashlib names them; a header that states none has MD5.
_ALGORITHMS = {
    1: "md5",
    2: "sha1",
    8: "sha256",
    9: "sha384",
    10: "sha512",
    11: "sha224",
    12: "sha3_256",
    14: "sha3_512",
}
# How many times a package's paths may be as long as its header, which spells each folder once.
_MOST_PATHS = 16

_Key = tuple[str, str | None, str | None]


class File(NamedTuple):
    """A file that a header lists: its path without leading slash, flags and state by rpmfiles.h, digest "" for none."""

    path: str
    flags: int
    state: int
    is_verified: bool
    digest: str


class Stated(NamedTuple):
    """A package as a database states it, with its vendor and, of a database proper, its header."""

    found: Found
    vendor: str | None
    header: Header | None = None


def parse(data: bytes, path: str) -> Iterator[Header]:
    """Yield the header of each package of a database, by the format that its file name stands for.

    Raises `DamagedDatabaseError` where the file is no such database, is cut or edited, or holds what is no header.
    """
    records = {_SQLITE: rpmsqlite.parse, _NDB: rpmndb.parse, _BDB: rpmbdb.parse}[posixpath.basename(path)](data, path)
    for number, blob in records:
        yield rpmheaders.parse(blob, path, number)


def parse_files(header: Header) -> Iterator[File]:
    """Yield the files of a package as its header lists them. Raises `DamagedDatabaseError` where the lists do not fit together."""
    paths = _paths(header)
    blank = len(paths)
    flags = header.numbers(rpmheaders.FILE_FLAGS) or (0,) * blank
    states = header.numbers(rpmheaders.FILE_STATES) or (_STATE_NORMAL,) * blank
    verified = header.numbers(rpmheaders.FILE_VERIFY_FLAGS) or (_VERIFY_DIGEST,) * blank
    digests = header.texts(rpmheaders.FILE_DIGESTS) or [b""] * blank
    if {len(flags), len(states), len(verified), len(digests)} != {len(paths)}:
        raise header.damage(f"{len(paths):,} files, but not as many flags, states or digests")
    for path, flag, state, verify, digest in zip(paths, flags, states, verified, digests, strict=True):
        if path:
            yield File(path, flag, state, bool(verify & _VERIFY_DIGEST), digest.decode("ascii", "replace"))


def parse_manifest(data: bytes, path: str) -> Iterator[Stated]:
    r"""Yield the packages of a distroless image's manifest: the second one with ten columns, the first one with names alone.

    Raises `DamagedDatabaseError` with the line where one is neither, and where the file ends within a line.

    >>> [one] = parse_manifest(b"vim\t9.0-1.cm2\t1\t1\tMicrosoft\t(none)\t45\tx86_64\t2\tvim-9.0-1.cm2.src.rpm\n", "manifest-2")
    >>> one.found.version, one.found.architecture, one.found.source_version, one.found.installed_size_bytes, one.vendor
    ('2:9.0-1.cm2', 'x86_64', '9.0-1.cm2', 45, 'Microsoft')
    >>> names = parse_manifest(b"vim-9.0-1.cm2.x86_64\ngpg-pubkey-3135-5e6f\n", "manifest-1")
    >>> [(one.found.name, one.found.version) for one in names]
    [('vim', '9.0-1.cm2'), ('gpg-pubkey', '3135-5e6f')]
    """
    for number, line in enumerate(lines(data, path), start=1):
        if line:
            yield _named(line, path, number) if path.endswith("-1") else _listed(line, path, number)


def _named(line: str, path: str, number: int) -> Stated:
    match = _NAMED.fullmatch(line)
    if match is None:
        raise DamagedDatabaseError(path, number, f"expected name-version-release.arch, found {line[:60]!r}")
    return Stated(_made(match[1] or match[4], None, match[2] or match[5], path, architecture=match[3]), None)


def _listed(line: str, path: str, number: int) -> Stated:
    columns = [_or_none(column) for column in line.split("\t")]
    name, version, _, _, vendor, epoch, size, architecture, epoch_number, source, *_ = columns + [None] * _COLUMNS
    if len(columns) < _COLUMNS or not name or not version:
        raise DamagedDatabaseError(path, number, f"expected {_COLUMNS} columns between tabs, found {line[:60]!r}")
    # Azure's toolkit writes (none) as the epoch of every package, and 0 as the number of those that have none.
    epoch = epoch or (None if epoch_number == "0" else epoch_number)
    found = _made(name, epoch, version, path, architecture=architecture, source=source)
    return Stated(replace(found, installed_size_bytes=size_of(size)), vendor)


def _or_none(text: str | None) -> str | None:
    """Return None for how rpm prints, and in keys also stores, what is not there."""
    return None if text in {"(none)", ""} else text


def _made(  # noqa: PLR0913 - the words of a package's full name
    name: str,
    epoch: str | None,
    version: str,
    path: str,
    *,
    architecture: str | None = None,
    source: str | None = None,
    module: str | None = None,
) -> Found:
    match = _SOURCE.fullmatch(source or "")
    stated = {"epoch": epoch, "upstream": source, "rpmmod": module}
    return Found(
        name=name,
        version=version if epoch is None else f"{epoch}:{version}",
        path=path,
        architecture=architecture,
        source_name=match[1] if match else None,
        source_version=match[2] if match else None,
        qualifiers=tuple((key, value) for key, value in stated.items() if value is not None),
    )


def _found(header: Header, path: str) -> Found:
    epoch = header.number(rpmheaders.EPOCH)
    size = header.number(rpmheaders.LONG_SIZE)
    license_ = header.text(rpmheaders.LICENSE)
    found = _made(
        header.text(rpmheaders.NAME) or "",
        None if epoch is None else str(epoch),
        f"{header.text(rpmheaders.VERSION)}-{header.text(rpmheaders.RELEASE)}",
        path,
        architecture=_or_none(header.text(rpmheaders.ARCH)),
        source=_or_none(header.text(rpmheaders.SOURCE_RPM)),
        module=header.text(rpmheaders.MODULARITY_LABEL),
    )
    return replace(
        found,
        licenses=(license_,) if license_ and found.name != _KEY else (),  # a key's says "pubkey"
        installed_size_bytes=size_of(header.number(rpmheaders.SIZE) if size is None else size),
    )


def _places(tree: Tree) -> Sequence[str]:
    return [path for database in _DATABASES for path in tree.glob(database)]


def _read(tree: Tree, place: str) -> Iterator[Found | Note]:
    known: set[_Key] = set()
    for earlier in _places(tree):
        if earlier == place:
            break
        try:
            known |= _stated(tree, earlier).keys()
        except DamagedDatabaseError:  # its own row says so
            continue
    stated = _stated(tree, place)
    vendors = Counter(one.vendor for one in stated.values() if one.found.name != _KEY)
    usual = max(vendors, key=vendors.__getitem__, default=None)
    for key, one in stated.items():
        if key not in known:
            yield replace(one.found, detail=_detail(one, usual))
    if _current(tree, place) != tree.read(place):
        yield Note(f"read with what is committed in {_SQLITE}{_LOG} beside it, and not in the file itself yet")


def _detail(stated: Stated, usual: str | None) -> str | None:
    """Return what is unusual about a package: a key, or one that another vendor made than most."""
    if stated.found.name == _KEY:
        return "a key that rpm trusts, which rpm lists as a package; no software"
    if usual is not None and stated.vendor != usual:
        return f"vendor {stated.vendor or 'not stated'}; most packages here are of {usual}"
    return None


def _stated(tree: Tree, place: str) -> Mapping[_Key, Stated]:
    return _packages(_current(tree, place), place)


def _current(tree: Tree, place: str) -> bytes:
    """Return a database as SQLite, or rpm, would find it: with what its log has committed."""
    data = tree.read(place) or b""
    if posixpath.basename(place) != _SQLITE:
        return data
    if (tree.read(place + _JOURNAL) or b"").startswith(_HOT_JOURNAL):
        raise DamagedDatabaseError(
            place, None, f"left in the middle of a change: a journal lies beside it ({_JOURNAL})"
        )
    log = tree.read(place + _LOG)
    return _replayed(data, log, place + _LOG) if log else data


# Asked once a package, of one database after the other: parsed once, not once a package. Two, for a layer and the one below.
_replayed = lru_cache(maxsize=2)(sqlitewal.replayed)


@lru_cache(maxsize=2)
def _packages(data: bytes, path: str) -> Mapping[_Key, Stated]:
    packages: dict[_Key, Stated] = {}
    if path in _MANIFESTS:
        for stated in parse_manifest(data, path):
            packages.setdefault(_key(stated.found), stated)
        return packages
    for header in parse(data, path):
        found = _found(header, path)
        packages.setdefault(_key(found), Stated(found, header.text(rpmheaders.VENDOR), header))
    return packages


def _key(found: Found) -> _Key:
    return found.name, found.version, found.architecture


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    header = _header(tree, found)
    return None if header is None else [file.path for file in parse_files(header) if _is_brought(file)]


def _digests(tree: Tree, found: Found) -> Mapping[str, tuple[str, str]] | None:
    header = _header(tree, found)
    if header is None:
        return None
    algorithm = _ALGORITHMS.get(header.number(rpmheaders.FILE_DIGEST_ALGORITHM) or 1)
    if algorithm is None:
        return None
    return {
        file.path: (algorithm, file.digest)
        for file in parse_files(header)
        if file.digest and file.is_verified and _is_brought(file) and not file.flags & (_CONFIG | _MISSING_OK)
    }


def _header(tree: Tree, found: Found) -> Header | None:
    stated = _stated(tree, found.path).get(_key(found))
    return None if stated is None else stated.header


def _is_brought(file: File) -> bool:
    """Tell whether the package brought the file and rpm put it there (not with --nodocs, or for another architecture)."""
    return not file.flags & _GHOST and file.state in {_STATE_NORMAL, _STATE_NET_SHARED}


def _paths(header: Header) -> list[str]:
    """Return the paths in the order of the other lists; "" for the root itself."""
    names, folders = header.texts(rpmheaders.BASE_NAMES), header.texts(rpmheaders.DIR_NAMES)
    indexes = header.numbers(rpmheaders.DIR_INDEXES)
    if not names:  # packages of before 1999
        return [_path(name) for name in header.texts(rpmheaders.OLD_FILE_NAMES)]
    if len(indexes) != len(names) or max(indexes) >= len(folders):
        raise header.damage(
            f"{len(names):,} files in {len(folders):,} folders, with {len(indexes):,} numbers of folders"
        )
    if sum(len(folders[index]) for index in indexes) > _MOST_PATHS * len(header.blob):
        raise header.damage(f"the paths of its {len(names):,} files are longer than {_MOST_PATHS} times itself")
    return [_path(folders[index] + name) for index, name in zip(indexes, names, strict=True)]


def _path(path: bytes) -> str:
    # A slash at the end would claim all that lies below.
    return path.decode("utf-8", "surrogateescape").strip("/")


FORMAT = Format(
    name="rpm",
    globs=(*_DATABASES, *(f"{folder}/{_SQLITE}{end}" for folder in _FOLDERS for end in (_LOG, _JOURNAL))),
    expected=(f"**/rpm/{_SQLITE}",),
    places=_places,
    read=_read,
    files=_files,
    is_distribution=True,
    digests=_digests,
)
