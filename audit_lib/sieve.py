"""Many small texts searched at once for a pattern, in a thread beside the walk over a layer.

RE2 (Arrow's) goes over thousands of texts in one call, without the interpreter's lock, and in a time that no text can make
more than proportional to its length. What it lets through is handed to a function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from operator import itemgetter
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
    """Takes texts one by one; `found` gives (row, what `look` made of it) for those in which their pattern is found, by row.

    `pattern` returns the one of a few patterns that a path's text is searched for. Leaving the block ends the thread.
    """

    def __init__(self, pattern: Callable[[str], str], look: Callable[[str, bytes], Found]) -> None:
        self._pattern, self._look = pattern, look
        self._batches: dict[str, list[_Text]] = {}
        self._sizes: dict[str, int] = {}
        self._done: list[tuple[int, Found]] = []
        self._pending: deque[Future[list[tuple[int, Found]]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-sieve")

    def __enter__(self) -> Sieve[Found]:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, row: int, path: str, content: bytes) -> None:
        """Put in one text."""
        pattern = self._pattern(path)
        self._batches.setdefault(pattern, []).append(_Text(row, path, content))
        self._sizes[pattern] = self._sizes.get(pattern, 0) + len(content)
        if self._sizes[pattern] >= _BATCH_BYTES:
            self._submit(pattern)

    def found(self) -> list[tuple[int, Found]]:
        """Return what was found in all texts; nothing may be put in after that."""
        for pattern in list(self._batches):
            self._submit(pattern)
        while self._pending:
            self._done += self._pending.popleft().result()
        return sorted(self._done, key=itemgetter(0))

    def _submit(self, pattern: str) -> None:
        if len(self._pending) >= _WAITING:
            self._done += self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._searched, pattern, self._batches.pop(pattern)))
        del self._sizes[pattern]

    def _searched(self, pattern: str, texts: list[_Text]) -> list[tuple[int, Found]]:
        contents = pa.array([text.content for text in texts], pa.binary())
        rows = pc.indices_nonzero(pc.match_substring_regex(contents, pattern)).to_pylist()
        return [(texts[row].row, self._look(texts[row].path, texts[row].content)) for row in rows]
