"""Tables as pictures: one function a chart, which draws a table's rows and returns the Axes.

Without `ax` a chart makes a pyplot figure of a report's width (7 inches): Jupyter shows it at the end of the cell
and closes it, elsewhere the caller does. With `ax` it draws there and makes no figure. Nothing is saved.

Full and minimal have one colour each, dark and light, so that they differ in grey and for every eye, and the full
image always comes first. Sizes are MiB from zero. What is unknown is a hatched box of no particular length that
says "unknown", never a bar of zero.
"""

from __future__ import annotations

from audit_lib.charts.bars import (
    largest_packages,
    layers_stacked,
    packages_and_bytes,
    size_bars,
    size_by_category,
    surface_by_category,
    waterfall,
)
from audit_lib.charts.drawing import ROLE_COLOURS
from audit_lib.charts.fleet import images_and_measures, pareto, shared_and_own
from audit_lib.charts.statuses import checks_by_status, controls_by_status
from audit_lib.charts.treemap import folder_treemap
from audit_lib.charts.trends import measures_over_time, open_spells
from audit_lib.charts.vulnerabilities import (
    bytes_and_vulnerabilities,
    packages_by_vulnerabilities,
    vulnerabilities_by_severity,
)

__all__ = [
    "ROLE_COLOURS",
    "bytes_and_vulnerabilities",
    "checks_by_status",
    "controls_by_status",
    "folder_treemap",
    "images_and_measures",
    "largest_packages",
    "layers_stacked",
    "measures_over_time",
    "open_spells",
    "packages_and_bytes",
    "packages_by_vulnerabilities",
    "pareto",
    "shared_and_own",
    "size_bars",
    "size_by_category",
    "surface_by_category",
    "vulnerabilities_by_severity",
    "waterfall",
]
