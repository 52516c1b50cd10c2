"""Package URLs: the specification's own examples, and names that no package should have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from audit_lib.distribution import Distribution
from audit_lib.formats import FORMATS
from audit_lib.formats.base import Found
from audit_lib.purl import purl_of

FORM = {form.name: form for form in FORMATS}
DEBIAN = Distribution("debian", "12")


@pytest.mark.parametrize(
    ("form", "facts", "expected"),
    [
        (
            "deb",
            {"name": "curl", "version": "7.50.3-1", "architecture": "i386"},
            "pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=debian-12",
        ),
        (
            "deb",
            {"name": "libssl3", "version": "3.0-1", "source_name": "openssl", "source_version": "3.0-2"},
            "pkg:deb/debian/libssl3@3.0-1?distro=debian-12&upstream=openssl%403.0-2",
        ),
        (
            "npm",
            {"name": "@angular/animation", "version": "12.3.1", "namespace": "@angular"},
            "pkg:npm/%40angular/animation@12.3.1",
        ),
        ("pypi", {"name": "django", "version": "1.11.1"}, "pkg:pypi/django@1.11.1"),
        (
            "golang",
            {"name": "google.golang.org/genproto", "version": "v1", "namespace": "google.golang.org"},
            "pkg:golang/google.golang.org/genproto@v1",
        ),
        (
            "maven",
            {"name": "batik-anim", "version": "1.9.1", "namespace": "org.apache.xmlgraphics"},
            "pkg:maven/org.apache.xmlgraphics/batik-anim@1.9.1",
        ),
        ("gem", {"name": "ruby-advisory-db-check", "version": "0.12.4"}, "pkg:gem/ruby-advisory-db-check@0.12.4"),
        ("cargo", {"name": "rand", "version": "0.7.2"}, "pkg:cargo/rand@0.7.2"),
        ("pypi", {"name": "unknown", "version": None}, "pkg:pypi/unknown"),
    ],
)
def test_purls_of_the_specification(form, facts, expected):
    assert purl_of(FORM[form], Found(path="x", **facts), DEBIAN) == expected


@given(
    st.sampled_from(sorted(FORM)), st.text(max_size=8), st.text(max_size=8) | st.none(), st.text(max_size=8) | st.none()
)
def test_any_name_gives_a_purl_that_can_be_read(form, name, version, namespace):
    made = purl_of(FORM[form], Found(name=name, version=version, path="x", namespace=namespace), DEBIAN)
    assert PackageURL.from_string(made).type == form


def test_half_a_character_is_no_reason_to_stop():
    assert purl_of(FORM["npm"], Found(name="\ud800", version="\udcff", path="x"), DEBIAN) == "pkg:npm/%3f@%3F"
