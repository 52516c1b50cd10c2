"""Files that are not as their package brought them, told against `dpkg --verify` on a real root file system."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pandas as pd

from audit_lib.audit import Audit, audit
from tests.images import layer_tar, oci_dir
from tests.tools import tool

STANZA = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
INFO = "var/lib/dpkg/info"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


BASE = {
    "var/lib/dpkg/status": STANZA.format("one"),
    f"{INFO}/one.list": "/usr/bin/one\n/usr/bin/two\n/usr/share/doc/one\n",
    f"{INFO}/one.md5sums": f"{md5(b'first')}  usr/bin/one\n{md5(b'second')}  usr/bin/two\n{md5(b'doc')}  usr/share/doc/one\n",
    "usr/bin/one": b"first",
    "usr/bin/two": b"second",
}


def audited(path: Path, *layers, check_files: bool = False) -> Audit:
    oci_dir(path / "image", layers=layers)
    return audit(f"oci-dir:{path / 'image'}", check_files=check_files)


def rows(found: Audit) -> list[tuple]:
    table = found.altered_files[["path", "change", "package", "layer"]].astype(object)
    return [tuple(None if pd.isna(value) else value for value in row) for row in table.itertuples(index=False)]


def test_a_file_that_a_later_layer_stores_anew_is_rewritten_whatever_is_in_it(tmp_path):
    found = audited(tmp_path, BASE, {"usr/bin/one": b"other", "usr/bin/two": b"second"})
    assert rows(found) == [("/usr/bin/one", "rewritten", "one", 2), ("/usr/bin/two", "rewritten", "one", 2)]
    assert found.altered_files["found_digest"].isna().all()


def test_with_digests_only_what_differs_is_changed_and_what_is_not_there_is_missing(tmp_path):
    found = audited(tmp_path, BASE, {"usr/bin/one": b"other", "usr/bin/two": b"second"}, check_files=True)
    assert rows(found) == [("/usr/bin/one", "changed", "one", 2), ("/usr/share/doc/one", "missing", "one", None)]
    row = found.altered_files.iloc[0]
    assert (row["expected_digest"], row["found_digest"]) == (f"md5:{md5(b'first')}", f"md5:{md5(b'other')}")
    assert (
        f"oci-dir:{tmp_path}/image: 1 files are not those that their packages state (see altered_files)" in found.notes
    )


def test_a_package_upgraded_in_the_later_layer_brought_its_files_there(tmp_path):
    found = audited(
        tmp_path,
        BASE,
        {"var/lib/dpkg/status": STANZA.format("one").replace("Version: 1", "Version: 2"), "usr/bin/one": b"new"},
    )
    assert rows(found) == []


def test_an_apk_package_states_sha1_and_a_wheel_sha256(tmp_path):
    # sha1 of b"x" in base64, by `printf x | openssl dgst -sha1 -binary | base64`
    apk = "P:a\nV:1\nF:usr/bin\nR:x\nZ:Q1EfatjsUqKYSrqv18O1FlA3hcIHI=\nR:y\nZ:Q1EfatjsUqKYSrqv18O1FlA3hcIHI=\n\n"
    site = "usr/lib/python3/site-packages"
    # sha256 of b"x", by `printf x | openssl dgst -sha256 -binary | basenc --base64url`
    digest = "LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE"
    found = audited(
        tmp_path,
        {
            "lib/apk/db/installed": apk,
            "usr/bin/x": b"x",
            "usr/bin/y": b"not x",
            f"{site}/w-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: w\nVersion: 1\n",
            f"{site}/w-1.dist-info/RECORD": f"w/a.py,sha256={digest},1\nw/b.py,sha256={digest},1\nw-1.dist-info/RECORD,,\n",
            f"{site}/w/a.py": b"x",
            f"{site}/w/b.py": b"y",
        },
        check_files=True,
    )
    assert rows(found) == [
        ("/usr/bin/y", "changed", "a", 1),
        (f"/{site}/w/b.py", "changed", "w", 1),
    ]


def test_a_real_system_altered_is_told_as_dpkg_tells_it(base_image_tar: Path, tmp_path: Path):
    tool("dpkg")
    root = tmp_path / "root"
    with tarfile.open(base_image_tar) as tar:
        tar.extractall(  # noqa: S202 - our own tar
            root, filter="fully_trusted", members=(one for one in tar if not one.isdev())
        )
    edited, gone = root / "usr/bin/tar", root / "usr/bin/sort"
    edited.write_bytes(edited.read_bytes() + b"!")
    gone.unlink()
    told = subprocess.run(
        ["dpkg", f"--root={root}", "--verify", "--verify-format=rpm"], capture_output=True, text=True, check=False
    ).stdout
    # "??5?????? c /etc/x": what is a configuration file has a c; these may differ, as in the build's hooks
    expected = {line.split()[-1] for line in told.splitlines() if " c " not in line}
    assert {"/bin/tar", "/usr/bin/sort"} <= {path.replace("/usr/bin/tar", "/bin/tar") for path in expected}
    layer = layer_tar({"usr/bin/tar": edited.read_bytes(), "usr/bin/.wh.sort": ""})
    oci_dir(tmp_path / "image", layers=[base_image_tar.read_bytes(), layer], compression="")
    found = audit(f"oci-dir:{tmp_path / 'image'}", check_files=True)
    real = {path.replace("/usr/", "/") for path in found.altered_files["path"]}
    assert real == {path.replace("/usr/", "/") for path in expected}
