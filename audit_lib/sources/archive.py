"""docker-archive and oci-archive: images packed in one tar, plain or compressed, from a file or a stream.

Sources: Docker's "Image Specification v1.2" (`manifest.json`, `<id>/layer.tar`), what Docker Engine 25 and later
writes (the same `manifest.json` over an OCI layout), OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import io
import lzma
import os
import posixpath
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import zstandard
from isal import igzip

from audit_lib.errors import AuditError, ImageFormatError, SourceError, UnknownImageError
from audit_lib.reference import split_path
from audit_lib.sources import manifest
from audit_lib.sources.attached import read_beside
from audit_lib.sources.base import MAX_DOCUMENT_BYTES, Blob, Facts, LayerRef, Remembered, Source, Stream
from audit_lib.tar import Window, clean, members

_CHUNK = 1024 * 1024
_HEADERS_CHUNK = 64 * 1024
# Members of an archive, not of a layer: a few for each layer.
_MAX_MEMBERS = 100_000
_MAX_LINKS = 40
_PLAIN = 262


class ArchiveImage:
    """An image in an archive; from a file that can be sought, manifest and config are read when it is opened."""

    is_concurrent = False

    def __init__(  # noqa: PLR0913 - one private call each from the functions below
        self,
        members_: _Indexed | _Streamed,
        *,
        source: str,
        choice: str | None,
        platform: str | None,
        reference: str,
        what: str,
    ) -> None:
        self.source, self.reference = source, reference
        self._members, self._choice, self._platform, self._what = members_, choice, platform, what
        self._facts: Facts | None = None
        self.is_concurrent = isinstance(members_, _Indexed)

    def early_facts(self, remembered: Remembered) -> Facts | None:
        """Return manifest and config of an archive that can be sought; None of a stream, which may bring them last."""
        del remembered
        return None if isinstance(self._members, _Streamed) else self.facts()

    def blobs(self, known: Container[str] = ()) -> Iterator[Blob]:
        """Yield the layers in the order in which they lie in the archive; those known are passed over."""
        if isinstance(self._members, _Streamed):
            yield from self._members.blobs(known)
            return
        sent: set[str] = set()
        for layer in self.facts().layers:
            if layer.name in sent:
                continue
            sent.add(layer.name)
            stream, size = self._members.stream(layer.name)
            # What a docker archive holds packed has a digest that only its bytes tell.
            is_told = layer.digest is not None or not self._members.is_packed(layer.name)
            if not (layer.diff_id in known and is_told and layer.compressed_bytes in {None, size}):
                yield Blob(name=layer.name, stream=stream, digest=layer.digest, stored_bytes=size)

    def facts(self) -> Facts:
        """Return manifest and config; of a stream, only after `blobs` is exhausted."""
        if self._facts is None:
            read = _oci_facts if self.source in {"oci-archive", "sample"} else _docker_facts
            self._facts = read(self._members, self._choice, self._platform, self._what)
        return self._facts

    def __enter__(self) -> ArchiveImage:
        return self

    def __exit__(self, *_: object) -> None:
        self._members.close()


def open_stream(
    chunks: Iterator[bytes], *, source: str, platform: str | None, reference: str, what: str
) -> ArchiveImage:
    """Return the image in a docker archive that arrives as a stream (what an engine's `save` sends)."""
    streamed = _Streamed(Window(chunks), what, lambda: None)
    return ArchiveImage(streamed, source=source, choice=None, platform=platform, reference=reference, what=what)


def open_docker_archive(name: str, platform: str | None, reference: str) -> ArchiveImage:
    """Return the image of a `docker save` archive: `PATH`, or `PATH:NAME:TAG` where it holds several."""
    return _open(name, platform, reference, "docker-archive")


def open_oci_archive(
    name: str, platform: str | None, reference: str, *, source: Literal["oci-archive", "sample"] = "oci-archive"
) -> ArchiveImage:
    """Return the image of a packed OCI layout: `PATH`, `PATH:TAG` or `PATH@sha256:…`."""
    return _open(name, platform, reference, source)


def kind_of(path: Path) -> str | None:
    """Return `docker-archive` or `oci-archive` by what the archive at `path` holds, None where it is no image.

    An archive that is both (Docker Engine 25 and later) is read as `docker-archive`.
    """
    try:
        with _opened(path, str(path)) as archive:
            names = archive.names()
    except AuditError:
        return None
    return "docker-archive" if "manifest.json" in names else "oci-archive" if "index.json" in names else None


def _open(name: str, platform: str | None, reference: str, source: str) -> ArchiveImage:
    path, choice = split_path(name)
    if path.is_dir():
        raise UnknownImageError(
            f"{reference}: {path} is a folder; expected an archive (a folder is read with oci-dir:)"
        )
    what = str(path)
    archive = _opened(path, what)
    try:
        image = ArchiveImage(archive, source=source, choice=choice, platform=platform, reference=reference, what=what)
        if isinstance(archive, _Indexed):
            image.facts()
    except BaseException:
        archive.close()
        raise
    return image


def _opened(path: Path, what: str) -> _Indexed | _Streamed:
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError(f"{what}: {error.strerror}") from error
    try:
        head = file.read(_PLAIN)
        file.seek(0)
        if head.startswith(b"\x1f\x8b"):
            inflated = igzip.IGzipFile(fileobj=file)  # type: ignore[no-untyped-call]
            return _Streamed(Window(_chunks(inflated, what, "gzip")), what, file.close)
        if head.startswith(b"\x28\xb5\x2f\xfd"):
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_size=_CHUNK, read_across_frames=True)
            return _Streamed(Window(_chunks(reader, what, "zstd")), what, file.close)
        if head.startswith(b"\xfd7zXZ\0"):
            return _Streamed(Window(_chunks(lzma.LZMAFile(file), what, "xz")), what, file.close)
        _check_tar(head, what)
        return _Indexed(file, what)
    except BaseException:
        file.close()
        raise


