"""Indexes, manifests and configs as documents: read, chosen from and checked against each other; no transport.

Sources: OCI image-spec (image-index.md, manifest.md, config.md, media-types.md); distribution's
"Image Manifest V 2, Schema 2".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from audit_lib.errors import DigestError, ImageFormatError, UnknownImageError
from audit_lib.reference import parse_platform
from audit_lib.sources.base import MAX_DOCUMENT_BYTES, Facts, LayerRef

INDEX_TYPES = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
MANIFEST_TYPES = frozenset(
    {"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
)
LAYER_TYPES = frozenset(
    {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    }
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"
# Chained indexes in the wild are two deep; a loop would need a hash collision, a long chain only a joker.
_MAX_DEPTH = 8
# BuildKit stores provenance and SBOMs beside the images in an index, as manifests for no platform.
ATTESTATION = "vnd.docker.reference.type"

Fetch = Callable[[str, str], bytes]

# What an image's config may be called. The last ones are what registries made of it (docker/distribution issue 1621).
_CONFIG_TYPES = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/octet-stream",
        "application/json",
        "text/html",
        "",
    }
)


class Resolved(NamedTuple):
    """A manifest, and the indexes that led to it, outermost first, each with its digest ("" for a list without one)."""

    digest: str
    document: dict[str, Any]
    indexes: tuple[tuple[str, Mapping[str, Any]], ...]


def digest_of(data: bytes) -> str:
    """Return `sha256:…` of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def checked(data: bytes, digest: str, what: str) -> bytes:
    """Return `data` if it has this digest; raise `DigestError` otherwise."""
    found = digest_of(data)
    if found != digest:
        raise DigestError(what, expected=digest, found=found)
    return data


