"""The OCI distribution API of one repository: manifests, blobs, tags, referrers.

Source: OCI distribution-spec 1.1, "Pull", "Content Discovery".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from audit_lib.errors import DigestError, ImageFormatError, SourceError, UnknownImageError
from audit_lib.sources import manifest
from audit_lib.sources.answers import Answer, InterruptedTransferError, said_by
from audit_lib.sources.base import MAX_DOCUMENT_BYTES
from audit_lib.sources.http import Client
from audit_lib.sources.login import Login
from audit_lib.sources.names import Name, is_tag
from audit_lib.sources.transfer import Transfer
from audit_lib.sources.urls import is_plain, joined, origin_of

_ACCEPT = ", ".join([*sorted(manifest.INDEX_TYPES | manifest.MANIFEST_TYPES), "*/*"])
_INDEX = "application/vnd.oci.image.index.v1+json"
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _SERVER_ERROR = 200, 401, 403, 404, 500
# A token may run out twice in a row where several threads renew it.
_LOGINS = 3
_MAX_PAGES = 10_000
_PAGE = 1000
_NEXT = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?")


class Document(NamedTuple):
    """A manifest or an index as the registry sent it, with the digest of these very bytes."""

    data: bytes
    digest: str
    media_type: str | None


class Repository:
    """One repository of a registry; all of it may be used by several threads at once."""

    def __init__(self, name: Name, client: Client) -> None:
        self.name, self.client = name, client
        self._login = Login(name, client)
        self._lock = threading.Lock()
        self._has_introduced = False
        scheme = "http" if is_plain(name.api_host) else "https"
        self._base = f"{scheme}://{name.api_host}/v2/{name.repository}"

    def manifest(self, reference: str) -> Document:
        """Return what a tag or a digest names. Raises `UnknownImageError` where there is nothing of that name."""
        answer, data = self._document(f"{self._base}/manifests/{reference}", {"Accept": _ACCEPT})
        if answer.status == _NOT_FOUND:
            raise UnknownImageError(
                f"{self.name.host} has no {self.name.repository} {reference}: {said_by(answer, data)}"
            )
        self._expect_ok(answer, data, f"{self.name.repository} {reference}")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        found = manifest.digest_of(data)
        stated = answer.headers.get("Docker-Content-Digest", found)
        # The digest of a signed manifest of schema 1, which is refused later, leaves its signatures out.
        if stated.startswith("sha256:") and stated != found and not kind.endswith("prettyjws"):
            raise DigestError(f"{self.name}: manifest", expected=stated, found=found)
        # Some registries call every document text/plain, which says nothing of it.
        return Document(data, found, kind if "/vnd." in kind else None)

    def has_manifest(self, tag: str) -> bool:
        """Tell whether a tag is there; asked by HEAD, which registries do not count as a pull."""
        answer = self._ask(f"{self._base}/manifests/{tag}", {"Accept": _ACCEPT}, method="HEAD")
        answer.drain()
        if answer.status not in {_OK, _NOT_FOUND}:
            raise SourceError(f"{self.name.host}: {self.name.repository} {tag}: {said_by(answer)}")
        return answer.status == _OK

    def config(self, digest: str) -> bytes:
        """Return a small blob whole; the caller checks its digest."""
        answer, data = self._document(f"{self._base}/blobs/{digest}", {})
        self._expect_ok(answer, data, f"config {digest}")
        return data

    def blob(self, digest: str, size: int | None) -> Transfer:
        """Return a blob as a stream, which is asked for when it is first read."""

        def ask(offset: int) -> Answer:
            return self._ask(f"{self._base}/blobs/{digest}", {"Range": f"bytes={offset}-"} if offset else {})

        return Transfer(self.client, ask, size=size, what=f"{self.name.host}/{self.name.repository}: layer {digest}")

    def tags(self) -> Iterator[str]:
        """Yield the tags, as many pages as there are. Raises `UnknownImageError` where there is no such repository."""
        what = f"the tags of {self.name.repository}"
        for answer, data in self._pages(f"{self._base}/tags/list?n={_PAGE}", {}, what):
            if answer.status == _NOT_FOUND:
                raise UnknownImageError(f"{self.name.host} has no {self.name.repository}: {said_by(answer, data)}")
            self._expect_ok(answer, data, what)
            document = manifest.parse_document(data, f"{self.name.host}: {what}")
            tags = document.get("tags", "(nothing)")
            if tags is None:  # a repository whose last tag was deleted
                continue
            if not isinstance(tags, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in tags):
                raise ImageFormatError(f"{self.name.host}: {what}: expected a list of tags, found {str(tags)[:90]!r}")
            yield from tags

    def referrers(self, digest: str) -> list[Mapping[str, Any]] | None:
        """Return the descriptors of what refers to a manifest; None where the registry has no referrers API."""
        found: list[Mapping[str, Any]] = []
        what = f"the referrers of {digest}"
        for answer, data in self._pages(f"{self._base}/referrers/{digest}", {"Accept": _INDEX}, what):
            is_index = answer.headers.get("Content-Type", "").startswith(_INDEX)
            if (
                answer.status != _FORBIDDEN
                and (answer.status < _SERVER_ERROR)
                and not (answer.status == _OK and is_index)
            ):
                return None
            self._expect_ok(answer, data, what)
            found += manifest.entries(manifest.parse_document(data, f"{self.name.host}: {what}"), what)
        return found

    def _pages(self, url: str, headers: Mapping[str, str], what: str) -> Iterator[tuple[Answer, bytes]]:
        """Yield the answers of a listing, on by its `Link` headers, which may lead nowhere but to the registry itself."""
        seen: set[str] = set()
        while url not in seen and len(seen) < _MAX_PAGES:
            seen.add(url)
            answer, data = self._document(url, headers)
            yield answer, data
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return
            url = joined(url, following[1])
            if origin_of(url) != origin_of(self._base):
                raise SourceError(f"{self.name.host}: {what} go on at {origin_of(url)[1]}, which is another host")
        raise SourceError(f"{self.name.host}: {what} have no end; given up after {len(seen):,} pages")

    def _document(self, url: str, headers: Mapping[str, str]) -> tuple[Answer, bytes]:
        """Return an answer and its body whole; asked again where it was cut."""
        for attempt in range(1, self.client.patience.attempts + 1):
            answer = self._ask(url, headers)
            try:
                return answer, answer.document(MAX_DOCUMENT_BYTES)
            except InterruptedTransferError as error:
                if attempt == self.client.patience.attempts:
                    raise SourceError(f"{error} (asked {attempt} times)") from error
                self.client.pause(attempt)
        raise AssertionError  # the last attempt returns or raises

    def _ask(self, url: str, headers: Mapping[str, str], *, method: str = "GET") -> Answer:
        for _ in range(_LOGINS):
            sent = self._login.header()
            answer = self.client.ask(url, {**headers, "Authorization": sent} if sent else headers, method=method)
            if sent is None and answer.status in {_FORBIDDEN, _NOT_FOUND} and self._is_for_the_known():
                answer.drain()
                continue
            if answer.status != _UNAUTHORIZED:
                # Who is shown something once need not say who they are.
                self._has_introduced = self._has_introduced or answer.status == _OK
                return answer
            answer.drain()
            if origin_of(answer.url) != origin_of(url):
                raise SourceError(
                    f"{self.name.host}: sent on to {origin_of(answer.url)[1]}, which refuses with {said_by(answer)}"
                )
            self._login.meet(answer.headers.get("WWW-Authenticate"), sent)
        raise SourceError(
            f"{self.name.host}: {self._login.refusal()}: no access to {self.name.repository}, or there is none"
        )

    def _is_for_the_known(self) -> bool:
        """Tell whether a registry that hides from strangers what it has (403, 404) asks who they are, and log in there; once.

        Docker begins with that question (distribution-spec, "Determining Support").
        """
        with self._lock:
            if self._has_introduced:
                return self._login.header() is not None
            self._has_introduced = True
            url = self._base.removesuffix(self.name.repository)
            answer = self.client.ask(url, {})
            answer.drain()
            if answer.status != _UNAUTHORIZED or origin_of(answer.url) != origin_of(url):
                return False
            try:
                self._login.meet(answer.headers.get("WWW-Authenticate"), None)
            except SourceError:
                return False  # nobody to log in as: what was answered stands
            return True

    def _expect_ok(self, answer: Answer, data: bytes, what: str) -> None:
        if answer.status != _OK:
            who = f"; it {self._login.refusal()}" if answer.status == _FORBIDDEN else ""
            raise SourceError(f"{self.name.host}: {what}: {said_by(answer, data)}{who}")
