"""pypi, Python distributions as installers leave them: dist-info and egg-info, folders or single files.

Sources: PyPA "Recording installed projects" (dist-info, RECORD), "Core metadata specifications",
setuptools' "The internal structure of Python eggs" (egg-info, installed-files.txt).
"""

from __future__ import annotations

import base64
import csv
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree

_METADATA = (
    "**/*.dist-info/METADATA",
    "**/*.egg-info/PKG-INFO",
    "**/*.egg-info",
    "**/EGG-INFO/PKG-INFO",
)
_CLASSIFIER = "License :: OSI Approved :: "
# Metadata is short; a licence text in its License field belongs into no table.
_MAX_LICENSE = 100


def parse(data: bytes, path: str) -> Mapping[str, list[str]]:
    r"""Return the header fields of METADATA or PKG-INFO by name in lower case; a field may occur several times.

    The body after the first empty line is the description. Raises `DamagedDatabaseError` where a line is no field, or
    Name or Version is missing: both are required by every version of the specification.

    >>> parse(b"Metadata-Version: 2.1\nName: pip\nVersion: 23.0.1\n\nText", "METADATA")
    {'metadata-version': ['2.1'], 'name': ['pip'], 'version': ['23.0.1']}
    """
    fields: dict[str, list[str]] = {}
    name = ""
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            break
        if line[0] in " \t":
            if not name:
                raise DamagedDatabaseError(path, number, f"a continuation of nothing: {line[:60]!r}")
            fields[name][-1] += "\n" + line.strip()
            continue
        label, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!-9;-~]+", label):
            # Old tools let a description run over the header without indenting it; what matters stood above.
            if "name" in fields and "version" in fields:
                break
            raise DamagedDatabaseError(path, number, f"expected 'Field: value', found {line[:60]!r}")
        name = label.lower()
        fields.setdefault(name, []).append(value.strip())
    for required in ("name", "version"):
        if not fields.get(required, [""])[0]:
            raise DamagedDatabaseError(path, None, f"no {required.capitalize()}: field; expected one")
    return fields


def normalized(name: str) -> str:
    """Return a project name as the index compares it (PyPA "Names and normalization").

    >>> normalized("Foo_Bar.baz")
    'foo-bar-baz'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _places(tree: Tree) -> Sequence[str]:
    return sorted({_site(path) for glob in _METADATA for path in tree.glob(glob)})


def _site(path: str) -> str:
    """Return the folder that a distribution is installed in: what its RECORD is relative to."""
    folder, name = posixpath.split(path)
    if name in {"METADATA", "PKG-INFO"}:
        folder = posixpath.dirname(folder)
        if path.endswith("/EGG-INFO/PKG-INFO"):  # NAME.egg/EGG-INFO
            folder = posixpath.dirname(folder)
    return folder


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in sorted({path for glob in _METADATA for path in tree.glob(glob) if _site(path) == place}):
        try:
            fields = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
            continue
        yield Found(
            name=normalized(fields["name"][0]), version=fields["version"][0], path=path, licenses=_licenses(fields)
        )


def _licenses(fields: Mapping[str, list[str]]) -> tuple[str, ...]:
    expression = fields.get("license-expression")
    if expression:
        return (expression[0],)
    stated = fields.get("license", [""])[0]
    if stated and stated.upper() != "UNKNOWN" and len(stated) <= _MAX_LICENSE and "\n" not in stated:
        return (stated,)
    return tuple(
        sorted(line.removeprefix(_CLASSIFIER) for line in fields.get("classifier", []) if line.startswith(_CLASSIFIER))
    )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    folder, site = posixpath.dirname(found.path), _site(found.path)
    record = tree.read(f"{folder}/RECORD")
    if record is not None:
        return [_joined(site, path) for path, _ in _record(record)]
    listed = tree.read(f"{folder}/installed-files.txt")
    if listed is not None:
        # relative to the egg-info folder itself
        return [_joined(folder, line) for line in listed.decode("utf-8", "surrogateescape").splitlines() if line]
    if posixpath.basename(folder) == "EGG-INFO":
        return [f"{posixpath.dirname(folder)}/"]
    return None


def _digests(tree: Tree, found: Found) -> Mapping[str, tuple[str, str]] | None:
    record = tree.read(f"{posixpath.dirname(found.path)}/RECORD")
    if record is None:
        return None
    site = _site(found.path)
    digests = {_joined(site, path): _digest(stated) for path, stated in _record(record)}
    return {path: digest for path, digest in digests.items() if digest is not None}


def _digest(stated: str) -> tuple[str, str] | None:
    """Return (algorithm, hexadecimal digest) of RECORD's `sha256=` and URL-safe base64 without padding; None for others."""
    algorithm, _, value = stated.partition("=")
    if algorithm != "sha256":
        return None
    try:
        return algorithm, base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True).hex()
    except ValueError:
        return None


def _record(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (path, digest as stated, "" for none)."""
    try:
        for row in csv.reader(data.decode("utf-8", "surrogateescape").splitlines()):
            if row and row[0]:
                yield row[0], row[1] if len(row) > 1 else ""
    except csv.Error:  # a RECORD that is no CSV says nothing more about ownership
        return


def _joined(folder: str, path: str) -> str:
    """Return a path relative to a folder as one from the root, kept inside it."""
    whole = path if path.startswith("/") else f"/{folder}/{path}"
    return posixpath.normpath(whole).lstrip("/")


FORMAT = Format(
    name="pypi",
    globs=(*_METADATA, "**/*.dist-info/RECORD", "**/*.egg-info/installed-files.txt"),
    expected=("**/site-packages",),
    places=_places,
    read=_read,
    files=_files,
    digests=_digests,
)
