"""opkg, the packages of OpenWrt and Yocto images: dpkg's notation in another place, sizes in bytes.

Source: opkg's documentation (opkg.conf(5): `info_dir`, `status_file`); OpenWrt keeps them under usr/lib, Yocto under var/lib.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, size_of
from audit_lib.formats.stanzas import stanzas

_STATUSES = ("usr/lib/opkg/status", "var/lib/opkg/status", "lib/opkg/status")
_GONE = frozenset({"config-files", "not-installed"})
_WORDS = 3  # want, flag, state


def parse(data: bytes, path: str) -> Iterator[Mapping[str, str]]:
    r"""Yield the stanzas of opkg's status file, field names in lower case.

    Raises `DamagedDatabaseError` with the line where the file is no such notation, or a stanza has no package, no version, or no
    status of three words.

    >>> list(parse(b"Package: busybox\nVersion: 1.36.1-1\nStatus: install user installed\n\n", "status"))
    [{'package': 'busybox', 'version': '1.36.1-1', 'status': 'install user installed'}]
    """
    for line, stanza in stanzas(data, path):
        for field in ("package", "version", "status"):
            if not stanza.get(field):
                raise DamagedDatabaseError(path, line, f"a stanza without {field.capitalize()}; was the file cut?")
        if len(stanza["status"].split()) != _WORDS:
            raise DamagedDatabaseError(
                path, line, f"Status is {stanza['status']!r}; expected 'install user installed' or the like"
            )
        yield stanza


def _places(tree: Tree) -> Sequence[str]:
    return [path for status in _STATUSES for path in tree.glob(status)]


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for stated in parse(tree.read(place) or b"", place):
        if stated["status"].split()[2] in _GONE:
            continue
        control = _control(tree, place, stated["package"])
        name, version = stated["package"], stated["version"]
        source = control.get("sourcename") or control.get("source", "").partition(" ")[0]
        yield Found(
            name=name,
            version=version,
            path=place,
            architecture=stated.get("architecture"),
            # OpenWrt's Source is a folder of its build system (feeds/packages/net/curl)
            source_name=source.rpartition("/")[2] or name,
            source_version=version,
            licenses=(control["license"],) if control.get("license") else (),
            installed_size_bytes=size_of(control.get("installed-size", stated.get("installed-size"))),
        )


def _control(tree: Tree, place: str, name: str) -> Mapping[str, str]:
    """Return what a package's own control file adds to the status file; nothing where it is not there or damaged."""
    try:
        path = f"{place.rpartition('/')[0]}/info/{name}.control"
        return next((stanza for _, stanza in stanzas(tree.read(path) or b"", path)), {})
    except DamagedDatabaseError:
        return {}


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    data = tree.read(f"{found.path.rpartition('/')[0]}/info/{found.name}.list")
    if data is None:
        return None
    # "/usr/bin/x", in newer versions followed by a tab, the mode and a link's target
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return [line.partition("\t")[0].lstrip("/") for line in lines if line]


FORMAT = Format(
    name="opkg",
    globs=(
        *_STATUSES,
        *(f"{status.rpartition('/')[0]}/info/*.{end}" for status in _STATUSES for end in ("list", "control")),
    ),
    expected=(_STATUSES[0],),
    places=_places,
    read=_read,
    files=_files,
    is_distribution=True,
)
