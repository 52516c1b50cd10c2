"""Images over time: slopes, times and changes against numbers that were worked out by hand."""

from __future__ import annotations

import math
import re
import tarfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit_lib import audit, trends
from audit_lib.errors import TableError
from audit_lib.history import append_history, failed_records, read_history, records_of
from audit_lib.reports import run_report
from audit_lib.tables import Vulnerability, make_table
from audit_lib.wanted import Wanted
from tests.images import oci_dir

MIB = 1024 * 1024
# Quantiles of Student's t at 97.5 %, from printed tables (three decimals).
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 56: 2.003, 120: 1.980}
GONE = ("apt", "bash", "bsdutils", "debianutils", "e2fsprogs", "findutils", "grep", "gzip", "login", "mount")


@pytest.mark.parametrize(("freedom", "printed"), STUDENT.items())
def test_the_interval_is_that_of_the_printed_tables(freedom, printed):
    assert trends._student(freedom) == pytest.approx(printed, rel=0.002)


def test_a_slope_and_its_interval_are_those_of_least_squares():
    days, values = [0, 1, 2, 4, 7], [10, 9, 11, 6, 3]
    slope, low, high = trends.slope_of(days, values)
    (fitted, _), residuals, *_ = np.polyfit(days, values, 1, full=True)
    error = math.sqrt(residuals[0] / 3 / sum((day - 2.8) ** 2 for day in days))
    assert slope == pytest.approx(fitted)
    assert ((slope - low) / error, (high - slope) / error) == pytest.approx((3.182, 3.182), rel=2e-3)


def test_one_run_has_no_slope_and_two_have_no_interval():
    assert trends.slope_of([], []) == trends.slope_of([0], [5]) == trends.slope_of([1, 1], [5, 6]) == (None,) * 3
    assert trends.slope_of([0, 2], [5, 1]) == (-2, None, None)


@pytest.mark.parametrize(
    ("days", "is_open", "median"),
    [
        # Of an even number the estimate takes the earlier of the two in the middle.
        ([1, 2, 3, 4], [False] * 4, 2),
        ([5], [False], 5),
        ([5], [True], None),
        # 1 - 1/5 = 4/5; 4/5 x 3/4 = 3/5; at 6 two are left, so 3/5 x 1/2 = 3/10
        ([1, 2, 3, 6, 9], [False, False, True, False, True], 6),
        # The same without knowing that one is still open would be 2.
        ([2, 2, 30, 40], [False, True, False, True], 30),
        ([1, 9, 9, 9], [False, True, True, True], None),
    ],
)
def test_what_is_still_open_is_counted_as_open_in_the_median(days, is_open, median):
    assert trends.median_days(days, is_open) == median


def vulnerabilities(image: str, *names: str) -> pd.DataFrame:
    rows = []
    for name in names:
        facts = dict.fromkeys(field.name for field in fields(Vulnerability))
        facts |= {"image": image, "vulnerability_id": name, "format": "deb", "name": "libc6", "version": "2.36"}
        facts |= {"severity": "critical" if name == "CVE-A" else "low", "status": "affected", "found_by": "grype"}
        rows.append(Vulnerability(**facts | {"data_utc": "2026-01-01T00:00:00Z", "is_joined": True}))
    return make_table(Vulnerability, rows)


def known(found, *names: str):
    unknown = found.unknown - {"vulnerabilities"}
    return replace(found, vulnerabilities=vulnerabilities(found.image["image"].iloc[0], *names), unknown=unknown)


def night(number: int) -> str:
    return f"{pd.Timestamp('2026-01-01') + pd.Timedelta(days=number):%Y-%m-%dT02:00:00Z}"


