"""The main job on real images: one image, out of every source, against programs that are not ours."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import docker
import pandas as pd
import pytest

from audit_lib import Audit, audit

pytestmark = [pytest.mark.engine, pytest.mark.real]

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character_device",
    stat.S_IFBLK: "block_device",
}


@pytest.fixture(scope="module")
def from_docker(docker_host: str, full_image: str) -> Audit:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", docker_host)
        return audit(f"docker:{full_image}")


@pytest.fixture(scope="module")
def from_layout(full_oci_dir: Path) -> Audit:
    return audit(f"oci-dir:{full_oci_dir}")


def test_every_source_of_the_full_image_gives_the_same_tables(
    from_docker: Audit,
    from_layout: Audit,
    full_archive: Path,
    full_oci_archive: Path,
    podman_host: str,
    podman_full_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", podman_host)
    others = [f"docker-archive:{full_archive}", f"oci-archive:{full_oci_archive}", f"podman:{podman_full_image}"]
    for other in [from_layout, *map(audit, others)]:
        for table in ("files", "packages"):
            pd.testing.assert_frame_equal(_unlabelled(getattr(other, table)), _unlabelled(getattr(from_docker, table)))
        assert other.layers["diff_id"].tolist() == from_docker.layers["diff_id"].tolist()
        assert other.layers["reclaimable_bytes"].tolist() == from_docker.layers["reclaimable_bytes"].tolist()


def test_packages_are_those_that_dpkg_lists_inside_the_container(
    from_docker: Audit, docker_client: docker.DockerClient, full_image: str
) -> None:
    said = _run(
        docker_client,
        full_image,
        [
            "dpkg-query",
            "-W",
            "-f",
            r"${Package} ${Version} ${Architecture} ${Installed-Size} ${source:Package} ${source:Version}\n",
        ],
    )
    expected = sorted(line.split(" ") for line in said.splitlines())
    debs = from_docker.packages[from_docker.packages["format"] == "deb"]
    found = sorted(
        [
            row.name,
            row.version,
            row.architecture,
            str(row.installed_size_bytes // 1024),
            row.source_name,
            row.source_version,
        ]
        for row in debs.itertuples(index=False)
    )
    assert len(expected) == 653
    assert found == expected


def test_owners_of_files_are_those_that_dpkg_names(
    from_docker: Audit, docker_client: docker.DockerClient, full_image: str
) -> None:
    paths = [
        "/usr/bin/python3.11",
        "/usr/bin/git",
        "/usr/share/nodejs/npm/package.json",
        "/usr/sbin/nologin",
        "/etc/bash.bashrc",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
    ]
    said = _run(
        docker_client,
        full_image,
        ["sh", "-c", "for path; do dpkg -S $path /${path#/usr/} 2>/dev/null; done; true", "sh", *paths],
    )
    owners = {line.rpartition(": ")[2].removeprefix("/usr"): line.partition(":")[0] for line in said.splitlines()}
    files = from_docker.files.set_index("path")
    assert {path: files.loc[path, "package"] for path in paths} == {
        path: owners[path.removeprefix("/usr")] for path in paths
    }


def test_files_are_those_that_umoci_unpacks(from_layout: Audit, full_oci_dir: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["umoci", "unpack", "--image", f"{full_oci_dir}:{_tag(full_oci_dir)}", tmp_path / "bundle"],
        check=True,
        capture_output=True,
    )
    expected = pd.DataFrame(
        _unpacked(tmp_path / "bundle" / "rootfs"),
        columns=["path", "kind", "file_bytes", "mode", "uid", "gid", "link_target"],
        dtype=object,
    ).sort_values("path", ignore_index=True)
    files = from_layout.files[["path", "kind", "file_bytes", "mode", "uid", "gid", "link_target"]]
    assert len(files) > 50_000
    for column in expected.columns:
        assert [None if pd.isna(value) else value for value in files[column]] == expected[column].tolist(), column


def test_layer_sizes_are_those_of_docker_history_and_the_manifest(
    from_docker: Audit, from_layout: Audit, docker_client: docker.DockerClient, full_image: str, full_oci_dir: Path
) -> None:
    steps = zip(docker_client.api.history(full_image)[::-1], from_docker.config["history"], strict=True)
    history = [step["Size"] for step, stated in steps if not stated.get("empty_layer")]
    assert from_docker.layers["content_bytes"].tolist() == history
    manifest = _manifest(full_oci_dir)
    assert from_layout.layers["compressed_bytes"].tolist() == [layer["size"] for layer in manifest["layers"]]
    assert from_layout.layers["layer_digest"].tolist() == [layer["digest"] for layer in manifest["layers"]]
    assert from_layout.image.loc[0, "compressed_bytes"] == sum(layer["size"] for layer in manifest["layers"])


def test_an_audit_of_833_mb_stays_below_250_mib(full_archive: Path, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os, sys
        pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "audit_lib", *sys.argv[1:]])
        _, status, usage = os.wait4(pid, 0)
        print(os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024)
    """)
    command = [
        sys.executable,
        "-c",
        program,
        "--quiet",
        "inspect",
        f"docker-archive:{full_archive}",
        "--table",
        "files",
        "--format",
        "csv",
        "-o",
        str(tmp_path / "files.csv"),
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    exit_code, peak_mib = map(int, said)
    assert exit_code == 0
    assert peak_mib < 250


def _unlabelled(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="image")


def _run(client: docker.DockerClient, image: str, command: list[str]) -> str:
    return client.containers.run(image, command, remove=True, network_mode="none").decode()


def _manifest(layout: Path) -> dict:
    index = json.loads((layout / "index.json").read_text())
    return json.loads((layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())


def _tag(layout: Path) -> str:
    return json.loads((layout / "index.json").read_text())["manifests"][0]["annotations"][
        "org.opencontainers.image.ref.name"
    ]


def _unpacked(root: Path) -> list[tuple]:
    """Return what an unpacked tree holds; the first name of a hard-linked file, in sorted order, carries its bytes."""
    rows, first_names = [], {}
    paths = sorted(
        os.path.join(folder, name) for folder, folders, names in os.walk(root) for name in [*folders, *names]
    )
    for path in paths:
        facts = os.lstat(path)
        shown = "/" + os.path.relpath(path, root)
        kind, size, link = KINDS[stat.S_IFMT(facts.st_mode)], facts.st_size, None
        if kind == "symlink":
            link = os.readlink(path)
        if kind == "file":
            first = first_names.setdefault(facts.st_ino, shown)
            kind, size, link = ("file", size, None) if first == shown else ("hardlink", 0, first)
        rows.append(
            (
                shown,
                kind,
                size if kind == "file" else 0,
                f"{stat.S_IMODE(facts.st_mode):04o}",
                facts.st_uid,
                facts.st_gid,
                link,
            )
        )
    return rows
