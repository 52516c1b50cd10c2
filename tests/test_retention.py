"""What a schedule may delete: folders that it made, by their marks, and in these only what their manifests name."""

from __future__ import annotations

import pytest

from audit_lib.audits import Keep
from audit_lib.exports.manifest import write_manifest
from audit_lib.retention import forget, made_folders, new_folder, remove_old


def made(parent, run, status="complete"):
    folder = new_folder(parent, run)
    (folder / "tables").mkdir(parents=True)
    (folder / "report.html").write_text("page")
    (folder / "tables" / "a.csv").write_text("a\n")
    write_manifest(folder, {"status": status})
    return folder


@pytest.fixture
def parent(tmp_path):
    return tmp_path / "web"


def days(parent):
    return sorted(path.name for path in parent.iterdir() if path.is_dir())


NIGHTS = [f"2026-01-0{day}T02:00:00Z" for day in range(1, 6)]
FOLDERS = [f"2026010{day}T020000Z" for day in range(1, 6)]


def test_so_many_reports_are_kept(parent):
    for night in NIGHTS:
        made(parent, night)
    gone = remove_old(parent, Keep(reports=2), run_utc=NIGHTS[-1])
    assert [folder.name for folder in gone] == FOLDERS[:3]
    assert days(parent) == FOLDERS[3:]
    assert sorted(path.name for path in parent.glob(".*")) == [f".{name}.made" for name in FOLDERS[3:]]


def test_so_many_days_are_kept(parent):
    for night in NIGHTS:
        made(parent, night)
    remove_old(parent, Keep(days=2), run_utc="2026-01-05T02:00:00Z")
    assert days(parent) == FOLDERS[2:]


def test_without_a_limit_everything_is_kept(parent):
    for night in NIGHTS:
        made(parent, night)
    assert remove_old(parent, Keep(), run_utc="2036-01-01T00:00:00Z") == []
    assert days(parent) == FOLDERS


def test_the_newest_whole_report_stays_whatever_its_age(parent):
    made(parent, NIGHTS[0])
    made(parent, NIGHTS[1])
    made(parent, NIGHTS[2], status="failed")
    remove_old(parent, Keep(reports=1, days=1), run_utc="2036-01-01T00:00:00Z")
    assert days(parent) == [FOLDERS[1]]


def test_a_folder_without_a_mark_is_never_touched(parent):
    for night in NIGHTS:
        made(parent, night)
    mine = parent / "20200101T000000Z"
    mine.mkdir()
    (mine / "report.html").write_text("mine")
    write_manifest(mine, {"status": "complete"})
    (parent / f".{FOLDERS[0]}.made").unlink()
    remove_old(parent, Keep(reports=1), run_utc=NIGHTS[-1])
    assert days(parent) == ["20200101T000000Z", FOLDERS[0], FOLDERS[4]]
    assert (mine / "report.html").read_text() == "mine"


def test_files_that_somebody_put_into_a_report_stay(parent):
    old, _ = made(parent, NIGHTS[0]), made(parent, NIGHTS[1])
    (old / "notes.txt").write_text("mine")
    (old / "tables" / "mine.csv").write_text("mine")
    remove_old(parent, Keep(reports=1), run_utc=NIGHTS[1])
    assert sorted(str(path.relative_to(old)) for path in old.rglob("*")) == ["notes.txt", "tables", "tables/mine.csv"]
    assert old in made_folders(parent)


def test_a_manifest_that_names_files_elsewhere_deletes_nothing_there(parent, tmp_path):
    old, _ = made(parent, NIGHTS[0]), made(parent, NIGHTS[1])
    treasure = tmp_path / "treasure"
    treasure.write_text("gold")
    manifest = (old / "manifest.json").read_text()
    (old / "manifest.json").write_text(manifest.replace("tables/a.csv", "../../treasure"))
    remove_old(parent, Keep(reports=1), run_utc=NIGHTS[1])
    assert treasure.read_text() == "gold"


def test_a_link_in_the_place_of_a_folder_is_not_followed(parent, tmp_path):
    outside = made(tmp_path / "outside", NIGHTS[0])
    made(parent, NIGHTS[1])
    folder = new_folder(parent, NIGHTS[0])
    folder.symlink_to(outside)
    remove_old(parent, Keep(reports=1), run_utc=NIGHTS[1])
    assert (outside / "report.html").is_file()


def test_two_runs_of_the_same_second_have_a_folder_each(parent):
    first, second = made(parent, NIGHTS[0]), made(parent, NIGHTS[0])
    assert (first.name, second.name) == ("20260101T020000Z", "20260101T020000Z-2")
    assert made_folders(parent) == [first, second]


def test_a_folder_that_was_not_made_after_all_leaves_no_mark(parent):
    folder = new_folder(parent, NIGHTS[0])
    forget(folder)
    assert list(parent.iterdir()) == []
