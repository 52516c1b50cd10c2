"""apk, the packages of Alpine, Wolfi and Chainguard: one text file of stanzas with one-letter fields.

Source: apk-tools' documentation of the installed database (apk-v2(5), "installed") — P name, V version, A architecture,
I installed size in bytes, o origin, L licence, r packages whose files it may replace, F folder, R file of that folder.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree

# apk-tools 3 on a merged /usr writes the second one.
_DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")


def parse(data: bytes, path: str) -> Iterator[tuple[Mapping[str, str], dict[str, str]]]:  # noqa: C901 - one branch a field
    r"""Yield (fields by letter, owned paths without leading slash with their checksum as stated, "" for none) a package.

    Raises `DamagedDatabaseError` with the line for anything that is not `X:value`, for a package without
    name or version, and where the file ends within a package (apk closes each with an empty line).

    >>> list(parse(b"P:musl\nV:1.2.5-r0\nF:lib\nR:ld-musl-x86_64.so.1\n\n", "installed"))
    [({'P': 'musl', 'V': '1.2.5-r0'}, {'lib/ld-musl-x86_64.so.1': ''})]
    """
    if b"\0" in data:
        raise DamagedDatabaseError(path, data.count(b"\n", 0, data.index(b"\0")) + 1, "a NUL byte; expected text")
    fields: dict[str, str] = {}
    files: dict[str, str] = {}
    folder, file, start, number = "", "", 1, 0
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    for number, line in enumerate(lines[:-1], start=1):
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
            fields[letter] = value
    if fields or lines[-1]:
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
        size = fields.get("I", "")
        yield Found(
            name=fields["P"],
            version=fields["V"],
            path=place,
            architecture=fields.get("A") or None,
            source_name=fields.get("o") or fields["P"],
            source_version=fields["V"],
            licenses=(fields["L"],) if fields.get("L") else (),
            installed_size_bytes=int(size) if size.isdecimal() else None,
            detail=f"replaces files of {fields['r']}" if fields.get("r") else None,
        )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    owned = _owned(tree.read(found.path) or b"", found.path).get((found.name, found.version or ""))
    return None if owned is None else list(owned)


def _digests(tree: Tree, found: Found) -> Mapping[str, tuple[str, str]] | None:
    owned = _owned(tree.read(found.path) or b"", found.path).get((found.name, found.version or ""), {})
    digests = {path: _digest(stated) for path, stated in owned.items() if not path.startswith("etc/")}
    return {path: digest for path, digest in digests.items() if digest is not None}


def _digest(stated: str) -> tuple[str, str] | None:
    """Return (algorithm, hexadecimal digest) of a checksum: Q1 and SHA-1 in base64, or Q2 and SHA-256; None for others."""
    algorithm = {"Q1": "sha1", "Q2": "sha256"}.get(stated[:2])
    try:
        return (algorithm, base64.b64decode(stated[2:], validate=True).hex()) if algorithm else None
    except ValueError:
        return None


# Asked once a package, of one database after the other: parsed once, not once a package.
@lru_cache(maxsize=1)
def _owned(data: bytes, path: str) -> Mapping[tuple[str, str], dict[str, str]]:
    return {(fields["P"], fields["V"]): files for fields, files in parse(data, path)}


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
