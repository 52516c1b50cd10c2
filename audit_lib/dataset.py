"""Tables of many images in one place: a Parquet dataset a table, one file an image, in folders named for the image's digest.

`PLACE/packages/image_digest=sha256%3A…/NAME.parquet` is what pandas, pyarrow, DuckDB and Spark call hive partitioning: they read
`PLACE/packages` as one table, with `image_digest` as a column more. All files of a table have the same columns and types.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from audit_lib.errors import SourceError
from audit_lib.store import open_place, write_whole
from audit_lib.wanted import Wanted

PARTITION = "image_digest"
FAILED = "failed"
# What Hive, and all who read its folders, call a missing value.
_MISSING = "__HIVE_DEFAULT_PARTITION__"
_PART = re.compile(rf"{PARTITION}=[^/]+/([0-9a-f]{{16}})-[0-9a-z]+\.parquet")
_FOLDERS = ds.partitioning(pa.schema([(PARTITION, pa.large_string())]), flavor="hive")


def part_of(wanted: Wanted, digest: str | None, made_by: str) -> str:
    """Return the name of an image's file below each table's folder: by its digest, by what was asked for, by what made it."""
    folder = _MISSING if digest is None else quote(digest, safe="")
    return f"{PARTITION}={folder}/{key_of(wanted)}-{made_by}.parquet"


def key_of(wanted: Wanted) -> str:
    """Return what the names of an image's files begin with, whatever its digest is and whatever made them."""
    stated = f"{wanted.reference}\0{wanted.platform or ''}"
    return hashlib.sha256(stated.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Dataset:
    """A folder, or any place that fsspec has a driver for, with one dataset a table. Raises `SourceError` where that cannot be."""

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = os.fspath(place)
        self._fs, self._root = open_place(self.place, "output")
        if self._fs.isfile(self._root):
            raise SourceError(f"output {self.place}: expected a folder, found a file")

    def parts(self, table: str) -> dict[str, list[str]]:
        """Return the names of a table's files by the image's key (see `key_of`); several where a run was cut."""
        folder = f"{self._root}/{table}/"
        try:
            found = sorted(str(path).removeprefix(folder) for path in self._fs.find(folder))
        except FileNotFoundError:
            found = []
        names: dict[str, list[str]] = {}
        for name in found:
            match = _PART.fullmatch(name)
            if match:
                names.setdefault(match[1], []).append(name)
        return names

    def write(self, table: str, part: str, frame: pd.DataFrame) -> None:
        """Write one image's rows of a table; whoever reads meets all of them or none. Raises `SourceError`."""
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer, compression="zstd")
        try:
            write_whole(self._fs, f"{self._root}/{table}/{part}", buffer.getvalue().to_pybytes())
        except OSError as error:
            raise SourceError(f"output {self.place} cannot be written to: {error.strerror or error}") from error

    def remove(self, table: str, part: str) -> None:
        """Remove one image's rows of a table, if there are any, and the folder where it is empty then."""
        path = f"{self._root}/{table}/{part}"
        try:
            self._fs.rm_file(path)
            self._fs.rmdir(path.rpartition("/")[0])
        except OSError:
            return

    def read(self, table: str, parts: Iterable[str], *, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
        """Return the rows of these files in the order of their names as given, None where no file is given."""
        paths = [f"{self._root}/{table}/{part}" for part in parts]
        if not paths:
            return None
        try:
            found = ds.dataset(
                paths,
                filesystem=self._fs,
                format="parquet",
                partitioning=_FOLDERS,
                partition_base_dir=f"{self._root}/{table}",
            )
            frame: pd.DataFrame = found.to_table(columns=list(columns) if columns else None).to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"output {self.place}: {table} cannot be read: {' '.join(str(error).split())}") from error
        return frame.astype({PARTITION: "string"}) if PARTITION in frame.columns else frame
