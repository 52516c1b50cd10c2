"""pypi, Python distributions as installers leave them: dist-info and egg-info, eggs, copies within others.

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
from audit_lib.formats import zips
from audit_lib.formats.base import Broken, Format, Found, Tree, by_place
from audit_lib.formats.documents import parse_object, text

_SHA256_BYTES = 32
_HEXADECIMAL = re.compile("[0-9A-Fa-f]{64}")
_METADATA = (
    "**/*.dist-info/METADATA",
    "**/*.egg-info/PKG-INFO",
    "**/*.egg-info",
    "**/EGG-INFO/PKG-INFO",
)
_VENDORED = "**/_vendor/vendor.txt"
_PINNED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*(?:[;#].*)?$")
_CLASSIFIER = "License :: OSI Approved :: "
# Metadata is short; a licence text in its License field belongs into no table.
_MAX_LICENSE = 100
_MAX_PKG_INFO = 4 * 1024**2


def parse(data: bytes, path: str) -> Mapping[str, list[str]]:
    r"""Return the header fields of METADATA or PKG-INFO by name in lower case; a field may occur several times.

    The body after the first empty line is the description. Raises `DamagedDatabaseError` where a line is no field, or
    Name or Version is missing: both are required by every version of the specification.

    >>> parse(b"Metadata-Version: 2.1\nName: pip\nVersion: 23.0.1\n\nText", "METADATA")
    {'metadata-version': ['2.1'], 'name': ['pip'], 'version': ['23.0.1']}
    """
    fields: dict[str, list[list[str]]] = {}
    name = ""
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            break
        if line[0] in " \t":
            if not name:
                raise DamagedDatabaseError(path, number, f"a continuation of nothing: {line[:60]!r}")
            fields[name][-1].append(line.strip())
            continue
        label, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!-9;-~]+", label):
            # Old tools let a description run over the header without indenting it; what matters stood above.
            if "name" in fields and "version" in fields:
                break
            raise DamagedDatabaseError(path, number, f"expected 'Field: value', found {line[:60]!r}")
        name = label.lower()
        fields.setdefault(name, []).append([value.strip()])
    stated = {field: ["\n".join(lines) for lines in values] for field, values in fields.items()}
    for required in ("name", "version"):
        if not stated.get(required, [""])[0]:
            raise DamagedDatabaseError(path, None, f"no {required.capitalize()}: field; expected one")
    return stated


def parse_vendored(data: bytes) -> list[tuple[str, str]]:
    r"""Return (name, version) of each copy that a project's `_vendor/vendor.txt` lists, as pip's does: a requirement a line.

    >>> parse_vendored(b"CacheControl==0.14.1\nrequests==2.32.3\n    certifi==2024.8.30\n# a comment\n")
    [('cachecontrol', '0.14.1'), ('requests', '2.32.3'), ('certifi', '2024.8.30')]
    """
    lines = data.decode("utf-8", "replace").splitlines()
    pinned = [_PINNED.match(line) for line in lines]
    return [(normalized(match[1]), match[2]) for match in pinned if match]


def normalized(name: str) -> str:
    """Return a project name as the index compares it (PyPA "Names and normalization").

    >>> normalized("Foo_Bar.baz")
    'foo-bar-baz'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _places(tree: Tree) -> Sequence[str]:
    return sorted({*tree.once(_installed), *tree.once(_vendored), *tree.once(_eggs)})


def _installed(tree: Tree) -> dict[str, list[str]]:
    return by_place(sorted({path for glob in _METADATA for path in tree.glob(glob)}), _site)


def _vendored(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.glob(_VENDORED), posixpath.dirname)


def _eggs(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.evidence(FORMAT.name), posixpath.dirname)


def _site(path: str) -> str:
    """Return the folder that a distribution is installed in: what its RECORD is relative to."""
    folder, name = posixpath.split(path)
    if name in {"METADATA", "PKG-INFO"}:
        folder = posixpath.dirname(folder)
        if path.endswith("/EGG-INFO/PKG-INFO"):  # NAME.egg/EGG-INFO
            folder = posixpath.dirname(folder)
    return folder


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.once(_installed).get(place, ()):
        try:
            fields = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
            continue
        yield Found(
            name=normalized(fields["name"][0]),
            version=fields["version"][0],
            path=path,
            licenses=_licenses(fields),
            detail=_detail(tree, path),
        )
    for path in tree.once(_vendored).get(place, ()):
        owner = posixpath.basename(posixpath.dirname(place))
        for name, version in parse_vendored(tree.read(path) or b""):
            yield Found(name=name, version=version, path=path, detail=f"a copy within {owner}, which lists it")
    for path in tree.once(_eggs).get(place, ()):
        fields = parse(tree.evidence(FORMAT.name)[path], path)
        yield Found(
            name=normalized(fields["name"][0]),
            version=fields["version"][0],
            path=path,
            licenses=_licenses(fields),
            detail="a zipped egg",
        )


