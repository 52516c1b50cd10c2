"""maven, Java archives: what a jar, war or ear says of itself, of what is shaded into it and of the archives inside.

Sources: Maven's documentation of the archiver (META-INF/maven/<group>/<artifact>/pom.properties); the layouts of Maven's and
Gradle's repositories, whose paths state group, artifact and version; Debian's Java policy. `jars` has those of the texts.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import jars, zips
from audit_lib.formats.base import Broken, Format, Found, Tree, by_place
from audit_lib.formats.documents import text

_ENDINGS = ("jar", "war", "ear", "par", "sar", "nar", "kar", "jpi", "hpi", "lpkg")
_ARCHIVE = re.compile(rf".+\.(?:{'|'.join(_ENDINGS)})", re.IGNORECASE | re.DOTALL)
_BUNDLED = ".zip"
_APPLICATIONS = {".war", ".ear", ".sar", ".hpi", ".jpi"}
_MANIFEST = "META-INF/MANIFEST.MF"
_POM = re.compile(r"META-INF/maven/([\w.-]+)/([\w.-]+)/pom\.(?:properties|xml)", re.ASCII)
_UNPACKED = "**/META-INF/maven/*/*/pom.properties"
_POM_BYTES, _PROPERTIES_BYTES = 1024**2, 64 * 1024
# An archive inside is held in memory as long as it is looked into; an ear of wars of jars is three deep.
_MAX_DEPTH = 5
_MAX_INSIDE_BYTES = 1024**3
_MAX_INSIDE = 10_000
_MAX_MEMBERS = 2_000_000
_MAX_ARTIFACTS = 20_000
_MAX_LICENSES = 10
# Manifests and POMs of one file, together: members of a hostile archive may all be one and the same.
_MAX_TEXT_BYTES = 64 * 1024**2
_MAX_WHERE = 1000
_MAVEN_REPOSITORIES = ("/.m2/repository/", "/maven-repo/")
_GRADLE_CACHE = "/caches/modules-2/files-2.1/"
_WITHIN, _SHADED = "in ", "shaded in "


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One artifact in an archive. None is "not stated".

    `inside`: the archive inside the file that holds it, "" for the file itself. `is_shaded`: its classes were
    copied into that archive. `version_from`: what stated the version ("pom.properties", "file name", a manifest's header).
    """

    name: str
    version: str | None
    group: str | None
    inside: str
    is_shaded: bool
    version_from: str | None = None
    licenses: tuple[str, ...] = ()


@dataclass(slots=True)
class Contents:
    """What an archive holds: its artifacts, and the archives inside that cannot be read, with the reason."""

    artifacts: list[Artifact] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Budget:
    """What is left of what one file may ask for, archives inside it included."""

    inside_bytes: int
    text_bytes: int = _MAX_TEXT_BYTES
    inside: int = _MAX_INSIDE
    members: int = _MAX_MEMBERS


def parse(data: bytes, path: str, *, inside_bytes: int = _MAX_INSIDE_BYTES) -> Contents:
    """Return what an archive holds, archives inside it included, `inside_bytes` of those at most.

    Raises `DamagedDatabaseError` where the file itself cannot be read; an archive inside that cannot is a problem of its own.
    """
    found = Contents()
    _look_into(data, path, "", found, _Budget(inside_bytes=inside_bytes))
    return found


def _look_into(data: bytes, path: str, inside: str, found: Contents, budget: _Budget) -> None:
    wanted: dict[str, zips.Member] = {}
    archives: list[zips.Member] = []
    for member in zips.members(data, path):
        budget.members -= 1
        if budget.members < 0:
            raise DamagedDatabaseError(path, None, f"more than {_MAX_MEMBERS:,} members in archives")
        name = member.name
        if name.startswith("META-INF/") and (name == _MANIFEST or _POM.fullmatch(name)):
            wanted.setdefault(name, member)
        elif member.size and _ARCHIVE.fullmatch(name):
            archives.append(member)
    artifacts = _artifacts(data, path, inside, wanted, budget)
    if len(found.artifacts) + len(artifacts) > _MAX_ARTIFACTS:
        raise DamagedDatabaseError(path, None, f"more than {_MAX_ARTIFACTS:,} artifacts in archives")
    found.artifacts.extend(artifacts)
    for member in archives:
        if budget.inside < 0:  # told when it was reached
            return
        where = f"{inside}!/{member.name}" if inside else member.name
        try:
            _look_into(_inside(data, member, path, where, budget), path, where, found, budget)
        except DamagedDatabaseError as error:
            found.problems.append((where[:_MAX_WHERE], error.problem))


def _inside(data: bytes, member: zips.Member, path: str, where: str, budget: _Budget) -> bytes:
    """Return an archive inside an archive, as far as the file's budget goes."""
    budget.inside -= 1
    if len(where) > _MAX_WHERE:
        raise DamagedDatabaseError(path, None, f"a name of {len(where):,} characters: not looked into")
    if where.count("!/") >= _MAX_DEPTH:
        raise DamagedDatabaseError(path, None, f"archives in archives, more than {_MAX_DEPTH} deep: not looked into")
    if budget.inside < 0 or member.size > budget.inside_bytes:
        asked = f"{member.size:,} bytes, {budget.inside_bytes:,} are left of what the archives in one file may take"
        raise DamagedDatabaseError(path, None, f"{asked}, {_MAX_INSIDE:,} archives at most: not looked into")
    budget.inside_bytes -= member.size
    return zips.content(data, member, path, limit=member.size + 1)


