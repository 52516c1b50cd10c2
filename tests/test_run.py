"""Schedules that are run: what fails is said and keeps nothing else from being made, what is unchanged is left out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import Executor, Future
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from audit_lib.__main__ import cli
from audit_lib.commands import run as run_command
from audit_lib.history import read_history
from tests.images import oci_archive, oci_dir

STANZA = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n"
# A notebook that reads an image and no more: what is tested here is what goes on around it.
CELLS = (
    'image: str = "sample:full"  # which image\nplatform: str = None  # which platform\noutput_dir: str = ""  # where to',
    "from audit_lib import audit, write_tables\nfound = audit(image, platform=platform)",
    "write_tables(output_dir, images=found.image, databases=found.databases)",
)


def write_notebook(path: Path, *sources: str) -> None:
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {} if number else {"tags": ["parameters"]},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(sources)
    ]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def write_schedule(folder: Path, *entries: str, head: str = "") -> None:
    (folder / "audits.yml").write_text(f"schema: 1\n{head}audits:\n" + "".join(f"  - {entry}\n" for entry in entries))


FIRST, DAY = 1767232800, 86_400  # 2026-01-01T02:00:00Z


def environment(folder: Path, now: int) -> dict[str, str]:
    return {"SOURCE_DATE_EPOCH": str(now), "AUDIT_STORE": str(folder / "store")}


class InThisProcess(Executor):
    """Does at once what it is given; the processes of a run have a test of their own."""

    def __init__(self, _count: int) -> None:
        pass

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def run(folder: Path, *words: str, now: int = FIRST) -> tuple[int, list[str]]:
    """Run the schedule as of a time; return the exit code and the lines of standard error."""
    done = CliRunner().invoke(cli, ["run", str(folder / "audits.yml"), *words], env=environment(folder, now))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.stdout == ""
    return done.exit_code, done.stderr.splitlines()


def layers(number: int) -> list[dict[str, object]]:
    names = [f"package-{one}" for one in range(number + 1)]
    return [{"etc/os-release": "ID=debian\nVERSION_ID=12\n", "var/lib/dpkg/status": "".join(map(STANZA.format, names))}]


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, list[str]]:
    """Ten images, of which one is not there and one is cut in the middle of a layer; their schedule was run."""
    folder = tmp_path_factory.mktemp("ten")
    write_notebook(folder / "small.ipynb", *CELLS)
    entries = []
    for number in range(8):
        oci_dir(folder / f"image-{number}", layers=layers(number))
        entries.append(f"{{name: web-{number}, image: 'oci-dir:image-{number}', notebook: small.ipynb}}")
    oci_dir(folder / "cut", layers=[{"opt/data": os.urandom(200_000)}], compression="gzip")
    oci_archive(folder / "whole.tar", folder / "cut")
    (folder / "cut.tar").write_bytes((folder / "whole.tar").read_bytes()[:150_000])
    entries.insert(3, "{name: gone, image: 'oci-dir:nowhere', notebook: small.ipynb}")
    entries.insert(6, "{name: cut, image: 'oci-archive:cut.tar', notebook: small.ipynb}")
    head = "jobs: 2\ndefaults:\n  gate: {fail_on: never}\n"
    write_schedule(folder, *entries, head=head)
    done = subprocess.run(
        [sys.executable, "-m", "audit_lib", "run", str(folder / "audits.yml")],
        env={**os.environ, **environment(folder, FIRST)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.stdout == ""
    return folder, done.returncode, done.stderr.splitlines()


def test_of_ten_images_two_fail_and_the_others_have_their_report(ten):
    folder, code, _ = ten
    assert code == 2
    pages = sorted(folder.glob("reports/*/*/report.html"))
    assert [page.parent.parent.name for page in pages] == [f"web-{number}" for number in range(8)]
    assert {page.parent.name for page in pages} == {"20260101T020000Z"}


def test_what_failed_is_said_in_a_line_each(ten):
    _, _, said = ten
    errors = [line for line in said if "error" in line]
    assert errors == [
        "image-audit: error: gone: nowhere: no such file or folder",
        errors[1],
    ]
    assert errors[1].startswith("image-audit: error: cut: ")
    assert "cut.tar" in errors[1]
    assert said[-1].startswith("10 audits (8 done, 2 failed): ")
    assert len(said) == 3


def test_the_index_shows_all_ten(ten):
    folder, _, _ = ten
    index = json.loads((folder / "reports" / "index.json").read_text())
    statuses = {one["name"]: one["status"] for one in index["audits"]}
    assert list(statuses.values()).count("done") == 8
    assert {name for name, status in statuses.items() if status == "failed"} == {"gone", "cut"}
    by_name = {one["name"]: one for one in index["audits"]}
    assert by_name["web-4"]["images"][0]["package_count"] == 5
    assert by_name["gone"]["images"][0]["package_count"] is None
    assert by_name["web-4"]["report"] == "web-4/20260101T020000Z/report.html"
    page = (folder / "reports" / "index.html").read_text()
    assert [name for name in statuses if f'<span class="name">{name}</span>' not in page] == []
    assert all((folder / "reports" / one["report"]).is_file() for one in index["audits"] if one["report"])


def test_the_history_has_a_row_for_all_ten(ten):
    folder, _, _ = ten
    runs = read_history(folder / "reports" / "history").runs
    assert runs["status"].tolist().count("failed") == 2
    counts = dict(zip(runs["audit"], runs["package_count"], strict=True))
    assert [counts[f"web-{number}"] for number in range(8)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert counts["gone"] is counts["cut"] is pd.NA
    errors = dict(zip(runs["audit"], runs["error"], strict=True))
    assert errors["gone"] == "nowhere: no such file or folder"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images and their schedule."""
    monkeypatch.setattr(run_command, "Processes", InThisProcess)
    write_notebook(tmp_path / "small.ipynb", CELLS[0], "is_run = True")
    shutil.copy(Path(__file__).parents[1] / "audit_lib" / "compliance" / "policy.yml", tmp_path / "policy.yml")
    for number in range(2):
        oci_dir(tmp_path / f"image-{number}", layers=layers(number))
    settings = "notebook: small.ipynb, policy: policy.yml, gate: {fail_on: never}, keep: {reports: 2}"
    write_schedule(tmp_path, *(f"{{name: web-{n}, image: 'oci-dir:image-{n}', {settings}}}" for n in range(2)))
    return tmp_path


