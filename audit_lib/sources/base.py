"""What a source of images is: where bytes come from, with nothing said about what they mean."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
class Referrer:
    """One document that is attached to an image: an SBOM, an attestation, a signature.

    `subject_digest` is what it is about, the image's manifest or an index that led to it. `manifest_digest` holds it as the
    blob number `position`, from 1; 0 where that manifest was not opened, and `detail` says why. `digest` and `artifact_bytes` are
    the blob's, as stored. `found_by` says where it was listed.
    """

    subject_digest: str
    manifest_digest: str
    position: int
    kind: Literal["sbom", "attestation", "signature", "other"]
    found_by: Literal["referrers_api", "referrers_tag", "cosign_tag", "image_index"]
    artifact_type: str | None = None
    predicate_type: str | None = None
    media_type: str | None = None
    digest: str | None = None
    artifact_bytes: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What manifest and config state. `config` is the OCI image configuration as parsed JSON, `config_data` the bytes of it.

    `referrers` is None where the source cannot tell what is attached to the image, or failed to; `referrers_problem` says how
    it failed.
    """

    manifest_digest: str | None
    config_digest: str
    config: dict[str, Any]
    layers: tuple[LayerRef, ...]
    config_data: bytes
    referrers: tuple[Referrer, ...] | None = None
    referrers_problem: str | None = None


Remembered = Callable[[str], bytes | None]


class Image(AbstractContextManager["Image"], Protocol):
    """An image that has been found. Close it (or use `with`) when its layers were read.

    `is_concurrent`: several blobs may be asked for, and read at the same time, each in a thread of its own. Where it is False, a
    blob is read to its end, or left, before the next is asked for. `blobs` is exhausted before `facts` is asked for: an engine
    sends the manifest last. `early_facts` gives them before, where that can be.
    """

    reference: str
    source: str
    is_concurrent: bool

    def early_facts(self, remembered: Remembered) -> Facts | None:
        """Return manifest and config before any layer was sent; None where only the layers bring them.

        `remembered` returns a config by its digest as an earlier audit kept it, or None.
        """

    def blobs(self, known: Container[str] = ()) -> Iterator[Blob]:
        """Yield each layer once, in the order in which the source sends them.

        Layers whose diff id is in `known` need not be sent; a source that cannot tell sends them all the same.
        """

    def facts(self) -> Facts:
        """Return manifest and config, checked against each other, and what is attached to the image.

        Raises `ImageFormatError`, `DigestError`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One transport: the scheme of its references, and the function that opens a name.

    `open` takes (name, platform, reference) and raises `UnknownImageError`, `SourceError` or `ImageFormatError`.
    `purpose` is one line of help.
    """

    scheme: str
    open: Callable[[str, str | None, str], Image]
    purpose: str


def root_cause(error: BaseException) -> str:
    """Return the system's own word for a failed connection, which libraries wrap several times over."""
    cause: BaseException | None = error
    deepest: OSError | None = None
    while cause is not None:
        if isinstance(cause, OSError):
            deepest = cause
        cause = cause.__cause__ or cause.__context__
    if deepest is not None and (deepest.strerror or not deepest.args or isinstance(deepest.args[0], str)):
        return deepest.strerror or str(deepest) or type(deepest).__name__
    return str(error.args[0]) if error.args else type(error).__name__
