"""Licences as packages state them → SPDX expressions, where they can be read as such without guessing."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from functools import cache

from license_expression import ExpressionError, Licensing, get_spdx_licensing

# GNU's licences with a version: Debian's short names (DEP-5), Fedora's before SPDX (GPLv2+), SPDX's own of old (GPL-2.0+).
_GNU = re.compile(
    r"(A?L?GPL|GFDL|GFDL-NIV)[- ]?v?(\d)(\.\d)?(?:\.0)?(\+| or later| only|-only|-or-later)?", re.IGNORECASE
)
# A name that stands for several licences ("BSD", "Artistic", "Apache Software License") is left out: no guess.
_NAMES = {
    "expat": "MIT",
    "mit license": "MIT",
    "apache-2": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "artistic-2": "Artistic-2.0",
    "artistic 2.0": "Artistic-2.0",
    "cc0": "CC0-1.0",
    "bison exception": "Bison-exception-2.2",
    "libtool exception": "Libtool-exception",
    "linux-syscall-note exception": "Linux-syscall-note",
    "psf-2": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "mplv2.0": "MPL-2.0",
    "mplv1.1": "MPL-1.1",
    "mpl-2": "MPL-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "isc license (iscl)": "ISC",
    "isc license": "ISC",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "the unlicense (unlicense)": "Unlicense",
    # Cargo's old spelling of a choice; elsewhere a slash is part of a name (MIT/X11).
    "mit/apache-2.0": "MIT OR Apache-2.0",
    "apache-2.0/mit": "Apache-2.0 OR MIT",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu lesser general public license v2 (lgplv2)": "LGPL-2.0-only",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
}
# Nothing longer is a licence's name; it is the licence's text, or a hostile file.
_MAX_LENGTH = 400
_MAX_STATED = 200
_BUILDING = threading.Lock()


def normalized(stated: Iterable[str]) -> str | None:
    """Return one text for the licences that a package states; None where it states none.

    Where every one of them reads as an SPDX expression, the result is one: they are joined by AND, since a package that
    names several licences for its files comes with all of them. Otherwise they stand as stated, joined by "; ", those that
    do read normalised. (SPDX specification 2.3, annex D; Debian's machine-readable copyright format 1.0, "License specification".)

    >>> normalized(["GPL-2+", "Expat"]), normalized(["GPL-1+ or Artistic-2.0"]), normalized(["BSD", "MIT"]), normalized([])
    ('GPL-2.0-or-later AND MIT', 'GPL-1.0-or-later OR Artistic-2.0', 'BSD; MIT', None)
    """
    texts = [" ".join(text.split()) for text in stated]
    pairs = {expression(text) or text: expression(text) is not None for text in texts[:_MAX_STATED] if text}
    if not pairs:
        return None
    if not all(pairs.values()):
        return "; ".join(pairs)
    if len(pairs) == 1:
        return next(iter(pairs))
    return " AND ".join(sorted({f"({text})" if " OR " in text else text for text in pairs}))


@cache
def expression(text: str) -> str | None:
    """Return one statement as an SPDX expression, None where it is none.

    >>> expression("LGPLv2+ and MIT"), expression("GFDL-NIV-1.3"), expression("BSD")
    ('LGPL-2.0-or-later AND MIT', 'GFDL-1.3-no-invariants-only', None)
    """
    if len(text) > _MAX_LENGTH:
        return None
    known = _NAMES.get(text.lower())
    if known is not None:
        return known
    words = re.split(r"(\s+(?:and|or|with)\s+|[()])", text, flags=re.IGNORECASE)
    spelled = "".join(_word(word) for word in words)
    try:
        parsed = _licensing().parse(spelled, validate=True, strict=True)
    except (ExpressionError, RecursionError):
        return None
    return None if parsed is None else str(parsed.render())


def _word(word: str) -> str:
    if word.strip().lower() in {"and", "or", "with"}:
        return f" {word.strip().upper()} "
    match = _GNU.fullmatch(word.strip())
    if match is None:
        return _NAMES.get(word.strip().lower(), word)
    family, major, minor, plus = match[1].upper(), match[2], match[3] or ".0", (match[4] or "").strip(" -").lower()
    ending = "or-later" if plus in {"+", "or later", "or-later"} else "only"
    invariants = "-no-invariants" if family.endswith("-NIV") else ""
    return f"{family.removesuffix('-NIV')}-{major}{minor}{invariants}-{ending}"


def _licensing() -> Licensing:
    with _BUILDING:
        return _built()


@cache
def _built() -> Licensing:
    licensing = get_spdx_licensing()
    # Else it is made when it is first needed, and what another thread meanwhile reads with it is wrong.
    licensing.get_advanced_tokenizer()
    return licensing
