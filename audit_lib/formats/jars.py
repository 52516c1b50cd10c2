"""The texts in Java archives that name them: manifests, pom.properties, POMs, and the names of the files themselves.

Sources: Oracle's "JAR File Specification" (manifest, 72-byte lines); java.util.Properties; Maven's POM reference; OSGi
Core 8, 3.2.1 (Bundle- headers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.parsers import expat

from audit_lib.errors import DamagedDatabaseError

# The main section of a manifest comes first; the digests of a signed jar's files, megabytes of them, come after.
MANIFEST_BYTES = 64 * 1024
# Maven writes four lines.
_MAX_LINES = 100
_MAX_TEXT = 200
# The longest name that Linux' file systems take.
_MAX_NAME = 255
_MAX_XML_DEPTH = 100
# What Maven allows in a group's or an artifact's name.
_IDENTIFIER = re.compile(r"[\w.-]+", re.ASCII)
# Fewer numbers after an underscore are the version of Scala that an artifact is for: cats-core_2.13.
_BUNDLE = re.compile(r"([^-_][^_]*)_(\d+\.\d+\.\d+[\w.-]*)")
# What may follow the number within a version, so that the next number still belongs to it: 1.0-beta-2.
_QUALIFIER = re.compile(r"(?i:alpha|beta|cr|rc|m|sp|build|rev|incubating|final|ga|snapshot|release|b|r|v|p)[\d.]*")


def manifest(data: bytes) -> dict[str, str]:
    r"""Return the main section of a manifest, names in lower case; a line that begins with a space goes on with the last.

    >>> manifest(b"Manifest-Version: 1.0\r\nImplementation-Ti\r\n tle: Guava\r\n\r\nName: a.class\r\n")
    {'manifest-version': '1.0', 'implementation-title': 'Guava'}
    """
    fields: dict[str, str] = {}
    # A byte, not a character, is what the 72nd place counts: continued first, decoded after.
    joined = re.sub(rb"\r\n?", b"\n", data[:MANIFEST_BYTES]).lstrip(b"\n").partition(b"\n\n")[0].replace(b"\n ", b"")
    for line in joined.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(":")
        if colon and value.strip():
            fields.setdefault(name.strip().lower(), value.strip()[:_MAX_TEXT])
    return fields


def properties(data: bytes) -> dict[str, str]:
    r"""Return the pairs of a pom.properties (java.util.Properties: comments, `=` or `:`, backslashes).

    >>> properties(b"#Generated\r\nversion=1.0\r\ngroupId=org.a\r\nartifactId=b\r\n")
    {'version': '1.0', 'groupId': 'org.a', 'artifactId': 'b'}
    """
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines()[:_MAX_LINES]:
        match = re.match(r"\s*([^#!\s=:]+)\s*[=:]?\s*(.*)", line)
        if match:
            found[match[1]] = re.sub(r"\\(.)", r"\1", match[2]).strip()[:_MAX_TEXT]
    return found


def pom(data: bytes, path: str) -> dict[str, list[str]]:
    """Return the texts of a pom.xml that name the project, by place below `project`: "version", "parent/version".

    Raises `DamagedDatabaseError` for what is not XML, or declares a document type (POMs do not; entities may explode).
    """
    wanted = {"groupId", "artifactId", "version", "parent/groupId", "parent/version", "licenses/license/name"}
    found: dict[str, list[str]] = {}
    stack: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, _: object) -> None:
        stack.append(name.rpartition(" ")[2])
        if len(stack) > _MAX_XML_DEPTH:
            raise DamagedDatabaseError(path, None, f"elements nested more than {_MAX_XML_DEPTH} deep")
        if "/".join(stack[1:]) in wanted:
            found.setdefault("/".join(stack[1:]), []).append("")

    def characters(value: str) -> None:
        place = "/".join(stack[1:])
        if place in wanted:
            found[place][-1] = (found[place][-1] + value)[:_MAX_TEXT]

    def doctype(*_: object) -> None:
        raise DamagedDatabaseError(path, None, "a document type; expected a POM, which has none")

    parser.StartElementHandler, parser.CharacterDataHandler = start, characters
    parser.EndElementHandler = lambda _: stack.pop()
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat takes it by position
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DamagedDatabaseError(path, None, f"not a POM: {error}") from error
    return {place: [" ".join(value.split()) for value in values] for place, values in found.items()}


def name_and_version(file_name: str) -> tuple[str, str | None]:
    """Return the two halves of an archive's name without its ending: "name-version", or Eclipse's "name_version".

    >>> name_and_version("guava-31.1-jre"), name_and_version("geronimo-annotation-1.3-spec-1.3"), name_and_version("rt")
    (('guava', '31.1-jre'), ('geronimo-annotation-1.3-spec', '1.3'), ('rt', None))
    """
    if len(file_name) > _MAX_NAME:
        return file_name[:_MAX_NAME], None
    bundle = _BUNDLE.fullmatch(file_name)
    if bundle:
        return bundle[1], bundle[2]
    parts = file_name.split("-")
    for at in range(1, len(parts)):
        # A word with a number after it means that the version has not begun: `log4j-1.2-api-2.19.0`.
        is_name = any(
            not before[:1].isdigit() and not _QUALIFIER.fullmatch(before) and after[:1].isdigit()
            for before, after in zip(parts[at:], parts[at + 1 :], strict=False)
        )
        if re.match(r"\d|v\d+\.", parts[at]) and not is_name and "".join(parts[:at]):
            return "-".join(parts[:at]), "-".join(parts[at:])
    return file_name, None


def identifier(stated: str | None) -> str | None:
    """Return a text that Maven takes for the name of a group or an artifact, None for any other."""
    return stated if stated and _IDENTIFIER.fullmatch(stated) else None


def resolved(stated: str | None) -> str | None:
    """Return a text that is one; a property that Maven would fill in (`${revision}`) states nothing."""
    return stated if stated and "${" not in stated else None


def project_version(project: Mapping[str, Sequence[str]]) -> str | None:
    """Return the version of a project (see `pom`), which may be its parent's; None where it is a property."""
    own, parent = project.get("version", ("",))[0], project.get("parent/version", ("",))[0]
    is_parents = own in {"", "${project.parent.version}", "${parent.version}"}
    return resolved(parent if is_parents else own)


def bundle_licenses(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return the licences in a manifest of an OSGi bundle: names or addresses, divided by commas, attributes after semicolons."""
    names = [one.partition(";")[0].strip().strip('"') for one in fields.get("bundle-license", "").split(",")]
    return tuple(sorted({name for name in names if name and name != "<<EXTERNAL>>"}))
