"""What would not work, and how severe that is: rows of `MigrationRisk` in the making."""

from __future__ import annotations

from typing import NamedTuple

from audit_lib.tables import Risk, RiskSeverity


class Fault(NamedTuple):
    """Why something would not work: `place` is a path or an instruction, `needs` what is not there."""

    risk: Risk
    place: str
    needs: str
    why: str
    what_to_do: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells one fault from another, before the move as after it."""
        return (self.place, self.risk, self.needs)


class Rated(NamedTuple):
    """A fault and how severe it is."""

    severity: RiskSeverity
    fault: Fault
