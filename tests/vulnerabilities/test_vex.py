"""VEX: statements in three notations, on which rows they count, and which of several counts."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib import audit
from audit_lib.errors import DamagedDatabaseError, ReportError
from audit_lib.vulnerabilities.reported import Reported, add_reports
from audit_lib.vulnerabilities.vex import VEX, parse
from audit_lib.vulnerabilities.vex.base import VexDocument
from audit_lib.vulnerabilities.vex.draft import draft_openvex
from tests.vulnerabilities.reports import LIMIT, written

LIBC = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12&upstream=glibc"


@pytest.fixture(scope="module")
def minimal():
    return audit("sample:minimal")


@pytest.fixture
def after(minimal, tmp_path):
    """Return what VEX documents make of a report of Trivy on the sample."""

    def made(*documents: dict[str, Any], reports: tuple[str, ...] = ("minimal.trivy.json",)) -> Reported:
        paths = [tmp_path / f"{number}.vex.json" for number in range(len(documents))]
        for path, document in zip(paths, documents, strict=True):
            path.write_text(json.dumps(document))
        image = minimal.image.iloc[0]
        named = [written(name, tmp_path) for name in reports]
        return add_reports(minimal.vulnerabilities, minimal.packages, image, scanner_reports=named, vex_documents=paths)

    return made


def openvex(*statements: dict[str, Any], timestamp: str = "2026-01-20T00:00:00Z") -> dict[str, Any]:
    head = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/vex/1", "author": "Example"}
    return {**head, "timestamp": timestamp, "version": 1, "statements": list(statements)}


def says(product: object, status: str = "not_affected", name: str = "CVE-2019-9192", **more: object) -> dict[str, Any]:
    products = product if isinstance(product, list) else [{"@id": product}]
    return {"vulnerability": {"name": name}, "products": products, "status": status, **more}


def statuses(found: Reported, name: str = "CVE-2019-9192") -> list[str]:
    rows = found.vulnerabilities
    return rows.loc[rows["vulnerability_id"] == name, "status"].tolist()


def read(value: dict[str, Any]) -> VexDocument:
    return parse(json.dumps(value).encode(), "vex.json", limit=LIMIT)


@pytest.mark.parametrize(
    ("product", "status"),
    [
        (LIBC, "not_affected"),
        ("pkg:deb/debian/libc6@2.36-9%2Bdeb12u14", "not_affected"),
        ("pkg:deb/debian/libc6", "not_affected"),
        ("pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64", "not_affected"),
        ("pkg:deb/debian/glibc?arch=source", "not_affected"),
        ("pkg:deb/debian/glibc@2.36-9%2Bdeb12u14?arch=source&distro=debian-12", "not_affected"),
        ("pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=arm64", "affected"),
        ("pkg:deb/debian/libc6?distro=debian-13", "affected"),
        ("pkg:deb/debian/libc6@2.36-9", "affected"),
        ("pkg:deb/ubuntu/libc6", "affected"),
        ("pkg:deb/debian/glibc", "affected"),
        ("pkg:deb/debian/glibc@2.37?arch=source", "affected"),
        ("not a purl", "affected"),
    ],
)
def test_a_statement_is_for_a_package_by_all_that_its_purl_says(after, product: str, status: str):
    found = after(openvex(says(product)))
    assert statuses(found) == [status]
    assert found.vex_statements["outcome"].tolist() == ["applied" if status == "not_affected" else "not_matched"]


def test_a_suppressed_row_stays_with_status_justification_and_source(after):
    found = after(openvex(says(LIBC, justification="component_not_present", impact_statement="no regex of users")))
    (row,) = found.vulnerabilities.query("vulnerability_id == 'CVE-2019-9192'").to_dict("records")
    assert (row["status"], row["justification"]) == ("not_affected", "component_not_present")
    assert row["status_detail"].startswith("not_affected (by Example, ")
    assert row["status_detail"].endswith("0.vex.json, 2026-01-20T00:00:00Z): no regex of users")
    assert len(found.vulnerabilities) == 8


def test_the_image_as_product_and_packages_as_its_parts(after, minimal):
    digest = minimal.image["manifest_digest"].iloc[0]
    image = f"pkg:oci/minimal@{digest.replace(':', '%3A')}?repository_url=registry.example.org/minimal"
    part = {"@id": image, "subcomponents": [{"@id": "pkg:deb/debian/libc6"}]}
    assert statuses(after(openvex(says([part])))) == ["not_affected"]
    assert statuses(after(openvex(says(image)))) == ["not_affected"]
    assert statuses(after(openvex(says(digest)))) == ["not_affected"]
    other = {"@id": image, "subcomponents": [{"@id": "pkg:deb/debian/zlib1g"}]}
    assert statuses(after(openvex(says([other])))) == ["affected"]
    elsewhere = f"pkg:oci/minimal@sha256%3A{'0' * 64}"
    assert statuses(after(openvex(says([{**part, "@id": elsewhere}])))) == ["affected"]


@pytest.mark.parametrize(
    ("product", "status"),
    [
        ("pkg:oci/web?repository_url=registry.example.org/shop/web&tag=1.4", "not_affected"),
        ("pkg:docker/shop/web@1.4", "not_affected"),
        ("pkg:oci/web?tag=1.5", "affected"),
        ("pkg:oci/web?arch=arm64", "affected"),
        ("pkg:docker/other/web@1.4", "affected"),
        ("registry.example.org/shop/web:1.4", "not_affected"),
    ],
)
def test_an_image_is_meant_by_its_name_too(minimal, tmp_path, product: str, status: str):
    image = minimal.image.iloc[0].copy()
    image["reference"] = "docker:registry.example.org/shop/web:1.4"
    path = tmp_path / "vex.json"
    path.write_text(json.dumps(openvex(says(product))))
    reports = [written("minimal.trivy.json", tmp_path)]
    found = add_reports(minimal.vulnerabilities, minimal.packages, image, scanner_reports=reports, vex_documents=path)
    assert statuses(found) == [status]


def test_of_statements_that_contradict_each_other_the_latest_counts_and_both_are_listed(after):
    old = openvex(says(LIBC, "affected"), timestamp="2026-01-10T00:00:00Z")
    new = openvex(
        says(LIBC, "not_affected", justification="component_not_present"), timestamp="2026-01-10T02:30:00+02:00"
    )
    for documents in ((old, new), (new, old)):
        found = after(*documents)
        assert statuses(found) == ["not_affected"]
        assert sorted(found.vex_statements["outcome"]) == ["applied", "overruled"]
        (detail,) = found.vulnerabilities.query("vulnerability_id == 'CVE-2019-9192'")["status_detail"]
        assert "; overrules affected (by Example, " in detail
        assert any("contradict each other" in gap for gap in found.gaps)


def test_of_two_of_the_same_time_the_one_that_is_named_last_counts(after):
    assert statuses(after(openvex(says(LIBC, "affected"), says(LIBC, "fixed")))) == ["fixed"]
    assert statuses(after(openvex(says(LIBC, "fixed"), says(LIBC, "affected")))) == ["affected"]


def test_a_statement_knows_a_vulnerability_by_an_alias_that_any_source_tells(after):
    statement = says("pkg:pypi/urllib3", name="GHSA-pq67-6m6q-mj2v")
    found = after(openvex(statement), reports=("osv-scanner.json", "minimal.trivy.json"))
    assert set(found.vulnerabilities.query("found_by == 'osv-scanner'")["vulnerability_id"]) >= {"CVE-2025-50181"}
    rows = found.vulnerabilities.query("vulnerability_id == 'CVE-2025-50181'").set_index("found_by")["status"]
    assert rows.to_dict() == {"osv-scanner": "not_affected", "trivy": "not_affected"}


def test_openvex_before_0_2_names_vulnerability_and_products_as_text(after):
    old = {"vulnerability": "CVE-2019-9192", "products": [LIBC], "status": "not_affected"}
    assert statuses(after({**openvex(old), "@context": "https://openvex.dev/ns"})) == ["not_affected"]


def test_cyclonedx_states_by_component_and_by_link(after):
    component = {"bom-ref": "a", "type": "library", "name": "libc6", "purl": LIBC}
    link = "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg%3Apypi%2Fjinja2%403.1.5"
    entries = [
        {
            "id": "CVE-2019-9192",
            "affects": [{"ref": "a"}],
            "analysis": {"state": "false_positive", "detail": "other code"},
        },
        {
            "id": "CVE-2025-27516",
            "affects": [{"ref": link}],
            "analysis": {"state": "not_affected", "justification": "code_not_reachable"},
        },
        {"id": "CVE-2023-45853", "affects": [{"ref": "a"}]},
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"timestamp": "2026-01-01T00:00:00Z"},
        "components": [component],
    }
    found = after({**document, "vulnerabilities": entries})
    rows = found.vulnerabilities.query("status != 'affected'").set_index("vulnerability_id")
    assert rows["status"].to_dict() == {"CVE-2019-9192": "not_affected", "CVE-2025-27516": "not_affected"}
    assert rows["justification"].to_dict() == {
        "CVE-2019-9192": "false_positive",
        "CVE-2025-27516": "code_not_reachable",
    }


def csaf(**status: list[str]) -> dict[str, Any]:
    named = {"name": "libc6", "product_id": "libc", "product_identification_helper": {"purl": LIBC}}
    platform = {"name": "Example 12", "product_id": "os", "product_identification_helper": {"cpe": "cpe:/o:example:12"}}
    inside = {
        "category": "vendor",
        "name": "Example",
        "branches": [{"category": "product_version", "name": "1", "product": named}],
    }
    relation = {
        "category": "default_component_of",
        "full_product_name": {"name": "libc6 of Example 12", "product_id": "os:libc"},
        "product_reference": "libc",
        "relates_to_product_reference": "os",
    }
    vulnerability = {
        "cve": "CVE-2019-9192",
        "product_status": status,
        "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["os:libc"]}],
        "threats": [{"category": "impact", "details": "built without it", "product_ids": ["os:libc"]}],
    }
    tracking = {"id": "EX-1", "current_release_date": "2026-01-05T00:00:00Z", "version": "2"}
    return {
        "document": {
            "csaf_version": "2.0",
            "category": "csaf_vex",
            "publisher": {"name": "Example"},
            "tracking": tracking,
        },
        "product_tree": {"branches": [inside], "full_product_names": [platform], "relationships": [relation]},
        "vulnerabilities": [vulnerability],
    }


def test_csaf_states_by_product_id_with_flag_and_threat(after):
    found = after(csaf(known_not_affected=["os:libc"]))
    (row,) = found.vulnerabilities.query("vulnerability_id == 'CVE-2019-9192'").to_dict("records")
    assert (row["status"], row["justification"]) == ("not_affected", "vulnerable_code_not_present")
    assert row["status_detail"].endswith("2026-01-05T00:00:00Z): built without it")
    assert statuses(after(csaf(fixed=["libc"]))) == ["fixed"]
    assert statuses(after(csaf(under_investigation=["libc"]))) == ["under_investigation"]
    assert statuses(after(csaf(recommended=["libc"]))) == ["affected"]
    assert statuses(after(csaf(fixed=["unheard of"]))) == ["affected"]


def test_trivys_own_vex_and_this_ones_agree(after):
    ours = after(
        openvex(
            says("pkg:pypi/flask@3.1.0", name="CVE-2025-47278", justification="vulnerable_code_not_in_execute_path")
        )
    )
    theirs = after(reports=("minimal.trivy-vex.json",))
    columns = ["vulnerability_id", "format", "name", "status", "justification"]
    pd.testing.assert_frame_equal(ours.vulnerabilities[columns], theirs.vulnerabilities[columns])


def test_a_draft_has_a_statement_for_what_is_left_and_is_read_back(after):
    found = after(openvex(says(LIBC)))
    drafted = draft_openvex(found.vulnerabilities, author="a team", now_utc="2026-02-01T00:00:00Z")
    assert drafted == draft_openvex(found.vulnerabilities, author="a team", now_utc="2026-02-01T00:00:00Z")
    document = json.loads(drafted)
    assert [one["vulnerability"]["name"] for one in document["statements"]] == [
        "CVE-2018-20796",
        "CVE-2023-45853",
        "CVE-2024-47081",
        "CVE-2025-27516",
        "CVE-2025-47278",
        "CVE-2025-50181",
        "CVE-2025-66418",
    ]
    again = after(document)
    assert set(again.vulnerabilities.query("vulnerability_id != 'CVE-2019-9192'")["status"]) == {"under_investigation"}
    assert set(again.vex_statements["outcome"]) == {"applied"}


def test_statements_that_cannot_be_read_are_counted_and_the_rest_counts(after):
    found = after(openvex({"status": "not_affected"}, says(LIBC), says(LIBC, "maybe")))
    assert statuses(found) == ["not_affected"]
    assert any("2 statements cannot be read" in gap and "/statements/0" in gap for gap in found.gaps)


def test_statements_about_nothing_that_was_found_are_said(after):
    found = after(openvex(says("pkg:pypi/django", name="CVE-2020-0001")))
    assert any("1 of 1 statements are about nothing that was found" in gap for gap in found.gaps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"matches": []}', "expected VEX: OpenVEX"),
        ('{"@context": "https://openvex.dev/ns", "statements": 3}', "/statements: expected a list, found a number"),
    ],
)
def test_what_is_no_vex_is_one_clear_error_with_the_file(minimal, tmp_path, text: str, said: str):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ReportError) as caught:
        add_reports(
            minimal.vulnerabilities, minimal.packages, minimal.image.iloc[0], scanner_reports=(), vex_documents=[path]
        )
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_deep_tree_of_products_is_no_traceback():
    branch: dict[str, Any] = {"name": "x"}
    text = '{"document": {"csaf_version": "2.0"}, "product_tree": {"branches": [' + '{"branches": [' * 300
    text += json.dumps(branch) + "]}" * 300 + "]}}"
    assert parse(text.encode(), "x", limit=LIMIT).statements == []


@settings(max_examples=100, deadline=None)
@given(
    key=st.sampled_from(
        ["statements", "author", "timestamp", "vulnerabilities", "product_tree", "document", "components", "metadata"]
    ),
    kind=st.sampled_from([openvex(says(LIBC)), csaf(fixed=["libc"])]),
    by=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=5), one, max_size=2),
        max_leaves=4,
    ),
)
def test_anything_in_a_document_gives_statements_or_the_named_error(key: str, kind: dict[str, Any], by: object):
    try:
        read({**kind, key: by})
    except DamagedDatabaseError as error:
        assert str(error)


def test_every_notation_is_read_by_a_test():
    assert {form.name for form in VEX} == {"openvex", "cyclonedx", "csaf"}
