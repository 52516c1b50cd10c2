"""From a reference to the scans of an image's layers: each read in one pass, or remembered from a store."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from audit_lib import distribution
from audit_lib.errors import DigestError, ImageFormatError, LimitError, UnknownImageError
from audit_lib.evidence import EXTRACTORS
from audit_lib.formats import FORMATS
from audit_lib.layer import LayerScan, Limits, Progress
from audit_lib.sboms import places
from audit_lib.scan import scan_layer
from audit_lib.sources import open_image
from audit_lib.sources.base import Blob, Facts, Image, LayerRef
from audit_lib.store import Store, recipe_of

# Layers of one image that are read at the same time where the source can: what Docker and Podman do by themselves.
CONCURRENT = 3
_TURN_SECONDS = 0.0005
# Files that are read beside those that the formats ask for.
_KEEP = (*distribution.GLOBS, *places.GLOBS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of an image as they were read: `scans` bottom first, one for each of `facts.layers`.

    `source` is where the image was found; `remembered` are the diff ids of the layers that a store knew.
    """

    facts: Facts
    scans: tuple[LayerScan, ...]
    source: str
    remembered: frozenset[str]


def read_layers(  # noqa: PLR0913 - what is asked of an image
    reference: str,
    *,
    platform: str | None = None,
    limits: Limits | None = None,
    store: Store | None = None,
    digests: Sequence[str] = (),
    progress: Progress | None = None,
) -> Layers:
    """Return what the layers of the image that `reference` names hold, each digest checked. See `read_opened`."""
    with open_image(reference, platform=platform) as image:
        return read_opened(image, reference, limits=limits, store=store, digests=digests, progress=progress)


