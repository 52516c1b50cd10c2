"""What scans of layers learned, kept under their diff ids: a folder, or any place that fsspec has a driver for.

A layer never changes, so it is read once. An entry is a Parquet file, one row an entry of the layer; it says by which recipe it was
made (the code that scans, the files it keeps, the limits) and is made anew where that is another now. Whoever may write to the
store decides what later audits say of a layer: share it with those only whose audits are believed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from audit_lib.errors import SourceError
from audit_lib.layer import LayerScan, Limits, NotKept

ENVIRONMENT = "AUDIT_STORE"
NONE = "none"
# What a scan finds in a layer depends on the code in these, and on nothing else here.
_SCANNING = ("account.py", "layer.py", "scan.py", "shell.py", "sieve.py", "tar.py", "formats/*.py", "evidence/*.py")
_LAYERS, _DOCUMENTS, _TABLES = "layers", "documents", "tables"
# Kinds of entries, and the folders that they lie in.
_FOLDERS = {"layer": _LAYERS, "document": _DOCUMENTS, "tables": _TABLES}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_EVIDENCE = pa.list_(pa.struct([("format", pa.string()), ("content", pa.binary()), ("problem", pa.string())]))
_DIGESTS = pa.list_(pa.struct([("algorithm", pa.string()), ("digest", pa.string())]))
_OUTDATED = "store: what another version read, or with other limits, is read anew"
_METADATA, _CHECK = b"audit_lib", b"audit_lib_sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An entry of a store: `kind` is `layer`, `document` (a config) or `tables` (those of an image).

    `digest` is a layer's diff id, a config's digest, or that of all that tables depend on. `stored_bytes` is what it takes;
    `used_utc` when it was last written, or read where the store is a local folder.
    """

    kind: str
    digest: str
    path: str
    stored_bytes: int
    used_utc: str


