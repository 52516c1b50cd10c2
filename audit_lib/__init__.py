"""What a container image really holds, and what a hardened image really gains, as pandas DataFrames.

`audit` reads an image, `audit_many` a fleet of them, `compare` puts two side by side, `compare_drift` tells where several part,
`charts` draws their tables, `show`, `note` and `listed` display them in a notebook, `write_tables` and `save_figures` write them,
`write_audits` hands images over to what makes SBOMs and documents of findings of them,
`cyclonedx_json` and `spdx_text` make an SBOM of an image, `reports.run_report` makes a report of a notebook, `read_history` reads
what a schedule's runs found, and `trends` makes tables of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from audit_lib import compliance, sizes, vulnerabilities
from audit_lib.audit import Audit, audit, audit_if_named
from audit_lib.compare import Comparison, compare
from audit_lib.errors import AuditError
from audit_lib.exports.audits import write_audits
from audit_lib.exports.show import listed, note, show, show_facts
from audit_lib.exports.tables import write_tables
from audit_lib.layer import Limits
from audit_lib.severity import worst_first
from audit_lib.tags import tags

if TYPE_CHECKING:
    from audit_lib import charts, overview, reports, trends
    from audit_lib.compare.drift import compare_drift
    from audit_lib.exports.cyclonedx import cyclonedx_json
    from audit_lib.exports.figures import save_figures
    from audit_lib.exports.spdx import spdx_text
    from audit_lib.fleet import Fleet, audit_many, open_fleet, read_fleet
    from audit_lib.history import History, read_history

__all__ = [
    "Audit",
    "AuditError",
    "Comparison",
    "Fleet",
    "History",
    "Limits",
    "audit",
    "audit_if_named",
    "audit_many",
    "charts",
    "compare",
    "compare_drift",
    "compliance",
    "cyclonedx_json",
    "listed",
    "note",
    "open_fleet",
    "overview",
    "read_fleet",
    "read_history",
    "reports",
    "save_figures",
    "show",
    "show_facts",
    "sizes",
    "spdx_text",
    "tags",
    "trends",
    "vulnerabilities",
    "worst_first",
    "write_audits",
    "write_tables",
]
_LATER = {
    "compare_drift": "compare.drift",
    "save_figures": "exports.figures",
    "cyclonedx_json": "exports.cyclonedx",
    "spdx_text": "exports.spdx",
    "Fleet": "fleet",
    "audit_many": "fleet",
    "open_fleet": "fleet",
    "read_fleet": "fleet",
    "History": "history",
    "read_history": "history",
}


def __getattr__(name: str) -> Any:
    """Import what draws, runs notebooks, writes SBOMs or reads many images when it is asked for: that takes long to load."""
    if name in {"charts", "overview", "reports", "trends"}:
        return importlib.import_module(f"audit_lib.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(f"audit_lib.{_LATER[name]}"), name)
    raise AttributeError(f"module 'audit_lib' has no attribute {name!r}")
