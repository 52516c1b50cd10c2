"""The programs that a busybox holds within one executable, whether links name them or not.

Source: BusyBox, include/applet_tables.h as scripts make it: the names in the order of the alphabet, each with a NUL behind it, one
after the other among the constants.
"""

from __future__ import annotations

import json
import re

from audit_lib.formats import elf
from audit_lib.formats.base import Extractor

NAME = "applets"
_APPLET = re.compile(rb"[\[a-z][\w.\[+-]{0,23}", re.ASCII)
# One of these is in every busybox; what stands around it, in order, is the list.
_ANCHORS = (b"\0cat\0", b"\0ls\0", b"\0sh\0", b"\0wget\0", b"\0echo\0")
_FEWEST, _MOST = 8, 1000


def parse(data: bytes) -> list[str]:
    r"""Return the names of a busybox's applets; none where no list of them is found, as in one of fewer than eight.

    >>> parse(b"text\0ash\0awk\0cat\0cp\0ls\0sh\0vi\0wget\0text\0")
    ['ash', 'awk', 'cat', 'cp', 'ls', 'sh', 'vi', 'wget']
    """
    longest: list[bytes] = []
    for anchor in _ANCHORS:
        place = data.find(anchor)
        for _ in range(_MOST):
            if place < 0:
                break
            names = _around(data, place + 1)
            longest = max(longest, names, key=len)
            place = data.find(anchor, place + 1)
    return [name.decode("ascii") for name in longest] if len(longest) >= _FEWEST else []


def _around(data: bytes, place: int) -> list[bytes]:
    """Return the names before and after the one that begins here, as far as they are in order."""
    end = data.index(b"\0", place)
    names = [data[place:end]]
    while len(names) < _MOST:
        after = data[end + 1 : end + 26].partition(b"\0")[0]
        if not _APPLET.fullmatch(after) or after <= names[-1]:
            break
        names.append(after)
        end += 1 + len(after)
    while len(names) < _MOST:
        before = data[max(place - 26, 0) : place - 1].rpartition(b"\0")[2]
        if not _APPLET.fullmatch(before) or before >= names[0]:
            break
        names.insert(0, before)
        place -= 1 + len(before)
    return names


def _extract(path: str, content: bytes) -> bytes | None:
    del path
    names = parse(content) if content.startswith(elf.MAGIC) else []
    return json.dumps(names).encode() if names else None


EXTRACTOR = Extractor(
    name=NAME, extract=_extract, extract_globs=("**/busybox", "**/busybox.static", "**/busybox-static")
)
