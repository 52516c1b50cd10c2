"""A document that is attached to an image, told by the manifest that holds it: an SBOM, an attestation or a signature.

Sources: OCI image-spec 1.1 (`artifactType`); BuildKit's "Image attestation storage"; cosign's SIGNATURE_SPEC.md,
ATTESTATION_SPEC.md, SBOM_SPEC.md and BUNDLE_SPEC.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from audit_lib.errors import AuditError, ImageFormatError
from audit_lib.sources import manifest
from audit_lib.sources.base import Referrer

Kind = Literal["sbom", "attestation", "signature", "other"]
FoundBy = Literal["referrers_api", "referrers_tag", "cosign_tag", "image_index"]

_SUBJECT = "vnd.docker.reference.digest"
# Where a predicate's type is written: BuildKit's annotation, cosign's, and that of a Sigstore bundle.
_PREDICATES = ("in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType")
_SBOMS = ("spdx", "cyclonedx", "sbom", "syft")
_SIGNATURES = ("signature", "simplesigning", "cosign.artifact.sig", "pkcs7", "sigstore.bundle")
_ATTESTATIONS = ("in-toto", "dsse", "attestation", "provenance", "predicate")
_EMPTY = frozenset({"application/vnd.oci.empty.v1+json", "application/vnd.oci.scratch.v1+json"})


class Listed(NamedTuple):
    """A manifest that is said to be attached to `subject`; `entry` is the descriptor that says so."""

    entry: Mapping[str, Any]
    subject: str
    found_by: FoundBy


def listed_beside(found: manifest.Resolved) -> Iterator[Listed]:
    """Yield the manifests that BuildKit put beside an image into its index."""
    for _, index in found.indexes:
        for entry in manifest.entries(index, "index"):
            notes = manifest.notes_of(entry)
            if manifest.ATTESTATION in notes and notes.get(_SUBJECT) == found.digest:
                yield Listed(entry, found.digest, "image_index")


def read_beside(found: manifest.Resolved, fetch: manifest.Fetch) -> tuple[Referrer, ...] | None:
    """Return what is attached within an image's own index; None where nothing is, which says nothing of what else there may be."""
    return ordered(row for listed in listed_beside(found) for row in read_attached(listed, fetch)) or None


def ordered(rows: Iterator[Referrer]) -> tuple[Referrer, ...]:
    """Return rows by what they are about and where they lie."""
    return tuple(sorted(rows, key=lambda row: (row.subject_digest, row.manifest_digest, row.position)))


def read_attached(listed: Listed, fetch: manifest.Fetch) -> list[Referrer]:
    """Return a row for each document that an attached manifest holds; one that says why where the manifest cannot be read."""
    entry = listed.entry
    if str(entry.get("mediaType")) in manifest.INDEX_TYPES:
        return [unopened(listed, "not opened: an index of several")]
    what = f"attached manifest {entry['digest']}"
    try:
        data = manifest.checked(fetch(entry["digest"], "manifest"), entry["digest"], what)
        return parse_attached(manifest.parse_document(data, what), listed) or [unopened(listed, "holds no document")]
    except AuditError as error:
        return [unopened(listed, f"not read: {error}")]


def parse_attached(document: Mapping[str, Any], listed: Listed) -> list[Referrer]:
    """Return a row for each blob of an attached manifest. Raises `ImageFormatError` where it is none."""
    digest = listed.entry["digest"]
    artifact_type = _artifact_type(document) or _text(listed.entry.get("artifactType"))
    notes = {**manifest.notes_of(listed.entry), **manifest.notes_of(document)}
    # An artifact manifest (OCI image-spec 1.1 before its release) calls its layers blobs.
    blobs = document.get("layers") or document.get("blobs") or []
    if not isinstance(blobs, list):
        raise ImageFormatError(f"{digest}: expected layers to be a list")
    rows = []
    for position, blob in enumerate(blobs, 1):
        entry = manifest.descriptor(blob, f"{digest}: layer {position}")
        own = {**notes, **manifest.notes_of(entry)}
        predicate = next((own[key] for key in _PREDICATES if isinstance(own.get(key), str)), None)
        media_type = _text(entry.get("mediaType"))
        rows.append(
            Referrer(
                subject_digest=listed.subject,
                manifest_digest=digest,
                position=position,
                kind=kind_of(predicate, artifact_type, media_type),
                found_by=listed.found_by,
                artifact_type=artifact_type,
                predicate_type=predicate,
                media_type=media_type,
                digest=entry["digest"],
                artifact_bytes=entry.get("size"),
            )
        )
    return rows


def unopened(listed: Listed, why: str) -> Referrer:
    """Return the row of an attached manifest whose documents are not known."""
    stated = _text(listed.entry.get("artifactType"))
    return Referrer(
        subject_digest=listed.subject,
        manifest_digest=listed.entry["digest"],
        position=0,
        kind=kind_of(None, stated),
        found_by=listed.found_by,
        artifact_type=stated,
        detail=why,
    )


def kind_of(predicate: str | None, *types: str | None) -> Kind:
    """Return what a document is, by the type of what it states, else by the types of the artifact and of its bytes.

    >>> kind_of("https://spdx.dev/Document"), kind_of("https://slsa.dev/provenance/v1")
    ('sbom', 'attestation')
    >>> kind_of(None, "application/vnd.cncf.notary.signature", "application/jose+json")
    'signature'
    """
    said = " ".join(filter(None, (predicate, *types))).lower()
    if any(word in said for word in _SBOMS):
        return "sbom"
    if predicate is not None or any(word in said for word in _ATTESTATIONS):
        return "attestation"
    return "signature" if any(word in said for word in _SIGNATURES) else "other"


def _artifact_type(document: Mapping[str, Any]) -> str | None:
    """Return what a manifest says it holds: its own word, else its config's type where that says anything."""
    stated = _text(document.get("artifactType"))
    config = document.get("config")
    kind = _text(config.get("mediaType")) if isinstance(config, dict) else None
    return stated or (kind if kind not in _EMPTY and "image.config" not in (kind or "") else None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
