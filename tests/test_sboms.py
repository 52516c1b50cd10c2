"""SBOM documents: what each notation states, what an image known from one alone has and lacks, and wrong input."""

from __future__ import annotations

import base64
import json
import lzma
import os
import sys
import threading
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib import AuditError, audit, charts, compare
from audit_lib import __main__ as command
from audit_lib.audit import TABLES
from audit_lib.errors import DamagedDatabaseError, SbomError
from audit_lib.sboms import parse
from audit_lib.sboms.base import Document
from audit_lib.stated import find_document

DOCUMENTS = Path(__file__).with_name("documents")
LIMIT = 64 * 1024**2
CURL = "pkg:deb/debian/curl@7.88.1-10%2Bdeb12u8?arch=amd64&distro=debian-12"

CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "metadata": {
        "timestamp": "2025-01-02T03:04:05Z",
        "tools": [{"vendor": "someone", "name": "scanner", "version": "2.0"}],
        "component": {"type": "container", "name": "example", "version": "1"},
    },
    "components": [
        {"type": "operating-system", "name": "debian", "version": "12", "description": "Debian GNU/Linux 12"},
        {
            "type": "library",
            "bom-ref": "a",
            "name": "curl",
            "version": "7.88.1-10+deb12u8",
            "purl": CURL,
            "cpe": "cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*",
            "licenses": [{"license": {"id": "curl"}}, {"license": {"name": "Expat"}}],
            "components": [{"type": "library", "name": "nested", "group": "org.example", "version": "1"}],
        },
        {"type": "application", "name": "package-lock.json"},
        {"type": "file", "name": "/etc/passwd"},
        {"type": "library", "name": "left-pad", "purl": "pkg:npm/%40a/left-pad@1.3.0", "scope": "excluded"},
    ],
}
SPDX = {
    "spdxVersion": "SPDX-2.3",
    "SPDXID": "SPDXRef-DOCUMENT",
    "name": "example",
    "creationInfo": {"created": "2025-01-02T03:04:05Z", "creators": ["Organization: X", "Tool: melange (v0.23.11)"]},
    "packages": [
        {
            "SPDXID": "SPDXRef-curl",
            "name": "curl",
            "versionInfo": "8.12.1-r3",
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "MIT AND LicenseRef-1",
            "externalRefs": [
                {"referenceType": "purl", "referenceLocator": "pkg:apk/wolfi/curl@8.12.1-r3?arch=x86_64"},
                {"referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a:haxx:curl:8.12.1:*:*:*:*:*:*:*"},
            ],
        },
        {
            "SPDXID": "SPDXRef-recipe",
            "name": "curl.yaml",
            "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:github/wolfi-dev/os@eca#curl.yaml"}],
        },
        {"SPDXID": "SPDXRef-source", "name": "curl", "versionInfo": "8.12.1"},
        {"SPDXID": "SPDXRef-image", "name": "example", "primaryPackagePurpose": "CONTAINER"},
    ],
    "hasExtractedLicensingInfos": [{"licenseId": "LicenseRef-1", "extractedText": "as is", "name": "NOASSERTION"}],
    "relationships": [
        {"spdxElementId": "SPDXRef-curl", "relationshipType": "DESCRIBED_BY", "relatedSpdxElement": "SPDXRef-recipe"},
        {"spdxElementId": "SPDXRef-curl", "relationshipType": "GENERATED_FROM", "relatedSpdxElement": "SPDXRef-source"},
    ],
}
TAGGED = """# written by hand
SPDXVersion: SPDX-2.3
DataLicense: CC0-1.0
DocumentName: SPDX document for Redis(R) 7.4.1
SPDXID: SPDXRef-DOCUMENT
Creator: Organization: VMware, Inc.
Created: 2024-10-02T20:17:11.692Z
Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-redis

PackageName: redis
SPDXID: SPDXRef-redis
PackageVersion: 7.4.1-0
PackageLicenseConcluded: LicenseRef-RSALv2
ExternalRef: SECURITY cpe23Type cpe:2.3:*:redis:redis:7.4.1:*:*:*:*:*:*:*
ExternalRef: PACKAGE-MANAGER purl pkg:bitnami/redis@7.4.1-0?arch=arm64&distro=debian-12
PackageComment: <text>several
lines: of text</text>

FileName: ./bin/redis
SPDXID: SPDXRef-file
PackageVersion: not of a package

LicenseID: LicenseRef-RSALv2
LicenseName: RSALv2
"""
XML = """<?xml version="1.0"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.4" version="1">
  <metadata><tools><tool><vendor>x</vendor><name>scanner</name><version>2</version></tool></tools></metadata>
  <components>
    <component type="library" bom-ref="a">
      <name>curl</name><version>8.0</version>
      <licenses><license><id>curl</id></license><expression>MIT OR ISC</expression></licenses>
      <purl>pkg:apk/alpine/curl@8.0-r0?arch=x86_64&amp;distro=alpine-3.20.3</purl>
      <properties><property name="aquasecurity:trivy:SrcName">curl</property></properties>
    </component>
  </components>
</bom>"""
SYFT = {
    "schema": {"version": "16.0.18"},
    "descriptor": {"name": "syft", "version": "1.18.1"},
    "distro": {"id": "debian", "versionID": "12"},
    "source": {"name": "example", "metadata": {"imageID": "sha256:aa", "repoDigests": ["x@sha256:bb"], "os": "linux"}},
    "artifacts": [
        {
            "name": "libcurl4",
            "version": "7.88.1-10",
            "type": "deb",
            "purl": "pkg:deb/debian/libcurl4@7.88.1-10?arch=amd64&distro=debian-12&upstream=curl",
            "licenses": [{"value": "curl", "spdxExpression": "curl"}],
            "cpes": [{"cpe": "cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*"}],
            "metadata": {"source": "curl", "sourceVersion": "", "installedSize": 839},
        },
        {"name": "old", "version": "1", "purl": "", "licenses": ["MIT"], "cpes": ["cpe:2.3:a:old:old:1:*:*:*:*:*:*:*"]},
    ],
}