def _check_tar(head: bytes, what: str) -> None:
    is_empty_archive = len(head) == _PLAIN and not any(head)
    if head[257:262] != b"ustar" and not is_empty_archive:
        raise ImageFormatError(f"{what}: not a tar archive, plain or compressed with gzip, zstd or xz")


class _Indexed:
    """An archive in a plain file: its headers are walked once, by seeking, and members read where they lie."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._file, self._what = file, what
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        end = os.fstat(file.fileno()).st_size
        window = Window(iter(lambda: file.read(_HEADERS_CHUNK), b""), lambda count: self._jump(count, end))
        for member in members(window, what):
            name = clean(member.name, what)
            if member.kind == "0":
                self._places[name] = (window.position, member.stored)
            elif member.kind in "12":
                self._links[name] = _link_target(name, member.kind, member.link, what)
            if len(self._places) > _MAX_MEMBERS:
                raise ImageFormatError(
                    f"{what}: more than {_MAX_MEMBERS:,} members; expected an image archive, not a file tree"
                )

    def names(self) -> frozenset[str]:
        return frozenset(self._places)

    def document(self, name: str) -> bytes | None:
        place = self._places.get(self.canonical(name))
        if place is None:
            return None
        self._file.seek(place[0])
        return self._file.read(min(place[1], MAX_DOCUMENT_BYTES + 1))

    def stream(self, name: str) -> tuple[Stream, int]:
        place = self._places.get(name)
        if place is None:
            raise ImageFormatError(f"{self._what}: layer {name} is missing")
        return _Part(self._file, *place), place[1]

    def is_packed(self, name: str) -> bool:
        """Tell whether a member is no tar as it lies there, but a compressed one."""
        place, size = self._places[name]
        self._file.seek(place + 257)
        magic = self._file.read(5)
        self._file.seek(place)
        return size > 0 and magic != b"ustar"

    def canonical(self, name: str) -> str:
        return _follow(name, self._links, self._what)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _Indexed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _jump(self, count: int, end: int) -> int:
        here = self._file.tell()
        self._file.seek(min(here + count, end))
        return min(count, end - here)


class _Streamed:
    """An archive that passes by once: documents are put aside, everything else is offered as a layer."""

    def __init__(self, window: Window, what: str, close: Callable[[], object]) -> None:
        self._window, self._what, self.close = window, what, close
        self._documents: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        self._seen: set[str] = set()

    def blobs(self, known: Container[str] = ()) -> Iterator[Blob]:
        kept_bytes = 0
        for member in members(self._window, self._what):
            name = clean(member.name, self._what)
            if member.kind in "12":
                self._links[name] = _link_target(name, member.kind, member.link, self._what)
            if member.kind != "0":
                continue
            self._seen.add(name)
            if len(self._seen) > _MAX_MEMBERS:
                raise ImageFormatError(
                    f"{self._what}: more than {_MAX_MEMBERS:,} members; expected an image archive, not a file tree"
                )
            if member.stored > MAX_DOCUMENT_BYTES and not _may_be_layer(name):
                continue
            if not _may_be_layer(name) or (member.stored <= MAX_DOCUMENT_BYTES and self._window.peek(1) in b"{["):
                data = self._window.take(member.stored)
                kept_bytes += len(data)
                if kept_bytes > 16 * MAX_DOCUMENT_BYTES:
                    raise ImageFormatError(
                        f"{self._what}: more than {16 * MAX_DOCUMENT_BYTES:,} bytes of documents beside the layers"
                    )
                self._documents[name] = data
                if _may_be_layer(name) and not _is_json(data):
                    yield Blob(name=name, stream=io.BytesIO(data), digest=_named_digest(name), stored_bytes=len(data))
                continue
            # Its place among the layers is known only when the manifest has arrived; its digest, by its name, already. What is
            # stored as a plain tar is named by its diff id.
            if _named_digest(name) in known and self._window.peek(_PLAIN)[257:] == b"ustar":
                continue
            yield Blob(
                name=name,
                stream=_Taken(self._window, member.stored),
                digest=_named_digest(name),
                stored_bytes=member.stored,
            )

    def names(self) -> frozenset[str]:
        for blob in self.blobs():
            del blob
        return frozenset(self._seen)

    def document(self, name: str) -> bytes | None:
        return self._documents.get(self.canonical(name))

    def canonical(self, name: str) -> str:
        return _follow(name, self._links, self._what)

    def __enter__(self) -> _Streamed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Part:
    """A part of a file as a stream of its own, which leaves the place of all others; ends where the part ends."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._place, self._end = file, start, start + size

    def read(self, count: int, /) -> bytes:
        data = os.pread(self._file.fileno(), min(count, self._end - self._place), self._place)
        self._place += len(data)
        return data