class Store:
    """Scans of layers by diff id, at a path or an fsspec URL (`s3://bucket/folder`); made where it is not there yet.

    Without a place: what the environment's AUDIT_STORE names, else the user's cache folder. What goes wrong with an entry is no
    error: `messages` says it, a sentence each, and the layer is read again. Several processes may share a store: an entry is
    written under a name of its own and renamed. Raises `SourceError` where there is no driver for the URL.
    """

    def __init__(self, place: str | os.PathLike[str] | None = None) -> None:
        self.place = os.fspath(place) if place is not None else default_place()
        self.messages: list[str] = []
        self._fs, self._root = open_place(self.place, "store")
        self._is_local = _is_local(self._fs)

    def load(self, diff_id: str, recipe: str, *, digests: Sequence[str] = ()) -> LayerScan | None:
        """Return what a scan by this recipe learned of a layer, None where the store does not know (any more).

        `digests`: the algorithms by which the layer's files must have been hashed. `layer_digest`, `compressed_bytes` and
        `compression` are not stated: they are facts of how an image stores the layer.
        """
        path = self._path(_LAYERS, diff_id, ".parquet")
        data = self._read(path, diff_id)
        if data is None:
            return None
        try:
            table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
            head = _head_of(table.schema, table.num_rows)
            if head["recipe"] != recipe:
                if _OUTDATED not in self.messages:  # after an update it is so of every layer
                    self.messages.append(_OUTDATED)
                return None
            if not set(digests) <= set(head["digests"]):
                return None
            scan = _scan_of(table, head)
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            self.messages.append(
                f"store: the entry of {diff_id} is damaged ({type(error).__name__}: {error}); it is made anew"
            )
            return None
        if scan.diff_id != diff_id:
            self.messages.append(f"store: the entry of {diff_id} is that of {scan.diff_id}; it is made anew")
            return None
        return scan

    def knows(self, diff_id: str, recipe: str, *, digests: Sequence[str] = ()) -> bool:
        """Tell whether an entry says that it is what `load` would return; whether it is whole shows only when it is loaded."""
        try:
            with self._fs.open(self._path(_LAYERS, diff_id, ".parquet"), "rb") as file:
                entry = pq.ParquetFile(file)
                head = _head_of(entry.schema_arrow, entry.metadata.num_rows)
            return head["recipe"] == recipe and set(digests) <= set(head["digests"]) and head["diff_id"] == diff_id
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
            return False

    def save(self, scan: LayerScan, recipe: str, *, digests: Sequence[str] = ()) -> None:
        """Keep what a scan learned. What goes wrong is said in `messages` and is no error: the audit is whole without it."""
        try:
            buffer = pa.BufferOutputStream()
            pq.write_table(
                _table_of(scan, recipe, digests),
                buffer,
                compression="zstd",
                compression_level=1,
                write_page_checksum=True,
            )
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            self.messages.append(f"store: {scan.diff_id} cannot be kept: {error}")
            return
        self._write(self._path(_LAYERS, scan.diff_id, ".parquet"), buffer.getvalue().to_pybytes())

    def document(self, digest: str) -> bytes | None:
        """Return the image configuration of this digest where it was kept (checked against the digest), else None."""
        data = self._read(self._path(_DOCUMENTS, digest, ".json"), digest) if _DIGEST.fullmatch(digest) else None
        if data is not None and f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            self.messages.append(f"store: the document {digest} is damaged; it is asked for anew")
            return None
        return data

    def keep_document(self, digest: str, data: bytes) -> None:
        """Keep an image configuration under its digest."""
        path = self._path(_DOCUMENTS, digest, ".json")
        try:
            is_kept = self._fs.size(path) == len(data)
        except OSError:
            is_kept = False
        if not is_kept:
            self._write(path, data)

    def tables(self, key: str) -> bytes | None:
        """Return the finished tables of an image as they were kept under this key, None where there are none (see `finished`)."""
        return self._read(self._path(_TABLES, key, ".tables"), f"the tables {key}")

    def use(self, diff_ids: Iterable[str]) -> None:
        """Count layers as used now, as `load` does: what was made of them was read."""
        for diff_id in diff_ids if self._is_local else ():
            with suppress(OSError):
                os.utime(self._path(_LAYERS, diff_id, ".parquet"))

    def keep_tables(self, key: str, data: bytes) -> None:
        """Keep the finished tables of an image."""
        self._write(self._path(_TABLES, key, ".tables"), data)

    def entries(self) -> list[Stored]:
        """Return all entries, longest unused first."""
        found = []
        for kind, folder in _FOLDERS.items():
            for path, stated in self._files(folder):
                digest = f"sha256:{Path(path).stem}"
                if _DIGEST.fullmatch(digest):
                    found.append(
                        Stored(
                            kind=kind,
                            digest=digest,
                            path=path,
                            stored_bytes=int(stated.get("size") or 0),
                            used_utc=_moment(stated).strftime("%Y-%m-%dT%H:%M:%SZ"),
                        )
                    )
        return sorted(found, key=lambda one: (one.used_utc, one.path))

    def prune(self, *, before_utc: str | None = None, keep_bytes: int | None = None) -> list[Stored]:
        """Delete entries not used since `before_utc` (ISO text), then the longest unused until `keep_bytes` remain; return them.

        What writers that were cut left behind for a day goes too.
        """
        entries = self.entries()
        total = sum(entry.stored_bytes for entry in entries)
        gone = []
        for entry in entries:
            is_old = before_utc is not None and entry.used_utc < before_utc
            if is_old or (keep_bytes is not None and total > keep_bytes):
                self._fs.rm_file(entry.path)
                total -= entry.stored_bytes
                gone.append(entry)
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        for folder in _FOLDERS.values():
            for path, stated in self._files(folder):
                if path.endswith(".tmp") and _moment(stated) < yesterday:
                    self._fs.rm_file(path)
        return gone

    def _path(self, folder: str, digest: str, ending: str) -> str:
        name = digest.removeprefix("sha256:")
        return f"{self._root}/{folder}/{name[:2]}/{name}{ending}"

    def _files(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            found = self._fs.find(f"{self._root}/{folder}", detail=True)
        except FileNotFoundError:
            return
        yield from sorted(found.items())

    def _read(self, path: str, digest: str) -> bytes | None:
        try:
            data: bytes = self._fs.cat_file(path)
            if self._is_local:
                os.utime(path)  # used: `prune` takes the longest unused first
        except FileNotFoundError:
            return None
        except OSError as error:
            self.messages.append(f"store: {digest} cannot be read: {error.strerror or error}")
            return None
        return data

    def _write(self, path: str, data: bytes) -> None:
        try:
            write_whole(self._fs, path, data)
        except OSError as error:
            self.messages.append(f"store {self.place} cannot be written to: {error.strerror or error}")


def open_place(place: str, what: str) -> tuple[Any, str]:
    """Return (fsspec's file system, path in it) of a folder or URL. Raises `SourceError` where there is no driver for it."""
    try:
        filesystem, root = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError, OSError) as error:
        raise SourceError(f"{what} {place}: {' '.join(str(error).split())}") from error
    return filesystem, str(root).rstrip("/")