@pytest.fixture(scope="module")
def sixty_nights(base_image_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty nights of a real image with known changes.

    Nights 0 to 19 the base as it is, from 20 on with a user and 10 MiB more, from 40 on without ten packages. On nights 10 and 11
    it cannot be read. Vulnerabilities are known from night 5 on: A is there until 24, B for good, C from 30 to 44.
    """
    folder = tmp_path_factory.mktemp("nights")
    base = base_image_tar.read_bytes()
    user = {"config": {"User": "1000"}}
    more = {"opt/data": bytes(10 * MIB)}
    oci_dir(folder / "a", layers=[base])
    oci_dir(folder / "b", layers=[base, more], config=user)
    oci_dir(folder / "c", layers=[base, more, without_packages(base_image_tar)], config=user)
    audits = {name: audit(f"oci-dir:{folder / name}") for name in "abc"}
    wanted = Wanted("registry:shop/base:latest")
    for number in range(60):
        facts = {"audit_name": "base", "role": "image", "run_utc": night(number)}
        found = audits["a" if number < 20 else "b" if number < 40 else "c"]
        there = [
            name
            for name, first, last in (("CVE-A", 5, 24), ("CVE-B", 5, 59), ("CVE-C", 30, 44))
            if first <= number <= last
        ]
        found = known(found, *there) if number >= 5 else found
        is_read = number not in (10, 11)
        records = records_of(found, wanted, **facts) if is_read else failed_records(wanted, "no answer", **facts)
        append_history(folder / "history", [records], night(number))
    return folder / "history"


def without_packages(root: Path) -> dict[str, str]:
    """Return a layer that takes ten packages out of dpkg's database, as its removal of them would."""
    with tarfile.open(root) as members:
        names = [member.name.removeprefix("./") for member in members]
        file = next(name for name in members.getnames() if name.endswith("var/lib/dpkg/status"))
        text = members.extractfile(file).read().decode()
    stanzas = [one for one in text.split("\n\n") if one.strip()]
    left = [one for one in stanzas if one.partition("\n")[0].removeprefix("Package: ") not in GONE]
    assert len(stanzas) - len(left) == len(GONE)
    lists = [name for name in names if re.fullmatch(rf"var/lib/dpkg/info/({'|'.join(GONE)})(:amd64)?\.\w+", name)]
    whiteouts = {f"var/lib/dpkg/info/.wh.{name.rpartition('/')[2]}": "" for name in lists}
    return {"var/lib/dpkg/status": "\n\n".join(left) + "\n\n", **whiteouts}


NIGHTS = [number for number in range(60) if number not in (10, 11)]


def by_hand(values: dict[int, float]) -> tuple[float, float, float]:
    """Return slope and interval by numpy and the printed quantile for 56 degrees of freedom, or the next one."""
    days, numbers = np.array(list(values)), np.array(list(values.values()))
    (slope, _), residuals, *_ = np.polyfit(days, numbers, 1, full=True)
    error = math.sqrt(residuals[0] / (len(days) - 2) / ((days - days.mean()) ** 2).sum())
    return slope, slope - 2.0035 * error, slope + 2.0035 * error


@pytest.mark.slow
@pytest.mark.real
def test_sixty_nights_in_the_notebook_are_those_worked_out_by_hand(sixty_nights, tmp_path):
    made = run_report("image_trend", tmp_path / "out", {"history_dir": str(sixty_nights)}, progress=False)
    assert not made.is_damaged
    tables = {path.stem: pd.read_csv(path) for path in (made.folder / "tables").glob("*.csv")}

    slopes = tables["trends"].set_index("measure")
    # Ten are gone; of these, bash and gzip are still there as programs that nobody recorded.
    packages = {number: 88 if number < 40 else 80 for number in NIGHTS}
    vulnerable = {n: (n <= 24) + 1 + (30 <= n <= 44) for n in NIGHTS if n >= 5}
    for measure, values in (("package_count", packages), ("vulnerability_count", vulnerable)):
        row = slopes.loc[measure]
        assert (row["run_count"], row["unknown_run_count"]) == (len(values), 60 - len(values))
        expected = by_hand(values)
        assert row[["slope_per_day", "slope_low", "slope_high"]].tolist() == pytest.approx(expected, rel=2e-3)
        assert (row["first_value"], row["last_value"]) == (values[min(values)], values[59])
    file_bytes = tables["runs"].set_index("run_utc")["file_bytes"]
    assert file_bytes[night(20)] - file_bytes[night(19)] == 10 * MIB
    row = slopes.loc["vulnerability_count"]
    slope, low, _ = by_hand(vulnerable)
    assert row["days_to_zero"] == pytest.approx(1 / -slope)
    assert row["days_to_zero_low"] == pytest.approx(1 / -low, rel=2e-3)
    assert pd.isna(row["zero_utc"])
    assert slopes.loc["severe_vulnerability_count", "zero_utc"] == night(25)
    assert slopes.loc["severe_vulnerability_count", "days_to_zero"] == 0

    spells = tables["open_spells"].set_index("item")
    assert spells.loc["CVE-A", ["first_utc", "last_utc", "closed_utc"]].tolist() == [night(5), night(24), night(25)]
    assert spells.loc[["CVE-A", "CVE-B", "CVE-C"], "days_open"].tolist() == [20, 54, 15]
    assert spells.loc[["CVE-A", "CVE-B", "CVE-C"], "is_open"].tolist() == [False, True, False]
    assert spells.loc[["CVE-A", "CVE-B", "CVE-C"], "is_from_first_run"].tolist() == [True, True, False]
    assert spells.loc["non-root-user", ["first_utc", "closed_utc", "days_open"]].tolist() == [night(0), night(20), 20]
    assert spells.loc["no-shell", ["last_utc", "days_open", "is_open"]].tolist() == [night(59), 59, True]

    times = tables["open_times"].set_index("kind")
    # At 15 days one of three is closed, at 20 one of the two that are left: 2/3, 1/3.
    assert times.loc["vulnerability", ["closed_count", "open_count", "median_days_open"]].tolist() == [2, 1, 20]
    # Of the failing checks one was mended, the others are still open: no median can be told.
    assert times.loc["finding", "closed_count"] == 1
    assert times.loc["finding", "open_count"] >= 3
    assert pd.isna(times.loc["finding", "median_days_open"])
    assert times.loc["finding", "longest_days_open"] == 59

    changes = tables["changes"]
    removed = changes[changes["change"] == "removed"]
    assert sorted(removed.loc[removed["kind"] == "package", "item"]) == sorted(f"deb:{name}" for name in GONE)
    added = changes[changes["change"] == "added"]
    assert added["item"].tolist() == ["generic:bash", "generic:gzip"]
    mended = changes[changes["item"] == "non-root-user"].iloc[0]
    assert mended[["change", "before", "after"]].tolist() == ["changed", "fail", "pass"]
    # The first night did not know any vulnerability, so none is said to have come.
    assert "vulnerability" not in set(changes["kind"])
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert "could not be read in 2 of 60 runs, last at 2026-01-12T02:00:00Z: no answer" in page
    assert "vulnerabilities are unknown in 5 of the 58 runs that read it" in page


@pytest.mark.real
def test_changes_between_two_days_are_those_between_the_runs_next_to_them(sixty_nights):
    history = read_history(sixty_nights)
    changes = trends.changes_between(history, from_utc="2026-01-11", until_utc="2026-01-26")
    assert set(changes["before_utc"]) == {night(12)}  # it could not be read on the eleventh and twelfth
    assert set(changes["after_utc"]) == {night(25)}
    lost = changes[changes["kind"] == "vulnerability"]
    assert lost[["item", "change", "before"]].to_numpy().tolist() == [["CVE-A", "removed", "affected"]]


def test_of_one_run_no_trend_is_told(tmp_path):
    records = records_of(
        audit("sample:minimal"), Wanted("a"), audit_name="a", role="image", run_utc="2026-01-01T00:00:00Z"
    )
    append_history(tmp_path / "history", [records], "2026-01-01T00:00:00Z")
    history = read_history(tmp_path / "history")
    assert trends.headline(history) == (
        "1 run at 2026-01-01T00:00:00Z, 1 image. Of a single run no trend can be told: slopes and days are unknown, not zero."
    )
    slopes = trends.trends(history)
    assert slopes[["slope_per_day", "slope_low", "slope_high", "days_to_zero"]].isna().all().all()
    assert trends.changes_between(history).empty
    assert "a: only one run could read it, so no trend can be told" in list(trends.gaps(history))


def test_a_history_of_failures_alone_is_unknown_all_over(tmp_path):
    for run in ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"):
        records = failed_records(Wanted("a"), "no answer", audit_name="a", role="image", run_utc=run)
        append_history(tmp_path, [records], run)
    history = read_history(tmp_path)
    slopes = trends.trends(history)
    assert slopes["run_count"].tolist() == [0] * len(trends.MEASURES)
    assert slopes["last_value"].isna().all()
    assert trends.open_spells(history).empty
    assert trends.open_times(trends.open_spells(history)).empty
    assert trends.changes_between(history).empty
    assert trends.measures_over_time(history)["value"].isna().all()


def test_a_measure_that_is_none_is_refused():
    history = read_history("")
    with pytest.raises(TableError, match="expected a column of runs, found the measure 'weight'"):
        trends.trends(history, measures=["weight"])


def test_what_a_run_cannot_tell_neither_begins_nor_ends_anything(tmp_path):
    found = audit("sample:full")
    states = ["fail", "not_assessable", "fail", "manual", "pass", "not_assessable", "waived", "fail"]
    for number, status in enumerate(states):
        records = dict(records_of(found, Wanted("a"), audit_name="a", role="image", run_utc=night(number)))
        one = records["findings"][records["findings"]["check_id"] == "no-shell"].reset_index(drop=True)
        records["findings"] = one.assign(status=pd.array([status], dtype="string"))
        append_history(tmp_path, [records], night(number))
    spells = trends.open_spells(read_history(tmp_path))
    assert spells[["first_utc", "last_utc", "closed_utc"]].astype(object).where(
        spells.notna(), None
    ).to_numpy().tolist() == [
        [night(0), night(2), night(4)],
        [night(6), night(7), None],
    ]
    assert spells["days_open"].tolist() == [4, 1]
