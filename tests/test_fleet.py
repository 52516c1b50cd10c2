"""Many images: the same tables as one by one, each layer read once, and no image that takes the others with it."""

from __future__ import annotations

import gc
import json
import pickle
import subprocess
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from audit_lib import Limits, audit
from audit_lib.__main__ import cli
from audit_lib.audit import TABLES
from audit_lib.errors import SourceError, TableError
from audit_lib.fleet import Wanted, audit_many, open_fleet
from audit_lib.tables import check_table
from audit_lib.tasks import FLEET_TABLES, bring, look, write
from audit_lib.workers import Processes
from tests.images import digest, docker_archive, layer_tar, oci_dir, oci_index
from tests.vulnerabilities.advisories import database, record

STATUS = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\n\n"
BASE = {
    "usr/lib/os-release": "ID=debian\nVERSION_ID=12\n",
    "var/lib/dpkg/status": STATUS.format("dash", "0.5.12-2"),
    "var/lib/dpkg/info/dash.md5sums": "d41d8cd98f00b204e9800998ecf8427e  bin/dash\n",
    "bin/dash": "x" * 100,
}
APPS = [{f"srv/app{number}": "a" * (number + 1)} for number in range(4)]


class Spy(ThreadPoolExecutor):
    """An executor that notes what it is given: the function's name and its arguments but the order."""

    def __init__(self, count: int = 2) -> None:
        super().__init__(count)
        self.tasks: list[tuple[object, ...]] = []

    def submit(self, fn, /, *args, **kwargs):
        self.tasks.append((fn.__name__, *args[:-1]))
        return super().submit(fn, *args, **kwargs)

    def named(self, name: str) -> list[tuple[object, ...]]:
        return [task[1:] for task in self.tasks if task[0] == name]


class Broken(Executor):
    """An executor whose workers are gone: it takes nothing, or does nothing that it takes."""

    def __init__(self, *, takes: bool) -> None:
        self.takes = takes

    def submit(self, fn, /, *args, **kwargs):
        del kwargs
        if not self.takes and fn is not look:
            raise RuntimeError("cannot schedule new futures")
        future: Future[object] = Future()
        if fn is look:
            future.set_result(look(*args))
        else:
            future.set_exception(OSError("the scheduler went away"))
        return future


