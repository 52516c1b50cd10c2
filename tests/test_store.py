"""Layers read once: the same tables from what a store remembers, and nothing believed that is damaged or was made otherwise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from audit_lib import Limits, audit
from audit_lib import store as store_module
from audit_lib.__main__ import cli
from audit_lib.audit import TABLES as AUDIT_TABLES
from audit_lib.errors import AuditError, ImageFormatError, LimitError
from audit_lib.reading import read_layers
from audit_lib.store import Store
from tests.images import capable, digest, docker_archive, file, hardlink, layer_tar, oci_archive, oci_dir, symlink

TABLES = ("image", "layers", "files", "databases", "packages", "removed_packages", "altered_files", "binaries")
STATUS = "Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
BASE = {
    "usr/lib/os-release": "ID=debian\n",
    "var/lib/dpkg/status": STATUS,
    "var/lib/dpkg/info/dash.md5sums": "d41d8cd98f00b204e9800998ecf8427e  bin/dash\n",
    "bin/dash": file(b"\x7fELF" + bytes(90), mode=0o4755, uid=7, gid=8),
    "bin/sh": symlink("dash"),
    "bin/other": hardlink("bin/dash"),
    "bin/ping": capable(b"x", b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    "srv/caf\udce9": "not UTF-8",
    "srv/link": symlink("caf\udce9"),
    "root": None,
}
TOP = {"etc/.wh.gone": b"", "srv/app/package.json": '{"name": "app", "version": "1.0.0"}', "srv/run": "#!/bin/sh\n"}


def assert_same(first, second):
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))
    assert first.config == second.config


def entry_of(place: Path, layer) -> Path:
    name = digest(layer_tar(layer)).removeprefix("sha256:")
    return place / "layers" / name[:2] / f"{name}.parquet"


def forget_tables(place: Path) -> None:
    """Have the next audit ask for the layers: finished tables would do without."""
    shutil.rmtree(place / "tables")


def tables_in(place: Path) -> Path:
    (path,) = place.rglob("*.tables")
    return path


@pytest.fixture
def image(tmp_path: Path) -> str:
    oci_dir(tmp_path / "image", layers=[BASE, TOP], compression="gzip")
    return f"oci-dir:{tmp_path / 'image'}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_what_is_remembered_gives_the_same_tables_as_what_is_read(image, place):
    read = audit(image, store="none")
    assert_same(read, audit(image, store=place))
    forget_tables(place)
    assert_same(read, audit(image, store=place))
    assert read_layers(image, store=Store(place)).remembered == {digest(layer_tar(BASE)), digest(layer_tar(TOP))}


def test_a_layer_that_is_known_is_not_read_again(image, place, tmp_path):
    audit(image, store=place)
    for blob in (tmp_path / "image" / "blobs" / "sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):
            blob.write_bytes(bytes(blob.stat().st_size))
    assert len(audit(image, store=place).packages) == 2
    with pytest.raises(ImageFormatError):
        audit(image, store="none")


def test_a_known_layer_whose_blob_is_gone_is_still_missing(image, place, tmp_path):
    audit(image, store=place)
    blobs = list((tmp_path / "image" / "blobs" / "sha256").iterdir())
    next(blob for blob in blobs if blob.read_bytes().startswith(b"\x1f\x8b")).unlink()
    with pytest.raises(ImageFormatError, match="is missing"):
        audit(image, store=place)


@pytest.mark.parametrize("compression", ["", "gzip"])
@pytest.mark.parametrize("layout", ["old", "new"])
def test_docker_archives_are_the_same_with_and_without_a_store(tmp_path, place, layout, compression):
    docker_archive(tmp_path / "image.tar", layers=[BASE, TOP], layout=layout, compression=compression)
    reference = f"docker-archive:{tmp_path / 'image.tar'}"
    read = audit(reference, store="none")
    assert_same(read, audit(reference, store=place))
    assert_same(read, audit(reference, store=place))


def test_a_layer_is_known_under_whatever_image_and_source_it_comes(image, place, tmp_path):
    audit(image, store=place)
    oci_dir(tmp_path / "other", layers=[BASE, {"etc/motd": "hello"}], compression="zstd")
    oci_archive(tmp_path / "other.tar", tmp_path / "other")
    read = read_layers(f"oci-archive:{tmp_path / 'other.tar'}", store=Store(place))
    assert read.remembered == {digest(layer_tar(BASE))}


def test_files_that_were_not_hashed_are_read_again_where_they_must_be(image, place):
    audit(image, store=place)
    checked = audit(image, store=place, check_files=True)
    assert checked.altered_files["found_digest"].notna().sum() == 1
    assert_same(checked, audit(image, store=place, check_files=True))


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: bytes(len(data)),
        lambda data: data[:40] + bytes(1 for _ in range(8)) + data[48:],
        lambda data: b"PAR1" + data[4:-8] + b"\xff\xff\xff\x7fPAR1",
    ],
    ids=["empty", "cut", "zeros", "pages", "footer"],
)
def test_a_damaged_entry_is_noticed_said_and_made_anew(image, place, damage):
    read = audit(image, store=place)
    path = entry_of(place, BASE)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    forget_tables(place)
    store = Store(place)
    assert_same(read, audit(image, store=store))
    (message,) = store.messages
    assert message.startswith(f"store: the entry of {digest(layer_tar(BASE))} is damaged")
    assert path.read_bytes() == whole


def test_every_flipped_byte_of_an_entry_is_noticed_or_harmless(image, place):
    read = audit(image, store=place)
    path = entry_of(place, BASE)
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        forget_tables(place)
        assert_same(read, audit(image, store=place))


def test_an_entry_of_another_layer_is_not_believed(image, place):
    read = audit(image, store=place)
    entry_of(place, BASE).write_bytes(entry_of(place, TOP).read_bytes())
    forget_tables(place)
    store = Store(place)
    assert_same(read, audit(image, store=store))
    assert "is that of sha256:" in store.messages[0]


def test_an_entry_made_with_other_limits_is_made_anew(image, place):
    audit(image, store=place)
    with pytest.raises(LimitError):
        audit(image, store=place, limits=Limits(entries=3))
    store = Store(place)
    small = audit(image, store=store, limits=Limits(kept_file_bytes=10))
    assert small.is_damaged
    assert store.messages == ["store: what another version read, or with other limits, is read anew"]
    assert not audit(image, store=place).is_damaged


def test_an_entry_of_another_version_is_made_anew(image, place, monkeypatch):
    monkeypatch.setattr("audit_lib.store._code", lambda: "an older library")
    audit(image, store=place)
    monkeypatch.undo()
    forget_tables(place)
    store = Store(place)
    audit(image, store=store)
    assert store.messages == ["store: what another version read, or with other limits, is read anew"]
    assert Store(place).load(digest(layer_tar(BASE)), "none of both") is None


def test_whatever_a_scan_is_made_with_is_part_of_its_recipe():
    """A module that the scanning ones import, and that is not in the recipe, would leave old entries believed."""
    root = Path(store_module.__file__).parent
    sources = {path for glob in store_module._SCANNING for path in root.glob(glob)}
    imported = {
        name
        for path in sources
        for name in re.findall(r"^\s*from audit_lib(?:\.(\w+))? import", path.read_text(), re.MULTILINE)
    }
    named = re.findall(r"^from audit_lib import (\w+)", "\n".join(path.read_text() for path in sources), re.MULTILINE)
    covered = {path.stem for path in sources} | {path.parent.name for path in sources}
    assert (imported | set(named)) - covered - {"", "errors", "sources"} == set()


def test_entries_are_parquet_that_others_can_read(image, place):
    audit(image, store=place)
    table = pq.read_table(entry_of(place, {**TOP}))
    assert table["path"].to_pylist() == ["etc/.wh.gone", "srv/app/package.json", "srv/run"]
    assert table["file_bytes"].to_pylist() == [0, 35, 10]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_to_costs_nothing_but_time(image, place):
    place.mkdir(mode=0o500)
    store = Store(place)
    assert len(audit(image, store=store).packages) == 2
    assert "cannot be written to" in store.messages[0]


def test_a_store_whose_folder_is_a_file_is_said_and_costs_nothing_but_time(image, place):
    place.write_text("no folder")
    store = Store(place)
    assert len(audit(image, store=store).packages) == 2
    assert all("cannot be" in message for message in store.messages)
    assert len(store.messages) > 0


def test_a_place_without_a_driver_is_a_clear_error():
    with pytest.raises(AuditError, match="store nowhere://x: "):
        Store("nowhere://x")


def test_a_store_may_be_any_place_that_fsspec_knows(image):
    filesystem = fsspec.filesystem("memory")
    read = audit(image, store="memory://audit/layers")
    assert len(filesystem.find("/audit/layers")) == 4  # two layers, a config, the tables
    assert_same(read, audit(image, store="memory://audit/layers"))
    assert read_layers(image, store=Store("memory://audit/layers")).remembered != frozenset()


def test_processes_that_write_the_same_layers_at_once_leave_whole_entries(image, place):
    program = f"from audit_lib import audit; print(len(audit({image!r}, store={str(place)!r}).files))"
    with ThreadPoolExecutor(3) as pool:
        runs = pool.map(
            lambda _: subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True),
            range(3),
        )
    assert {run.stdout for run in runs} == {f"{len(audit(image, store='none').files)}\n"}
    assert [path.name for path in place.rglob("*.tmp")] == []
    store = Store(place)
    audit(image, store=store)
    assert store.messages == []


def test_pruning_takes_the_longest_unused_first(image, place):
    audit(image, store=place)
    forget_tables(place)
    for age, path in ((40, entry_of(place, BASE)), (2, entry_of(place, TOP))):
        moment = 1_700_000_000 - age * 86_400
        os.utime(path, (moment, moment))
    store = Store(place)
    assert [entry.digest for entry in store.entries()[:2]] == [digest(layer_tar(BASE)), digest(layer_tar(TOP))]
    assert store.entries()[0].used_utc == "2023-10-05T22:13:20Z"
    assert [entry.digest for entry in store.prune(before_utc="2023-11-01T00:00:00Z")] == [digest(layer_tar(BASE))]
    assert store.prune(keep_bytes=0)[0].digest == digest(layer_tar(TOP))
    assert store.entries() == []


def test_the_command_shows_and_prunes_the_store(image, place):
    runner = CliRunner()
    assert runner.invoke(cli, ["-q", "inspect", image, "--store", str(place)]).exit_code == 0
    shown = runner.invoke(cli, ["store", "--store", str(place)])
    assert "layers          2\nconfigs         1\ntables          1\n" in shown.stdout
    pruned = runner.invoke(cli, ["store", "--store", str(place), "--keep", "0"])
    assert pruned.stderr.startswith("Deleted 4 entries, ")
    assert "layers          0\n" in pruned.stdout
    wrong = runner.invoke(cli, ["store", "--store", str(place), "--keep", "many"])
    assert wrong.exit_code == 2


def test_finished_tables_are_all_of_an_audit_and_need_no_layer(image, place):
    read = audit(image, store="none")
    audit(image, store=place)
    for path in (place / "layers").rglob("*.parquet"):
        path.unlink()
    again = audit(image, store=place)
    assert list((place / "layers").rglob("*.parquet")) == []
    for name in AUDIT_TABLES:
        pd.testing.assert_frame_equal(getattr(read, name), getattr(again, name))
    assert (read.config, read.notes, read.unknown, read.gaps) == (again.config, again.notes, again.unknown, again.gaps)


@pytest.mark.parametrize("at", [0, 10, 63, 64, 200, -1])
def test_finished_tables_that_are_damaged_are_noticed_said_and_made_anew(image, place, at):
    read = audit(image, store=place)
    whole = tables_in(place).read_bytes()
    changed = bytearray(whole)
    changed[at] ^= 1
    tables_in(place).write_bytes(changed)
    store = Store(place)
    assert_same(read, audit(image, store=store))
    (message,) = store.messages
    assert message.startswith("store: the tables sha256:")
    assert message.endswith("they are made anew")
    assert tables_in(place).read_bytes() == whole


@pytest.mark.parametrize("damage", [lambda _: b"", lambda data: data[:50], lambda data: data[: len(data) // 2]])
def test_finished_tables_that_are_cut_are_noticed(image, place, damage):
    read = audit(image, store=place)
    tables_in(place).write_bytes(damage(tables_in(place).read_bytes()))
    store = Store(place)
    assert_same(read, audit(image, store=store))
    assert len(store.messages) == 1


def test_tables_are_finished_for_one_label_these_limits_and_this_library(image, place, tmp_path, monkeypatch):
    audit(image, store=place)
    (tmp_path / "other").symlink_to(tmp_path / "image")
    assert (
        audit(f"oci-dir:{tmp_path / 'other'}", store=place).packages["image"].unique()
        == f"oci-dir:{tmp_path / 'other'}"
    )
    assert audit(image, store=place, limits=Limits(kept_file_bytes=10)).is_damaged
    assert not audit(image, store=place).is_damaged
    assert len(list(place.rglob("*.tables"))) == 3
    monkeypatch.setattr("audit_lib.finished._code", lambda: ["an older library"])
    audit(image, store=place)
    assert len(list(place.rglob("*.tables"))) == 4


def test_layers_behind_finished_tables_count_as_used(image, place):
    audit(image, store=place)
    os.utime(entry_of(place, BASE), (1_700_000_000, 1_700_000_000))
    audit(image, store=place)
    assert Store(place).entries()[0].used_utc > "2026"
