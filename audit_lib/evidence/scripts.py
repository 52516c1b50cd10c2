"""What a script says of itself: by its first line which program runs it, and for a shell's which commands it calls.

Source: Linux, fs/binfmt_script.c and execve(2), "Interpreter scripts": the line ends at a newline within the first 256 bytes; what
follows the interpreter's path is one argument, spaces and all.
"""

from __future__ import annotations

import json
import posixpath
from typing import Any, NamedTuple

from audit_lib import shell
from audit_lib.formats.base import Extractor

NAME = "scripts"
MAGIC = b"#!"
_LINE_BYTES = 256
_BLANKS = b" \t"
# Scripts of package managers, hundreds of them, and examples: no application runs these.
_NOT_READ = ("var/lib/dpkg/", "usr/share/doc/")


class FirstLine(NamedTuple):
    """What a script says of itself; `interpreter` is None where the kernel cannot tell which it is, `detail` says why."""

    interpreter: str | None
    argument: str | None
    detail: str | None = None


def parse(data: bytes) -> FirstLine:
    r"""Return the first line of a script.

    >>> parse(b"#!/usr/bin/env python3 -u\nprint()\n")
    FirstLine(interpreter='/usr/bin/env', argument='python3 -u', detail=None)
    >>> parse(b"#!\necho\n")
    FirstLine(interpreter=None, argument=None, detail='its first line names no interpreter')
    """
    head = data[len(MAGIC) : _LINE_BYTES]
    line, newline, _ = head.partition(b"\n")
    words = line.strip(_BLANKS).partition(b"\0")[0].replace(b"\t", b" ").split(b" ", 1)
    if not words[0]:
        return FirstLine(None, None, "its first line names no interpreter")
    if not newline and len(words) == 1 and len(data) > _LINE_BYTES:
        return FirstLine(None, None, f"its interpreter does not end within {_LINE_BYTES} bytes")
    argument = _text(words[1].strip(_BLANKS)) if len(words) > 1 else ""
    return FirstLine(_text(words[0]), argument or None)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def facts_of(evidence: bytes) -> dict[str, Any]:
    """Return what `EXTRACTOR` took out of one file as columns of `tables.Script`."""
    facts: dict[str, Any] = json.loads(evidence)
    return facts


def _extract(path: str, content: bytes) -> bytes:
    first = parse(content)
    facts: dict[str, str | None] = {**first._asdict(), "commands": None}
    words = [first.interpreter or "", *(first.argument or "").split()]
    if shell.NAMES & {posixpath.basename(word) for word in words} and not path.startswith(_NOT_READ):
        facts["commands"] = ", ".join(shell.commands(content.decode("utf-8", "replace"))) or None
    return json.dumps(facts).encode()


EXTRACTOR = Extractor(name=NAME, extract=_extract, extract_magic=MAGIC)
