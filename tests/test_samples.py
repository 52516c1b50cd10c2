"""The sample images: what they hold, and that blanking changes no table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from audit_lib import Audit, audit
from tests.images import oci_dir
from tests.samples import TARGET, blanked


@pytest.fixture(scope="module")
def full() -> Audit:
    return audit("sample:full")


@pytest.fixture(scope="module")
def minimal() -> Audit:
    return audit("sample:minimal")


def test_both_samples_together_are_below_a_megabyte():
    assert sum((TARGET / f"{name}.tar").stat().st_size for name in ("full", "minimal")) < 1_000_000


def test_the_full_sample_is_a_debian_as_users_build_it(full: Audit):
    image = full.image.iloc[0]
    assert (image["distro_id"], image["distro_version"], image["layer_count"]) == ("debian", "12", 5)
    assert image["cmd"] == '["/bin/sh", "-c", "python3 -m flask run --host 0.0.0.0 --port 8000"]'
    assert pd.isna(image["user"])
    assert full.packages["format"].value_counts().to_dict() == {"deb": 128, "pypi": 15}
    assert {"/usr/bin/bash", "/usr/bin/apt-get", "/usr/bin/curl", "/usr/bin/python3.11", "/usr/bin/pip3"} <= set(
        full.files["path"]
    )
    assert full.layers["reclaimable_bytes"].iloc[1] > 20_000_000  # lists and archives that a later layer deletes


def test_the_minimal_sample_has_no_shell_no_package_manager_and_a_user_of_its_own(minimal: Audit):
    image = minimal.image.iloc[0]
    assert image["user"] == "65532:65532"
    assert image["entrypoint"] == '["/usr/bin/python3.11", "-m", "flask", "run", "--host", "0.0.0.0", "--port", "8000"]'
    assert minimal.packages["format"].value_counts().to_dict() == {"deb": 30, "pypi": 12}
    files = minimal.files[minimal.files["kind"] != "directory"]
    names = set(files["path"].str.rpartition("/")[2])
    assert names & {"sh", "bash", "dash", "apt", "apt-get", "dpkg", "pip", "pip3", "busybox"} == set()
    databases = minimal.databases.set_index("database_path")["status"].to_dict()
    assert databases["/var/lib/dpkg/status"] == "absent"
    assert databases["/var/lib/dpkg/status.d"] == "read"


def test_both_samples_have_the_same_python(full: Audit, minimal: Audit):
    versions = [one.packages.set_index("name").loc["python3.11-minimal", "version"] for one in (full, minimal)]
    assert versions[0] == versions[1]


def test_a_sample_says_that_its_contents_are_blank(minimal: Audit):
    assert len(minimal.notes) == 1
    assert "other contents are blank" in minimal.notes[0]


def test_what_secrets_stand_in_the_files_of_a_sample_is_unknown_not_none(minimal: Audit):
    hidden = minimal.surface[minimal.surface["status"] == "unknown"]
    assert hidden["category"].tolist() == ["private keys", "secrets"]
    assert [gap for gap in minimal.gaps if "secrets are unknown" in gap] == [
        "sample:minimal: secrets are unknown: in files: the contents of a sample's files are blank"
    ]


def test_a_sample_names_no_machine(full: Audit, minimal: Audit):
    paths = pd.concat([full.files["path"], minimal.files["path"]])
    assert paths[paths.str.contains(r"^/tmp/.|/etc/(?:resolv.conf|hostname)$|debian\.org", regex=True)].tolist() == []


@pytest.mark.real
def test_a_fresh_debian_has_the_same_tables_before_and_after_blanking(base_image_tar: Path, tmp_path: Path):
    whole = base_image_tar.read_bytes()
    blank = blanked(whole)
    assert len(blank) > 100_000_000
    oci_dir(tmp_path / "whole", layers=[whole], compression="")
    oci_dir(tmp_path / "blank", layers=[blank], compression="")
    before, after = (audit(f"oci-dir:{tmp_path / name}") for name in ("whole", "blank"))
    assert len(before.packages) == 88
    for table in ("files", "databases", "packages"):
        pd.testing.assert_frame_equal(
            getattr(after, table).drop(columns="image"), getattr(before, table).drop(columns="image")
        )
    facts = ["distro_id", "distro_version", "file_bytes", "file_count", "package_count", "unowned_share"]
    pd.testing.assert_frame_equal(after.image[facts], before.image[facts])


@pytest.mark.parametrize("name", ["full", "minimal"])
def test_what_stands_in_the_programs_of_a_sample_is_unknown_not_damaged(name):
    found = audit(f"sample:{name}")
    assert not found.knows("binaries")
    assert [gap for gap in found.gaps if "ELF" in gap] == []
