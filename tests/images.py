r"""Small images from a dict of paths, made with the standard library alone: independent of the code under test.

A layer is a dict from path to contents: `bytes` or `str` is a regular file, `None` a folder, anything else one of
the entries below. The order of the dict is the order of the tar, a path may end in `/`, whiteouts are spelled as in
the tar (`"etc/.wh.passwd": b""`, `"etc/.wh..wh..opq": b""`).

    oci_dir(tmp_path / "image", layers=[{"etc/os-release": "ID=debian\n", "bin": symlink("usr/bin")}])
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import zstandard

Compression = Literal["", "gzip", "zstd", "xz"]

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One member of a layer tar; `pax` are its extended headers."""

    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    device: tuple[int, int] = (0, 0)
    pax: Mapping[str, str] = field(default_factory=dict)


Layer = Mapping[str, "bytes | str | Entry | None"] | bytes


def file(data: bytes | str = b"", **facts: Any) -> Entry:
    """Return a regular file, for one that needs a mode, an owner or a PAX header."""
    return Entry(data=data.encode() if isinstance(data, str) else data, **facts)


def folder(**facts: Any) -> Entry:
    """Return a folder."""
    return Entry(kind=tarfile.DIRTYPE, **facts)


def symlink(target: str, **facts: Any) -> Entry:
    """Return a symbolic link to `target`, spelled as in the link."""
    return Entry(kind=tarfile.SYMTYPE, target=target, **facts)


def hardlink(target: str, **facts: Any) -> Entry:
    """Return a further name of the member `target`."""
    return Entry(kind=tarfile.LNKTYPE, target=target, **facts)


def fifo(**facts: Any) -> Entry:
    """Return a named pipe."""
    return Entry(kind=tarfile.FIFOTYPE, **facts)


def device(kind: Literal["character", "block"], major: int, minor: int, **facts: Any) -> Entry:
    """Return a device node."""
    return Entry(kind=tarfile.CHRTYPE if kind == "character" else tarfile.BLKTYPE, device=(major, minor), **facts)


def capable(data: bytes | str, capability: bytes, **facts: Any) -> Entry:
    """Return a regular file with a `security.capability` attribute, as tar programs store it."""
    value = capability.decode("utf-8", "surrogateescape")
    return file(data, pax={"SCHILY.xattr.security.capability": value}, **facts)


