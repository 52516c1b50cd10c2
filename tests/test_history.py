"""A history of runs: what is appended is read back, by whoever, whenever; what is cut or damaged is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from audit_lib import audit
from audit_lib.errors import SourceError
from audit_lib.history import (
    HISTORY_TABLES,
    append_history,
    failed_records,
    has_history,
    read_history,
    records_of,
    repeated_records,
)
from audit_lib.wanted import Wanted
from tests.images import oci_dir

MINIMAL = Wanted("sample:minimal")
GRYPE = {"matches": [], "source": {"type": "image", "target": {}}, "descriptor": {"name": "grype", "version": "0.90.0"}}


@pytest.fixture(scope="module")
def minimal():
    return audit("sample:minimal")


def append(place: Path, found, *runs: str) -> None:
    for run in runs:
        append_history(place, [records_of(found, MINIMAL, audit_name="nightly", role="image", run_utc=run)], run)


def test_what_is_appended_is_read_back(tmp_path, minimal):
    append(tmp_path, minimal, "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z")
    history = read_history(tmp_path)
    assert history.gaps == ()
    assert history.runs["run_utc"].tolist() == ["2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z"]
    run = history.runs.iloc[0]
    assert (run["image"], run["audit"], run["role"], run["status"]) == ("sample:minimal", "nightly", "image", "read")
    assert (run["package_count"], run["file_bytes"]) == (42, 51_551_585)
    assert run["image_digest"] == minimal.image["manifest_digest"].iloc[0]
    assert len(history.packages) == 2 * 42
    assert len(history.findings) == 2 * len(minimal.findings)
    assert len(history.databases) == 2 * len(minimal.databases)


def test_without_vulnerability_data_their_number_is_unknown_not_zero(tmp_path, minimal):
    append(tmp_path, minimal, "2026-01-01T02:00:00Z")
    (run,) = read_history(tmp_path).runs.to_dict("records")
    assert pd.isna(run["vulnerability_count"])
    assert "vulnerabilities" in run["unknown_tables"].split(", ")


def test_what_a_damaged_database_hides_is_unknown_and_not_gone(tmp_path):
    status = "Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersi"
    site = "usr/lib/python3/site-packages/jinja2-2.10.dist-info/METADATA"
    layer = {"var/lib/dpkg/status": status, site: "Metadata-Version: 2.1\nName: jinja2\nVersion: 2.10\n"}
    oci_dir(tmp_path / "image", layers=[layer])
    (tmp_path / "grype.json").write_text(json.dumps(GRYPE))
    found = audit(f"oci-dir:{tmp_path / 'image'}", scanner_reports=[tmp_path / "grype.json"])
    assert found.knows("vulnerabilities")
    records = records_of(found, Wanted("x"), audit_name="a", role="image", run_utc="2026-01-01T00:00:00Z")
    append_history(tmp_path / "history", [records], "2026-01-01T00:00:00Z")
    (run,) = read_history(tmp_path / "history").runs.to_dict("records")
    assert run["status"] == "damaged"
    assert pd.isna(run["vulnerability_count"])
    assert {"packages", "vulnerabilities"} <= set(run["unknown_tables"].split(", "))


def test_an_image_that_could_not_be_read_is_a_row_with_its_error_and_nothing_else(tmp_path):
    records = failed_records(MINIMAL, "no such image", audit_name="a", role="image", run_utc="2026-01-01T00:00:00Z")
    append_history(tmp_path, [records], "2026-01-01T00:00:00Z")
    history = read_history(tmp_path)
    run = history.runs.iloc[0]
    assert (run["status"], run["error"]) == ("failed", "no such image")
    assert run[["package_count", "file_bytes", "failed_check_count", "image_digest"]].isna().all()
    assert history.packages.empty


def test_a_run_that_found_nothing_changed_repeats_the_rows_of_the_one_before(tmp_path, minimal):
    append(tmp_path, minimal, "2026-01-01T02:00:00Z")
    last = read_history(tmp_path).last_of("nightly")
    append_history(tmp_path, [repeated_records(last, run_utc="2026-01-02T02:00:00Z")], "2026-01-02T02:00:00Z")
    history = read_history(tmp_path)
    assert history.runs["status"].tolist() == ["read", "unchanged"]
    assert history.runs["package_count"].tolist() == [42, 42]
    assert history.findings.groupby("run_utc").size().tolist() == [len(minimal.findings)] * 2


def test_a_run_that_was_cut_is_not_there(tmp_path, minimal):
    append(tmp_path, minimal, "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z")
    cut = max((tmp_path / "runs").glob("*.parquet"))
    cut.unlink()  # it is written last
    history = read_history(tmp_path)
    assert history.gaps == ()
    for table in HISTORY_TABLES:
        assert set(getattr(history, table)["run_utc"]) <= {"2026-01-01T02:00:00Z"}


@pytest.mark.parametrize("table", HISTORY_TABLES)
@pytest.mark.parametrize("how", ["empty", "cut", "other", "gone"])
def test_a_damaged_file_is_said_and_costs_its_run_alone(tmp_path, minimal, table, how):
    append(tmp_path, minimal, "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z")
    victim = max((tmp_path / table).glob("*.parquet"))
    data = victim.read_bytes()
    contents = {"empty": b"", "cut": data[: len(data) // 2]}
    if how == "other":
        pd.DataFrame({"image": [1]}).to_parquet(victim)
    elif how == "gone" and table != "runs":
        victim.unlink()
    else:
        victim.write_bytes(contents.get(how, b"no Parquet"))
    history = read_history(tmp_path)
    assert history.runs["run_utc"].tolist() == ["2026-01-01T02:00:00Z"]
    (gap,) = history.gaps
    assert gap.startswith(f"history: runs/{victim.name} or a file of its name cannot be read, so that run is unknown: ")


def test_a_column_that_came_later_is_unknown_in_earlier_runs(tmp_path, minimal):
    append(tmp_path, minimal, "2026-01-01T02:00:00Z")
    (file,) = (tmp_path / "runs").glob("*.parquet")
    pd.read_parquet(file).drop(columns="severe_vulnerability_count").to_parquet(file)
    history = read_history(tmp_path)
    assert history.gaps == ()
    assert history.runs["severe_vulnerability_count"].isna().all()


def test_processes_that_append_at_once_lose_nothing(tmp_path, minimal):
    code = (
        "import sys, pickle\nfrom audit_lib.history import append_history\n"
        "records = pickle.load(open(sys.argv[1], 'rb'))\n"
        "for _ in range(10): append_history(sys.argv[2], [records], '2026-01-01T02:00:00Z')\n"
    )
    records = records_of(minimal, MINIMAL, audit_name="a", role="image", run_utc="2026-01-01T02:00:00Z")
    pd.to_pickle(records, tmp_path / "records")
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "records"), str(tmp_path / "history")])
        for _ in range(2)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert len(list((tmp_path / "history" / "runs").glob("*.parquet"))) == 20
    history = read_history(tmp_path / "history")
    assert (len(history.runs), history.gaps) == (1, ())  # of the same second, the same image and audit count once


def test_a_history_is_any_place_that_fsspec_knows(minimal):
    append("memory://audits/history", minimal, "2026-01-01T02:00:00Z")
    assert has_history("memory://audits/history")
    assert read_history("memory://audits/history").runs["package_count"].tolist() == [42]


def test_times_and_images_are_chosen(tmp_path, minimal):
    days = [f"2026-01-0{day}T02:00:00Z" for day in range(1, 6)]
    append(tmp_path, minimal, *days)
    assert read_history(tmp_path, from_utc="2026-01-02", until_utc="2026-01-04").runs["run_utc"].tolist() == days[1:4]
    assert len(read_history(tmp_path, image="minimal").runs) == 5
    with pytest.raises(SourceError, match="no run of other between these times; it has runs of sample:minimal"):
        read_history(tmp_path, image="other")


def test_where_no_run_was_kept_there_is_no_history(tmp_path):
    assert not has_history(tmp_path / "gone")
    with pytest.raises(SourceError, match="no runs are there; expected a folder that image-audit run wrote"):
        read_history(tmp_path)


def test_other_programs_read_it_as_a_folder_of_parquet(tmp_path, minimal):
    append(tmp_path, minimal, "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z")
    assert len(pd.read_parquet(tmp_path / "packages")) == 84
