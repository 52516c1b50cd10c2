"""Whom a URL speaks to: what credentials belong to, where a redirect leads, and where plain http may be spoken."""

from __future__ import annotations

import os
from urllib.parse import urljoin, urlsplit, urlunsplit

from audit_lib.errors import SourceError

# The environment variable that names hosts to speak plain http to, separated by commas.
PLAIN_HTTP = "AUDIT_PLAIN_HTTP"
_USUAL_PORTS = {"https": ":443", "http": ":80"}


def is_plain(host: str) -> bool:
    """Tell whether a host was named as one to speak plain http to."""
    named = {part.strip().lower().removesuffix(":80") for part in os.environ.get(PLAIN_HTTP, "").split(",")}
    return host.lower().removesuffix(":80") in named


def origin_of(url: str) -> tuple[str, str]:
    """Return (scheme, host, with its port where that is not the usual one): what credentials belong to. Both "" for no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    host = parts.netloc.rpartition("@")[2].lower()
    return parts.scheme, host.removesuffix(_USUAL_PORTS.get(parts.scheme, ""))


def joined(base: str, location: str) -> str:
    """Return the URL that `location`, as an answer of `base` has it, leads to, without a name and password of its own.

    Those would be sent by requests. Raises `SourceError` for what is no URL.
    """
    try:
        parts = urlsplit(urljoin(base, location))
    except ValueError as error:
        raise SourceError(f"{origin_of(base)[1]}: sends on to {location[:90]!r}, which is no address") from error
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2].lower()))
