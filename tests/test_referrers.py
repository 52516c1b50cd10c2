"""What is attached to an image: found by every way in which registries and tools list it; unknown where nobody can tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit_lib import __main__ as command
from audit_lib import audit
from audit_lib.sources import open_image, referrers, registry
from audit_lib.sources.attached import Listed, kind_of, parse_attached
from audit_lib.sources.urls import PLAIN_HTTP
from tests.images import OCI_INDEX, OCI_MANIFEST, add_blob, add_image, add_to_index, oci_dir
from tests.registries import Registry, push, put_blob, put_manifest, served
from tests.test_registry_faults import QUICK, Between

IMAGE = {"etc/os-release": "ID=debian\n"}
EMPTY = "application/vnd.oci.empty.v1+json"
SPDX, SLSA = "https://spdx.dev/Document", "https://slsa.dev/provenance/v1"
COLUMNS = ["kind", "artifact_type", "predicate_type", "media_type", "artifact_bytes", "found_by"]


@pytest.fixture
def pushed(docker_registry: Registry, request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return (repository, digest) of an image that nothing is attached to yet."""
    monkeypatch.setenv(PLAIN_HTTP, docker_registry.host)
    monkeypatch.setattr(registry, "PATIENCE", QUICK)
    repository = f"attached/{request.node.name.partition('[')[0].replace('_', '-')}"
    # Each repository has an image of its own: registries share blobs, and so would what is attached.
    made = oci_dir(tmp_path / "image", [{**IMAGE, "name": repository}])
    push(tmp_path / "image", docker_registry, f"{repository}:1")
    return repository, made


def attach(
    to: Registry,
    repository: str,
    *blobs: dict[str, Any],
    tag: str | None = None,
    config: str = EMPTY,
    **facts: Any,
) -> dict[str, Any]:
    """Upload a manifest that holds documents, each a descriptor without its digest and size but with `data`."""
    held = [
        {**{key: value for key, value in blob.items() if key != "data"}, **put_blob(to, repository, blob["data"])}
        for blob in blobs
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": config, **put_blob(to, repository, b"{}")},
        "layers": held,
        **facts,
    }
    return put_manifest(to, repository, document, tag)


def rows(table: pd.DataFrame) -> list[list[object]]:
    """Return what tells one document from another, None where it is not stated."""
    return [[None if pd.isna(value) else value for value in row] for row in table[COLUMNS].itertuples(index=False)]


def test_what_cosign_stores_beside_an_image_is_listed(docker_registry: Registry, pushed: tuple[str, str]):
    repository, subject = pushed
    tag = subject.replace(":", "-")
    signature = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "data": b"signed"}
    # Two people who sign the same payload: one blob, two signatures.
    signatures = [{**signature, "annotations": {"dev.cosignproject.cosign/signature": who}} for who in ("a", "b")]
    attach(
        docker_registry, repository, *signatures, tag=f"{tag}.sig", config="application/vnd.oci.image.config.v1+json"
    )
    envelope = {
        "mediaType": "application/vnd.dsse.envelope.v1+json",
        "annotations": {"predicateType": SLSA},
        "data": b"provenance",
    }
    attach(docker_registry, repository, envelope, tag=f"{tag}.att")
    attach(docker_registry, repository, {"mediaType": "text/spdx+json", "data": b"spdx document"}, tag=f"{tag}.sbom")
    found = audit(f"registry:{docker_registry.host}/{repository}:1")
    assert found.knows("referrers")
    assert set(found.referrers["subject_digest"]) == {subject}
    assert sorted(rows(found.referrers), key=str) == [
        ["attestation", None, SLSA, "application/vnd.dsse.envelope.v1+json", 10, "cosign_tag"],
        ["sbom", None, None, "text/spdx+json", 13, "cosign_tag"],
        ["signature", None, None, "application/vnd.dev.cosign.simplesigning.v1+json", 6, "cosign_tag"],
        ["signature", None, None, "application/vnd.dev.cosign.simplesigning.v1+json", 6, "cosign_tag"],
    ]


def test_the_tag_that_stands_in_for_the_referrers_api_is_read(docker_registry: Registry, pushed: tuple[str, str]):
    repository, subject = pushed
    sbom = attach(
        docker_registry,
        repository,
        {"mediaType": "application/vnd.cyclonedx+json", "data": b"components"},
        artifactType="application/vnd.cyclonedx+json",
    )
    notation = attach(
        docker_registry,
        repository,
        {"mediaType": "application/jose+json", "data": b"signature"},
        config="application/vnd.cncf.notary.signature",
    )
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [sbom, notation]}
    put_manifest(docker_registry, repository, index, subject.replace(":", "-"))
    found = audit(f"registry:{docker_registry.host}/{repository}:1").referrers
    assert sorted(rows(found), key=str) == [
        ["sbom", "application/vnd.cyclonedx+json", None, "application/vnd.cyclonedx+json", 10, "referrers_tag"],
        ["signature", "application/vnd.cncf.notary.signature", None, "application/jose+json", 9, "referrers_tag"],
    ]
    assert set(found["manifest_digest"]) == {sbom["digest"], notation["digest"]}


