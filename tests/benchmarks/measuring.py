"""Commands measured as whole processes: wall time and peak memory, alternating, medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A process begins with the peak of the one that it was forked from (getrusage(2), ru_maxrss): a small one forks it here.
_LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
child = os.fork()
if not child:
    os.environ["SYFT_CHECK_FOR_APP_UPDATE"] = "false"
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
told = {"seconds": seconds, "processor_seconds": usage.ru_utime + usage.ru_stime, "peak_kib": usage.ru_maxrss}
print(json.dumps({**told, "code": os.waitstatus_to_exitcode(status)}))
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """The medians of several runs of one command: wall time, processor time of all its threads, peak memory."""

    seconds: float
    processor_seconds: float
    peak_mib: float
    rounds: int


def alternated(commands: Mapping[str, Sequence[str | Path]], *, rounds: int) -> dict[str, Figures]:
    """Run each command once a round, one after the other, so that a busy minute of the machine falls on all of them."""
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            measured[name].append(_run(command))
    return {
        name: Figures(
            seconds=statistics.median(run[0] for run in runs),
            processor_seconds=statistics.median(run[1] for run in runs),
            peak_mib=statistics.median(run[2] for run in runs),
            rounds=rounds,
        )
        for name, runs in measured.items()
    }


def python(*arguments: str | Path) -> list[str | Path]:
    """Return the command of this interpreter."""
    return [sys.executable, *arguments]


def _run(command: Sequence[str | Path]) -> tuple[float, float, float]:
    launched = subprocess.run(
        [*python("-S", "-E", "-c", _LAUNCHER), *command], check=True, capture_output=True, text=True
    )
    told = json.loads(launched.stdout)
    assert told["code"] == 0, f"{command}: {launched.stderr[-500:]}"
    return told["seconds"], told["processor_seconds"], told["peak_kib"] / 1024