def statuses(folder: Path) -> list[str]:
    return [one["status"] for one in json.loads((folder / "reports" / "index.json").read_text())["audits"]]


def test_only_what_changed_is_made_anew_and_old_reports_go(two):
    assert run(two, "--only-changed")[0] == 0
    assert statuses(two) == ["done", "done"]
    assert run(two, "--only-changed", now=FIRST + DAY)[0] == 0
    assert statuses(two) == ["unchanged", "unchanged"]
    assert len(list(two.glob("reports/*/*/report.html"))) == 2
    shutil.rmtree(two / "image-1")
    oci_dir(two / "image-1", layers=layers(5))
    run(two, "--only-changed", now=FIRST + 2 * DAY)
    assert statuses(two) == ["unchanged", "done"]
    (two / "policy.yml").write_text((two / "policy.yml").read_text() + "\n# looked at again\n")
    run(two, "--only-changed", now=FIRST + 3 * DAY)
    assert statuses(two) == ["done", "done"]
    assert sorted(page.parent.name for page in two.glob("reports/web-1/*/report.html")) == [
        "20260103T020000Z",
        "20260104T020000Z",
    ]
    runs = read_history(two / "reports" / "history").runs
    assert runs.loc[runs["audit"] == "web-1", "package_count"].tolist() == [2, 2, 6, 6]
    assert runs.loc[runs["audit"] == "web-0", "status"].tolist() == ["read", "unchanged", "unchanged", "read"]


