"""SBOM documents inside an image: read as evidence, compared with what the package databases state, never mixed with it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_lib import Audit, audit, claims
from tests.images import oci_dir
from tests.test_sboms import CYCLONEDX, SPDX, TAGGED

REDIS = "opt/bitnami/redis/.spdx-redis.spdx"
SITE = "usr/lib/python3/site-packages"
INSTALLED = "P:{0}\nV:{1}\nA:x86_64\n\n"


def spdx(*packages: tuple[str, str, str], **facts: object) -> str:
    """Return a document as Bitnami and Docker write them: the namespace no URI, a package with the document's own id."""
    stated = [
        {
            "SPDXID": f"SPDXRef-{name}",
            "name": name,
            "versionInfo": version,
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
            ],
        }
        for name, version, purl in packages
    ]
    return json.dumps(
        {
            "SPDXID": f"SPDXRef-{packages[0][0]}" if packages else "SPDXRef-DOCUMENT",
            "spdxVersion": "SPDX-2.3",
            "documentNamespace": "redis-7.4.1",
            "name": "SPDX document for Redis",
            "packages": stated,
            **facts,
        }
    )


def audited(path: Path, *layers: dict) -> Audit:
    oci_dir(path / "image", layers=layers)
    return audit(f"oci-dir:{path / 'image'}")


def rows(table: pd.DataFrame, *columns: str) -> list[tuple]:
    values = table[list(columns)].astype(object)
    return [tuple(row) for row in values.where(values.notna(), None).itertuples(index=False)]


def claimed(found: Audit) -> list[tuple]:
    return rows(found.sbom_claims, "format", "name", "version", "role", "agreement", "found_version")


def test_an_image_without_documents_has_none_and_says_nothing(tmp_path: Path):
    found = audited(tmp_path, {"etc/motd": "", "opt/bitnami/readme.spdx": "{}"})
    assert len(found.sbom_documents) == len(found.sbom_claims) == 0
    assert found.knows("sbom_documents")
    assert not any("SBOM" in said for said in (*found.notes, *found.gaps))


def test_a_document_of_bitnami_is_compared_with_what_lies_in_its_folder(tmp_path: Path):
    document = spdx(
        ("redis", "7.4.1-0", "pkg:bitnami/redis@7.4.1-0?arch=amd64&distro=debian-12"),
        ("six", "1.15.0", "pkg:pypi/six@1.15.0"),
        ("left-pad", "1.3.0", "pkg:npm/left-pad@1.3.0"),
    )
    found = audited(
        tmp_path,
        {
            REDIS: document,
            "opt/bitnami/redis/bin/redis-server": b"\x7fELF" + bytes(60) + b"Redis version=7.4.1, bits=64",
            "opt/bitnami/redis/lib/six-1.16.0.dist-info/METADATA": "Name: six\nVersion: 1.16.0\n",
            "opt/bitnami/redis/lib/idna-3.4.dist-info/METADATA": "Name: idna\nVersion: 3.4\n",
            "opt/elsewhere/wheel-1.dist-info/METADATA": "Name: wheel\nVersion: 1\n",
        },
    )
    assert [row for row in claimed(found) if row[0] != "bitnami"] == [
        ("npm", "left-pad", "1.3.0", "installed", "document_only", None),
        ("pypi", "idna", None, "installed", "databases_only", "3.4"),
        ("pypi", "six", "1.15.0", "installed", "other_version", "1.16.0"),
    ]
    columns = [
        "publisher",
        "status",
        "notation",
        "package_count",
        "other_version_count",
        "databases_only_count",
        "layer",
    ]
    assert rows(found.sbom_documents, *columns) == [("bitnami", "read", "SPDX 2.3", 3, 1, 1, 1)]
    assert set(found.packages["name"]) >= {"six", "idna", "wheel"}
    assert "left-pad" not in set(found.packages["name"])
    assert any("packages are claimed by 1 SBOM documents inside it and stated by no" in note for note in found.notes)


@pytest.mark.parametrize(
    ("claimed_version", "found_version", "agreement"),
    [
        ("7.4.1-0", "7.4.1", "both"),
        ("17.2.0-8", "17.2", "both"),
        ("17.2.0-8", "17.2.0-8", "both"),
        ("17.2.0-8", "17.3", "other_version"),
        ("17.2.0-8", None, "other_version"),
    ],
)
def test_a_number_of_bitnamis_build_is_no_other_version(
    claimed_version: str, found_version: str | None, agreement: str
):
    document = claims.sboms.parse(
        spdx(("a", claimed_version, f"pkg:bitnami/a@{claimed_version}")).encode(), "x", limit=10_000
    )
    is_same = claims._is_same(document.packages[0], found_version)
    assert is_same == (agreement == "both")


def test_bitnamis_older_documents_of_tagged_lines_are_read_too(tmp_path: Path):
    found = audited(tmp_path, {REDIS: TAGGED})
    assert claimed(found) == [("bitnami", "redis", "7.4.1-0", "installed", "document_only", None)]
    assert rows(found.sbom_documents, "subject", "detail") == [("SPDX document for Redis(R) 7.4.1", None)]