def read_opened(  # noqa: PLR0913 - what is asked of an image
    image: Image,
    reference: str,
    *,
    limits: Limits | None = None,
    store: Store | None = None,
    digests: Sequence[str] = (),
    progress: Progress | None = None,
) -> Layers:
    """Return what the layers of an opened image hold, each digest checked.

    `store` is asked for each layer by its diff id, and told what was read. `digests`: algorithms by which every file is hashed.
    `progress` is called with (layer, stored bytes just read), from one thread at a time. Raises `AuditError` as `audit` does.
    """
    limits = limits or Limits()
    known = Known(store, limits, digests)
    scans: dict[str, LayerScan] = {}
    with known, _turns():
        _within(limits, len(early.layers) if (early := image.early_facts(known.document)) else 0, reference)
        for scan in _scanned(image, known, limits, digests, progress):
            scans[scan.name] = scan
            known.add(scan)
            _within(limits, len(scans), reference)
        facts = image.facts()
        _within(limits, len(facts.layers), reference)
        known.keep_document(facts)
    return Layers(
        facts=facts,
        scans=tuple(_in_order(facts, scans, known, reference)),
        source=image.source,
        remembered=frozenset(known.loaded),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What an image says of itself before any of its layers was read; `facts` is None where only these bring it.

    `is_separable`: a layer can be had without having the others sent (`read_layer`). `unknown`: diff ids of the layers that the
    store does not know.
    """

    facts: Facts | None
    is_separable: bool
    unknown: frozenset[str]


def read_outline(
    reference: str,
    *,
    platform: str | None = None,
    limits: Limits | None = None,
    store: Store,
    digests: Sequence[str] = (),
) -> Outline:
    """Return what can be told of an image without reading a layer; its config is kept. Raises `AuditError` as `audit` does."""
    recipe = recipe_of(keep=_KEEP, limits=limits or Limits())
    with open_image(reference, platform=platform) as source:
        facts = source.early_facts(store.document)
        is_separable = source.is_concurrent
    if facts is None:
        return Outline(facts=None, is_separable=False, unknown=frozenset())
    store.keep_document(facts.config_digest, facts.config_data)
    diff_ids = {layer.diff_id for layer in facts.layers}
    unknown = frozenset(one for one in diff_ids if not store.knows(one, recipe, digests=digests))
    return Outline(facts=facts, is_separable=is_separable, unknown=unknown)


def read_layer(  # noqa: PLR0913 - what is asked of an image
    reference: str,
    diff_id: str,
    *,
    platform: str | None = None,
    limits: Limits | None = None,
    store: Store,
    digests: Sequence[str] = (),
) -> int:
    """Read one layer of an image into the store, its digests checked, and return how many stored bytes were read for it.

    0 where the store knows it by now. Raises `AuditError` as `audit` does, `UnknownImageError` where the image has no such layer.
    """
    limits = limits or Limits()
    recipe = recipe_of(keep=_KEEP, limits=limits)
    if store.knows(diff_id, recipe, digests=digests):
        return 0
    with open_image(reference, platform=platform) as source:
        facts = source.early_facts(store.document)
        layers = facts.layers if facts else ()
        number = next((number for number, layer in enumerate(layers, start=1) if layer.diff_id == diff_id), None)
        if number is None:
            raise UnknownImageError(f"{reference}: has no layer {diff_id} any more")
        layer = layers[number - 1]
        for blob in source.blobs(_AllBut(diff_id)):
            if blob.name == layer.name:
                scan = _scan(blob, limits, digests, None)
                _check(layer, scan, f"{reference}: layer {number} of {len(layers)}")
                store.save(scan, recipe, digests=digests)
                return scan.compressed_bytes or 0
    raise ImageFormatError(f"{reference}: {layer.name} is missing")


class _AllBut:
    """Holds every layer but one."""

    def __init__(self, diff_id: str) -> None:
        self._diff_id = diff_id

    def __contains__(self, diff_id: object) -> bool:
        return diff_id != self._diff_id


class Known:
    """The layers that a store knows; each is loaded when it is asked for, so that what is damaged there is not known.

    Used as a context: what is still being written when it ends is waited for.
    """

    def __init__(self, store: Store | None, limits: Limits, digests: Sequence[str] = ()) -> None:
        self.loaded: dict[str, LayerScan] = {}
        self._store, self._digests = store, digests
        self._recipe = recipe_of(keep=_KEEP, limits=limits) if store else ""
        self._unknown: set[str] = set()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="audit-store") if store else None
        self._writes: list[Future[None]] = []

    def __contains__(self, diff_id: object) -> bool:
        if self._store is None or not isinstance(diff_id, str) or diff_id in self._unknown:
            return False
        if diff_id not in self.loaded:
            scan = self._store.load(diff_id, self._recipe, digests=self._digests)
            if scan is None:
                self._unknown.add(diff_id)
                return False
            self.loaded[diff_id] = scan
        return True

    def __enter__(self) -> Known:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.shutdown()
        for write in self._writes:
            write.result()  # what the store did not take for a fault of its own is one of ours

    def add(self, scan: LayerScan) -> None:
        """Have a layer that was read kept, beside what goes on here."""
        if self._writer is not None and self._store is not None:
            self._writes.append(self._writer.submit(self._store.save, scan, self._recipe, digests=self._digests))

    def document(self, digest: str) -> bytes | None:
        """Return an image configuration by its digest, None where the store does not have it."""
        return None if self._store is None else self._store.document(digest)

    def keep_document(self, facts: Facts) -> None:
        """Have an image's configuration kept."""
        if self._store is not None:
            self._store.keep_document(facts.config_digest, facts.config_data)


def _within(limits: Limits, layers: int, reference: str) -> None:
    """Raise where an image has more layers than any engine would run: each costs a look at all below it, however small it is."""
    if layers > limits.layers:
        raise LimitError(f"{reference}: more than {limits.layers:,} layers (limit `layers`)")


@contextmanager
def _turns() -> Iterator[None]:
    """Have threads of Python take turns more often while layers are read.

    A chunk is inflated, or hashed, in less than the 5 ms that Python lets a thread go on before another may ask it to stop: each
    chunk would wait for the walk longer than it takes.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _StoppedError(Exception):
    """Another layer could not be read, so this one need not be."""


def _scanned(
    source: Image, known: Known, limits: Limits, digests: Sequence[str], progress: Progress | None
) -> Iterator[LayerScan]:
    turn, stopped = threading.Lock(), threading.Event()

    def scan(blob: Blob) -> LayerScan:
        def report(count: int) -> None:
            if stopped.is_set():
                raise _StoppedError
            with turn:
                if progress is not None:
                    progress(blob.name, count)

        return _scan(blob, limits, digests, report)

    if not source.is_concurrent:
        yield from map(scan, source.blobs(known))
        return
    running: list[Future[LayerScan]] = []
    with ThreadPoolExecutor(CONCURRENT, thread_name_prefix="audit-layer") as pool:
        try:
            running.extend(pool.submit(scan, blob) for blob in source.blobs(known))
            for future in running:
                yield future.result()
        except BaseException:
            stopped.set()
            for future in running:
                future.cancel()
            raise


def _scan(blob: Blob, limits: Limits, digests: Sequence[str], progress: Callable[[int], object] | None) -> LayerScan:
    return scan_layer(
        blob,
        formats=FORMATS,
        extractors=EXTRACTORS,
        keep=_KEEP,
        digests=digests,
        limits=limits,
        progress=progress,
    )


def _in_order(facts: Facts, scans: dict[str, LayerScan], known: Known, reference: str) -> Iterator[LayerScan]:
    """Yield the scans bottom first, each that was read checked against what manifest and config promise."""
    for number, layer in enumerate(facts.layers, start=1):
        where = f"{reference}: layer {number} of {len(facts.layers)}"
        scan = scans.get(layer.name)
        if scan is None and layer.diff_id in known:
            yield known.loaded[layer.diff_id]
            continue
        if scan is None:
            raise ImageFormatError(f"{where}: {layer.name} is missing")
        _check(layer, scan, where)
        yield scan


def _check(layer: LayerRef, scan: LayerScan, where: str) -> None:
    """Raise unless a layer that was read is what manifest and config promise."""
    if layer.digest is not None and layer.digest != scan.layer_digest:
        raise DigestError(f"{where}: digest", expected=layer.digest, found=str(scan.layer_digest))
    if layer.diff_id != scan.diff_id:
        raise DigestError(f"{where}: diff id", expected=layer.diff_id, found=scan.diff_id)
    if layer.compressed_bytes not in {None, scan.compressed_bytes}:
        raise ImageFormatError(
            f"{where}: the manifest says {layer.compressed_bytes:,} bytes, there are {scan.compressed_bytes:,}"
        )