def read(document: object) -> Document:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse(data, "x.json", limit=LIMIT)


def stated(document: Document) -> list[tuple]:
    return [(one.format, one.name, one.version) for one in document.packages]


def unpacked(name: str, path: Path) -> Path:
    target = path / name
    target.write_bytes(lzma.decompress((DOCUMENTS / f"{name}.xz").read_bytes()))
    return target


def test_cyclonedx_counts_nested_components_and_leaves_out_what_is_no_package():
    found = read(CYCLONEDX)
    assert stated(found) == [("deb", "curl", "7.88.1-10+deb12u8"), ("generic", "org.example/nested", "1")]
    assert [one.place for one in found.packages] == ["/components/1", "/components/1/components/0"]
    assert found.packages[0].architecture == "amd64"
    assert found.packages[0].licenses == ("curl", "Expat")
    assert (found.notation, found.made_by, found.subject) == ("CycloneDX 1.5", "scanner 2.0", "example@1")
    assert found.facts == {"distro_id": "debian", "distro_version": "12", "distro_name": "Debian GNU/Linux 12"}
    assert found.left_out == {
        "operating systems": 1,
        "groups of packages": 1,
        "file components": 1,
        "excluded components": 1,
    }


def test_cyclonedx_as_xml_says_the_same_as_json():
    found = read(XML.encode())
    assert (found.notation, found.made_by) == ("CycloneDX 1.4", "scanner 2")
    (curl,) = found.packages
    assert (curl.format, curl.name, curl.version, curl.architecture) == ("apk", "curl", "8.0", "x86_64")
    assert curl.licenses == ("curl", "MIT OR ISC")
    assert curl.source_name == "curl"
    assert found.distros == {"alpine-3.20.3"}


def test_spdx_tells_packages_from_what_they_were_built_from():
    found = read(SPDX)
    assert [(one.name, one.is_source) for one in found.packages] == [
        ("curl", False),
        ("wolfi-dev/os", True),
        ("curl", True),
    ]
    assert found.packages[0].licenses == ("MIT", "as is")
    assert found.packages[0].cpes == ("cpe:2.3:a:haxx:curl:8.12.1:*:*:*:*:*:*:*",)
    assert (found.notation, found.made_by, found.left_out) == ("SPDX 2.3", "melange 0.23.11", {"images": 1})


