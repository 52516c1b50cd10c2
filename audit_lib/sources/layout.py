"""oci-dir: an OCI image layout as a folder (OCI image-spec, image-layout.md)."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path

from audit_lib.errors import ImageFormatError, SourceError, UnknownImageError
from audit_lib.reference import split_path
from audit_lib.sources import manifest
from audit_lib.sources.attached import read_beside
from audit_lib.sources.base import MAX_DOCUMENT_BYTES, Blob, Facts, Remembered, Source


class LayoutImage:
    """An image in an OCI layout folder; manifest and config are read and checked when it is opened."""

    source = "oci-dir"
    is_concurrent = True

    def __init__(self, name: str, platform: str | None, reference: str) -> None:
        folder, choice = split_path(name)
        if not folder.is_dir():
            raise UnknownImageError(f"{reference}: {folder} is not a folder; expected an OCI layout with index.json")
        self.reference = reference
        self._folder = folder
        self._streams: list[_LazyFile] = []
        what = str(folder)
        index = manifest.parse_document(_read(folder / "index.json", f"{what}: index.json"), f"{what}: index.json")
        chosen = manifest.choose(index, choice, what)
        found = manifest.resolve(chosen, self._fetch, platform=platform, what=what)
        facts = manifest.facts_of(found.digest, found.document, self._fetch, platform=platform, what=what)
        self._facts = replace(facts, referrers=read_beside(found, self._fetch))

    def early_facts(self, remembered: Remembered) -> Facts:
        """Return manifest and config: they are files of their own."""
        del remembered
        return self._facts

    def blobs(self, known: Container[str] = ()) -> Iterator[Blob]:
        """Yield the layers, bottom first, each digest once. Of a known one only that it is there, and how long, is looked at."""
        sent: set[str] = set()
        for layer in self._facts.layers:
            if layer.name in sent:
                continue
            sent.add(layer.name)
            path = self._path(layer.name)
            try:
                size = path.stat().st_size
                if layer.diff_id in known and layer.compressed_bytes in {None, size}:
                    continue
            except FileNotFoundError as error:
                raise ImageFormatError(f"{self._folder}: layer {layer.name} is missing") from error
            stream = _LazyFile(path)
            self._streams.append(stream)
            yield Blob(name=layer.name, stream=stream, digest=layer.digest, stored_bytes=size)

    def facts(self) -> Facts:
        """Return manifest and config."""
        return self._facts

    def __enter__(self) -> LayoutImage:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.close()

    def _path(self, digest: str) -> Path:
        return self._folder / "blobs" / digest.replace(":", "/", 1)

    def _fetch(self, digest: str, what: str) -> bytes:
        return _read(self._path(digest), f"{self._folder}: {what} {digest}")


class _LazyFile:
    """A file as a stream: opened when it is first read, closed at its end or by `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None

    def read(self, size: int, /) -> bytes:
        try:
            if self._file is None:
                self._file = self._path.open("rb", buffering=0)
            data = b"" if self._file.closed else self._file.read(size) or b""
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error
        if not data:
            self._file.close()
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageFormatError(f"{what} is missing") from error
    except OSError as error:
        raise SourceError(f"{what}: {error.strerror}") from error


SOURCE = Source(scheme="oci-dir", open=LayoutImage, purpose="an OCI layout as a folder: PATH, PATH:TAG, PATH@sha256:…")
