"""alpm, the packages of Arch Linux: a folder a package under pacman's local database.

Source: pacman's documentation of the local database (libalpm, `be_local.c`): `desc` and `files` hold blocks, a header between
percent signs and then a value a line until an empty line. %SIZE% is the installed size in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, size_of, utf8

_LOCAL = "var/lib/pacman/local"
# Written when pacman makes the database, before the first package: an empty database has this file.
_VERSION = f"{_LOCAL}/ALPM_DB_VERSION"
_HEADER = re.compile(r"%([A-Z0-9_]+)%")


def parse(data: bytes, path: str) -> Mapping[str, list[str]]:
    r"""Return the blocks of a `desc` or `files` file: header without percent signs → its lines.

    Raises `DamagedDatabaseError` with the line where text stands outside a block, a header occurs twice, or the file does
    not end with the empty line that pacman closes every block with.

    >>> parse(b"%NAME%\nbash\n\n%LICENSE%\nGPL-3.0-or-later\nMIT\n\n", "desc")
    {'NAME': ['bash'], 'LICENSE': ['GPL-3.0-or-later', 'MIT']}
    """
    if b"\0" in data:
        raise DamagedDatabaseError(path, data.count(b"\n", 0, data.index(b"\0")) + 1, "a NUL byte; expected text")
    blocks: dict[str, list[str]] = {}
    block: list[str] | None = None
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    for number, line in enumerate(lines[:-1], start=1):
        if not line:
            block = None
        elif block is not None:
            block.append(line)
        else:
            match = _HEADER.fullmatch(line)
            if match is None:
                raise DamagedDatabaseError(path, number, f"expected a header like %NAME%, found {line[:60]!r}")
            if match[1] in blocks:
                raise DamagedDatabaseError(path, number, f"%{match[1]}% twice")
            block = blocks[match[1]] = []
    if block is not None or lines[-1]:
        raise DamagedDatabaseError(path, len(lines), "the file ends within a block; was it cut?")
    return blocks


def _places(tree: Tree) -> Sequence[str]:
    return [_LOCAL] if tree.glob(_VERSION) or tree.glob(f"{_LOCAL}/*/*") else []


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    del place
    described = set()
    for path in tree.glob(f"{_LOCAL}/*/desc"):
        described.add(path.rpartition("/")[0])
        try:
            yield _found(parse(tree.read(path) or b"", path), path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
    for path in tree.glob(f"{_LOCAL}/*/files"):
        folder = path.rpartition("/")[0]
        if folder not in described:
            yield Broken(f"{folder}/desc", "not there, though the package's list of files is; was it deleted?")


def _found(blocks: Mapping[str, list[str]], path: str) -> Found:
    for required in ("NAME", "VERSION"):
        if not blocks.get(required):
            raise DamagedDatabaseError(path, None, f"no %{required}%; expected one")
    blocks = {header: [utf8(line) for line in lines] for header, lines in blocks.items()}
    name, version = blocks["NAME"][0], blocks["VERSION"][0]
    return Found(
        name=name,
        version=version,
        path=path,
        architecture=next(iter(blocks.get("ARCH", [])), None),
        source_name=next(iter(blocks.get("BASE", [])), name),
        source_version=version,
        licenses=tuple(blocks.get("LICENSE", [])),
        installed_size_bytes=size_of(next(iter(blocks.get("SIZE", [])), None)),
    )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    path = f"{found.path.rpartition('/')[0]}/files"
    data = tree.read(path)
    if data is None:
        return None
    # A folder ends in a slash there; it says that the folder is used, not that all below it is owned.
    return [line.lstrip("/") for line in parse(data, path).get("FILES", []) if not line.endswith("/")]


FORMAT = Format(
    name="alpm",
    globs=(_VERSION, f"{_LOCAL}/*/desc", f"{_LOCAL}/*/files"),
    expected=(_LOCAL,),
    places=_places,
    read=_read,
    files=_files,
    is_distribution=True,
)
