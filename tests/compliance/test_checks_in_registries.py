"""What only a registry or an engine tells: the name that an image is deployed by, and what is attached to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from audit_lib import audit
from audit_lib.sources.urls import PLAIN_HTTP
from tests.compliance.seeded import finding, statuses
from tests.images import oci_dir
from tests.registries import Registry, push
from tests.test_referrers import SLSA, SPDX, attach

SIGNATURE = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "data": b"signed"}
ENVELOPE = {"mediaType": "application/vnd.in-toto+json", "data": b"{}"}


@pytest.fixture
def pushed(docker_registry: Registry, request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return (repository, digest) of an image that nothing is attached to yet."""
    monkeypatch.setenv(PLAIN_HTTP, docker_registry.host)
    repository = f"checked/{request.node.name.partition('[')[0].replace('_', '-')}"
    made = oci_dir(tmp_path / "image", [{"etc/os-release": "ID=debian\n", "name": repository}])
    push(tmp_path / "image", docker_registry, f"{repository}:1.4")
    return repository, made


def test_where_nothing_is_attached_the_checks_fail(docker_registry, pushed):
    found = audit(f"registry:{docker_registry.host}/{pushed[0]}:1.4")
    assert {name: finding(found, name)["evidence"] for name in ("signature-or-provenance", "sbom-attached")} == {
        "signature-or-provenance": "no signature and no attestation of provenance is attached",
        "sbom-attached": "no SBOM is attached",
    }
    assert statuses(found)["signature-or-provenance"] == statuses(found)["sbom-attached"] == "fail"


def test_a_signature_that_is_attached_passes_and_is_said_to_be_unverified(docker_registry, pushed):
    repository, subject = pushed
    attach(docker_registry, repository, SIGNATURE, tag=f"{subject.replace(':', '-')}.sig")
    found = audit(f"registry:{docker_registry.host}/{repository}@{subject}")
    row = finding(found, "signature-or-provenance")
    assert (row["status"], row["evidence"]) == (
        "pass",
        "1 signature and 0 attestations of provenance attached, not verified here",
    )
    assert statuses(found)["sbom-attached"] == "fail"


def test_provenance_and_an_sbom_that_are_attached_pass(docker_registry, pushed):
    repository, subject = pushed
    documents = [{**ENVELOPE, "annotations": {"predicateType": kind}} for kind in (SLSA, SPDX)]
    attach(docker_registry, repository, *documents, tag=f"{subject.replace(':', '-')}.att")
    found = audit(f"registry:{docker_registry.host}/{repository}:1.4")
    assert finding(found, "signature-or-provenance")["evidence"] == (
        "0 signatures and 1 attestation of provenance attached, not verified here"
    )
    assert finding(found, "sbom-attached")["evidence"] == "1 SBOM attached, not compared here"
    assert statuses(found)["signature-or-provenance"] == statuses(found)["sbom-attached"] == "pass"


def test_a_registry_that_does_not_answer_for_what_is_attached_leaves_it_undecided(tmp_path):
    oci_dir(tmp_path, [{"a": "b"}])
    asked = replace(audit(f"oci-dir:{tmp_path}"), referrers_problem="host: HTTP status 503")
    row = finding(asked, "sbom-attached")
    assert (row["status"], row["reason"]) == ("not_assessable", "what is attached is not known: host: HTTP status 503")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (":1.4", "manual"),
        ("@{digest}", "pass"),
        (":1.4@{digest}", "pass"),
        (":latest", "fail"),
        ("", "fail"),
        (":stable", "fail"),
    ],
)
def test_a_name_is_fixed_by_a_digest_and_moves_by_latest(tmp_path, name, status):
    digest = oci_dir(tmp_path, [{"a": "b"}])
    found = audit(f"oci-dir:{tmp_path}")
    for source in ("registry", "docker", "podman"):
        for scheme in (f"{source}:", ""):
            reference = f"{scheme}registry.example:5000/shop/web{name.format(digest=digest)}"
            named = found.image.assign(
                reference=pd.array([reference], dtype="string"), source=pd.array([source], dtype="string")
            )
            assert statuses(replace(found, image=named))["fixed-name"] == status, reference
    row = finding(found, "fixed-name")
    assert (row["status"], row["reason"]) == (
        "not_assessable",
        "the image was read from oci-dir, not by the name that it is deployed by",
    )


def test_what_lies_in_an_index_beside_an_image_passes_and_its_lack_says_nothing(tmp_path):
    oci_dir(tmp_path, [{"a": "b"}])
    found = audit(f"oci-dir:{tmp_path}")
    row = finding(found, "sbom-attached")
    assert (row["status"], row["reason"]) == (
        "not_assessable",
        "where the image was read from (oci-dir) does not tell what is attached to it",
    )
    columns = {"image": "x", "kind": "attestation", "predicate_type": SLSA, "found_by": "image_index"}
    beside = found.referrers.reindex([0]).assign(
        **{name: pd.array([value], dtype="string") for name, value in columns.items()}
    )
    known = replace(found, referrers=beside, unknown=frozenset())
    assert statuses(known)["signature-or-provenance"] == "pass"
    row = finding(known, "sbom-attached")
    assert (row["status"], row["evidence"], row["reason"]) == (
        "not_assessable",
        "no SBOM is attached",
        "what a registry holds for the image is not told by the file that it was read from",
    )
