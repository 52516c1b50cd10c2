"""Wrong input, as a person at the command line meets it: one clear line on standard error, exit code 2."""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from audit_lib import __main__ as command
from audit_lib import audit
from tests.images import digest, docker_archive, layer_tar, oci_dir, oci_index, symlink

HELLO = {"etc/os-release": "ID=debian\n", "bin/hello": b"\x7fELF"}


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["image-audit", *words])
    with pytest.raises(SystemExit) as leaving:
        command.main()
    return int(leaving.value.code or 0)


def layout(path: Path) -> str:
    oci_dir(path / "image", layers=[HELLO], compression="gzip")
    return f"oci-dir:{path / 'image'}"


def the_layer(path: Path) -> Path:
    """Return the file of the layout's only layer."""
    return blob(path, manifest(path)["layers"][0]["digest"])


def manifest(path: Path) -> dict:
    index = json.loads((path / "image" / "index.json").read_text())
    return json.loads(blob(path, index["manifests"][0]["digest"]).read_text())


def blob(path: Path, name: str) -> Path:
    return path / "image" / "blobs" / name.replace(":", "/")


def with_manifest(path: Path, change: Callable[[dict], None]) -> str:
    """Return a layout whose manifest was changed, its digest kept true."""
    reference = layout(path)
    index = json.loads((path / "image" / "index.json").read_text())
    stated = manifest(path)
    change(stated)
    data = json.dumps(stated).encode()
    index["manifests"][0].update(digest=digest(data), size=len(data))
    blob(path, digest(data)).write_bytes(data)
    (path / "image" / "index.json").write_text(json.dumps(index))
    return reference


def with_layer(path: Path, tar: bytes) -> str:
    oci_dir(path / "image", layers=[tar], compression="")
    return f"oci-dir:{path / 'image'}"


def no_such_image(path: Path) -> tuple[str, str]:
    return f"oci-dir:{path}/nowhere", "nowhere: no such file or folder"


def unknown_scheme(path: Path) -> tuple[str, str]:
    del path
    return "dokcer:python", "'dokcer' is not one of the schemes docker:, podman:, registry:, docker-archive:"


def no_engine(path: Path) -> tuple[str, str]:
    del path
    return "docker:python:3.13", "no Docker Engine answers at unix:///nowhere/docker.sock: No such file or directory"


def not_a_tar(path: Path) -> tuple[str, str]:
    (path / "notes.txt").write_text("just text\n" * 100)
    return f"docker-archive:{path}/notes.txt", "notes.txt: not a tar archive"


def truncated_gzip(path: Path) -> tuple[str, str]:
    packed = gzip.compress(layer_tar({"big": bytes(range(256)) * 4000}), mtime=0)
    reference = with_manifest(
        path, lambda stated: stated["layers"][0].update(digest=digest(packed[:-200]), size=len(packed) - 200)
    )
    blob(path, digest(packed[:-200])).write_bytes(packed[:-200])
    return reference, f"layer {digest(packed[:-200])}: truncated"


def wrong_digest(path: Path) -> tuple[str, str]:
    reference = layout(path)
    layer = the_layer(path)
    expected = f"sha256:{layer.name}"
    layer.write_bytes(gzip.compress(layer_tar({"other": b"contents"}), mtime=0))
    return reference, f"expected {expected}, found {digest(layer.read_bytes())}"


def wrong_diff_id(path: Path) -> tuple[str, str]:
    other = gzip.compress(layer_tar({"other": b"contents"}), mtime=0)
    reference = with_manifest(path, lambda stated: stated["layers"][0].update(digest=digest(other), size=len(other)))
    blob(path, digest(other)).write_bytes(other)
    return (
        reference,
        f"layer 1 of 1: diff id: expected {digest(layer_tar(HELLO))}, found {digest(layer_tar({'other': b'contents'}))}",
    )


def manifest_without_config(path: Path) -> tuple[str, str]:
    return with_manifest(path, lambda stated: stated.pop("config")), "the manifest names no config"


def missing_layer(path: Path) -> tuple[str, str]:
    reference = layout(path)
    layer = the_layer(path)
    layer.unlink()
    return reference, f"layer sha256:{layer.name} is missing"


def missing_platform(path: Path) -> tuple[str, str]:
    oci_index(path / "image", {"linux/s390x": [HELLO], "linux/riscv64": [HELLO]})
    return f"oci-dir:{path / 'image'}", "the index has linux/riscv64, linux/s390x"


def climbing_member(path: Path) -> tuple[str, str]:
    return with_layer(
        path, layer_tar({"../../etc/passwd": b"root"})
    ), "member '../../etc/passwd' climbs out of the root"


def too_many_layers(path: Path) -> tuple[str, str]:
    oci_dir(path / "image", layers=[{"a": "x"}] * 1001)
    return f"oci-dir:{path / 'image'}", "more than 1,000 layers (limit `layers`)"


def link_loop(path: Path) -> tuple[str, str]:
    return with_layer(
        path, layer_tar({"var/lib/dpkg/status": symlink("status")})
    ), "/var/lib/dpkg/status (deb database) is damaged: a loop of symbolic links"


