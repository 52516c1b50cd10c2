"""The manifest of a report folder: whose the files in it are, and what it says of them."""

import json

import pytest

from audit_lib.errors import AuditError
from audit_lib.exports.manifest import own_files, replace_files, write_manifest


def put(folder, *names, text="ours"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def put_report(folder, new, *names, text="ours"):
    new.mkdir()
    put(new, *names, text=text)
    write_manifest(new, {"status": "complete"})
    replace_files(folder, new)


@pytest.fixture
def report(tmp_path):
    put_report(tmp_path / "report", tmp_path / "new-1", "report.html", "tables/a.csv")
    return tmp_path / "report"


def test_the_manifest_lists_every_file_but_itself_and_the_sums_list_it_too(report):
    manifest = json.loads((report / "manifest.json").read_text())
    ours = "ae0bec9e9d33c56354bd612c8a6010840324fc5b9786ce0a18b696b304b09397"
    assert {name: facts["bytes"] for name, facts in manifest["files"].items()} == {"report.html": 4, "tables/a.csv": 4}
    assert manifest["files"]["report.html"]["sha256"] == ours
    lines = (report / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "manifest.json",
        "report.html",
        "statement.intoto.json",
        "tables/a.csv",
    ]
    assert lines[1] == f"{ours}  report.html"


def test_a_new_report_takes_the_place_of_the_old_one_and_leaves_foreign_files(report, tmp_path):
    put(report, "signature.sig", "figures/mine.png", text="mine")
    put_report(report, tmp_path / "new-2", "report.html", "figures/b.png", text="new")
    found = files_in(report)
    del found["manifest.json"], found["SHA256SUMS"], found["statement.intoto.json"]
    assert found == {"report.html": "new", "figures/b.png": "new", "signature.sig": "mine", "figures/mine.png": "mine"}
    assert not (report / "tables").exists()


def test_a_foreign_file_in_the_way_is_an_error_and_nothing_is_changed(report, tmp_path):
    put(report, "figures/b.png", text="mine")
    before = files_in(report)
    with pytest.raises(AuditError, match=r"figures/b\.png is there and was not written by an earlier run"):
        put_report(report, tmp_path / "new-2", "report.html", "figures/b.png", text="new")
    assert files_in(report) == before


def test_an_edited_manifest_deletes_nothing_elsewhere(report, tmp_path):
    put(tmp_path, "precious", "elsewhere/precious", text="mine")
    (report / "link").symlink_to(tmp_path / "elsewhere")
    manifest = json.loads((report / "manifest.json").read_text())
    manifest["files"] |= {"../precious": {}, str(tmp_path / "precious"): {}, "link/precious": {}, ".": {}, "tables": {}}
    (report / "manifest.json").write_text(json.dumps(manifest))
    assert own_files(report) == {"manifest.json", "SHA256SUMS", "statement.intoto.json", "report.html", "tables/a.csv"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": {"report.html": {}}}', "\x00", '{"schema": 1, "files": []}']
)
def test_a_manifest_of_something_else_makes_no_file_ours(report, text):
    (report / "manifest.json").write_text(text)
    assert own_files(report) == frozenset()
