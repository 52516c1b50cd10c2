"""Processes of this machine: what dies costs its task only, and a task that kills whoever does it is given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from audit_lib.errors import DigestError
from audit_lib.workers import Processes, WorkerDiedError

SCRIPT = """
from audit_lib.workers import Processes
import operator
with Processes(2) as pool:
    print([future.result() for future in [pool.submit(operator.add, n, n) for n in range(3)]])
"""


def name_process() -> int:
    return os.getpid()


def die_once(marks: str) -> int:
    """Kill the process that this is called in, the first time that it is called."""
    mark = Path(marks, "died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_long(marks: str) -> None:
    Path(marks, str(os.getpid())).touch()
    time.sleep(60)


def find_no_digest() -> None:
    raise DigestError("layer", expected="sha256:a", found="sha256:b")


def test_tasks_are_done_in_other_processes():
    with Processes(2) as pool:
        names = {future.result() for future in [pool.submit(name_process) for _ in range(6)]}
    assert 1 <= len(names) <= 2
    assert os.getpid() not in names


def test_a_process_that_dies_costs_its_task_only_and_another_does_it(tmp_path):
    with Processes(2) as pool:
        futures = [pool.submit(name_process), pool.submit(die_once, str(tmp_path)), pool.submit(name_process)]
        assert all(future.result() > 0 for future in futures)


def test_a_task_that_every_process_dies_of_is_given_up_and_the_others_are_done():
    with Processes(1) as pool:
        bad, good = pool.submit(die), pool.submit(name_process)
        with pytest.raises(WorkerDiedError, match="3 processes died of it"):
            bad.result()
        assert good.result() > 0


def test_what_a_task_raises_arrives_even_where_it_cannot_be_pickled():
    with Processes(1) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()
        with pytest.raises(RuntimeError, match="DigestError: layer: expected sha256:a, found sha256:b"):
            pool.submit(find_no_digest).result()


def test_processes_end_at_once_where_the_block_ends_with_an_exception(tmp_path):
    started = time.monotonic()
    pool = Processes(1)
    future = pool.submit(sleep_long, str(tmp_path))
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)
    with pytest.raises(KeyboardInterrupt), pool:
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30
    assert future.exception() is not None
    (pid,) = (int(path.name) for path in tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_script_without_a_main_guard_may_use_them(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.stdout == "[0, 2, 4]\n"
