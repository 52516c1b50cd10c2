"""Many small texts searched at once for a pattern, in a thread beside the walk over a layer.

RE2 (Arrow's) goes over thousands of texts in one call, without the interpreter's lock, and in a time that no text can make
more than proportional to its length. What it lets through is handed to a function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

_BATCH_BYTES = 1024 * 1024
# So many batches may wait for the thread; then the walk waits, so that memory stays bounded.
_WAITING = 4

Found = TypeVar("Found")


class _Text(NamedTuple):
    row: int
    path: str
    content: bytes


class Sieve(Generic[Found]):
    """Takes texts one by one; `found` gives (row, what `look` made of it) for those in which `pattern` is found, in their order.

    Leaving the block ends the thread.
    """

    def __init__(self, pattern: str, look: Callable[[str, bytes], Found]) -> None:
        self._pattern, self._look = pattern, look
        self._batch: list[_Text] = []
        self._batch_bytes = 0
        self._done: list[tuple[int, Found]] = []
        self._pending: deque[Future[list[tuple[int, Found]]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-sieve")

    def __enter__(self) -> Sieve[Found]:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, row: int, path: str, content: bytes) -> None:
        """Put in one text."""
        self._batch.append(_Text(row, path, content))
        self._batch_bytes += len(content)
        if self._batch_bytes >= _BATCH_BYTES:
            self._submit()

    def found(self) -> Iterator[tuple[int, Found]]:
        """Yield what was found in all texts; nothing may be put in after that."""
        self._submit()
        while self._pending:
            self._done += self._pending.popleft().result()
        yield from self._done

    def _submit(self) -> None:
        if len(self._pending) >= _WAITING:
            self._done += self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._searched, self._batch))
        self._batch, self._batch_bytes = [], 0

    def _searched(self, texts: list[_Text]) -> list[tuple[int, Found]]:
        contents = pa.array([text.content for text in texts], pa.binary())
        rows = pc.indices_nonzero(pc.match_substring_regex(contents, self._pattern)).to_pylist()
        return [(texts[row].row, self._look(texts[row].path, texts[row].content)) for row in rows]