def archive_link_loop(path: Path) -> tuple[str, str]:
    docker_archive(path / "old.tar", layers=[HELLO], layout="old")
    with tarfile.open(path / "old.tar") as archive, tarfile.open(path / "loop.tar", "w") as out:
        for member in archive:
            if member.name.endswith("layer.tar"):
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "layer.tar", 0
            out.addfile(member, archive.extractfile(member) if member.isreg() else None)
    return f"docker-archive:{path}/loop.tar", "layer.tar is a link in a loop"


def eight_exbibytes(path: Path) -> tuple[str, str]:
    member = tarfile.TarInfo("huge")
    member.size = 2**63 - 1
    return with_layer(
        path, member.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    ), "'huge' (header at byte 0) claims 9,223,372,036,854,775,807 bytes, only 10,240 follow"


def inflating(path: Path) -> tuple[str, str]:
    packed = gzip.compress(layer_tar({"zeros": bytes(300 * 1024 * 1024)}), compresslevel=1, mtime=0)
    reference = with_manifest(path, lambda stated: stated["layers"][0].update(digest=digest(packed), size=len(packed)))
    blob(path, digest(packed)).write_bytes(packed)
    return reference, "over 200-fold (limit `inflation`)"


def foreign_layer(path: Path) -> tuple[str, str]:
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    return with_manifest(path, lambda stated: stated["layers"][0].update(mediaType=kind)), f"a foreign layer ({kind})"


CASES = [
    no_such_image,
    unknown_scheme,
    no_engine,
    not_a_tar,
    truncated_gzip,
    wrong_digest,
    wrong_diff_id,
    manifest_without_config,
    missing_layer,
    missing_platform,
    climbing_member,
    link_loop,
    archive_link_loop,
    eight_exbibytes,
    inflating,
    foreign_layer,
    too_many_layers,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_wrong_input_is_one_clear_line_and_exit_2(
    case: Callable[[Path], tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("CONTAINER_HOST", "unix:///nowhere/podman.sock")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    reference, expected = case(tmp_path)
    assert run(monkeypatch, "--quiet", "inspect", reference) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("image-audit: error: ")
    assert expected in said


def test_more_entries_than_the_limit_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = with_layer(tmp_path, layer_tar({f"f{number}": b"" for number in range(50)}))
    assert run(monkeypatch, "--quiet", "inspect", reference, "--limit", "entries=49") == 2
    assert "more than 49 entries (limit `entries`)" in capsys.readouterr().err
    assert run(monkeypatch, "--quiet", "inspect", reference, "--limit", "entries=50") == 0


def test_no_such_image_in_an_engine_that_answers(
    docker_host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    assert run(monkeypatch, "--quiet", "inspect", "docker:nowhere/nothing:1.0") == 2
    assert (
        capsys.readouterr().err
        == "image-audit: error: docker:nowhere/nothing:1.0: the engine has no image 'nowhere/nothing:1.0'; pull it first\n"
    )


def test_a_wrong_option_names_what_is_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "inspect", "sample:full", "--table", "package") == 2
    assert "'image', 'layers', 'files', 'databases', 'packages'" in capsys.readouterr().err
    assert run(monkeypatch, "inspect", "sample:full", "--limit", "entires=3") == 2
    assert "expected NAME=NUMBER with NAME one of entries, unpacked_bytes" in capsys.readouterr().err


# ÿ stands for the byte FF, which no text in UTF-8 has; # for a number of 5,000 digits
APK = "P:aÿ\nV:1ÿ\nA:xÿ\no:oÿ\nL:lÿ\nr:zÿ\nI:#\nF:uÿ\nR:xÿ\n\n"
ALPM = "%NAME%\naÿ\n\n%VERSION%\n1ÿ\n\n%ARCH%\nxÿ\n\n%BASE%\nbÿ\n\n%LICENSE%\nlÿ\n\n%SIZE%\n#\n\n"
STANZA = "Package: aÿ\nStatus: {} installed\nVersion: 1ÿ\nArchitecture: xÿ\nInstalled-Size: #\n\n"
MANIFEST = "aÿ\t1-1\xff\t1\t1\tvÿ\teÿ\t#\txÿ\t0\tsÿ\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("lib/apk/db/installed", APK),
        ("var/lib/pacman/local/a-1/desc", ALPM),
        ("var/lib/dpkg/status", STANZA.format("install ok")),
        ("usr/lib/opkg/status", STANZA.format("install user")),
        ("var/lib/rpmmanifest/container-manifest-2", MANIFEST),
    ],
    ids=["apk", "alpm", "deb", "opkg", "rpm"],
)
def test_bytes_that_are_no_text_and_sizes_that_no_disk_holds_are_no_reason_to_stop(tmp_path, path, text):
    oci_dir(tmp_path / "image", [{path: text.encode("latin-1").replace(b"#", b"9" * 5000), "u/x": b"1"}])
    packages = audit(f"oci-dir:{tmp_path / 'image'}").packages
    assert list(packages["name"]) == ["a\ufffd"]
    assert list(packages["installed_size_bytes"].isna()) == [True]
