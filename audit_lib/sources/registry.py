"""registry: an image straight from a registry, without an engine: manifest and config first, each layer when it is read."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import replace

from audit_lib.errors import AuditError, ImageFormatError, SourceError, UnknownImageError
from audit_lib.sources import manifest
from audit_lib.sources.answers import Patience
from audit_lib.sources.base import Blob, Facts, Remembered
from audit_lib.sources.http import LITTLE_PATIENCE, PATIENCE, Client
from audit_lib.sources.names import Name, parse_name
from audit_lib.sources.referrers import find_referrers
from audit_lib.sources.repository import Repository
from audit_lib.sources.transfer import Transfer


class RegistryImage:
    """An image in a registry; its manifest is read and checked when it is opened, its config and layers when they are asked for.

    A digest in the reference is held to from end to end: index, manifest, config and layers each by the digest that led to it.
    """

    source = "registry"
    is_concurrent = True

    def __init__(self, name: str, platform: str | None, reference: str, patience: Patience) -> None:
        self.reference = reference
        parsed = parse_name(name, reference)
        self._client = Client(parsed.api_host, patience=patience)
        self._repository = Repository(parsed, self._client)
        self._transfers: list[Transfer] = []
        self._lock = threading.Lock()
        self._platform = platform
        self._facts: Facts | None = None
        self._has_referrers = False
        try:
            with _naming(reference):
                self._found = self._resolved(parsed, platform)
        except BaseException:
            self._client.close()
            raise
        self._client.patience = PATIENCE

    def early_facts(self, remembered: Remembered) -> Facts:
        """Return manifest and config, which is not fetched where it is remembered; what is attached to the image, `facts` tells."""
        with self._lock:
            return self._stated(remembered)

    def blobs(self, known: Container[str] = ()) -> Iterator[Blob]:
        """Yield the layers, bottom first, each digest once; nothing of a layer is asked for before its first byte is read."""
        sent: set[str] = set()
        with self._lock:
            layers = self._stated().layers
        for layer in layers:
            if layer.diff_id in known or layer.name in sent:
                continue
            sent.add(layer.name)
            stream = self._repository.blob(layer.name, layer.compressed_bytes)
            self._transfers.append(stream)
            yield Blob(name=layer.name, stream=stream, digest=layer.digest, stored_bytes=layer.compressed_bytes)

    def facts(self) -> Facts:
        """Return manifest and config, and what is attached to the image, which is looked up once."""
        with self._lock:
            stated = self._stated()
            if not self._has_referrers:
                try:
                    self._facts = replace(stated, referrers=find_referrers(self._repository, self._found))
                except AuditError as error:
                    self._facts = replace(stated, referrers_problem=str(error))
                self._has_referrers = True
            return self._facts or stated

    def __enter__(self) -> RegistryImage:
        return self

    def __exit__(self, *_: object) -> None:
        for transfer in self._transfers:
            transfer.close()
        self._client.close()

    def _stated(self, remembered: Remembered | None = None) -> Facts:
        """Return manifest and config, read once; the caller holds the lock."""
        if self._facts is None:

            def fetch(digest: str, _: str) -> bytes:
                data = None if remembered is None else remembered(digest)
                return self._repository.config(digest) if data is None else data

            with _naming(self.reference):
                found = self._found
                self._facts = manifest.facts_of(
                    found.digest, found.document, fetch, platform=self._platform, what=self.reference
                )
        return self._facts

    def _resolved(self, name: Name, platform: str | None) -> manifest.Resolved:
        first = self._repository.manifest(name.digest or name.tag or "latest")
        digest = name.digest or first.digest

        def fetch(wanted: str, _: str) -> bytes:
            return first.data if wanted == digest else self._repository.manifest(wanted).data

        entry = {"digest": digest, "mediaType": first.media_type}
        return manifest.resolve(entry, fetch, platform=platform, what=self.reference)


def open_registry(name: str, platform: str | None, reference: str) -> RegistryImage:
    """Return the image `HOST/NAME:TAG` or `…@sha256:…`; a name without a host is Docker Hub's."""
    return RegistryImage(name, platform, reference, PATIENCE)


def open_perhaps(name: str, platform: str | None, reference: str) -> RegistryImage:
    """Return the same, for a name that may be meant for something else: a registry that does not answer soon is given up."""
    return RegistryImage(name, platform, reference, LITTLE_PATIENCE)


def list_tags(name: str, reference: str) -> tuple[str, list[str]]:
    """Return a repository's full name and its tags, as the registry orders them."""
    parsed = parse_name(name, reference)
    if parsed.digest or name.endswith(f":{parsed.tag}"):
        raise UnknownImageError(f"{reference}: names one image; expected a repository, without a tag or a digest")
    client = Client(parsed.api_host, patience=PATIENCE)
    try:
        with _naming(reference):
            return f"{parsed.host}/{parsed.repository}", list(Repository(parsed, client).tags())
    finally:
        client.close()


@contextmanager
def _naming(reference: str) -> Iterator[None]:
    """Put the reference before what a registry's host is the beginning of."""
    try:
        yield
    except (SourceError, UnknownImageError, ImageFormatError) as error:
        kind = type(error)
        # A DigestError, which holds both digests, names the image already.
        if str(error).startswith(reference) or kind not in {SourceError, UnknownImageError, ImageFormatError}:
            raise
        raise kind(f"{reference}: {error}") from error
