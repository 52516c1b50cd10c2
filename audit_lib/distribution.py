"""The distribution that a root file system says it is: os-release(5)."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Tree

# os-release(5): the first one that is there counts.
GLOBS = ("etc/os-release", "usr/lib/os-release")


class Distribution(NamedTuple):
    """`ID`, `VERSION_ID` and `PRETTY_NAME` of os-release; None is "not stated"."""

    id: str | None = None
    version: str | None = None
    name: str | None = None


def parse(text: str) -> Distribution:
    r"""Return what an os-release file states; lines that are no assignment are passed over, as the shell's readers do.

    >>> parse('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    Distribution(id='debian', version='12', name='Debian GNU/Linux 12 (bookworm)')
    """
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            values[key] = _unquoted(value)
    return Distribution(values.get("ID") or None, values.get("VERSION_ID") or None, values.get("PRETTY_NAME") or None)


def read_distribution(tree: Tree) -> Distribution:
    """Return the distribution of a tree; all None where it does not say."""
    for path in GLOBS:
        try:
            data = tree.read(path)
        except DamagedDatabaseError:
            continue
        if data is not None:
            return parse(data.decode("utf-8", "replace"))
    return Distribution()


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value)[:1])
    except ValueError:
        return value.strip("\"'")
