"""The time of a run: the machine's, or the one that SOURCE_DATE_EPOCH fixes."""

from __future__ import annotations

import datetime as dt
import os
import re

from audit_lib.errors import AuditError


def now_utc() -> str:
    """Return the time as ISO text ending in Z; SOURCE_DATE_EPOCH, where it is set, is that time.

    Raises `AuditError` where SOURCE_DATE_EPOCH is no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        moment = dt.datetime.now(dt.UTC)
    elif re.fullmatch(r"\d{1,11}", epoch):
        moment = dt.datetime.fromtimestamp(int(epoch), dt.UTC)
    else:
        raise AuditError(f"SOURCE_DATE_EPOCH: expected seconds since 1970, found {epoch!r}")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_day(text: str) -> dt.date | None:
    """Return the day that ISO text of a day or a time begins with; None where it begins with none.

    >>> parse_day("2025-01-31T12:00:00Z"), parse_day("2025-02-30")
    (datetime.date(2025, 1, 31), None)
    """
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        return None