def write_whole(filesystem: Any, path: str, data: bytes) -> None:
    """Write a file under a name of its own and rename it, so that whoever reads meets all of it or nothing.

    The name begins with a dot and ends in `.tmp`: programs that read a folder of Parquet files pass over it. Raises `OSError`.
    """
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
    filesystem.makedirs(folder, exist_ok=True)
    filesystem.pipe_file(temporary, data)
    if _is_local(filesystem):
        Path(temporary).replace(path)
    else:
        filesystem.mv(temporary, path)


def _is_local(filesystem: Any) -> bool:
    return "file" in ((filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol)


def opened_store(place: Store | str | os.PathLike[str] | None) -> Store | None:
    """Return the store at a place, the default one for None, and None where the place is "none"."""
    if isinstance(place, Store):
        return place
    where = default_place() if place is None else os.fspath(place)
    return None if where == NONE else Store(where)


def default_place() -> str:
    """Return where scans are kept when nobody says where: AUDIT_STORE, else below the user's cache folder (XDG_CACHE_HOME)."""
    return os.environ.get(ENVIRONMENT) or str(Path(platformdirs.user_cache_dir("audit-lib"), "store"))


def recipe_of(*, keep: Sequence[str], limits: Limits) -> str:
    """Return what a scan's result depends on beside the layer, as one short text: code, files kept beside the formats', limits."""
    said = json.dumps([_code(), sorted(keep), dataclasses.asdict(limits)])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


@cache
def _code() -> str:
    here = Path(__file__).parent
    sources = [path for glob in _SCANNING for path in sorted(here.glob(glob))]
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in sources)).hexdigest()


