"""How severe a vulnerability is: the score of a CVSS vector, and the word for it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError

from audit_lib.tables import VulnerabilitySeverity
from audit_lib.vulnerabilities.base import severity_word


class Score(NamedTuple):
    """A CVSS vector's base score (0-10), the word that its specification has for it, and the vector."""

    score: float
    severity: VulnerabilitySeverity
    vector: str


@lru_cache(maxsize=1 << 14)
def score_of(vector: str) -> Score | None:
    """Return the base score of a CVSS vector of version 2, 3.0, 3.1 or 4.0; None where it is none.

    The word is that of the specification's rating scale; version 2 has none, and gets NVD's (low, medium, high). A score of 0,
    `None` in the specifications, is `negligible` here.

    >>> score_of("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
    Score(score=9.8, severity='critical', vector='CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H')
    >>> score_of("CVSS:3.1/AV:X") is None
    True
    """
    kind = CVSS4 if vector.startswith("CVSS:4") else CVSS3 if vector.startswith("CVSS:3") else CVSS2
    try:
        parsed = kind(vector.strip("()"))
        score, word = float(parsed.scores()[0]), severity_word(parsed.severities()[0])
    except (CVSSError, ValueError, KeyError, TypeError, ArithmeticError):
        return None
    return Score(score, word or "unknown", vector)


def newest_score(vectors: Iterable[str]) -> Score | None:
    """Return the score by the newest version of CVSS that any of the vectors is of; of several of that version the highest."""
    scores = [found for vector in vectors if (found := score_of(vector))]
    return max(
        scores, key=lambda one: (one.vector[:8] if one.vector.startswith("CVSS:") else "", one.score), default=None
    )
