"""How a registry's challenge is met: with a token of its token server, or with name and password.

Sources: RFC 9110 section 11 (challenges), RFC 6750 (Bearer), RFC 7617 (Basic); distribution's "Token Authentication
Specification" and "Oauth2 Token Authentication".
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

from audit_lib.errors import SourceError
from audit_lib.sources.answers import said_by
from audit_lib.sources.credentials import Credentials, read_credentials
from audit_lib.sources.http import Client
from audit_lib.sources.names import Name
from audit_lib.sources.urls import origin_of

_MAX_BYTES = 1024 * 1024
_OK = 200
# What a token server has to take for granted where it does not say how long a token holds ("Token Response Fields").
_USUAL_SECONDS = 60.0
_MOST_SECONDS = 24 * 60 * 60
# A token is not used to the end: the request has to arrive, and clocks differ.
_MARGIN = 0.9
# What stands between commas that are not within quotes.
_ITEM = re.compile(r"(?:[^,\"]|\"(?:[^\"\\]|\\.)*\")+", re.DOTALL)
_START = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+(.*))?", re.DOTALL)
_PARAMETER = re.compile(r"([A-Za-z0-9_-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|(\S*))", re.DOTALL)


class Challenge(NamedTuple):
    """One way in which a registry wants to be told who asks: `scheme` in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


class Login:
    """What is sent as `Authorization` to one repository's registry; used by several threads at once."""

    def __init__(self, name: Name, client: Client) -> None:
        self._name, self._client = name, client
        self._lock = threading.Lock()
        self._header: str | None = None
        self._until: float | None = None
        self._challenge: Challenge | None = None
        self._credentials: Credentials | None = None

    def header(self) -> str | None:
        """Return what is to be sent now: nothing until the registry has asked, a new token where the last one has run out."""
        with self._lock:
            if self._until is not None and time.monotonic() > self._until and self._challenge is not None:
                self._take_token(self._challenge)
            return self._header

    def meet(self, challenges: str | None, refused: str | None) -> None:
        """Meet the challenge of an answer 401 to a request that sent `refused`. Raises `SourceError` where it cannot be met."""
        with self._lock:
            if self._header != refused:
                return  # another thread was quicker
            found = parse_challenges(challenges or "")
            chosen = next((one for scheme in ("bearer", "basic") for one in found if one.scheme == scheme), None)
            if chosen is None:
                offered = ", ".join(one.scheme for one in found) or "nothing"
                raise SourceError(f"{self._name.host}: asks for {offered} as authentication; expected Bearer or Basic")
            if refused is None:
                self._credentials = read_credentials(self._name.host, self._name.repository)
            if chosen.scheme == "bearer":
                self._take_token(chosen)
            elif refused is not None:
                raise SourceError(f"{self._name.host}: {self.refusal()}")
            else:
                self._header = self._basic(self._name.host)

    def refusal(self) -> str:
        """Return who was refused, for an error."""
        return f"refuses {self._credentials or 'to be read by nobody in particular (log in with docker login or podman login)'}"

    def _basic(self, asker: str) -> str:
        found = self._credentials
        if found is None:
            raise SourceError(
                f"{asker}: asks for a name and password, and none were left; docker login or podman login does"
            )
        if found.identity_token is not None:
            raise SourceError(f"{asker}: asks for a name and password; {found.origin} holds an identity token")
        pair = f"{found.username}:{found.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    def _take_token(self, challenge: Challenge) -> None:
        realm = challenge.parameters.get("realm", "")
        host = origin_of(realm)[1]
        if not host:
            raise SourceError(f"{self._name.host}: sends to no token server; expected a realm, found {realm[:90]!r}")
        scopes = challenge.parameters.get("scope", "").split() or [f"repository:{self._name.repository}:pull"]
        service = challenge.parameters.get("service")
        fields = [("service", service)] if service else []
        found, headers, form = self._credentials, {}, None
        if found is not None and found.identity_token is not None:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": found.identity_token,
                "client_id": "audit-lib",
                "scope": " ".join(scopes),
                **dict(fields),
            }
            url = realm
        else:
            fields += [("scope", scope) for scope in scopes]
            if found is not None:
                headers["Authorization"] = self._basic(host)
                fields.append(("account", found.username))
            parts = urlsplit(realm)
            url = urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(fields)]))))
        started = time.monotonic()
        answer = self._client.ask(url, headers, method="GET" if form is None else "POST", form=form)
        if answer.status != _OK:
            who = f" to {found}" if found is not None else ""
            raise SourceError(f"{host}: gives no token for {self._name.repository}{who}: {said_by(answer)}")
        token, seconds = _token_in(answer.document(_MAX_BYTES), host)
        self._challenge, self._header, self._until = challenge, f"Bearer {token}", started + seconds * _MARGIN


def parse_challenges(text: str) -> list[Challenge]:
    """Return the challenges of a `WWW-Authenticate` header, in its order.

    >>> parse_challenges('Bearer realm="https://a/t?x=1,2",service="s", Basic realm=b')[0].parameters["realm"]
    'https://a/t?x=1,2'
    """
    found: list[tuple[str, dict[str, str]]] = []
    for item in map(str.strip, _ITEM.findall(text)):
        start = _START.fullmatch(item)
        rest = item
        if start is not None and not _PARAMETER.fullmatch(item):
            found.append((start[1].lower(), {}))
            rest = start[2] or ""
        parameter = _PARAMETER.fullmatch(rest.strip())
        if parameter is not None and found:
            quoted, plain = parameter[2], parameter[3]
            found[-1][1][parameter[1].lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def _token_in(data: bytes, host: str) -> tuple[str, float]:
    """Return (token, seconds that it holds) of a token server's answer."""
    try:
        said = json.loads(data) if len(data) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    token = said.get("token") or said.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise SourceError(f"{host}: answers with no token; expected a JSON object with token or access_token")
    seconds = said.get("expires_in")
    if not isinstance(seconds, int) or seconds <= 0:
        return token, _USUAL_SECONDS
    return token, float(min(seconds, _MOST_SECONDS))
