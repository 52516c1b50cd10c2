"""CPE candidates: the names that NVD's records carry for these projects, and the notation of NISTIR 7695."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.cpe import candidates
from audit_lib.formats.base import Found

# NISTIR 7695, figure 6-3, as much of it as can occur here.
FORMATTED = re.compile(r"cpe:2\.3:a(:([A-Za-z0-9._-]|\\.)+){3}(:\*){7}", re.DOTALL)


def first(form: str, name: str, version: str | None = "1.0", **facts) -> str | None:
    found = candidates(form, Found(name=name, version=version, path="x", **facts))
    return found[0].removeprefix("cpe:2.3:a:").removesuffix(":*:*:*:*:*:*:*") if found else None


@pytest.mark.parametrize(
    ("form", "name", "version", "facts", "expected"),
    [
        ("deb", "libssl3", "3.0.15-1~deb12u1", {"source_name": "openssl"}, "openssl:openssl:3.0.15"),
        ("deb", "bash", "5.2.15-2+b7", {}, "gnu:bash:5.2.15"),
        ("deb", "python3.11-minimal", "3.11.2-6", {"source_name": "python3.11"}, "python:python:3.11.2"),
        ("rpm", "httpd", "1:2.4.57-5.el9", {"source_name": "httpd"}, "apache:http_server:2.4.57"),
        ("apk", "busybox", "1.36.1-r29", {"source_name": "busybox"}, "busybox:busybox:1.36.1"),
        ("pypi", "requests", "2.31.0", {}, "requests:requests:2.31.0"),
        ("npm", "lodash", "4.17.20", {}, "lodash:lodash:4.17.20"),
        ("npm", "@angular/core", "12.0.0", {}, "angular:core:12.0.0"),
        ("golang", "github.com/docker/cli", "v24.0.1", {}, "docker:cli:24.0.1"),
        ("golang", "stdlib", "go1.21.5", {}, "golang:go:1.21.5"),
        ("maven", "log4j-core", "2.14.1", {"namespace": "org.apache.logging.log4j"}, "apache:log4j-core:2.14.1"),
        ("generic", "node", "22.1.0", {}, "nodejs:node.js:22.1.0"),
        ("generic", "java/jre", "17.0.9+9", {"namespace": "java"}, r"oracle:jre:17.0.9\+9"),
        ("generic", "php-fpm", "8.4.1", {}, "php:php:8.4.1"),
        ("deb", "libstdc++6", "12.2.0-14", {}, r"libstdc\+\+6:libstdc\+\+6:12.2.0"),
        ("pypi", "unknown-version", None, {}, None),
        ("golang", "stdlib", "v", {}, None),
    ],
)
def test_the_first_candidate_is_the_name_that_nvd_uses(form, name, version, facts, expected):
    assert first(form, name, version, **facts) == expected


@given(
    st.sampled_from(["deb", "rpm", "pypi", "npm", "golang", "maven", "generic", "composer"]),
    st.text(min_size=1, max_size=20),
    st.text(max_size=12),
    st.text(max_size=12) | st.none(),
)
def test_any_name_gives_well_formed_names_or_none(form, name, version, namespace):
    for cpe in candidates(
        form, Found(name=name, version=version, path="x", namespace=namespace, source_name=namespace)
    ):
        assert FORMATTED.fullmatch(cpe), cpe
