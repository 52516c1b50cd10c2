"""statement.intoto.json: what a report folder holds as an in-toto Statement, which cosign or any other DSSE signer can sign.

Source: in-toto Attestation Framework, "Statement layer" v1. Subjects are the report's files. The predicate is `manifest.json`
without its list of files: each of its keys means what it means there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

STATEMENT = "statement.intoto.json"
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:audit-lib:predicate:report:v1"


def statement_json(manifest: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """Return the Statement of a report: `manifest` as it was written, `digests` the SHA-256 of each file by its path."""
    statement = {
        "_type": TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate_of(manifest),
    }
    return json.dumps(statement, indent=2, ensure_ascii=False) + "\n"


def predicate_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the Statement says of a report: its manifest, but the list of files, which are the subjects."""
    return {name: value for name, value in manifest.items() if name != "files"}
