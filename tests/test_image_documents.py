"""Manifests, indexes and configs from strangers: any JSON gives an image's facts or the named error."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.errors import AuditError, ImageFormatError
from audit_lib.sources import manifest
from audit_lib.sources.attached import read_beside
from tests.images import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, digest, image_config

ODD = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.just({})
)
DIFF_ID = digest(b"layer")
CONFIG = image_config([DIFF_ID])
INDEX = {
    "schemaVersion": 2,
    "mediaType": OCI_INDEX,
    "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": "?", "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
        {
            "mediaType": OCI_MANIFEST,
            "digest": digest(b"attested"),
            "size": 1,
            "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": "?"},
        },
    ],
}


def places(document: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def changed(document: Any, path: tuple, value: Any) -> Any:
    if not path:
        return value
    result = copy.deepcopy(document)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return result


def read(index: Any, config: Any, edit: Any = None) -> manifest.Facts:
    """Return the facts of an image behind an index, its digests kept true; `edit` changes the manifest."""
    blobs: dict[str, bytes] = {}

    def add(document: Any) -> str:
        data = json.dumps(document).encode()
        blobs[digest(data)] = data
        return digest(data)

    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": add(config), "size": 1},
        "layers": [{"mediaType": OCI_LAYER, "digest": digest(b"stored"), "size": 1}],
    }
    made = add(document if edit is None else edit(document))
    text = json.dumps(index).replace('"?"', json.dumps(made))

    def fetch(wanted: str, what: str) -> bytes:
        if wanted not in blobs:
            raise ImageFormatError(f"{what} is missing")
        return blobs[wanted]

    entry = {"digest": add(json.loads(text))}
    found = manifest.resolve(entry, fetch, platform="linux/amd64", what="it")
    read_beside(found, fetch)
    return manifest.facts_of(found.digest, found.document, fetch, platform="linux/amd64", what="it")


def test_the_document_that_is_changed_below_is_right():
    facts = read(INDEX, CONFIG)
    assert [layer.diff_id for layer in facts.layers] == [DIFF_ID]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(places(INDEX)), ODD)
def test_an_index_with_anything_in_it_is_read_or_refused(path: tuple, value: Any):
    try:
        read(changed(INDEX, path, value), CONFIG)
    except AuditError as error:
        assert str(error)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(places(CONFIG)), ODD)
def test_a_config_with_anything_in_it_is_read_or_refused(path: tuple, value: Any):
    try:
        read(INDEX, changed(CONFIG, path, value))
    except AuditError as error:
        assert str(error)


MANIFEST_PLACES = [
    (),
    ("schemaVersion",),
    ("mediaType",),
    ("config",),
    ("config", "mediaType"),
    ("config", "digest"),
    ("config", "size"),
    ("layers",),
    ("layers", 0),
    ("layers", 0, "mediaType"),
    ("layers", 0, "digest"),
    ("layers", 0, "size"),
    ("annotations",),
    ("artifactType",),
    ("manifests",),
]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(MANIFEST_PLACES), ODD)
def test_a_manifest_with_anything_in_it_is_read_or_refused(path: tuple, value: Any):
    try:
        read(INDEX, CONFIG, lambda document: changed(document, path, value))
    except AuditError as error:
        assert str(error)


@pytest.mark.parametrize("size", [-1, "1", True, 1.5, None])
def test_a_size_that_is_none_is_refused(size: object):
    with pytest.raises(ImageFormatError, match=r"layer 1: expected size to be a number of bytes, found"):
        read(INDEX, CONFIG, lambda document: changed(document, ("layers", 0, "size"), size))
