"""How wide the columns of a table are on paper, told from the texts in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

# A page's width and a column's margins, in a table's usual size of letters; a letter's width is in that size too.
_PAGE, _MARGIN = 67.0, 1.4
_LETTERS = {
    **dict.fromkeys("ijlI|'", 0.29),
    **dict.fromkeys(' .,:;/()[]!"-ftr', 0.38),
    **dict.fromkeys("mwMW%@+~=<>—…", 0.9),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ", 0.7),
}
_LETTER = 0.62
# Letters are smaller in a table of many columns (see `content.table_kind`).
_SIZES = {"wide": 7.5 / 6.5, "crowded": 7.5 / 5.5}
_BEFORE = {"wide": 1.0, "crowded": 7.5 / 6.5}
# No text has a claim to more than this before it is broken into lines, and no word before it is broken itself.
_LONGEST_LINE, _LONGEST_WORD = 66.0, 15.0
_SHORT = 14
# Heads and the words of a status are bold; a mark stands before some of these.
_BOLD, _MARK = 1.2, 1.1
_WORD = re.compile(r"\s+|(?<=[-/])(?=[^\W\d])")
_BEGIN = re.compile(r"<table\b[^>]*>(\s*<caption>.*?</caption>)?", re.DOTALL)


def with_widths(table: str, kind: str) -> str:
    """Return the HTML of a table with the width of each column stated; `kind` is its class, as `table_kind` tells it.

    With widths that are stated, a page of a long table is laid out without a look at all others. HTML that holds no table,
    or several, is returned as it is. A short one is kept on one page: somebody may have to sign it.
    """
    cells = _Cells()
    cells.feed(table)
    if cells.tables != 1 or not cells.rows:
        return table
    least, more = _measured(cells.rows)
    # Of a few columns with long words, too, the letters may have to be smaller.
    names = [name for name in _SIZES if name in kind.split() or sum(least) > _PAGE * _BEFORE[name]]
    room = _PAGE * max((_SIZES[name] for name in names), default=1.0)
    columns = "".join(f'<col style="width: {100 * share:.2f}%">' for share in _shares(least, more, room))
    laid_out = _BEGIN.sub(lambda found: f"{found[0]}<colgroup>{columns}</colgroup>", table, count=1)
    names += ["short"] if len(cells.rows) <= _SHORT else []
    return f'<div class="{" ".join(names)}">{laid_out}</div>' if names else laid_out


def _measured(rows: Sequence[Sequence[_Text]]) -> tuple[list[float], list[float]]:
    """Return of each column what its words need, but for the few longest, and how much more its lines want."""
    count = max(map(len, rows))
    needed: list[list[float]] = [[] for _ in range(count)]
    wanted: list[list[float]] = [[] for _ in range(count)]
    least = [1.0] * count
    for row in rows:
        for column, text in enumerate(row):
            if text.is_head:
                least[column] = max(least[column], text.longest_word * _BOLD)
            else:
                needed[column].append(min(text.longest_word, _LONGEST_WORD))
                wanted[column].append(min(text.length, _LONGEST_LINE))
    least = [max(start, _most(words)) + _MARGIN for start, words in zip(least, needed, strict=True)]
    return least, [max(0.0, _most(lines) + _MARGIN - start) for start, lines in zip(least, wanted, strict=True)]


def _shares(least: Sequence[float], more: Sequence[float], room: float) -> list[float]:
    """Return the share of the width that each column gets: what its words need, and of what is left as much as it wants more.

    Where the words alone do not fit, all columns give way alike.
    """
    part = min(1.0, max(0.0, room - sum(least)) / sum(more)) if sum(more) else 0.0
    widths = [start + part * rest for start, rest in zip(least, more, strict=True)]
    return [width / sum(widths) for width in widths]


def _most(lengths: Sequence[float]) -> float:
    """Return what all but the longest fiftieth do not exceed."""
    return sorted(lengths)[int(0.98 * (len(lengths) - 1) + 0.5)] if lengths else 0.0


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    is_head: bool
    is_whole: bool
    is_marked: bool

    @property
    def length(self) -> float:
        return _width(self.text) * _BOLD + _MARK if self.is_marked else _width(self.text)

    @property
    def longest_word(self) -> float:
        return self.length if self.is_whole else max(map(_width, _WORD.split(self.text)))


def _width(text: str) -> float:
    return sum(_LETTERS.get(letter, _LETTER) for letter in text)


class _Cells(HTMLParser):
    """The texts of a table's cells, row by row; a cell over several columns is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = 0
        self.rows: list[list[_Text]] = []
        self._text: list[str] | None = None
        self._is_whole = self._is_marked = False
        self._is_hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "table":
            self.tables += 1
        elif tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and "colspan" not in attributes:
            self._text = []
            words = (attributes.get("class") or "").split()
            self._is_marked = "word" in words
            self._is_whole = tag == "td" and not {"number", "word", "unknown"}.isdisjoint(words)
        elif tag == "summary":
            self._is_hidden = True

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"} and self._text is not None and self.rows:
            self.rows[-1].append(
                _Text(" ".join("".join(self._text).split()), tag == "th", self._is_whole, self._is_marked)
            )
            self._text = None
        elif tag == "summary":
            self._is_hidden = False

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._is_hidden:
            self._text.append(data)
