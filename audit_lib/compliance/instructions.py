"""The instructions that an image's history states: what of them is RUN, ADD or neither, and which commands a RUN ran.

The spellings are those of Docker's classic builder (`/bin/sh -c …`, `#(nop) ADD …`), BuildKit (`RUN /bin/sh -c … # buildkit`,
`RUN |1 ARG=x /bin/sh -c …`), Buildah and Kaniko, as they stand in `created_by` (OCI image-spec, "Image configuration").
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

_NOP = "#(nop)"
_BUILDKIT = "# buildkit"
# Commands come from strangers: a longer one is not looked into, and not taken for understood (`is_told`).
_MAX_TEXT = 100_000
_SHELL = r"(?:ba|da|z|k|a)?sh(?:\s{1,4}-?\w{1,20}){0,6}?\s{1,4}-\w{0,9}c\s"
_FIRST_SHELL = re.compile(rf"(?:/[\w./-]{{0,60}}/)?{_SHELL}")
# Build arguments stand before the shell: |1 VERSION=2 /bin/sh -c …
_SHELL_AFTER_ARGUMENTS = re.compile(rf"[\s/]{_SHELL}")
_VERBS = frozenset(
    {
        "ADD",
        "COPY",
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "LABEL",
        "USER",
        "VOLUME",
        "WORKDIR",
        "ARG",
        "STOPSIGNAL",
        "SHELL",
    }
)
_SEPARATORS = re.compile(r"&&|\|\||[;|&\n()]")


class Instruction(NamedTuple):
    """An instruction and the layer that it made. `verb` is RUN, ADD, COPY …; missing for what is no Dockerfile's."""

    layer: int
    verb: str | None
    text: str


def instructions(layers: pd.DataFrame) -> Iterator[Instruction]:
    """Yield the instructions of those layers (schema `Layer`) that state one."""
    for layer, created_by in layers[["layer", "created_by"]].itertuples(index=False):
        if is_told(created_by):
            yield Instruction(int(layer), *split(created_by))


def split(created_by: str) -> tuple[str | None, str]:
    """Return (verb, the rest) of what a layer was made by.

    >>> split("RUN |1 V=2 /bin/sh -c apt-get update # buildkit"), split("/bin/sh -c #(nop) ADD file:ab in / ")
    (('RUN', 'apt-get update'), ('ADD', 'file:ab in /'))
    >>> split("bazel build ...")
    (None, 'bazel build ...')
    """
    text = created_by.strip().removesuffix(_BUILDKIT).strip()
    before, nop, after = text.partition(_NOP)
    if nop and len(before) <= len("/bin/sh -c "):
        text = after.strip()
    first, _, rest = text.partition(" ")
    if first in _VERBS:
        return first, rest.strip()
    command = rest.strip() if first == "RUN" else text
    shell = (_SHELL_AFTER_ARGUMENTS.search if command.startswith("|") else _FIRST_SHELL.match)(command)
    if shell:
        return "RUN", command[shell.end() :].strip()
    return ("RUN", command) if first == "RUN" else (None, text)


def is_told(created_by: object) -> bool:
    """Tell whether what a layer was made by is stated, and not too long to be looked into."""
    return isinstance(created_by, str) and len(created_by) <= _MAX_TEXT


def commands(text: str) -> Iterator[list[str]]:
    """Yield the commands of a RUN as words, the program's own name first; settings before it are left out.

    >>> list(commands("set -e; DEBIAN_FRONTEND=noninteractive /usr/bin/apt-get update && echo done"))
    [['set', '-e'], ['apt-get', 'update'], ['echo', 'done']]
    """
    for part in _SEPARATORS.split(text):
        words = part.replace("\\", " ").replace('"', " ").replace("'", " ").split()
        while words and (words[0] in {"sudo", "then", "do", "else", "{", "!", "exec", "time", "if"} or "=" in words[0]):
            words = words[1:]
        if words:
            yield [posixpath.basename(words[0]), *words[1:]]
