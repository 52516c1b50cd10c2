"""SPDX 2.3, as JSON or tagged lines: an image and its packages as an SBOM.

Source: the SPDX specification 2.3 (clauses 7 packages, 10 other licences, 11 relationships; annex D licence expressions).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Literal

from license_expression import LicenseExpression
from spdx_tools.common.spdx_licensing import spdx_licensing
from spdx_tools.spdx.model.actor import Actor, ActorType
from spdx_tools.spdx.model.document import CreationInfo, Document
from spdx_tools.spdx.model.extracted_licensing_info import ExtractedLicensingInfo
from spdx_tools.spdx.model.package import (
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    PackagePurpose,
)
from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion
from spdx_tools.spdx.writer.json import json_writer
from spdx_tools.spdx.writer.tagvalue import tagvalue_writer

from audit_lib.exports import provenance, sbom
from audit_lib.exports.sbom import Audited, Item
from audit_lib.licenses import expression
from audit_lib.sboms.columns import PREFIX

_DOCUMENT, _IMAGE, _SYSTEM = "SPDXRef-DOCUMENT", "SPDXRef-Image", "SPDXRef-OperatingSystem"
# A document must state a time (6.9); this one says that none is known.
_NO_TIME = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def spdx_text(found: Audited, *, notation: Literal["json", "tag-value"] = "json") -> str:
    """Return an image as an SPDX 2.3 document, valid by SPDX's own rules.

    The document describes the image (purpose CONTAINER), which contains its distribution (OPERATING-SYSTEM) and every row of
    `packages`; a package contains those that it brought (`parent`). The image also contains NOASSERTION, SPDX's word for
    "there may be more": files that no package claims may hold what no database states. Files are not listed.

    Each package has its purl and CPE names, and its licence: an SPDX expression where it is one, else the words of it behind a
    LicenseRef. All columns are in its comment, as JSON behind `audit-lib:`, so that `sbom:` reads the same table back; the
    image's comment holds its facts and what was read, `gaps` stand in the document's. Same image, same bytes: the namespace is
    made of the contents, and the time is SOURCE_DATE_EPOCH, else the image's own, else 1970.
    """
    packages = sbom.items(found)
    time = sbom.created(found)
    references: dict[str, ExtractedLicensingInfo] = {}
    document = Document(
        creation_info=CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=_DOCUMENT,
            name=_line(str(found.image["image"].iloc[0])),
            document_namespace=sbom.serial_number(found).urn,
            creators=[Actor(ActorType.TOOL, f"{sbom.TOOL}-{provenance.version()}")],
            created=(time or _NO_TIME).replace(tzinfo=None),
            creator_comment=None if time else "When the image was made is not stated; SOURCE_DATE_EPOCH sets the time.",
            document_comment=_safe("\n".join(found.gaps)) or None,
        ),
        packages=[_image(found), *_system(found), *(_package(one, references) for one in packages)],
        relationships=list(_relationships(found, packages)),
        extracted_licensing_info=[references[name] for name in sorted(references)],
    )
    written = io.StringIO()
    writer = json_writer if notation == "json" else tagvalue_writer
    # Checked by the tests; on a large image the check takes longer than all else.
    writer.write_document_to_stream(document, written, validate=False, drop_duplicates=False)
    text = written.getvalue()
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n" if notation == "json" else text


def _image(found: Audited) -> Package:
    facts = sbom.image_facts(found)
    said = {f"database:{number}": row for number, row in enumerate(sbom.database_rows(found), start=1)}
    return _made(
        _IMAGE,
        str(found.image["image"].iloc[0]),
        facts.get("manifest_digest") or facts.get("config_digest"),
        comment={**facts, **said},
        purpose=PackagePurpose.CONTAINER,
    )


def _system(found: Audited) -> Iterator[Package]:
    facts = sbom.image_facts(found)
    if "distro_id" in facts:
        package = _made(
            _SYSTEM, facts["distro_id"], facts.get("distro_version"), purpose=PackagePurpose.OPERATING_SYSTEM
        )
        package.summary = facts.get("distro_name")
        yield package


def _package(item: Item, references: dict[str, ExtractedLicensingInfo]) -> Package:
    row = item.row
    package = _made(f"SPDXRef-Package-{item.identifier}", row["name"], row.get("version"), comment=dict(item.columns))
    package.license_declared = _licence(row.get("licenses"), references)
    package.source_info = f"found in {_line(row['database_path'])}"
    package.external_references = [
        ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", row["purl"]),
        *(ExternalPackageRef(ExternalPackageRefCategory.SECURITY, "cpe23Type", cpe) for cpe in sbom.cpes(row)),
    ]
    return package


def _made(
    identifier: str,
    name: str,
    version: str | None,
    *,
    comment: dict[str, str] | None = None,
    purpose: PackagePurpose | None = None,
) -> Package:
    return Package(
        spdx_id=identifier,
        name=_line(name),
        download_location=SpdxNoAssertion(),
        version=None if version is None else _line(version),
        files_analyzed=False,
        license_concluded=SpdxNoAssertion(),
        license_declared=SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
        comment=None if comment is None else f"{PREFIX}:{sbom.as_json(comment)}",
        primary_package_purpose=purpose,
    )


def _licence(stated: str | None, references: dict[str, ExtractedLicensingInfo]) -> LicenseExpression | SpdxNoAssertion:
    """Return a licence as an expression; what is not on SPDX's list becomes a LicenseRef that holds the words."""
    if stated is None:
        return SpdxNoAssertion()
    if expression(stated) is not None:
        return spdx_licensing.parse(stated)
    words = []
    for name in dict.fromkeys(stated.split("; ")):
        if not name.strip():
            continue
        if expression(name) == name:
            words.append(f"({name})")
            continue
        reference = f"LicenseRef-{sbom.slug(name)[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        references[reference] = ExtractedLicensingInfo(reference, _safe(_line(name)), license_name=_line(name))
        words.append(reference)
    return spdx_licensing.parse(" AND ".join(words)) if words else SpdxNoAssertion()


def _relationships(found: Audited, packages: list[Item]) -> Iterator[Relationship]:
    yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _IMAGE)
    if "distro_id" in sbom.image_facts(found):
        yield Relationship(_IMAGE, RelationshipType.CONTAINS, _SYSTEM)
    for one in packages:
        yield Relationship(_IMAGE, RelationshipType.CONTAINS, f"SPDXRef-Package-{one.identifier}")
        for parent in one.parents:
            yield Relationship(
                f"SPDXRef-Package-{parent}", RelationshipType.CONTAINS, f"SPDXRef-Package-{one.identifier}"
            )
    yield Relationship(_IMAGE, RelationshipType.CONTAINS, SpdxNoAssertion())


def _line(text: str) -> str:
    """Return text as one line: in tagged lines, a second one would be a tag of its own."""
    return " ".join(text.split())


def _safe(text: str) -> str:
    """Return text that does not end the <text> which it stands in."""
    return text.replace("</text>", "</ text>")
