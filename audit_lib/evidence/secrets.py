"""Where a text holds secrets, and the text without them. What is found is told, never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from audit_lib.evidence.secret_rules import (
    NAMES_A_SECRET,
    PRIVATE_KEY,
    RULES,
    SIEVE,
    SIEVE_OF_SHIPPED,
    Context,
    Rule,
    is_encrypted,
    is_value,
)
from audit_lib.formats.base import Extractor

NAME = "secrets"
MARK = "[redacted]"
# Texts come from strangers: a word that stands everywhere is tried so often and no more.
_MAX_TRIES, _MAX_FOUND = 1000, 100
_LONGEST_NAME = 60
# Files in which a value needs no quotes to be one.
_SETTINGS_FILE = re.compile(
    r"(?:.*/)?(?:\.env[^/]*|[^/]*\.(?:env|ini|conf|cfg|cnf|ya?ml|json|properties|props|toml|xml|tfvars|tfstate|config|"
    r"settings|cred|creds|credentials|secret|secrets|sh|bash|service|sql|auth|login)|credentials?|config|settings|secrets?|"
    r"\.(?:netrc|npmrc|pypirc|pgpass|my\.cnf|git-credentials|dockercfg|boto|s3cfg|bashrc|profile|\w+_history|htpasswd)|"
    r"Dockerfile[^/]*|environment)|(?:run|etc)/secrets/.*",
    re.IGNORECASE,
)

# Where a distribution puts what it ships (Filesystem Hierarchy Standard 4; dpkg): nearly all texts of an image.
_SHIPPED = (
    *(f"usr/{folder}/" for folder in ("bin", "games", "include", "lib", "lib32", "lib64", "libexec", "sbin", "share")),
    *("bin/", "lib/", "lib64/", "sbin/", "var/lib/dpkg/info/"),
)


class Secret(NamedTuple):
    """A secret in a text: the rule that found it, where it stands, and what may be said of it.

    The public beginning of a token is no part of it. `is_example`: it says so itself, as those do that documentation prints.
    """

    rule: str
    start: int
    end: int
    shown: str
    is_example: bool = False


def find(text: str, context: Context) -> list[Secret]:
    """Return the secrets in a text, in their order; where two overlap, the one of the earlier rule.

    >>> find("token: ghp_EXAMPLE789abcdefghij0123456789abcdef", "settings")
    [Secret(rule='GitHub token', start=11, end=47, shown='ghp_[redacted]', is_example=True)]
    """
    lower = text.lower()
    if len(lower) != len(text):  # a letter whose small form is two: places would not agree
        lower = text
    kept: list[Secret] = []
    for rule in RULES:
        if context in rule.contexts:
            for secret in _found(rule, text, text if rule.is_exact else lower, context):
                if all(secret.end <= other.start or secret.start >= other.end for other in kept):
                    kept.append(secret)
    return sorted(kept, key=lambda secret: secret.start)


def context_of(path: str) -> Context:
    """Return what a file of this path (no leading slash) is taken for.

    >>> [context_of(path) for path in ("srv/app/.env", "srv/app/main.py", "usr/lib/python3/x.py", "usr/local/lib/x.py")]
    ['settings', 'text', 'shipped', 'text']
    """
    if path.startswith(_SHIPPED):
        return "shipped"
    return "settings" if _SETTINGS_FILE.fullmatch(path) else "text"


def setting(name: str, value: str) -> list[Secret]:
    """Return the secrets in the value of an environment variable: all of it where the name says so, else what is found in it.

    >>> setting("DB_PASSWORD", "hunter2")
    [Secret(rule='password', start=0, end=7, shown='DB_PASSWORD', is_example=False)]
    >>> setting("DB_PASSWORD_FILE", "/run/secrets/db"), setting("TOKEN", "$OTHER")
    ([], [])
    """
    if NAMES_A_SECRET.fullmatch(name) and is_value(value):
        return [Secret("password", 0, len(value), name, "EXAMPLE" in value)]
    return find(value, "command")


def redacted(text: str, secrets: Sequence[Secret]) -> str:
    """Return a text with `[redacted]` in place of the secrets that were found in it.

    >>> redacted("ENV A=hunter2", [Secret("password", 6, 13, "A")])
    'ENV A=[redacted]'
    """
    pieces, done = [], 0
    for secret in secrets:
        pieces += [text[done : secret.start], MARK]
        done = secret.end
    return "".join(pieces) + text[done:]


def hidden(text: str) -> str:
    """Return a line that quotes what was read, without the secrets in it.

    >>> hidden("built from git+https://anna:EXAMPLE-1s3cr3t@git.corp/app")
    'built from git+https://anna:[redacted]@git.corp/app'
    """
    return redacted(text, find(text, "command"))


def _found(rule: Rule, text: str, searched: str, context: Context) -> Iterator[Secret]:
    seen: set[int] = set()
    for word in rule.words:
        place, tries = searched.find(word), 0
        while place >= 0 and tries < _MAX_TRIES and len(seen) < _MAX_TRIES:
            start, after = _start_of_name(text, place) if rule.is_named else place, place + 1
            match = None if start in seen else rule.pattern.match(text, start)
            seen.add(start)
            if match and rule.is_likely(match, context):
                yield _secret(rule, match)
                after = max(after, match.end("secret"))
            place, tries = searched.find(word, after), tries + 1


def _start_of_name(text: str, place: int) -> int:
    start = place
    while start > max(place - _LONGEST_NAME, 0) and (text[start - 1].isalnum() or text[start - 1] in "_.-"):
        start -= 1
    return start


def _secret(rule: Rule, match: re.Match[str]) -> Secret:
    value, groups = match["secret"], match.groupdict()
    start, end = match.start("secret") + rule.kept, match.end("secret")
    if rule.name == PRIVATE_KEY:
        shown = " ".join(
            filter(None, ((groups["kind"] or "").strip(), "encrypted" if is_encrypted(match[0]) else "not encrypted"))
        )
    else:
        shown = groups.get("name") or value[: rule.kept] + MARK
    return Secret(rule.name, start, end, shown, "EXAMPLE" in value)


def _extract(path: str, content: bytes) -> bytes | None:
    """Return (rule, line, what may be shown, whether it is an example) for the first secrets of a file, as JSON."""
    text = content.decode("latin-1")
    secrets = find(text, context_of(path))[:_MAX_FOUND]
    found = [(one.rule, text.count("\n", 0, one.start) + 1, one.shown, one.is_example) for one in secrets]
    return json.dumps(found).encode() if found else None


def _sieve(path: str) -> str:
    return SIEVE_OF_SHIPPED if context_of(path) == "shipped" else SIEVE


EXTRACTOR = Extractor(name=NAME, extract=_extract, extract_sieve=_sieve)
