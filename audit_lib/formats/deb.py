"""deb, the packages of Debian and its kin: one status file, or one file a package in distroless images.

Sources: deb-control(5), dpkg-query(1), deb-split of `/var/lib/dpkg/status.d` as the distroless images' builders
write it (a stanza a file, `NAME.md5sums` beside it), the machine-readable copyright format 1.0 (DEP-5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, size_of
from audit_lib.formats.stanzas import stanzas

_STATUS = "var/lib/dpkg/status"
_STATUS_D = "var/lib/dpkg/status.d"
_INFO = "var/lib/dpkg/info"
# The third word of Status, by dpkg(1) "Package states". What is `config-files` or `not-installed` has no program left.
_INSTALLED = frozenset(
    {"installed", "unpacked", "half-installed", "half-configured", "triggers-awaited", "triggers-pending"}
)
_STATES = _INSTALLED | {"config-files", "not-installed"}
_SOURCE = re.compile(r"(\S+)(?:\s+\(([^)]+)\))?")
_LICENSE = re.compile(r"^License:[ \t]*(\S[^\n]*)", re.MULTILINE)
_MACHINE_READABLE = re.compile(r"\s*Format(?:-Specification)?:", re.IGNORECASE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9])")


def parse(data: bytes, path: str) -> Iterator[Mapping[str, str]]:
    r"""Yield the stanzas of a status file: field names in lower case, continuation lines joined by newlines.

    Raises `DamagedDatabaseError` with the line where the file is no such notation (see `stanzas`) or a stanza
    lacks a field that dpkg always writes.

    >>> list(parse(b"Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: amd64\n\n", "status"))
    [{'package': 'bash', 'status': 'install ok installed', 'version': '5.2-1', 'architecture': 'amd64'}]
    """
    for line, stanza in stanzas(data, path):
        yield _checked(stanza, path, line)


def parse_licenses(text: str) -> tuple[str, ...]:
    r"""Return the licence names of a copyright file, as stated, sorted; () where it names none.

    The machine-readable form states them in `License:` fields; older texts point to `/usr/share/common-licenses`.

    >>> parse_licenses("Format: https://www.debian.org/doc/…\n\nLicense: GPL-2+\n text\n\nLicense: Expat")
    ('Expat', 'GPL-2+')
    >>> parse_licenses("see /usr/share/common-licenses/GPL-3.")
    ('GPL-3',)
    """
    stated = {match.strip() for match in _LICENSE.findall(text)} if _MACHINE_READABLE.match(text) else set()
    return tuple(sorted(stated or set(_COMMON.findall(text))))


def parse_diversions(text: str) -> dict[str, tuple[str, str]]:
    """Return diverted paths: path → (where it went, the package that diverted it). Three lines each, dpkg-divert(1)."""
    lines = text.splitlines()
    return {
        lines[at].lstrip("/"): (lines[at + 1].lstrip("/"), lines[at + 2])
        for at in range(0, len(lines) - len(lines) % 3, 3)
    }


def _places(tree: Tree) -> Sequence[str]:
    found = list(tree.glob(_STATUS))
    if tree.has_folder(_STATUS_D):
        found.append(_STATUS_D)
    return found


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    if place == _STATUS:
        stated = [(stanza, _STATUS) for stanza in parse(tree.read(_STATUS) or b"", _STATUS)]
        _compare_with_lists(tree, {stanza["package"] for stanza, _ in stated})
    else:
        paths = [path for path in tree.glob(f"{_STATUS_D}/*") if not path.endswith(".md5sums")]
        stated = [(stanza, path) for path in paths for stanza in parse(tree.read(path) or b"", path)]
    for stanza, path in stated:
        found = _found(stanza, path, tree)
        if found is not None:
            yield found


def _compare_with_lists(tree: Tree, known: set[str]) -> None:
    """Raise where dpkg's file lists name packages that the status file lacks: it was cut or edited."""
    listed = {path[len(_INFO) + 1 : -len(".list")].partition(":")[0] for path in tree.glob(f"{_INFO}/*.list")}
    lost = sorted(listed - known)
    if lost:
        names = ", ".join(lost[:3]) + (" …" if len(lost) > 3 else "")  # noqa: PLR2004 - a few names are enough
        raise DamagedDatabaseError(
            _STATUS,
            None,
            f"cut or edited: it lacks {len(lost)} of the {len(listed)} packages whose file lists are there ({names})",
        )


