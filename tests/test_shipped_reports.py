"""The shipped notebooks as `image-audit report` runs them, on the images that tempt a report to say zero or nothing."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.images import folder, oci_dir

STANZA = """\
Package: {0}
Status: install ok installed
Architecture: amd64
Version: 1.0
Installed-Size: 7

"""
WHOLE = {
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "var/lib/dpkg/status": STANZA.format("one") + STANZA.format("two"),
    "var/lib/dpkg/info/one.list": "/usr/bin/one\n",
    "usr/bin/one": b"\x7fELF" + bytes(2000),
}
CUT = WHOLE | {"var/lib/dpkg/status": STANZA.format("one") + "Package: tw"}
BINARY = {"app": b"\x7fELF" + bytes(5000)}


def report(path: Path, *words: str) -> tuple[int, str, Path]:
    """Run the command in a process of its own; return its exit code, what it said, and the report's folder."""
    done = subprocess.run(
        [sys.executable, "-m", "audit_lib", "report", *words, "-o", str(path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr, path / "out"


def image(path: Path, *layers) -> str:
    oci_dir(path, layers=list(layers))
    return f"oci-dir:{path}"


def page_text(out: Path) -> str:
    page = (out / "report.html").read_text(encoding="utf-8")
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """Make the report of a whole image against one whose dpkg status is cut in the middle."""
    path = tmp_path_factory.mktemp("cut")
    return report(path, image(path / "whole", WHOLE), image(path / "cut", CUT))


def test_a_damaged_database_ends_with_exit_code_2_and_a_report_all_the_same(cut):
    code, said, out = cut
    assert code == 2
    assert "/var/lib/dpkg/status (deb database) is damaged: " in said
    assert (out / "report.html").is_file()


def test_the_report_says_that_it_is_damaged_before_any_chart(cut):
    page = (cut[2] / "report.html").read_text(encoding="utf-8")
    assert page.index("is damaged") < page.index("<img")


def test_what_a_damaged_database_hides_is_missing_in_every_table(cut):
    images = pd.read_csv(cut[2] / "tables" / "images.csv").set_index("role")
    assert images.loc["full", "package_count"] == 2
    assert pd.isna(images.loc["minimal", "package_count"])
    assert pd.isna(images.loc["minimal", "unowned_share"])
    summary = pd.read_csv(cut[2] / "tables" / "summary.csv").set_index("measure")
    assert pd.isna(summary.loc["packages", "minimal"])
    assert pd.isna(summary.loc["packages", "reduction_share"])


@pytest.mark.parametrize("notebook", ["compare_images", "image_inventory"])
def test_an_image_without_a_database_has_unknown_packages_in_the_report(notebook, tmp_path):
    binary = image(tmp_path / "binary", BINARY)
    words = ["sample:full", binary] if notebook == "compare_images" else [binary]
    code, said, out = report(tmp_path, *words)
    assert code == 0, said
    assert "no package database was found, so its packages are unknown" in said
    page = page_text(out)
    assert "no package database was found, so its packages are unknown" in page
    assert ("an unknown number of packages" in page) == (notebook == "image_inventory")
    assert re.search(r"Package count (143 )?unknown Unowned share (15.2 % )?unknown", page)
    assert " 0 packages" not in page


def test_a_scratch_image_has_a_report(tmp_path):
    code, said, out = report(tmp_path, image(tmp_path / "scratch", {"empty": folder()}))
    assert code == 0, said
    assert "an unknown number of packages" in page_text(out)
    assert "no package database was found" in said


def test_a_wrong_reference_leaves_no_page_and_one_line(tmp_path):
    code, said, out = report(tmp_path, "sample:full", "docker-archive:/nowhere/x.tar")
    assert code == 2
    assert [line for line in said.splitlines() if "error" in line] == [
        "image-audit: error: /nowhere/x.tar: no such file or folder"
    ]
    assert not (out / "report.html").exists()


@pytest.mark.parametrize("is_compared", [False, True])
def test_an_image_known_from_an_sbom_is_reported_and_what_that_cannot_tell_is_said_first(tmp_path: Path, is_compared):
    component = {"type": "library", "name": "one", "version": "1.0", "purl": "pkg:deb/debian/one@1.0"}
    (tmp_path / "x.json").write_text(
        json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]})
    )
    full = [image(tmp_path / "full", WHOLE)] if is_compared else []
    code, said, out = report(tmp_path, *full, f"sbom:{tmp_path}/x.json")
    assert code == 0
    assert f"sbom:{tmp_path}/x.json: known from an SBOM alone, so its files, layers and sizes are unknown" in said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.index("known from an SBOM alone") < page.index("<figure")
    if is_compared:
        summary = pd.read_csv(out / "tables" / "summary.csv").set_index("measure")
        assert summary.loc["packages", ["full", "minimal"]].tolist() == [2, 1]
        assert summary.loc[["file_bytes", "files", "layers"], "minimal"].isna().all()
        changes = pd.read_csv(out / "tables" / "package_changes.csv")
        assert changes[["name", "change"]].to_numpy().tolist() == [["one", "kept"], ["two", "removed"]]
    else:
        assert "holds 1 packages by its SBOM; its files, layers and sizes are unknown." in page_text(out)


def test_a_report_of_many_images_names_those_that_failed_and_shows_the_others(tmp_path):
    whole, cut = image(tmp_path / "whole", WHOLE), image(tmp_path / "cut", CUT)
    bare = image(tmp_path / "bare", BINARY)
    images = f"{whole} {cut}\n{bare} oci-dir:{tmp_path}/gone"
    code, said, out = report(tmp_path, "--notebook", "fleet_overview", "-p", "images", images)
    assert code == 2
    assert f"oci-dir:{tmp_path}/gone could not be read: " in said
    assert "/var/lib/dpkg/status (deb database) is damaged: " in said
    page = page_text(out)
    assert "4 images: 2 read, 1 with a damaged package database, 1 not read." in page
    measures = pd.read_csv(out / "tables" / "measures.csv").set_index("image")
    assert measures.loc[whole, "package_count"] == 2
    assert measures.loc[[cut, bare, f"oci-dir:{tmp_path}/gone"], "package_count"].isna().all()
    assert measures.loc[f"oci-dir:{tmp_path}/gone"].drop("status").isna().all()
    assert json.loads((out / "manifest.json").read_text())["gaps"][0].startswith(f"{cut}: /var/lib/dpkg/status")


def test_a_report_of_many_images_takes_them_as_arguments_or_from_the_folder_of_a_run(tmp_path):
    first, second = image(tmp_path / "one", WHOLE), image(tmp_path / "two", WHOLE, BINARY)
    assert report(tmp_path / "a", first, second, "--notebook", "fleet_overview")[0] == 0
    shown = pd.read_csv(tmp_path / "a" / "out" / "tables" / "layers.csv")
    assert shown["image_count"].tolist().count(2) == 1
    subprocess.run(
        [sys.executable, "-m", "audit_lib", "fleet", "-", "-o", str(tmp_path / "fleet")],
        input=f"{first}\n{second}\n",
        text=True,
        check=True,
        capture_output=True,
    )
    assert report(tmp_path / "b", "--notebook", "fleet_overview", "-p", "fleet_dir", f"{tmp_path}/fleet")[0] == 0
    assert pd.read_csv(tmp_path / "b" / "out" / "tables" / "layers.csv").equals(shown)


def test_a_report_of_nothing_is_refused(tmp_path):
    code, said, _ = report(tmp_path)
    assert code == 2
    assert "name an image, or two, or a --notebook that asks for none" in said