def parse_document(data: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object; raises `ImageFormatError` for anything else."""
    document = parse_json(data, what)
    if not isinstance(document, dict):
        raise ImageFormatError(f"{what}: expected a JSON object, found a {type(document).__name__}")
    return document


def parse_json(data: bytes, what: str) -> Any:
    """Return JSON; raises `ImageFormatError` where it is none, or larger than 16 MiB."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ImageFormatError(f"{what}: {len(data):,} bytes; expected a JSON document below {MAX_DOCUMENT_BYTES:,}")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageFormatError(f"{what}: not JSON: {error}") from error


def descriptor(value: object, what: str) -> Mapping[str, Any]:
    """Return a content descriptor (OCI descriptor.md) with a digest that is one, or raise `ImageFormatError`."""
    if not isinstance(value, dict):
        raise ImageFormatError(f"{what}: expected a descriptor with digest and size, found {str(value)[:60]}")
    digest = value.get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ImageFormatError(f"{what}: expected a digest sha256:<64 hex digits>, found {str(digest)[:90]!r}")
    size = value.get("size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ImageFormatError(f"{what}: expected size to be a number of bytes, found {str(size)[:60]!r}")
    return value


def entries(index: Mapping[str, Any], what: str) -> list[Mapping[str, Any]]:
    """Return the descriptors that an index lists."""
    return [descriptor(entry, f"{what}: manifests") for entry in _list(index, "manifests", what)]


def notes_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the annotations of a descriptor or a document, empty where it has none."""
    notes = holder.get("annotations")
    return notes if isinstance(notes, dict) else {}


def choose(index: Mapping[str, Any], choice: str | None, what: str) -> Mapping[str, Any]:
    """Return the one entry of a layout's index that `choice` (a tag, a full name or a digest) picks.

    Without a choice there must be one image only. Raises `UnknownImageError` that lists what is there.
    """
    listed = entries(index, what)
    names = {id(entry): _names(entry) for entry in listed}
    if choice is None:
        if len({entry["digest"] for entry in listed}) == 1:
            return listed[0]
        # One image, for several platforms, without an index of its own around them: all have one name, or none has any.
        is_one = len({tuple(names[id(entry)]) for entry in listed}) == 1 and all(
            "platform" in entry for entry in listed
        )
        picked = listed if is_one else []
    else:
        picked = [entry for entry in listed if choice == entry["digest"] or choice in names[id(entry)]]
    if len({entry["digest"] for entry in picked}) > 1:
        return {"mediaType": "application/vnd.oci.image.index.v1+json", "inline": {"manifests": picked}}
    if picked:
        return picked[0]
    held = ", ".join(sorted({name for entry in listed for name in names[id(entry)] or [entry["digest"]]})) or "none"
    asked = (
        "holds several images"
        if choice is None and listed
        else f"has no image {choice!r}"
        if choice
        else "holds no image"
    )
    raise UnknownImageError(f"{what}: {asked}; it has {held}")


def resolve(entry: Mapping[str, Any], fetch: Fetch, *, platform: str | None, what: str) -> Resolved:
    """Return the manifest that a descriptor leads to, through indexes by platform; `fetch` takes (digest, what)."""
    indexes: list[tuple[str, Mapping[str, Any]]] = []
    for _ in range(_MAX_DEPTH):
        if "inline" in entry:
            document, digest = entry["inline"], ""
        else:
            digest = descriptor(entry, what)["digest"]
            document = parse_document(
                checked(fetch(digest, "manifest"), digest, f"{what}: manifest"), f"{what}: manifest {digest}"
            )
        kind = str(document.get("mediaType") or entry.get("mediaType") or "")
        if document.get("schemaVersion") == 1:
            raise ImageFormatError(
                f"{what}: manifest schema 1, which registries gave up in 2019; expected an OCI or Docker schema 2 manifest"
            )
        if kind in INDEX_TYPES or ("manifests" in document and "layers" not in document):
            indexes.append((digest, document))
            entry = _for_platform(document, platform, what)
        elif kind in MANIFEST_TYPES or (not kind and "layers" in document):
            return Resolved(digest, document, tuple(indexes))
        else:
            raise ImageFormatError(f"{what}: media type {kind!r}; expected an image manifest or index")
    raise ImageFormatError(f"{what}: indexes within indexes, more than {_MAX_DEPTH} deep")


def facts_of(
    manifest_digest: str | None, manifest: Mapping[str, Any], fetch: Fetch, *, platform: str | None, what: str
) -> Facts:
    """Return the facts of an OCI or Docker schema 2 manifest; its config is fetched and both are checked."""
    if "config" not in manifest:
        raise ImageFormatError(f"{what}: the manifest names no config; expected one with the layers' diff ids")
    entry = descriptor(manifest["config"], f"{what}: manifest: config")
    check_config_type(entry.get("mediaType"), manifest.get("artifactType"), what)
    config_digest = entry["digest"]
    data = checked(fetch(config_digest, "config"), config_digest, f"{what}: config")
    layers = [
        descriptor(layer, f"{what}: manifest: layer {number}")
        for number, layer in enumerate(_list(manifest, "layers", what), 1)
    ]
    for number, layer in enumerate(layers, 1):
        check_layer_type(layer.get("mediaType"), f"{what}: layer {number}")
    config = parse_config(data, config_digest, platform=platform, what=what)
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(layers):
        raise ImageFormatError(f"{what}: the manifest has {len(layers)} layers, the config {len(diff_ids)} diff ids")
    return Facts(
        manifest_digest=manifest_digest or None,
        config_digest=config_digest,
        config=config,
        config_data=data,
        layers=tuple(
            LayerRef(
                name=layer["digest"],
                diff_id=diff_id,
                digest=layer["digest"],
                media_type=layer.get("mediaType"),
                compressed_bytes=layer.get("size"),
            )
            for layer, diff_id in zip(layers, diff_ids, strict=True)
        ),
    )


def check_config_type(kind: object, artifact_type: object, what: str) -> None:
    """Raise `ImageFormatError` where a manifest's config is not an image's: the manifest holds something else, which is named."""
    if str(kind or "") not in _CONFIG_TYPES:
        raise ImageFormatError(
            f"{what}: not a container image but an artifact of type {artifact_type or kind!s}; expected a manifest whose config "
            "is an image configuration"
        )


def check_layer_type(kind: object, what: str) -> None:
    """Raise `ImageFormatError` unless a layer's media type is one that can be read; foreign layers are named as such."""
    if str(kind) in LAYER_TYPES:
        return
    if isinstance(kind, str) and ("foreign" in kind or "nondistributable" in kind):
        raise ImageFormatError(
            f"{what}: a foreign layer ({kind}): its bytes are not in the image but at its vendor's, so it cannot be audited"
        )
    raise ImageFormatError(f"{what}: media type {kind!r}; expected a tar layer, plain, gzip or zstd")


def parse_config(data: bytes, digest: str, *, platform: str | None, what: str) -> dict[str, Any]:
    """Return an image configuration whose `rootfs.diff_ids` is a list of digests; checks a platform that was asked for."""
    config = parse_document(data, f"{what}: config {digest}")
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if diff_ids is None and isinstance(rootfs, dict):
        diff_ids = rootfs["diff_ids"] = []  # an image without layers: some writers say null
    if not isinstance(diff_ids, list) or not all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in diff_ids):
        raise ImageFormatError(
            f"{what}: config {digest}: expected rootfs.diff_ids to be a list of sha256 digests; is it a container image?"
        )
    if platform is not None:
        check_platform(
            config.get("os"), config.get("architecture"), config.get("variant"), platform=platform, what=what
        )
    return config


def check_platform(os: str | None, architecture: str | None, variant: str | None, *, platform: str, what: str) -> None:
    """Raise `UnknownImageError` where a single image is not of the platform that was asked for."""
    if not parse_platform(platform).fits(os, architecture, variant):
        raise UnknownImageError(f"{what}: platform {platform} was asked for; it has {os}/{architecture}")


def _for_platform(index: Mapping[str, Any], platform: str | None, what: str) -> Mapping[str, Any]:
    wanted = parse_platform(platform)
    images = [entry for entry in entries(index, what) if ATTESTATION not in notes_of(entry)]
    held: list[str] = []
    for entry in images:
        stated = entry.get("platform")
        if not isinstance(stated, dict):
            if len(images) == 1:
                return entry
            continue
        names = [stated.get("os"), stated.get("architecture"), stated.get("variant")]
        if wanted.fits(*names):
            return entry
        held.append("/".join(str(name) for name in names if name))
    raise UnknownImageError(
        f"{what}: no image for {wanted}; the index has {', '.join(sorted(held)) or 'none with a platform'}"
    )


def _names(entry: Mapping[str, Any]) -> list[str]:
    notes = notes_of(entry)
    return [notes[key] for key in (_TAG, _FULL_NAME) if isinstance(notes.get(key), str)]


def _list(document: Mapping[str, Any], key: str, what: str) -> Sequence[Any]:
    value = document.get(key)
    if value is None and key == "layers":
        return []
    if not isinstance(value, list):
        raise ImageFormatError(f"{what}: expected {key!r} to be a list, found {type(value).__name__}")
    return value
