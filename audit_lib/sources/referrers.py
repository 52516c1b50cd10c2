"""What a registry knows to be attached to an image: by its referrers API, by the tags that stand in for it, by cosign's tags.

Sources: OCI distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema"; cosign's SIGNATURE_SPEC.md.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from audit_lib.errors import UnknownImageError
from audit_lib.sources import manifest
from audit_lib.sources.attached import FoundBy, Listed, listed_beside, ordered, read_attached, unopened
from audit_lib.sources.base import Referrer
from audit_lib.sources.repository import Repository

# More than these are listed, and not opened.
_MAX_OPENED = 200
_AT_ONCE = 4
_COSIGN = (".sig", ".att", ".sbom")


def find_referrers(repository: Repository, found: manifest.Resolved) -> tuple[Referrer, ...]:
    """Return what is listed for an image's manifest and for the indexes that led to it.

    Raises `SourceError` or `ImageFormatError` where a listing cannot be read: then it is not known what there is. An attached
    manifest that cannot be read is a row that says so.
    """
    subjects = [found.digest, *(digest for digest, _ in found.indexes if digest)]
    with ThreadPoolExecutor(_AT_ONCE, "audit-referrers") as pool:
        listings = [pool.submit(_referring, repository, subject) for subject in subjects]
        listings += [pool.submit(_by_cosign, repository, subject, end) for subject in subjects for end in _COSIGN]
        listed = [*listed_beside(found)]
        for one in listings:
            listed += one.result()
        unique = {(one.entry["digest"], one.subject): one for one in reversed(listed)}
        rows = pool.map(lambda item: _rows(repository, *item), enumerate(reversed(unique.values())))
        return ordered(row for several in rows for row in several)


def _rows(repository: Repository, number: int, listed: Listed) -> list[Referrer]:
    if number >= _MAX_OPENED:
        return [unopened(listed, f"not opened: more than {_MAX_OPENED} are attached")]
    return read_attached(listed, lambda digest, _: repository.manifest(digest).data)


def _referring(repository: Repository, subject: str) -> list[Listed]:
    """Return what the referrers API lists, else what the tag that stands in for it does."""
    found_by: FoundBy = "referrers_api"
    entries = repository.referrers(subject)
    if entries is None:
        found_by = "referrers_tag"
        try:
            data = repository.manifest(subject.replace(":", "-")).data
        except UnknownImageError:
            return []
        what = f"{repository.name.host}: the referrers of {subject}"
        entries = manifest.entries(manifest.parse_document(data, what), what)
    return [Listed(entry, subject, found_by) for entry in entries]


def _by_cosign(repository: Repository, subject: str, end: str) -> list[Listed]:
    tag = subject.replace(":", "-") + end
    if not repository.has_manifest(tag):
        return []
    document = repository.manifest(tag)
    return [Listed({"digest": document.digest, "mediaType": document.media_type}, subject, "cosign_tag")]
