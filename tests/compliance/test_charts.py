"""Charts of findings, by what was drawn: how long each part of a bar is, and how what is not known looks."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from audit_lib import audit, charts
from audit_lib.compliance import framework_counts
from audit_lib.tables import FrameworkCount, make_table

PASS, FAIL, UNKNOWN = "#b9c4ce", "#9c2f10", "////"


@pytest.fixture(autouse=True)
def _leave_matplotlib_as_it_was():
    with mpl.rc_context():
        yield
    plt.close("all")


def counts(**frameworks):
    """Return framework counts from framework=(pass, fail, waived, manual, not_assessable)."""
    statuses = ("pass", "fail", "waived", "manual", "not_assessable")
    return make_table(
        FrameworkCount,
        [
            FrameworkCount(framework=name, status=status, control_count=count)
            for name, numbers in frameworks.items()
            for status, count in zip(statuses, numbers, strict=True)
        ],
    )


def drawn(ax):
    """Return (line, start, length, hatch) of each part that was drawn."""
    return [
        (round(box.get_y() + box.get_height() / 2), box.get_x(), box.get_width(), box.get_hatch()) for box in ax.patches
    ]


def test_a_framework_is_a_bar_whose_parts_are_its_controls_by_status():
    ax = charts.controls_by_status(counts(A=(3, 4, 0, 0, 1), B=(2, 0, 0, 0, 0)))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A", "B"]
    assert drawn(ax) == [(0, 0, 3, ""), (0, 3, 4, "\\\\"), (0, 7, 1, UNKNOWN), (1, 0, 2, "")]
    assert [text.get_text() for text in ax.texts] == ["3", "4", "1", "8", "2", "2"]


def test_what_is_not_known_is_white_and_hatched_and_never_looks_like_a_pass():
    ax = charts.controls_by_status(counts(A=(1, 1, 1, 1, 1)))
    colours = [mpl.colors.to_hex(box.get_facecolor()) for box in ax.patches]
    assert colours == [PASS, FAIL, "#5f6b76", "#ffffff", "#ffffff"]
    assert [box.get_hatch() for box in ax.patches] == ["", "\\\\", "", "...", UNKNOWN]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["pass", "fail", "waived", "for a person", "not assessable"]


def test_checks_stand_by_their_severity_the_gravest_first():
    ax = charts.checks_by_status(audit("sample:full").findings)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["critical", "high", "medium", "low"]
    assert [part[:3] for part in drawn(ax)] == [
        *(
            (0, 0, 2),
            (0, 2, 1),
            (1, 0, 4),
            (1, 4, 1),
            (1, 5, 3),
            (1, 8, 1),
            (2, 0, 6),
            (2, 6, 2),
            (2, 8, 2),
            (2, 10, 5),
        ),
        *((3, 0, 3), (3, 3, 2), (3, 5, 1)),
    ]


def test_the_chart_of_a_real_image_adds_up_to_its_controls():
    table = framework_counts(audit("sample:minimal").findings)
    ax = charts.controls_by_status(table)
    assert sum(box.get_width() for box in ax.patches) == table["control_count"].sum()


def test_title_and_legend_stand_apart():
    ax = charts.checks_by_status(audit("sample:full").findings)
    ax.figure.draw_without_rendering()
    renderer = ax.figure.canvas.get_renderer()
    title = ax._left_title.get_window_extent(renderer)
    assert title.x1 < ax.get_legend().get_window_extent(renderer).x0


def test_no_rows_are_said_to_be_none():
    ax = charts.controls_by_status(counts())
    assert drawn(ax) == []
