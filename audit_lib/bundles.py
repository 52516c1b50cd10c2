"""A report's folder, or the zip that holds one: which files are in it, read without following anything that leads out of it."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from audit_lib.errors import AuditError
from audit_lib.exports.manifest import ABOUT
from audit_lib.units import format_bytes, format_count

# A bundle holds a page, tables and documents of a few images; what asks for more is none, or was made to fill a disk or a day.
MAX_FILES = 100_000
MAX_BYTES = 4 * 1024**3
_CHUNK = 1024 * 1024
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can state
_MODE = stat.S_IFREG | 0o644
_UNIX = 3
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_LEVEL = 9
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What is in a bundle: `files` with their lengths by path, and what else is there that is no folder, with what it is.

    `opened` opens one of the files for reading.
    """

    place: str
    files: Mapping[str, int]
    others: Mapping[str, str]
    opened: Callable[[str], IO[bytes]]

    def read(self, name: str, *, limit: int) -> bytes:
        """Return a file's bytes; raise `AuditError` where they are more than `limit` or cannot be read."""
        if self.files[name] > limit:
            found = format_bytes(self.files[name])
            raise AuditError(f"{self.place}: {name}: expected at most {format_bytes(limit)}, found {found}")
        try:
            with self.opened(name) as file:
                return file.read(limit)
        except _UNREADABLE as error:
            raise AuditError(f"{self.place}: {name}: {_why(error)}") from error

    def digest(self, name: str) -> str:
        """Return a file's SHA-256 in hexadecimal digits; raise `AuditError` where it cannot be read."""
        found = hashlib.sha256()
        try:
            with self.opened(name) as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
        except _UNREADABLE as error:
            raise AuditError(f"{self.place}: {name}: {_why(error)}") from error
        return found.hexdigest()


_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a folder or a zip of a report; raise `AuditError` where it is neither, or asks for too much."""
    if path.is_dir():
        _check_names(path, {name for name in ABOUT if os.path.lexists(path / name)})
        yield _of_folder(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                yield _of_zip(path, archive)
        except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
            raise AuditError(f"{path}: expected a zip of a report, found one that is damaged: {_why(error)}") from error
    else:
        found = "something else" if path.exists() else "nothing"
        raise AuditError(f"{path}: expected a report's folder, or a zip of one, found {found}")


def pack_bundle(bundle: Bundle, target: Path) -> None:
    """Write the files of a bundle as a zip: sorted, one date, one mode, no folder above them, so that same files are same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in sorted(bundle.files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            with bundle.opened(name) as file, archive.open(entry, "w") as packed:
                while chunk := file.read(_CHUNK):
                    packed.write(chunk)


def is_inside(name: str) -> bool:
    """Tell whether a path names something below the folder that it is of, on any system.

    >>> [is_inside(name) for name in ("tables/a.csv", "../a", "/a", "a/../b", "a//b", "C:a", "a" + chr(92) + "b", "")]
    [True, False, False, False, False, False, False, False]
    """
    parts = name.split("/")
    is_drive = len(name) > 1 and name[1] == ":"
    return not is_drive and not any(part in {"", ".", ".."} for part in parts) and not set(name) & {"\\", "\0"}


def _of_folder(folder: Path) -> Bundle:
    files: dict[str, int] = {}
    others: dict[str, str] = {}
    waiting = [PurePosixPath()]
    while waiting:
        here = waiting.pop()
        for entry in os.scandir(folder / here):
            name = here / entry.name
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                waiting.append(name)
            elif stat.S_ISREG(found.st_mode):
                files[str(name)] = found.st_size
            else:
                others[str(name)] = _kind(found.st_mode)
            if len(files) + len(others) > MAX_FILES:
                raise AuditError(f"{folder}: expected at most {format_count(MAX_FILES)} files in a report")

    def opened(name: str) -> IO[bytes]:
        return os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW), "rb")

    return Bundle(place=str(folder), files=files, others=others, opened=opened)


def _check_names(path: Path, names: Iterable[str]) -> None:
    if not ABOUT & set(names):
        raise AuditError(
            f"{path}: expected a report's folder, or a zip of one, found none of {', '.join(sorted(ABOUT))}"
        )


def _of_zip(path: Path, archive: zipfile.ZipFile) -> Bundle:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise AuditError(
            f"{path}: expected at most {format_count(MAX_FILES)} files, found {format_count(len(entries))}"
        )
    files: dict[str, int] = {}
    others: dict[str, str] = {}
    for entry in entries:
        if not entry.filename:  # zipfile asks a nameless entry for its last letter
            raise AuditError(f"{path}: an entry without a name")
        name = entry.orig_filename.removesuffix("/") if entry.is_dir() else entry.orig_filename
        if not is_inside(name):
            raise AuditError(
                f"{path}: entry {entry.orig_filename!r} leads out of the folder; expected relative paths without .."
            )
        if name in files or name in others:
            raise AuditError(f"{path}: entry {name!r} is there twice")
        if entry.flag_bits & 1 or entry.compress_type not in _COMPRESSIONS:
            raise AuditError(f"{path}: entry {name!r} is encrypted or packed in a way that a report's zip is not")
        mode = entry.external_attr >> 16
        if entry.is_dir():
            continue
        if stat.S_IFMT(mode) in {0, stat.S_IFREG}:
            files[name] = entry.file_size
        else:
            others[name] = _kind(mode)
    _check_names(path, [*files, *others])
    _check_sizes(path, entries)
    return Bundle(place=str(path), files=files, others=others, opened=archive.open)


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raise `AuditError` where a zip would unpack to more than a report is, or lets several entries share the same bytes."""
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_BYTES:
        found = format_bytes(unpacked)
        raise AuditError(f"{path}: expected at most {format_bytes(MAX_BYTES)} unpacked, found {found}")
    if sum(entry.compress_size for entry in entries) > path.stat().st_size:
        raise AuditError(f"{path}: its entries overlap: together they are longer than the file")


def _kind(mode: int) -> str:
    return next((said for test, said in _KINDS if test(mode)), "something that is no file")


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
