"""Where images come from: archives, layouts, references; what each refuses, and how it says so."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from audit_lib.errors import AuditError, DigestError, ImageFormatError, SourceError, UnknownImageError
from audit_lib.reference import parse_platform, split_path
from audit_lib.sources import open_image
from tests.images import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    add_blob,
    add_image,
    add_to_index,
    compress,
    digest,
    docker_archive,
    layer_tar,
    oci_archive,
    oci_dir,
    oci_index,
    symlink,
)

ONE, TWO = {"one": "1"}, {"two": "2"}


def read(reference: str, platform: str | None = None) -> tuple[list[str], list[bytes]]:
    """Return the diff ids of an image, bottom first, and the stored bytes of each of its layers."""
    with open_image(reference, platform=platform) as image:
        stored = {}
        for blob in image.blobs():
            parts = []
            while part := blob.stream.read(1000):
                parts.append(part)
            stored[blob.name] = b"".join(parts)
        facts = image.facts()
    return [layer.diff_id for layer in facts.layers], [stored[layer.name] for layer in facts.layers]


def diff_ids(*layers: dict) -> list[str]:
    return [digest(layer_tar(layer)) for layer in layers]


@pytest.mark.parametrize("layout", ["old", "new"])
@pytest.mark.parametrize("compression", ["", "gzip", "zstd", "xz"])
def test_docker_archives_of_either_layout_and_every_packing(layout, compression, tmp_path: Path):
    docker_archive(tmp_path / "a.tar", layers=[ONE, TWO, ONE], layout=layout, compression=compression)
    found, stored = read(f"docker-archive:{tmp_path}/a.tar")
    assert found == diff_ids(ONE, TWO, ONE)
    assert stored == [layer_tar(ONE), layer_tar(TWO), layer_tar(ONE)]
    assert read(f"{tmp_path}/a.tar")[0] == found


def test_members_of_a_stream_may_come_in_any_order(tmp_path: Path):
    docker_archive(tmp_path / "a.tar", layers=[ONE, TWO], layout="old")
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = [(member, archive.extractfile(member).read() if member.isreg() else b"") for member in archive]
    for number, order in enumerate((members, members[::-1], sorted(members, key=lambda one: one[0].size))):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as shuffled:
            for member, data in order:
                shuffled.addfile(member, io.BytesIO(data))
        (tmp_path / f"{number}.tar.gz").write_bytes(compress(out.getvalue(), "gzip"))
        assert read(f"docker-archive:{tmp_path}/{number}.tar.gz")[0] == diff_ids(ONE, TWO)


def test_one_of_several_images_is_picked_by_tag_or_digest(tmp_path: Path):
    oci_dir(tmp_path / "image", layers=[ONE], tag="first")
    second = oci_dir(tmp_path / "image", layers=[TWO], tag="second")
    oci_archive(tmp_path / "image.tar", tmp_path / "image")
    for reference in (f"oci-dir:{tmp_path}/image", f"oci-archive:{tmp_path}/image.tar"):
        assert read(f"{reference}:first")[0] == diff_ids(ONE)
        assert read(f"{reference}@{second}")[0] == diff_ids(TWO)
        with pytest.raises(UnknownImageError, match="holds several images; it has first, second"):
            read(reference)
        with pytest.raises(UnknownImageError, match="has no image 'third'; it has first, second"):
            read(f"{reference}:third")


def test_a_path_with_colons_is_a_path(tmp_path: Path):
    oci_dir(tmp_path / "my:image", layers=[ONE], tag="v1")
    assert split_path(f"{tmp_path}/my:image:v1") == (tmp_path / "my:image", "v1")
    assert read(f"oci-dir:{tmp_path}/my:image:v1")[0] == diff_ids(ONE)


@pytest.mark.parametrize("nested", [True, False])
def test_an_index_gives_the_image_of_the_platform(nested, tmp_path: Path):
    oci_index(tmp_path / "image", {"linux/amd64": [ONE], "linux/arm64/v8": [TWO]}, nested=nested)
    reference = f"oci-dir:{tmp_path}/image"
    if nested:
        reference += ":latest"
    assert read(reference, "linux/arm64")[0] == diff_ids(TWO)
    assert read(reference, "linux/amd64")[0] == diff_ids(ONE)
    with pytest.raises(UnknownImageError, match="no image for linux/s390x; the index has linux/amd64, linux/arm64/v8"):
        read(reference, "linux/s390x")


def test_attestations_in_an_index_are_no_images(tmp_path: Path):
    image = add_image(tmp_path / "image", [ONE])
    attested = {
        **add_image(tmp_path / "image", [TWO]),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [attested, image]}
    add_to_index(tmp_path / "image", [add_blob(tmp_path / "image", json.dumps(index).encode(), OCI_INDEX)], tag="x")
    assert read(f"oci-dir:{tmp_path}/image")[0] == diff_ids(ONE)


def test_dockers_own_media_types_are_read(tmp_path: Path):
    oci_dir(tmp_path / "image", layers=[ONE], kind="docker")
    assert read(f"oci-dir:{tmp_path}/image")[0] == diff_ids(ONE)


def test_a_single_image_of_another_platform_than_asked_for_is_refused(tmp_path: Path):
    docker_archive(tmp_path / "a.tar", layers=[ONE])
    with pytest.raises(UnknownImageError, match="platform linux/arm64 was asked for; it has linux/amd64"):
        read(f"docker-archive:{tmp_path}/a.tar", "linux/arm64")


@pytest.mark.parametrize("text", ["linux", "linux/", "/amd64", "a/b/c/d", " "])
def test_a_platform_is_os_and_architecture(text: str):
    with pytest.raises(UnknownImageError, match="expected os/architecture"):
        parse_platform(text)


def manifest_of(path: Path, **changes) -> str:
    """Return a layout whose manifest says something else."""
    oci_dir(path, layers=[ONE])
    index = json.loads((path / "index.json").read_text())
    stated = json.loads((path / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    changed = add_blob(path, json.dumps({**stated, **changes}).encode(), changes.get("mediaType", OCI_MANIFEST))
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [changed]}))
    return f"oci-dir:{path}"


DESCRIPTOR = {"digest": "sha256:" + "0" * 64, "size": 1, "mediaType": "application/vnd.oci.image.layer.v1.tar"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": None}, "expected a descriptor"),
        ({"config": {**DESCRIPTOR, "mediaType": OCI_CONFIG}}, "config sha256:0000"),
        (
            {"config": {**DESCRIPTOR, "mediaType": "application/vnd.cncf.helm.config.v1+json"}},
            "not a container image but an artifact of type application/vnd.cncf.helm.config.v1+json",
        ),
        ({"artifactType": "application/x", "config": DESCRIPTOR}, "an artifact of type application/x"),
        ({"config": {**DESCRIPTOR, "mediaType": ["x"]}}, "an artifact of type ['x']"),
        ({"mediaType": ["x"]}, "media type \"['x']\"; expected an image manifest or index"),
        ({"layers": [DESCRIPTOR, DESCRIPTOR]}, "the manifest has 2 layers, the config 1 diff ids"),
        ({"layers": {}}, "expected 'layers' to be a list, found dict"),
        (
            {"layers": [{**DESCRIPTOR, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar"}]},
            "a foreign layer",
        ),
        (
            {"layers": [{**DESCRIPTOR, "mediaType": "application/x-helm"}]},
            "media type 'application/x-helm'; expected a tar layer",
        ),
        (
            {"layers": [{**DESCRIPTOR, "digest": "../../etc/passwd"}]},
            "expected a digest sha256:<64 hex digits>, found '../../etc/passwd'",
        ),
        ({"schemaVersion": 1}, "manifest schema 1"),
        (
            {"mediaType": "application/vnd.example+json"},
            "media type 'application/vnd.example+json'; expected an image manifest or index",
        ),
    ],
)
def test_a_manifest_that_is_not_as_it_must_be_is_refused_by_name(changes: dict, said: str, tmp_path: Path):
    with pytest.raises(ImageFormatError) as error:
        read(manifest_of(tmp_path / "image", **changes))
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["manifest", "config"])
def test_a_document_that_is_not_what_its_digest_says_names_both(kind: str, tmp_path: Path):
    oci_dir(tmp_path / "image", layers=[ONE])
    index = json.loads((tmp_path / "image/index.json").read_text())
    stated = index["manifests"][0]
    path = tmp_path / "image/blobs" / stated["digest"].replace(":", "/")
    if kind == "config":
        stated = json.loads(path.read_text())["config"]
        path = tmp_path / "image/blobs" / stated["digest"].replace(":", "/")
    changed = b'{"schemaVersion": 2}'
    path.write_bytes(changed)
    with pytest.raises(DigestError, match=f"{kind}: expected {stated['digest']}, found {digest(changed)}"):
        read(f"oci-dir:{tmp_path}/image")


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ({}, "no manifest.json; expected what `docker save` writes"),
        ({"manifest.json": "[]"}, "holds no image"),
        ({"manifest.json": "{"}, "manifest.json: not JSON"),
        ({"manifest.json": "[" * 100_000}, "manifest.json: not JSON"),
        ({"manifest.json": '{"Config": "x"}'}, "expected a list of images"),
        ({"manifest.json": '[{"Config": 1, "Layers": []}]'}, "expected Config to be a name"),
        ({"manifest.json": '[{"Config": "c.json", "Layers": []}]'}, "names the config c.json, which is missing"),
        ({"manifest.json": '[{"Config": "../c", "Layers": []}]'}, "climbs out of the root"),
        (
            {"manifest.json": '[{"Config": "c", "Layers": ["a"]}]', "c": '{"rootfs": {"diff_ids": []}}'},
            "has 1 layers, the config 0 diff ids",
        ),
        ({"manifest.json": '[{"Config": "c", "Layers": []}]', "c": "[]"}, "expected a JSON object, found a list"),
        (
            {"manifest.json": '[{"Config": "c", "Layers": []}]', "c": '{"rootfs": {"diff_ids": ["sha256:x"]}}'},
            "list of sha256 digests",
        ),
        ({"manifest.json": symlink("manifest.json")}, "manifest.json is a link in a loop"),
    ],
)
@pytest.mark.parametrize("compression", ["", "gzip"])
def test_a_docker_archive_that_is_not_whole_is_refused(documents: dict, said: str, compression, tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(compress(layer_tar({"x/": None, **documents}), compression))
    with pytest.raises(AuditError) as error:
        read(f"docker-archive:{tmp_path}/a.tar")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_named_by_its_digest_must_have_it(tmp_path: Path):
    config = '{"rootfs": {"diff_ids": []}}'
    name = "0" * 64 + ".json"
    (tmp_path / "a.tar").write_bytes(
        layer_tar({"manifest.json": json.dumps([{"Config": name, "Layers": []}]), name: config})
    )
    with pytest.raises(DigestError, match=f"config: expected sha256:{'0' * 64}, found {digest(config.encode())}"):
        read(f"docker-archive:{tmp_path}/a.tar")


@pytest.mark.parametrize(
    ("data", "kind"), [(compress(layer_tar(ONE), kind)[:-20], kind) for kind in ("gzip", "zstd", "xz")]
)
def test_a_truncated_archive_says_so(data: bytes, kind: str, tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(ImageFormatError, match=f"damaged or truncated {kind}|no manifest.json|truncated"):
        read(f"docker-archive:{tmp_path}/a.tar")


def test_what_is_no_image_is_not_recognised(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnknownImageError, match=r"a folder without index\.json"):
        read(str(tmp_path / "folder"))
    with pytest.raises(ImageFormatError, match=r"index\.json is missing"):
        read(f"oci-dir:{tmp_path}/folder")
    for name, data in (("empty", b""), ("text", b"hello\n"), ("tree.tar", layer_tar(ONE))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnknownImageError, match="a file that is no image archive"):
            read(str(tmp_path / name))
    with pytest.raises(UnknownImageError, match="is a folder; expected an archive"):
        read(f"docker-archive:{tmp_path}/folder")
    with pytest.raises(UnknownImageError, match="expected sample:full or sample:minimal"):
        read("sample:medium")


def test_an_engine_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/podman.sock")
    with pytest.raises(
        SourceError, match=f"no Podman answers at unix://{tmp_path}/podman.sock: No such file or directory"
    ):
        read("podman:x")
    monkeypatch.setenv("DOCKER_HOST", "ssh+nonsense://x")
    with pytest.raises(SourceError, match="no Docker Engine answers at"):
        read("docker:x")
    with pytest.raises(UnknownImageError, match="expected a name after docker:"):
        read("docker:")


def test_a_layer_that_may_be_taken_for_a_document_is_a_layer_all_the_same(tmp_path: Path):
    odd = {"{odd": "1"}
    docker_archive(tmp_path / "a.tar", layers=[odd], compression="gzip")
    assert read(f"docker-archive:{tmp_path}/a.tar")[0] == diff_ids(odd)
