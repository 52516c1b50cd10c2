"""What every export of findings says, whatever its notation: rows, image, policy, time, and identifiers made of these."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from audit_lib.clock import now_utc
from audit_lib.exports import provenance

TOOL = provenance.DISTRIBUTION
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:audit-lib:assessment")
# OSCAL, SARIF and POA&Ms speak of an image by its digest; its name is for people.
_FACTS = ("reference", "source", "manifest_digest", "config_digest", "os", "architecture", "created_utc")


class StatedPolicy(Protocol):
    """What an export says of a policy."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def path(self) -> str:
        """Where it was read."""

    @property
    def digest(self) -> str:
        """SHA-256 of its file."""


class Assessed(Protocol):
    """An image that was judged."""

    @property
    def image(self) -> pd.DataFrame:
        """One row, schema `Image`."""

    @property
    def findings(self) -> pd.DataFrame:
        """Schema `Finding`."""

    @property
    def policy(self) -> StatedPolicy:
        """What the findings were judged by."""

    @property
    def today_utc(self) -> str:
        """The day by which ages and waivers were judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """An image's findings as plain values: rows in their order, a missing value is None.

    `facts`: what identifies the image. `policy`: name, path, digest. `made_utc`: the time of the export, SOURCE_DATE_EPOCH if set.
    """

    image: str
    facts: Mapping[str, str]
    rows: tuple[Mapping[str, Any], ...]
    policy: Mapping[str, str]
    today_utc: str
    made_utc: str

    def with_status(self, *statuses: str) -> list[Mapping[str, Any]]:
        """Return the rows that have one of the statuses."""
        return [row for row in self.rows if row["status"] in statuses]

    def identifier(self, *parts: str) -> str:
        """Return a UUID made of the image, the policy, the time and `parts`: the same in each run that says the same."""
        said = [
            self.image,
            sorted(self.facts.items()),
            sorted(self.policy.items()),
            self.made_utc,
            self.today_utc,
            *parts,
        ]
        return str(uuid.uuid5(_NAMESPACE, json.dumps(said)))

    @property
    def counts(self) -> dict[str, int]:
        """How many checks have each status."""
        return {
            status: len(self.with_status(status)) for status in ("pass", "fail", "waived", "manual", "not_assessable")
        }


def assessment_of(found: Assessed, findings: pd.DataFrame | None = None) -> Assessment:
    """Return what is to be exported of an image; `findings` are its own, or some of them."""
    shown = found.findings if findings is None else findings
    row = found.image.iloc[0]
    policy = found.policy
    return Assessment(
        image=str(row["image"]),
        facts={name: str(row[name]) for name in _FACTS if not pd.isna(row[name])},
        rows=tuple(_plain(one) for one in shown.to_dict("records")),
        policy={"name": policy.name, "path": policy.path, "digest": policy.digest},
        today_utc=found.today_utc,
        made_utc=now_utc(),
    )


def locations(row: Mapping[str, Any]) -> list[str]:
    """Return the paths that a finding means."""
    paths: list[str] = json.loads(row["locations"] or "[]")
    return paths


def controls(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (framework, control) of a finding's controls.

    >>> controls({"controls": "CIS Docker 4.1; EU CRA I (2)(b)"})
    [('CIS Docker', '4.1'), ('EU CRA', 'I (2)(b)')]
    """
    named = (row["controls"] or "").split("; ") if row["controls"] else []
    return [next((one, name[len(one) + 1 :]) for one in FRAMEWORKS if name.startswith(f"{one} ")) for name in named]


def waiver_text(row: Mapping[str, Any]) -> str:
    """Return a finding's waiver in a sentence: who, why, until when."""
    return f"waived by {row['waiver_owner']} until {row['waiver_until_utc']}: {row['waiver_reason']}"


def _plain(record: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): None if pd.isna(value) else value for name, value in record.items()}


# As `controls.yml` names them; a test compares the two.
FRAMEWORKS = ("CIS Docker", "EU CRA", "FedRAMP", "NIST 800-190", "NIST 800-53", "PCI DSS")
