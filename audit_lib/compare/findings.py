"""Findings of both images: what a check says of the one and of the other."""

from __future__ import annotations

import pandas as pd

from audit_lib.compare.merging import made
from audit_lib.compare.sides import Audited
from audit_lib.tables import FindingChange

_BOTH = ["status", "evidence", "severity", "title"]


def compare_findings(full: Audited, minimal: Audited) -> pd.DataFrame:
    """Return one row a check that is made of either image (schema `FindingChange`): `kept` where both say the same.

    Severity and title are the minimal image's, where its policy has the check.
    """
    sides = [side.findings[["check_id", *_BOTH]] for side in (full, minimal)]
    both = sides[0].merge(
        sides[1], on="check_id", how="outer", suffixes=("_full", "_minimal"), validate="one_to_one", indicator="change"
    )
    change = both["change"].map({"left_only": "removed", "right_only": "added", "both": "kept"}).astype("string")
    is_other = (both["status_full"] != both["status_minimal"]).fillna(value=False)
    facts = {name: both[f"{name}_minimal"].fillna(both[f"{name}_full"]) for name in ("severity", "title")}
    return made(FindingChange, both.assign(change=change.mask(is_other & (change == "kept"), "changed"), **facts))
