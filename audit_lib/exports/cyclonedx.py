"""CycloneDX 1.6 as JSON: an image and its packages as an SBOM.

Sources: ECMA-424 (CycloneDX 1.6), its JSON schema; CycloneDX' property taxonomy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from audit_lib.exports import provenance, sbom
from audit_lib.exports.sbom import Audited, Item
from audit_lib.licenses import expression
from audit_lib.sboms.columns import DATABASE, GAP, IMAGE, PACKAGE

_IMAGE, _SYSTEM = "image", "operating-system"


def cyclonedx_json(found: Audited, *, serial_number: UUID | None = None) -> str:
    """Return an image as a CycloneDX 1.6 document in JSON, valid against its schema.

    The image is the document's component, with its facts as properties (`audit-lib:image:…`); its distribution is a component
    of type operating-system. Every row of `packages` is a component: purl, the first CPE, the licences (an SPDX expression where
    it is one, else as stated), where it was found, and every other column as a property (`audit-lib:package:…`), so that
    `sbom:` reads the same table back. The image depends on all packages but those that another one brought (`parent`), which
    that one depends on. Files are not listed.

    `compositions` says that the list is incomplete where a package database is damaged. It never says that it is complete, since
    files that no package claims may hold what no database states: then it is unknown; `audit-lib:database:…` and
    `audit-lib:gap:…` tell what was read and what was not. Same image, same bytes: `serial_number` is made of the contents unless
    one is given (`uuid.uuid4()`), and the time is SOURCE_DATE_EPOCH, else the image's own, else left out.
    """
    packages = sbom.items(found)
    bom = Bom(serial_number=serial_number or sbom.serial_number(found))
    bom.metadata.tools.components.add(
        Component(name=sbom.TOOL, version=provenance.version(), type=ComponentType.APPLICATION)
    )
    image = bom.metadata.component = _image(found)
    time = sbom.created(found)
    if time is not None:
        bom.metadata.timestamp = time
    components = {one.identifier: _component(one) for one in packages}
    system = list(_system(found))
    bom.components = [*system, *components.values()]
    _relate(bom, image, packages, components)
    bom.register_dependency(image, system)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    if time is None:  # the library would ask the clock
        del document["metadata"]["timestamp"]
    # What the library has no model for.
    aggregate = "incomplete" if sbom.is_incomplete(found) else "unknown"
    document["compositions"] = [{"aggregate": aggregate, "assemblies": [_IMAGE], "dependencies": [_IMAGE]}]
    return json.dumps(_in_order(document), indent=1, ensure_ascii=False) + "\n"


def _image(found: Audited) -> Component:
    facts = sbom.image_facts(found)
    properties = [Property(name=f"{IMAGE}:{name}", value=value) for name, value in facts.items()]
    for prefix, said in ((DATABASE, sbom.database_rows(found)), (GAP, iter(found.gaps))):
        properties += [Property(name=f"{prefix}:{number:04}", value=text) for number, text in enumerate(said, start=1)]
    return Component(
        name=str(found.image["image"].iloc[0]),
        version=facts.get("manifest_digest") or facts.get("config_digest"),
        type=ComponentType.CONTAINER,
        bom_ref=_IMAGE,
        properties=properties,
    )


def _system(found: Audited) -> Iterator[Component]:
    facts = sbom.image_facts(found)
    if "distro_id" in facts:
        yield Component(
            name=facts["distro_id"],
            version=facts.get("distro_version"),
            type=ComponentType.OPERATING_SYSTEM,
            bom_ref=_SYSTEM,
            description=facts.get("distro_name"),
        )


def _component(item: Item) -> Component:
    row = item.row
    purl = PackageURL.from_string(row["purl"])
    columns = dict(item.columns)
    if purl.to_string() != row["purl"]:
        columns["purl"] = row["purl"]
    return Component(
        name=row["name"],
        version=row.get("version"),
        # A program that no package manager recorded; all else may be either, which no database says.
        type=ComponentType.APPLICATION if row["format"] == "generic" else ComponentType.LIBRARY,
        bom_ref=item.identifier,
        purl=purl,
        cpe=next(sbom.cpes(row), None),
        licenses=_licenses(row.get("licenses")),
        evidence=ComponentEvidence(occurrences=[Occurrence(location=row["database_path"])]),
        properties=[Property(name=f"{PACKAGE}:{name}", value=value) for name, value in columns.items()],
    )


def _licenses(stated: str | None) -> Iterator[LicenseExpression | DisjunctiveLicense]:
    if stated is None:
        return
    if expression(stated) is not None:
        yield LicenseExpression(stated)
    else:
        yield from (DisjunctiveLicense(name=name) for name in dict.fromkeys(stated.split("; ")) if name)


def _relate(bom: Bom, image: Component, packages: list[Item], components: dict[str, Component]) -> None:
    parts: dict[str, list[Component]] = {}
    for one in packages:
        for parent in one.parents:
            parts.setdefault(parent, []).append(components[one.identifier])
    bom.register_dependency(image, [components[one.identifier] for one in packages if not one.parents])
    for parent, inside in parts.items():
        bom.register_dependency(components[parent], inside)


def _in_order(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document as people read it: what it is first, then the image, its packages, and how they relate."""
    first = ("$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies")
    return {**{name: document[name] for name in first if name in document}, **document}
