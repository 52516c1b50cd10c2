"""What a VEX document says: a vulnerability, the products that it is about, and whether it affects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from audit_lib.formats.base import Broken
from audit_lib.tables import VulnerabilityStatus

_MAX_BROKEN = 20


class Product(NamedTuple):
    """What a statement is about: ids of one thing (package URLs, digests, references), and of the parts of it that are meant."""

    ids: tuple[str, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement. None is "not stated".

    `place` leads to it in the document (a JSON pointer). `ids`: the vulnerability's names, the first one is its own. No `products`:
    the document names none that can be told. `stated_utc`: when it was made, or last changed. `detail`: the reason, or what to
    do, in the author's words.
    """

    place: str
    ids: tuple[str, ...]
    products: tuple[Product, ...]
    status: VulnerabilityStatus
    justification: str | None = None
    detail: str | None = None
    stated_utc: str | None = None


@dataclass(slots=True, kw_only=True)
class VexDocument:
    """A document that was read: its notation, its own id, who made it, its statements, and those that cannot be read."""

    notation: str
    id: str | None = None
    author: str | None = None
    stated_utc: str | None = None
    statements: list[Statement] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    broken_count: int = 0

    def breaks(self, place: str, problem: str) -> None:
        """Note a statement that cannot be read; of very many, the first ones stand for all."""
        self.broken_count += 1
        if len(self.broken) < _MAX_BROKEN:
            self.broken.append(Broken(place, problem))


@dataclass(frozen=True, slots=True, kw_only=True)
class VexFormat:
    """A notation: how a JSON object of it is told from others, and what reads it. `expected` names it in an error."""

    name: str
    expected: str
    recognises: Callable[[Mapping[str, Any]], bool]
    parse: Callable[[Mapping[str, Any], str], VexDocument]