def _moment(stated: dict[str, Any]) -> dt.datetime:
    """Return when a file was written, in the words of whichever driver."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = stated.get(name)
        if isinstance(value, (int, float)):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        if isinstance(value, dt.datetime):
            return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return dt.datetime.fromtimestamp(0, dt.UTC)


def _table_of(scan: LayerScan, recipe: str, digests: Sequence[str]) -> pa.Table:
    owners = {owner: number for number, owner in enumerate(dict.fromkeys(scan.owners))}
    evidence: dict[int, list[dict[str, object]]] = {}
    for (form, row), found in scan.evidence.items():
        evidence.setdefault(row, []).append(
            {"format": form, "content": found, "problem": None}
            if isinstance(found, bytes)
            else {"format": form, "content": None, "problem": found.why}
        )
    kept = {row: data for row, data in scan.kept.items() if isinstance(data, bytes)}
    not_kept = {row: data.why for row, data in scan.kept.items() if isinstance(data, NotKept)}
    hashed = {
        row: [{"algorithm": name, "digest": text} for name, text in one.items()] for row, one in scan.digests.items()
    }
    count = len(scan.paths)
    head = {
        "recipe": recipe,
        "diff_id": scan.diff_id,
        "unpacked_bytes": scan.unpacked_bytes,
        "owners": list(owners),
        "digests": sorted(digests),
        "entries": count,
    }
    columns = {
        "path": _texts(scan.paths),
        "kind": pa.array(scan.kinds, pa.string()).dictionary_encode(),
        "file_bytes": pa.array(scan.sizes, pa.int64()),
        "owner": pa.array([owners[owner] for owner in scan.owners], pa.int32()),
        "link_target": _texts(_spread(scan.links, count)),
        "magic": pa.array(_spread(scan.magics, count), pa.string()).dictionary_encode(),
        "capability": pa.array(_spread(scan.capabilities, count), pa.binary()),
        "kept": pa.array(_spread(kept, count), pa.large_binary()),
        "not_kept": pa.array(_spread(not_kept, count), pa.string()),
        "evidence": pa.array(_spread(evidence, count), _EVIDENCE),
        "digests": pa.array(_spread(hashed, count), _DIGESTS),
    }
    text = json.dumps(head).encode()
    return pa.table(columns).replace_schema_metadata(
        {_METADATA: text, _CHECK: hashlib.sha256(text).hexdigest().encode()}
    )


def _head_of(schema: pa.Schema, row_count: int) -> dict[str, Any]:
    """Return what is said of the layer as a whole. Pages have checksums of their own; this has one too."""
    stated = schema.metadata or {}
    if hashlib.sha256(stated[_METADATA]).hexdigest().encode() != stated[_CHECK]:
        raise ValueError("its head is not as it was written")
    head: dict[str, Any] = json.loads(stated[_METADATA])
    if head["entries"] != row_count:
        raise ValueError(f"{head['entries']:,} entries were written, {row_count:,} are there")
    return head


def _scan_of(table: pa.Table, head: dict[str, Any]) -> LayerScan:
    owners = [(int(mode), int(uid), int(gid)) for mode, uid, gid in head["owners"]]
    scan = LayerScan(
        name=str(head["diff_id"]), diff_id=str(head["diff_id"]), unpacked_bytes=int(head["unpacked_bytes"])
    )
    scan.paths = _values(table["path"])
    scan.kinds = _values(table["kind"])
    scan.sizes = _values(table["file_bytes"])
    scan.owners = [owners[number] for number in _values(table["owner"])]
    scan.links = {row: _text(link) for row, link in _sparse(table["link_target"]).items()}
    scan.magics = _sparse(table["magic"])
    scan.capabilities = _sparse(table["capability"])
    scan.kept = {**_sparse(table["kept"]), **{row: NotKept(why) for row, why in _sparse(table["not_kept"]).items()}}
    scan.digests = {
        row: {one["algorithm"]: one["digest"] for one in found} for row, found in _sparse(table["digests"]).items()
    }
    scan.evidence = {
        (one["format"], row): NotKept(one["problem"]) if one["content"] is None else one["content"]
        for row, found in _sparse(table["evidence"]).items()
        for one in found
    }
    return scan


def _texts(values: Sequence[str | None]) -> pa.Array:
    """Return texts as strings; as bytes where one is not UTF-8 (tar names are bytes)."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array(
            [None if value is None else value.encode("utf-8", "surrogateescape") for value in values], pa.binary()
        )


def _spread(sparse: dict[int, Any], count: int) -> list[Any]:
    column = [None] * count
    for row, value in sparse.items():
        column[row] = value
    return column


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_binary(column.type):
        return [_text(value) for value in column.to_pylist()]
    values: list[Any] = column.to_numpy().tolist()
    return values


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _sparse(column: pa.ChunkedArray) -> dict[int, Any]:
    rows = pa.compute.indices_nonzero(column.is_valid()).to_numpy().tolist()
    values = column.drop_null()
    return dict(zip(rows, values.to_pylist(), strict=True))
