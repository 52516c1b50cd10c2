"""Advisories out of files: OSV records, CISA KEV and EPSS in JSON, JSON lines, CSV, zip and gzip, from whoever sends them.

Nothing is unpacked to disk. What cannot be used is told, a sentence each with its file and record, and the rest is yielded.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from audit_lib.errors import AuditError
from audit_lib.vulnerabilities import lists
from audit_lib.vulnerabilities.lists import CveList

_ENDINGS = (".json", ".jsonl", ".ndjson", ".zip", ".gz", ".csv")
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_EMPTY_ZIP = b"PK\x05\x06"
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What files of advisories may ask for: bytes of one record, of one JSON document or list, of all together unpacked.

    And how many times its packed length (from `inflation_from_bytes` on) a file may become, and the members of an archive.
    """

    record_bytes: int = 16 * 1024 * 1024
    document_bytes: int = 64 * 1024 * 1024
    total_bytes: int = 32 * 1024 * 1024 * 1024
    inflation: int = 200
    inflation_from_bytes: int = 1024 * 1024
    members: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a file holds: an OSV record (not looked into yet), a list of CVEs, or what is wrong at this place."""

    place: str
    record: Any = None
    kev: CveList | None = None
    epss: CveList | None = None
    problem: str | None = None


class _RefusedError(ValueError):
    """A file is not read on; the message says why."""


def read_path(path: Path, limits: Limits) -> Iterator[Item]:
    """Yield what a file holds, or the files of a folder (those whose names end as such files do, links out of it left out).

    Raises `AuditError` where there is nothing at that path.
    """
    if not path.exists():
        raise AuditError(f"{path}: expected a file or a folder with advisories, found nothing")
    budget = _Budget(limits)
    if not path.is_dir():
        yield from _file(path, str(path), budget)
        return
    for file in _files_in(path):
        if not file.resolve().is_relative_to(path.resolve()):
            yield Item(str(file), problem="a link that leads out of the folder; left out")
        else:
            yield from _file(file, str(file), budget)


def read_stream(stream: io.BufferedReader, place: str, limits: Limits) -> Iterator[Item]:
    """Yield what an open file holds; `place` names it."""
    yield from _content(stream, place, _Budget(limits), os.fstat(stream.fileno()).st_size)


class _Budget:
    """How many unpacked bytes may still come."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.left = limits, limits.total_bytes

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _RefusedError(f"more than {self.limits.total_bytes:,} bytes unpacked")


