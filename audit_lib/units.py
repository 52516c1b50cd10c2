"""Bytes and shares as people read them: the one place that knows what a MiB is."""

from __future__ import annotations

import re

MIB = 1024 * 1024
_STEPS = (("GiB", 1024**3), ("MiB", MIB), ("KiB", 1024))
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?(B|KiB|MiB|GiB)?")


def mib(size_bytes: float) -> float:
    """Return bytes as MiB (2**20 bytes).

    >>> mib(3 * 1024 * 1024)
    3.0
    """
    return size_bytes / MIB


def format_bytes(size_bytes: int | None) -> str:
    """Return bytes with a binary unit and at most one decimal; None reads "unknown".

    >>> format_bytes(873_463_808), format_bytes(1536), format_bytes(12), format_bytes(None)
    ('833.0 MiB', '1.5 KiB', '12 B', 'unknown')
    >>> format_bytes(-2 * 1024 * 1024)
    '-2.0 MiB'
    """
    if size_bytes is None:
        return "unknown"
    for unit, step in _STEPS:
        if abs(size_bytes) >= step:
            return f"{size_bytes / step:,.1f} {unit}"
    return f"{size_bytes:,} B"


def parse_bytes(text: str) -> int:
    """Return the number of bytes in a text: digits, with or without one of the units B, KiB, MiB, GiB.

    >>> parse_bytes("10GiB"), parse_bytes("1.5 KiB"), parse_bytes("512")
    (10737418240, 1536, 512)

    Raises `ValueError` for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r}: expected a number of bytes such as 512, 100MiB or 10GiB")
    return int(float(match[1]) * {"B": 1, **dict(_STEPS)}[match[2] or "B"])


def format_count(count: int | None) -> str:
    """Return a count with thousands separated; None reads "unknown".

    >>> format_count(54761), format_count(None)
    ('54,761', 'unknown')
    """
    return "unknown" if count is None else f"{count:,}"


def format_share(share: float | None) -> str:
    """Return a share (0-1) as a percentage with one decimal; None reads "unknown".

    >>> format_share(0.914), format_share(None)
    ('91.4 %', 'unknown')
    """
    return "unknown" if share is None else f"{share * 100:.1f} %"
