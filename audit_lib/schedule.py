"""Which task of a fleet is done when: what images say of themselves, then each unknown layer once, then each image's tables."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, field
from typing import Any

from audit_lib import tasks
from audit_lib.dataset import FAILED, Dataset, key_of, part_of
from audit_lib.tasks import FLEET_TABLES, IMAGES, Done, Order, Seen
from audit_lib.wanted import Wanted

# A layer that cannot be had from one image is asked of the next that has it, but not of all thousand.
_CANDIDATES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. `layer_bytes` is missing where one of the layers to be read does not state its length."""

    image_count: int
    images_seen: int
    images_done: int
    layer_count: int
    layers_done: int
    layer_bytes: int | None
    bytes_done: int


@dataclass(slots=True)
class _Layer:
    """A layer that is not known yet: its stored bytes, the images (by number) that have it, how many of these were asked for it."""

    stored_bytes: int | None
    images: list[int] = field(default_factory=list)
    asked: int = 0
    is_settled: bool = False


class Schedule:
    """The tasks of a run over `wanted`, in the order of their needs; `parts` are the files that came of it, one an image."""

    def __init__(self, wanted: Sequence[Wanted], order: Order, progress: Callable[[Progress], object]) -> None:
        self.messages: dict[str, None] = {}
        self._wanted, self._order, self._progress = wanted, order, progress
        self._output = Dataset(order.output)
        self._present = {name: self._output.parts(name) for name in FLEET_TABLES}
        self._seen: list[Seen] = []
        self._parts: dict[int, str] = {}
        self._layers: dict[str, _Layer] = {}
        # by image, the layers that it waits for
        self._needs: dict[int, set[str]] = {}
        self._wholes: list[int] = []
        self._bytes_done = self._layers_done = 0

    @property
    def parts(self) -> list[str]:
        """The file names of the images' rows, in the order in which they were asked for."""
        return [self._parts[number] for number in sorted(self._parts)]

    @property
    def task_count(self) -> int:
        """How many tasks are to be done once all images were looked at."""
        return len(self._layers) + len(self._needs) + len(self._wholes)

    @property
    def work_bytes(self) -> int | None:
        """The stored bytes of all layers to be read and of all images whose tables are to be made, None where one does not say."""
        images = [self._seen[number].stored_bytes for number in (*self._needs, *self._wholes)]
        return _sum([self.layer_bytes, *images])

    @property
    def layer_bytes(self) -> int | None:
        """The stored bytes of all layers to be read, None where one does not say; or where an image is to be read as a whole."""
        return None if self._wholes else _sum([layer.stored_bytes for layer in self._layers.values()])

    def look(self, pool: Executor) -> None:
        """Have all images say what they are, and find out what is to be done."""
        found: dict[int, Seen] = {}
        with _Flow(pool) as flow:
            for number, one in enumerate(self._wanted):
                flow.submit(number, tasks.look, one, self._order)
            for number, answer in flow.answers():
                found[number] = Seen(error=answer) if isinstance(answer, str) else answer
                self._say(seen=len(found))
        self._seen = [found[number] for number in range(len(self._wanted))]
        for number, seen in enumerate(self._seen):
            self._plan(number, seen)

    def work(self, pool: Executor) -> None:
        """Do what is to be done, and write what came of it."""
        with _Flow(pool) as flow:
            self._start(flow)
            for key, answer in flow.answers():
                done = Done(error=answer) if isinstance(answer, str) else answer
                self.messages.update(dict.fromkeys(done.messages))
                if isinstance(key, str):
                    self._have_layer(key, done, flow)
                elif done.part is None:
                    self._fail(key, done.error or "no tables were written")
                else:
                    self._have(key, done.part)
                self._say(seen=len(self._wanted))

    def _start(self, flow: _Flow) -> None:
        # Large ones first, so that no worker is left alone with one at the end.
        for diff_id in sorted(self._layers, key=lambda one: (-(self._layers[one].stored_bytes or 0), one)):
            self._ask_for(diff_id, flow)
        for number in [number for number, needs in self._needs.items() if not needs]:
            self._write(number, flow)
        if not self._layers:
            self._write_wholes(flow)

    def _plan(self, number: int, seen: Seen) -> None:
        """Sort an image in: failed, there already, to be read as a whole, or waiting for layers."""
        part = part_of(self._wanted[number], seen.digest, self._order.made_by)
        if seen.error is not None:
            self._fail(number, seen.error)
        elif seen.digest is not None and all(part in self._there(name, number) for name in FLEET_TABLES):
            self._have(number, part)
        elif seen.unknown is None:
            self._wholes.append(number)
        else:
            self._needs[number] = set(seen.unknown)
            for diff_id, stored_bytes in seen.unknown.items():
                self._layers.setdefault(diff_id, _Layer(stored_bytes)).images.append(number)

    def _ask_for(self, diff_id: str, flow: _Flow) -> None:
        layer = self._layers[diff_id]
        number = layer.images[layer.asked]
        layer.asked += 1
        flow.submit(diff_id, tasks.bring, self._wanted[number], diff_id, self._order)

    def _have_layer(self, diff_id: str, done: Done, flow: _Flow) -> None:
        layer = self._layers[diff_id]
        if done.error is not None and not done.is_final and layer.asked < min(_CANDIDATES, len(layer.images)):
            self._ask_for(diff_id, flow)
            return
        self._layers_done += 1
        self._bytes_done += layer.stored_bytes or done.stored_bytes
        for number in layer.images:
            needs = self._needs.get(number)
            if needs is None:
                continue
            if done.error is not None:
                del self._needs[number]
                self._fail(number, f"layer {diff_id}: {done.error}")
                continue
            needs.discard(diff_id)
            if not needs:
                self._write(number, flow)
        if self._layers_done == len(self._layers):
            self._write_wholes(flow)

    def _write(self, number: int, flow: _Flow) -> None:
        self._needs.pop(number, None)
        flow.submit(number, tasks.write, self._wanted[number], self._order)

    def _write_wholes(self, flow: _Flow) -> None:
        """Have those read that come as a whole, last: by then the store knows what they share with others."""
        for number in self._wholes:
            self._write(number, flow)

    def _fail(self, number: int, error: str) -> None:
        wanted = self._wanted[number]
        digest = self._seen[number].digest if self._seen else None
        part = part_of(wanted, digest, FAILED)
        self._output.write(IMAGES, part, tasks.failed_table(wanted, error))
        self._have(number, part)

    def _have(self, number: int, part: str) -> None:
        """Note what came of an image, and remove what the output had of it before."""
        self._parts[number] = part
        for name in FLEET_TABLES:
            for old in self._there(name, number):
                if old != part:
                    self._output.remove(name, old)

    def _there(self, table: str, number: int) -> list[str]:
        """Return the files that a table had of an image when the run began."""
        return self._present[table].get(key_of(self._wanted[number]), [])

    def _say(self, *, seen: int) -> None:
        self._progress(
            Progress(
                image_count=len(self._wanted),
                images_seen=seen,
                images_done=len(self._parts),
                layer_count=len(self._layers),
                layers_done=self._layers_done,
                layer_bytes=self.layer_bytes,
                bytes_done=self._bytes_done,
            )
        )


