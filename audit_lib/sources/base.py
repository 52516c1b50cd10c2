"""What a source of images is: where bytes come from, with nothing said about what they mean."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

# Configs and manifests are read whole. Registries refuse manifests above 4 MiB (OCI distribution-spec,
# "Pushing Manifests"); a config holds the history as well, so it gets more room.
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


class Stream(Protocol):
    """A source of bytes, read once from front to back."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes of one layer as they arrive; `name` ties them to a `LayerRef`.

    `digest` is what the bytes as stored must hash to, None where the source does not promise any.
    `stored_bytes` is their length, None where it is not known before the end.
    """

    name: str
    stream: Stream
    digest: str | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRef:
    """One layer as manifest and config name it, bottom first.

    `digest`, `compressed_bytes`: as the registry stores it, None where the source holds layers unpacked.
    """

    name: str
    diff_id: str
    digest: str | None = None
    media_type: str | None = None
    compressed_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What manifest and config state. `config` is the OCI image configuration as parsed JSON, `config_data` the bytes of it."""

    manifest_digest: str | None
    config_digest: str
    config: dict[str, Any]
    layers: tuple[LayerRef, ...]
    config_data: bytes


Remembered = Callable[[str], bytes | None]


class Image(AbstractContextManager["Image"], Protocol):
    """An image that has been found. Close it (or use `with`) when its layers were read.

    `blobs` is exhausted before `facts` is asked for: an engine sends the manifest last. `early_facts` gives them before, where
    that can be. `is_concurrent`: blobs may be asked for, and read, before those before them were read, each in a thread of its own.
    """

    reference: str
    source: str
    is_concurrent: bool

    def early_facts(self, remembered: Remembered) -> Facts | None:
        """Return what `facts` would, before any layer was sent; None where only the layers bring it.

        `remembered` returns a config by its digest as an earlier audit kept it, or None.
        """

    def blobs(self, known: Container[str] = ()) -> Iterator[Blob]:
        """Yield each layer once, in the order in which the source sends them.

        A blob is read to its end, or left, before the next is asked for. Layers whose diff id is
        in `known` need not be sent; a source that cannot tell sends them all the same.
        """

    def facts(self) -> Facts:
        """Return manifest and config, checked against each other. Raises `ImageFormatError`, `DigestError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One transport: the scheme of its references, and the function that opens a name.

    `open` takes (name, platform, reference) and raises `UnknownImageError`, `SourceError` or `ImageFormatError`.
    `purpose` is one line of help.
    """

    scheme: str
    open: Callable[[str, str | None, str], Image]
    purpose: str
