"""Names of images in registries are read as Docker reads them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import UnknownImageError
from audit_lib.sources.names import parse_name

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("python", "docker.io", "library/python", "latest", None),
        ("python:3.13-slim", "docker.io", "library/python", "3.13-slim", None),
        ("bitnami/redis", "docker.io", "bitnami/redis", "latest", None),
        ("docker.io/python", "docker.io", "library/python", "latest", None),
        ("index.docker.io/library/python", "docker.io", "library/python", "latest", None),
        ("ghcr.io/a/b/c:1", "ghcr.io", "a/b/c", "1", None),
        ("localhost/app", "localhost", "app", "latest", None),
        ("localhost:5000/app", "localhost:5000", "app", "latest", None),
        ("registry:5000/app", "registry:5000", "app", "latest", None),
        ("Registry/app", "Registry", "app", "latest", None),
        ("127.0.0.1:5000/app:1", "127.0.0.1:5000", "app", "1", None),
        ("[::1]:5000/app:1", "[::1]:5000", "app", "1", None),
        (f"python@{DIGEST}", "docker.io", "library/python", None, DIGEST),
        (f"quay.io/a/b:1@{DIGEST}", "quay.io", "a/b", "1", DIGEST),
        ("a__b-c--d/e.f_g", "docker.io", "a__b-c--d/e.f_g", "latest", None),
    ],
)
def test_what_a_name_says_and_what_it_takes_for_granted(text, host, repository, tag, digest):
    name = parse_name(text, "")
    assert (name.host, name.repository, name.tag, name.digest) == (host, repository, tag, digest)


def test_docker_hub_serves_under_another_name():
    assert parse_name("python", "").api_host == "registry-1.docker.io"
    assert parse_name("quay.io/a/b", "").api_host == "quay.io"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no name of a repository"),
        ("Python", "'Python' is no name of a repository; names of repositories are written in lower case"),
        ("localhost:5000/", "'' is no name of a repository"),
        ("a//b", "is no name of a repository"),
        ("../../etc/passwd", "'..' is no host"),
        ("a/../b", "is no name of a repository"),
        ("a___b", "is no name of a repository"),
        ("http://host/a", "'http:' is no host"),
        ("user:secret@host/a", "expected a digest sha256:<64 hex digits> behind the @, found 'host/a'"),
        ("a:b:c", "'b:c' is no tag"),
        ("a:", "'' is no tag"),
        ("a:" + "t" * 129, "is no tag"),
        ("a:.b", "'.b' is no tag"),
        ("a@sha256:0", "expected a digest sha256:<64 hex digits> behind the @, found 'sha256:0'"),
        ("a@sha512:" + "0" * 128, "expected a digest sha256:<64 hex digits>"),
        ("-host.io/a", "'-host.io' is no host"),
        ("host.io:99999999/a", "is no host"),
        ("0" * 64, "64 hex digits are the id of an image in an engine"),
        ("host.io/" + "a" * 250, "a name of more than 255 characters"),
        ("host.io/a b", "is no name of a repository"),
        ("host.io/a\nb", "is no name of a repository"),
    ],
)
def test_what_is_no_name_is_said_to_be_none(text: str, said: str):
    with pytest.raises(UnknownImageError) as error:
        parse_name(text, "registry:it")
    assert said in str(error.value)
    assert str(error.value).startswith("registry:it: ")


@given(st.text(alphabet=string.ascii_letters + string.digits + "./:@_-[] ", max_size=60))
def test_any_text_is_a_name_that_reads_back_or_the_error(text: str):
    try:
        name = parse_name(text, "")
    except UnknownImageError:
        return
    assert parse_name(str(name), "") == name