def test_spdx_in_tagged_lines_says_the_same_as_json():
    found = read(TAGGED.encode())
    (redis,) = found.packages
    assert (redis.place, redis.format, redis.name, redis.version) == ("line 10", "bitnami", "redis", "7.4.1-0")
    assert redis.licenses == ("RSALv2",)
    assert redis.cpes == ("cpe:2.3:*:redis:redis:7.4.1:*:*:*:*:*:*:*",)
    assert (found.subject, found.created) == ("SPDX document for Redis(R) 7.4.1", "2024-10-02T20:17:11.692Z")


def test_an_sbom_in_an_attestation_is_unwrapped():
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://spdx.dev/Document",
        "predicate": SPDX,
    }
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    envelope = {"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": []}
    assert stated(read(statement)) == stated(read(envelope)) == stated(read({"SPDX": SPDX})) == stated(read(SPDX))
    with pytest.raises(DamagedDatabaseError, match="/payload: not base64"):
        read({**envelope, "payload": "%"})


def test_syft_states_sources_sizes_and_the_image():
    found = read(SYFT)
    assert stated(found) == [("deb", "libcurl4", "7.88.1-10"), ("generic", "old", "1")]
    assert (found.packages[0].source_name, found.packages[0].source_version) == ("curl", "7.88.1-10")
    assert found.packages[0].installed_size_bytes == 839 * 1024
    assert (found.packages[1].licenses, found.packages[1].purl) == (("MIT",), None)
    assert (found.facts["config_digest"], found.facts["manifest_digest"]) == ("sha256:aa", "sha256:bb")


@pytest.mark.parametrize(
    "name", sorted(path.stem for tool in ("syft", "trivy") for path in DOCUMENTS.glob(f"{tool}.*.xz"))
)
def test_documents_of_syft_and_trivy_hold_what_these_count_themselves(name: str, tmp_path: Path):
    found = audit(f"sbom:{unpacked(name, tmp_path)}")
    assert Counter(found.packages["format"]) == {"deb": 30, "pypi": 12}
    assert found.image["package_count"].tolist() == [42]
    assert found.image["distro_id"].tolist() == ["debian"]
    by_audit = audit("sample:minimal").packages
    key = ["format", "name", "version", "architecture", "source_name", "source_version"]
    assert found.packages[key].fillna("").to_numpy().tolist() == by_audit[key].fillna("").to_numpy().tolist()


def test_an_image_known_from_an_sbom_alone_has_unknown_tables_not_empty_ones(tmp_path: Path):
    (tmp_path / "x.json").write_text(json.dumps(CYCLONEDX))
    found = audit(f"sbom:{tmp_path}/x.json")
    assert found.unknown == set(TABLES) - {"image", "databases", "packages", "findings"}
    assert found.knows("packages")
    assert not found.knows("files")
    totals = ["layer_count", "compressed_bytes", "unpacked_bytes", "file_bytes", "file_count", "unowned_share"]
    assert found.image[totals].isna().all(axis=None)
    assert found.databases[["database_path", "format", "status", "package_count"]].to_numpy().tolist() == [
        [f"{tmp_path}/x.json", "deb", "read", 1],
        [f"{tmp_path}/x.json", "generic", "read", 1],
    ]
    assert found.packages["database_path"].tolist() == [
        f"{tmp_path}/x.json#/components/1",
        f"{tmp_path}/x.json#/components/1/components/0",
    ]
    assert found.packages["licenses"].tolist()[0] == "MIT AND curl"
    assert found.packages["purl"].tolist()[1] == "pkg:generic/org.example/nested@1"
    assert (
        "known from an SBOM alone (CycloneDX 1.5 by scanner 2.0 of example@1, made 2025-01-02T03:04:05Z)"
        in found.notes[0]
    )
    assert "excluded components (1), file components (1)" in found.notes[1]
    assert "unknown, not none: layers, files" in found.gaps[-1]
    assert found.headline.endswith("holds 2 packages by its SBOM; its files, layers and sizes are unknown.")
    assert not found.is_damaged


