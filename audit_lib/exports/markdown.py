"""Markdown: findings as they fit into a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audit_lib.exports.assessment import Assessment

_SEVERITIES = ("critical", "high", "medium", "low")
# A comment holds 65,536 characters on the hosts that people use; every check says this much at most.
_MAX_TEXT = 400
_MARKED = re.compile(r"([\\`*_\[\]<>#|$~&!])")


def markdown_summary(made: Assessment) -> str:
    """Return findings as Markdown (GitHub's): the verdict, what fails with its evidence, waivers, what was not decided.

    Text that came out of an image is escaped: it is shown as it is, starts no link and calls nobody by name.
    """
    return "\n".join(_lines(made)) + "\n"


def _lines(made: Assessment) -> Iterator[str]:
    failed, gated = made.with_status("fail"), [row for row in made.rows if row["is_gate_failed"]]
    yield f"### {'❌' if gated else '✅'} {_text(made.image)}"
    yield ""
    verdict = f"**{len(gated)} of {len(made.rows)} checks fail the gate**" if gated else "**The gate is passed**"
    counts = ", ".join(f"{count} {_WORDS[status]}" for status, count in made.counts.items())
    yield f"{verdict} of policy {_text(made.policy['name'])}. Checks: {counts}."
    yield from _table(
        "Failed", ("Severity", "Check", "Evidence", "Remedy"), [_failed_row(row) for row in _ordered(failed)]
    )
    waived = [row for row in made.rows if row["waiver_owner"] is not None]
    heads = ("Check", "Status", "Owner", "Until", "Reason")
    yield from _table("Waivers", heads, [_waiver_row(row) for row in _ordered(waived)])
    manual = [(_name(row), _text(row["reason"])) for row in _ordered(made.with_status("manual"))]
    yield from _folded("For a person to look at", ("Check", "What to look at"), manual)
    unknown = [(_name(row), _text(row["reason"])) for row in _ordered(made.with_status("not_assessable"))]
    yield from _folded("Not assessable", ("Check", "Why"), unknown)
    passed = [(_name(row), _text(row["evidence"] or "")) for row in _ordered(made.with_status("pass"))]
    yield from _folded("Passed", ("Check", "Evidence"), passed)
    yield ""
    digest = made.facts.get("manifest_digest") or made.facts.get("config_digest") or "unknown"
    yield f"<sub>Image digest `{digest}` · policy `{made.policy['digest']}` · judged as of {made.today_utc}</sub>"


def _failed_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    said = "; ".join(filter(None, (row["evidence"], row["reason"])))
    gate = " (gate)" if row["is_gate_failed"] else ""
    return f"**{row['severity']}**{gate}", _name(row), _text(said), _text(row["remedy"])


def _waiver_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    status = row["status"].replace("_", " ")
    return _name(row), status, _text(row["waiver_owner"]), row["waiver_until_utc"], _text(row["waiver_reason"])


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield from ("", f"#### {title} ({len(rows)})", "")
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(cells)} |" for cells in rows)


def _folded(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table that a reader unfolds; hosts want an empty line between its tags and Markdown."""
    lines = list(_table(title, heads, rows))[2:]
    if lines:
        yield from ("", f"<details><summary>{title} ({len(rows)})</summary>", *lines, "", "</details>")


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(
        rows, key=lambda row: (not row["is_gate_failed"], _SEVERITIES.index(row["severity"]), row["check_id"])
    )


def _name(row: Mapping[str, Any]) -> str:
    return f"`{row['check_id']}`"


def _text(value: str) -> str:
    r"""Return text escaped for a cell of a table; an @ is kept from calling somebody.

    >>> print(_text("a|b *c*"))
    a\|b \*c\*
    """
    line = " ".join(value.split())
    short = line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"
    return _MARKED.sub(r"\\\1", short).replace("@", "@\N{WORD JOINER}")


_WORDS = {
    "pass": "passed",
    "fail": "failed",
    "waived": "waived",
    "manual": "for a person to look at",
    "not_assessable": "not assessable",
}
