"""One blob of a registry as a stream: asked for when it is first read, and where it was cut, gone on with.

Source: RFC 9110 section 14 (Range, Content-Range). What arrives is not trusted here: whoever reads it checks its digest.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from audit_lib.errors import ImageFormatError, SourceError
from audit_lib.sources.answers import Answer, InterruptedTransferError, said_by
from audit_lib.sources.http import Client

_OK, _PARTIAL, _NOT_THAT_RANGE = 200, 206, 416
_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)")
_LENGTH = re.compile(r"\d{1,19}")
_CHUNK = 1024 * 1024
# So much has to come between two interruptions for the count of them to begin anew.
_PROGRESS = 1024 * 1024


class Transfer:
    """A stream over `ask(offset)`, which gives the answer to a request for a blob from that byte on.

    `size` is how long the manifest says the blob is, None where it does not. `read` raises `SourceError` where the
    registry does not send it whole in as many tries as the client has patience for, `ImageFormatError` where it is longer.
    Used by one thread at a time; `close` may come from another one.
    """

    def __init__(self, client: Client, ask: Callable[[int], Answer], *, size: int | None, what: str) -> None:
        self._client, self._ask, self._size, self._what = client, ask, size, what
        self._answer: Answer | None = None
        self._position = self._counted_from = 0
        self._failures = 0
        self._resumes = True
        self._is_closed = threading.Event()

    def read(self, count: int, /) -> bytes:
        """Return up to `count` bytes, b"" at the end."""
        while not self._is_closed.is_set():
            if self._size is not None and self._position == self._size:
                self._end()
                break
            try:
                if self._answer is None:
                    self._answer = self._begun()
                left = count if self._size is None else min(count, self._size - self._position)
                data = self._answer.read(left)
            except InterruptedTransferError as error:
                self._failed(error)
                continue
            if data or self._size is None:
                self._position += len(data)
                return data
            self._failed(InterruptedTransferError("the answer ends there"))
        return b""

    def close(self) -> None:
        """Give the transfer up; further reading gives b""."""
        self._is_closed.set()
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _begun(self) -> Answer:
        offset = self._position if self._resumes else 0
        answer = self._ask(offset)
        try:
            if answer.status == _PARTIAL and offset:
                self._check_range(answer, offset)
                expected = None if self._size is None else self._size - offset
            elif answer.status == _OK:
                expected, offset = self._size, 0
            else:
                self._refuse(answer)
            _check_length(answer, expected)
            self._pass_over(answer, self._position - offset)
        except BaseException:
            answer.close()
            raise
        return answer

    def _check_range(self, answer: Answer, offset: int) -> None:
        stated = answer.headers.get("Content-Range", "")
        found = _RANGE.fullmatch(stated.strip())
        if not found or int(found[1]) != offset or (found[2] != "*" and self._size not in {None, int(found[2])}):
            self._resumes = False
            raise InterruptedTransferError(
                f"sends the range {stated or '(none)'}, asked for bytes {offset} and on of {self._size or 'all'}"
            )

    def _refuse(self, answer: Answer) -> None:
        if answer.status in {_PARTIAL, _NOT_THAT_RANGE} and self._resumes:
            self._resumes = False
            raise InterruptedTransferError(f"refuses to go on from byte {self._position:,} ({answer.status})")
        raise SourceError(f"{self._what}: {said_by(answer)}")

    def _pass_over(self, answer: Answer, count: int) -> None:
        """Read again what was read already, where a server begins at the beginning."""
        while count:
            data = answer.read(min(count, _CHUNK))
            if not data:
                raise InterruptedTransferError(
                    f"the answer ends before byte {self._position:,}, which it had got to before"
                )
            count -= len(data)

    def _failed(self, error: InterruptedTransferError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()
        if self._is_closed.is_set():
            return
        if self._position - self._counted_from >= _PROGRESS:
            self._failures, self._counted_from = 0, self._position
        self._failures += 1
        if self._failures >= self._client.patience.attempts:
            of = "" if self._size is None else f" of {self._size:,}"
            raise SourceError(
                f"{self._what}: broken off after {self._position:,}{of} bytes, {self._failures} times: {error}"
            ) from error
        self._client.pause(self._failures)

    def _end(self) -> None:
        """Look whether more follows; that a connection breaks behind the last byte does no harm."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        try:
            if answer.read(1):
                raise ImageFormatError(f"{self._what}: longer than the {self._size:,} bytes that the manifest states")
        except InterruptedTransferError:
            return
        finally:
            answer.close()


def _check_length(answer: Answer, expected: int | None) -> None:
    length = answer.headers.get("Content-Length", "")
    if expected is not None and _LENGTH.fullmatch(length) and int(length) != expected:
        raise InterruptedTransferError(f"announces {int(length):,} bytes, by the manifest it is {expected:,}")