def test_every_apk_package_of_wolfi_should_have_its_document_and_sources_are_not_missing(tmp_path: Path):
    found = audited(
        tmp_path,
        {
            "usr/lib/apk/db/installed": INSTALLED.format("curl", "8.12.1-r3") + INSTALLED.format("nano", "8.3-r0"),
            "var/lib/db/sbom/curl-8.12.1-r3.spdx.json": json.dumps(SPDX),
        },
    )
    assert claimed(found) == [
        ("apk", "curl", "8.12.1-r3", "installed", "both", "8.12.1-r3"),
        ("generic", "curl", "8.12.1", "source", None, None),
        ("github", "wolfi-dev/os", "eca", "source", None, None),
        ("apk", "nano", None, "installed", "databases_only", "8.3-r0"),
    ]
    counts = ["package_count", "both_count", "document_only_count", "databases_only_count", "source_count"]
    assert rows(found.sbom_documents, *counts) == [(1, 1, 0, 0, 2)]
    assert rows(found.sbom_claims, "document_path")[-1] == (None,)
    assert not any("claimed by" in note for note in found.notes)


def test_documents_of_docker_hardened_images_are_read(tmp_path: Path):
    document = spdx(
        ("dhi-pkg-python", "3.13.11-debian13", "pkg:dhi/python@3.13.11?platform=linux%2Famd64"),
        ("image", "1", "pkg:docker/dhi/python@3.13"),
    )
    found = audited(tmp_path, {"opt/docker/sbom/python/.spdx.python.json": document})
    assert rows(found.sbom_documents, "publisher", "document_path", "package_count") == [
        ("docker", "/opt/docker/sbom/python/.spdx.python.json", 1)
    ]
    assert claimed(found)[0][:3] == ("dhi", "python", "3.13.11-debian13")


def test_what_a_wheel_says_is_compiled_into_it_is_evidence_with_the_wheel_as_owner(tmp_path: Path):
    wheel = f"{SITE}/cryptography-50.0.2.dist-info"
    document = {
        **CYCLONEDX,
        "components": [{"type": "library", "name": "openssl", "version": "4.0.3", "purl": "pkg:generic/openssl@4.0.3"}],
    }
    found = audited(
        tmp_path,
        {
            f"{wheel}/METADATA": "Name: cryptography\nVersion: 50.0.2\n",
            f"{wheel}/RECORD": "cryptography-50.0.2.dist-info/METADATA,,\ncryptography-50.0.2.dist-info/sboms/sbom.json,,\n",
            f"{wheel}/sboms/sbom.json": json.dumps(document),
        },
    )
    assert rows(found.sbom_documents, "publisher", "package", "document_only_count") == [
        ("python", "pypi:cryptography", 1)
    ]
    assert claimed(found) == [("generic", "openssl", "4.0.3", "installed", "document_only", None)]
    assert found.packages["name"].tolist() == ["cryptography"]


def test_a_damaged_document_is_a_row_and_a_gap_and_the_packages_stay_known(tmp_path: Path):
    layer = {
        "lib/apk/db/installed": INSTALLED.format("musl", "1.2.5-r0"),
        "var/lib/db/sbom/musl.spdx.json": json.dumps(SPDX)[:300],
        "opt/docker/sbom/x/y.json": '{"name": "no SBOM"}',
        REDIS: spdx(("", "1", "pkg:bitnami/a@1")),
    }
    found = audited(tmp_path, layer)
    told = {row[0]: row[1:] for row in rows(found.sbom_documents, "publisher", "status", "package_count", "detail")}
    assert told["melange"][:2] == ("damaged", None)
    assert told["melange"][2].startswith("not JSON: ")
    assert told["docker"][2].startswith("expected an SBOM in CycloneDX")
    assert told["bitnami"] == ("damaged", 0, "1 entries cannot be read: a package without a name")
    assert found.image["package_count"].tolist() == [1]
    assert not found.is_damaged
    assert any("3 of 3 SBOM documents inside it could not be read" in gap for gap in found.gaps)


def test_a_document_that_a_layer_deleted_claims_nothing(tmp_path: Path):
    found = audited(tmp_path, {REDIS: TAGGED}, {"opt/bitnami/redis/.wh..spdx-redis.spdx": ""})
    assert len(found.sbom_documents) == 0


def test_documents_and_packages_beyond_the_bounds_are_not_read_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    layer = {f"opt/docker/sbom/{number}.json": spdx(("a", "1", "pkg:dhi/a@1")) for number in range(4)}
    monkeypatch.setattr(claims, "_MAX_DOCUMENTS", 2)
    statuses = rows(audited(tmp_path, layer).sbom_documents, "document_path", "status", "detail")
    assert [row[1] for row in statuses] == ["read", "read", "damaged"]
    assert statuses[2][2] == "this and the documents after it are not read: more than 2 documents or 200,000 packages"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=40) | st.sampled_from([json.dumps(SPDX), TAGGED, "<bom/>", "[]"]).map(str.encode))
def test_whatever_a_document_holds_the_image_is_audited(data: bytes, tmp_path_factory: pytest.TempPathFactory):
    found = audited(tmp_path_factory.mktemp("any"), {REDIS: data, "var/lib/dpkg/status": ""})
    assert len(found.sbom_documents) == 1
    assert found.image["package_count"].tolist() == [0]