@pytest.fixture
def apps(tmp_path: Path) -> list[str]:
    """Return references to four images on one base."""
    for number, app in enumerate(APPS):
        oci_dir(tmp_path / "images" / f"app{number}", layers=[BASE, app])
    return [f"oci-dir:{tmp_path}/images/app{number}" for number in range(4)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def spoil(reference: str, layer: dict) -> None:
    """Let the bytes of a layer of an image be others than its digest says."""
    folder = Path(reference.removeprefix("oci-dir:"))
    for blob in (folder / "blobs" / "sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b") and digest(layer_tar(layer)) in _diff_ids(folder, blob.name):
            blob.write_bytes(blob.read_bytes()[:-9] + bytes(9))


def _diff_ids(folder: Path, name: str) -> list[str]:
    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads((folder / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    config = json.loads((folder / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text())
    pairs = zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    return [diff_id for layer, diff_id in pairs if layer["digest"] == f"sha256:{name}"]


def files_of(place: Path) -> dict[str, int]:
    return {str(path.relative_to(place)): path.stat().st_mtime_ns for path in place.rglob("*.parquet")}


def test_the_tables_are_those_of_each_image_by_itself(apps, out):
    fleet = audit_many(apps, out)
    audits = [audit(reference) for reference in apps]
    for name, row in TABLES.items():
        if name == "image":
            continue
        expected = pd.concat([getattr(one, name) for one in audits], ignore_index=True)
        pd.testing.assert_frame_equal(fleet.table(name).drop(columns="image_digest"), expected, obj=name)
        check_table(row, fleet.table(name))
        by_image = [len(rows) for rows in fleet.each(name)]
        assert by_image == [len(getattr(one, name)) for one in audits]
    check_table(FLEET_TABLES["images"], fleet.images)
    facts = pd.concat([one.image for one in audits], ignore_index=True)
    pd.testing.assert_frame_equal(fleet.images[list(facts.columns)], facts)
    assert fleet.images["status"].tolist() == ["read"] * 4
    assert fleet.images["image_digest"].tolist() == facts["manifest_digest"].tolist()


def test_each_layer_is_read_once_and_the_large_ones_first(apps):
    with Spy() as executor:
        audit_many(apps, executor=executor)
    brought = executor.named("bring")
    assert len(brought) == 5
    assert {diff_id for _, diff_id in brought} == {digest(layer_tar(layer)) for layer in [BASE, *APPS]}
    assert brought[0] == (Wanted(apps[0]), digest(layer_tar(BASE)))
    assert [name for name, *_ in executor.tasks[:4]] == ["look"] * 4
    assert len(executor.named("write")) == 4


def test_with_a_store_the_next_run_reads_no_layer(apps, tmp_path):
    audit_many(apps, tmp_path / "one", store=tmp_path / "store")
    with Spy() as executor:
        fleet = audit_many(apps, tmp_path / "two", store=tmp_path / "store", executor=executor)
    assert executor.named("bring") == []
    assert fleet.images["status"].tolist() == ["read"] * 4
    assert not (tmp_path / "two" / ".layers").exists()


def test_without_a_store_scans_are_kept_while_the_run_lasts(apps, out):
    seen = []
    audit_many(
        apps, out, progress=lambda step: seen.append((out / ".layers" / "layers").exists() or step.layers_done == 0)
    )
    assert all(seen)
    assert not (out / ".layers").exists()


def test_an_image_that_fails_is_a_row_and_the_others_are_whole(apps, out):
    spoil(apps[2], APPS[2])
    fleet = audit_many([*apps, "oci-dir:/nowhere", "sample:minimal\0"], out)
    assert fleet.images["status"].tolist() == ["failed", "read", "read", "failed", "read", "failed"]
    errors = fleet.images.set_index("image")["error"]
    assert "no such file" in errors["oci-dir:/nowhere"]
    assert digest(layer_tar(APPS[2])) in errors[apps[2]]
    failed = fleet.images[fleet.images["image"] == apps[2]].iloc[0]
    assert failed["package_count"] is pd.NA
    assert failed["image_digest"].startswith("sha256:")
    assert failed["unknown_tables"] == ", ".join(name for name in FLEET_TABLES if name != "images")
    assert set(fleet.table("packages")["image"]) == {apps[0], apps[1], apps[3]}


def test_a_shared_layer_that_one_image_has_spoiled_is_had_from_the_next(apps, out):
    spoil(apps[0], BASE)
    with Spy() as executor:
        fleet = audit_many(apps, out, executor=executor)
    assert fleet.images["status"].tolist() == ["read"] * 4
    asked = [wanted.reference for wanted, diff_id in executor.named("bring") if diff_id == digest(layer_tar(BASE))]
    assert asked == apps[:2]


def test_a_layer_that_nobody_has_whole_is_not_asked_of_everyone(apps, out):
    for reference in apps:
        spoil(reference, BASE)
    with Spy() as executor:
        fleet = audit_many(apps, out, executor=executor)
    assert fleet.images["status"].tolist() == ["failed"] * 4
    assert all(digest(layer_tar(BASE)) in error for error in fleet.images["error"])
    assert len([one for one, diff_id in executor.named("bring") if diff_id == digest(layer_tar(BASE))]) == 3
    assert executor.named("write") == []


def test_a_layer_past_a_limit_is_asked_for_once(apps, out):
    with Spy() as executor:
        fleet = audit_many(apps, out, executor=executor, limits=Limits(entries=2))
    assert all("more than 2 entries (limit `entries`)" in error for error in fleet.images["error"])
    assert len(executor.named("bring")) == 5


def test_a_damaged_database_is_a_status_of_its_own(tmp_path, out):
    oci_dir(tmp_path / "image", layers=[{**BASE, "var/lib/dpkg/status": "Package dash\n"}])
    fleet = audit_many([f"oci-dir:{tmp_path}/image"], out)
    row = fleet.images.iloc[0]
    assert (row["status"], row["error"], row["package_count"]) == ("damaged", pd.NA, pd.NA)
    assert "/var/lib/dpkg/status (deb database) is damaged" in row["gaps"]
    assert fleet.table("databases")["status"].isin(["damaged"]).any()


def test_every_file_of_a_table_has_the_same_columns_and_types_and_no_index(apps, out):
    docker_archive(out.parent / "empty.tar", layers=[{"etc": None}])
    audit_many([*apps, f"docker-archive:{out.parent}/empty.tar", "oci-dir:/nowhere"], out)
    for name in FLEET_TABLES:
        schemas = [pq.read_schema(path) for path in (out / name).rglob("*.parquet")]
        assert len(schemas) == (6 if name == "images" else 5)
        assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas), name
        assert json.loads(schemas[0].metadata[b"pandas"])["index_columns"] == []


def test_others_read_the_datasets_as_they_lie(apps, out):
    fleet = audit_many([*apps, "oci-dir:/nowhere"], out)
    packages = pd.read_parquet(out / "packages")
    assert packages.groupby("image_digest", observed=True)["name"].agg(list).tolist() == [["dash"]] * 4
    assert packages.dtypes["file_bytes"] == pd.Int64Dtype()
    images = ds.dataset(out / "images", partitioning="hive").to_table()
    assert images.num_rows == 5
    assert images["image_digest"].null_count == 1
    wanted = fleet.images["image_digest"][1]
    one = ds.dataset(out / "files", partitioning="hive").to_table(filter=ds.field("image_digest") == wanted)
    assert one.num_rows == 13
    assert set(one["image"].to_pylist()) == {apps[0]}


def test_what_is_there_of_the_same_digest_is_not_made_again(apps, out):
    first = audit_many(apps, out)
    made = files_of(out)
    with Spy() as executor:
        second = audit_many(apps, out, executor=executor)
    assert {name for name, *_ in executor.tasks} == {"look"}
    assert files_of(out) == made
    pd.testing.assert_frame_equal(first.images, second.images)
    pd.testing.assert_frame_equal(first.table("files"), open_fleet(out).table("files"))


def test_what_was_made_with_other_options_or_by_another_version_is_made_anew(apps, out, monkeypatch):
    audit_many(apps[:1], out)
    assert audit_many(apps[:1], out, check_files=True).table("altered_files")["change"].tolist() == ["changed"]
    for day, status in {"2024-02-01": "pass", "2024-12-01": "fail"}.items():
        findings = audit_many(apps[:1], out, today_utc=day).table("findings").set_index("check_id")
        assert findings.loc["image-age", "status"] == status
    monkeypatch.setattr("audit_lib.fleet._code", lambda: "an older library")
    made = files_of(out)
    assert len(audit_many(apps[:1], out).table("altered_files")) == 0
    assert set(files_of(out)) & set(made) == set()
    assert len(files_of(out)) == len(FLEET_TABLES)


def test_what_was_held_against_other_advisories_is_made_anew(apps, out, tmp_path):
    assert "vulnerabilities" in audit_many(apps[:1], out).images["unknown_tables"].iloc[0]
    held = database(tmp_path, [record("DEBIAN-CVE-2026-0001", "Debian:12", "libc6", {"introduced": "0"})])
    found = audit_many(apps[:1], out, advisories=held.place)
    assert found.table("vulnerability_coverage")["ecosystem"].tolist() == ["Debian:12"]
    made = files_of(out)
    audit_many(apps[:1], out, advisories=held.place)
    assert files_of(out) == made
    database(tmp_path, [record("DEBIAN-CVE-2026-0002", "Debian:12", "libc6", {"introduced": "0"})])
    audit_many(apps[:1], out, advisories=held.place)
    assert set(files_of(out)) & set(made) == set()


def test_an_image_that_changed_replaces_what_was_there_of_it(apps, out, tmp_path):
    before = audit_many(apps, out)
    for path in sorted((tmp_path / "images" / "app1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    oci_dir(tmp_path / "images" / "app1", layers=[BASE, {"srv/new": "new"}])
    fleet = audit_many(apps[1:2], out)
    assert fleet.images["image_digest"][0] != before.images["image_digest"][1]
    assert len(fleet.images) == 1
    everything = open_fleet(out)
    assert everything.images["image"].tolist() == apps
    assert "/srv/new" in set(everything.table("files")["path"])
    assert "/srv/app1" not in set(everything.table("files")["path"])


def test_an_image_that_is_gone_leaves_no_older_rows_that_look_like_today(apps, out, tmp_path):
    audit_many(apps, out)
    (tmp_path / "images" / "app1" / "index.json").unlink()
    fleet = audit_many(apps, out)
    assert fleet.images["status"].tolist() == ["read", "failed", "read", "read"]
    assert set(pd.read_parquet(out / "packages")["image"]) == {apps[0], apps[2], apps[3]}


def test_a_run_that_was_cut_goes_on_where_it_stopped(apps, out, tmp_path):
    def cut(step):
        if step.images_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(1) as executor:
        audit_many(apps, out, store=tmp_path / "store", executor=executor, progress=cut)
    made = files_of(out)
    whole = [name for name in made if name.startswith("images/")]
    assert 2 <= len(whole) < 4
    with Spy() as executor:
        fleet = audit_many(apps, out, store=tmp_path / "store", executor=executor)
    assert executor.named("bring") == []
    assert len(executor.named("write")) == 4 - len(whole)
    assert {name: files_of(out)[name] for name in whole} == {name: made[name] for name in whole}
    assert fleet.images["status"].tolist() == ["read"] * 4


def test_an_image_of_which_not_all_tables_are_there_is_made_anew(apps, out):
    audit_many(apps, out)
    gone = next((out / "packages").rglob("*.parquet"))
    gone.unlink()
    (out / "packages" / gone.parent.name / ".left.parquet.0f.tmp").write_bytes(b"PAR1")
    assert len(audit_many(apps, out).table("packages")) == 4
    assert len(pd.read_parquet(out / "packages")) == 4


def test_what_comes_as_a_whole_only_is_read_last_with_what_is_known_by_then(apps, out, tmp_path):
    docker_archive(tmp_path / "packed.tar.gz", layers=[BASE, {"srv/other": "1"}], compression="gzip")
    with Spy(1) as executor:
        fleet = audit_many([f"docker-archive:{tmp_path}/packed.tar.gz", *apps], out, executor=executor)
    assert len(executor.named("bring")) == 5
    assert executor.tasks[-1][0] == "write"
    assert fleet.images["status"].tolist() == ["read"] * 5
    assert fleet.images["image_digest"].notna().all()


def test_an_sbom_says_which_tables_it_does_not_know(apps, out, tmp_path):
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": []}
    document["components"] = [{"type": "library", "name": "dash", "version": "1", "purl": "pkg:deb/debian/dash@1"}]
    (tmp_path / "one.cdx.json").write_text(json.dumps(document))
    reference = f"sbom:{tmp_path}/one.cdx.json"
    fleet = audit_many([*apps[:1], reference], out)
    row = fleet.images.set_index("image").loc[reference]
    assert "files" in row["unknown_tables"].split(", ")
    assert "packages" not in row["unknown_tables"].split(", ")
    assert row["file_bytes"] is pd.NA
    assert row["image_digest"] == digest((tmp_path / "one.cdx.json").read_bytes())
    made = files_of(out)
    audit_many([*apps[:1], reference], out)
    assert files_of(out) == made


def test_platforms_of_one_reference_are_images_of_their_own(out, tmp_path):
    made = oci_index(tmp_path / "index", {"linux/amd64": [BASE], "linux/arm64": [BASE, APPS[0]]})
    reference = f"oci-dir:{tmp_path}/index"
    fleet = audit_many([Wanted(reference, "linux/amd64"), Wanted(reference, "linux/arm64")], out)
    assert fleet.images["image"].tolist() == [f"{reference} linux/amd64", f"{reference} linux/arm64"]
    assert fleet.images["image_digest"].tolist() == [made["linux/amd64"], made["linux/arm64"]]
    assert fleet.images["reference"].tolist() == [reference] * 2
    assert fleet.table("files").groupby("image").size().tolist() == [11, 13]


def test_two_names_of_one_image_are_two_rows(apps, out, tmp_path):
    (tmp_path / "again").symlink_to(tmp_path / "images" / "app0")
    fleet = audit_many([apps[0], f"oci-dir:{tmp_path}/again"], out)
    assert fleet.images["image_digest"][0] == fleet.images["image_digest"][1]
    assert len(fleet.table("packages")) == 2


@pytest.mark.parametrize(
    "executor",
    [
        lambda: ThreadPoolExecutor(3),
        lambda: Processes(2),
        lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn")),
    ],
    ids=["threads", "processes", "spawned"],
)
def test_any_executor_gives_the_same(apps, out, executor):
    expected = audit_many(apps)
    with executor() as pool:
        found = audit_many(apps, out, executor=pool)
    for name in FLEET_TABLES:
        pd.testing.assert_frame_equal(found.table(name), expected.table(name))


@pytest.mark.parametrize(
    ("takes", "said"), [(True, "OSError: the scheduler went away"), (False, "takes no more tasks: cannot schedule")]
)
def test_an_executor_that_breaks_is_said_of_each_image(apps, out, takes, said):
    fleet = audit_many(apps, out, executor=Broken(takes=takes))
    assert fleet.images["status"].tolist() == ["failed"] * 4
    assert all(said in error for error in fleet.images["error"])


def test_how_often_garbage_is_looked_for_is_as_before_when_the_tasks_are_done(apps):
    before = gc.get_threshold()
    with ThreadPoolExecutor(3) as executor:
        audit_many(apps, executor=executor)
    assert gc.get_threshold() == before


def test_any_place_that_fsspec_knows_may_hold_output_and_store(apps):
    filesystem = fsspec.filesystem("memory")
    with ThreadPoolExecutor(2) as pool:
        fleet = audit_many(apps, "memory://audit/fleet", store="memory://audit/scans", executor=pool)
    assert len(filesystem.find("/audit/fleet/packages")) == 4
    assert len(fleet.table("packages")) == 4
    assert len(open_fleet("memory://audit/fleet").images) == 4


def test_without_an_output_the_tables_go_when_the_fleet_goes(apps):
    fleet = audit_many(apps)
    place = Path(fleet.place)
    assert len(fleet.table("packages")) == 4
    del fleet
    gc.collect()
    assert not place.exists()


def test_no_image_is_a_fleet_without_rows():
    fleet = audit_many([])
    assert len(fleet.images) == 0
    for name, row in FLEET_TABLES.items():
        check_table(row, fleet.table(name))


def test_a_table_may_be_read_in_part(apps, out):
    fleet = audit_many(apps, out)
    assert fleet.table("files", columns=["image", "path"]).columns.tolist() == ["image", "path"]
    assert [len(rows.columns) for rows in fleet.each("files", columns=["path"])] == [1] * 4
    with pytest.raises(TableError, match="a fleet has no table 'file': expected one of images, layers"):
        fleet.table("file")


@pytest.mark.parametrize(
    ("place", "said"),
    [("nowhere://x", "output nowhere://x: "), ("a-file", "expected a folder, found a file")],
)
def test_an_output_that_cannot_be_is_a_clear_error(apps, place, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("no folder")
    with pytest.raises(SourceError, match=said):
        audit_many(apps, place)


def test_a_folder_that_holds_no_fleet_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError, match="holds no fleet; expected what `image-audit fleet` wrote"):
        open_fleet(tmp_path)
    (tmp_path / "images" / "image_digest=x").mkdir(parents=True)
    (tmp_path / "images" / "image_digest=x" / f"{'0' * 16}-{'0' * 16}.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError, match="images cannot be read"):
        open_fleet(tmp_path)


def test_progress_counts_images_layers_and_bytes(apps, out):
    steps = []
    audit_many(apps, out, progress=steps.append)
    last = steps[-1]
    assert (last.image_count, last.images_seen, last.images_done) == (4, 4, 4)
    assert (last.layer_count, last.layers_done) == (5, 5)
    assert last.bytes_done == last.layer_bytes > 0
    assert [step.bytes_done for step in steps] == sorted(step.bytes_done for step in steps)


def test_tasks_and_their_results_are_small(apps, out):
    sizes = []

    class Measured(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            future = super().submit(fn, *args, **kwargs)
            future.add_done_callback(
                lambda done: sizes.append((fn, len(pa.py_buffer(_pickled(args))), _pickled(done.result())))
            )
            return future

    with Measured(1) as pool:
        audit_many(apps, out, executor=pool)
    assert {fn for fn, *_ in sizes} == {look, bring, write}
    assert max(given for _, given, _ in sizes) < 5000
    assert max(len(answer) for _, _, answer in sizes) < 1000


def _pickled(value: object) -> bytes:
    return pickle.dumps(value)


def command(*words: str, **options: object):
    return CliRunner().invoke(cli, ["fleet", *words], **options)


def test_the_command_writes_the_tables_and_says_what_failed(apps, out, tmp_path):
    (tmp_path / "images.txt").write_text("\n".join([*apps, apps[0], "oci-dir:/nowhere  # gone"]))
    done = command(str(tmp_path / "images.txt"), "-o", str(out))
    assert done.exit_code == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].endswith(f"line 5 names {apps[0]} again, as line 1 does; it is read once")
    assert [line for line in lines if "error" in line] == [
        "image-audit: error: oci-dir:/nowhere: /nowhere: no such file or folder"
    ]
    assert lines[-1] == f"5 images (4 read, 1 failed): {out}"
    assert len(open_fleet(out).images) == 5


def test_the_command_reads_its_list_from_standard_input_and_ends_with_0(apps, out):
    done = command("-", "-o", str(out), "--workers", "1", input="\n".join(apps))
    assert (done.exit_code, done.stderr) == (0, f"4 images (4 read): {out}\n")
    quiet = CliRunner().invoke(cli, ["-q", "fleet", "-", "-o", str(out)], input="\n".join(apps))
    assert (quiet.exit_code, quiet.stderr) == (0, "")


def test_the_command_says_damaged_databases_and_ends_with_2(out, tmp_path):
    oci_dir(tmp_path / "image", layers=[{**BASE, "var/lib/dpkg/status": "Package dash\n"}])
    done = command("-", "-o", str(out), input=f"oci-dir:{tmp_path}/image\n")
    assert done.exit_code == 2
    assert "/var/lib/dpkg/status (deb database) is damaged" in done.stderr
    assert done.stderr.endswith(f"1 images (1 damaged): {out}\n")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "names no image"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"docker:a\n\x1f\x8b\n", "not UTF-8 at byte 10"),
        (b"a\n" * 9_000_000, "larger than 16,777,216 bytes"),
    ],
)
def test_what_is_no_list_is_one_clear_line(data, said, out, tmp_path):
    (tmp_path / "images.txt").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-m", "audit_lib", "fleet", str(tmp_path / "images.txt"), "-o", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"image-audit: error: {tmp_path}/images.txt: {said}")


def test_a_cluster_that_does_not_answer_is_one_clear_line(apps, out):
    done = command("-", "-o", str(out), "--dask", "nonsense", input="\n".join(apps))
    assert isinstance(done.exception, SourceError)
    assert "--dask nonsense: no Dask scheduler answers" in str(done.exception)
