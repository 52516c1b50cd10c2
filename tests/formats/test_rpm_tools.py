"""rpm, held against rpm itself: packages that rpmbuild made and `rpm --install` put into a root file system."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from audit_lib import Audit, audit
from audit_lib.distribution import Distribution
from audit_lib.formats import rpm, rpmbdb
from audit_lib.formats.base import Note
from audit_lib.purl import purl_of
from tests import rpms
from tests.formats.tree import DictTree
from tests.images import Entry, Layer, file, folder, oci_dir, symlink
from tests.syft import run_syft, syft_packages

SQLITE, BDB = "var/lib/rpm/rpmdb.sqlite", "var/lib/rpm/Packages"
FACTS = r"%{NAME}\t%{EVR}\t%{ARCH}\t%{LICENSE}\t%{LONGSIZE}\t%{SOURCERPM}\t%{EPOCH}\t%{MODULARITYLABEL}\t%{VENDOR}\n"
FILES = r"[%{=NAME}\t%{=ARCH}\t%{FILENAMES}\t%{FILESTATES:fstate}\t%{FILEFLAGS:fflags}\t%{FILEVERIFYFLAGS}\t%{FILEDIGESTS}\n]"
ALGORITHM = {"one": "sha256", "one-libs": "sha256", "old": "md5", "bare": "sha512", "bare-sub": "sha512"}


class Built(NamedTuple):
    packages: list[Path]
    root: Path

    def of(self, *names: str) -> list[Path]:
        return [path for path in self.packages if path.name.rsplit("-", 2)[0] in names]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    rpms.needs("rpm", "rpmbuild")
    packages = rpms.build(tmp_path_factory.mktemp("packages"))
    root = tmp_path_factory.mktemp("root")
    rpms.install(root, packages)
    return Built(packages, root)


def facts(data: bytes, place: str = SQLITE) -> list[list[str]]:
    """Return our packages as `rpm -qa` with FACTS prints them."""
    headers = {rpm._key(rpm._found(header, place)): header for header in rpm.parse(data, place)}
    rows = []
    for found in rpm.FORMAT.read(DictTree({place: data}), place):
        qualifiers = dict(found.qualifiers)
        rows.append(
            [
                found.name,
                str(found.version),
                found.architecture or "(none)",
                "".join(found.licenses),
                str(found.installed_size_bytes),
                *(qualifiers.get(key, "(none)") for key in ("upstream", "epoch", "rpmmod")),
                headers[rpm._key(found)].text(rpms.VENDOR) or "(none)",
            ]
        )
    return sorted(rows)


def test_packages_are_those_that_rpm_lists_field_by_field(built: Built):
    found = facts((built.root / SQLITE).read_bytes())
    assert found == rpms.query(built.root, FACTS)
    assert [row[:3] for row in found] == [
        ["bare", "7-1^git", "i686"],
        ["bare", "7-1^git", "x86_64"],
        ["bare-sub", "0:8-1^git", "i686"],
        ["bare-sub", "0:8-1^git", "x86_64"],
        ["old", "1.0~rc1-1", "x86_64"],
        ["one", "2:1.5-3.el9", "noarch"],
        ["one-libs", "2:1.5-3.el9", "noarch"],
    ]


@pytest.mark.parametrize(("page_size", "is_big"), [(512, False), (4096, True), (65536, False)])
def test_packages_in_berkeley_db_are_those_that_rpm_reads_there(
    built: Built,
    tmp_path: Path,
    page_size: int,
    is_big: bool,  # noqa: FBT001 - a case
):
    rpms.needs("db5.3_load")
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    headers = rpms.blobs(built.root / SQLITE)
    data = rpms.berkeley(tmp_path / BDB, headers, page_size=page_size, is_big=is_big)
    assert dict(rpmbdb.parse(data, BDB)) == headers
    assert facts(data, BDB) == rpms.query(tmp_path, FACTS, backend="bdb_ro")
    assert len(facts(data, BDB)) == 7


def test_files_and_digests_are_those_that_rpm_lists(built: Built):
    tree = DictTree({SQLITE: (built.root / SQLITE).read_bytes()})
    listed: dict[tuple[str, str], list[list[str]]] = {}
    for name, architecture, *facts_of_file in rpms.query(built.root, FILES):
        listed.setdefault((name, architecture), []).append(facts_of_file)
    owned, checked = 0, 0
    for found in rpm.FORMAT.read(tree, SQLITE):
        rows = listed[found.name, found.architecture]
        expected = [path for path, state, flags, *_ in rows if state == "normal" and "g" not in flags]
        assert sorted(f"/{path}" for path in rpm.FORMAT.files(tree, found)) == expected
        digests = {
            path.lstrip("/"): (ALGORITHM[found.name], digest)
            for path, _, flags, verify, digest in rows
            if digest and int(verify) & 1 and not set("cgm") & set(flags)
        }
        assert rpm.FORMAT.digests(tree, found) == digests
        owned, checked = owned + len(expected), checked + len(digests)
    assert (owned, checked) == (615, 309)


def test_every_file_that_rpm_lists_stands_in_the_header_ghosts_included(built: Built):
    listed = sorted(rpms.run("rpm", f"--root={built.root}", "--dbpath=/var/lib/rpm", "-qal").splitlines())
    headers = rpm.parse((built.root / SQLITE).read_bytes(), SQLITE)
    assert sorted(f"/{one.path}" for header in headers for one in rpm.parse_files(header)) == listed


def test_documentation_that_was_left_out_is_not_owned(built: Built, tmp_path: Path):
    rpms.install(tmp_path, built.of("one"), "--excludedocs")
    tree = DictTree({SQLITE: (tmp_path / SQLITE).read_bytes()})
    [found] = rpm.FORMAT.read(tree, SQLITE)
    states = {row[2]: row[3] for row in rpms.query(tmp_path, FILES)}
    assert states["/usr/share/doc/one/README"] == "not installed"
    assert "usr/share/doc/one/README" not in rpm.FORMAT.files(tree, found)
    assert "usr/share/doc/one/README" not in rpm.FORMAT.digests(tree, found)


def test_a_key_that_was_imported_is_listed_as_rpm_lists_it(shared_data: Path, tmp_path: Path):
    rpms.needs("rpm")
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    shutil.copy(shared_data / "rpmdb" / "rpm-testsuite.rpmdb.sqlite", tmp_path / SQLITE)
    told = rpms.query(tmp_path, r"%{NAME}\t%{VERSION}-%{RELEASE}\n")
    found = rpm.FORMAT.read(DictTree({SQLITE: (tmp_path / SQLITE).read_bytes()}), SQLITE)
    assert sorted([one.name, one.version] for one in found) == told


def test_a_package_that_stands_in_the_log_alone_is_listed_as_rpm_lists_it(built: Built, tmp_path: Path):
    rpms.install(tmp_path, built.of("old"))
    [added] = (blob for number, blob in rpms.blobs(built.root / SQLITE).items() if b"one-libs\0" in blob)
    with closing(sqlite3.connect(tmp_path / SQLITE, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("INSERT INTO Packages VALUES (NULL, ?)", (added,))
        data, log = (tmp_path / SQLITE).read_bytes(), Path(f"{tmp_path / SQLITE}-wal").read_bytes()
    (tmp_path / SQLITE).write_bytes(data)
    Path(f"{tmp_path / SQLITE}-wal").write_bytes(log)
    assert [found.name for found in rpm.FORMAT.read(DictTree({SQLITE: data}), SQLITE)] == ["old"]
    *found, note = rpm.FORMAT.read(DictTree({SQLITE: data, f"{SQLITE}-wal": log}), SQLITE)
    assert sorted([one.name] for one in found) == rpms.query(tmp_path, r"%{NAME}\n") == [["old"], ["one-libs"]]
    assert note == Note("read with what is committed in rpmdb.sqlite-wal beside it, and not in the file itself yet")


def test_syft_finds_the_same_names_and_versions(built: Built):
    told = {(name, version) for name, version, _ in syft_packages(f"dir:{built.root}", "rpm-db-cataloger")}
    found = rpm.FORMAT.read(DictTree({SQLITE: (built.root / SQLITE).read_bytes()}), SQLITE)
    assert {(one.name, one.version) for one in found} == told


@pytest.mark.parametrize(
    ("name", "place", "distro"),
    [
        ("sle15-bci.Packages.db", "usr/lib/sysimage/rpm/Packages.db", ("sles", "15.5")),
        ("ubi8-libuuid.Packages", BDB, ("rhel", "8.8")),
        ("rpm-testsuite.rpmdb.sqlite", SQLITE, ("fedora", "40")),
    ],
)
def test_syft_says_the_same_of_real_databases_purl_by_purl(
    shared_data: Path, tmp_path: Path, name: str, place: str, distro: tuple[str, str]
):
    data = (shared_data / "rpmdb" / name).read_bytes()
    release = "ID={}\nVERSION_ID={}\n".format(*distro).encode()
    for path, content in {place: data, "etc/os-release": release}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
    told = json.loads(run_syft(f"dir:{tmp_path}", "rpm-db-cataloger"))["artifacts"]
    found = rpm.FORMAT.read(DictTree({place: data}), place)
    made = {(one.name, one.version, purl_of(rpm.FORMAT, one, Distribution(*distro))) for one in found}
    assert made == {(one["name"], one["version"], one["purl"]) for one in told}


def snapshot(root: Path) -> dict[str, Entry]:
    """Return what lies below a root, as members of a layer."""
    found = {}
    for path in sorted(root.rglob("*")):
        name, status = str(path.relative_to(root)), path.lstat()
        if path.is_symlink():
            found[name] = symlink(os.readlink(path))
        elif path.is_dir():
            found[name] = folder(mode=stat.S_IMODE(status.st_mode))
        else:
            found[name] = file(path.read_bytes(), mode=stat.S_IMODE(status.st_mode))
    return found


def difference(before: dict[str, Entry], after: dict[str, Entry]) -> Layer:
    """Return the layer that makes of one tree the other."""
    gone = {f"{Path(path).parent}/.wh.{Path(path).name}": "" for path in before if path not in after}
    return {path: entry for path, entry in after.items() if before.get(path) != entry} | gone


def rows(table: pd.DataFrame, *columns: str) -> list[tuple]:
    chosen = table[list(columns)].astype(object)
    return [tuple(None if pd.isna(value) else value for value in row) for row in chosen.itertuples(index=False)]


@pytest.fixture(scope="module")
def layered(built: Built, tmp_path_factory) -> tuple[Audit, Path]:
    """Return the audit of an image of four layers, and its root: installed, removed and installed, upgraded, tampered with."""
    root = tmp_path_factory.mktemp("layered")
    (root / "usr/lib/sysimage/rpm").mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    (root / "var/lib/rpm").symlink_to("../../usr/lib/sysimage/rpm")  # as in Fedora
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text("ID=fedora\nVERSION_ID=40\n")
    states: list[dict[str, Entry]] = [{}]

    def committed() -> None:
        states.append(snapshot(root))

    rpms.install(root, built.of("one", "old"))
    committed()
    rpms.run("rpm", f"--root={root}", "--dbpath=/var/lib/rpm", "--erase", "--nodeps", "old")
    rpms.install(root, built.of("bare-sub"))
    committed()
    rpms.install(root, built.of("one-libs"))
    committed()
    (root / "usr/bin/one").unlink()
    (root / "usr/bin/one").write_text("tampered\n")
    (root / "usr/share/doc/one/README").unlink()
    for path in ("etc/one.conf", "usr/lib/one/a/unverified", "usr/lib/one/optional", "usr/share/sub"):
        (root / path).write_text("other\n")
    (root / "var/log").mkdir(exist_ok=True)
    (root / "var/log/one.log").write_text("log\n")
    committed()
    layers = [difference(before, after) for before, after in pairwise(states)]
    image = tmp_path_factory.mktemp("image") / "image"
    oci_dir(image, layers)
    return audit(f"oci-dir:{image}", check_files=True), root


def test_the_layer_that_brought_a_package_is_told_from_the_database_of_each(layered):
    found, _ = layered
    assert rows(found.packages, "name", "version", "architecture", "first_layer", "database_path") == [
        ("bare-sub", "0:8-1^git", "i686", 2, "/usr/lib/sysimage/rpm/rpmdb.sqlite"),
        ("bare-sub", "0:8-1^git", "x86_64", 2, "/usr/lib/sysimage/rpm/rpmdb.sqlite"),
        ("one", "2:1.5-3.el9", "noarch", 1, "/usr/lib/sysimage/rpm/rpmdb.sqlite"),
        ("one-libs", "2:1.5-3.el9", "noarch", 3, "/usr/lib/sysimage/rpm/rpmdb.sqlite"),
    ]
    assert list(found.packages["purl"])[2] == (
        "pkg:rpm/fedora/one@1.5-3.el9?arch=noarch&distro=fedora-40&epoch=2&rpmmod=one:1:920240101:9&upstream=one-1.5-3.el9.src.rpm"
    )


def test_a_package_that_a_layer_removed_is_listed_with_the_bytes_that_remain(layered):
    found, _ = layered
    columns = ("name", "version", "change", "first_layer", "removed_layer", "hidden_bytes", "left_file_count")
    assert rows(found.removed_packages, *columns) == [("old", "1.0~rc1-1", "removed", 1, 2, 1092, 0)]


def test_files_belong_to_the_package_that_rpm_names(layered):
    found, root = layered
    files = found.files[found.files["kind"].isin(["file", "hardlink"])]
    for path, package in rows(files, "path", "package"):
        told = rpms.run("rpm", f"--root={root}", "--dbpath=/var/lib/rpm", "-qf", "--qf=%{NAME}\n", path, is_sure=False)
        names = [line for line in told.splitlines() if " " not in line]  # else "file … is not owned by any package"
        # rpm names a package for a ghost, whose contents it did not bring
        assert package == (names[0] if names and path != "/var/log/one.log" else None), path
    assert int(files["package"].notna().sum()) == 8


def test_altered_files_are_those_that_rpm_verify_tells(layered):
    found, root = layered
    told = rpms.run("rpm", f"--root={root}", "--dbpath=/var/lib/rpm", "-Va", "--nodeps", is_sure=False)
    changed, missing = set(), set()
    for line in told.splitlines():
        first, *kind, path = line.split()
        if kind not in (["c"], ["g"]):
            changed |= {path} if "5" in first else set()
            missing |= {path} if first == "missing" else set()
    assert "/usr/bin/one" in changed
    assert missing == {"/usr/share/doc/one/README"}
    altered = {(path, change) for path, change in rows(found.altered_files, "path", "change")}
    assert altered == {(path, "changed") for path in changed} | {(path, "missing") for path in missing}


def test_what_the_image_holds_is_read_and_nothing_of_rpm_is_said_to_be_absent(layered):
    found, _ = layered
    databases = found.databases[found.databases["format"] == "rpm"]
    assert rows(databases, "database_path", "status", "package_count") == [
        ("/usr/lib/sysimage/rpm/rpmdb.sqlite", "read", 4)
    ]
