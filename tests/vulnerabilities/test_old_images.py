"""Images of old packages: the ids that are expected were read out of the records by hand."""

from __future__ import annotations

import csv
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from audit_lib.audit import Audit, audit
from audit_lib.errors import AuditError
from audit_lib.vulnerabilities.database import Database
from tests import images, real_images
from tests.formats import test_cargo as cargo
from tests.formats import test_golang as golang
from tests.tools import unavailable
from tests.vulnerabilities.advisories import before, database, record

WHEELS = ("urllib3==1.24.1", "requests==2.19.1", "jinja2==2.10", "pillow==6.0.0")
# By the lists of versions in the records, which are matched by ranges here.
OF_WHEELS = {
    "jinja2": "PYSEC-2019-217 PYSEC-2021-66",
    "requests": "PYSEC-2018-28 PYSEC-2023-74",
    "urllib3": (
        "PYSEC-2019-132 PYSEC-2019-133 PYSEC-2020-148 PYSEC-2021-108 PYSEC-2023-192 PYSEC-2023-207 PYSEC-2023-212"
    ),
    "pillow": (
        "PYSEC-2019-110 PYSEC-2020-172 PYSEC-2020-76 PYSEC-2020-77 PYSEC-2020-78 PYSEC-2020-79 PYSEC-2020-80 PYSEC-2020-81 "
        "PYSEC-2020-82 PYSEC-2020-83 PYSEC-2020-84 PYSEC-2021-137 PYSEC-2021-138 PYSEC-2021-139 PYSEC-2021-317 PYSEC-2021-331 "
        "PYSEC-2021-35 PYSEC-2021-36 PYSEC-2021-37 PYSEC-2021-38 PYSEC-2021-39 PYSEC-2021-40 PYSEC-2021-41 PYSEC-2021-42 "
        "PYSEC-2021-69 PYSEC-2021-70 PYSEC-2021-71 PYSEC-2021-92 PYSEC-2021-93 PYSEC-2021-94 PYSEC-2022-10 PYSEC-2022-168 "
        "PYSEC-2022-42979 PYSEC-2022-8 PYSEC-2022-9 PYSEC-2023-175 PYSEC-2023-227"
    ),
}
GO_INFO = (
    "path\texample.com/app\n"
    "mod\texample.com/app\t(devel)\t\n"
    "dep\tgithub.com/dgrijalva/jwt-go\tv3.2.0+incompatible\th1:a=\n"
    "dep\tgithub.com/gin-gonic/gin\tv1.6.3\th1:b=\n"
    "dep\tgolang.org/x/text\tv0.3.7\th1:c=\n"
)
OF_GO = {
    "github.com/dgrijalva/jwt-go": "GO-2020-0017",  # no version of it is fixed
    "github.com/gin-gonic/gin": "GO-2021-0052 GO-2023-1737",  # GO-2020-0001 ends with 1.6.0
    "golang.org/x/text": "GO-2022-1059 GO-2026-5970",  # GO-2021-0113 ends with 0.3.7
    # Those that end with Go 1.26.6; of those that end with 1.26.5 or before, none.
    "stdlib": "GO-2026-5026 GO-2026-5942 GO-2026-5972 GO-2026-6088 GO-2026-6089 GO-2026-6090 GO-2026-6091 GO-2026-6218",
}
CRATES = {
    "packages": [
        {"name": "app", "version": "0.1.0", "source": "local", "root": True},
        {"name": "smallvec", "version": "0.6.9", "source": "crates.io"},
        {"name": "time", "version": "0.1.42", "source": "crates.io"},
        {"name": "hyper", "version": "0.14.11", "source": "crates.io"},
    ]
}
OF_RUST = {
    # RUSTSEC-2018-0003 ends with 0.6.3.
    "smallvec": "RUSTSEC-2018-0018 RUSTSEC-2019-0009 RUSTSEC-2019-0012 RUSTSEC-2021-0003",
    "time": "RUSTSEC-2020-0071",  # RUSTSEC-2026-0009 begins with 0.3.6
    "hyper": "RUSTSEC-2022-0022",  # the two of 2021 end with 0.14.10
}


def advisories_by_name(found: Audit) -> dict[str, set[str]]:
    """Return the records that were matched, by the name of the package."""
    said: dict[str, set[str]] = {}
    for name, ids in zip(found.vulnerabilities["name"], found.vulnerabilities["advisories"], strict=True):
        said.setdefault(name, set()).update(ids.split(", "))
    return said


def split(expected: dict[str, str]) -> dict[str, set[str]]:
    return {name: set(ids.split()) for name, ids in expected.items()}


def _image(folder: Path, layer: images.Layer) -> str:
    images.oci_dir(folder / "image", [layer])
    return f"oci-dir:{folder / 'image'}"


@pytest.fixture(scope="session")
def old_wheels() -> Path:
    """Return a folder with wheels of 2018 and 2019, out of the Python package index."""

    def build(path: Path) -> None:
        words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.7"]
        platforms = ["--platform=manylinux1_x86_64", "--implementation=cp", f"--dest={path}"]
        real_images.run([sys.executable, "-m", "pip", *words, *platforms, *WHEELS])

    try:
        return real_images.kept(real_images.CACHE / "old-wheels-1", build)
    except real_images.UnavailableError as error:
        unavailable(f"wheels of 2019 cannot be had: {error}")


