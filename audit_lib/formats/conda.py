"""conda, packages of conda, mamba and pixi: a JSON record each in an environment's conda-meta folder.

Sources: conda's documentation ("conda-meta", PrefixRecord) and the purl specification's type `conda` (qualifiers build, channel,
subdir, type).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, by_place, size_of
from audit_lib.formats.documents import parse_object, text, texts

_RECORDS = "**/conda-meta/*.json"
# What was done to the environment, in words; it is there before the first package is.
_HISTORY = "**/conda-meta/history"
_PACKED = (".conda", ".tar.bz2")


def parse(data: bytes, path: str) -> dict[str, Any]:
    """Return a package's record: `name` and `version` are texts. Raises `DamagedDatabaseError` for anything else.

    >>> parse(b'{"name": "zlib", "version": "1.3.1", "build": "h4ab18f5_1"}', "conda-meta/zlib.json")["build"]
    'h4ab18f5_1'
    """
    record = parse_object(data, path)
    for field in ("name", "version"):
        value = text(record.get(field))
        if value is None or not value.strip("/ "):
            raise DamagedDatabaseError(path, None, f"a record without {field}; expected name and version")
        record[field] = value
    return record


def _places(tree: Tree) -> Sequence[str]:
    return sorted({posixpath.dirname(path) for path in (*tree.glob(_RECORDS), *tree.glob(_HISTORY))})


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.once(_by_place).get(place, ()):
        try:
            record = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
            continue
        yield Found(
            name=record["name"],
            version=record["version"],
            path=path,
            architecture=text(record.get("subdir")),
            licenses=texts(record.get("license")),
            installed_size_bytes=_installed_bytes(record),
            qualifiers=tuple(_qualifiers(record)),
        )


def _by_place(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.glob(_RECORDS), posixpath.dirname)


def _installed_bytes(record: Mapping[str, Any]) -> int | None:
    """Return what the package's files weigh, in bytes, None where that of one is not stated.

    (`size` is that of the archive it came in.)
    """
    data = record.get("paths_data")
    listed = data.get("paths") if isinstance(data, dict) else None
    if not isinstance(listed, list) or not listed:
        return None
    sizes = [
        one.get("size_in_bytes") if isinstance(one, dict) else None
        for one in listed
        if not (isinstance(one, dict) and one.get("path_type") in {"softlink", "directory"})
    ]
    known = [size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size >= 0]
    return size_of(sum(known)) if len(known) == len(sizes) else None


def _qualifiers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in (
        ("build", text(record.get("build"))),
        ("channel", _channel(record)),
        ("subdir", text(record.get("subdir"))),
        ("type", next((end[1:] for end in _PACKED if (text(record.get("fn")) or "").endswith(end)), None)),
    ):
        if value:
            yield key, value


def _channel(record: Mapping[str, Any]) -> str | None:
    """Return a channel's name, where the record has its address: the last folder, that of the platform left out."""
    channel = (text(record.get("channel")) or "").partition("?")[0].rstrip("/")
    name = channel.removesuffix(f"/{text(record.get('subdir'))}").rpartition("/")[2]
    return name if name and not name.startswith("<") else None


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    files = _stated_files(tree.read(found.path) or b"", found.path)
    if files is None:
        return None
    prefix = posixpath.dirname(posixpath.dirname(found.path))
    return [found.path, *(posixpath.normpath(posixpath.join("/", prefix, file)).lstrip("/") for file in files)]


@lru_cache(maxsize=1)
def _stated_files(data: bytes, path: str) -> tuple[str, ...] | None:
    files = parse(data, path).get("files")
    return tuple(file for file in files if isinstance(file, str)) if isinstance(files, list) else None


FORMAT = Format(
    name="conda",
    globs=(_RECORDS, _HISTORY),
    expected=("**/conda-meta",),
    places=_places,
    read=_read,
    files=_files,
)
