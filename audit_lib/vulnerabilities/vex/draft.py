"""An OpenVEX document to begin with: a statement for each vulnerability that is left, for a person to decide."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pandas as pd

from audit_lib.vulnerabilities.vex.openvex import CONTEXT

_LEFT = ("affected", "under_investigation")


def draft_openvex(vulnerabilities: pd.DataFrame, *, author: str, now_utc: str) -> str:
    """Return an OpenVEX 0.2.0 document (JSON) with a statement a vulnerability that is not yet `fixed` or `not_affected`.

    `vulnerabilities`: schema `Vulnerability`. Products are the packages by their whole package URLs; each statement is
    `under_investigation`, with what is known in `status_notes`. Rows without a package URL have no statement, since none could be
    matched. The same table, author and time give the same bytes.
    """
    left = vulnerabilities[vulnerabilities["status"].isin(_LEFT) & vulnerabilities["purl"].notna()]
    statements = [_statement(str(identity), rows) for identity, rows in left.groupby("vulnerability_id", sort=True)]
    document: dict[str, Any] = {
        "@context": f"{CONTEXT}/v0.2.0",
        "@id": "",
        "author": author,
        "timestamp": now_utc,
        "version": 1,
        "tooling": "audit-lib",
        "statements": statements,
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return json.dumps({**document, "@id": f"urn:sha256:{digest}"}, indent=2, ensure_ascii=False) + "\n"


def _statement(identity: str, rows: pd.DataFrame) -> dict[str, Any]:
    aliases = sorted({one for text in rows["aliases"].dropna() for one in text.split(", ")} - {identity})
    return {
        "vulnerability": {"name": identity, **({"aliases": aliases} if aliases else {})},
        "products": [{"@id": purl} for purl in sorted(set(rows["purl"]))],
        "status": "under_investigation",
        "status_notes": _notes(rows),
    }


def _notes(rows: pd.DataFrame) -> str:
    severities, fixed = sorted(set(rows["severity"])), sorted(set(rows["fixed_version"].dropna()))
    found_by = sorted(set(rows["found_by"]))
    fix = f"fixed in {', '.join(fixed)}" if fixed else "no fix is stated"
    return f"{' or '.join(severities)}; {fix}; found by {', '.join(found_by)}. To decide: affected, not_affected (why) or fixed."