def buildkit(path: Path) -> dict[str, str]:
    """Write an index as BuildKit does: an image, and beside it a manifest with an SBOM and a provenance."""
    image = {**add_image(path, [IMAGE]), "platform": {"os": "linux", "architecture": "amd64"}}
    statements = [
        {**add_blob(path, data, "application/vnd.in-toto+json"), "annotations": {"in-toto.io/predicate-type": kind}}
        for kind, data in ((SPDX, b"sbom"), (SLSA, b"provenance"))
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": add_blob(path, b"{}", "application/vnd.oci.image.config.v1+json"),
        "layers": statements,
    }
    attested = {
        **add_blob(path, json.dumps(document).encode(), OCI_MANIFEST),
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image["digest"],
        },
        "platform": {"os": "unknown", "architecture": "unknown"},
    }
    index = add_blob(
        path,
        json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image, attested]}).encode(),
        OCI_INDEX,
    )
    add_to_index(path, [index], tag="1")
    return {"image": image["digest"], "index": index["digest"]}


@pytest.mark.parametrize("source", ["registry", "oci-dir"])
def test_what_buildkit_put_into_the_index_is_listed(
    source: str, docker_registry: Registry, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv(PLAIN_HTTP, docker_registry.host)
    made = buildkit(tmp_path / "built")
    push(tmp_path / "built", docker_registry, "attached/built:1", "--all")
    places = {"registry": f"{docker_registry.host}/attached/built:1", "oci-dir": tmp_path / "built"}
    found = audit(f"{source}:{places[source]}", platform="linux/amd64").referrers
    assert rows(found) == [
        ["sbom", None, SPDX, "application/vnd.in-toto+json", 4, "image_index"],
        ["attestation", None, SLSA, "application/vnd.in-toto+json", 10, "image_index"],
    ]
    assert set(found["subject_digest"]) == {made["image"]}


def test_a_signature_of_the_index_is_one_of_the_image(docker_registry: Registry, tmp_path: Path, monkeypatch):
    monkeypatch.setenv(PLAIN_HTTP, docker_registry.host)
    made = buildkit(tmp_path / "built")
    push(tmp_path / "built", docker_registry, "attached/signed-index:1", "--all")
    signature = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "data": b"signed"}
    attach(docker_registry, "attached/signed-index", signature, tag=made["index"].replace(":", "-") + ".sig")
    found = audit(f"registry:{docker_registry.host}/attached/signed-index:1", platform="linux/amd64").referrers
    assert found.loc[found["kind"] == "signature", "subject_digest"].tolist() == [made["index"]]


@pytest.fixture
def api(docker_registry: Registry, pushed: tuple[str, str], monkeypatch):
    """Return (reference, server) of a registry that has the referrers API; `server.pages` are what it answers, by path."""
    repository, subject = pushed

    def answered(handler: Between, _: int) -> bool:
        if "/referrers/" not in handler.path:
            return False
        page = handler.server.pages.get(handler.path.partition("?last=")[2], {})  # type: ignore[attr-defined]
        return handler.say(**{"status": 200, "Content_Type": OCI_INDEX, **page})

    with served(Between, behind=docker_registry.host, fault=answered, seen=[], pages={}) as (host, server):
        monkeypatch.setenv(PLAIN_HTTP, f"{host},{docker_registry.host}")
        server.subject = subject
        yield f"registry:{host}/{repository}:1", server


def index_of(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}


