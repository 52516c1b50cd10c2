"""The distribution that a root file system says it is (os-release(5)), and until when it is supported."""

from __future__ import annotations

import csv
import shlex
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Tree

# os-release(5): the first one that is there counts.
GLOBS = ("etc/os-release", "usr/lib/os-release")
# Real ones have a few hundred bytes; a longer value names no distribution.
_MAX_BYTES, _MAX_VALUE = 64 * 1024, 200


# The day that lifecycle.csv stands for: later changes of a vendor's mind are not in it.
LIFECYCLE_UTC = "2026-04-25"


class Distribution(NamedTuple):
    """`ID`, `VERSION_ID`, `PRETTY_NAME` and `VERSION_CODENAME` of os-release; None is "not stated"."""

    id: str | None = None
    version: str | None = None
    name: str | None = None
    codename: str | None = None


class Lifecycle(NamedTuple):
    """Until when a distribution is supported, as dates; None is "not known here".

    `end_of_life_utc`: the vendor's regular security support, open to all. `extended_end_of_life_utc`: what comes after it, by
    others or by contract (Debian LTS, Ubuntu Pro, Red Hat ELS). `data_utc`: the day that these dates were true.
    """

    codename: str | None = None
    end_of_life_utc: str | None = None
    extended_end_of_life_utc: str | None = None
    data_utc: str | None = None


def parse(text: str) -> Distribution:
    r"""Return what an os-release file states; lines that are no assignment are passed over, as the shell's readers do.

    >>> parse('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    Distribution(id='debian', version='12', name='Debian GNU/Linux 12 (bookworm)', codename=None)
    """
    values = dict.fromkeys(("ID", "VERSION_ID", "PRETTY_NAME", "VERSION_CODENAME"), "")
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key in values and len(value) <= _MAX_VALUE:
            values[key] = _unquoted(value)
    return Distribution(*(value or None for value in values.values()))


def read_distribution(tree: Tree) -> Distribution:
    """Return the distribution of a tree; all None where it does not say."""
    for path in GLOBS:
        try:
            data = tree.read(path)
        except DamagedDatabaseError:
            continue
        if data is not None:
            return parse(data[:_MAX_BYTES].decode("utf-8", "replace"))
    return Distribution()


def lifecycle(distribution: Distribution) -> Lifecycle:
    """Return what is known of a distribution's support; all None where it is not in the data that ships with the library.

    A release is found by its version, then by less and less of it: 3.20.3 as 3.20, 9.4 as 9. Sources: distro-info-data
    (Debian, Ubuntu), the release pages of Alpine, Fedora, openSUSE, Amazon, Red Hat, Rocky Linux, AlmaLinux and CentOS.

    >>> lifecycle(Distribution("alpine", "3.20.3")).end_of_life_utc
    '2026-04-01'
    >>> lifecycle(Distribution("wolfi", "20230201"))
    Lifecycle(codename=None, end_of_life_utc=None, extended_end_of_life_utc=None, data_utc=None)
    """
    version = distribution.version or ""
    while version:
        known = _lifecycles().get((distribution.id or "", version))
        if known is not None:
            return known
        version = version.rpartition(".")[0]
    return Lifecycle()


@cache
def _lifecycles() -> dict[tuple[str, str], Lifecycle]:
    lines = files("audit_lib").joinpath("lifecycle.csv").read_text(encoding="utf-8").splitlines()
    return {
        (row["id"], row["version"]): Lifecycle(
            row["codename"] or None,
            row["end_of_life_utc"] or None,
            row["extended_end_of_life_utc"] or None,
            LIFECYCLE_UTC,
        )
        for row in csv.DictReader(lines)
    }


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value)[:1])
    except ValueError:
        return value.strip("\"'")