def test_what_packages_were_built_from_is_counted_apart_from_them(tmp_path: Path):
    (tmp_path / "x.json").write_text(json.dumps(SPDX))
    found = audit(f"sbom:{tmp_path}/x.json")
    assert found.packages[["format", "name"]].to_numpy().tolist() == [["apk", "curl"]]
    assert found.databases["package_count"].tolist() == [1]
    assert "images (1), sources that others were built from (2)" in found.notes[1]


@pytest.mark.parametrize(
    ("maker", "qualifiers", "source"),
    [
        ("syft", "&upstream=curl%407.88.1-9", ("curl", "7.88.1-9")),
        ("syft", "&upstream=curl", ("curl", "7.88.1-10")),
        ("syft", "", ("libcurl4", "7.88.1-10")),
        ("someone", "", (None, None)),
    ],
)
def test_a_source_package_is_stated_or_the_same_by_those_who_say_so(maker: str, qualifiers: str, source: tuple):
    purl = f"pkg:deb/debian/libcurl4@7.88.1-10?arch=amd64{qualifiers}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"tools": {"components": [{"name": maker, "version": "1"}]}},
        "components": [{"type": "library", "name": "libcurl4", "version": "7.88.1-10", "purl": purl}],
    }
    (found,) = read(document).packages
    assert (found.source_name, found.source_version) == source


def test_every_table_of_an_audit_has_its_row_class():
    found = audit("sample:minimal")
    frames = {name for name in dir(found) if isinstance(getattr(found, name), pd.DataFrame)}
    assert frames == set(TABLES)
    assert found.knows("files")


def test_the_path_of_an_sbom_is_recognised_by_what_it_holds(tmp_path: Path):
    for name, data in {"a": json.dumps(SPDX), "b": "\ufeff" + TAGGED, "c": XML}.items():
        (tmp_path / name).write_text(data)
        assert audit(str(tmp_path / name)).image["source"].tolist() == ["sbom"]


def test_a_comparison_with_an_sbom_says_unknown_and_never_zero(tmp_path: Path):
    minimal = audit(f"sbom:{unpacked('syft.cdx.json', tmp_path)}")
    full = audit("sample:full")
    both = compare(full, minimal)
    summary = both.summary.set_index("measure")
    assert summary.loc["packages", ["full", "minimal"]].tolist() == [143, 42]
    for measure in ("file_bytes", "files", "layers", "executables", "reclaimable_bytes", "unowned_share"):
        assert pd.isna(summary.loc[measure, "minimal"])
        assert pd.isna(summary.loc[measure, "reduction_share"])
    assert both.category_sizes["file_bytes_minimal"].isna().all()
    assert both.category_sizes["delta_bytes"].isna().all()
    assert set(both.layer_sizes["role"]) == {"full"}
    assert both.layer_sizes["is_shared"].isna().all()
    assert len(both.file_changes) == 0
    assert not both.knows("file_changes")
    assert not both.knows("layer_sizes")
    assert Counter(both.package_changes["change"]) == Counter(
        compare(full, audit("sample:minimal")).package_changes["change"]
    )
    assert any("its files are unknown" in gap for gap in both.gaps)
    none = tmp_path / "none.json"
    none.write_text(json.dumps({**SPDX, "packages": []}))
    gaps = compare(full, audit(f"sbom:{none}")).gaps
    assert any("its SBOM lists no deb packages; the other image's 128 count as removed" in gap for gap in gaps)


