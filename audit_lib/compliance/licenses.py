"""Whether a licence statement leaves a way that a policy allows."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from typing import Any

from license_expression import ExpressionError, LicenseWithExceptionSymbol, Licensing, get_spdx_licensing

# The symbols of a longer statement are looked at one by one: reading it as an expression takes too long.
_MAX_EXPRESSION = 2000


def is_denied(statement: str, denied: Sequence[str]) -> bool:
    """Tell whether a package can be had under denied licences only.

    `statement`: as in `packages.licenses`; statements joined by ";" hold together, a choice (OR) is denied where all of it is.
    `denied`: patterns of SPDX ids, in any case.

    >>> is_denied("AGPL-3.0-only OR MIT", ["AGPL-*"]), is_denied("MIT AND AGPL-3.0-only", ["AGPL-*"])
    (False, True)
    """
    return any(_denies(part.strip(), tuple(pattern.lower() for pattern in denied)) for part in statement.split(";"))


@lru_cache(maxsize=4096)
def _denies(part: str, denied: tuple[str, ...]) -> bool:
    if not part:
        return False
    try:
        tree = _licensing().parse(part) if len(part) <= _MAX_EXPRESSION else None
    except (ExpressionError, RecursionError):
        tree = None
    if tree is None:
        # No expression: a denied licence that it names is reason enough to look, choice or not.
        return any(_matches(word.strip("(),"), denied) for word in part.split())
    return _is_denied_tree(tree, denied)


def _is_denied_tree(tree: Any, denied: tuple[str, ...]) -> bool:
    if isinstance(tree, LicenseWithExceptionSymbol):
        return _matches(tree.license_symbol.key, denied)
    if not getattr(tree, "args", ()):
        return _matches(str(tree), denied)
    answers = [_is_denied_tree(part, denied) for part in tree.args]
    return all(answers) if tree.operator.strip() == "OR" else any(answers)


def _matches(name: str, denied: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.lower(), pattern) for pattern in denied)


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()
