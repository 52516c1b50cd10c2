"""Lists of images: what people write into them, and what is no list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import AuditError
from audit_lib.wanted import Wanted, parse_list, parse_references, wanted_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("docker:python:3.13", Wanted("docker:python:3.13")),
        ("  docker:python:3.13\t ", Wanted("docker:python:3.13")),
        ("registry:python:3.13 linux/arm64", Wanted("registry:python:3.13", "linux/arm64")),
        ("registry:python:3.13\tlinux/arm/v7  # the small ones", Wanted("registry:python:3.13", "linux/arm/v7")),
        ("oci-dir:my images/app", Wanted("oci-dir:my images/app")),
        ("oci-dir:/my images/a linux/amd64", Wanted("oci-dir:/my images/a", "linux/amd64")),
        ("oci-dir:/linux/amd64", Wanted("oci-dir:/linux/amd64")),
        ("registry:a/b@sha256:0f", Wanted("registry:a/b@sha256:0f")),
        ("oci-dir:build/app#3", Wanted("oci-dir:build/app#3")),
        ("\ufeffdocker:a", Wanted("docker:a")),
    ],
)
def test_a_line_is_a_reference_and_perhaps_a_platform(line, expected):
    assert parse_list(f"{line}\n", "list") == ([expected], [])


def test_comments_and_blank_lines_name_nothing_and_the_order_is_kept():
    text = "# ours\r\n\r\ndocker:b # second\r\n   # indented\r\ndocker:a"
    assert parse_list(text, "list") == ([Wanted("docker:b"), Wanted("docker:a")], [])


def test_a_line_that_names_an_image_again_is_said_and_left_out():
    found, said = parse_list("docker:a\ndocker:a linux/arm64\n\ndocker:a\ndocker:a\n", "images.txt")
    assert found == [Wanted("docker:a"), Wanted("docker:a", "linux/arm64")]
    assert said == [
        "images.txt: line 4 names docker:a again, as line 1 does; it is read once",
        "images.txt: line 5 names docker:a again, as line 1 does; it is read once",
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment"])
def test_a_list_that_names_nothing_is_an_error(text):
    with pytest.raises(AuditError, match=r"images\.txt: names no image; expected a reference a line"):
        parse_list(text, "images.txt")


def test_what_is_no_text_is_an_error_that_names_its_line():
    with pytest.raises(AuditError, match=r"images\.txt: line 2 holds control characters"):
        parse_list("docker:a\n\x7fELF\x00\n", "images.txt")


@given(st.text())
def test_any_text_is_a_list_or_the_named_error(text):
    try:
        found, said = parse_list(text, "list")
    except AuditError:
        return
    assert found
    assert len(set(found)) == len(found)
    assert all(one.reference.strip() == one.reference != "" for one in found)
    assert all("is read once" in one for one in said)


def test_a_text_may_name_several_images_in_a_line():
    assert parse_references("docker:a linux/arm64  docker:b # not docker:c\n\n docker:d\tdocker:a") == [
        Wanted("docker:a", "linux/arm64"),
        Wanted("docker:b"),
        Wanted("docker:d"),
        Wanted("docker:a"),
    ]


def test_a_platform_for_all_holds_for_those_that_name_none():
    asked = ["docker:a", Wanted("docker:b", "linux/386"), "docker:a", Wanted("docker:a", "linux/arm64")]
    assert wanted_of(asked, None) == [
        Wanted("docker:a"),
        Wanted("docker:b", "linux/386"),
        Wanted("docker:a", "linux/arm64"),
    ]
    assert wanted_of(asked, "linux/arm64") == [Wanted("docker:a", "linux/arm64"), Wanted("docker:b", "linux/386")]
