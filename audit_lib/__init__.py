"""What a container image really holds, and what a hardened image really gains, as pandas DataFrames.

`audit` reads an image, `compare` puts two side by side, `charts` draws their tables, `show`, `note` and `listed` display them in
a notebook, `write_tables` and `save_figures` write them, `reports.run_report` makes a report out of a notebook.
"""

from __future__ import annotations

from audit_lib.audit import Audit, audit
from audit_lib.compare import Comparison, compare
from audit_lib.errors import AuditError
from audit_lib.exports.figures import save_figures
from audit_lib.exports.show import listed, note, show
from audit_lib.exports.tables import write_tables
from audit_lib.scan import Limits

__all__ = [
    "Audit",
    "AuditError",
    "Comparison",
    "Limits",
    "audit",
    "compare",
    "listed",
    "note",
    "save_figures",
    "show",
    "write_tables",
]
