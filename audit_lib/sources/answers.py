"""One answer by HTTP: its headers have come, its body is read within bounds.

Sources: RFC 9110; OCI distribution-spec, "Error Codes".
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import requests
from requests.exceptions import BaseHTTPError  # type: ignore[attr-defined] # urllib3's own, which the stubs do not pass on

from audit_lib.errors import SourceError
from audit_lib.sources.base import root_cause
from audit_lib.sources.urls import origin_of

_CHUNK = 256 * 1024


class InterruptedTransferError(SourceError):
    """What was asked for did not come, or not whole; it may, when it is asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a registry is waited for, in seconds, and how often it is asked again.

    `connect`: for a connection. `answer`: for all that comes before an answer's first line and headers, the look-up of the name
    included. `stall`: for the next bytes of a body; as long as that, a body has to bring `slow_bytes` each second on average.
    Between two tries `pause` is waited, doubled each time, or what the server asks for, up to `longest_pause`.
    """

    attempts: int = 5
    connect_attempts: int = 3
    connect: float = 10
    answer: float = 60
    stall: float = 30
    slow_bytes: int = 1024
    pause: float = 0.5
    longest_pause: float = 60


class Answer:
    """An answer whose headers have come: `status`, `headers`, `url`, and a body that is read within bounds."""

    def __init__(self, response: requests.Response, patience: Patience, done: Callable[[bool], object]) -> None:
        self.status, self.headers = response.status_code, response.headers
        self.url = str(response.url)
        self._raw, self._patience, self._done = response.raw, patience, done
        self._waited, self._got = 0.0, 0
        self._problem: Exception | None = None
        self._is_open = True

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end; raises `InterruptedTransferError` where it is cut or comes too slowly."""
        parts, missing = [], size
        while missing and self._problem is None and self._is_open:
            started = time.monotonic()
            try:
                part = self._raw.read1(min(missing, _CHUNK), decode_content=False)
            # The last two: the connection was closed under the reader, by whoever has no more use for it.
            except (BaseHTTPError, http.client.HTTPException, OSError, ValueError, AttributeError) as error:
                self._problem = error
                break
            if not part:
                self._finish(whole=True)
                break
            parts.append(part)
            missing -= len(part)
            self._pace(time.monotonic() - started, len(part))
        if not parts and self._problem is not None:
            self.close()
            raise InterruptedTransferError(f"{origin_of(self.url)[1]}: {root_cause(self._problem)}") from self._problem
        return b"".join(parts)

    def document(self, limit: int) -> bytes:
        """Return the body whole, but no more than `limit` bytes and one; the connection is given back."""
        parts, missing = [], limit + 1
        try:
            while missing and (part := self.read(missing)):
                parts.append(part)
                missing -= len(part)
        finally:
            self.close()
        return b"".join(parts)

    def drain(self) -> None:
        """Pass over a body that nobody wants; the connection goes on to be used where it is short."""
        with suppress(InterruptedTransferError):
            self.document(_CHUNK)

    def close(self) -> None:
        """Give the connection up, where the body was not read to its end."""
        if self._is_open:
            self._raw.close()
            self._finish(whole=False)

    def _pace(self, waited: float, count: int) -> None:
        """Hold a body that trickles to its bounds; what the reader does in between does not count."""
        self._waited += waited
        self._got += count
        if self._waited >= self._patience.stall:
            if self._got < self._patience.slow_bytes * self._waited:
                self._problem = TimeoutError(f"only {self._got:,} bytes in {self._waited:.0f} seconds")
            self._waited, self._got = 0.0, 0

    def _finish(self, *, whole: bool) -> None:
        self._is_open = False
        self._done(whole)


def said_by(answer: Answer, data: bytes | None = None) -> str:
    """Return an answer's status and what its body says of it (OCI distribution-spec, "Error Codes"), in one short line.

    `data` is the body where it was read already.
    """
    reason = http.client.responses.get(answer.status, "")
    try:
        errors = json.loads(answer.document(_CHUNK) if data is None else data)["errors"]
        said = "; ".join(str(one.get("message") or one.get("code")) for one in errors[:3])
    except (SourceError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = ""
    text = f"{answer.status} {reason}".strip() + (f": {said}" if said else "")
    # What a stranger says is shown on a terminal: nothing that one obeys.
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())[:300]
