"""Two lists of CVEs: those known to be exploited (CISA KEV), and how likely an exploit is (FIRST EPSS)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
_SCORE_DATE = re.compile(r"score_date:(\d{4}-\d\d-\d\d)")
_EPSS_COLUMNS = ["cve", "epss", "percentile"]


class ListError(ValueError):
    """A text is not the list that it should be."""


class CveList(NamedTuple):
    """What a list says of each CVE: the day on which KEV added it, or its EPSS score (0-1). `skipped`: lines that say neither."""

    values: dict[str, Any]
    data_utc: str | None
    skipped: list[str]


def is_kev(document: object) -> bool:
    """Tell whether a JSON document is CISA's catalogue."""
    return isinstance(document, dict) and "catalogVersion" in document and "vulnerabilities" in document


def parse_kev(document: Mapping[str, Any]) -> CveList:
    """Return the days on which CVEs were added to CISA's catalogue. Raises `ListError`."""
    stated, released = document.get("vulnerabilities"), document.get("dateReleased")
    if not isinstance(stated, list):
        raise ListError(f"expected a list of vulnerabilities, found {type(stated).__name__}")
    values, skipped = {}, []
    for number, one in enumerate(stated, start=1):
        cve, day = (one.get("cveID"), one.get("dateAdded")) if isinstance(one, dict) else (None, None)
        if isinstance(cve, str) and _CVE.fullmatch(cve) and isinstance(day, str):
            values[cve] = day[:10]
        else:
            skipped.append(f"entry {number}: expected cveID and dateAdded, found {ascii(one)[:90]}")
    is_dated = isinstance(released, str) and re.match(r"\d{4}-\d\d-\d\d", released)
    return CveList(values, str(released)[:10] if is_dated else None, skipped)


def is_epss(line: str) -> bool:
    """Tell whether a text whose first line this is holds EPSS scores."""
    return line.startswith("#model_version") or [part.strip() for part in line.lower().split(",")] == _EPSS_COLUMNS


def parse_epss(lines: Iterable[str]) -> CveList:
    """Return the scores of FIRST's CSV: a comment with the day, a head, a line a CVE. Raises `ListError`.

    >>> parse_epss(["#model_version:v1,score_date:2025-08-25T00:00:00+0000", "cve,epss,percentile", "CVE-2021-44228,0.94,1"])
    CveList(values={'CVE-2021-44228': 0.94}, data_utc='2025-08-25', skipped=[])
    """
    values, skipped, day, has_head = {}, [], None, False
    for number, line in enumerate(lines, start=1):
        parts = [part.strip() for part in line.split(",")]
        if line.startswith("#"):
            found = _SCORE_DATE.search(line)
            day = found[1] if found else day
        elif not has_head:
            if [part.lower() for part in parts] != _EPSS_COLUMNS:
                raise ListError(f"line {number}: expected the columns {','.join(_EPSS_COLUMNS)}, found {line[:90]!r}")
            has_head = True
        elif line.strip():
            score = _share(parts[1]) if len(parts) == len(_EPSS_COLUMNS) and _CVE.fullmatch(parts[0]) else None
            if score is None:
                skipped.append(f"line {number}: expected a CVE and a score from 0 to 1, found {line[:90]!r}")
            else:
                values[parts[0]] = score
    if not has_head:
        raise ListError("expected a list of EPSS scores, found no head")
    return CveList(values, day, skipped)


def _share(text: str) -> float | None:
    return float(text) if re.fullmatch(r"(0(\.\d{1,18})?|1(\.0{1,18})?)", text) else None