def test_charts_draw_what_an_sbom_does_not_tell_as_unknown(tmp_path: Path):
    found = audit(f"sbom:{unpacked('syft.cdx.json', tmp_path)}")
    both = compare(audit("sample:full"), found)
    tree = charts.folder_treemap(found.files, is_known=found.knows("files"))
    assert [text.get_text() for text in tree.texts] == ["unknown"]
    assert [patch.get_hatch() for patch in tree.patches] == ["////"]
    bars = charts.size_bars(found.files, name="category", is_known=False)
    assert [patch.get_hatch() for patch in bars.patches] == ["////"]
    layers = charts.layers_stacked(both.layer_sizes)
    assert "unknown" in [text.get_text() for text in layers.texts]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (json.dumps(CYCLONEDX).encode()[:200], "not JSON: "),
        (b"[" * 100_000, "not JSON: "),
        (b'{"components":' + b'[{"components":' * 20_000, "not JSON: "),
        (b"{}", "expected an SBOM in CycloneDX (bomFormat), SPDX 2 (spdxVersion) or Syft's JSON"),
        (b'{"name": "left-pad", "version": "1"}', "found an object with the keys 'name', 'version'"),
        (b"[]", "expected a JSON object, found a list"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "2.0"}', "expected CycloneDX 1.2 to 1.7, found specVersion 2.0"),
        (b'{"bomFormat": "CycloneDX"}', "found specVersion (none)"),
        (
            b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": {}}',
            "/components: expected a list, found an",
        ),
        (
            b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{}, 1]}',
            "/components/1: expected an object, found a number",
        ),
        (b'{"spdxVersion": "SPDX-3.0"}', "expected SPDX-2.1 to SPDX-2.3, found SPDX-3.0"),
        (b'{"spdxVersion": "SPDX-2.3", "packages": "none"}', "/packages: expected a list, found text"),
        (b'{"artifacts": [], "schema": {}}', "expected Syft's schema 3 to 16, found (none)"),
        (b"SPDXVersion: SPDX-2.3\nPackageName curl\n", "line 2: expected 'Tag: value', found 'PackageName curl'"),
        (b"SPDXVersion: SPDX-2.3\nPackageComment: <text>a\n", "line 2: PackageComment: <text> has no end"),
        (b"SPDXVersion: SPDX-2.3\nRelationship: a b\n", "line 2: Relationship: expected two elements"),
        (b"<html></html>", "expected <bom> of CycloneDX, found <html>"),
        (b"<bom xmlns='http://cyclonedx.org/schema/bom/1.4'>", "not XML: no element found: line 1"),
        (b"<!DOCTYPE bom [<!ENTITY a 'a'>]><bom/>", "line 1: a document type, which no SBOM has"),
    ],
)
def test_wrong_documents_are_one_clear_line(
    data: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "x").write_bytes(data)
    monkeypatch.setattr(sys, "argv", ["image-audit", "-q", "inspect", f"sbom:{tmp_path}/x"])
    with pytest.raises(SystemExit) as leaving:
        command.main()
    error = capsys.readouterr().err
    assert leaving.value.code == 2
    assert error.count("\n") == 1
    assert error.startswith(f"image-audit: error: sbom:{tmp_path}/x: ")
    assert said in error


def test_a_deep_document_that_is_json_is_read_or_refused_and_never_overflows():
    deep: dict = {"type": "library", "name": "x"}
    for _ in range(900):
        deep = {"type": "library", "name": "x", "components": [deep]}
    try:
        found = read({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [deep]})
    except (DamagedDatabaseError, RecursionError):  # json.dumps overflows before the reader has a chance
        return
    assert len(found.packages) == 901


