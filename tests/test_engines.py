"""The main job on real images: one image, out of every source, against programs that are not ours."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import pandas as pd
import pytest

from audit_lib import Audit, audit
from tests.images import layer_tar

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


def test_owners_of_every_file_are_those_that_dpkg_names(
    from_docker: Audit, docker_client: docker.DockerClient, full_image: str
) -> None:
    # With merged /usr, dpkg knows /bin/sh by that name only. It reads what it is asked for as a pattern where a backslash is in it.
    said = _run(
        docker_client,
        full_image,
        [
            "sh",
            "-c",
            (
                "find / -xdev -type f -o -xdev -type l | grep -v '^/\\(proc\\|sys\\|dev\\)/' > /tmp/all; "
                "sed -n 's|^/usr\\(/s\\?bin/\\)|\\1|p; s|^/usr\\(/lib[0-9x]*/\\)|\\1|p' /tmp/all >> /tmp/all; "
                "sed 's|\\\\|&&|g' /tmp/all | xargs -d '\\n' dpkg-query -S 2> /dev/null || true"
            ),
        ],
    )
    owners: dict[str, set[str]] = {}
    for line in said.splitlines():
        if not line.startswith("diversion by "):
            names, _, path = line.rpartition(": ")
            path = f"/usr{path}" if path.startswith(("/bin/", "/sbin/", "/lib/", "/lib64/")) else path
            owners.setdefault(path, set()).update(name.partition(":")[0] for name in names.split(", "))
    files = from_docker.files[from_docker.files["kind"].isin(["file", "hardlink", "symlink"])]
    ours = {
        path: (package, count)
        for path, form, package, count in zip(
            files["path"], files["format"], files["package"], files["owner_count"], strict=True
        )
        if not pd.isna(form) and form == "deb"
    }
    assert len(ours) > 43_000
    assert set(ours) ^ set(owners) == set()
    assert {path: ours[path] for path in ours if ours[path][0] not in owners[path]} == {}


@pytest.mark.slow
def test_altered_files_are_those_that_dpkg_finds(
    docker_client: docker.DockerClient, docker_host: str, full_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = (
        "RUN echo >> /usr/share/common-licenses/BSD && chmod 600 /usr/share/common-licenses/Artistic && rm /usr/bin/tac"
    )
    dockerfile = io.BytesIO(layer_tar({"Dockerfile": f"FROM {full_image}\n{altered}\n"}))
    image, _ = docker_client.images.build(fileobj=dockerfile, custom_context=True, network_mode="none", rm=True)
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    try:
        said = _run(docker_client, image.id, ["sh", "-c", "dpkg --verify; cut -c35- /var/lib/dpkg/info/*.md5sums"])
        found = audit(f"docker:{image.id}", check_files=True, store="none").altered_files
    finally:
        docker_client.images.remove(image.id, force=True)
    lines = said.splitlines()
    digested = {f"/{line}" for line in lines if not line.startswith(("missing", "??"))}
    # dpkg also misses folders, which have no digest; what is a configuration file ("c") may be changed
    missing = {line.split()[-1] for line in lines if line.startswith("missing")} & digested
    changed = {line.split()[-1] for line in lines if line.startswith("??5") and " c " not in line}
    assert changed == {"/usr/share/common-licenses/BSD"}
    assert "/usr/bin/tac" in missing
    assert len(missing) > 700
    assert set(found.loc[found["change"].eq("changed"), "path"]) == changed
    assert set(found.loc[found["change"].eq("missing") & found["format"].eq("deb"), "path"]) == missing


def test_an_engine_whose_layers_are_known_is_not_asked_to_save_them(
    docker_host: str, full_image: str, from_docker: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _overheard(docker_host, tmp_path / "engine.sock") as requests:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine.sock'}")
        read = audit(f"docker:{full_image}", store=tmp_path / "store")
        assert [request for request in requests if request.endswith("/get")] != []
        requests.clear()
        known = audit(f"docker:{full_image}", store=tmp_path / "store")
        shutil.rmtree(tmp_path / "store" / "tables")
        again = audit(f"docker:{full_image}", store=tmp_path / "store")
        assert len(requests) > 0
        assert [request for request in requests if request.endswith("/get")] == []
    for other in (read, known, again):
        for table in ("files", "packages", "surface"):
            pd.testing.assert_frame_equal(getattr(other, table), getattr(from_docker, table))


@contextmanager
def _overheard(host: str, place: Path) -> Iterator[list[str]]:
    """Put a socket in front of an engine's; what is asked of it goes to the list that is given, as "METHOD path"."""
    requests: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(host.removeprefix("unix://"))
                back = threading.Thread(target=_passed, args=(engine, self.request))
                back.start()
                _passed(self.request, engine, requests)
                back.join()

    with socketserver.ThreadingUnixStreamServer(str(place), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield requests
        server.shutdown()


def _passed(source: socket.socket, target: socket.socket, requests: list[str] | None = None) -> None:
    with suppress(OSError):  # whoever is done hangs up
        while data := source.recv(1 << 20):
            if requests is not None:
                lines = re.findall(rb"^([A-Z]+ \S+) HTTP/1", data, re.MULTILINE)
                requests += [line.decode().partition("?")[0] for line in lines]
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


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