class _Taken:
    """The next bytes of a window as a stream of its own."""

    def __init__(self, window: Window, size: int) -> None:
        self._window, self._left = window, size

    def read(self, count: int, /) -> bytes:
        data = self._window.read(min(count, self._left)) if self._left else b""
        self._left -= len(data)
        return data


def _docker_facts(archive: _Indexed | _Streamed, choice: str | None, platform: str | None, what: str) -> Facts:
    """Read `manifest.json`: which config, which layer files, bottom first."""
    data = archive.document("manifest.json")
    if data is None:
        raise ImageFormatError(f"{what}: no manifest.json; expected what `docker save` writes")
    entry = _docker_entry(manifest.parse_json(data, f"{what}: manifest.json"), choice, what)
    config_name, names = entry.get("Config"), entry.get("Layers") or []
    if (
        not isinstance(config_name, str)
        or not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
    ):
        raise ImageFormatError(f"{what}: manifest.json: expected Config to be a name and Layers a list of names")
    config = archive.document(clean(config_name, what))
    if config is None:
        raise ImageFormatError(f"{what}: manifest.json names the config {config_name}, which is missing")
    digest = manifest.digest_of(config)
    stated = posixpath.basename(config_name).removesuffix(".json")
    if len(stated) == 64 and digest != f"sha256:{stated}":  # noqa: PLR2004 - hex digits of SHA-256
        manifest.checked(config, f"sha256:{stated}", f"{what}: config")
    parsed = manifest.parse_config(config, digest, platform=platform, what=what)
    diff_ids = parsed["rootfs"]["diff_ids"]
    if len(diff_ids) != len(names):
        raise ImageFormatError(f"{what}: manifest.json has {len(names)} layers, the config {len(diff_ids)} diff ids")
    sources = entry.get("LayerSources")
    layers = []
    for name, diff_id in zip(names, diff_ids, strict=True):
        described = sources.get(diff_id) if isinstance(sources, dict) else None
        described = described if isinstance(described, dict) else {}
        if described.get("mediaType") is not None:
            manifest.check_layer_type(described["mediaType"], f"{what}: layer {name}")
        layers.append(LayerRef(name=archive.canonical(clean(name, what)), diff_id=diff_id))
    return Facts(manifest_digest=None, config_digest=digest, config=parsed, layers=tuple(layers), config_data=config)


