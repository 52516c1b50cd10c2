"""A plan of action and milestones as a table: one row a check that fails or is waived, with the columns that plans ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit_lib.exports.assessment import TOOL, Assessment, locations
from audit_lib.tables import PoamItem, make_table


def poam_items(made: Assessment) -> pd.DataFrame:
    """Return what is open of an image (schema `PoamItem`), none where no check fails or is waived."""
    rows = made.with_status("fail", "waived")
    return make_table(PoamItem, [_item(number, row, made) for number, row in enumerate(rows, 1)])


def _item(number: int, row: Mapping[str, Any], made: Assessment) -> PoamItem:
    said = "; ".join(filter(None, (row["evidence"], row["reason"])))
    paths = locations(row)
    is_waived = row["status"] == "waived"
    return PoamItem(
        poam_id=f"{number:03}",
        controls=row["controls"],
        weakness_name=f"Check not passed: {row['title']}",
        weakness_description=said,
        detector_source=TOOL,
        source_identifier=row["check_id"],
        asset_identifier=" ".join(filter(None, (made.image, made.facts.get("manifest_digest")))),
        locations="; ".join(paths) or None,
        point_of_contact=row["waiver_owner"],
        remediation_plan=row["remedy"],
        scheduled_completion_utc=row["waiver_until_utc"],
        status_utc=made.today_utc,
        original_risk_rating=row["severity"],
        status="risk accepted" if is_waived else "open",
        deviation_rationale=row["waiver_reason"],
    )
