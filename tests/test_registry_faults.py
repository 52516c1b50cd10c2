"""A registry behind a network that fails, and one that lies: the right tables, or one clear error, in bounded time."""

from __future__ import annotations

import http.client
import json
import random
import socketserver
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_lib import audit, tags
from audit_lib.errors import AuditError, DigestError, ImageFormatError, SourceError, UnknownImageError
from audit_lib.sources import open_image, registry
from audit_lib.sources.answers import Patience
from audit_lib.sources.base import Facts
from audit_lib.sources.urls import PLAIN_HTTP
from tests import registries
from tests.images import OCI_INDEX, OCI_MANIFEST, digest, layer_tar, oci_dir
from tests.registries import Registry, Seen, push, served

LAYERS = [{"etc/os-release": "ID=debian\n"}, {"big": random.Random(1).randbytes(2_000_000)}]
CUT = 700_000
QUICK = Patience(attempts=4, connect=2, answer=5, stall=1, slow_bytes=100_000, pause=0.01, longest_pause=5)

Fault = Callable[["Between", int], bool]


class Between(BaseHTTPRequestHandler):
    """Stands before a registry and passes everything on, unless its server's `fault` has dealt with a request.

    `fault` is called with (this handler, how many requests for that path came before); `seen` is the log.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        earlier = sum(one.path == self.path for one in server.seen)
        server.seen.append(Seen(self.command, self.path, dict(self.headers)))
        if not server.fault(self, earlier):
            status, headers, body = self.upstream()
            self.answer(status, headers, body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def upstream(self) -> tuple[int, dict[str, str], bytes]:
        """Return what the registry itself answers."""
        connection = http.client.HTTPConnection(self.server.behind, timeout=20)  # type: ignore[attr-defined]
        kept = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
        connection.request(self.command, self.path, headers=kept)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), body

    def answer(self, status: int, headers: dict[str, str], body: bytes, only: int | None = None) -> None:
        """Send an answer; of its body `only` so many bytes, and then nothing any more."""
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:only] if self.command != "HEAD" else b"")
        if only is not None:
            self.close_connection = True

    def say(self, status: int, body: object = "", **headers: str) -> bool:
        """Send an answer of a fault's own."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body != "" else b""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer(status, {"Content-Length": str(len(data)), **named}, data)
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the standard library gives it
        """Keep quiet."""


