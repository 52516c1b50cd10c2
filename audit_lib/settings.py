"""Values out of a file of settings, each with its type; every error names the file, the line, the key and what was expected."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from audit_lib.errors import SettingsError
from audit_lib.marked import MAX_BYTES, Node
from audit_lib.units import parse_bytes

_LONGEST = 1000
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return what a file of settings holds, up to one byte more than `MAX_BYTES`; `SettingsError` where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"{path}: cannot be read: {why}") from error


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads values of a document; every error names the file, the line, the key and what was expected."""

    path: str

    def error(self, node: Node, key: str, expected: str) -> SettingsError:
        """Return the error of a value that does not fit."""
        return SettingsError(f"{self.path}, line {node.line}: {key}: {expected}, found {node.shown}")

    def mapping(
        self, node: Node, key: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> dict[str, Node]:
        """Return the fields of a mapping that has all of `required` and none beside these and `optional`."""
        if node.fields is None:
            raise self.error(node, key, "expected a mapping")
        known = (*required, *optional)
        for name in node.fields:
            if name not in known:
                place = f"{self.path}, line {node.lines[name]}: {key}"
                close = difflib.get_close_matches(name[:60], known, n=1)
                guess = f" (did you mean {close[0]!r}?)" if close else ""
                raise SettingsError(f"{place}: {name[:60]!r} is unknown{guess}, expected one of {', '.join(known)}")
        for name in required:
            if name not in node.fields:
                raise SettingsError(f"{self.path}, line {node.line}: {key}: expected the key {name}")
        return node.fields

    def items(self, node: Node, key: str) -> list[Node]:
        """Return the values of a list."""
        if node.items is None:
            raise self.error(node, key, "expected a list")
        return node.items

    def text(self, node: Node, key: str) -> str:
        """Return a text in one line that is not empty."""
        if node.text is None or not node.text.strip() or len(node.text) > _LONGEST:
            raise self.error(node, key, f"expected a text of 1 to {_LONGEST:,} characters")
        return " ".join(node.text.split())

    def word(self, node: Node, key: str, words: tuple[str, ...]) -> str:
        """Return one of the words, in any case."""
        if node.text is None or node.text.lower() not in words:
            raise self.error(node, key, f"expected one of {', '.join(words)}")
        return node.text.lower()

    def flag(self, node: Node, key: str) -> bool:
        """Return true or false."""
        return self.word(node, key, ("true", "false")) == "true"

    def count(self, node: Node, key: str) -> int:
        """Return a whole number from 0."""
        if node.text is None or not (node.text.isascii() and node.text.isdecimal() and len(node.text) <= 9):  # noqa: PLR2004
            raise self.error(node, key, "expected a whole number")
        return int(node.text)

    def share(self, node: Node, key: str) -> float:
        """Return a share from 0 to 1."""
        try:
            share = float(node.text or "")
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise self.error(node, key, "expected a share from 0 to 1")
        return share

    def bytes(self, node: Node, key: str) -> int | None:
        """Return a number of bytes, None for `none`."""
        if node.text is not None and node.text.lower() == "none":
            return None
        try:
            return parse_bytes(node.text or "")
        except ValueError:
            raise self.error(node, key, "expected bytes such as 512MiB, or none") from None

    def texts(self, node: Node, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(self.text(one, key) for one in self.items(node, key))

    def day(self, node: Node, key: str) -> dt.date:
        """Return a day, written as 2026-12-31."""
        # Python reads 20261231 and 2026-W53-4 as days too.
        text = node.text or ""
        try:
            return dt.date.fromisoformat(text if _DAY.fullmatch(text) else "")
        except ValueError:
            raise self.error(node, key, "expected a day such as 2026-12-31") from None
