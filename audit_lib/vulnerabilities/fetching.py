"""Files of advisories by HTTP: asked for only where they changed, gone on with where they were cut, held to their digest.

Sources: RFC 9110 (ETag, If-None-Match, Range, If-Range), RFC 9530 (Repr-Digest), RFC 3230 (Digest), RFC 1864 (Content-MD5); Google
Cloud Storage's `x-goog-hash`, and a file NAME.sha256 beside it as mirrors have it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from audit_lib.errors import AuditError, DigestError, SourceError
from audit_lib.sources.answers import Answer, InterruptedTransferError, said_by
from audit_lib.sources.http import PATIENCE, Client

_OK, _PARTIAL, _UNCHANGED, _NOT_THAT_RANGE, _ABSENT = 200, 206, 304, 416, 404
_CHUNK = 1024 * 1024
_MAX_BYTES = 8 * 1024 * 1024 * 1024
_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that was fetched whole. `checked_by`: where the digest that it was held to came from, None where nobody states one."""

    path: Path
    digest: str
    etag: str | None
    checked_by: str | None


def fetch(url: str, folder: Path, *, etag: str | None = None, client: Client | None = None) -> Fetched | None:
    """Return a file fetched into a folder; None where the server says that it is still the one of this `etag`.

    What was cut is gone on with, in the next run too, as long as the server says that the file is the same. Raises `DigestError`
    where it is not what its digest says, `SourceError` where it cannot be had; there is no file then.
    """
    client = client or Client(urlsplit(url).netloc, patience=PATIENCE)
    part = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
    try:
        answer = _whole(client, url, part, etag)
        if answer is None:
            return None
        digest, checked_by = _checked(client, url, part, answer)
        return Fetched(path=part, digest=digest, etag=answer.headers.get("ETag"), checked_by=checked_by)
    except DigestError:
        forget(part)
        raise
    finally:
        client.close()


def forget(part: Path) -> None:
    """Delete a fetched file, and what was noted of it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _whole(client: Client, url: str, part: Path, etag: str | None) -> Answer | None:
    """Bring a file whole to `part`; return the last answer, None where nothing changed."""
    failures = 0
    while True:
        have = _have(part, url)
        headers = {"If-None-Match": etag} if etag and not have else {}
        if have:
            headers = {"Range": f"bytes={have[0]}-", "If-Range": have[1]}
        answer = client.ask(url, headers)
        try:
            if answer.status == _UNCHANGED and not have:
                return None
            if answer.status == _NOT_THAT_RANGE and have:
                forget(part)
                continue
            if answer.status not in {_OK, _PARTIAL}:
                raise SourceError(f"{url}: {said_by(answer)}")
            _received(answer, part, url, have[0] if have else 0)
        except InterruptedTransferError as error:
            failures += 1
            if failures >= client.patience.attempts:
                raise SourceError(f"{url}: broken off {failures} times: {error}") from error
            client.pause(failures)
            continue
        finally:
            answer.close()
        return answer


def _have(part: Path, url: str) -> tuple[int, str] | None:
    """Return (bytes, ETag) of what is there of a file already; None where there is nothing that could be gone on with."""
    try:
        said = json.loads(_note(part).read_text(encoding="utf-8"))
        size = part.stat().st_size
        is_same = said["url"] == url and size
        return (size, str(said["etag"])) if is_same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _received(answer: Answer, part: Path, url: str, have: int) -> None:
    """Write an answer's body, behind what is there already where the answer is the rest."""
    start = 0
    if answer.status == _PARTIAL:
        stated = re.match(r"bytes (\d{1,19})-", answer.headers.get("Content-Range", ""))
        if not have or not stated or int(stated[1]) != have:
            forget(part)
            raise InterruptedTransferError(f"sends another range than bytes {have} and on")
        start = have
    etag = answer.headers.get("ETag", "")
    _note(part).unlink(missing_ok=True)
    if etag and not etag.startswith("W/"):  # only a strong one says that the bytes are the same
        _note(part).write_text(json.dumps({"url": url, "etag": etag}), encoding="utf-8")
    length = answer.headers.get("Content-Length", "")
    got = 0
    with part.open("ab" if start else "wb") as file:
        while data := answer.read(_CHUNK):
            got += len(data)
            if start + got > _MAX_BYTES:
                raise SourceError(f"{url}: longer than {_MAX_BYTES:,} bytes")
            file.write(data)
    if length.isdecimal() and got < int(length):
        raise InterruptedTransferError(f"ends after {got:,} of {int(length):,} bytes")


def _checked(client: Client, url: str, part: Path, answer: Answer) -> tuple[str, str | None]:
    """Return (digest, who stated it) of a file; raise `DigestError` where it is not the one stated."""
    stated = _stated(answer)
    try:
        beside = client.ask(f"{url}.sha256", {})
        if beside.status == _OK and (found := re.match(rb"\s*([0-9a-fA-F]{64})(?:\s|$)", beside.document(4096))):
            stated.append(("sha256", found[1].decode().lower(), f"{url}.sha256"))
        beside.close()
    except SourceError:
        pass  # whoever has none need not answer well
    checked_by = None
    for algorithm, expected, by in stated:
        with part.open("rb") as file:
            found_digest = hashlib.file_digest(file, algorithm).hexdigest()
        if found_digest != expected:
            raise DigestError(f"{url} ({by})", expected=f"{algorithm}:{expected}", found=f"{algorithm}:{found_digest}")
        checked_by = by
    with part.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", checked_by


def _stated(answer: Answer) -> list[tuple[str, str, str]]:
    """Return (algorithm, digest, header) of the digests that an answer states of the whole file."""
    found = []
    for header in ("Repr-Digest", "Digest", "x-goog-hash", "Content-MD5"):
        text = answer.headers.get(header, "")
        if header == "Content-MD5":
            text = f"md5={text}" if text and answer.status == _OK else ""  # it is of what was sent, which may be a part
        for name, value in re.findall(r"([A-Za-z0-9-]+)=:?([A-Za-z0-9+/]+={0,2}):?", text):
            algorithm = _ALGORITHMS.get(name.lower())
            try:
                digest = base64.b64decode(value, validate=True).hex()
            except binascii.Error:
                continue
            if algorithm is not None:
                found.append((algorithm, digest, header))
    return found


def _note(part: Path) -> Path:
    return part.with_suffix(".json")


def local_folder(place: str) -> Path:
    """Return the folder, made where it is not there, that files are fetched into on their way to a database at `place`."""
    if "://" in place:
        raise AuditError(
            f"advisories {place}: an update needs a folder of this machine; import copies of the files instead"
        )
    folder = Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(f"advisories {place}: {error.strerror or error}") from error
    return folder