def _detail(tree: Tree, path: str) -> str | None:
    """Return what is unusual about where a distribution came from or lies (PyPA "Recording the direct URL origin")."""
    folder, site = posixpath.dirname(path), _site(path)
    said = []
    if re.search(r"(^|/)_?vendor(ed)?(/|$)", site):
        said.append(f"a copy within {posixpath.basename(posixpath.dirname(site))}")
    try:
        origin = parse_object(tree.read(f"{folder}/direct_url.json") or b"{}", path)
    except DamagedDatabaseError:
        origin = {}
    url, place, commit = text(origin.get("url")), origin.get("dir_info"), origin.get("vcs_info")
    if url is not None:
        url = re.sub(r"(?<=//)[^/@]*@", "", url)  # a name and a password are nobody's business
        is_editable = isinstance(place, dict) and place.get("editable") is True
        revision = text(commit.get("commit_id")) if isinstance(commit, dict) else None
        said.append(f"{'editable, ' * is_editable}installed from {url}{f' at {revision}' if revision else ''}")
    return "; ".join(said) or None


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


def _extract(path: str, content: bytes) -> bytes | None:
    """Return the PKG-INFO of a zipped egg (setuptools, "Zipped Eggs"), None for what else ends in .egg."""
    if not content.startswith(b"PK"):
        return None
    for member in zips.members(content, path):
        if member.name == "EGG-INFO/PKG-INFO":
            data = zips.content(content, member, path, limit=_MAX_PKG_INFO)
            parse(data, path)
            return data
    return None


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    if found.path.endswith(".egg"):
        return [found.path]
    if posixpath.basename(found.path) == "vendor.txt":
        return None  # its files stand in the RECORD of the project that holds the copy
    folder, site = posixpath.dirname(found.path), _site(found.path)
    record = tree.read(f"{folder}/RECORD")
    if record is not None:
        return [_joined(site, path) for path, _ in _record(record, f"{folder}/RECORD")]
    listed = tree.read(f"{folder}/installed-files.txt")
    if listed is not None:
        # relative to the egg-info folder itself
        return [_joined(folder, line) for line in listed.decode("utf-8", "surrogateescape").splitlines() if line]
    if posixpath.basename(folder) == "EGG-INFO":
        return [f"{posixpath.dirname(folder)}/"]
    return None


def _digests(tree: Tree, found: Found) -> Mapping[str, tuple[str, str]] | None:
    place = f"{posixpath.dirname(found.path)}/RECORD"
    record = tree.read(place)
    if record is None:
        return None
    site = _site(found.path)
    digests = {_joined(site, path): _digest(stated) for path, stated in _record(record, place)}
    return {path: digest for path, digest in digests.items() if digest is not None}


def _digest(stated: str) -> tuple[str, str] | None:
    """Return (algorithm, hexadecimal digest) of RECORD's `sha256=` and URL-safe base64 without padding; None for others.

    Debian 12 ships wheels whose RECORD has the digest in hexadecimal (charset-normalizer 3.0.1).
    """
    algorithm, _, value = stated.partition("=")
    if algorithm != "sha256":
        return None
    if _HEXADECIMAL.fullmatch(value):
        return algorithm, value.lower()
    try:
        digest = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    return (algorithm, digest.hex()) if len(digest) == _SHA256_BYTES else None


def _record(data: bytes, path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, digest as stated, "" for none). Raises `DamagedDatabaseError` where it is no CSV."""
    rows = csv.reader(data.decode("utf-8", "surrogateescape").splitlines())
    try:
        for row in rows:
            if row and row[0]:
                yield row[0], row[1] if len(row) > 1 else ""
    except csv.Error as error:
        raise DamagedDatabaseError(path, rows.line_num, f"not CSV: {error}") from error


def _joined(folder: str, path: str) -> str:
    """Return a path relative to a folder as one from the root, kept inside it."""
    whole = path if path.startswith("/") else f"/{folder}/{path}"
    return posixpath.normpath(whole).lstrip("/")


FORMAT = Format(
    name="pypi",
    globs=(
        *_METADATA,
        "**/*.dist-info/RECORD",
        "**/*.egg-info/installed-files.txt",
        "**/*.dist-info/direct_url.json",
        _VENDORED,
    ),
    expected=("**/site-packages",),
    places=_places,
    read=_read,
    files=_files,
    digests=_digests,
    extract=_extract,
    extract_globs=("**/*.egg",),
)
