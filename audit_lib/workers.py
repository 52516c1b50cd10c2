"""Processes of this machine as an `Executor`: one that dies costs the task that it had, which another does again.

Python's own `ProcessPoolExecutor` gives up everything when one of its processes is killed, and imports the caller's script anew in
each, which a script without `if __name__ == "__main__":` does not survive.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

# A task that kills whoever does it (an image that asks for more memory than there is) is not tried for ever.
ATTEMPTS = 3
_PROGRAM = "import sys; from audit_lib.workers import serve; serve(int(sys.argv[1]))"

T = TypeVar("T")


class WorkerDiedError(Exception):
    """Each process that was given a task died of it."""


class Processes(ThreadPoolExecutor):
    """`count` processes, each fed by a thread of its own. Functions and arguments are pickled; what they print is lost to nobody.

    At the end of a `with` block what was submitted is waited for, unless the block ends with an exception: then all is stopped.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count, thread_name_prefix="audit-worker")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._is_stopped = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a function of a module called in one of the processes."""
        return super().submit(self._done, fn, args, kwargs)

    def stop(self) -> None:
        """End all processes, whatever they are at."""
        with self._lock:
            self._is_stopped = True
            for worker in self._workers:
                worker.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's own signature
        """Wait for what was submitted, then end the processes."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self.stop()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()
        self.shutdown(cancel_futures=kind is not None)

    def _done(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        request = pickle.dumps((fn, args, kwargs))
        for _ in range(ATTEMPTS):
            worker = self._worker()
            try:
                worker.connection.send_bytes(request)
                is_value, answer = worker.connection.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            if is_value:
                return answer  # type: ignore[no-any-return]
            raise answer
        raise WorkerDiedError(f"{ATTEMPTS} processes died of it (killed, or out of memory?)")

    def _worker(self) -> _Worker:
        """Return the process of this thread, started where it has none."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            with self._lock:
                if self._is_stopped:
                    raise WorkerDiedError("the run was stopped")
                worker = self._own.worker = _Worker()
                self._workers.add(worker)
        return worker

    def _bury(self, worker: _Worker) -> None:
        self._own.worker = None
        with self._lock:
            self._workers.discard(worker)
            worker.kill()


class _Worker:
    """One process and the connection to it."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        # The group of its own keeps Ctrl-C from it: whoever started it ends it.
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this library
            [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
        theirs.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()


def serve(descriptor: int) -> None:
    """Do what comes over a connection, task after task, until the other end is closed: what a worker process runs."""
    with Connection(descriptor) as connection:
        while True:
            try:
                fn, args, kwargs = pickle.loads(connection.recv_bytes())  # noqa: S301 - from the process that started this one
            except EOFError:
                return
            except Exception as error:  # noqa: BLE001 - a function that cannot be found is the other end's to tell
                connection.send((False, _portable(error)))
                continue
            try:
                answer: tuple[bool, Any] = (True, fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - it goes on to who asked
                answer = (False, _portable(error))
            connection.send(answer)


def _portable(error: Exception) -> Exception:
    """Return an exception that arrives: one whose class wants other arguments than its own cannot be unpickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled here
    except Exception:  # noqa: BLE001 - whatever its class does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
