"""Reports: what run_report leaves in its folder, from notebooks made here by hand."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from audit_lib.errors import AuditError, TableError, UnknownParameterError
from audit_lib.reports import find_notebook, notebook_parameters, run_report

PARAMETERS = """\
full_image: str = "sample:full"  # reference of the full image
output_dir: str = ""  # where tables are written; empty: nowhere
top_n: int = 15  # rows shown
strict: bool = False
limit: float = 0.5
platform: str = None  # None: this machine's"""

KNOWN = "It has: full_image, output_dir, top_n, strict, limit, platform"

IMAGES = """\
from audit_lib.tables import Database, Image, make_table
facts = dict(source="sample", manifest_digest=None, config_digest="sha256:12", os="linux", architecture="amd64")
facts |= dict(created_utc=None, distro_id="debian", distro_version="12", distro_name="Debian 12", user=None)
facts |= dict(entrypoint=None, cmd=None, layer_count=1, compressed_bytes=None, unpacked_bytes=2, file_bytes=1)
facts |= dict(file_count=1, package_count=None, unowned_share=None)
images = make_table(Image, [Image(image=name, reference=full_image, **facts) for name in ("full", "minimal")])
rows = [Database(image="full", database_path="/var/lib/dpkg/status", format="deb", status="read", package_count=2,
                 detail=None)]"""

TABLES = """\
from audit_lib.exports.show import show
from audit_lib.exports.tables import write_tables
databases = make_table(Database, rows)
write_tables(output_dir, images=images, databases=databases)
show(databases)"""

CHART = """\
import matplotlib.pyplot as plt
from audit_lib.exports.figures import save_figures
ax = plt.figure(figsize=(2, 1)).add_subplot()
ax.bar(["full"], [1], label="full")
save_figures(output_dir, sizes=ax)"""


def write_notebook(folder, *cells, name="example", parameters=PARAMETERS):
    parameters = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[new_markdown_cell("# What is gained?"), parameters, *map(new_code_cell, cells)])
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Make the same report twice, in two folders."""
    reports = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        for name in ("one", "two"):
            folder = tmp_path_factory.mktemp(name)
            notebook = write_notebook(folder, IMAGES, TABLES, CHART)
            reports.append(run_report(notebook, folder / "reports" / "mine", {"top_n": "3"}, progress=False))
    return reports


def test_a_report_has_page_notebook_tables_figures_and_checksums(two_runs):
    report, _ = two_runs
    assert sorted(files_of(report.folder)) == [
        "SHA256SUMS",
        "figures/sizes.png",
        "figures/sizes.svg",
        "manifest.json",
        "report.html",
        "report.ipynb",
        "statement.intoto.json",
        "tables/databases.csv",
        "tables/images.csv",
    ]
    assert sorted(path.relative_to(report.folder).as_posix() for path in report.files) == sorted(
        files_of(report.folder)
    )
    assert [path.name for path in report.folder.parent.iterdir()] == ["mine"]


def test_the_same_input_gives_the_same_bytes(two_runs):
    one, two = (files_of(report.folder) for report in two_runs)
    assert [name for name in one if one[name] != two[name]] == []
    assert sorted(one) == sorted(two)


def test_the_manifest_says_what_was_examined_with_what(two_runs):
    report, _ = two_runs
    manifest = json.loads((report.folder / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["notebook"] == "example"
    assert manifest["parameters"] == {
        "full_image": "sample:full",
        "top_n": 3,
        "strict": False,
        "limit": 0.5,
        "platform": None,
    }
    assert [(image["image"], image["reference"], image["config_digest"]) for image in manifest["images"]] == [
        ("full", "sample:full", "sha256:12"),
        ("minimal", "sample:full", "sha256:12"),
    ]
    assert manifest["started_utc"] == manifest["finished_utc"] == "2023-11-14T22:13:20Z"
    assert set(manifest["libraries"]) >= {"pandas", "papermill", "nbconvert", "matplotlib"}
    assert re.fullmatch(r"3\.\d+\.\d+", manifest["python"])
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", manifest["tool"]["commit"] or "0" * 40)


def test_the_manifest_has_every_input_with_its_digest(tmp_path, monkeypatch):
    (tmp_path / "policy.yml").write_bytes(b"schema: 1\n")
    (tmp_path / "a.vex.json").write_bytes(b"{}")
    (tmp_path / "b c.json").write_bytes(b"[]")
    (tmp_path / "image.tar").write_bytes(b"never read")
    parameters = (
        "policy_file: str = None\nvex: str = ''\nscanner_reports: str = ''\nfleet_dir: str = ''\nimage: str = ''"
    )
    notebook = write_notebook(tmp_path, parameters=parameters)
    monkeypatch.chdir(tmp_path)
    given = {
        "policy_file": "policy.yml",
        "vex": "a.vex.json:policy.yml",
        "scanner_reports": "b c.json",
        "fleet_dir": ".",
    }
    given |= {"image": "docker-archive:image.tar"}
    report = run_report(notebook, "out", given, progress=False)
    manifest = json.loads((report.folder / "manifest.json").read_text())
    assert manifest["inputs"]["notebook"] == {
        "name": "example.ipynb",
        "sha256": hashlib.sha256(notebook.read_bytes()).hexdigest(),
    }
    assert [tuple(one.values()) for one in manifest["inputs"]["files"]] == [
        ("policy_file", "policy.yml", 10, hashlib.sha256(b"schema: 1\n").hexdigest()),
        ("vex", "a.vex.json", 2, hashlib.sha256(b"{}").hexdigest()),
        ("vex", "policy.yml", 10, hashlib.sha256(b"schema: 1\n").hexdigest()),
        ("scanner_reports", "b c.json", 2, hashlib.sha256(b"[]").hexdigest()),
        ("fleet_dir", ".", None, None),
    ]
    assert manifest["formats"] == ["html"]


def test_the_checksums_are_those_of_the_files(two_runs):
    report, _ = two_runs
    listed = json.loads((report.folder / "manifest.json").read_text())["files"]
    files = files_of(report.folder)
    assert sorted(listed) == sorted(set(files) - {"manifest.json", "SHA256SUMS", "statement.intoto.json"})
    for name, facts in listed.items():
        assert facts == {"sha256": hashlib.sha256(files[name]).hexdigest(), "bytes": len(files[name])}
    if shutil.which("sha256sum"):
        subprocess.run(
            ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=report.folder, check=True, capture_output=True
        )


def test_a_report_names_no_path_of_the_machine_and_no_time(two_runs):
    report, _ = two_runs
    for name, content in files_of(report.folder).items():
        assert str(report.folder.parent).encode() not in content, name
        assert b".mine-" not in content, name
    notebook = nbformat.read(report.folder / "report.ipynb", as_version=4)
    assert notebook.metadata.papermill == {"parameters": {"top_n": 3, "output_dir": "."}}
    assert [cell.metadata for cell in notebook.cells if cell.metadata] == [
        {"tags": ["parameters"]},
        {"tags": ["injected-parameters"]},
    ]
    assert notebook.cells[2].source == '# Parameters\ntop_n = 3\noutput_dir = "."'


def test_a_chart_is_shown_though_the_caller_draws_elsewhere(two_runs, monkeypatch, tmp_path):
    report, _ = two_runs
    assert (report.folder / "report.html").read_text().count('src="data:image/png;base64,') == 1
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = write_notebook(tmp_path, "import matplotlib.pyplot as plt\nax = plt.figure().add_subplot()")
    report = run_report(notebook, tmp_path / "out", {}, progress=False)
    assert (report.folder / "report.html").read_text().count('src="data:image/png;base64,') == 1


def test_an_image_without_a_database_is_a_gap_and_a_damaged_one_is_said_first(two_runs, tmp_path):
    report, _ = two_runs
    assert report.gaps == ("minimal: no package database was found, so its packages are unknown",)
    assert not report.is_damaged
    damaged = """\
