"""Which credentials are taken for a repository, out of files as docker and podman write them; damaged is not absent."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_lib.errors import SourceError
from audit_lib.sources.credentials import read_credentials
from audit_lib.sources.login import parse_challenges

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["auths", "auth", "host", "credsStore"]), inner)
    ),
    max_leaves=8,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def entry(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:hush-{user}".encode()).decode()}


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def user_for(host: str, repository: str = "team/app") -> str | None:
    found = read_credentials(host, repository)
    return None if found is None else found.username


def test_nothing_left_is_nobody():
    assert read_credentials("quay.io", "team/app") is None


def test_the_longest_name_of_podmans_entries_counts_and_a_folder_is_not_the_whole(home: Path):
    auths = {
        "quay.io": entry("all"),
        "quay.io/team": entry("team"),
        "quay.io/team/app": entry("app"),
        "ghcr.io/other": entry("other"),
    }
    write(home / "run/containers/auth.json", {"auths": auths})
    assert [user_for("quay.io", name) for name in ("team/app", "team/b", "c")] == ["app", "team", "all"]
    assert user_for("ghcr.io", "team/app") is None
    assert user_for("ghcr.io", "other/x") == "other"


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io"])
def test_docker_hub_has_several_names(home: Path, key: str):
    write(home / ".docker/config.json", {"auths": {key: entry("me")}})
    assert user_for("docker.io", "library/python") == "me"


def test_the_first_file_that_has_an_entry_counts(home: Path, monkeypatch: pytest.MonkeyPatch):
    places = [home / "run/containers/auth.json", home / ".config/containers/auth.json", home / ".docker/config.json"]
    for place in reversed(places):
        write(place, {"auths": {"quay.io": entry(place.parent.parent.name)}})
        found = read_credentials("quay.io", "a")
        assert found is not None
        assert found.origin == place
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "d"))
    write(home / "d/config.json", {"auths": {"quay.io": entry("docker-config")}})
    assert user_for("quay.io") == "docker-config"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(write(home / "auth.json", {"auths": {"other.io": entry("x")}})))
    assert user_for("quay.io") == "docker-config"
    assert user_for("other.io") == "x"


def test_a_store_that_is_logged_out_of_and_an_empty_entry_are_nobody(home: Path, monkeypatch: pytest.MonkeyPatch):
    write(home / ".docker/config.json", {"auths": {"quay.io": {}}, "credsStore": "empty"})
    helper = write(
        home / "bin/docker-credential-empty", "#!/bin/sh\necho credentials not found in native keychain; exit 1\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(helper.parent), prepend=":")
    assert read_credentials("quay.io", "a") is None


def test_secrets_are_not_shown(home: Path):
    write(home / ".docker/config.json", {"auths": {"quay.io": entry("me")}})
    found = read_credentials("quay.io", "a")
    assert (found.username, found.password) == ("me", "hush-me")
    assert "hush" not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "expected the JSON object that `docker login` or `podman login` writes"),
        ("[]", "expected the JSON object"),
        ("[" * 100_000, "expected the JSON object"),
        ({"auths": {"quay.io": "x"}}, "the credentials for quay.io cannot be read"),
        ({"auths": ["quay.io"]}, "the credentials for quay.io cannot be read"),
        ({"auths": {"quay.io": {"auth": "?"}}}, "the credentials for quay.io cannot be read"),
        ({"auths": {"quay.io": {"auth": 1}}}, "the credentials for quay.io cannot be read"),
        ({"credsStore": "nowhere"}, "names the credential helper docker-credential-nowhere, which is not on PATH"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(home: Path, document: object, said: str):
    path = write(home / ".docker/config.json", document)
    with pytest.raises(SourceError) as error:
        read_credentials("quay.io", "team/app")
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(JSON)
def test_any_json_gives_credentials_none_or_the_error(home: Path, document: object):
    write(home / ".docker/config.json", document)
    try:
        found = read_credentials("host", "team/app")
    except SourceError:
        return
    assert found is None or found.username or found.password or found.identity_token


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("Basic realm=test", [("basic", {"realm": "test"})]),
        ('Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"', [
            ("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"})
        ]),
        ('Negotiate, Basic realm="a, b", BEARER realm="c"', [
            ("negotiate", {}), ("basic", {"realm": "a, b"}), ("bearer", {"realm": "c"})
        ]),
        (r'Basic realm="say \"hello\""', [("basic", {"realm": 'say "hello"'})]),
    ],
)  # fmt: skip
def test_challenges_as_rfc_9110_has_them(text: str, found: list):
    assert [(one.scheme, one.parameters) for one in parse_challenges(text)] == found


@given(st.text())
def test_any_text_is_a_list_of_challenges(text: str):
    assert all(one.scheme for one in parse_challenges(text))