def test_old_wheels_have_what_the_records_of_pypi_say(shared_database: Database, old_wheels: Path, tmp_path: Path):
    layer: dict[str, bytes | str | images.Entry | None] = {}
    for wheel in sorted(old_wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if ".dist-info/" in name:
                    layer[f"usr/local/lib/python3.7/site-packages/{name}"] = archive.read(name)
    found = audit(_image(tmp_path, layer), advisories=shared_database)
    assert advisories_by_name(found) == split(OF_WHEELS)
    rows = found.vulnerabilities.set_index("vulnerability_id")
    assert rows.loc["CVE-2018-18074", "advisories"] == "PYSEC-2018-28"
    assert rows.loc["CVE-2023-32681", "fixed_version"] == "2.31.0"
    counts = found.vulnerability_counts.set_index(["counted", "severity"])["vulnerability_count"]
    assert (counts["matches", "all"], counts["unique ids", "all"], counts["after VEX", "all"]) == (48, 48, 48)


@pytest.mark.parametrize("release", ["3.10.9", "3.20.3"])
def test_an_alpine_has_exactly_the_known_answers(shared_data: Path, shared_database: Database, tmp_path: Path, release):
    place = shared_data / "apk" / release
    layer = {
        "lib/apk/db/installed": (place / "lib/apk/db/installed").read_bytes(),
        "etc/os-release": (place / "os-release").read_bytes(),
    }
    found = audit(_image(tmp_path, layer), advisories=shared_database)
    with (shared_data / "apk" / "expected.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["release"] == release]
    expected = {row["package"]: set(row["vulns"].split(",")) for row in rows if row["vulns"]}
    assert {row["package"] for row in rows} == set(found.packages["name"])
    assert advisories_by_name(found) == expected
    assert found.vulnerability_coverage["status"].tolist() == ["matched"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda: golang.binary(golang.in_line(GO_INFO, "go1.26.5")), OF_GO),
        (lambda: cargo.auditable(CRATES), OF_RUST),
    ],
    ids=["go", "rust"],
)
def test_an_executable_has_what_the_records_of_its_modules_say(
    shared_database: Database, tmp_path: Path, content: Callable[[], bytes], expected
):
    found = audit(_image(tmp_path, {"usr/bin/app": images.file(content(), mode=0o755)}), advisories=shared_database)
    assert advisories_by_name(found) == split(expected)


def test_an_image_is_known_by_the_advisories_that_are_held_and_no_others(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("AUDIT_ADVISORIES", str(tmp_path / "nothing"))
    status = "Package: thing\nStatus: install ok installed\nVersion: 1.0-1\nArchitecture: all\n\n"
    layer = {"etc/os-release": "ID=debian\nVERSION_ID=12\n", "var/lib/dpkg/status": status}
    reference = _image(tmp_path, layer)
    unknown = audit(reference)
    assert not any(
        unknown.knows(name) for name in ("vulnerabilities", "vulnerability_coverage", "vulnerability_counts")
    )
    held = database(tmp_path, [record("DEBIAN-CVE-2026-0001", "Debian:12", "thing", *before("1.0-2"))])
    known = audit(reference, advisories=held)
    assert known.knows("vulnerabilities")
    assert known.vulnerabilities["vulnerability_id"].tolist() == ["CVE-2026-0001"]
    assert known.gaps == ()
    assert not audit(reference, advisories="none").knows("vulnerabilities")
    monkeypatch.setenv("AUDIT_ADVISORIES", held.place)
    assert audit(reference).vulnerabilities.equals(known.vulnerabilities)


def test_what_a_sample_shows_does_not_depend_on_what_this_machine_has(tmp_path: Path, monkeypatch):
    held = database(tmp_path, [record("X-1", "PyPI", "thing", {"introduced": "0"})])
    monkeypatch.delenv("AUDIT_ADVISORIES")
    monkeypatch.setattr("audit_lib.vulnerabilities.database.default_place", lambda: held.place)
    assert not audit("sample:minimal").knows("vulnerabilities")


def test_a_sbom_is_held_against_advisories_as_an_image_is(tmp_path: Path):
    held = database(tmp_path, [record("X-1", "PyPI", "thing", *before("2"))])
    document = (
        '{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": '
        '[{"type": "library", "name": "thing", "version": "1.0", "purl": "pkg:pypi/thing@1.0"}]}'
    )
    path = tmp_path / "bom.json"
    path.write_text(document)
    found = audit(f"sbom:{path}", advisories=held)
    assert found.vulnerabilities[["vulnerability_id", "name", "fixed_version"]].values.tolist() == [
        ["X-1", "thing", "2"]
    ]


@pytest.mark.parametrize("how", ["cut", "altered", "of another version"])
def test_a_damaged_database_is_an_error_that_names_it(tmp_path: Path, monkeypatch, how):
    held = database(tmp_path, [record("X-1", "PyPI", "thing", *before("2"))])
    (path,) = Path(held.place).glob("*.parquet")
    data = path.read_bytes()
    if how == "of another version":
        monkeypatch.setattr("audit_lib.vulnerabilities.database._LAYOUT", 99)
    else:
        path.write_bytes(data[:-20] if how == "cut" else data[:40] + bytes([data[40] ^ 255]) + data[41:])
    site = "usr/lib/python3/dist-packages/thing-1.dist-info/METADATA"
    said = "was written by another version of this library" if how == "of another version" else "is damaged"
    with pytest.raises(AuditError, match=rf"osv-PyPI\.parquet {said}.*; update or import (it )?anew"):
        audit(_image(tmp_path, {site: "Metadata-Version: 2.1\nName: thing\nVersion: 1\n"}), advisories=held)