def layer_tar(layer: Layer, *, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return an uncompressed layer tar; same dict, same bytes. A layer given as bytes is taken as it is."""
    if isinstance(layer, bytes):
        return layer
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for path, content in layer.items():
            entry = _entry(path, content)
            archive.addfile(_member(path, entry), io.BytesIO(entry.data))
    return buffer.getvalue()


def compress(data: bytes, compression: Compression) -> bytes:
    """Return the data compressed; same data, same bytes."""
    match compression:
        case "":
            return data
        case "gzip":
            return gzip.compress(data, compresslevel=6, mtime=0)
        case "zstd":
            return zstandard.ZstdCompressor().compress(data)
        case "xz":
            return lzma.compress(data, preset=1)


def digest(data: bytes) -> str:
    """Return the digest as manifests spell it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image_config(diff_ids: Sequence[str], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an image configuration. `config` goes over it key by key ("config": {"User": …}, "architecture": …)."""
    made: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [
            {"created": "2024-01-01T00:00:00Z", "created_by": f"layer {number}"}
            for number in range(1, len(diff_ids) + 1)
        ],
    }
    return made | dict(config or {})


def oci_dir(
    path: Path,
    layers: Sequence[Layer],
    config: Mapping[str, Any] | None = None,
    *,
    compression: Compression = "gzip",
    tag: str | None = "latest",
    kind: Literal["oci", "docker"] = "oci",
) -> str:
    """Write an OCI layout with one image and return its manifest's digest. A second call adds an image to it."""
    made = add_image(path, layers, config, compression=compression, kind=kind)
    add_to_index(path, [made], tag=tag)
    return str(made["digest"])


def oci_index(
    path: Path, platforms: Mapping[str, Sequence[Layer]], *, tag: str | None = "latest", nested: bool = True
) -> dict[str, str]:
    """Write an OCI layout with one image a platform ("linux/arm64/v8") and return their manifests' digests.

    `nested`: behind an index of its own, as registries hold them; else all in `index.json`.
    """
    manifests = []
    for platform, layers in platforms.items():
        names = ("os", "architecture", "variant")
        facts = dict(zip(names, platform.split("/"), strict=False))
        manifests.append({**add_image(path, layers, facts), "platform": facts})
    if nested:
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        add_to_index(path, [add_blob(path, _json(index), OCI_INDEX)], tag=tag)
    else:
        add_to_index(path, manifests, tag=tag)
    return {platform: str(made["digest"]) for platform, made in zip(platforms, manifests, strict=True)}


def oci_archive(path: Path, folder_: Path) -> None:
    """Pack an OCI layout that was written by the functions above."""
    with tarfile.open(path, "w") as archive:
        for member in sorted(folder_.rglob("*")):
            archive.add(member, arcname=str(member.relative_to(folder_)), recursive=False)


def add_image(
    path: Path,
    layers: Sequence[Layer],
    config: Mapping[str, Any] | None = None,
    *,
    compression: Compression = "gzip",
    kind: Literal["oci", "docker"] = "oci",
) -> dict[str, Any]:
    """Write an image's blobs and return its manifest's descriptor; `add_to_index` makes it known."""
    tars = [layer_tar(layer) for layer in layers]
    facts = image_config([digest(tar) for tar in tars], config)
    manifest_type, config_type = (OCI_MANIFEST, OCI_CONFIG) if kind == "oci" else (DOCKER_MANIFEST, DOCKER_CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": add_blob(path, _json(facts), config_type),
        "layers": [add_blob(path, compress(tar, compression), _layer_type(kind, compression)) for tar in tars],
    }
    return add_blob(path, _json(manifest), manifest_type)


def add_blob(path: Path, data: bytes, media_type: str) -> dict[str, Any]:
    """Write one blob of an OCI layout and return its descriptor."""
    name = digest(data)
    target = path / "blobs" / name.replace(":", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return {"mediaType": media_type, "digest": name, "size": len(data)}


def add_to_index(path: Path, descriptors: Iterable[Mapping[str, Any]], *, tag: str | None) -> None:
    """Name descriptors in `index.json`, which is made where it is not there."""
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    listing = path / "index.json"
    index = json.loads(listing.read_text()) if listing.exists() else {"schemaVersion": 2, "manifests": []}
    named = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
    index["manifests"] += [{**descriptor, **named} for descriptor in descriptors]
    listing.write_bytes(_json(index))


def docker_archive(
    path: Path,
    layers: Sequence[Layer],
    config: Mapping[str, Any] | None = None,
    *,
    layout: Literal["old", "new"] = "new",
    tags: Sequence[str] = ("test:latest",),
    compression: Compression = "",
) -> str:
    """Write what `docker save` writes, before ("old") or since ("new") Docker 25; return the config's digest.

    The order of the members is Docker's: names sorted, hence layers before `manifest.json`. `compression` is
    that of the file as a whole.
    """
    tars = [layer_tar(layer) for layer in layers]
    facts = _json(image_config([digest(tar) for tar in tars], config))
    members = _old_layout(tars, facts, tags) if layout == "old" else _new_layout(tars, facts, tags)
    path.write_bytes(compress(layer_tar(members, tar_format=tarfile.USTAR_FORMAT), compression))
    return digest(facts)


def _entry(path: str, content: bytes | str | Entry | None) -> Entry:
    if isinstance(content, Entry):
        return content
    return folder() if content is None or path.endswith("/") else file(content)


def _member(path: str, entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path.rstrip("/") or path)
    member.type = entry.kind
    member.size = len(entry.data)
    member.linkname = entry.target
    usual = {tarfile.DIRTYPE: 0o755, tarfile.SYMTYPE: 0o777}.get(entry.kind, 0o644)
    member.mode = usual if entry.mode is None else entry.mode
    member.uid, member.gid, member.mtime = entry.uid, entry.gid, entry.mtime
    member.devmajor, member.devminor = entry.device
    member.pax_headers = dict(entry.pax)
    return member


def _layer_type(kind: Literal["oci", "docker"], compression: Compression) -> str:
    if kind == "oci":
        return OCI_LAYER + (f"+{compression}" if compression else "")
    return DOCKER_LAYER + (f".{compression}" if compression else "")


def _old_layout(tars: Sequence[bytes], facts: bytes, tags: Sequence[str]) -> dict[str, bytes | str | Entry | None]:
    members: dict[str, bytes | str | Entry | None] = {}
    places: dict[str, str] = {}
    names = []
    for number, tar in enumerate(tars):
        # Docker names a layer after its whole chain, and stores equal layers once with links to the first.
        chain = hashlib.sha256(b"".join(digest(below).encode() for below in tars[: number + 1])).hexdigest()
        first = places.setdefault(digest(tar), chain)
        members[f"{chain}/"] = None
        members[f"{chain}/VERSION"] = b"1.0"
        members[f"{chain}/json"] = _json({"id": chain, "os": "linux"})
        members[f"{chain}/layer.tar"] = tar if first == chain else symlink(f"../{first}/layer.tar")
        names.append(f"{chain}/layer.tar")
    config = f"{hashlib.sha256(facts).hexdigest()}.json"
    members[config] = facts
    members["manifest.json"] = _json([{"Config": config, "RepoTags": list(tags), "Layers": names}])
    members["repositories"] = _json({})
    return dict(sorted(members.items()))


def _new_layout(tars: Sequence[bytes], facts: bytes, tags: Sequence[str]) -> dict[str, bytes | str | Entry | None]:
    def blob(data: bytes) -> str:
        return f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"

    def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(facts, OCI_CONFIG),
            "layers": [descriptor(tar, OCI_LAYER) for tar in tars],
        }
    )
    members: dict[str, bytes | str | Entry | None] = {"blobs/": None, "blobs/sha256/": None}
    members |= {blob(data): data for data in (*tars, facts, manifest)}
    named = {"io.containerd.image.name": f"docker.io/library/{tags[0]}"} if tags else {}
    index = {"schemaVersion": 2, "manifests": [{**descriptor(manifest, OCI_MANIFEST), "annotations": named}]}
    members["index.json"] = _json(index)
    members["manifest.json"] = _json(
        [{"Config": blob(facts), "RepoTags": list(tags), "Layers": [blob(tar) for tar in tars]}]
    )
    members["oci-layout"] = _json({"imageLayoutVersion": "1.0.0"})
    members["repositories"] = _json({})
    return dict(sorted(members.items()))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
