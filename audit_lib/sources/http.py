"""HTTP as a client of registries needs it: bounded in time, tried again, redirected without anybody's credentials.

Sources: RFC 9110 (redirects, Retry-After, ranges), RFC 6585 (429).
"""

from __future__ import annotations

import datetime as dt
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import BaseHTTPError  # type: ignore[attr-defined] # urllib3's own, which the stubs do not pass on
from requests.utils import get_environ_proxies

from audit_lib.errors import SourceError
from audit_lib.sources import certificates
from audit_lib.sources.answers import Answer, InterruptedTransferError, Patience, said_by
from audit_lib.sources.base import root_cause
from audit_lib.sources.urls import PLAIN_HTTP, is_plain, joined, origin_of

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
# What passes by itself: too slow a request, too many, a server or one behind it that is not well (RFC 9110, 15.5.9, 15.6).
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


PATIENCE = Patience()
# For a name that may not be meant for a registry at all, on a machine that may have no network.
LITTLE_PATIENCE = Patience(attempts=2, connect_attempts=1, connect=4, answer=8, longest_pause=5)


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
