"""The whole sample report in every format: how long it takes, and which part of it how long."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from audit_lib.exports.formats import FORMATS
from tests.benchmarks.conftest import Note
from tests.benchmarks.measuring import alternated, python

pytestmark = [pytest.mark.bench]

ROUNDS = 2
MAX_SECONDS = 25.0
REPORT = ("-m", "audit_lib", "--quiet", "report", "sample:full", "sample:minimal", "--store", "none")

# Processor time, which is the same on a busy machine. Each writer is measured where it is called; what is left is the notebook,
# in a process of its own, and what surrounds it.
PARTS = """
import json, resource, sys
from dataclasses import replace

def used():
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in each)

from audit_lib.exports import formats
from audit_lib.reports import run_report
seconds = {"import": used()}

def measured(one):
    def write(made):
        start = used()
        one.write(made)
        seconds[one.name] = used() - start
    return replace(one, write=write)

formats.FORMATS = {name: measured(one) for name, one in formats.FORMATS.items()}
images = {"full_image": "sample:full", "minimal_image": "sample:minimal"}
run_report("compare_images", sys.argv[1], images, formats=list(formats.FORMATS), progress=False)
seconds["notebook, manifest and checksums"] = used() - sum(seconds.values())
print(json.dumps(seconds))
"""


def test_the_whole_sample_report_in_every_format(tmp_path: Path, note: Note) -> None:
    command = python(*REPORT, "-o", tmp_path / "report", "--formats", ",".join(FORMATS))
    whole = alternated({"report": command}, rounds=ROUNDS)["report"]
    done = subprocess.run(python("-c", PARTS, tmp_path / "parts"), check=True, capture_output=True, text=True)
    parts = json.loads(done.stdout)
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        note(f"report: {name}, processor time", seconds, "s")
    note("report in every format, processor time", whole.processor_seconds, "s", limit=MAX_SECONDS)
    note("report in every format, peak memory of the command", whole.peak_mib, "MiB")
    note("report in every format", whole.seconds, "s", limit=MAX_SECONDS)
    # What else a machine does makes it wait; what it has to do here is the same.
    assert whole.processor_seconds < MAX_SECONDS
