"""What a container image really holds, and what a hardened image really gains, as pandas DataFrames.

`audit` reads an image, `compare` puts two side by side, `charts` draws their tables, `show`, `note` and `listed`
display them in a notebook, `write_tables` and `save_figures` write them, `cyclonedx_json` and `spdx_text` make an SBOM of an
image, `reports.run_report` makes a report of a notebook.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from audit_lib import sizes
from audit_lib.audit import Audit, audit
from audit_lib.compare import Comparison, compare
from audit_lib.errors import AuditError
from audit_lib.exports.show import listed, note, show, show_facts
from audit_lib.exports.tables import write_tables
from audit_lib.scan import Limits
from audit_lib.tags import tags

if TYPE_CHECKING:
    from audit_lib import charts, reports
    from audit_lib.exports.cyclonedx import cyclonedx_json
    from audit_lib.exports.figures import save_figures
    from audit_lib.exports.spdx import spdx_text

__all__ = [
    "Audit",
    "AuditError",
    "Comparison",
    "Limits",
    "audit",
    "charts",
    "compare",
    "cyclonedx_json",
    "listed",
    "note",
    "reports",
    "save_figures",
    "show",
    "show_facts",
    "sizes",
    "spdx_text",
    "tags",
    "write_tables",
]
_WRITERS = {"save_figures": "figures", "cyclonedx_json": "cyclonedx", "spdx_text": "spdx"}


def __getattr__(name: str) -> Any:
    """Import what draws, what runs notebooks and what writes SBOMs when it is asked for: their libraries take long to load."""
    if name in {"charts", "reports"}:
        return importlib.import_module(f"audit_lib.{name}")
    if name in _WRITERS:
        return getattr(importlib.import_module(f"audit_lib.exports.{_WRITERS[name]}"), name)
    raise AttributeError(f"module 'audit_lib' has no attribute {name!r}")