class _Unpacked(io.RawIOBase):
    """A packed stream as it is unpacked, held to the limits."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, packed_bytes: int, budget: _Budget) -> None:
        self._stream, self._packed, self._budget, self._got = stream, packed_bytes, budget, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), _CHUNK))
        self._got += len(data)
        self._budget.take(len(data))
        limits = self._budget.limits
        if self._got > max(limits.inflation_from_bytes, limits.inflation * self._packed):
            raise _RefusedError(
                f"unpacks to more than {limits.inflation} times its {self._packed:,} bytes; expected advisories, which do not"
            )
        buffer[: len(data)] = data
        return len(data)


def _files_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names) if name.lower().endswith(_ENDINGS))


def _file(path: Path, place: str, budget: _Budget) -> Iterator[Item]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            yield Item(place, problem="expected a file, found something else (a pipe, a device)")
            return
        with path.open("rb") as stream:
            yield from _content(stream, place, budget, path.stat().st_size)
    except OSError as error:
        yield Item(place, problem=f"cannot be read: {error.strerror or error}")


def _content(stream: io.BufferedReader, place: str, budget: _Budget, size: int) -> Iterator[Item]:
    head = stream.read(4)
    stream.seek(0)
    if head in {_ZIP, _EMPTY_ZIP}:
        yield from _members(stream, place, budget)
    elif head[:2] == _GZIP:
        with gzip.GzipFile(fileobj=stream) as packed:
            yield from _text(_Unpacked(packed, size, budget), place, budget)
    else:
        yield from _text(stream, place, budget)


def _members(stream: IO[bytes], place: str, budget: _Budget) -> Iterator[Item]:
    try:
        archive = zipfile.ZipFile(stream)
        members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        yield Item(place, problem=f"expected a whole zip archive: {error}")
        return
    if len(members) > budget.limits.members:
        yield Item(place, problem=f"more than {budget.limits.members:,} members; left out")
        return
    for member in members:
        inside = f"{place}!{member.filename}"
        if member.is_dir():
            continue
        if member.filename.startswith(("/", "\\")) or ".." in member.filename.replace("\\", "/").split("/"):
            yield Item(inside, problem="its path climbs out of the archive; left out")
            continue
        try:
            with archive.open(member) as packed:
                yield from _text(_Unpacked(packed, member.compress_size, budget), inside, budget)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError, NotImplementedError) as error:
            yield Item(inside, problem=f"cannot be unpacked: {error}")


def _text(stream: io.BufferedReader | io.RawIOBase, place: str, budget: _Budget) -> Iterator[Item]:
    """Yield what a text holds: JSON lines, one JSON document, or EPSS's CSV."""
    lines = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream, _CHUNK)
    number = 0
    try:
        first = _line(lines, budget.limits.record_bytes, 1)
        if lists.is_epss(first.decode("utf-8", "replace").strip()):
            yield _epss(first, lines, place, budget.limits)
            return
        document = _parsed(first)
        if document is _BROKEN:  # a document of several lines
            rest = first + _rest(lines, budget.limits.document_bytes - len(first))
            yield from _whole(rest, place)
            return
        yield from _document(document, place if not lines.peek(1) else f"{place}, line 1")
        number = 1
        while line := _line(lines, budget.limits.record_bytes, number + 1):
            number += 1
            yield from _one_line(line, f"{place}, line {number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Item(place, problem=f"broken off after {number:,} lines: {error}")
    except (_RefusedError, lists.ListError) as error:
        yield Item(place, problem=str(error))
    except (ValueError, RecursionError) as error:
        why = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        yield Item(place, problem=f"expected JSON (OSV records, KEV) or EPSS's CSV: {why}")


_BROKEN = object()


def _whole(data: bytes, place: str) -> Iterator[Item]:
    """Yield what a document of several lines holds; where it is none, its lines may each be one, the first a broken one."""
    try:
        document = json.loads(data)
    except json.JSONDecodeError:
        lines = data.splitlines(keepends=True)
        if not any(isinstance(_parsed(line), dict) for line in lines[1:]):
            raise
        for number, line in enumerate(lines, start=1):
            yield from _one_line(line, f"{place}, line {number}")
        return
    yield from _document(document, place)


def _one_line(line: bytes, place: str) -> Iterator[Item]:
    if not line.strip():
        return
    parsed = _parsed(line)
    if parsed is _BROKEN:
        is_cut = not line.endswith(b"\n")
        yield Item(
            place, problem=f"expected a JSON object a line, found {'one that is cut' if is_cut else ascii(line[:60])}"
        )
    else:
        yield from _document(parsed, place)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return _BROKEN


def _document(document: object, place: str) -> Iterator[Item]:
    if lists.is_kev(document):
        yield Item(place, kev=lists.parse_kev(document))  # type: ignore[arg-type] # a mapping, as is_kev saw
    elif isinstance(document, list):
        for number, one in enumerate(document, start=1):
            yield Item(f"{place}, record {number}", record=one)
    elif isinstance(document, dict) and isinstance(document.get("vulns"), list):  # what OSV's API answers
        for number, one in enumerate(document["vulns"], start=1):
            yield Item(f"{place}, record {number}", record=one)
    else:
        yield Item(place, record=document)


def _epss(first: bytes, lines: IO[bytes], place: str, limits: Limits) -> Item:
    data = first + _rest(lines, limits.document_bytes - len(first))
    return Item(place, epss=lists.parse_epss(data.decode("utf-8", "replace").splitlines()))


def _line(lines: IO[bytes], limit: int, number: int) -> bytes:
    line = lines.readline(limit + 1)
    if len(line) > limit:
        raise _RefusedError(f"line {number} is longer than {limit:,} bytes; expected advisories, which are not")
    return line


def _rest(lines: IO[bytes], limit: int) -> bytes:
    parts, left = [], limit
    while data := lines.read(min(_CHUNK, left + 1)):
        parts.append(data)
        left -= len(data)
        if left < 0:
            raise _RefusedError(f"larger than {limit:,} bytes; expected advisories, which are not")
    return b"".join(parts)
