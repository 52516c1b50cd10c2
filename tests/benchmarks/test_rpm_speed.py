"""How long a large rpm database takes: the headers of a SUSE image fifteen times over, 525 packages with 42,555 files in 20 MB."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from audit_lib.formats import rpm, rpmndb
from tests import rpms

pytestmark = pytest.mark.bench

MAX_SECONDS = 1.0


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages.db", "Packages"])
def test_500_packages_and_their_files_are_read_within_a_second(shared_data: Path, tmp_path: Path, name: str):
    rpms.needs("db5.3_load")
    known = [blob for _, blob in rpmndb.parse((shared_data / "rpmdb" / "sle15-bci.Packages.db").read_bytes(), "x")]
    headers = dict(enumerate(known * 15, start=1))
    make = {
        "rpmdb.sqlite": rpms.sqlite,
        "Packages.db": rpms.ndb,
        "Packages": lambda some: rpms.berkeley(tmp_path / "x", some),
    }
    data = make[name](headers)
    start = time.perf_counter()
    read = list(rpm.parse(data, f"var/lib/rpm/{name}"))
    between = time.perf_counter()
    files = sum(1 for header in read for _ in rpm.parse_files(header))
    end = time.perf_counter()
    print(f"{name}: headers {between - start:.3f} s, files {end - between:.3f} s")  # noqa: T201 - `make bench` shows it
    assert (len(read), files) == (525, 42_555)
    assert end - start < MAX_SECONDS
