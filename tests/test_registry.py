"""Images straight from a real registry: the same tables as from a folder, each blob asked for once, by those who may."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import random
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pandas as pd
import pytest

from audit_lib import Audit, audit, tags
from audit_lib import __main__ as command
from audit_lib.errors import SourceError, UnknownImageError
from audit_lib.sources import certificates as certificate_folders
from audit_lib.sources import open_image, registry
from audit_lib.sources.answers import Patience
from audit_lib.sources.urls import PLAIN_HTTP
from tests import registries
from tests.images import OCI_LAYER, add_blob, add_to_index, digest, layer_tar, oci_dir, oci_index
from tests.registries import PASSWORD, USER, Certificates, Registry, push, served

ONE = {"etc/os-release": "ID=debian\n", "one": "1" * 5000}
TWO = {"two": random.Random(2).randbytes(200_000)}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a home of its own, so that nobody's credentials and certificates are met."""
    home = tmp_path / "home"
    home.mkdir()
    for name in (
        "REGISTRY_AUTH_FILE",
        "DOCKER_CONFIG",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        PLAIN_HTTP,
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AUDIT_STORE", "none")
    monkeypatch.setattr(registry, "PATIENCE", Patience(pause=0.01))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    return home


@pytest.fixture
def plain(docker_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return the registry without TLS, named as one that is spoken to so."""
    monkeypatch.setenv(PLAIN_HTTP, docker_registry.host)
    return docker_registry


@pytest.fixture(scope="module")
def pushed(docker_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the digest of an image of two layers, `team/app:1`."""
    layout = tmp_path_factory.mktemp("pushed") / "image"
    made = oci_dir(layout, [ONE, TWO])
    push(layout, docker_registry, "team/app:1")
    return made


def log_in(file: Path, host: str, secret: str = PASSWORD) -> None:
    """Write what `docker login` and `podman login` write."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pair = base64.b64encode(f"{USER}:{secret}".encode()).decode()
    file.write_text(json.dumps({"auths": {host: {"auth": pair}}}))


def trust(home: Path, host: str, certificates: Certificates) -> Path:
    folder = home / ".config" / "containers" / "certs.d" / host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(certificates.authority.read_bytes())
    return folder


def assert_same_tables(one: Audit, other: Audit) -> None:
    for name in (field.name for field in fields(Audit) if isinstance(getattr(one, field.name), pd.DataFrame)):
        if name != "referrers":
            told = [
                getattr(side, name).drop(columns=["image", "reference", "source"], errors="ignore")
                for side in (one, other)
            ]
            pd.testing.assert_frame_equal(*told, obj=name)


def estargz(layer: dict) -> bytes:
    """Return a layer as stargz-snapshotter packs it: many gzip members, a table of contents last, and an empty footer."""
    tar = layer_tar({**layer, "stargz.index.json": '{"version": 1, "entries": []}'})
    pieces = [tar[start : start + 1024] for start in range(0, len(tar), 1024)]
    return b"".join(gzip.compress(piece, mtime=0) for piece in [*pieces, b""])


@pytest.mark.parametrize(
    ("kind", "compression"), [("oci", ""), ("oci", "gzip"), ("oci", "zstd"), ("docker", ""), ("docker", "gzip")]
)
def test_the_tables_are_those_of_the_same_image_in_a_folder(compression, kind, plain: Registry, tmp_path: Path):
    made = oci_dir(tmp_path / "image", [ONE, TWO, ONE], compression=compression, kind=kind)
    name = f"team/{kind}-{compression or 'plain'}"
    push(tmp_path / "image", plain, f"{name}:1")
    before = len(plain.requests())
    found = audit(f"registry:{plain.host}/{name}:1")
    assert_same_tables(found, audit(f"oci-dir:{tmp_path}/image"))
    assert found.image.loc[0, "manifest_digest"] == made
    assert found.image.loc[0, "source"] == "registry"
    fetched = plain.fetched(since=before)
    assert sorted(fetched) == sorted(set(fetched)), "a layer that occurs twice is fetched once"
    assert len(fetched) == 3


def test_what_skopeo_copies_out_of_the_registry_gives_the_same_tables(plain: Registry, pushed: str, tmp_path: Path):
    copy = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{plain.host}/team/app:1"]
    registries.subprocess.run([*copy, f"oci:{tmp_path}/copy:1"], check=True, capture_output=True)
    found = audit(f"registry:{plain.host}/team/app:1")
    assert_same_tables(found, audit(f"oci-dir:{tmp_path}/copy"))
    assert found.image.loc[0, "manifest_digest"] == pushed


def test_layers_of_estargz_are_read(plain: Registry, tmp_path: Path):
    image = tmp_path / "image"
    packed = estargz(ONE)
    unpacked = gzip.decompress(packed)
    layer = {
        **add_blob(image, packed, f"{OCI_LAYER}+gzip"),
        "annotations": {"containerd.io/snapshot/stargz/toc.digest": "x"},
    }
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest(unpacked)]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": add_blob(image, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [layer],
    }
    add_to_index(image, [add_blob(image, json.dumps(manifest).encode(), manifest["mediaType"])], tag="1")
    push(image, plain, "team/estargz:1")
    found = audit(f"registry:{plain.host}/team/estargz:1")
    assert found.files["path"].tolist() == ["/etc", "/etc/os-release", "/one", "/stargz.index.json"]


def test_manifest_and_config_come_first_and_a_layer_when_it_is_read(plain: Registry, pushed: str):
    before = len(plain.requests())
    with open_image(f"registry:{plain.host}/team/app:1") as image:
        facts = image.facts()
        blobs = list(image.blobs())
        asked = [one for one in plain.requests()[before:] if one.method == "GET" and one.status == 200]
        assert [one.path.rpartition("/")[2] for one in asked] == ["1", facts.config_digest]
        assert facts.manifest_digest == pushed
        assert blobs[1].stream.read(10)
    assert plain.fetched(since=before) == [facts.config_digest, facts.layers[1].digest]


@pytest.mark.usefixtures("pushed")
def test_a_layer_that_is_known_is_not_asked_for(plain: Registry):
    before = len(plain.requests())
    with open_image(f"registry:{plain.host}/team/app:1") as image:
        known = {layer.diff_id for layer in image.facts().layers}
        assert list(image.blobs(known)) == []
        (rest,) = image.blobs({image.facts().layers[0].diff_id})
        assert rest.name == image.facts().layers[1].digest
    assert plain.fetched(since=before) == [image.facts().config_digest]


@pytest.mark.usefixtures("pushed")
def test_with_all_layers_remembered_no_blob_is_asked_for(plain: Registry, tmp_path: Path):
    reference = f"registry:{plain.host}/team/app:1"
    first = audit(reference, store=tmp_path / "store")
    before = len(plain.requests())
    second = audit(reference, store=tmp_path / "store")
    assert plain.fetched(since=before) == []
    assert "/v2/team/app/manifests/1" in [one.path for one in plain.requests()[before:]]
    assert_same_tables(first, second)


@pytest.mark.parametrize("where", ["registry", "oci-dir", "oci-archive"])
def test_layers_may_be_read_at_the_same_time(where: str, plain: Registry, tmp_path: Path):
    layers = [{f"{number}": random.Random(number).randbytes(300_000)} for number in range(6)]
    oci_dir(tmp_path / "image", layers, compression="")
    push(tmp_path / "image", plain, "team/many:1")
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(tmp_path / "image", arcname=".")
    places = {
        "registry": f"{plain.host}/team/many:1",
        "oci-dir": tmp_path / "image",
        "oci-archive": tmp_path / "image.tar",
    }
    meeting = threading.Barrier(6, timeout=20)

    def read(blob) -> str:
        parts = [blob.stream.read(1000)]
        meeting.wait()
        while part := blob.stream.read(50_000):
            parts.append(part)
        return digest(b"".join(parts))

    with open_image(f"{where}:{places[where]}") as image, ThreadPoolExecutor(6) as pool:
        assert image.is_concurrent
        blobs = list(image.blobs())
        assert list(pool.map(read, blobs)) == [blob.digest for blob in blobs]


def test_an_index_gives_the_image_of_the_platform_and_a_digest_holds_to_the_end(plain: Registry, tmp_path: Path):
    made = oci_index(tmp_path / "image", {"linux/amd64": [ONE], "linux/arm64/v8": [TWO]})
    push(tmp_path / "image", plain, "team/many:both", "--all")
    reference = f"registry:{plain.host}/team/many"
    index = json.loads((tmp_path / "image/index.json").read_text())["manifests"][0]["digest"]
    for pinned in (f"{reference}:both", f"{reference}@{index}", f"{reference}:never-looked-at@{index}"):
        with open_image(pinned, platform="linux/arm64") as image:
            assert image.facts().manifest_digest == made["linux/arm64/v8"]
    with open_image(f"{reference}@{made['linux/amd64']}") as image:
        assert image.facts().manifest_digest == made["linux/amd64"]
    with pytest.raises(UnknownImageError, match="no image for linux/s390x; the index has linux/amd64, linux/arm64/v8"):
        open_image(f"{reference}:both", platform="linux/s390x")


@pytest.mark.usefixtures("pushed")
def test_what_is_not_there_is_said(plain: Registry):
    with pytest.raises(UnknownImageError, match=r"has no team/app 99: 404 Not Found: manifest unknown"):
        open_image(f"registry:{plain.host}/team/app:99")
    with pytest.raises(UnknownImageError, match="has no nobody/nothing latest: 404 Not Found"):
        open_image(f"registry:{plain.host}/nobody/nothing")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9: cannot be reached: Connection refused"):
        open_image("registry:127.0.0.1:9/team/app")


@pytest.mark.usefixtures("pushed")
def test_plain_http_is_spoken_only_where_it_was_asked_for(docker_registry: Registry, capsys, monkeypatch):
    host = docker_registry.host
    with pytest.raises(SourceError, match=f"does not speak TLS .*: --plain-http {host}, or AUDIT_PLAIN_HTTP={host}"):
        open_image(f"registry:{host}/team/app:1")
    monkeypatch.setattr(
        "sys.argv", ["image-audit", "--quiet", "inspect", f"registry:{host}/team/app:1", "--plain-http", host]
    )
    monkeypatch.setenv(PLAIN_HTTP, "")
    with pytest.raises(SystemExit) as leaving:
        command.main()
    assert leaving.value.code == 0
    assert f"registry:{host}/team/app:1" in capsys.readouterr().out


def test_an_authority_of_ones_own_has_to_be_named(
    guarded_registry: Registry, certificates: Certificates, own_home: Path, pushed: str, monkeypatch
):
    host = guarded_registry.host
    log_in(own_home / ".docker/config.json", host)
    reference = f"registry:{host}/team/app:1"
    with pytest.raises(SourceError, match=rf"its certificate is not trusted .* into /etc/docker/certs.d/{host}/ca.crt"):
        open_image(reference)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(certificates.authority))
            with open_image(reference) as image:
                assert image.facts().manifest_digest == pushed
            patch.setenv(name, str(own_home / "nothing.pem"))
            with pytest.raises(SourceError, match=r"nothing.pem: not a certificate that can be used: No such file"):
                open_image(reference)
    monkeypatch.setattr(certificate_folders, "SYSTEM_FOLDERS", (own_home / "etc",))
    (own_home / "etc" / host).mkdir(parents=True)
    (own_home / "etc" / host / "mine.crt").write_bytes(certificates.authority.read_bytes())
    with open_image(reference) as image:
        assert image.facts().manifest_digest == pushed
    (own_home / "etc" / host / "other.crt").write_text("no certificate")
    with pytest.raises(SourceError, match=r"other.crt: not a certificate that can be used"):
        open_image(reference)


PLACES = {
    "docker": (".docker/config.json", {}),
    "docker-elsewhere": ("d/config.json", {"DOCKER_CONFIG": "d"}),
    "podman": ("run/containers/auth.json", {}),
    "podman-at-home": (".config/containers/auth.json", {}),
    "podman-elsewhere": ("auth.json", {"REGISTRY_AUTH_FILE": "auth.json"}),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_docker_and_podman_login_left_is_used(
    place: str,
    guarded_registry: Registry,
    certificates: Certificates,
    own_home: Path,
    plain: Registry,
    tmp_path,
    monkeypatch,
):
    oci_dir(tmp_path / "image", [ONE, TWO])
    push(tmp_path / "image", plain, "team/app:1")
    host = guarded_registry.host
    trust(own_home, host, certificates)
    file, environment = PLACES[place]
    for name, value in environment.items():
        monkeypatch.setenv(name, str(own_home / value))
    reference = f"registry:{host}/team/app:1"
    with pytest.raises(
        SourceError, match="asks for a name and password, and none were left; docker login or podman login"
    ):
        open_image(reference)
    log_in(own_home / file, host, "wrong")
    with pytest.raises(SourceError, match=rf"refuses user {USER}, by {own_home / file}") as error:
        open_image(reference)
    assert "wrong" not in str(error.value)
    log_in(own_home / file, host)
    before = len(guarded_registry.requests())
    assert_same_tables(audit(reference), audit(f"oci-dir:{tmp_path}/image"))
    refused = [one for one in guarded_registry.requests()[before:] if one.status == 401]
    assert len(refused) == 1, "the password is sent along once it has been asked for"


def test_podman_itself_logs_in_and_its_credentials_work(
    guarded_registry: Registry, certificates: Certificates, own_home: Path, pushed: str
):
    folder = trust(own_home, guarded_registry.host, certificates)
    login = ["skopeo", "login", "--cert-dir", folder, "-u", USER, "-p", PASSWORD, guarded_registry.host]
    environment = {**os.environ, "REGISTRY_AUTH_FILE": str(own_home / "run/containers/auth.json")}
    registries.subprocess.run(login, check=True, capture_output=True, env=environment)
    with open_image(f"registry:{guarded_registry.host}/team/app:1") as image:
        assert image.facts().manifest_digest == pushed


def test_a_credential_helper_is_asked(
    guarded_registry: Registry, certificates: Certificates, own_home: Path, pushed: str, monkeypatch
):
    host = guarded_registry.host
    trust(own_home, host, certificates)
    config = own_home / ".docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credHelpers": {host: "of-a-test"}}))
    with pytest.raises(
        SourceError, match=rf"{config}: names the credential helper docker-credential-of-a-test, which is not on"
    ):
        open_image(f"registry:{host}/team/app:1")
    helper = own_home / "bin" / "docker-credential-of-a-test"
    helper.parent.mkdir()
    answer = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper.write_text(f'#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = {host} ] && echo \'{answer}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(helper.parent), prepend=":")
    with open_image(f"registry:{host}/team/app:1") as image:
        assert image.facts().manifest_digest == pushed


def test_a_registry_that_wants_a_client_certificate_gets_it(
    docker_registry: Registry, certificates: Certificates, own_home: Path, pushed: str, tmp_path: Path
):
    tls = {
        "certificate": str(certificates.server),
        "key": str(certificates.server_key),
        "clientcas": [str(certificates.authority)],
    }
    with registries.registry(tmp_path / "mutual", docker_registry.store, http={"tls": tls}) as mutual:
        folder = trust(own_home, mutual.host, certificates)
        reference = f"registry:{mutual.host}/team/app:1"
        with pytest.raises(SourceError, match=r"refuses the TLS connection .*; does it ask for a client certificate"):
            open_image(reference)
        (folder / "me.cert").write_bytes(certificates.client.read_bytes())
        with pytest.raises(
            SourceError, match=r"me.cert: a client certificate without its key; expected me.key beside it"
        ):
            open_image(reference)
        (folder / "me.key").write_bytes(certificates.client_key.read_bytes())
        with open_image(reference) as image:
            assert image.facts().manifest_digest == pushed


class Sends(BaseHTTPRequestHandler):
    """Sends on to `server.to`, or serves `server.document`; `server.shown` are the certificates that it was shown."""

    def do_GET(self) -> None:
        self.server.shown.append(self.connection.getpeercert())  # type: ignore[attr-defined]
        target = self.server.to  # type: ignore[attr-defined]
        self.send_response(307 if target else 404)
        self.send_header("Content-Length", "0")
        if target:
            self.send_header("Location", target + self.path)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the standard library gives it
        """Keep quiet."""


def test_a_client_certificate_is_not_shown_to_the_host_that_one_is_sent_on_to(
    certificates: Certificates, own_home: Path
):
    with (
        served(Sends, certificates, to=None, shown=[]) as (other, second),
        served(Sends, certificates, to=f"https://{other}", shown=[]) as (host, first),
    ):
        folder = trust(own_home, host, certificates)
        (folder / "me.cert").write_bytes(certificates.client.read_bytes())
        (folder / "me.key").write_bytes(certificates.client_key.read_bytes())
        with pytest.raises(UnknownImageError, match="has no team/app 1"):
            open_image(f"registry:{host}/team/app:1")
        assert {bool(shown) for shown in first.shown} == {True}
        assert {bool(shown) for shown in second.shown} == {False}


@pytest.fixture
def token_server(certificates: Certificates) -> Iterator[tuple[str, object]]:
    facts = {"certificates": certificates, "service": "test", "issuer": "me", "lifetime": 300, "given": []}
    with served(registries.TokenHandler, certificates, **facts) as running:
        yield running


@pytest.fixture
def token_registry(
    docker_registry: Registry, certificates: Certificates, token_server, own_home: Path, tmp_path: Path
) -> Iterator[Registry]:
    """Return a registry that wants tokens of the token server, both behind TLS."""
    auth = {
        "token": {
            "realm": f"https://{token_server[0]}/token",
            "service": "test",
            "issuer": "me",
            "rootcertbundle": str(certificates.authority),
        }
    }
    tls = {"certificate": str(certificates.server), "key": str(certificates.server_key)}
    with registries.registry(tmp_path / "token", docker_registry.store, auth=auth, http={"tls": tls}) as running:
        trust(own_home, running.host, certificates)
        yield running


def test_a_token_is_fetched_once_for_what_is_asked(token_registry: Registry, token_server, own_home: Path, pushed: str):
    reference = f"registry:{token_registry.host}/team/app:1"
    with pytest.raises(
        SourceError, match=r"gives no token for team/app: 401 Unauthorized: incorrect username or password"
    ):
        open_image(reference)
    token_server[1].given.clear()
    log_in(own_home / ".docker/config.json", token_registry.host)
    found = audit(reference)
    assert found.image.loc[0, "manifest_digest"] == pushed
    assert found.image.loc[0, "layer_count"] == 2
    ((query, _),) = token_server[1].given
    assert query == {"service": ["test"], "scope": ["repository:team/app:pull"], "account": [USER]}


@pytest.mark.usefixtures("pushed")
def test_a_token_that_has_run_out_is_renewed_before_it_is_sent(token_registry: Registry, token_server, own_home: Path):
    log_in(own_home / ".docker/config.json", token_registry.host)
    token_server[1].lifetime = 1
    with open_image(f"registry:{token_registry.host}/team/app:1") as image:
        threading.Event().wait(1)
        for blob in image.blobs():
            assert blob.stream.read(1)
    assert len(token_server[1].given) == 2
    assert [one.status for one in token_registry.requests()].count(401) == 1


def test_an_identity_token_is_exchanged(token_registry: Registry, token_server, own_home: Path, pushed: str):
    file = own_home / ".docker" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"auths": {token_registry.host: {"auth": "", "identitytoken": "an identity token"}}}))
    with open_image(f"registry:{token_registry.host}/team/app:1") as image:
        assert image.facts().manifest_digest == pushed
    ((form, authorization),) = token_server[1].given
    assert (form["grant_type"], form["scope"], authorization) == (["refresh_token"], ["repository:team/app:pull"], "")


@pytest.mark.usefixtures("pushed")
def test_tags_are_listed_numbers_in_their_order(plain: Registry, tmp_path: Path):
    oci_dir(tmp_path / "image", [ONE])
    push(tmp_path / "image", plain, "team/tagged:3.9")
    image = json.loads((tmp_path / "image" / "index.json").read_text())["manifests"][0]
    document = json.loads((tmp_path / "image/blobs" / image["digest"].replace(":", "/")).read_text())
    for tag in ("3.10", "latest", "3.9-slim", "3.10.1"):
        registries.put_manifest(plain, "team/tagged", document, tag)
    found = tags(f"registry:{plain.host}/team/tagged")
    assert found["tag"].tolist() == ["3.9", "3.9-slim", "3.10", "3.10.1", "latest"]
    assert set(found["repository"]) == {f"{plain.host}/team/tagged"}
    assert tags(f"{plain.host}/team/app")["tag"].tolist() == ["1"]


@pytest.mark.usefixtures("pushed")
def test_tags_are_written_as_csv(plain: Registry, capsysbinary, monkeypatch):
    monkeypatch.setattr("sys.argv", ["image-audit", "tags", f"{plain.host}/team/app", "--format", "csv"])
    with pytest.raises(SystemExit) as leaving:
        command.main()
    assert leaving.value.code == 0
    said = pd.read_csv(io.BytesIO(capsysbinary.readouterr().out), dtype=str)
    assert said.to_numpy().tolist() == [[f"{plain.host}/team/app", "1"]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{host}/nobody/nothing", "has no nobody/nothing: 404 Not Found: repository name not known to registry"),
        ("{host}/team/app:1", "names one image; expected a repository, without a tag or a digest"),
        ("docker:team/app", "tags are listed by registries; expected registry:HOST/NAME"),
    ],
)
def test_tags_of_what_is_no_repository(name: str, said: str, plain: Registry):
    with pytest.raises(UnknownImageError) as error:
        tags(name.format(host=plain.host))
    assert said in str(error.value)


def test_a_bare_name_is_looked_for_in_the_engines_first_and_then_in_the_registry(
    plain: Registry, pushed: str, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/podman.sock")
    found = audit(f"{plain.host}/team/app:1").image.loc[0]
    assert (found["source"], found["manifest_digest"]) == ("registry", pushed)
    with pytest.raises(UnknownImageError) as error:
        open_image(f"{plain.host}/team/app:99")
    for said in ("docker: no Docker Engine answers", "podman: no Podman answers", "registry: ", "has no team/app 99"):
        assert said in str(error.value)


class Connect(BaseHTTPRequestHandler):
    """A proxy that only connects (RFC 9110, CONNECT); its server has `asked`, where to."""

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        host, _, port = self.path.partition(":")
        with registries.socket.create_connection((host, int(port)), timeout=10) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join(10)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the standard library gives it
        """Keep quiet."""


def _pump(source, target) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(registries.socket.SHUT_WR)
    except OSError:
        pass


def test_a_proxy_of_the_environment_is_used(
    guarded_registry: Registry, certificates: Certificates, own_home: Path, pushed: str, monkeypatch
):
    host = guarded_registry.host
    trust(own_home, host, certificates)
    log_in(own_home / ".docker/config.json", host)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with served(Connect, asked=[]) as (proxy, server):
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
        assert audit(f"registry:{host}/team/app:1").image.loc[0, "manifest_digest"] == pushed
        assert set(server.asked) == {host}
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        server.asked.clear()
        with open_image(f"registry:{host}/team/app:1"):
            assert server.asked == []
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    with pytest.raises(SourceError, match="the proxy that the environment names does not let through: ") as error:
        open_image(f"registry:{host}/team/app:1")
    assert "secret" not in str(error.value)
