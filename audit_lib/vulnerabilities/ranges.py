"""Which versions a record means: ranges of events, and lists (OSV schema, "Evaluation")."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from audit_lib.vulnerabilities.versions import key_or_none, version_key

Record = Mapping[str, Any]


def affected_by(record: Record, scheme: str, version: str) -> tuple[str | None, str] | None:
    """Return (fixed version, what was compared) where a record means a version, else None (OSV schema, "Evaluation").

    `record` has `ranges` (JSON: events a range) and `versions`; one that was withdrawn means none. Raises `InvalidVersionError`.
    """
    if record["withdrawn"]:
        return None
    fixes = []
    for events in _events(record["ranges"]):
        told = _in_range(events, scheme, version)
        if told is not None:
            fixes.append(told)
    if fixes:
        ends = [fixed for fixed, _ in fixes if fixed is not None]
        fixed = min(ends, key=lambda one: version_key(scheme, one), default=None)
        return fixed, next(why for end, why in fixes if end == fixed)
    if version in record["versions"] or (not _events(record["ranges"]) and _is_listed(record, scheme, version)):
        return None, f"{version} is one of the versions that it lists"
    return None


def _in_range(events: Sequence[Sequence[str]], scheme: str, version: str) -> tuple[str | None, str] | None:
    key = version_key(scheme, version)
    limits = [bound for kind, bound in events if kind == "limit"]
    if limits and not any(key < version_key(scheme, bound) for bound in limits):
        return None
    begin: str | None = None
    end: tuple[str, str] | None = None
    steps = [(kind, bound) for kind, bound in events if kind != "limit"]
    # "0" comes before every version; the order of the rest is that of the versions.
    steps.sort(key=lambda step: (1, version_key(scheme, step[1])) if step != ("introduced", "0") else (0,))
    for kind, bound in steps:
        is_behind = (kind, bound) == ("introduced", "0") or not key < version_key(scheme, bound)
        if kind == "introduced" and is_behind:
            begin, end = bound, None
        elif is_behind and (kind == "fixed" or (kind == "last_affected" and version_key(scheme, bound) < key)):
            begin = None
        elif kind in {"fixed", "last_affected"} and begin is not None and end is None:
            end = (kind, bound)
    if begin is None:
        return None
    since = "" if begin == "0" else f"{begin} ≤ "
    if end is None:
        return None, f"{since}{version}, no end is stated"
    return (end[1], f"{since}{version} < {end[1]}") if end[0] == "fixed" else (None, f"{since}{version} ≤ {end[1]}")


def _is_listed(record: Record, scheme: str, version: str) -> bool:
    """Tell whether a list has a version that is written otherwise (1.0 for 1.0.0)."""
    key = version_key(scheme, version)
    return any(key_or_none(scheme, one) == key for one in record["versions"])


@lru_cache(maxsize=1 << 15)
def _events(ranges: str) -> list[list[list[str]]]:
    made: list[list[list[str]]] = json.loads(ranges)
    return made
