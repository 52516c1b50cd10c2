"""apk, the packages of Alpine, Wolfi and Chainguard: one text file of stanzas with one-letter fields.

Source: apk-tools (apk-package(5) for the fields, src/database.c for the rest) — P name, V version, A architecture,
I installed size in bytes, T description, o origin, L licence, r packages whose files it may replace, f what is odd about its
installation, F folder, R file of that folder, Z its checksum, a and M owner and mode.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, size_of, utf8
from audit_lib.formats.stanzas import lines

# The second one where /lib is a link to /usr/lib: Wolfi and Chainguard since 2025.
_DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
# Letters of `f`: what of the package could not be put in place, and that Q1 is not SHA-1 (apk-tools 3, packages of version 3).
_BROKEN = {"f": "files", "s": "a script", "x": "extended attributes"}
_SHA256_160 = "S"
_SHA1_SIZE, _SHA256_SIZE = 20, 32
# What `apk add --virtual` makes: a name for the packages that it depends on.
_VIRTUAL = "virtual meta package"


def parse(data: bytes, path: str) -> Iterator[tuple[Mapping[str, str], dict[str, str]]]:  # noqa: C901 - one branch a field
    r"""Yield (fields by letter, owned paths without leading slash with their checksum as stated, "" for none) a package.

    Raises `DamagedDatabaseError` with the line for anything that is not `X:value`, for a package without
    name or version, and where the file ends within a package (apk closes each with an empty line).

    >>> list(parse(b"P:musl\nV:1.2.5-r0\nF:lib\nR:ld-musl-x86_64.so.1\n\n", "installed"))
    [({'P': 'musl', 'V': '1.2.5-r0'}, {'lib/ld-musl-x86_64.so.1': ''})]
    """
    fields: dict[str, str] = {}
    files: dict[str, str] = {}
    folder, file, start, number = "", "", 1, 0
    for number, line in enumerate(lines(data, path, "surrogateescape"), start=1):
        if not line:
            if fields:
                yield _checked(fields, path, start), files
            fields, files, folder, file = {}, {}, "", ""
            continue
        if line[1:2] != ":" or not line[0].isalpha():
            raise DamagedDatabaseError(path, number, f"expected 'X:value', found {line[:60]!r}")
        if not fields:
            start = number
        letter, value = line[0], line[2:]
        if letter == "F":
            folder, file = value, ""
        elif letter == "R":
            file = f"{folder}/{value}" if folder else value
            files[file] = ""
        elif letter == "Z" and file:
            files[file] = value
        elif letter not in "aZM":  # owner and mode of the file or folder just named, checksum of a folder
            if letter in fields:
                raise DamagedDatabaseError(
                    path, number, f"field {letter!r} twice; expected an empty line between packages"
                )
            fields[letter] = utf8(value)
    if fields:
        raise DamagedDatabaseError(
            path, number, f"the file ends within a package ({fields.get('P', 'unnamed')}); was it cut?"
        )


def _checked(fields: dict[str, str], path: str, line: int) -> dict[str, str]:
    for letter, meaning in (("P", "name"), ("V", "version")):
        if not fields.get(letter):
            raise DamagedDatabaseError(path, line, f"a package without {meaning} ({letter}:)")
    return fields


def _places(tree: Tree) -> Sequence[str]:
    return [path for database in _DATABASES for path in tree.glob(database)]


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for fields, _ in parse(tree.read(place) or b"", place):
        yield Found(
            name=fields["P"],
            version=fields["V"],
            path=place,
            architecture=fields.get("A") or None,
            source_name=fields.get("o") or fields["P"],
            source_version=fields["V"],
            licenses=(fields["L"],) if fields.get("L") else (),
            installed_size_bytes=size_of(fields.get("I")),
            detail=_detail(fields),
        )


def _detail(fields: Mapping[str, str]) -> str | None:
    said = []
    if fields.get("T") == _VIRTUAL:
        said.append("a name that apk add --virtual gave to the packages it depends on; no files")
    broken = [what for letter, what in _BROKEN.items() if letter in fields.get("f", "")]
    if broken:
        said.append(f"not installed whole: {', '.join(broken)}")
    if fields.get("r"):
        said.append(f"replaces files of {fields['r']}")
    return "; ".join(said) or None


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    owned = _owned(tree.read(found.path) or b"", found.path).get((found.name, found.version or ""))
    return None if owned is None else list(owned[1])


def _digests(tree: Tree, found: Found) -> Mapping[str, tuple[str, str]] | None:
    owned = _owned(tree.read(found.path) or b"", found.path).get((found.name, found.version or ""))
    if owned is None:
        return None
    is_cut = _SHA256_160 in owned[0].get("f", "")
    digests = {path: _digest(stated, is_cut=is_cut) for path, stated in owned[1].items() if not _is_protected(path)}
    return {path: digest for path, digest in digests.items() if digest is not None}


def _is_protected(path: str) -> bool:
    """Tell whether apk keeps a file as it is when it was changed: all of etc but its start scripts (apk-protected_paths(5))."""
    return path.startswith("etc/") and not path.startswith("etc/init.d/")


def _digest(stated: str, *, is_cut: bool) -> tuple[str, str] | None:
    """Return (algorithm, hexadecimal digest) of a checksum: Q1 and SHA-1 in base64, or Q2 and SHA-256; None for others."""
    try:
        digest = base64.b64decode(stated[2:], validate=True)
    except ValueError:
        return None
    if stated.startswith("Q1") and len(digest) == _SHA1_SIZE:
        return "sha256-160" if is_cut else "sha1", digest.hex()
    return ("sha256", digest.hex()) if stated.startswith("Q2") and len(digest) == _SHA256_SIZE else None


# Asked once a package, of one database after the other: parsed once, not once a package.
@lru_cache(maxsize=1)
def _owned(data: bytes, path: str) -> Mapping[tuple[str, str], tuple[Mapping[str, str], dict[str, str]]]:
    return {(fields["P"], fields["V"]): (fields, files) for fields, files in parse(data, path)}


FORMAT = Format(
    name="apk",
    globs=_DATABASES,
    expected=(_DATABASES[0],),
    places=_places,
    read=_read,
    files=_files,
    is_distribution=True,
    digests=_digests,
)