def _text(data: bytes, member: zips.Member, path: str, limit: int, budget: _Budget) -> bytes:
    """Return a manifest or a POM, as far as the file's budget goes."""
    found = zips.content(data, member, path, limit=limit)
    budget.text_bytes -= len(found)
    if budget.text_bytes < 0:
        raise DamagedDatabaseError(path, None, f"more than {_MAX_TEXT_BYTES:,} bytes of manifests and POMs")
    return found


def _artifacts(
    data: bytes, path: str, inside: str, wanted: Mapping[str, zips.Member], budget: _Budget
) -> list[Artifact]:
    """Return the archive's own artifact first, then those that are shaded in it, by group and name."""
    main = wanted.get(_MANIFEST)
    fields = jars.manifest(_text(data, main, path, jars.MANIFEST_BYTES, budget)) if main else {}
    stated = _stated(data, path, inside, wanted, budget)
    own = _own(stated, inside or path, fields)
    if own is None:
        first = _unnamed(inside or path, fields, has_manifest=main is not None or not stated)
    else:
        first = Artifact(**{**asdict(own), "licenses": own.licenses or jars.bundle_licenses(fields)})
    shaded = [Artifact(**{**asdict(one), "is_shaded": True}) for one in stated if one is not own]
    return ([] if first is None else [Artifact(**{**asdict(first), "inside": inside})]) + shaded


def _stated(data: bytes, path: str, inside: str, wanted: Mapping[str, zips.Member], budget: _Budget) -> list[Artifact]:
    """Return the artifacts that have a folder in META-INF/maven: pom.properties first, pom.xml for what it leaves out."""
    folders = sorted({(match[1], match[2]) for name in wanted if (match := _POM.fullmatch(name))})
    found = []
    for group, name in folders:
        folder = f"META-INF/maven/{group}/{name}"
        pairs, project = wanted.get(f"{folder}/pom.properties"), wanted.get(f"{folder}/pom.xml")
        short = jars.properties(_text(data, pairs, path, _PROPERTIES_BYTES, budget)) if pairs else {}
        long: dict[str, list[str]] = {}
        if project:
            try:
                long = jars.pom(_text(data, project, path, _POM_BYTES, budget), path)
            except DamagedDatabaseError:
                # Maven itself goes by pom.properties, which is enough where it is whole.
                if not short.get("version"):
                    raise
        version = jars.resolved(short.get("version")) or jars.project_version(long)
        found.append(
            Artifact(
                name=jars.identifier(short.get("artifactId")) or name,
                group=jars.identifier(short.get("groupId")) or group,
                version=version,
                inside=inside,
                is_shaded=False,
                version_from=None if version is None else "pom",
                licenses=tuple(
                    sorted({name for name in long.get("licenses/license/name", ()) if name})[:_MAX_LICENSES]
                ),
            )
        )
    return found


def _own(stated: Sequence[Artifact], path: str, fields: Mapping[str, str]) -> Artifact | None:
    """Return the artifact that the archive itself is, None where all that are stated are copied into it.

    It is the one whose name the file bears (the longest where several do), maybe behind a prefix, as distributions rename
    files. A single one under another name is the archive's own in an application, which is not what shading makes,
    and where the manifest states the same version.
    """
    stem, ending = posixpath.splitext(posixpath.basename(path))
    file_name = _plain(stem)
    exact = [one for one in stated if file_name in {_plain(one.name), _plain(f"{one.name}-{one.version}")}]
    begins = [one for one in stated if re.match(rf"{re.escape(_plain(one.name))}-\d", file_name)]
    is_renamed = len(stated) == 1 and _plain(jars.name_and_version(stem)[0]).endswith(f"-{_plain(stated[0].name)}")
    ends = stated if is_renamed else []
    named = max(exact or begins or ends, key=lambda one: (len(one.name), one.group or ""), default=None)
    if named is None and len(stated) == 1:
        versions = {fields.get("implementation-version"), fields.get("bundle-version")} - {None}
        if ending.lower() in _APPLICATIONS or stated[0].version in versions:
            return stated[0]
    return named


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name)


def _unnamed(path: str, fields: Mapping[str, str], *, has_manifest: bool) -> Artifact | None:
    """Return an archive that states no POM of its own, by its place in a repository, its name and its manifest."""
    placed = _placed(path)
    if placed is not None:
        return placed
    if not has_manifest:
        return None
    base = posixpath.basename(path)
    name, version = jars.name_and_version(text(posixpath.splitext(base)[0]) or base.strip())
    version_from = None if version is None else "file name"
    for header in ("implementation-version", "bundle-version", "specification-version", "plugin-version"):
        stated = jars.resolved(fields.get(header))
        if version is None and stated:
            version, version_from = stated, header
    return Artifact(
        name=name,
        version=version,
        # Jenkins' plugins have the other one.
        group=jars.identifier(fields.get("implementation-vendor-id")) or jars.identifier(fields.get("group-id")),
        inside="",
        is_shaded=False,
        version_from=version_from,
        licenses=jars.bundle_licenses(fields),
    )