def _found(stanza: Mapping[str, str], path: str, tree: Tree) -> Found | None:
    state = stanza.get("status", "install ok installed").split()[-1]
    if state not in _INSTALLED:
        return None
    source = _SOURCE.match(stanza.get("source", ""))
    name, version = stanza["package"], stanza["version"]
    return Found(
        name=name,
        version=version,
        path=path,
        architecture=stanza.get("architecture"),
        source_name=source[1] if source else name,
        source_version=(source[2] if source else None) or version,
        licenses=_licenses(tree, name),
        installed_size_bytes=size_of(stanza.get("installed-size"), 1024),  # dpkg states KiB
    )


def _licenses(tree: Tree, name: str) -> tuple[str, ...]:
    try:
        data = tree.read(f"usr/share/doc/{name}/copyright")
    except DamagedDatabaseError:
        return ()
    return parse_licenses(data.decode("utf-8", "replace")) if data else ()


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    if found.path != _STATUS:
        listed = _md5sums(tree, f"{_STATUS_D}/{found.path.rpartition('/')[2]}.md5sums")
        return None if listed is None else list(listed)
    for stem in (found.name, f"{found.name}:{found.architecture}"):
        data = tree.read(f"{_INFO}/{stem}.list")
        if data is not None:
            return _undiverted(tree, found.name, [line.lstrip("/") for line in _lines(data) if line != "/."])
    for stem in (found.name, f"{found.name}:{found.architecture}"):
        listed = _md5sums(tree, f"{_INFO}/{stem}.md5sums")
        if listed is not None:
            return list(listed)
    return None


def _md5sums(tree: Tree, path: str) -> dict[str, str] | None:
    """Return path → MD5 of an md5sums file, None where there is none. Configuration files do not stand in it."""
    data = tree.read(path)
    if data is None:
        return None
    # "<32 hex digits>  <path>"
    return {line[34:].removeprefix("./").lstrip("/"): line[:32] for line in _lines(data) if len(line) > 34}  # noqa: PLR2004


def _digests(tree: Tree, found: Found) -> Mapping[str, tuple[str, str]] | None:
    places = [f"{_STATUS_D}/{found.path.rpartition('/')[2]}.md5sums"]
    if found.path == _STATUS:
        places = [f"{_INFO}/{stem}.md5sums" for stem in (found.name, f"{found.name}:{found.architecture}")]
    stated = next((sums for place in places if (sums := _md5sums(tree, place)) is not None), None)
    if stated is None:
        return None
    real = _undiverted(tree, found.name, list(stated))
    return {path: ("md5", digest) for path, digest in zip(real, stated.values(), strict=True)}


def _undiverted(tree: Tree, package: str, paths: list[str]) -> list[str]:
    diverted = tree.once(_diversions)
    return [diverted[path][0] if path in diverted and diverted[path][1] != package else path for path in paths]


def _diversions(tree: Tree) -> dict[str, tuple[str, str]]:
    return parse_diversions((tree.read("var/lib/dpkg/diversions") or b"").decode("utf-8", "surrogateescape"))


def _lines(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "surrogateescape").split("\n") if line]


def _checked(stanza: dict[str, str], path: str, line: int) -> dict[str, str]:
    if not stanza.get("package"):
        raise DamagedDatabaseError(path, line, f"a stanza without Package; it has {', '.join(list(stanza)[:5])}")
    words = stanza.get("status", "install ok installed").split()
    if len(words) != 3 or words[2] not in _STATES:  # noqa: PLR2004 - want, error, state
        raise DamagedDatabaseError(
            path,
            line,
            f"{stanza['package']}: Status is {stanza['status']!r}; expected 'install ok installed' or the like",
        )
    if words[2] in _INSTALLED:
        for field in ("version", "architecture"):
            if not stanza.get(field):
                raise DamagedDatabaseError(
                    path, line, f"{stanza['package']}: no {field.capitalize()}; was the file cut?"
                )
    return stanza


FORMAT = Format(
    name="deb",
    globs=(
        _STATUS,
        f"{_STATUS_D}/*",
        f"{_INFO}/*.list",
        f"{_INFO}/*.md5sums",
        "var/lib/dpkg/diversions",
        "usr/share/doc/*/copyright",
    ),
    expected=(_STATUS, _STATUS_D),
    places=_places,
    read=_read,
    files=_files,
    is_distribution=True,
    digests=_digests,
)
