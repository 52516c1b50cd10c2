"""CycloneDX and SPDX documents of an image: valid, the same bytes every time, read back to the same tables."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from ply.yacc import NullLogger
from spdx_tools.spdx.model.document import Document
from spdx_tools.spdx.parser.logger import Logger
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.parser.tagvalue.parser import Parser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from audit_lib import Audit, audit
from audit_lib import __main__ as command
from audit_lib.exports.cyclonedx import cyclonedx_json
from audit_lib.exports.spdx import spdx_text
from audit_lib.purl import make_purl
from audit_lib.tables import Database, Image, Package, make_table
from tests.images import oci_dir

STANZA = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\n\n"
NOTATIONS: dict[str, Callable[[Any], str]] = {
    "x.cdx.json": cyclonedx_json,
    "x.spdx.json": spdx_text,
    "x.spdx": lambda found: spdx_text(found, notation="tag-value"),
}


@dataclass(frozen=True)
class Tables:
    """An image as its tables alone."""

    image: pd.DataFrame
    databases: pd.DataFrame
    packages: pd.DataFrame
    gaps: tuple[str, ...] = ()


def tables(*packages: dict[str, Any], **facts: Any) -> Tables:
    missing = dict.fromkeys(field.name for field in fields(Image))
    image = Image(**{**missing, "image": "x", "reference": "x", "source": "oci-dir", **facts})
    rows = [
        Package(
            **{
                **dict.fromkeys(field.name for field in fields(Package)),
                "image": "x",
                "format": "generic",
                "purl": make_purl(row.get("format", "generic"), None, row["name"], row.get("version")),
                "database_path": "/x",
                **row,
            }
        )
        for row in packages
    ]
    read = Database(
        image="x", database_path="/x", format="generic", status="read", package_count=len(rows), detail=None
    )
    return Tables(make_table(Image, [image]), make_table(Database, [read]), make_table(Package, rows))


def without_label(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="image").sort_values(list(table.columns[1:]), ignore_index=True)


def read_back(found: Any, name: str, folder: Path) -> Audit:
    (folder / name).write_text(NOTATIONS[name](found), encoding="utf-8")
    return audit(f"sbom:{folder / name}")


def faults(path: Path) -> list[str]:
    if path.name.endswith("cdx.json"):
        found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
        return [] if found is None else [str(found)]
    document = tagged(path.read_text()) if path.suffix == ".spdx" else parse_file(str(path))
    return [message.validation_message for message in validate_full_spdx_document(document)]


@cache
def tag_parser() -> Parser:
    # By itself it makes its tables anew each time, and writes them into the folder that it is installed in.
    return Parser(debug=False, write_tables=False, errorlog=NullLogger())


def tagged(text: str) -> Document:
    parser = tag_parser()
    parser.logger, parser.current_element = Logger(), {"logger": Logger()}
    parser.creation_info, parser.elements_built = {"logger": Logger()}, {}
    parser.lex.lexer.lineno = 1
    return parser.parse(text)


@pytest.fixture(scope="module")
def sample() -> Audit:
    return audit("sample:full")


@pytest.mark.parametrize("name", NOTATIONS)
def test_an_exported_image_is_valid_and_reads_back_to_the_same_tables(name: str, sample: Audit, tmp_path: Path):
    back = read_back(sample, name, tmp_path)
    assert faults(tmp_path / name) == []
    pd.testing.assert_frame_equal(without_label(back.packages), without_label(sample.packages))
    pd.testing.assert_frame_equal(without_label(back.databases), without_label(sample.databases))
    facts = [
        "manifest_digest",
        "config_digest",
        "os",
        "architecture",
        "created_utc",
        "distro_id",
        "cmd",
        "package_count",
    ]
    pd.testing.assert_frame_equal(back.image[facts], sample.image[facts])
    assert set(back.packages["image"]) == {f"sbom:{tmp_path / name}"}
    assert back.image["file_bytes"].isna().all()


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.real
def test_a_real_image_of_more_than_2_000_packages_does_so_too(full_oci_dir: Path, tmp_path: Path):
    found = audit(f"oci-dir:{full_oci_dir}")
    assert len(found.packages) > 2_000
    for name in NOTATIONS:
        back = read_back(found, name, tmp_path)
        pd.testing.assert_frame_equal(without_label(back.packages), without_label(found.packages))
        pd.testing.assert_frame_equal(without_label(back.databases), without_label(found.databases))
    assert faults(tmp_path / "x.cdx.json") == []
    assert faults(tmp_path / "x.spdx.json") == []


@pytest.mark.parametrize("name", NOTATIONS)
def test_the_same_image_gives_the_same_bytes(name: str, sample: Audit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    written = NOTATIONS[name](sample)
    assert NOTATIONS[name](audit("sample:full")) == written
    assert "2025-01-01T00:00:00" in written  # when the image was made
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert "2023-11-14T22:13:20" in NOTATIONS[name](sample)


def test_a_time_that_is_not_known_is_not_made_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    found = tables({"name": "a"})
    assert "timestamp" not in json.loads(cyclonedx_json(found))["metadata"]
    creation = json.loads(spdx_text(found))["creationInfo"]
    assert creation["created"] == "1970-01-01T00:00:00Z"
    assert creation["comment"].startswith("When the image was made is not stated")


def test_a_serial_number_tells_contents_apart_and_may_be_given():
    numbers = [json.loads(cyclonedx_json(tables({"name": name})))["serialNumber"] for name in ("a", "b", "a")]
    assert numbers[0] == numbers[2] != numbers[1]
    given_number = uuid.UUID("00000000-0000-4000-8000-000000000001")
    assert json.loads(cyclonedx_json(tables(), serial_number=given_number))["serialNumber"] == given_number.urn


def test_licences_are_expressions_where_they_parse_and_stated_words_elsewhere():
    found = tables(
        {"name": "a", "licenses": "GPL-2.0-or-later AND MIT"},
        {"name": "b", "licenses": "BSD; MIT OR ISC"},
        {"name": "c"},
    )
    by_name = {one["name"]: one.get("licenses") for one in json.loads(cyclonedx_json(found))["components"]}
    assert by_name == {
        "a": [{"expression": "GPL-2.0-or-later AND MIT"}],
        "b": [{"license": {"name": "BSD"}}, {"license": {"name": "MIT OR ISC"}}],
        "c": None,
    }
    document = json.loads(spdx_text(found))
    declared = {one["name"]: one["licenseDeclared"] for one in document["packages"]}
    (words,) = document["hasExtractedLicensingInfos"]
    assert words["extractedText"] == "BSD"
    assert declared["a"] == "GPL-2.0-or-later AND MIT"
    assert declared["b"] == f"{words['licenseId']} AND (MIT OR ISC)"
    assert declared["c"] == "NOASSERTION"


def test_the_image_contains_its_packages_and_a_package_those_that_it_brought():
    found = tables(
        {"format": "deb", "name": "python3-six"}, {"format": "pypi", "name": "six", "parent": "deb:python3-six"}
    )
    document = json.loads(cyclonedx_json(found))
    six, parent = (
        next(one["bom-ref"] for one in document["components"] if one["name"] == name) for name in ("six", "python3-six")
    )
    related = {one["ref"]: one.get("dependsOn") for one in document["dependencies"]}
    assert related == {"image": [parent], parent: [six], six: None}
    relationships = {
        (one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"])
        for one in json.loads(spdx_text(found))["relationships"]
    }
    assert relationships == {
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"),
        ("SPDXRef-Image", "CONTAINS", f"SPDXRef-Package-{six}"),
        ("SPDXRef-Image", "CONTAINS", f"SPDXRef-Package-{parent}"),
        (f"SPDXRef-Package-{parent}", "CONTAINS", f"SPDXRef-Package-{six}"),
        ("SPDXRef-Image", "CONTAINS", "NOASSERTION"),
    }


def test_a_damaged_database_makes_the_document_incomplete_and_is_read_back_as_damaged(tmp_path: Path):
    layer = {"var/lib/dpkg/status": STANZA.format("bash", "5.2") + "Package", "usr/lib/os-release": "ID=debian\n"}
    oci_dir(tmp_path / "image", layers=[layer])
    found = audit(f"oci-dir:{tmp_path}/image")
    document = json.loads(cyclonedx_json(found))
    assert document["compositions"][0]["aggregate"] == "incomplete"
    said = {one["name"]: one["value"] for one in document["metadata"]["component"]["properties"]}
    assert "/var/lib/dpkg/status (deb database) is damaged: line " in said["audit-lib:gap:0001"]
    assert "is damaged" in json.loads(spdx_text(found))["comment"]
    for name in NOTATIONS:
        back = read_back(found, name, tmp_path)
        assert faults(tmp_path / name) == []
        assert back.is_damaged
        assert back.image["package_count"].isna().all()


def test_a_list_is_never_said_to_be_complete(sample: Audit):
    (composition,) = json.loads(cyclonedx_json(sample))["compositions"]
    assert composition == {"aggregate": "unknown", "assemblies": ["image"], "dependencies": ["image"]}


def test_an_sbom_of_another_program_can_be_exported_in_turn(tmp_path: Path):
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.4",
        "components": [
            {"type": "library", "name": "curl", "version": "8", "purl": "pkg:apk/wolfi/curl@8", "cpe": "cpe:2.3:a:b"},
            {"type": "library", "name": "no purl"},
        ],
    }
    (tmp_path / "foreign").write_text(json.dumps(document))
    found = audit(f"sbom:{tmp_path}/foreign")
    for name in NOTATIONS:
        back = read_back(found, name, tmp_path)
        assert faults(tmp_path / name) == []
        pd.testing.assert_frame_equal(without_label(back.packages), without_label(found.packages))


# Three readers a document: to find the smallest example takes five minutes.
_NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\r<>&"), min_size=1, max_size=12)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            # a blank one is none: readers say that such a package has no name
            "name": TEXTS.filter(str.strip) | st.sampled_from(["</text>", "a\nSPDXID: SPDXRef-x", "@a/b"]),
            "format": st.sampled_from(["deb", "npm"]),
        },
        optional={
            "version": TEXTS,
            "architecture": TEXTS,
            "licenses": TEXTS | st.sampled_from(["MIT", "BSD; MIT", "; ", "</text>\nPackageName: x; y"]),
            "created_by": TEXTS,
            "detail": TEXTS,
            "parent": st.sampled_from(["deb:a", "npm:@a/b"]),
            "file_bytes": st.integers(0, 10**15),
            "database_path": TEXTS,
            "cpes": st.sampled_from(["cpe:2.3:a:a:b:1:*:*:*:*:*:*:*", "cpe:2.3:broken a"]),
        },
    ),
    max_size=4,
    unique_by=lambda row: (row["format"], row["name"]),
)


@example(rows=[{"name": "0", "format": "deb"}, {"name": "00", "format": "deb", "licenses": "\r"}], label="0")
@example(rows=[{"name": "0", "format": "deb"}, {"name": "S", "format": "deb", "licenses": "a\r\n0"}], label="0")
@settings(
    max_examples=25, deadline=None, phases=_NO_SHRINKING, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, label=TEXTS)
def test_whatever_the_rows_hold_the_document_is_valid_and_reads_back(rows: list[dict], label: str, tmp_path: Path):
    found = tables(*rows, distro_id="debian", distro_version="12")
    found = Tables(found.image, found.databases, found.packages, gaps=(label, "</text>"))
    for name in NOTATIONS:
        back = read_back(found, name, tmp_path)
        pd.testing.assert_frame_equal(without_label(back.packages), without_label(found.packages))
        assert faults(tmp_path / name) == []


def test_inspect_writes_sboms_and_nothing_else_imports_what_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for form, begin in {
        "cyclonedx": '{\n "$schema"',
        "spdx": '{\n "SPDXID"',
        "spdx-tag-value": "## Document Info",
    }.items():
        arguments = ["image-audit", "-q", "inspect", "sample:minimal", "--format", form, "-o", str(tmp_path / form)]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as leaving:
            command.main()
        assert not leaving.value.code
        assert (tmp_path / form).read_text().startswith(begin)
    monkeypatch.setattr(sys, "argv", ["image-audit", "inspect", "sample:full", "--table", "files", "--format", "spdx"])
    with pytest.raises(SystemExit) as leaving:
        command.main()
    assert leaving.value.code == 2
    assert "spdx is the whole image: leave out --table" in capsys.readouterr().err
    code = "import sys, audit_lib.__main__, audit_lib; audit_lib.audit('sample:minimal'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"cyclonedx", "spdx_tools", "rdflib"} & set(loaded) == set()