def _placed(path: str) -> Artifact | None:
    """Return the artifact that a path in a Maven or Gradle repository names, None for any other path."""
    slashed = f"/{path}"
    for repository in _MAVEN_REPOSITORIES:
        parts = slashed.rpartition(repository)[2].split("/")
        if repository in slashed and len(parts) > 3 and parts[-1].startswith(f"{parts[-3]}-{parts[-2]}"):  # noqa: PLR2004
            return _repository_artifact(".".join(parts[:-3]), *parts[-3:-1])
    parts = slashed.rpartition(_GRADLE_CACHE)[2].split("/")
    if _GRADLE_CACHE in slashed and len(parts) == 5:  # noqa: PLR2004 - group, artifact, version, checksum, file
        return _repository_artifact(*parts[:3])
    return None


def _repository_artifact(group: str, name: str, version: str) -> Artifact | None:
    if not all(jars.identifier(part) for part in (group, name, version)):
        return None
    # Debian keeps a second copy of what has one version only under the version "debian".
    return Artifact(
        name=name,
        version=None if version == "debian" else version,
        group=group,
        inside="",
        is_shaded=False,
        version_from="repository path",
    )


def _extract(path: str, content: bytes) -> bytes | None:
    if path.endswith(_BUNDLED):
        # Any archive may hold Java's; it is no artifact itself, and whether it is whole is nobody's question here.
        try:
            found = parse(content, path)
        except DamagedDatabaseError:
            return None
        found.artifacts = [one for one in found.artifacts if one.inside]
        if not found.artifacts:
            return None
    else:
        found = parse(content, path)
    return json.dumps(
        {"artifacts": [asdict(one) for one in found.artifacts], "problems": found.problems}, sort_keys=True
    ).encode()


def _places(tree: Tree) -> Sequence[str]:
    return sorted({*tree.once(_archives), *tree.once(_unpacked_roots)})


def _archives(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.evidence(FORMAT.name), _place)


def _unpacked_roots(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.glob(_UNPACKED), _root)


def _place(path: str) -> str:
    """Return the folder that an archive counts to: that of a whole repository, else its own; a file in the root itself."""
    for repository in (*_MAVEN_REPOSITORIES, _GRADLE_CACHE):
        before, found, _ = f"/{path}".partition(repository)
        if found:
            return f"{before}{found}".strip("/")
    return posixpath.dirname(path) or path


def _root(path: str) -> str:
    """Return the folder that an archive was unpacked into, by the path of its pom.properties."""
    return f"/{path}".partition("/META-INF/maven/")[0].strip("/") or "META-INF"


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    evidence = tree.evidence(FORMAT.name)
    for path in tree.once(_archives).get(place, ()):
        document: dict[str, Any] = json.loads(evidence[path])
        for one in document["artifacts"]:
            yield _found(Artifact(**one), path)
        for where, problem in document["problems"]:
            yield Broken(f"{path}!/{where}", problem)
    for path in tree.once(_unpacked_roots).get(place, ()):
        yield from _unpacked(tree, path)


def _unpacked(tree: Tree, path: str) -> Iterator[Found | Broken]:
    try:
        pairs = jars.properties((tree.read(path) or b"")[:_PROPERTIES_BYTES])
    except DamagedDatabaseError as error:
        yield Broken(path, error.problem)
        return
    group, folder = path.split("/")[-3:-1]
    yield Found(
        name=jars.identifier(pairs.get("artifactId")) or text(folder) or "?",
        version=jars.resolved(pairs.get("version")),
        path=path,
        namespace=jars.identifier(pairs.get("groupId")) or text(group),
        detail="an archive that was unpacked",
    )


def _found(one: Artifact, path: str) -> Found:
    name = posixpath.basename(one.inside or path)
    detail: str | None
    if one.is_shaded:
        detail = f"{_SHADED}{one.inside or name}"
    elif one.inside:
        detail = f"{_WITHIN}{one.inside}"
    else:
        detail = None if one.version_from in {None, "pom"} else f"version from {one.version_from}"
    return Found(
        name=one.name,
        version=one.version,
        path=path,
        licenses=tuple(one.licenses),
        namespace=one.group,
        detail=detail,
    )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    del tree
    # What lies in an archive has no file of its own: the archive weighs what it weighs, together.
    is_inside = found.detail is not None and found.detail.startswith((_WITHIN, _SHADED))
    return None if is_inside else [found.path]


FORMAT = Format(
    name="maven",
    globs=(_UNPACKED,),
    expected=("**/*.jar",),
    places=_places,
    read=_read,
    files=_files,
    extract=_extract,
    extract_globs=tuple(f"**/*{ending}" for ending in (*(f".{ending}" for ending in _ENDINGS), _BUNDLED)),
)