def test_the_referrers_api_is_read_over_all_its_pages(docker_registry: Registry, pushed, api):
    reference, server = api
    bundle = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "data": b"bundle"}
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    entries = [
        attach(docker_registry, pushed[0], bundle, artifactType=kind, annotations=notes)
        for notes in (
            {"dev.sigstore.bundle.content": "message-signature"},
            {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": SLSA},
        )
    ]
    link = f'</v2/{pushed[0]}/referrers/{pushed[1]}?last=2>; rel="next"'
    server.pages = {"": {"body": index_of(entries[0]), "Link": link}, "2": {"body": index_of(entries[1])}}
    found = audit(reference)
    assert sorted(rows(found.referrers), key=str) == [
        ["attestation", kind, SLSA, kind, 6, "referrers_api"],
        ["signature", kind, None, kind, 6, "referrers_api"],
    ]
    asked = [one for one in server.seen if one.path.endswith(pushed[1].replace(":", "-"))]
    assert asked == [], "the tag that stands in is for registries without the API"


def test_nothing_attached_is_known_to_be_nothing(api):
    reference, server = api
    server.pages = {"": {"body": index_of()}}
    found = audit(reference)
    assert found.knows("referrers")
    assert found.referrers.empty
    assert not any("what is attached" in gap for gap in found.gaps)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"status": 500}, "answers with 500 Internal Server Error"),
        ({"status": 403}, "403 Forbidden"),
        ({"body": b"{"}, "not JSON"),
        ({"body": {"manifests": [{"digest": "x"}]}}, "expected a digest"),
        ({"body": index_of(), "Link": '<https://elsewhere.test/>; rel="next"'}, "which is another host"),
    ],
)
def test_a_listing_that_cannot_be_read_leaves_it_unknown_and_the_audit_whole(api, page: dict, said: str):
    reference, server = api
    server.pages = {"": page}
    found = audit(reference)
    assert not found.knows("referrers")
    assert found.referrers.empty
    (gap,) = [gap for gap in found.gaps if "what is attached to it is unknown" in gap]
    assert said in gap
    assert found.files["path"].tolist() == ["/etc", "/etc/os-release", "/name"]


def test_an_attached_manifest_that_cannot_be_read_is_a_row_that_says_so(
    docker_registry: Registry, pushed, api, monkeypatch
):
    reference, server = api
    missing = {
        "mediaType": OCI_MANIFEST,
        "digest": "sha256:" + "a" * 64,
        "size": 7,
        "artifactType": "application/spdx+json",
    }
    nested = {**missing, "mediaType": OCI_INDEX, "digest": "sha256:" + "b" * 64}
    bare = attach(docker_registry, pushed[0], artifactType="application/vnd.example.mark")
    server.pages = {"": {"body": index_of(missing, nested, bare)}}
    found = audit(reference).referrers.set_index("manifest_digest")
    assert found.loc[missing["digest"], "kind"] == "sbom"
    assert "not read: " in found.loc[missing["digest"], "detail"]
    assert found.loc[nested["digest"], "detail"] == "not opened: an index of several"
    assert found.loc[bare["digest"], "detail"] == "holds no document"
    assert found["position"].tolist() == [0, 0, 0]
    assert found["artifact_bytes"].isna().all()
    monkeypatch.setattr(referrers, "_MAX_OPENED", 1)
    details = audit(reference).referrers["detail"].tolist()
    assert details.count("not opened: more than 1 are attached") == 2


def test_other_sources_cannot_tell_and_say_so(tmp_path: Path, monkeypatch, capsys):
    oci_dir(tmp_path / "image", [IMAGE])
    found = audit(f"oci-dir:{tmp_path}/image")
    assert not found.knows("referrers")
    assert found.referrers.empty
    assert list(found.referrers.columns[:2]) == ["image", "subject_digest"]
    with open_image("sample:minimal") as image:
        assert list(image.blobs())
        assert image.facts().referrers is None
    words = ["image-audit", "inspect", f"oci-dir:{tmp_path}/image", "--table", "referrers", "--format", "csv"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        command.main()
    assert "referrers are unknown, not none: its source does not tell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ((None, "application/spdx+json"), "sbom"),
        ((None, "application/vnd.syft+json"), "sbom"),
        (("https://cyclonedx.org/bom", "application/vnd.in-toto+json"), "sbom"),
        (("https://cosign.sigstore.dev/attestation/vuln/v1", None), "attestation"),
        ((None, "application/vnd.in-toto+json"), "attestation"),
        ((None, "application/vnd.dev.cosign.artifact.sig.v1+json"), "signature"),
        ((None, "application/vnd.cncf.helm.chart"), "other"),
        ((None, None), "other"),
    ],
)
def test_what_a_document_is_follows_from_its_types(types: tuple, kind: str):
    assert kind_of(*types) == kind


def test_an_artifact_manifest_of_before_oci_1_1_holds_blobs():
    blob = {"mediaType": "application/spdx+json", "digest": "sha256:" + "c" * 64, "size": 3}
    document = {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "artifactType": "a/b", "blobs": [blob]}
    (row,) = parse_attached(document, Listed({"digest": "sha256:" + "d" * 64}, "sha256:" + "e" * 64, "referrers_api"))
    assert (row.kind, row.artifact_type, row.digest, row.artifact_bytes) == ("sbom", "a/b", blob["digest"], 3)
