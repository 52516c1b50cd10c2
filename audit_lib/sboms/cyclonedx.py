"""CycloneDX, OWASP's notation of an SBOM (ECMA-424): a tree of components, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.documents import text
from audit_lib.sboms import columns
from audit_lib.sboms.base import Document, inner, listed

# Later versions of the same major number only add to the earlier ones; JSON came with 1.2.
VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
# What may be installed; the other types are data, hardware, or what packages lie in.
_PACKAGES = frozenset({"application", "framework", "library", "platform", "firmware", "device-driver"})
_MAX_COMPONENTS = 1_000_000
_TRIVY_FACTS = {"aquasecurity:trivy:ImageID": "config_digest", "aquasecurity:trivy:RepoDigest": "manifest_digest"}


def parse(document: Mapping[str, Any], path: str) -> Document:
    """Return what a CycloneDX document (a parsed JSON object) states.

    Components inside components count as well. Raises `DamagedDatabaseError` for another version, or where a list or an
    object is something else.
    """
    version = text(document.get("specVersion"))
    if version not in VERSIONS:
        raise DamagedDatabaseError(
            path, None, f"expected CycloneDX {VERSIONS[0]} to {VERSIONS[-1]}, found specVersion {version or '(none)'}"
        )
    metadata = inner(document, "metadata")
    subject = inner(metadata, "component")
    found = Document(
        notation=f"CycloneDX {version}",
        made_by=_maker(metadata, path),
        subject="@".join(part for name in ("name", "version") if (part := text(subject.get(name)))) or None,
        created=text(metadata.get("timestamp")),
    )
    _add_facts(found, subject, path)
    references: dict[str, str] = {}
    for place, component in _components(document, path):
        reference = text(component.get("bom-ref"))
        if reference is not None and references.setdefault(reference, place) != place:
            found.notes.append(
                f"{place} has the bom-ref of {references[reference]}, though each stands for one component"
            )
        _add(found, place, component, path)
    return found


def _components(document: Mapping[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all components in the order of the document, without Python's stack: documents from strangers are deep."""
    count = 0
    waiting = [listed(document, "components", "", path)]
    while waiting:
        following = next(waiting[-1], None)
        if following is None:
            waiting.pop()
            continue
        count += 1
        if count > _MAX_COMPONENTS:
            raise DamagedDatabaseError(path, None, f"more than {_MAX_COMPONENTS:,} components")
        yield following
        waiting.append(listed(following[1], "components", following[0], path))


def _add(found: Document, place: str, component: Mapping[str, Any], path: str) -> None:
    kind = text(component.get("type")) or "(no type)"
    name, version, purl = (text(component.get(key)) for key in ("name", "version", "purl"))
    properties = _properties(component, place, path)
    if kind == "operating-system":
        found.leave_out("operating systems")
        _add_distribution(found, name, version, properties, text(component.get("description")))
    elif kind not in _PACKAGES:
        found.leave_out(f"{kind} components")
    elif text(component.get("scope")) == "excluded":
        found.leave_out("excluded components")
    elif kind == "application" and purl is None:
        # Trivy: a lock file, or all packages of one kind, as the component that depends on them.
        found.leave_out("groups of packages")
    else:
        group = text(component.get("group"))
        found.add(
            place,
            name=f"{group}/{name}" if group and name and purl is None else name,
            version=version,
            purl=purl,
            licenses=tuple(_licenses(component, place, path)),
            cpes=tuple(cpe for cpe in [text(component.get("cpe"))] if cpe),
            source=_source(properties),
            columns=columns.with_prefix(properties, columns.PACKAGE),
        )


def _properties(owner: Mapping[str, Any], place: str, path: str) -> dict[str, str]:
    pairs = [(one.get("name"), one.get("value")) for _, one in listed(owner, "properties", place, path)]
    return {name: value for name, value in pairs if isinstance(name, str) and isinstance(value, str)}


def _licenses(component: Mapping[str, Any], place: str, path: str) -> Iterator[str]:
    for _, one in listed(component, "licenses", place, path):
        license_ = inner(one, "license")
        stated = text(one.get("expression")) or text(license_.get("id")) or text(license_.get("name"))
        if stated is not None:
            yield stated


def _source(properties: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return a distribution's source package as Trivy states it."""
    name, version, release, epoch = (
        text(properties.get(f"aquasecurity:trivy:Src{part}")) for part in ("Name", "Version", "Release", "Epoch")
    )
    if name is None or version is None:
        return name, None
    version = f"{version}-{release}" if release else version
    return name, f"{epoch}:{version}" if epoch and epoch != "0" else version


def _maker(metadata: Mapping[str, Any], path: str) -> str | None:
    """Return the first tool and its version; tools are a list of old, and an object with components since 1.5."""
    tools = metadata.get("tools")
    owner, key, place = (
        (tools, "components", "/metadata/tools") if isinstance(tools, dict) else (metadata, "tools", "/metadata")
    )
    for _, tool in listed(owner, key, place, path):
        name, version = text(tool.get("name")), text(tool.get("version"))
        if name is not None:
            return f"{name} {version}" if version else name
    return None


def _add_facts(found: Document, subject: Mapping[str, Any], path: str) -> None:
    properties = _properties(subject, "/metadata/component", path)
    for name, column in _TRIVY_FACTS.items():
        if name in properties:
            found.facts[column] = properties[name].rpartition("@")[2]
    own = columns.with_prefix(properties, columns.IMAGE)
    found.facts.update({name: own[name] for name in columns.FACTS if name in own})
    for name, value in properties.items():
        if name.startswith(f"{columns.DATABASE}:"):
            found.databases.append(columns.row_of(value, f"/metadata/component: property {name}", path))


def _add_distribution(
    found: Document, name: str | None, version: str | None, properties: Mapping[str, str], description: str | None
) -> None:
    stated = {
        "distro_id": text(properties.get("syft:distro:id")) or name,
        "distro_version": text(properties.get("syft:distro:versionID")) or version,
        "distro_name": text(properties.get("syft:distro:prettyName")) or description,
        "distro_codename": text(properties.get("syft:distro:versionCodename")),
    }
    for column, value in stated.items():
        if value is not None:
            found.facts.setdefault(column, value)
