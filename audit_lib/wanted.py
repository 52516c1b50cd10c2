"""Which images a list names: a reference a line, and the platform where one is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from audit_lib.errors import UnknownImageError

# A path may hold blanks, so only what cannot be its end is taken for a platform.
_WORD = r"(?:linux|windows|freebsd|darwin|wasip1)/[a-z0-9]+(?:/[a-z0-9]+)?"
_PLATFORM = re.compile(rf"(.*\S)\s+({_WORD})", re.DOTALL)
_NEXT = re.compile(rf"[ \t]+(?!{_WORD}(?:\s|$))")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Wanted(NamedTuple):
    """An image to be read: its reference, and its platform where the index has several."""

    reference: str
    platform: str | None = None

    @property
    def label(self) -> str:
        """What the image is called in tables: its line in the list."""
        return self.reference if self.platform is None else f"{self.reference} {self.platform}"


def parse_list(text: str, what: str) -> tuple[list[Wanted], list[str]]:
    r"""Return the images that a list names, each once, in order; and a sentence for each line that names one again.

    A line is a reference, with or without a platform behind it. What follows `#` (at the beginning of a line, or after a blank)
    is a comment. Raises `UnknownImageError` where a line is no text, or no line names an image.

    >>> images, again = parse_list("# nightly\ndocker:a  # ours\nregistry:a linux/arm64\ndocker:a\n", "list")
    >>> images
    [Wanted(reference='docker:a', platform=None), Wanted(reference='registry:a', platform='linux/arm64')]
    >>> again
    ['list: line 4 names docker:a again, as line 2 does; it is read once']
    """
    lines: dict[Wanted, int] = {}
    again = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if _NOT_TEXT.search(line):
            raise UnknownImageError(f"{what}: line {number} holds control characters; expected a reference a line")
        stated = _COMMENT.sub("", line).strip()
        if not stated:
            continue
        match = _PLATFORM.fullmatch(stated)
        wanted = Wanted(match[1], match[2]) if match else Wanted(stated)
        if wanted in lines:
            again.append(
                f"{what}: line {number} names {wanted.label} again, as line {lines[wanted]} does; it is read once"
            )
        else:
            lines[wanted] = number
    if not lines:
        raise UnknownImageError(f"{what}: names no image; expected a reference a line, such as docker:python:3.13")
    return list(lines), again


def parse_references(text: str) -> list[Wanted]:
    r"""Return the images that a text names: as `parse_list` reads them, but for blanks, which separate them as lines do.

    >>> parse_references("docker:a linux/arm64 docker:b")
    [Wanted(reference='docker:a', platform='linux/arm64'), Wanted(reference='docker:b', platform=None)]

    Raises `UnknownImageError` where it names none.
    """
    lines = [_COMMENT.sub("", line).strip() for line in text.splitlines()]
    return parse_list("\n".join(_NEXT.sub("\n", line) for line in lines), "the images")[0]


def wanted_of(references: Iterable[str | Wanted], platform: str | None) -> list[Wanted]:
    """Return the images asked for, each once; `platform` holds for those that name none themselves."""
    asked = (one if isinstance(one, Wanted) else Wanted(one) for one in references)
    return list(
        dict.fromkeys(one if platform is None or one.platform else Wanted(one.reference, platform) for one in asked)
    )
