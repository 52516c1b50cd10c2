"""cargo, the crates that a Rust executable was built from, where `cargo auditable` left a list of them.

Source: the auditable-data format of the Rust Secure Code working group (PARSING.md, cargo-auditable.schema.json): section `.dep-v0`
of the executable, JSON compressed with zlib.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import elf
from audit_lib.formats.base import Broken, Format, Found, Tree
from audit_lib.formats.documents import parse_json, text

_SECTION = ".dep-v0"
# The list of a program of a thousand crates inflates to some 100 KiB.
_MAX_STORED = 4 * 1024**2
_MAX_INFLATED = 16 * 1024**2


class Crate(NamedTuple):
    """A crate that is in the executable; `is_root` is the one that was built."""

    name: str
    version: str
    source: str | None
    is_root: bool


def parse(data: bytes, path: str) -> list[Crate]:
    """Return the crates in an inflated list, those left out that only ran while it was built.

    Raises `DamagedDatabaseError` where it is no such list.

    >>> parse(b'{"packages":[{"name":"adler","version":"0.2.3","source":"crates.io"}]}', "bin/x")
    [Crate(name='adler', version='0.2.3', source='crates.io', is_root=False)]
    """
    document = parse_json(data, path)
    packages = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(packages, list):
        raise DamagedDatabaseError(path, None, f"section {_SECTION} holds no list of packages")
    return [_crate(package, path) for package in packages if not _is_build_only(package)]


def _is_build_only(package: Any) -> bool:
    return isinstance(package, dict) and package.get("kind") == "build"


def _crate(package: Any, path: str) -> Crate:
    fields = package if isinstance(package, dict) else {}
    name, version = text(fields.get("name")), text(fields.get("version"))
    if name is None or version is None:
        raise DamagedDatabaseError(
            path, None, f"section {_SECTION}: a crate without name or version: {str(package)[:60]}"
        )
    return Crate(name, version, text(fields.get("source")), fields.get("root") is True)


def _extract(path: str, content: bytes) -> bytes | None:
    executable = elf.parse(content)
    section = executable.section(_SECTION) if executable else None
    if executable is None or section is None:
        return None
    try:
        stored = executable.contents(section, limit=_MAX_STORED)
        inflated = elf.inflated(stored, f"section {_SECTION}", limit=_MAX_INFLATED)
    except elf.UnreadableError as error:
        raise DamagedDatabaseError(path, None, str(error)) from error
    return json.dumps([list(crate) for crate in parse(inflated, path)]).encode()


def _places(tree: Tree) -> Sequence[str]:
    return list(tree.evidence(FORMAT.name))


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for name, version, source, _ in sorted(_crates(tree.evidence(FORMAT.name)[place]), key=str):
        # A crate from elsewhere than the registry may be another one under the same name.
        detail = None if source in {None, "crates.io", "registry"} else f"built from {source}"
        yield Found(name=name, version=version, path=place, detail=detail)


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    # All crates of an executable weigh what it weighs, together: the one that was built stands for them.
    roots = {
        (name, version) for name, version, _, is_root in _crates(tree.evidence(FORMAT.name)[found.path]) if is_root
    }
    return [found.path] if (found.name, found.version) in roots else None


@lru_cache(maxsize=1)
def _crates(evidence: bytes) -> tuple[Crate, ...]:
    return tuple(dict.fromkeys(Crate(*fields) for fields in json.loads(evidence)))


FORMAT = Format(
    name="cargo",
    globs=(),
    expected=(),
    places=_places,
    read=_read,
    files=_files,
    extract=_extract,
    extract_magic=elf.MAGIC,
)