rows.append(Database(image="minimal", database_path="/lib/apk/db/installed", format="apk", status="damaged",
                     package_count=None, detail="line 7: expected 'P:'"))"""
    found = run_report(write_notebook(tmp_path, IMAGES, damaged, TABLES), tmp_path / "out", {}, progress=False)
    assert found.gaps == ("minimal: /lib/apk/db/installed (apk database) is damaged: line 7: expected 'P:'",)
    assert found.is_damaged
    page = (found.folder / "report.html").read_text()
    assert page.index("Something could not be read") < page.index("<main")
    assert json.loads((found.folder / "manifest.json").read_text())["gaps"] == list(found.gaps)


def test_a_failing_cell_leaves_the_marked_notebook_and_no_page(tmp_path):
    out = tmp_path / "out"
    run_report(write_notebook(tmp_path, "1"), out, {}, progress=False)
    assert (out / "report.html").exists()
    failing = write_notebook(tmp_path, "a = 1\nb = a / 0")
    with pytest.raises(AuditError) as caught:
        run_report(failing, out, {"top_n": 4}, progress=False)
    assert str(caught.value) == "example, cell 3 (a = 1): ZeroDivisionError: division by zero"
    assert sorted(files_of(out)) == ["SHA256SUMS", "manifest.json", "report.ipynb", "statement.intoto.json"]
    assert "papermill-error-cell" in (out / "report.ipynb").read_text()
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["status"], manifest["error"]) == ("failed", str(caught.value))
    run_report(write_notebook(tmp_path, "1"), out, {}, progress=False)
    assert (out / "report.html").exists()
    assert "papermill-error-cell" not in (out / "report.ipynb").read_text()


def test_an_audit_error_in_a_cell_is_passed_on_as_it_is(tmp_path):
    notebook = write_notebook(
        tmp_path, "from audit_lib.errors import SourceError\nraise SourceError('x: no such image')"
    )
    with pytest.raises(AuditError, match=r"^x: no such image$"):
        run_report(notebook, tmp_path / "out", {}, progress=False)


def test_a_kernel_that_dies_is_one_clear_error(tmp_path):
    notebook = write_notebook(tmp_path, "import os\nos._exit(9)")
    with pytest.raises(AuditError, match=r"^example: the kernel stopped: "):
        run_report(notebook, tmp_path / "out", {}, progress=False)
    assert not (tmp_path / "out" / "report.html").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (
            {"full_imag": "x"},
            UnknownParameterError,
            "example has no parameter 'full_imag', did you mean 'full_image'? " + KNOWN,
        ),
        ({"top_n": "many"}, AuditError, "example: parameter top_n: expected int, found 'many'"),
        ({"top_n": 1.5}, AuditError, "example: parameter top_n: expected int, found 1.5"),
        ({"top_n": True}, AuditError, "example: parameter top_n: expected int, found True"),
        ({"top_n": None}, AuditError, "example: parameter top_n: expected int, found None"),
        ({"full_image": 3}, AuditError, "example: parameter full_image: expected str, found 3"),
        ({"strict": "maybe"}, AuditError, "example: parameter strict: expected bool, found 'maybe'"),
        (
            {"output_dir": "x"},
            AuditError,
            "example: parameter output_dir is the report's own folder and cannot be given",
        ),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, parameters, error, message):
    with pytest.raises(error) as caught:
        run_report(write_notebook(tmp_path), tmp_path / "out", parameters)
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_a_relative_path_of_the_caller_is_absolute_in_the_notebook_and_as_given_in_the_report(tmp_path, monkeypatch):
    here = tmp_path / "{full_image} {x}"  # Papermill takes braces in a path for parameters
    here.mkdir()
    notebook = write_notebook(tmp_path, "assert full_image == " + repr(f"docker-archive:{here}/image.tar"))
    monkeypatch.chdir(here)
    report = run_report(notebook, "out", {"full_image": "docker-archive:image.tar"}, progress=False)
    assert report.folder == here / "out"
    manifest = json.loads((report.folder / "manifest.json").read_text())
    assert manifest["parameters"]["full_image"] == "docker-archive:image.tar"
    assert str(tmp_path) not in nbformat.read(report.folder / "report.ipynb", as_version=4).cells[2].source


def test_a_folder_with_a_foreign_report_is_refused_before_the_notebook_runs(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(
        AuditError, match=r"report\.html is there and was not written by an earlier run into this folder"
    ):
        run_report(write_notebook(tmp_path, "1"), tmp_path, {}, progress=False)
    assert sorted(files_of(tmp_path)) == ["example.ipynb", "report.html"]


def test_tables_of_another_shape_under_the_names_of_ours_are_refused(tmp_path):
    wrong = "from pathlib import Path\nfolder = Path(output_dir, 'tables')\nfolder.mkdir()\n"
    wrong += "for name in ('images', 'databases'): (folder / f'{name}.csv').write_text('a\\n1\\n')"
    with pytest.raises(TableError, match=r"^images: expected the columns 'image', .*, found 'a'$"):
        run_report(write_notebook(tmp_path, wrong), tmp_path / "out", {}, progress=False)
    assert not (tmp_path / "out").exists()


def test_a_notebook_that_does_not_exist_or_is_none_is_an_error(tmp_path):
    (tmp_path / "bad.ipynb").write_text("{]")
    with pytest.raises(
        AuditError, match=r"^no notebook is called 'nothing': expected a path, or one of: compare_images"
    ):
        find_notebook("nothing")
    with pytest.raises(AuditError, match=r"nothing\.ipynb: no such notebook$"):
        find_notebook(tmp_path / "nothing.ipynb")
    with pytest.raises(AuditError, match=r"bad\.ipynb: expected a Jupyter notebook: "):
        notebook_parameters(tmp_path / "bad.ipynb")


def test_an_unknown_format_and_a_folder_that_is_a_file_are_errors(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AuditError, match=r"^format 'docx': expected one of csv, parquet, .*, html, pdf$"):
        run_report(write_notebook(tmp_path), tmp_path / "out", {}, formats=["docx"])
    with pytest.raises(AuditError, match=r"file: expected a folder for the report, found a file$"):
        run_report(write_notebook(tmp_path), tmp_path / "file", {})


def test_the_progress_bar_is_on_standard_error_and_only_where_asked_for(tmp_path, capfd):
    notebook = write_notebook(tmp_path, "1")
    run_report(notebook, tmp_path / "quiet", {}, progress=False)
    assert capfd.readouterr() == ("", "")
    run_report(notebook, tmp_path / "loud", {}, progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "example:   0%|" in shown.err


def test_the_time_of_a_run_must_be_a_number(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(AuditError, match=r"^SOURCE_DATE_EPOCH: expected seconds since 1970, found 'yesterday'$"):
        run_report(write_notebook(tmp_path), Path(tmp_path / "out"), {})


def test_a_format_that_a_notebook_cannot_give_is_refused_and_those_that_it_can_are_named(tmp_path):
    with pytest.raises(AuditError) as caught:
        run_report(write_notebook(tmp_path), tmp_path / "out", {}, formats=["html", "sarif"])
    said = "example: format 'sarif' is made of single images, and this notebook hands none over (it does not call write_audits)"
    assert str(caught.value).startswith(said)
    assert not (tmp_path / "out").exists()
