"""Which certificates a host is trusted by, and which one it is shown: the folders that Docker and Podman read.

Sources: Docker's "Verify repository client with certificates"; containers-certs.d(5). `*.crt` are further authorities,
`*.cert` with `*.key` of the same name is the client's own.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import requests

from audit_lib.errors import SourceError

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
SYSTEM_FOLDERS = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


def context_for(host: str, *, registry: str) -> ssl.SSLContext:
    """Return how `host` is spoken to by TLS. Raises `SourceError` that names a certificate that cannot be used.

    Trusted are the authorities of the system (or those that `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` and `SSL_CERT_FILE` name in
    their place; `SSL_CERT_DIR` is OpenSSL's own), and those in the folders of this host and of the registry that sent here: a
    company's registry and its token server have one authority. A client certificate is shown to the host of its folder only.
    """
    context = _trusting()
    for authority in _files({host, registry}, "*.crt"):
        _load_authorities(context, authority)
    for certificate in _files({host}, "*.cert"):
        _load_own(context, certificate)
    return context


def advice(host: str) -> str:
    """Return where an authority of one's own is put, for the error of a host that is not trusted."""
    return f"put its authority's certificate into {SYSTEM_FOLDERS[-1]}/{host}/ca.crt, or name a bundle by SSL_CERT_FILE"


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    named = [os.environ[name] for name in _BUNDLES if os.environ.get(name)]
    # SSL_CERT_FILE too is read by name: OpenSSL says nothing of a file that is not there.
    for bundle in named:
        _load_authorities(context, Path(bundle))
    if named:
        return context
    context.load_default_certs()
    where = ssl.get_default_verify_paths()
    if where.cafile is None and where.capath is None:
        # A machine without a store of its own, such as a slim container: the one that requests brings.
        context.load_verify_locations(cafile=requests.certs.where())
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        if path.is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as error:  # an SSLError is one
        raise _unusable(path, error) from error


def _load_own(context: ssl.SSLContext, path: Path) -> None:
    key = path.with_suffix(".key")
    if not key.exists():
        raise SourceError(f"{path}: a client certificate without its key; expected {key.name} beside it")
    try:
        # Without a password of ours OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(path, key, password="")
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"{path}: not a certificate that can be used: {error.strerror or error}")


def _files(hosts: set[str], pattern: str) -> Iterator[Path]:
    home = Path(os.environ.get("HOME") or Path.home())
    own = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    for folder in (own / "containers" / "certs.d", own / "docker" / "certs.d", *SYSTEM_FOLDERS):
        for host in sorted(hosts):
            yield from sorted((folder / host).glob(pattern))