@pytest.fixture(scope="module")
def layout(docker_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the image as a folder; the registry has it as `team/faulty:1`."""
    path = tmp_path_factory.mktemp("faulty") / "image"
    oci_dir(path, LAYERS)
    push(path, docker_registry, "team/faulty:1")
    return path


@pytest.fixture
def between(docker_registry: Registry, layout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a server before the registry; set its `fault`."""
    monkeypatch.setattr(registry, "PATIENCE", QUICK)
    monkeypatch.setenv("AUDIT_STORE", "none")
    with served(Between, behind=docker_registry.host, fault=lambda *_: False, seen=[]) as (host, server):
        monkeypatch.setenv(PLAIN_HTTP, host)
        server.reference = f"registry:{host}/team/faulty:1"
        server.layout = layout
        yield server


def the_layer(server: Any, number: int = -1) -> dict[str, Any]:
    index = json.loads((server.layout / "index.json").read_text())
    manifest = json.loads((server.layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    return manifest["layers"][number]


def on_layer(server: Any, fault: Fault) -> None:
    """Let a fault have the requests for the second layer only."""
    layer = the_layer(server)["digest"]
    server.fault = lambda handler, earlier: layer in handler.path and fault(handler, earlier)


def ranges(server: Any) -> list[str | None]:
    """Return what was asked for of the second layer, in order."""
    layer = the_layer(server)["digest"]
    return [one.headers.get("Range") for one in server.seen if layer in one.path]


def assert_right(server: Any) -> None:
    found, expected = audit(server.reference), audit(f"oci-dir:{server.layout}")
    for name in ("files", "layers", "databases", "packages"):
        pd.testing.assert_frame_equal(*(getattr(one, name).drop(columns="image") for one in (found, expected)))


def cut(handler: Between) -> bool:
    handler.answer(*handler.upstream(), only=CUT)
    return True


def test_a_connection_that_is_cut_once_in_a_layer_is_gone_on_with(between):
    on_layer(between, lambda handler, earlier: earlier == 0 and cut(handler))
    assert_right(between)
    first, second = ranges(between)
    assert first is None
    # What the last packets held may be lost.
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= CUT


def test_a_connection_that_is_cut_again_and_again_is_gone_on_with_as_long_as_something_comes(between):
    on_layer(between, lambda handler, _: cut(handler))
    assert_right(between)
    assert len(ranges(between)) >= 3


def test_a_server_that_knows_no_ranges_sends_all_again(between):
    def whole(handler: Between, earlier: int) -> bool:
        del handler.headers["Range"]
        return earlier == 0 and cut(handler)

    on_layer(between, whole)
    assert_right(between)
    assert len(between.seen) > 0


def test_a_range_that_is_not_the_one_asked_for_is_not_taken(between):
    def other_range(handler: Between, earlier: int) -> bool:
        if earlier == 0:
            return cut(handler)
        if "Range" in handler.headers:
            handler.headers.replace_header("Range", "bytes=5-")
        return False

    on_layer(between, other_range)
    assert_right(between)
    assert ranges(between)[-1] is None


def test_a_connection_that_is_always_cut_at_the_same_place_ends_in_an_error(between):
    def never_further(handler: Between, _: int) -> bool:
        del handler.headers["Range"]
        return cut(handler)

    on_layer(between, never_further)
    size = the_layer(between)["size"]
    with pytest.raises(
        SourceError, match=rf"layer sha256:\w+: broken off after [\d,]+ of {size:,} bytes, 4 times: "
    ) as error:
        audit(between.reference)
    assert the_layer(between)["digest"] in str(error.value)
    assert len(ranges(between)) == 4


def test_a_connection_that_is_cut_before_the_first_byte_is_tried_again(between):
    def hang_up(handler: Between, earlier: int) -> bool:
        handler.close_connection = True
        return earlier == 0

    on_layer(between, hang_up)
    assert_right(between)


def test_429_is_asked_again_no_sooner_than_the_registry_wants(between):
    on_layer(between, lambda handler, earlier: earlier == 0 and handler.say(429, Retry_After="1"))
    assert_right(between)
    layer = the_layer(between)["digest"]
    first, second = [one.moment for one in between.seen if layer in one.path]
    assert second - first >= 1


def test_429_for_an_hour_is_an_error_at_once(between):
    limit = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your \x1b[31m pull rate limit"}]}
    between.fault = lambda handler, _: handler.say(429, limit, Retry_After="3600")
    started = time.monotonic()
    with pytest.raises(SourceError) as error:
        open_image(between.reference)
    assert time.monotonic() - started < 2
    said = str(error.value)
    assert "429 Too Many Requests: You have reached your [31m pull rate limit, and asks to wait 3,600 seconds" in said
    assert said.isprintable()


def test_500_is_asked_again_and_in_the_end_an_error(between):
    on_layer(between, lambda handler, earlier: earlier < 3 and handler.say(500))
    assert_right(between)
    between.fault = lambda handler, _: handler.say(503, {"errors": [{"code": "UNAVAILABLE"}]})
    with pytest.raises(SourceError, match=r"answers with 503 Service Unavailable: UNAVAILABLE \(asked 4 times\)"):
        open_image(between.reference)


@pytest.mark.parametrize("what", ["layer", "config", "manifest by digest", "manifest by tag"])
def test_wrong_bytes_are_an_error_that_names_both_digests(between, what: str):
    def changed(handler: Between, _: int) -> bool:
        status, headers, body = handler.upstream()
        if what == "manifest by digest":  # where the registry's own word would betray it first
            del headers["Docker-Content-Digest"]
        handler.answer(status, headers, body[:-40] + bytes([body[-40] ^ 1]) + body[-39:])
        return True

    image = open_image(between.reference)
    facts = image.facts()
    image.__exit__(None, None, None)
    wrong = {
        "layer": facts.layers[1].digest,
        "config": facts.config_digest,
        "manifest by digest": facts.manifest_digest,
        "manifest by tag": "manifests/1",
    }[what]
    between.fault = lambda handler, earlier: str(wrong) in handler.path and changed(handler, earlier)
    reference = between.reference
    if what == "manifest by digest":
        reference = reference.removesuffix(":1") + f"@{facts.manifest_digest}"
    with pytest.raises(AuditError) as error:
        audit(reference)
    if what == "layer":
        # A damaged stream is noticed by its compression, or by its digest.
        assert isinstance(error.value, ImageFormatError)
    else:
        assert isinstance(error.value, DigestError)
        assert error.value.expected == (facts.config_digest if what == "config" else facts.manifest_digest)


def test_a_layer_of_other_bytes_of_the_same_length_does_not_pass(between, docker_registry, tmp_path):
    right, wrong = (layer_tar({"a": mark * 1000}) for mark in ("1", "2"))
    oci_dir(tmp_path / "flat", [right], compression="")
    push(tmp_path / "flat", docker_registry, "team/flat:1")
    between.fault = lambda handler, _: digest(right) in handler.path and handler.say(200, wrong)
    with pytest.raises(DigestError) as error:
        audit(between.reference.replace("faulty", "flat"))
    assert (error.value.expected, error.value.found) == (digest(right), digest(wrong))


@pytest.mark.parametrize("by", [-1000, 1000])
def test_a_wrong_content_length_is_tried_again_and_then_an_error(between, by: int):
    def wrong(handler: Between, _: int) -> bool:
        status, headers, body = handler.upstream()
        announced = int(headers["Content-Length"]) + by
        handler.answer(status, {**headers, "Content-Length": str(announced)}, body[:announced], only=announced)
        return True

    on_layer(between, lambda handler, earlier: earlier == 0 and wrong(handler, earlier))
    assert_right(between)
    on_layer(between, wrong)
    size = the_layer(between)["size"]
    with pytest.raises(SourceError, match=rf"announces {size + by:,} bytes, by the manifest it is {size:,}"):
        audit(between.reference)


def test_more_bytes_than_the_manifest_states_are_not_read(between):
    def endless(handler: Between, _: int) -> bool:
        _, _, body = handler.upstream()
        handler.send_response_only(200)
        handler.end_headers()
        handler.wfile.write(body)
        try:
            while True:
                handler.wfile.write(bytes(65536))
        except OSError:
            handler.close_connection = True
        return True

    on_layer(between, endless)
    with pytest.raises(
        ImageFormatError, match=rf"longer than the {the_layer(between)['size']:,} bytes that the manifest states"
    ):
        audit(between.reference)


def test_a_redirect_to_another_host_brings_no_credentials_there(between, docker_registry, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    host = between.reference.removeprefix("registry:").partition("/")[0]
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": "bWU6c2VjcmV0"}}}))
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    with served(Between, behind=docker_registry.host, fault=lambda *_: False, seen=[]) as (other, elsewhere):
        monkeypatch.setenv(PLAIN_HTTP, f"{host},{other}")

        def guarded(handler: Between, _: int) -> bool:
            if handler.headers.get("Authorization") != "Basic bWU6c2VjcmV0":
                return handler.say(401, WWW_Authenticate='Basic realm="test"')
            if "/blobs/" in handler.path:
                return handler.say(307, Location=f"http://{other}{handler.path}?signature=abc", Set_Cookie="a=b")
            return False

        between.fault = guarded
        assert_right(between)
        assert len(elsewhere.seen) == 3, "the config and two layers"
        for one in elsewhere.seen:
            assert not {"authorization", "cookie"} & {name.lower() for name in one.headers}
        layer = the_layer(between)["digest"]
        elsewhere.seen.clear()
        elsewhere.fault = lambda handler, earlier: layer in handler.path and earlier == 0 and cut(handler)
        assert_right(between)
        assert [one.headers.get("Range") is None for one in elsewhere.seen if layer in one.path] == [True, False]
        elsewhere.fault = lambda handler, _: handler.say(401)
        with pytest.raises(SourceError, match=rf"sent on to {other}, which refuses with 401") as error:
            audit(between.reference)
        assert "signature" not in str(error.value)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://127.0.0.1:9/x", "sends to http://127.0.0.1:9, and only https is spoken"),
        ("file:///etc/passwd", "sends to file://, and only https is spoken"),
        ("https://127.0.0.1:9/x", "127.0.0.1:9: cannot be reached: Connection refused"),
        ("/v2/again", "more than 5 redirects"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_an_error(between, location: str, said: str):
    between.fault = lambda handler, _: handler.say(302, Location=location)
    with pytest.raises(SourceError) as error:
        open_image(between.reference)
    assert said in str(error.value)


def test_a_slow_trickle_ends(between, monkeypatch):
    monkeypatch.setattr(registry, "PATIENCE", replace(QUICK, attempts=2))

    def trickle(handler: Between, _: int) -> bool:
        del handler.headers["Range"]
        status, headers, body = handler.upstream()
        handler.send_response_only(status)
        handler.send_header("Content-Length", headers["Content-Length"])
        handler.end_headers()
        try:
            for place in range(len(body)):
                handler.wfile.write(body[place : place + 1])
                time.sleep(0.02)
        except OSError:
            handler.close_connection = True
        return True

    on_layer(between, trickle)
    started = time.monotonic()
    with pytest.raises(
        SourceError, match=r"broken off after \d+ of [\d,]+ bytes, 2 times: .*only \d+ bytes in \d seconds"
    ):
        audit(between.reference)
    assert time.monotonic() - started < 10


def test_headers_that_trickle_end_too(between, monkeypatch):
    def trickle(handler: Between, _: int) -> bool:
        try:
            for mark in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
                handler.wfile.write(bytes([mark]))
                time.sleep(0.05)
        except OSError:
            pass
        handler.close_connection = True
        return True

    between.fault = trickle
    monkeypatch.setattr(registry, "PATIENCE", replace(QUICK, answer=0.5))
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"no answer within 0\.5 seconds"):
        open_image(between.reference)
    assert time.monotonic() - started < 10


def test_a_server_that_falls_silent_in_a_layer_is_given_up(between):
    def silent(handler: Between, _: int) -> bool:
        status, headers, body = handler.upstream()
        handler.send_response_only(status)
        handler.send_header("Content-Length", headers["Content-Length"])
        handler.end_headers()
        handler.wfile.write(body[:1000])
        handler.wfile.flush()
        time.sleep(2)
        handler.close_connection = True
        return True

    on_layer(between, lambda handler, earlier: earlier == 0 and silent(handler, earlier))
    assert_right(between)
    assert ranges(between) == [None, "bytes=1000-"]


@pytest.fixture
def token_fault(between, monkeypatch, tmp_path) -> Any:
    """Let the registry want tokens that hold for two requests each; return the log of those that were given."""
    monkeypatch.setenv("HOME", str(tmp_path))
    left: dict[str, int] = {}
    host = between.reference.removeprefix("registry:").partition("/")[0]

    def guarded(handler: Between, _: int) -> bool:
        if handler.path.startswith("/token"):
            left[f"token-{len(left)}"] = 2
            return handler.say(200, {"token": list(left)[-1], "expires_in": 300})
        sent = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        if left.get(sent, 0) < 1:
            challenge = f'Bearer realm="http://{host}/token",service="s",scope="repository:team/faulty:pull",error="invalid_token"'
            return handler.say(401, {"errors": [{"code": "UNAUTHORIZED"}]}, WWW_Authenticate=challenge)
        left[sent] -= 1
        return False

    between.fault = guarded
    return left


def test_a_token_that_expires_in_the_middle_of_a_run_is_renewed(between, token_fault):
    assert_right(between)
    assert len(token_fault) > 2


@pytest.mark.usefixtures("token_fault")
def test_a_token_that_expires_while_a_broken_layer_is_gone_on_with_is_renewed(between):
    guarded, layer = between.fault, the_layer(between)["digest"]
    between.fault = lambda handler, earlier: guarded(handler, earlier) or (layer in handler.path and cut(handler))
    assert_right(between)


def test_a_registry_that_refuses_every_token_is_an_error(between, token_fault):
    guarded = between.fault

    def forgetful(handler: Between, earlier: int) -> bool:
        if handler.path.startswith("/v2"):
            token_fault.clear()
        return guarded(handler, earlier)

    between.fault = forgetful
    with pytest.raises(SourceError, match=r"refuses to be read by nobody in particular .*: no access to team/faulty"):
        open_image(between.reference)
    assert len(between.seen) < 10


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        (None, "asks for nothing as authentication; expected Bearer or Basic"),
        ("Negotiate", "asks for negotiate as authentication"),
        ('Bearer service="s"', "sends to no token server; expected a realm, found ''"),
        ('Bearer realm="file:///etc/passwd"', "sends to no token server"),
        ('Bearer realm="http://127.0.0.1:9/token"', "sends to http://127.0.0.1:9, and only https is spoken"),
        ('Bearer realm="https://127.0.0.1:9/token"', "127.0.0.1:9: cannot be reached: Connection refused"),
    ],
)
def test_a_challenge_that_cannot_be_met_is_an_error(between, challenge: str | None, said: str, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    headers = {} if challenge is None else {"WWW_Authenticate": challenge}
    between.fault = lambda handler, _: handler.say(401, **headers)
    with pytest.raises(SourceError) as error:
        open_image(between.reference)
    assert said in str(error.value)


@pytest.mark.parametrize("status", [403, 404])
def test_a_registry_that_hides_what_it_has_from_strangers_is_logged_in_to(between, status: int, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    def hiding(handler: Between, _: int) -> bool:
        if handler.headers.get("Authorization") == "Basic bWU6c2VjcmV0":
            return False
        if handler.path == "/v2/":
            return handler.say(401, WWW_Authenticate='Basic realm="test"')
        return handler.say(status)

    between.fault = hiding
    with pytest.raises(AuditError, match=f"{status} "):
        open_image(between.reference)
    assert len(between.seen) == 2
    host = between.reference.removeprefix("registry:").partition("/")[0]
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": "bWU6c2VjcmV0"}}}))
    assert_right(between)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}', b"\xff" * 10])
def test_a_token_server_that_gives_no_token_is_an_error(between, answer: bytes, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    host = between.reference.removeprefix("registry:").partition("/")[0]
    between.fault = lambda handler, _: (
        handler.say(200, answer)
        if handler.path.startswith("/token")
        else handler.say(401, WWW_Authenticate=f"Bearer realm=http://{host}/token")
    )
    with pytest.raises(SourceError, match="answers with no token; expected a JSON object with token or access_token"):
        open_image(between.reference)


EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:" + "4" * 64, "size": 2}


@pytest.mark.parametrize(
    ("document", "kind", "said"),
    [
        (
            {"schemaVersion": 1, "fsLayers": []},
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "manifest schema 1",
        ),
        (
            {"schemaVersion": 2, "config": EMPTY, "layers": [], "artifactType": "application/vnd.example.sbom"},
            OCI_MANIFEST,
            "not a container image but an artifact of type application/vnd.example.sbom",
        ),
        (
            {"schemaVersion": 2, "blobs": []},
            "application/vnd.oci.artifact.manifest.v1+json",
            "media type 'application/vnd.oci.artifact.manifest.v1+json'; expected an image manifest or index",
        ),
        ({"schemaVersion": 2, "manifests": []}, OCI_INDEX, "no image for linux/"),
        ([], OCI_MANIFEST, "expected a JSON object, found a list"),
        (b"<html>", "text/html", "not JSON"),
        (b"[" * 100_000, OCI_MANIFEST, "not JSON"),
    ],
)
def test_what_is_no_image_is_refused_by_name(between, document, kind: str, said: str):
    between.fault = lambda handler, _: handler.say(200, document, Content_Type=kind)
    with pytest.raises(AuditError) as error, open_image(between.reference) as image:
        image.facts()
    assert said in str(error.value)
    assert between.reference in str(error.value)


def test_a_foreign_layer_is_refused_by_name(between):
    def foreign(handler: Between, _: int) -> bool:
        status, headers, body = handler.upstream()
        document = json.loads(body)
        document["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        del headers["Docker-Content-Digest"], headers["Content-Length"]
        return handler.say(status, document, Content_Type=headers["Content-Type"])

    between.fault = lambda handler, earlier: "/manifests/1" in handler.path and foreign(handler, earlier)
    with pytest.raises(ImageFormatError, match="layer 1: a foreign layer"), open_image(between.reference) as image:
        image.facts()


def test_tags_go_on_by_the_link_that_a_page_has(between):
    pages = {
        "/v2/team/faulty/tags/list?n=1000": (
            ["1.9", "1.10"],
            '</v2/team/faulty/tags/list?n=1000&last=1.10>; rel="next"',
        ),
        "/v2/team/faulty/tags/list?n=1000&last=1.10": (["2.0", "edge"], "<tags-3>; rel=next"),
        "/v2/team/faulty/tags/tags-3": (None, None),
    }

    def page(handler: Between, _: int) -> bool:
        listed, link = pages[handler.path]
        return handler.say(200, {"name": "team/faulty", "tags": listed}, **({"Link": link} if link else {}))

    between.fault = page
    assert tags(between.reference.removesuffix(":1"))["tag"].tolist() == ["1.9", "1.10", "2.0", "edge"]


@pytest.mark.parametrize(
    ("link", "listed", "said"),
    [
        (
            '</v2/team/faulty/tags/list?n=1000>; rel="next"',
            ["1"],
            "the tags of team/faulty have no end; given up after 1 pages",
        ),
        ('<https://elsewhere.test/v2/x>; rel="next"', ["1"], "go on at elsewhere.test, which is another host"),
        ("", ["\x1b[31mred"], "expected a list of tags"),
        ("", {"a": 1}, "expected a list of tags"),
    ],
)
def test_a_list_of_tags_that_is_none_is_an_error(between, link: str, listed: object, said: str):
    between.fault = lambda handler, _: handler.say(200, {"tags": listed}, Link=link)
    with pytest.raises(AuditError) as error:
        tags(between.reference.removesuffix(":1"))
    assert said in str(error.value)
    assert str(error.value).isprintable()


class Anything(socketserver.BaseRequestHandler):
    """Answers every request with the bytes that its server holds."""

    def handle(self) -> None:
        try:
            self.request.recv(65536)
            self.request.sendall(self.server.says)
        except OSError:
            pass


ANSWERS = st.binary(max_size=300) | st.builds(
    lambda status, headers, body: b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body,
    st.sampled_from([b"200 OK", b"206 Partial", b"302 Found", b"401 No", b"416 Range", b"429 Slow", b"999 x", b"0", b"\xff"]),
    st.lists(
        st.builds(
            lambda name, value: name + b": " + value,
            st.sampled_from(
                [b"Content-Length", b"Location", b"WWW-Authenticate", b"Retry-After", b"Transfer-Encoding", b"Content-Type",
                 b"Content-Range", b"Docker-Content-Digest", b"Content-Encoding", b"Link", b"Set-Cookie"]
            ),
            st.sampled_from([b"", b"0", b"-1", b"9" * 5000, b"http://[::1", b"Bearer realm=http://[", b"chunked", b"gzip",
                             b"application/json", b"bytes 0-1/2", b"sha256:" + b"0" * 64, b"<http://[>; rel=next", b"\xe4"])
            | st.binary(max_size=20).map(lambda text: text.replace(b"\r", b"").replace(b"\n", b"")),
        ),
        max_size=4,
    ),
    st.sampled_from([b"", b"{}", b"[]", b'{"layers": []}', b'{"manifests": {}}', b"5\r\n{}", b"\x1f\x8b"]) | st.binary(max_size=50),
)  # fmt: skip


def facts_of(reference: str) -> Facts:
    with open_image(reference) as image:
        return image.facts()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANSWERS)
def test_any_bytes_as_an_answer_give_the_error(anything, answer: bytes):
    host, server = anything
    server.says = answer
    for call in (facts_of, tags):
        with pytest.raises(AuditError) as error:
            call(f"registry:{host}/team/app")
        assert str(error.value).startswith(f"registry:{host}/team/app")


@pytest.fixture(scope="module")
def anything() -> Iterator[tuple[str, Any]]:
    """Return a server that answers with any bytes, asked once for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "PATIENCE", replace(QUICK, attempts=1, connect_attempts=1, answer=1, stall=0.2))
        with served(Anything, kind=socketserver.ThreadingTCPServer) as (host, server):
            patch.setenv(PLAIN_HTTP, host)
            yield host, server


def test_an_offline_machine_does_not_hang_on_a_bare_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/podman.sock")
    monkeypatch.setattr(registry, "LITTLE_PATIENCE", Patience(attempts=2, connect_attempts=1, connect=0.5, answer=1))
    with registries.socket.socket() as deaf:
        # Nobody accepts: what is sent there waits for an answer that never comes.
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        started = time.monotonic()
        with pytest.raises(UnknownImageError) as error:
            open_image(f"127.0.0.1:{deaf.getsockname()[1]}/team/app")
    assert time.monotonic() - started < 5
    for said in ("docker: no Docker Engine answers", "podman: no Podman answers", "registry: 127.0.0.1:"):
        assert said in str(error.value)
