"""Packages that a later layer removed: what the layers below still hold, and files that stay though nothing records them."""

from pathlib import Path

import pandas as pd

from audit_lib.audit import Audit, audit
from tests.images import oci_dir, symlink

STANZA = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"
INFO = "var/lib/dpkg/info"
TWO = {
    "var/lib/dpkg/status": STANZA.format("curl", "7.88") + STANZA.format("nano", "7.2"),
    f"{INFO}/curl.list": "/.\n/usr/bin\n/usr/bin/curl\n/lib/libcurl.so\n",
    f"{INFO}/nano.list": "/usr/bin/nano\n",
    "lib": symlink("usr/lib"),
    "usr/bin/curl": b"c" * 100,
    "usr/lib/libcurl.so": b"l" * 1000,
    "usr/bin/nano": b"n" * 10_000,
}
NO_CURL = {"var/lib/dpkg/status": STANZA.format("nano", "7.2"), f"{INFO}/.wh.curl.list": ""}


def audited(path: Path, *layers) -> Audit:
    history = [{"created_by": f"RUN step {number}"} for number in range(1, len(layers) + 1)]
    oci_dir(path / "image", layers=layers, config={"history": history})
    return audit(f"oci-dir:{path / 'image'}")


def rows(found: Audit) -> list[tuple]:
    columns = ["format", "name", "version", "change", "replaced_by", "first_layer", "removed_layer"]
    table = found.removed_packages[[*columns, "hidden_bytes", "left_file_count"]].astype(object)
    return [tuple(None if pd.isna(value) else value for value in row) for row in table.itertuples(index=False)]


def test_a_removed_package_is_listed_with_the_bytes_that_remain_below(tmp_path):
    found = audited(
        tmp_path,
        TWO,
        NO_CURL | {"usr/bin/.wh.curl": "", "usr/lib/.wh.libcurl.so": ""},
    )
    assert rows(found) == [("deb", "curl", "7.88", "removed", None, 1, 2, 1100, 0)]
    assert list(found.packages["name"]) == ["nano"]
    assert found.notes == ()


def test_an_upgraded_package_is_listed_with_what_replaced_it(tmp_path):
    found = audited(
        tmp_path,
        TWO,
        {"etc/motd": "x"},
        {
            "var/lib/dpkg/status": STANZA.format("curl", "8.0") + STANZA.format("nano", "7.2"),
            f"{INFO}/curl.list": "/usr/bin/curl\n/lib/libcurl.so\n",
            "usr/bin/curl": b"C" * 120,
        },
    )
    # libcurl.so is still the file of layer 1: only what is hidden counts
    assert rows(found) == [("deb", "curl", "7.88", "upgraded", "8.0", 1, 3, 100, 1)]


def test_a_database_deleted_over_files_that_stay_is_told_before_the_figures(tmp_path):
    lib = {"usr/lib/libc.so": b"\x7fELF" + bytes(96)}
    found = audited(tmp_path, TWO | lib, {"var/lib/.wh.dpkg": ""})
    assert rows(found) == [
        ("deb", "curl", "7.88", "metadata_deleted", None, 1, 2, 0, 2),
        ("deb", "nano", "7.2", "metadata_deleted", None, 1, 2, 0, 1),
    ]
    assert len(found.packages) == 0
    [note] = found.notes
    assert note.endswith(
        ": layer 2 deleted the records of 2 deb packages and left their files: "
        "they are still there, and no list names them (see removed_packages)"
    )


def test_a_package_that_comes_back_was_not_removed(tmp_path):
    status, listed = "var/lib/dpkg/status", f"{INFO}/curl.list"
    found = audited(tmp_path, TWO, NO_CURL, {status: TWO[status], listed: TWO[listed]})
    assert rows(found) == []
    assert found.packages.set_index("name")["first_layer"].to_dict() == {"curl": 3, "nano": 1}


def test_a_database_that_becomes_damaged_says_nothing_of_removed_packages(tmp_path):
    found = audited(tmp_path, TWO, {"var/lib/dpkg/status": "Package: cu"})
    assert rows(found) == []
    assert found.is_damaged


def test_files_shown_under_another_link_name_are_not_hidden(tmp_path):
    """A distribution of Python owns its folder's files by RECORD; deleting both leaves nothing in place."""
    site = "usr/lib/python3/dist-packages"
    info = f"{site}/six-1.16.0.dist-info"
    found = audited(
        tmp_path,
        {
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n",
            f"{info}/RECORD": "six.py,,\nsix-1.16.0.dist-info/METADATA,,\nsix-1.16.0.dist-info/RECORD,,\n",
            f"{site}/six.py": b"s" * 50,
        },
        {f"{site}/.wh.six-1.16.0.dist-info": "", f"{site}/.wh.six.py": ""},
    )
    [(form, name, version, change, *_, left)] = rows(found)
    assert (form, name, version, change, left) == ("pypi", "six", "1.16.0", "removed", 0)


def test_the_instruction_that_removed_and_the_one_that_brought_are_named(tmp_path):
    found = audited(tmp_path, TWO, NO_CURL)
    assert list(found.removed_packages["removed_by"]) == ["RUN step 2"]
    assert list(found.packages["created_by"]) == ["RUN step 1"]


def test_a_large_share_of_bytes_that_no_package_claims_is_told(tmp_path):
    found = audited(tmp_path, TWO | {"opt/app": b"a" * 100_000})
    [note] = found.notes
    assert ": no package claims 90.0 % of its bytes, so the packages tell only of the rest; a short list" in note
