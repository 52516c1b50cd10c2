"""HTTP as a client of registries needs it: bounded in time, tried again, redirected without anybody's credentials.

Sources: RFC 9110 (redirects, Retry-After, ranges), RFC 6585 (429).
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import BaseHTTPError  # type: ignore[attr-defined] # urllib3's own, which the stubs do not pass on
from requests.utils import get_environ_proxies

from audit_lib.errors import SourceError
from audit_lib.sources import certificates
from audit_lib.sources.base import root_cause
from audit_lib.sources.names import PLAIN_HTTP, is_plain

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
# What passes by itself: too slow a request, too many, a server or one behind it that is not well (RFC 9110, 15.5.9, 15.6).
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_USUAL_PORTS = {"https": ":443", "http": ":80"}
_CHUNK = 256 * 1024


class InterruptedTransferError(SourceError):
    """What was asked for did not come, or not whole; it may, when it is asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a registry is waited for, in seconds, and how often it is asked again.

    `connect`: for a connection. `answer`: for all that comes before an answer's first line and headers, the look-up of the name
    included. `stall`: for the next bytes of a body; as long as that, a body has to bring `slow_bytes` each second on average.
    Between two tries `pause` is waited, doubled each time, or what the server asks for, up to `longest_pause`.
    """

    attempts: int = 5
    connect_attempts: int = 3
    connect: float = 10
    answer: float = 60
    stall: float = 30
    slow_bytes: int = 1024
    pause: float = 0.5
    longest_pause: float = 60


PATIENCE = Patience()
# For a name that may not be meant for a registry at all, on a machine that may have no network.
LITTLE_PATIENCE = Patience(attempts=2, connect_attempts=1, connect=4, answer=8, longest_pause=5)


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


class Answer:
    """An answer whose headers have come: `status`, `headers`, `url`, and a body that is read within bounds."""

    def __init__(self, response: requests.Response, patience: Patience, done: Callable[[bool], object]) -> None:
        self.status, self.headers = response.status_code, response.headers
        self.url = str(response.url)
        self._raw, self._patience, self._done = response.raw, patience, done
        self._waited, self._got = 0.0, 0
        self._problem: Exception | None = None
        self._is_open = True

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end; raises `InterruptedTransferError` where it is cut or comes too slowly."""
        parts, missing = [], size
        while missing and self._problem is None and self._is_open:
            started = time.monotonic()
            try:
                part = self._raw.read1(min(missing, _CHUNK), decode_content=False)
            # The last two: the connection was closed under the reader, by whoever has no more use for it.
            except (BaseHTTPError, http.client.HTTPException, OSError, ValueError, AttributeError) as error:
                self._problem = error
                break
            if not part:
                self._finish(whole=True)
                break
            parts.append(part)
            missing -= len(part)
            self._pace(time.monotonic() - started, len(part))
        if not parts and self._problem is not None:
            self.close()
            raise InterruptedTransferError(f"{origin_of(self.url)[1]}: {root_cause(self._problem)}") from self._problem
        return b"".join(parts)

    def document(self, limit: int) -> bytes:
        """Return the body whole, but no more than `limit` bytes and one; the connection is given back."""
        parts, missing = [], limit + 1
        try:
            while missing and (part := self.read(missing)):
                parts.append(part)
                missing -= len(part)
        finally:
            self.close()
        return b"".join(parts)

    def drain(self) -> None:
        """Pass over a body that nobody wants; the connection goes on to be used where it is short."""
        with suppress(InterruptedTransferError):
            self.document(_CHUNK)

    def close(self) -> None:
        """Give the connection up, where the body was not read to its end."""
        if self._is_open:
            self._raw.close()
            self._finish(whole=False)

    def _pace(self, waited: float, count: int) -> None:
        """Hold a body that trickles to its bounds; what the reader does in between does not count."""
        self._waited += waited
        self._got += count
        if self._waited >= self._patience.stall:
            if self._got < self._patience.slow_bytes * self._waited:
                self._problem = TimeoutError(f"only {self._got:,} bytes in {self._waited:.0f} seconds")
            self._waited, self._got = 0.0, 0

    def _finish(self, *, whole: bool) -> None:
        self._is_open = False
        self._done(whole)