def _docker_entry(entries: Any, choice: str | None, what: str) -> Mapping[str, Any]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ImageFormatError(f"{what}: manifest.json: expected a list of images")
    tags = {id(entry): _tags(entry) for entry in entries}
    picked = [entry for entry in entries if choice is None or choice in tags[id(entry)]]
    if len(picked) == 1 or (choice is not None and picked):
        return dict(picked[0])
    held = ", ".join(sorted(tag for entry in entries for tag in tags[id(entry)])) or "none with a tag"
    asked = f"has no image {choice!r}" if choice else "holds several images" if entries else "holds no image"
    raise UnknownImageError(
        f"{what}: {asked}; it has {held}" + ("; pick one with docker-archive:PATH:NAME:TAG" if entries else "")
    )


def _tags(entry: Mapping[str, Any]) -> list[str]:
    stated = entry.get("RepoTags")
    return [tag for tag in stated if isinstance(tag, str)] if isinstance(stated, list) else []


def _oci_facts(archive: _Indexed | _Streamed, choice: str | None, platform: str | None, what: str) -> Facts:
    data = archive.document("index.json")
    if data is None:
        raise ImageFormatError(f"{what}: no index.json; expected an OCI layout")

    def fetch(digest: str, kind: str) -> bytes:
        found = archive.document(_blob_name(digest))
        if found is None:
            raise ImageFormatError(f"{what}: {kind} {digest} is missing")
        return found

    chosen = manifest.choose(manifest.parse_document(data, f"{what}: index.json"), choice, what)
    found = manifest.resolve(chosen, fetch, platform=platform, what=what)
    facts = manifest.facts_of(found.digest, found.document, fetch, platform=platform, what=what)
    layers = tuple(
        LayerRef(
            name=archive.canonical(_blob_name(layer.name)),
            diff_id=layer.diff_id,
            digest=layer.digest,
            media_type=layer.media_type,
            compressed_bytes=layer.compressed_bytes,
        )
        for layer in facts.layers
    )
    return replace(facts, layers=layers, referrers=read_beside(found, fetch))


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _named_digest(name: str) -> str | None:
    """Return the digest that a blob's name promises (`blobs/sha256/…`)."""
    return "sha256:" + name.removeprefix("blobs/sha256/") if name.startswith("blobs/sha256/") else None


def _may_be_layer(name: str) -> bool:
    return name.startswith("blobs/") or ".tar" in posixpath.basename(name)


def _is_json(data: bytes) -> bool:
    try:
        manifest.parse_json(data, "")
    except ImageFormatError:
        return False
    return True


def _link_target(name: str, kind: str, target: str, what: str) -> str:
    if kind == "2" and not target.startswith("/"):
        target = posixpath.join(posixpath.dirname(name), target)
    return clean(posixpath.normpath(target), what)


def _follow(name: str, links: Mapping[str, str], what: str) -> str:
    for _ in range(_MAX_LINKS):
        if name not in links:
            return name
        name = links[name]
    raise ImageFormatError(f"{what}: {name} is a link in a loop")


def _chunks(file: Stream, what: str, compression: str) -> Iterator[bytes]:
    try:
        while data := file.read(_CHUNK):
            yield data
    except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ImageFormatError(f"{what}: damaged or truncated {compression}: {error}") from error


DOCKER = Source(
    scheme="docker-archive", open=open_docker_archive, purpose="what `docker save` wrote: PATH, or PATH:NAME:TAG"
)
OCI = Source(
    scheme="oci-archive", open=open_oci_archive, purpose="an OCI layout packed in a tar: PATH, PATH:TAG, PATH@sha256:…"
)
