"""The finished tables of an image in a store: what came of its layers once is not made of them again.

They stand under a key of all that they depend on: config, layers, label, limits, this library's own code and the libraries whose
word is in them. What is attached to an image and what is judged of it may change while the image does not; neither is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from audit_lib.layer import Limits
from audit_lib.sources.base import Facts, Image
from audit_lib.store import Store

# Data files that tables are made with lie beside the code.
_OWN = ("*.py", "*.csv", "*.yml")
_OTHERS = ("license-expression", "packageurl-python", "pyarrow", "pandas")
_TYPES: Mapping[pa.DataType, Any] = {
    pa.string(): pd.StringDtype("pyarrow"),
    pa.large_string(): pd.StringDtype("pyarrow"),
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What an image's layers and its config tell: `tables` by their attribute's name in `Audit`, and the rest of an `Audit`."""

    tables: Mapping[str, pd.DataFrame]
    config: Mapping[str, Any]
    notes: tuple[str, ...]
    unknown: frozenset[str]


class Finished:
    """Finds and keeps the tables of one image, asked for by `label`, `limits` and `digests`, in a store (None: nowhere)."""

    def __init__(self, store: Store | None, label: str, limits: Limits, digests: Sequence[str]) -> None:
        self._store = store
        self._asked = {"label": label, "limits": asdict(limits), "digests": sorted(digests)}

    def find(self, image: Image) -> tuple[Facts, Assembled] | None:
        """Return the facts and tables of an opened image whose tables were finished before; None where they were not.

        The source is asked for no layer then: it says what it says of an image all layers of which are known.
        """
        early = None if self._store is None else image.early_facts(self._store.document)
        if self._store is None or early is None:
            return None
        key = self._key(early, image.source)
        data = self._store.tables(key)
        if data is None:
            return None
        try:
            assembled = _unpacked(data)
        except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
            self._store.messages.append(f"store: the tables {key} are damaged ({error}); they are made anew")
            return None
        if next(image.blobs(_Everything()), None) is not None:
            return None  # a layer that the source cannot pass over is to be looked at
        self._store.use(layer.diff_id for layer in early.layers)
        return image.facts(), assembled

    def keep(self, facts: Facts, source: str, assembled: Assembled) -> None:
        """Keep what was assembled."""
        if self._store is not None:
            self._store.keep_tables(self._key(facts, source), _packed(assembled))

    def _key(self, facts: Facts, source: str) -> str:
        layers = [(one.diff_id, one.digest, one.media_type, one.compressed_bytes) for one in facts.layers]
        said = [_code(), self._asked, source, facts.manifest_digest, facts.config_digest, layers]
        return f"sha256:{hashlib.sha256(json.dumps(said).encode()).hexdigest()}"


class _Everything:
    """Holds every layer."""

    def __contains__(self, diff_id: object) -> bool:
        return True


@cache
def _code() -> list[str]:
    here = Path(__file__).parent
    files = sorted(path for glob in _OWN for path in here.rglob(glob))
    own = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()
    return [own, *(metadata.version(name) for name in _OTHERS)]


def _packed(assembled: Assembled) -> bytes:
    """Return a line of JSON that says what follows, and the tables as Arrow streams (Arrow Columnar Format, IPC)."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    parts = []
    for frame in assembled.tables.values():
        table = pa.Table.from_pandas(frame, preserve_index=False)
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, table.schema, options=options) as writer:
            writer.write_table(table)
        parts.append(buffer.getvalue().to_pybytes())
    content = b"".join(parts)
    head = {
        "tables": dict(zip(assembled.tables, map(len, parts), strict=True)),
        "config": assembled.config,
        "notes": assembled.notes,
        "unknown": sorted(assembled.unknown),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(head).encode()
    return b"".join([hashlib.sha256(text).hexdigest().encode(), text, b"\n", content])


def _unpacked(data: bytes) -> Assembled:
    stated, text, at = data[:64], data[64 : data.find(b"\n")], data.find(b"\n") + 1
    if not at or hashlib.sha256(text).hexdigest().encode() != stated:
        raise ValueError("their head is not as it was written")
    head = json.loads(text)
    content = memoryview(data)[at:]
    if hashlib.sha256(content).hexdigest() != head["sha256"]:
        raise ValueError("they are not as they were written")
    tables: dict[str, pd.DataFrame] = {}
    at = 0
    for name, length in head["tables"].items():
        table = pa.ipc.open_stream(content[at : at + length]).read_all()
        tables[name] = table.to_pandas(types_mapper=_TYPES.get)
        at += length
    return Assembled(
        tables=tables, config=head["config"], notes=tuple(head["notes"]), unknown=frozenset(head["unknown"])
    )
