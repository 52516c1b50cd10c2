"""How audits and comparisons show themselves in a notebook, and what a comparison comes to in words."""

import re

import pandas as pd

from audit_lib import audit, compare
from audit_lib.compare.verdict import verdict_of
from audit_lib.exports.glance import Glimpse, at_a_glance


def findings(*statuses):
    rows = [{"status_full": full, "status_minimal": minimal} for full, minimal in statuses]
    return pd.DataFrame(rows, columns=["status_full", "status_minimal"], dtype="string")


def vulnerabilities(*rows):
    return pd.DataFrame(rows, columns=["vulnerability_id", "status_full", "status_minimal"], dtype="string")


def risks(*severities):
    return pd.DataFrame({"severity": pd.array(severities, dtype="string")})


def test_a_verdict_counts_what_fails_what_breaks_and_what_is_not_known():
    checks = findings(("fail", "pass"), ("fail", "fail"), ("manual", "not_assessable"), ("pass", None))
    said = verdict_of(
        ["It is smaller."],
        findings=checks,
        vulnerabilities=vulnerabilities(
            ("CVE-1", "affected", "not_affected"),
            ("CVE-1", "affected", None),
            ("CVE-2", "under_investigation", "affected"),
            ("CVE-3", "fixed", None),
        ),
        risks=risks("low", "high", "low"),
        gaps=("a gap", "another"),
    )
    assert said == (
        "It is smaller. Of 4 checks of the policy, 2 fail on the full image and 1 on the minimal one; 1 and 1 are not decided. "
        "2 vulnerabilities of the full image and 1 of the minimal one are known and not ruled out. "
        "The files show 3 things that the move would break or change: 1 high, 2 low. 2 gaps in what is known stand in the report."
    )


def test_a_verdict_tells_nothing_found_from_nothing_known():
    known = verdict_of([], findings=findings(), vulnerabilities=vulnerabilities(), risks=risks(), gaps=())
    assert known == (
        "0 vulnerabilities of the full image and 0 of the minimal one are known and not ruled out. "
        "The files show nothing that the move would break."
    )
    assert verdict_of([], findings=findings(), vulnerabilities=None, risks=None, gaps=("a gap",)) == (
        "How many vulnerabilities they have is unknown. What the move would break is unknown. "
        "1 gap in what is known stands in the report."
    )


def test_a_verdict_says_of_how_many_packages_no_advisories_tell():
    said = verdict_of(
        [], findings=findings(), vulnerabilities=vulnerabilities(), untold=(653, 1), risks=risks(), gaps=()
    )
    assert said.startswith(
        "0 vulnerabilities of the full image and 0 of the minimal one are known and not ruled out. "
        "Of 653 packages of the full image and 1 of the minimal one no advisories tell. "
    )


def test_a_glance_shows_each_table_folded_with_its_rows_counted():
    table = pd.DataFrame({"name": list("abcdefg")})
    shown = at_a_glance(
        "<i>",
        "Seven & more.",
        ("a <b> gap",),
        [
            Glimpse(name="names", says="One row a name.", table=table, chart="charts.names(names)"),
            Glimpse(name="later", says="", table=None),
            Glimpse(name="dark", says="", table=table.head(0), is_known=False),
            Glimpse(name="whole", says="", table=table, is_open=True),
        ],
    )
    assert "<h3>&lt;i&gt;</h3>\n<p>Seven &amp; more.</p>\n" in shown
    assert "<summary>Not known: 1</summary><ul>\n<li>a &lt;b&gt; gap</li>" in shown
    assert re.findall(r"<summary><code>\.(\w+)</code> (.*?)</summary>", shown) == [
        ("names", "7 rows"),
        ("later", "made when it is asked for"),
        ("dark", "unknown"),
        ("whole", "7 rows"),
    ]
    assert shown.count("… 2 more rows") == 1
    assert "As a chart: <code>charts.names(names)</code>" in shown
    assert shown.count("<script>") == 1


def test_an_audit_and_a_comparison_show_themselves_without_making_what_nobody_asked_for():
    both = compare(audit("sample:full"), audit("sample:minimal"))
    shown = both._repr_html_()
    assert "sample:minimal holds 42 packages instead of 143" in shown
    assert "<code>.file_changes</code> made when it is asked for" in shown
    assert "file_changes" not in vars(both)
    assert re.search(r"<details open><summary><code>\.summary</code> 3\d rows", shown)
    shown = both.full._repr_html_()
    assert "<h3>sample:full</h3>" in shown
    assert "<code>.packages</code> 143 rows" in shown
    assert "<code>.binaries</code> unknown" in shown
    assert "One row an installed package, as one database states it." in shown


def test_the_verdict_of_the_samples_holds_every_figure():
    both = compare(audit("sample:full"), audit("sample:minimal"))
    assert both.verdict.startswith("sample:minimal holds 42 packages instead of 143 (70.6 % less).")
    assert re.search(r"Of \d+ checks of the policy, 5 fail on the full image and 1 on the minimal one", both.verdict)
    assert "that the move would break or change: 1 high, 2 medium, 1 low, 1 info." in both.verdict
