"""What a match is before it is a row: a vulnerability that somebody says a package has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import pandas as pd

from audit_lib.tables import Vulnerability, VulnerabilitySeverity, make_table

# Whose word a row is that the library's own matching made.
OWN = "audit-lib"
# The environment variable that names where advisories are held.
ENVIRONMENT = "AUDIT_ADVISORIES"
# Worst first, as the column `severity` has them.
SEVERITIES: tuple[VulnerabilitySeverity, ...] = ("critical", "high", "medium", "low", "negligible", "unknown")
# The words of advisories and scanners for these.
_WORDS: dict[str, VulnerabilitySeverity] = {
    **{word: word for word in SEVERITIES},
    "important": "high",
    "moderate": "medium",
    "minor": "low",
    "minimal": "negligible",
    "none": "negligible",
    "unimportant": "negligible",
    "info": "negligible",
    "informational": "negligible",
}


def vulnerabilities_table(matches: Iterable[Vulnerability]) -> pd.DataFrame:
    """Return a table of matches (schema `Vulnerability`); of several with one key the first counts.

    A match is a value of the row class: every reader, of advisories or of a scanner's report, yields these.
    """
    rows: dict[tuple[object, ...], Vulnerability] = {}
    for match in matches:
        rows.setdefault(tuple(getattr(match, name) for name in Vulnerability.KEY), match)
    kept = list(rows.values())
    return make_table(
        Vulnerability, {field.name: [getattr(row, field.name) for row in kept] for field in fields(Vulnerability)}
    )


def severity_word(word: object) -> VulnerabilitySeverity | None:
    """Return the severity that a word of an advisory, a distribution or a scanner means; None for no such word.

    >>> severity_word("IMPORTANT"), severity_word("Moderate"), severity_word("not yet assigned")
    ('high', 'medium', None)
    """
    return _WORDS.get(word.strip().lower()) if isinstance(word, str) else None
