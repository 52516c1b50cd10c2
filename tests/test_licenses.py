"""Licences as stated → SPDX expressions. Expectations: the SPDX licence list and DEP-5's table of short names."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from license_expression import AdvancedTokenizer

from audit_lib import licenses
from audit_lib.licenses import expression, normalized


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("Expat", "MIT"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("GFDL-1.3+", "GFDL-1.3-or-later"),
        ("AGPL-3+", "AGPL-3.0-or-later"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("GPL-3+ with Bison exception", "GPL-3.0-or-later WITH Bison-exception-2.2"),
        ("(GPLv2+ or MIT) and ISC", "(GPL-2.0-or-later OR MIT) AND ISC"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
    ],
)
def test_a_statement_that_reads_as_one_becomes_an_spdx_expression(stated: str, expected: str) -> None:
    assert expression(stated) == expected


@pytest.mark.parametrize(
    "stated", ["BSD", "Artistic", "public-domain", "MIT/X11", "see LICENSE", "", "(" * 5000, "MIT AND", "GPL-2+ with"]
)
def test_what_could_be_several_licences_or_none_is_not_guessed(stated: str) -> None:
    assert expression(stated) is None


def test_one_statement_that_does_not_read_leaves_all_as_a_list() -> None:
    assert normalized(["GPL-2+", "public-domain", "Expat"]) == "GPL-2.0-or-later; public-domain; MIT"


def test_a_choice_within_several_keeps_its_brackets() -> None:
    assert normalized(["GPL-2+ or MIT", "ISC"]) == "(GPL-2.0-or-later OR MIT) AND ISC"


def test_nothing_stated_is_missing_not_empty() -> None:
    assert normalized([]) is None
    assert normalized(["  "]) is None


def test_a_thread_that_asks_while_another_is_first_to_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made, slow = AdvancedTokenizer.make_automaton, threading.Event()

    def make_slowly(tokenizer: AdvancedTokenizer) -> None:
        slow.set()
        time.sleep(0.2)
        made(tokenizer)

    def ask_meanwhile() -> str | None:
        assert slow.wait(10)
        return expression("Zlib or MIT")

    licenses._built.cache_clear()
    expression.cache_clear()
    monkeypatch.setattr(AdvancedTokenizer, "make_automaton", make_slowly)
    with ThreadPoolExecutor(2) as pool:
        said = [pool.submit(expression, "Zlib AND MIT"), pool.submit(ask_meanwhile)]
    assert [one.result() for one in said] == ["Zlib AND MIT", "Zlib OR MIT"]