def test_a_document_larger_than_the_limit_is_refused_unread(tmp_path: Path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.write(b"{")
        file.truncate(1024**3)
    with pytest.raises(SbomError, match=r"huge\.json: larger than 134,217,728 bytes \(limit `kept_file_bytes`\)"):
        audit(f"sbom:{tmp_path}/huge.json")


def test_what_is_not_there_or_no_file_is_said_to_be(tmp_path: Path):
    with pytest.raises(AuditError, match=f"sbom:{tmp_path}: cannot be read: Is a directory"):
        audit(f"sbom:{tmp_path}")
    with pytest.raises(AuditError, match="nothing: cannot be read: No such file or directory"):
        audit(f"sbom:{tmp_path}/nothing")


def test_a_pipe_is_read_when_it_is_called_an_sbom_and_not_waited_for_otherwise(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert find_document(str(tmp_path / "pipe")) is None
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(json.dumps(CYCLONEDX),))
    writer.start()
    assert audit(f"sbom:{tmp_path}/pipe").packages["name"].tolist() == ["curl", "org.example/nested"]
    writer.join()


def test_a_misspelt_scheme_is_told_of_this_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("CONTAINER_HOST", "unix:///nowhere/podman.sock")
    with pytest.raises(AuditError, match=r"'sbmo' is not one of the schemes .*, sbom:$"):
        audit("sbmo:/x.json")


def test_another_platform_than_asked_for_is_refused(tmp_path: Path):
    document = {**SYFT, "source": {"metadata": {"architecture": "arm64"}}}
    (tmp_path / "x.json").write_text(json.dumps(document))
    assert audit(f"sbom:{tmp_path}/x.json", platform="linux/arm64").image["architecture"].tolist() == ["arm64"]
    with pytest.raises(SbomError, match="expected an SBOM of linux/amd64, found one of arm64"):
        audit(f"sbom:{tmp_path}/x.json", platform="linux/amd64")


def test_an_entry_that_cannot_be_read_makes_the_count_unknown_and_the_rest_is_shown(tmp_path: Path):
    components = [
        {"type": "library", "name": "good", "purl": "pkg:npm/good@1"},
        {"type": "library", "version": "2"},
        {"type": "library", "name": "bad", "purl": "npm:bad@1"},
    ]
    (tmp_path / "x.json").write_text(json.dumps({**CYCLONEDX, "components": components}))
    found = audit(f"sbom:{tmp_path}/x.json")
    assert found.packages["name"].tolist() == ["good"]
    assert found.is_damaged
    assert found.image["package_count"].isna().all()
    damaged = found.databases[found.databases["status"] == "damaged"]
    assert damaged[["database_path", "detail"]].to_numpy().tolist() == [
        [f"{tmp_path}/x.json#/components/1", "a package without a name"],
        [f"{tmp_path}/x.json#/components/2", "bad: expected a package URL, found 'npm:bad@1'"],
    ]


def test_two_packages_of_one_identifier_are_both_shown_and_it_is_said():
    twice = {"type": "library", "bom-ref": "a", "name": "x", "version": "1"}
    found = read({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [twice, {**twice, "name": "y"}]})
    assert [one.name for one in found.packages] == ["x", "y"]
    assert found.notes == ["/components/1 has the bom-ref of /components/0, though each stands for one component"]


def test_half_characters_and_other_letters_do_not_stop_a_table(tmp_path: Path):
    component = {"type": "library", "name": "a\ud800", "version": "é", "properties": [{"name": "x", "value": "\udfff"}]}
    (tmp_path / "x.json").write_text(json.dumps({**CYCLONEDX, "components": [component]}))
    assert audit(f"sbom:{tmp_path}/x.json").packages["name"].tolist() == ["a\ufffd"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("pkg:deb/debian/a@1"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "version",
                    "purl",
                    "type",
                    "licenses",
                    "license",
                    "id",
                    "properties",
                    "value",
                    "components",
                    "metadata",
                    "tools",
                    "component",
                    "externalRefs",
                    "referenceType",
                    "referenceLocator",
                    "annotations",
                    "comment",
                    "artifacts",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(head=st.sampled_from([CYCLONEDX, SPDX, SYFT]), key=st.data(), value=VALUES)
def test_any_value_in_any_place_gives_packages_or_the_named_error(head: dict, key: st.DataObject, value: object):
    document = json.loads(json.dumps(head))
    name = key.draw(st.sampled_from(sorted(document)))
    document[name] = [value] if isinstance(document[name], list) and not isinstance(value, list) else value
    try:
        found = read(json.dumps(document).encode("utf-8"))
    except DamagedDatabaseError:
        return
    assert all(one.name and one.format for one in found.packages)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=64),
        st.sampled_from([TAGGED, XML, json.dumps(SPDX)]).flatmap(
            lambda text: st.tuples(st.integers(0, len(text)), st.binary(max_size=4)).map(
                lambda cut: text.encode()[: cut[0]] + cut[1] + text.encode()[cut[0] :]
            )
        ),
    )
)
def test_any_bytes_give_packages_or_the_named_error(data: bytes):
    try:
        assert isinstance(read(data), Document)
    except DamagedDatabaseError as error:
        assert error.problem
