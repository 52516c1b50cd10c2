r"""Which commands a shell script calls, as far as that can be told without running it.

A heuristic: the first word of each simple command (POSIX.1-2017, Shell Command Language, 2.9 and 2.10), where that is a plain word.
What is put together while the script runs is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

NAMES = frozenset({"sh", "ash", "bash", "dash", "ksh", "zsh"})
_PLAIN = re.compile(r"(?![-.+\d]*$|-)[\w./+-]+", re.ASCII)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_HEREDOC = re.compile(r"<<-?\s*\\?(['\"]?)([A-Za-z_]\w*)\1")
_FUNCTION = re.compile(r"([A-Za-z_][\w-]*)[ \t]*\([ \t]*\)|\bfunction[ \t]+([A-Za-z_][\w-]*)")
# Read from left to right: texts in quotes, comments, escaped signs, expansions.
# Each is bounded, so that a text of nothing but beginnings is read in a time that grows with its length.
_OPAQUE = re.compile(
    r"""'[^']*'|"(?:[^"\\]|\\.){0,2000}"|(?<![^\s;|&()])#[^\n]*|\\.|\$\{[^}]{0,200}\}|\$\(\([^()]{0,200}\)\)""",
    re.DOTALL,
)
_SUBSTITUTION = re.compile(r"\$\(([^()\"]{1,500})\)|`([^`\"]{1,500})`")
_PIECE = re.compile(r"([^\n;|&()`]*)([\n;|&()`]|$)")
# Words that a shell knows itself: reserved words, then built-in commands of POSIX shells and bash.
_RESERVED = "if then else elif fi do done while until for in case esac { } ! [[ ]] select function time"
_BUILT_IN = """
    . : [ alias bg bind break builtin caller cd command compgen complete continue declare dirs disown echo enable eval exec exit
    export false fc fg getopts hash help history jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly
    return set shift shopt source suspend test times trap true type typeset ulimit umask unalias unset wait
    """
_NO_COMMANDS = frozenset(f"{_RESERVED} {_BUILT_IN}".split())
# Commands that run the command behind them: built-in ones, others, and others that want a user's name first.
_RUNNERS = frozenset({"exec", "command", "builtin", "eval", "time"})
_OTHER_RUNNERS = frozenset({"env", "nohup", "nice", "setsid", "sudo", "dumb-init", "tini", "catatonit"})
_AS_USER = frozenset({"gosu", "su-exec", "setuidgid"})
_BEFORE_COMMAND = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"})
_MAX_TEXT, _MAX_COMMANDS = 64 * 1024, 200


def commands(text: str) -> tuple[str, ...]:
    r"""Return the commands that a shell's text calls, each once, those within quotes last.

    Built-in ones and the script's own functions are left out.

    >>> commands("set -e\nif ! curl -fsS http://localhost/; then exec gosu app nginx -g 'daemon off;'; fi")
    ('curl', 'gosu', 'nginx')
    >>> commands('TOKEN="$(cat /run/token)" python3 main.py | tee log # and wait')
    ('python3', 'tee', 'cat')
    """
    shown, inner = _without_texts(_without_heredocs(text[:_MAX_TEXT].replace("\\\n", " ")))
    functions = {name for pair in _FUNCTION.findall(shown) for name in pair if name}
    found: dict[str, None] = {}
    for words in _simple_commands("\n".join([shown, *inner])):
        for name in _called(words):
            if name not in functions and len(found) < _MAX_COMMANDS:
                found[name] = None
    return tuple(found)


def _without_heredocs(text: str) -> str:
    if "<<" not in text:
        return text
    lines: list[str] = []
    ends: list[str] = []
    for line in text.split("\n"):
        if ends:
            if line.strip("\t") == ends[0]:
                ends.pop(0)
            continue
        lines.append(line)
        ends = [found[2] for found in _HEREDOC.finditer(line)]
    return "\n".join(lines)


def _without_texts(text: str) -> tuple[str, list[str]]:
    """Return the text with `$` for what is quoted or expanded and without comments, and the commands that were within quotes."""
    inner: list[str] = []

    def shown(found: re.Match[str]) -> str:
        part = found[0]
        if part.startswith("#"):
            return ""
        if part.startswith('"'):
            inner.extend(command for pair in _SUBSTITUTION.findall(part) for command in pair if command)
        return "$"

    return _OPAQUE.sub(shown, text), inner


def _simple_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command, patterns of `case` left out."""
    depth = 0
    waiting: list[list[str]] = []  # commands of a pipe, unless they turn out to be alternatives of a pattern
    for piece, end in _PIECE.findall(text):
        if words := piece.split():
            waiting.append(words)
        if end == "|":
            continue
        if end != ")" or depth:
            yield from waiting
        waiting = []
        depth = max(0, depth + (end == "(") - (end == ")"))


def _called(words: list[str]) -> Iterator[str]:
    """Yield the command of a simple command, and those that it runs where it is known to run one; none that is no plain word."""
    place = 0
    while place < len(words) and (words[place] in _BEFORE_COMMAND or _ASSIGNMENT.match(words[place])):
        place += 1
    while place < len(words):
        name = words[place]
        if _PLAIN.fullmatch(name) and name not in _NO_COMMANDS:
            yield name
        if name not in _RUNNERS | _OTHER_RUNNERS | _AS_USER:
            return
        place += 2 if name in _AS_USER else 1
        while place < len(words) and (words[place].startswith("-") or _ASSIGNMENT.match(words[place])):
            place += 1
