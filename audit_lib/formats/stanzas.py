"""Stanzas of `Field: value` lines, the notation of dpkg's and opkg's status files. Source: deb-control(5)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from audit_lib.errors import DamagedDatabaseError

_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")


def stanzas(data: bytes, path: str) -> Iterator[tuple[int, dict[str, str]]]:
    r"""Yield (its first line, fields by name in lower case) for each stanza; continuation lines are joined by newlines.

    Raises `DamagedDatabaseError` with the line where one is neither a field, a continuation nor empty, where a field
    occurs twice in a stanza, or where the file ends in the middle of a line.

    >>> list(stanzas(b"Package: a\nDepends: b,\n c\n\nPackage: d\n", "status"))
    [(1, {'package': 'a', 'depends': 'b,\nc'}), (5, {'package': 'd'})]
    """
    stanza: dict[str, list[str]] = {}
    name, start = "", 1
    for number, line in enumerate(lines(data, path), start=1):
        if not line or line.isspace():
            if stanza:
                yield start, _joined(stanza)
            stanza, name = {}, ""
            continue
        if line[0] in " \t":
            if not name:
                raise DamagedDatabaseError(
                    path, number, f"a continuation of nothing: {line[:60]!r}; expected 'Field: value'"
                )
            stanza[name].append(line[1:])
            continue
        match = _FIELD.match(line)
        if match is None:
            raise DamagedDatabaseError(path, number, f"expected 'Field: value', found {line[:60]!r}")
        if not stanza:
            start = number
        name = match[1].lower()
        if name in stanza:
            raise DamagedDatabaseError(
                path, number, f"field {match[1]!r} twice in one stanza; expected an empty line between packages"
            )
        stanza[name] = [match[2]]
    if stanza:
        yield start, _joined(stanza)


def lines(data: bytes, path: str, errors: str = "replace") -> Iterator[str]:
    """Yield the lines of a text, decoded with `errors`: one at a time, since a list of empty ones is eight times as long as they.

    Raises `DamagedDatabaseError` with the line, before the first, for a NUL byte or a last line without an end.
    """
    if b"\0" in data:
        raise DamagedDatabaseError(path, data.count(b"\n", 0, data.index(b"\0")) + 1, "a NUL byte; expected text")
    if data and not data.endswith(b"\n"):
        last = data[data.rfind(b"\n") + 1 :].decode("utf-8", "replace")
        raise DamagedDatabaseError(path, data.count(b"\n") + 1, f"the file ends within a line: {last[:60]!r}")
    for line in io.BytesIO(data):
        yield line[:-1].decode("utf-8", errors)


def _joined(stanza: dict[str, list[str]]) -> dict[str, str]:
    return {field: "\n".join(parts) for field, parts in stanza.items()}