class Client:
    """GET and its kin, from any number of threads at once; `registry` is the host on whose behalf others are asked."""

    def __init__(self, registry: str, *, patience: Patience) -> None:
        self.patience = patience
        self._registry = registry
        self._idle: deque[requests.Session] = deque()
        self._contexts: dict[str, Any] = {}
        self._has_connected = self._is_closed = False

    def ask(
        self, url: str, headers: Mapping[str, str], *, method: str = "GET", form: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer to a request, redirects followed, asked again where that may help.

        `Authorization` goes to the host of `url` only. Any status that is no redirect and does not pass by itself is
        returned. Raises `SourceError`.
        """
        for attempt in range(1, self.patience.attempts + 1):
            try:
                answer = self._followed(method, url, headers, form)
            except InterruptedTransferError as error:
                allowed = self.patience.attempts if self._has_connected else self.patience.connect_attempts
                if attempt >= allowed:
                    raise SourceError(f"{error}" + (f" (asked {attempt} times)" if attempt > 1 else "")) from error
                self.pause(attempt)
                continue
            if answer.status not in _PASSING:
                return answer
            problem = f"{origin_of(answer.url)[1]} answers with {said_by(answer)}"
            wanted = retry_after(answer.headers.get("Retry-After"))
            if wanted is not None and wanted > self.patience.longest_pause:
                raise SourceError(f"{problem}, and asks to wait {wanted:,.0f} seconds")
            if attempt == self.patience.attempts:
                raise SourceError(f"{problem} (asked {attempt} times)")
            self.pause(attempt, wanted)
        raise AssertionError  # the last attempt returns or raises

    def pause(self, attempt: int, wanted: float | None = None) -> None:
        """Wait before the next attempt: twice as long each time, and at least as long as the server wants."""
        own = self.patience.pause * 2 ** (attempt - 1)
        time.sleep(min(max(own, wanted or 0), self.patience.longest_pause))

    def close(self) -> None:
        """Close the connections that are not in use; those that are, when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _followed(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Answer:
        origin = origin_of(url)
        for _ in range(_MAX_REDIRECTS + 1):
            is_home = origin_of(url) == origin
            sent = {name: value for name, value in headers.items() if is_home or name.lower() != "authorization"}
            answer = self._sent(method, url, sent, form)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            answer.drain()
            if form is not None:
                raise SourceError(f"{origin[1]}: sends credentials on to another address, which is not followed")
            url = joined(url, answer.headers["Location"])
        raise SourceError(f"{origin[1]}: more than {_MAX_REDIRECTS} redirects, the last to {origin_of(url)[1]}")

    def _sent(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Answer:
        scheme, host = origin_of(url)
        if scheme != "https" and not (scheme == "http" and is_plain(host)):
            raise SourceError(
                f"{self._registry}: sends to {scheme}://{host}, and only https is spoken; {_plain_http_advice(host)}"
            )
        session = self._session_for(f"{scheme}://{urlsplit(url).netloc}/")

        def done(whole: bool) -> None:  # noqa: FBT001 - a callback
            if whole and not self._is_closed:
                self._idle.append(session)
            else:
                session.close()

        def send() -> Answer:
            response = session.request(
                method,
                url,
                headers={"User-Agent": "audit-lib", "Accept-Encoding": "identity", **headers},
                data=form,
                timeout=(self.patience.connect, self.patience.stall),
                allow_redirects=False,
                stream=True,
                proxies=dict(get_environ_proxies(url)),
            )
            return Answer(response, self.patience, done)

        try:
            answer = _within(self.patience.answer, send, f"{host}: no answer within {self.patience.answer:g} seconds")
        except requests.exceptions.SSLError as error:
            session.close()
            problem = _tls_problem(host, re.sub(r" \(_ssl\.c:\d+\)", "", root_cause(error)))
            if problem is None:
                raise InterruptedTransferError(f"{host}: the connection was cut in the TLS handshake") from error
            raise SourceError(problem) from error
        except (requests.RequestException, BaseHTTPError, OSError, ValueError) as error:
            session.close()
            raise InterruptedTransferError(f"{host}: {_connection_problem(error)}") from error
        self._has_connected = True
        return answer

    def _session_for(self, place: str) -> requests.Session:
        """Return a session that nobody else uses, with the certificates for this host."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = _session()
        scheme, host = origin_of(place)
        if scheme == "https" and place not in session.adapters:
            session.mount(place, _Adapter(self._context(host)))
        return session

    def _context(self, host: str) -> Any:
        if host not in self._contexts:
            self._contexts[host] = certificates.context_for(host, registry=self._registry)
        return self._contexts[host]


def said_by(answer: Answer, data: bytes | None = None) -> str:
    """Return an answer's status and what its body says of it (OCI distribution-spec, "Error Codes"), in one short line.

    `data` is the body where it was read already.
    """
    reason = http.client.responses.get(answer.status, "")
    try:
        errors = json.loads(answer.document(_CHUNK) if data is None else data)["errors"]
        said = "; ".join(str(one.get("message") or one.get("code")) for one in errors[:3])
    except (SourceError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = ""
    text = f"{answer.status} {reason}".strip() + (f": {said}" if said else "")
    # What a stranger says is shown on a terminal: nothing that one obeys.
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())[:300]


def retry_after(text: str | None) -> float | None:
    """Return how many seconds a server asks to wait, given as a number or as a date; None where it does not say.

    >>> retry_after("120"), retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), retry_after("soon")
    (120.0, 0.0, None)
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max((moment - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)


class _Adapter(HTTPAdapter):
    """Speaks TLS by one context, to a host directly or through a proxy."""

    def __init__(self, context: Any) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the context as it is: requests would add authorities of its own to it."""


def _session() -> requests.Session:
    session = requests.Session()
    # Proxies are taken from the environment one request at a time; a .netrc would overwrite what a registry asks for.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def _within(seconds: float, call: Callable[[], Answer], problem: str) -> Answer:
    """Return what `call` returns, or give it up: the look-up of a name and headers that trickle have no bound of their own."""
    box: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
    given_up = threading.Event()

    def run() -> None:
        try:
            result: Answer | BaseException = call()
        except BaseException as error:  # noqa: BLE001 - handed over to the caller, who raises it
            result = error
        if given_up.is_set() and isinstance(result, Answer):
            result.close()
        box.put(result)

    threading.Thread(target=run, name="audit-http", daemon=True).start()
    try:
        result = box.get(timeout=seconds)
    except queue.Empty:
        given_up.set()
        raise InterruptedTransferError(problem) from None
    if isinstance(result, BaseException):
        raise result
    return result


def _connection_problem(error: Exception) -> str:
    cause = root_cause(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy that the environment names does not let through: {cause}"
    return f"cannot be reached: {cause}" if isinstance(error, requests.exceptions.ConnectionError) else cause


def _tls_problem(host: str, cause: str) -> str | None:
    """Return what is wrong with a TLS connection and will stay so; None for one that was merely cut."""
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        return f"{host}: its certificate is not trusted ({cause}); {certificates.advice(host)}"
    if "ALERT" in cause.upper():
        return f"{host}: refuses the TLS connection ({cause}); does it ask for a client certificate?"
    if "EOF" in cause:
        return None
    return f"{host}: does not speak TLS ({cause}); {_plain_http_advice(host)}"


def _plain_http_advice(host: str) -> str:
    return f"where plain http is meant, name the host: --plain-http {host}, or {PLAIN_HTTP}={host}"
