"""One pass over one layer: what it holds, what it is called by digest, and the few files worth keeping.

Bytes come in from the source, are hashed, inflated, hashed again and walked header by header.
Inflating and hashing run in threads beside the walk (both release the interpreter's lock);
nothing is written to disk and no layer is ever in memory whole.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import IO, cast

import zstandard
from isal import igzip_lib

from audit_lib.errors import AuditError, DigestError, ImageFormatError, LimitError
from audit_lib.formats.base import Extractor, Format
from audit_lib.formats.globs import Router
from audit_lib.layer import LayerScan, Limits, NotKept
from audit_lib.sieve import Sieve
from audit_lib.sources.base import Blob, Stream
from audit_lib.tar import Member, Window, clean, members

CAPABILITY = "SCHILY.xattr.security.capability"
_CHUNK = 1024 * 1024
_QUEUED = 4
# zstd says in its frame header how much of the past it looks back on: what the decoder has to hold (RFC 8878, 3.1.1.1.2).
_MAX_ZSTD_WINDOW = 128 * 1024 * 1024
_LOOKED_AT = 1024  # bytes at the beginning of a file that tell a text from what is none
_MAGIC_BYTES = 4
# No format is called so: who asks for the files that are kept whole.
_KEEP = ""
_ELF, _SCRIPT, _ARCHIVE = b"\x7fELF", b"#!", b"!<ar"


def scan_layer(  # noqa: PLR0913 - what is asked of a layer
    blob: Blob,
    *,
    formats: Sequence[Format],
    limits: Limits,
    extractors: Sequence[Extractor] = (),
    keep: Sequence[str] = (),
    digests: Sequence[str] = (),
    progress: Callable[[int], object] | None = None,
) -> LayerScan:
    """Read a layer to its end and return what it holds, its diff id and its digest.

    `keep` are globs of files to keep beside those that the formats ask for, `extractors` what takes evidence out of files
    beside the formats. `digests` are the algorithms, as hashlib
    names them, by which every file is hashed. `progress` is called with the number of stored
    bytes each time some were read. Raises `ImageFormatError` for what is not a layer, `DigestError` where the bytes are not
    what `blob.digest` promises, `LimitError` past a limit.
    """
    scan = LayerScan(name=blob.name)
    what = f"layer {blob.name}"
    with _Pipeline(blob.stream, what, limits, progress) as pipeline, ExitStack() as stack:
        window = Window(pipeline.chunks())
        sieves = {form.name: stack.enter_context(_sieve(form)) for form in extractors if form.extract_sieve}
        _walk(scan, window, what, formats, extractors, keep, digests, limits, sieves)
        while window.skip(_CHUNK):
            pass
        for name, sieve in sieves.items():
            for row, found in sieve.found():
                _note(scan, name, row, found, limits)
    scan.compression = pipeline.compression
    scan.compressed_bytes, scan.unpacked_bytes = pipeline.stored_bytes, pipeline.unpacked_bytes
    scan.diff_id = f"sha256:{pipeline.unpacked_hash.hexdigest()}"
    scan.layer_digest = f"sha256:{pipeline.stored_hash.hexdigest()}" if scan.compression else scan.diff_id
    if blob.digest is not None and blob.digest != scan.layer_digest:
        raise DigestError(what, expected=blob.digest, found=scan.layer_digest)
    return scan


def _walk(  # noqa: C901, PLR0912, PLR0913, PLR0915 - the one loop of the scan: a call a member would cost more than it clears up
    scan: LayerScan,
    window: Window,
    what: str,
    formats: Sequence[Format],
    others: Sequence[Extractor],
    globs: Sequence[str],
    digests: Sequence[str],
    limits: Limits,
    sieves: Mapping[str, Sieve[bytes | NotKept | None]],
) -> None:
    extractors: list[Format | Extractor] = [*(form for form in formats if form.extract), *others]
    kept_globs = [*globs, *(glob for form in formats for glob in form.globs)]
    router = Router({_KEEP: kept_globs, **{form.name: form.extract_globs for form in extractors}})
    asking, exact = router.askers, frozenset(kept_globs)
    by_magic: dict[bytes, set[str]] = {}
    for form in extractors:
        if form.extract_magic:
            by_magic.setdefault(form.extract_magic[:_MAGIC_BYTES], set()).add(form.name)
    lengths = sorted({len(magic) for magic in by_magic})
    paths, kinds, sizes, owners = scan.paths, scan.kinds, scan.sizes, scan.owners
    kept_bytes = 0
    searched_bytes = limits.searched_bytes if sieves else -1
    for member in members(window, what):
        row = len(paths)
        if row >= limits.entries:
            raise LimitError(f"{what}: more than {limits.entries:,} entries (limit `entries`)")
        path = clean(member.name, what)
        if len(path) > limits.path_bytes:
            raise LimitError(f"{what}: a path of {len(path):,} characters, limit {limits.path_bytes:,} (`path_bytes`)")
        paths.append(path)
        kinds.append(member.kind)
        sizes.append(member.size)
        owners.append(member.owner)
        if member.kind != "0":
            if member.kind in "12":
                scan.links[row] = member.link
            if path in exact or (member.kind != "5" and _KEEP in asking(path)):
                # A database that is a link or a folder is there, whatever reading it will say.
                scan.kept[row] = NotKept("not a file")
            continue
        if member.pax is not None and CAPABILITY in member.pax:
            scan.capabilities[row] = member.pax[CAPABILITY].encode("utf-8", "surrogateescape")
        if not member.stored:
            if _KEEP in asking(path):
                scan.kept[row] = b""
            continue
        head = window.peek(_MAGIC_BYTES)
        if head == _ELF:
            scan.magics[row] = "elf"
        elif head[:2] == _SCRIPT:
            scan.magics[row] = "script"
        elif head == _ARCHIVE:
            scan.magics[row] = "archive"
        wanted = asking(path)
        for length in lengths:
            if head[:length] in by_magic:
                wanted = wanted.union(by_magic[head[:length]])
        is_text = (
            member.stored <= searched_bytes
            and head != _ELF
            and b"\0" not in window.peek(min(member.stored, _LOOKED_AT))
        )
        if not wanted and not is_text:
            if digests and not member.is_sparse:
                scan.digests[row] = _hashed(_pieces(window, member.stored), digests)
            continue
        is_kept = _KEEP in wanted
        examined_bytes = limits.examined_bytes * (len(wanted) > is_kept)
        limit = max(limits.kept_file_bytes * is_kept, examined_bytes, searched_bytes * is_text)
        content = _contents(window, member, limit, what)
        if digests and not member.is_sparse:
            pieces = [content] if isinstance(content, bytes) else _pieces(window, member.stored)
            scan.digests[row] = _hashed(pieces, digests)
        for form in (form for form in extractors if form.name in wanted):
            found = content if isinstance(content, NotKept) else _extract(form, path, content)
            _note(scan, form.name, row, found, limits)
        if is_text and isinstance(content, bytes):
            for sieve in sieves.values():
                sieve.add(row, path, content)
        if is_kept:
            if isinstance(content, bytes) and kept_bytes + len(content) > limits.kept_bytes:
                content = NotKept(
                    f"the layer's database files are larger than {limits.kept_bytes:,} bytes together (limit `kept_bytes`)"
                )
            elif isinstance(content, bytes) and len(content) > limits.kept_file_bytes:
                content = NotKept(f"{len(content):,} bytes, limit {limits.kept_file_bytes:,} (`kept_file_bytes`)")
            scan.kept[row] = content
            kept_bytes += len(content) if isinstance(content, bytes) else 0


def _hashed(pieces: Iterable[bytes], algorithms: Sequence[str]) -> dict[str, str]:
    hashes = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    for piece in pieces:
        for one in hashes:
            one.update(piece)
    return {name: one.hexdigest() for name, one in zip(algorithms, hashes, strict=True)}


def _pieces(window: Window, count: int) -> Iterator[bytes]:
    while count and (piece := window.read(min(count, _CHUNK))):
        count -= len(piece)
        yield piece


def _contents(window: Window, member: Member, limit: int, what: str) -> bytes | NotKept:
    if member.stored > limit:
        return NotKept(f"{member.size:,} bytes, limit {limit:,}")
    if member.is_sparse:
        return NotKept("stored as a sparse file, which is not put together here")
    content = window.take(member.stored)
    if len(content) < member.stored:
        raise ImageFormatError(
            f"{what}: truncated: {member.name!r} claims {member.stored:,} bytes, only {len(content):,} follow"
        )
    return content


def _extract(form: Format | Extractor, path: str, content: bytes) -> bytes | NotKept | None:
    assert form.extract is not None  # noqa: S101 - chosen by that above; mypy cannot see it
    try:
        return form.extract(path, content)
    except AuditError as error:
        return NotKept(str(error))


def _note(scan: LayerScan, name: str, row: int, found: bytes | NotKept | None, limits: Limits) -> None:
    """Keep what was taken out of a file, unless all of that becomes too large."""
    if found is None:
        return
    scan.evidence_bytes += len(found) if isinstance(found, bytes) else 0
    if scan.evidence_bytes > limits.kept_bytes:
        why = f"what was taken out of the layer's files is larger than {limits.kept_bytes:,} bytes (limit `kept_bytes`)"
        found = NotKept(why)
    scan.evidence[name, row] = found


def _sieve(form: Extractor) -> Sieve[bytes | NotKept | None]:
    assert form.extract_sieve is not None  # noqa: S101 - chosen by that above; mypy cannot see it
    return Sieve(form.extract_sieve, partial(_extract, form))


class _Pipeline:
    """Reading, hashing and inflating of one blob, in threads beside the walk. Leaving the block ends them."""

    def __init__(self, stream: Stream, what: str, limits: Limits, progress: Callable[[int], object] | None) -> None:
        self.compression = ""
        self.stored_bytes = self.unpacked_bytes = 0
        self.stored_hash, self.unpacked_hash = hashlib.sha256(), hashlib.sha256()
        self._stream, self._what, self._limits, self._progress = stream, what, limits, progress
        self._inflated: queue.Queue[bytes | BaseException] = queue.Queue(_QUEUED)
        self._to_hash: queue.Queue[bytes] = queue.Queue(_QUEUED)
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._inflate, name="audit-inflate", daemon=True),
            threading.Thread(target=self._hash, name="audit-hash", daemon=True),
        ]

    def __enter__(self) -> _Pipeline:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        while self._threads[0].is_alive():
            try:
                self._inflated.get(timeout=0.05)
            except queue.Empty:
                continue
        self._to_hash.put(b"")
        for thread in self._threads:
            thread.join()

    def chunks(self) -> Iterator[bytes]:
        """Yield the unpacked bytes; raise here what went wrong in the threads."""
        while chunk := self._inflated.get():
            if isinstance(chunk, BaseException):
                raise chunk
            self.unpacked_bytes += len(chunk)
            if self.unpacked_bytes > self._limits.unpacked_bytes:
                raise LimitError(
                    f"{self._what}: more than {self._limits.unpacked_bytes:,} bytes unpacked (limit `unpacked_bytes`)"
                )
            self._to_hash.put(chunk)
            yield chunk

    def _inflate(self) -> None:
        try:
            for chunk in self._unpacked():
                if self._stopped:
                    return
                self._inflated.put(chunk)
            self._inflated.put(b"")
        except BaseException as error:  # noqa: BLE001 - handed over to the walk, which raises it
            self._inflated.put(error)

    def _hash(self) -> None:
        while chunk := self._to_hash.get():
            self.unpacked_hash.update(chunk)

    def _unpacked(self) -> Iterator[bytes]:
        raw = self._raw()
        first = next(raw, b"")
        while first and len(first) < 4 and (more := next(raw, b"")):  # noqa: PLR2004 - the longest magic number
            first += more
        if first.startswith(b"\x1f\x8b"):
            self.compression, inflated = "gzip", self._gunzip(first, raw)
        elif first.startswith(b"\x28\xb5\x2f\xfd"):
            self.compression, inflated = "zstd", self._unzstd(first, raw)
        else:
            inflated = _chain(first, raw)
        if self.compression:  # what is stored unpacked has one digest, which the other thread makes
            self.stored_hash.update(first)
        length, limits = 0, self._limits
        for chunk in inflated:
            length += len(chunk)
            if length > limits.inflation_from_bytes and length > limits.inflation * self.stored_bytes:
                raise LimitError(
                    f"{self._what}: {self.stored_bytes:,} bytes became {length:,} and more: "
                    f"over {limits.inflation}-fold (limit `inflation`)"
                )
            yield chunk

    def _raw(self) -> Iterator[bytes]:
        while data := self._stream.read(_CHUNK):
            self.stored_bytes += len(data)
            if self.compression:
                self.stored_hash.update(data)
            if self._progress is not None:
                self._progress(len(data))
            yield data

    def _gunzip(self, first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
        """Inflate gzip, further members included (pigz, estargz), zero bytes after the last one passed over."""
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        data: bytes = first
        try:
            while True:
                if inflater.eof:
                    data = (inflater.unused_data or next(raw, b"")).lstrip(b"\0")
                    while not data:
                        if not (data := next(raw, b"")):
                            return
                        data = data.lstrip(b"\0")
                    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
                elif inflater.needs_input and not data and not (data := next(raw, b"")):
                    raise ImageFormatError(
                        f"{self._what}: truncated gzip: the stream ends after {self.stored_bytes:,} bytes"
                    )
                chunk = inflater.decompress(data, _CHUNK)
                data = b""
                if chunk:
                    yield chunk
        except igzip_lib.IsalError as error:  # type: ignore[misc] # the stub says less than the module
            raise ImageFormatError(f"{self._what}: damaged gzip near byte {self.stored_bytes:,}: {error}") from error

    def _unzstd(self, first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
        decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW)
        joined = _Joined(first, raw)
        reader = decoder.stream_reader(cast("IO[bytes]", joined), read_size=_CHUNK, read_across_frames=True)
        try:
            while chunk := reader.read(_CHUNK):
                yield chunk
        except zstandard.ZstdError as error:
            raise ImageFormatError(
                f"{self._what}: damaged or truncated zstd near byte {self.stored_bytes:,}: {error}"
            ) from error


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class _Joined:
    """An iterator of chunks as something to `read` from."""

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._window = Window(_chain(first, rest))

    def read(self, count: int = -1, /) -> bytes:
        return self._window.read(count if count > 0 else _CHUNK)
