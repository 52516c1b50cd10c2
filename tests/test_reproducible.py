"""The same images, versions and SOURCE_DATE_EPOCH give the same bytes, every format included, wherever and whenever it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from audit_lib.bundles import open_bundle
from audit_lib.exports.formats import FORMATS
from audit_lib.verification import verify
from tests.images import oci_dir
from tests.tools import tool, unavailable

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# In Turkish an I is not the capital of an i, in German a comma stands where a point does.
ELSEWHERE = {
    "one": ("UTC", "C", "0"),
    "another place": ("Asia/Kolkata", "tr_TR.UTF-8", "7"),
    "third": ("America/St_Johns", "de_DE.UTF-8", "8"),
}


def started(folder: Path, where: str, locales: Path, *words: str) -> subprocess.Popen[str]:
    """Start a report in a folder, time zone, locale, home, umask and order of sets of its own."""
    zone, locale, seed = ELSEWHERE[where]
    (folder / where / "deep").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "AUDIT_"))}
    environment |= {"SOURCE_DATE_EPOCH": "1735689600", "TZ": zone, "LC_ALL": locale, "LOCPATH": str(locales)}
    environment |= {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "HOME": str(folder / where), "AUDIT_STORE": "none"}
    return subprocess.Popen(
        [sys.executable, "-m", "audit_lib", "--quiet", "report", *words, "-o", f"deep/report {seed}"],
        cwd=folder / where,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        umask=0o077 if seed == "7" else 0o022,
    )


@pytest.fixture(scope="module")
def locales(tmp_path_factory) -> Path:
    """Return a folder with the locales that are asked for, made here."""
    folder = tmp_path_factory.mktemp("locales")
    for name in ("tr_TR", "de_DE"):
        command = [tool("localedef", "locales"), "-i", name, "-f", "UTF-8", folder / f"{name}.UTF-8"]
        if subprocess.run(command, capture_output=True, check=False).returncode > 1:  # 1: it warns, and has made it
            unavailable(f"{name} cannot be made (Debian: locales)")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    (report,) = (folder / "deep").iterdir()
    return {path.relative_to(report).as_posix(): path.read_bytes() for path in report.rglob("*") if path.is_file()}


def same_everywhere(folder: Path, locales: Path, *words: str, places: tuple[str, ...]) -> dict[str, bytes]:
    runs = [started(folder, where, locales, *words) for where in places]
    said = [run.communicate(timeout=300)[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), said
    first, *others = (contents(folder / where) for where in places)
    for other in others:
        assert sorted(first) == sorted(other)
        assert [name for name in first if first[name] != other[name]] == []
    return first


def test_a_comparison_in_every_format_is_the_same_bytes_in_other_folders_time_zones_and_locales(tmp_path, locales):
    words = ("sample:full", "sample:minimal", "--formats", ",".join(FORMATS))
    files = same_everywhere(tmp_path, locales, *words, places=("one", "another place"))
    endings = {name.partition(".")[2] for name in files}
    assert endings >= {
        "html",
        "pdf",
        "xlsx",
        "cdx.json",
        "spdx.json",
        "sarif",
        "junit.xml",
        "md",
        "csv",
        "parquet",
        "png",
        "svg",
    }
    with open_bundle(tmp_path / "one" / "deep" / "report 0") as bundle:
        assert len(verify(bundle).faults) == 0
    for name, data in files.items():
        assert str(tmp_path).encode() not in data, name


def test_a_notebook_of_many_images_gives_the_same_bytes_too(tmp_path, locales):
    words = ("--notebook", "fleet_overview", "--formats", "html,xlsx,parquet")
    files = same_everywhere(tmp_path, locales, *words, places=("one", "third"))
    assert "report.xlsx" in files


def test_images_and_policies_beside_the_report_give_the_same_bytes_wherever_they_lie(tmp_path, locales):
    for where in ("one", "another place"):
        (tmp_path / where).mkdir()
        oci_dir(tmp_path / where / "image", layers=[{"etc/os-release": "ID=debian\n", "bin/sh": b"\x7fELF"}])
        (tmp_path / where / "policy.yml").write_text("schema: 1\nname: ours\n")
    words = ("oci-dir:image", "--notebook", "compliance_review", "-p", "policy_file", "policy.yml")
    formats = ",".join(name for name in FORMATS if name != "pdf")
    files = same_everywhere(tmp_path, locales, *words, "--formats", formats, places=("one", "another place"))
    assert [name for name, data in files.items() if str(tmp_path).encode() in data] == []
    assert b'"reference": "oci-dir:image"' in files["manifest.json"]
    assert b'"path": "policy.yml"' in files["manifest.json"]