def test_an_image_is_judged_anew_on_the_day_on_which_a_finding_changes(two):
    # An image of a day of its own: it is too old by the default policy after ninety days.
    shutil.rmtree(two / "image-0")
    oci_dir(two / "image-0", layers=layers(0), config={"created": "2025-10-14T00:00:00Z"})
    run(two, "--only-changed")
    runs = read_history(two / "reports" / "history").runs
    until = dict(zip(runs["audit"], runs["judged_until_utc"], strict=True))
    assert until == {"web-0": "2026-01-12", "web-1": "2026-01-31"}
    run(two, "--only-changed", now=FIRST + 11 * DAY)
    assert statuses(two) == ["unchanged", "unchanged"]
    run(two, "--only-changed", now=FIRST + 12 * DAY)
    assert statuses(two) == ["done", "unchanged"]


def test_a_gate_that_fails_is_said_and_stays_failed_while_nothing_changes(two):
    write_schedule(
        two,
        "{name: a, image: 'oci-dir:image-0', notebook: small.ipynb, gate: {fail_on: high}}",
        "{name: b, image: 'oci-dir:image-0', notebook: small.ipynb, gate: {fail_on: never, checks: [non-root-user]}}",
        "{name: c, image: 'oci-dir:image-0', notebook: small.ipynb, gate: {fail_on: never, checks: [no-shell]}}",
    )
    code, said = run(two)
    assert code == 1
    assert said[0].startswith("image-audit: a: the gate failed: ")
    assert "non-root-user (high)" in said[0]
    assert said[1] == "image-audit: b: the gate failed: non-root-user (high)"
    assert statuses(two) == ["gate_failed", "gate_failed", "done"]
    code, said = run(two, "--only-changed", now=FIRST + DAY)
    assert code == 1
    assert said[1] == "image-audit: b: the gate failed, as in the run before: nothing has changed since"


def test_a_damaged_database_has_a_report_and_exit_code_2(two):
    cut = {"var/lib/dpkg/status": STANZA.format("one") + "Package: tw"}
    oci_dir(two / "damaged", layers=[cut])
    write_notebook(two / "small.ipynb", *CELLS)
    write_schedule(two, "{name: a, image: 'oci-dir:damaged', notebook: small.ipynb, gate: {fail_on: never}}")
    code, said = run(two)
    assert code == 2
    assert said[0].startswith("image-audit: error: a: oci-dir:")
    assert "/var/lib/dpkg/status (deb database) is damaged" in said[0]
    assert statuses(two) == ["damaged"]
    assert len(list(two.glob("reports/a/*/report.html"))) == 1


def test_a_history_that_is_damaged_is_said_and_costs_no_report(two):
    run(two)
    (damaged,) = two.glob("reports/history/runs/*.parquet")
    damaged.write_bytes(b"no Parquet")
    code, said = run(two, now=FIRST + DAY)
    assert code == 2
    assert [line for line in said if "error" in line] == [said[0]]
    assert said[0].startswith(f"image-audit: error: history: runs/{damaged.name} or a file of its name cannot be read")
    assert len(list(two.glob("reports/*/*/report.html"))) == 4


def test_what_a_scanner_said_counts_and_its_new_report_is_a_change(two):
    match = {
        "vulnerability": {"id": "CVE-2024-0001", "severity": "Critical", "fix": {"state": "unknown", "versions": []}},
        "artifact": {"name": "package-0", "version": "1.0", "type": "deb", "purl": "pkg:deb/debian/package-0@1.0"},
        "matchDetails": [],
    }
    report = {"matches": [match], "descriptor": {"name": "grype", "version": "0.80.0"}, "source": {"type": "image"}}
    (two / "grype.json").write_text(json.dumps(report))
    write_schedule(
        two,
        "{name: a, image: 'oci-dir:image-0', notebook: small.ipynb, gate: {fail_on: never}, scanner_reports: [grype.json]}",
    )
    assert run(two)[0] == 0
    run(two, "--only-changed", now=FIRST + DAY)
    (two / "grype.json").write_text(json.dumps(report | {"matches": []}))
    run(two, "--only-changed", now=FIRST + 2 * DAY)
    runs = read_history(two / "reports" / "history").runs
    assert runs["status"].tolist() == ["read", "unchanged", "read"]
    assert runs["vulnerability_count"].tolist() == [1, 1, 0]
    assert runs["severe_vulnerability_count"].tolist() == [1, 1, 0]