class _Flow:
    """Tasks given to an executor, and their answers as they come; a task that the executor could not do answers with a text."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._ended: queue.SimpleQueue[tuple[Any, Future[Any] | str]] = queue.SimpleQueue()
        self._open: dict[Any, Future[Any] | None] = {}

    def submit(self, key: Any, fn: Callable[..., Any], *args: object) -> None:
        self._open[key] = None
        try:
            future = self._pool.submit(fn, *args)
        except RuntimeError as error:  # broken, or shut down by someone else
            self._ended.put((key, f"the executor takes no more tasks: {error}"))
            return
        self._open[key] = future
        future.add_done_callback(lambda ended: self._ended.put((key, ended)))

    def answers(self) -> Iterator[tuple[Any, Any]]:
        """Yield (key, answer) until none is open; what is submitted meanwhile is waited for too."""
        while self._open:
            key, ended = self._ended.get()
            del self._open[key]
            yield key, ended if isinstance(ended, str) else _answer(ended)

    def __enter__(self) -> _Flow:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._open.values():
            if future is not None:
                future.cancel()


def _answer(future: Future[Any]) -> Any:
    try:
        return future.result()
    except CancelledError:
        return "its task was cancelled"
    except Exception as error:  # noqa: BLE001 - whatever a task or its executor meets costs this task, not the run
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _sum(sizes: Sequence[int | None]) -> int | None:
    """Return a sum, None where a part of it is not known."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
