"""Real registries on this machine for the time of a test: Debian's docker-registry, with certificates that openssl makes.

All that are started over one folder serve the same images: one plain for pushing, others with TLS, passwords or tokens.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

USER, PASSWORD = "auditor", "correct horse"
# htpasswd -nbB auditor 'correct horse': docker-registry takes bcrypt only.
HTPASSWD = "auditor:$2b$05$4g6Qt.o9tmnC1fGOavuZbeamRslnO41Jen/T53UDUfC4sAW6ha/fi\n"
_SECONDS = 20
_LINE = re.compile(r'"(\w+) (\S+) HTTP/[\d.]+" (\d+) (\d+) ')


@dataclass(frozen=True)
class Request:
    """One line of an access log."""

    method: str
    path: str
    status: int
    sent_bytes: int


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry that answers at `host` (with its port); `store` is where all of them keep their images."""

    host: str
    log: Path
    store: Path

    def requests(self) -> list[Request]:
        """Return what was asked of it so far, once nothing is added any more."""
        found: list[Request] = []
        for _ in range(100):
            lines = _LINE.findall(self.log.read_text())
            if len(lines) == len(found):
                break
            found = [Request(method, path, int(status), int(sent)) for method, path, status, sent in lines]
            time.sleep(0.05)
        return found

    def fetched(self, since: int = 0) -> list[str]:
        """Return the digests of the blobs that were sent, in order."""
        return [
            one.path.rpartition("/")[2]
            for one in self.requests()[since:]
            if one.method == "GET" and "/blobs/sha256:" in one.path and one.status in {200, 206}
        ]


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """PEM files: an authority of its own, a server's certificate for 127.0.0.1 and localhost, a client's."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def is_installed() -> bool:
    """Tell whether this machine has what the tests of registries need."""
    return all(shutil.which(name) for name in ("docker-registry", "skopeo", "openssl"))


@contextmanager
def registry(folder: Path, store: Path, **settings: Mapping[str, Any]) -> Iterator[Registry]:
    """Run a docker-registry; `settings` are further sections of its configuration file (`auth`, `http`)."""
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(store)}},
        **settings,
        "http": {"addr": host, **settings.get("http", {})},
    }
    # JSON is YAML.
    (folder / "config.yml").write_text(json.dumps(config))
    log = folder / "access.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=out, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(host, process, log)
        yield Registry(host=host, log=log, store=store)
    finally:
        process.terminate()
        process.wait(_SECONDS)


def push(layout: Path, to: Registry, name: str, *options: str) -> None:
    """Copy an OCI layout to a registry that is spoken to without TLS, its digests kept."""
    command = ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", *options]
    subprocess.run([*command, f"oci:{layout}", f"docker://{to.host}/{name}"], check=True, capture_output=True)


def put_blob(to: Registry, repository: str, data: bytes) -> dict[str, Any]:
    """Upload a blob by the API itself and return digest and size."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    place = requests.post(f"http://{to.host}/v2/{repository}/blobs/uploads/", timeout=_SECONDS).headers["Location"]
    done = requests.put(place, params={"digest": digest}, data=data, timeout=_SECONDS)
    done.raise_for_status()
    return {"digest": digest, "size": len(data)}


def put_manifest(to: Registry, repository: str, document: Mapping[str, Any], tag: str | None = None) -> dict[str, Any]:
    """Upload a manifest or an index by the API itself and return its descriptor."""
    data = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    kind = document["mediaType"]
    done = requests.put(
        f"http://{to.host}/v2/{repository}/manifests/{tag or digest}",
        data=data,
        headers={"Content-Type": kind},
        timeout=_SECONDS,
    )
    assert done.ok, done.text
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def make_certificates(folder: Path) -> Certificates:
    """Make an authority, and certificates that it has signed."""
    folder.mkdir(parents=True)
    run = functools.partial(subprocess.run, cwd=folder, check=True, capture_output=True)
    key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    run(["openssl", "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test authority"])
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        run(["openssl", "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"])
        (folder / f"{name}.ext").write_text(extension)
        sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext"]
        run(["openssl", "x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.crt"])
    return Certificates(
        authority=folder / "ca.crt",
        server=folder / "server.crt",
        server_key=folder / "server.key",
        client=folder / "client.crt",
        client_key=folder / "client.key",
    )


@contextmanager
def served(
    handler: type[BaseRequestHandler],
    tls: Certificates | None = None,
    kind: type[TCPServer] = ThreadingHTTPServer,
    **facts: Any,
) -> Iterator[tuple[str, Any]]:
    """Run a small server of a test's own and yield (host with port, server); `facts` become its attributes."""
    server: Any = kind(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    for name, value in facts.items():
        setattr(server, name, value)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.server, tls.server_key)
        # Whoever has a certificate may show it.
        context.load_verify_locations(tls.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_SECONDS)


class TokenHandler(BaseHTTPRequestHandler):
    """A token server as distribution's specification has it: signs what is asked for, for those who know the password.

    Its server has `certificates`, `service`, `issuer`, `lifetime` (seconds, as it tells them) and `given`, the log of what was
    asked: (query or form, Authorization).
    """

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        sent = self.headers.get("Authorization", "")
        self.server.given.append((query, sent))  # type: ignore[attr-defined]
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if sent != f"Basic {expected}":
            self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})
            return
        self._answer(200, {"token": self._token(query["scope"]), "expires_in": self.server.lifetime})  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.given.append((form, self.headers.get("Authorization", "")))  # type: ignore[attr-defined]
        if form.get("refresh_token") != ["an identity token"]:
            self._answer(401, {})
            return
        self._answer(200, {"access_token": self._token(form["scope"]), "expires_in": 300})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the standard library gives it
        """Keep quiet."""

    def _token(self, scopes: Sequence[str]) -> str:
        certificates: Certificates = self.server.certificates  # type: ignore[attr-defined]
        der = ssl.PEM_cert_to_DER_cert(certificates.server.read_text())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        kind, name, actions = scopes[0].split(":")
        claims = {
            "iss": self.server.issuer,  # type: ignore[attr-defined]
            "aud": self.server.service,  # type: ignore[attr-defined]
            "sub": USER,
            "exp": int(time.time()) + 300,
            "nbf": int(time.time()) - 10,
            "iat": int(time.time()),
            "jti": str(time.monotonic_ns()),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        signed = ".".join(_url64(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", certificates.server_key],
            input=signed.encode(),
            check=True,
            capture_output=True,
        ).stdout
        return f"{signed}.{_url64(signature)}"

    def _answer(self, status: int, document: Mapping[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@dataclass
class Seen:
    """One request as a server of a test's own met it."""

    method: str
    path: str
    headers: Mapping[str, str]
    moment: float = field(default_factory=time.monotonic)


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _wait_for(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    name, _, port = host.partition(":")
    for _ in range(_SECONDS * 50):
        if process.poll() is not None:
            break
        try:
            socket.create_connection((name, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"docker-registry does not answer at {host}: {log.read_text()[-2000:]}")
