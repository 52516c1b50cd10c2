"""What secrets look like: rules for private keys, tokens of known services, passwords in settings and in commands.

Sources: the services' own documentation of what their tokens look like; RFC 7468 (keys as text), RFC 7519 (JSON web tokens),
RFC 3986 section 3.2.1 (user information in a URL); netrc(5), npmrc(5), curl(1), chpasswd(8), Docker's config.json. Passwords are
told from placeholders and from code by what they are made of, and by entropy (Shannon's, bits a character).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

# What a text is: a file of settings, any other file (source code, documents), a file where a distribution puts what it ships, or a
# command of an image's history.
Context = Literal["settings", "text", "shipped", "command"]
PRIVATE_KEY = "private key"


def _yes(match: re.Match[str], context: Context) -> bool:
    del match, context
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`pattern` is tried where one of `words` stands; its group `secret` is what must not be shown.

    `words` are in lower case and met in any case unless `is_exact`. `kept`: so many characters of the secret are the same in all
    of its kind. `is_named`: the pattern begins with a name (group `name`) that ends in the word, and that is shown. `contexts`:
    where the rule holds. `is_likely` has the last word.
    """

    name: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    is_exact: bool = False
    kept: int = 0
    is_named: bool = False
    contexts: tuple[Context, ...] = ("settings", "text", "shipped", "command")
    is_likely: Callable[[re.Match[str], Context], bool] = _yes


def entropy(text: str) -> float:
    """Return Shannon's entropy of a text in bits a character.

    >>> round(entropy("aaaa"), 1), round(entropy("abcd"), 1)
    (0.0, 2.0)
    """
    return sum(count / len(text) * math.log2(len(text) / count) for count in Counter(text).values())


def is_value(text: str) -> bool:
    """Tell whether a value can be a secret at all: it is there, and no reference, no path, no word such as `true`.

    >>> is_value("hunter2"), is_value("$DB_PASSWORD"), is_value("/run/secrets/db"), is_value("****"), is_value("true")
    (True, False, False, False, False)
    """
    return not _NO_VALUE.fullmatch(text)


def is_encrypted(key: str) -> bool:
    """Tell whether a private key as text says that a passphrase protects it (RFC 1421, RFC 5958, OpenSSH's PROTOCOL.key, PuTTY)."""
    if "ENCRYPTED" in key[:200] or re.search(r"Encryption: (?!none)", key[:400]):
        return True
    body = re.sub(r"\s|\\n|\\r", "", key.partition("OPENSSH PRIVATE KEY-----")[2][:200])[:80]
    try:
        # "openssh-key-v1", a NUL, and the cipher's name with its length before it
        return bool(body) and base64.b64decode(body)[15:23] != b"\0\0\0\4none"
    except binascii.Error:
        return False


# References of shells and templates, paths, masks, versions of packages (passwd=1:4.8), what means "none".
_NO_VALUE = re.compile(
    r"|[$%@&<\[{(=].*|.*(?:\$\{|\$\(|\{\{|<%).*|(?:/[\w.@-]+)+/?|(.)\1*|(?:\d+:)?\d+(?:\.\d+)+[\w.+~:-]*"
    r"|null|none|nil|true|false|yes|no|on|off|undefined|empty|unset",
    re.IGNORECASE | re.DOTALL,
)
_PLACEHOLDER = re.compile(
    r"changeme|change[_-]?this|example|placeholder|your|dummy|sample|insert|replace|redacted|default|foobar|test|x{4}|password|passwd|secret",
    re.IGNORECASE,
)
# Found by trial on the 41,000 files of a Debian: what a Python, Perl or JavaScript program calls a token or a secret has less.
_SHORTEST, _SHORTEST_IN_CODE, _MIXED = 6, 8, 3.0
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+|.*[()\[\]{}<>].*|[a-z]+://.*|.*::.*", re.DOTALL)


def _is_password(match: re.Match[str], context: Context) -> bool:
    value = match["secret"].rstrip(",;)")
    if not is_value(value):
        return False
    if context == "command":
        return True
    if _PLACEHOLDER.search(value) or _CODE.fullmatch(value):
        return False
    if not re.search(r"\d", value) or value.isdigit():
        return False
    if context == "settings":
        return len(value) >= _SHORTEST and entropy(value) >= min(_MIXED, 0.8 * math.log2(len(value)))
    return bool(match["quote"]) and len(value) >= _SHORTEST_IN_CODE and entropy(value) >= _MIXED


_NO_LOGIN = re.compile(
    r"(?:\w+:)?anon\w*|pass|passw(?:or)?d|pwd|secret|token|user|pw|x{3,}|\.+|\*+|.*[<>{}$%\[\]].*",
    re.IGNORECASE | re.DOTALL,
)
_NO_HOST = re.compile(
    r"(?:.*\.)?(?:example|test|invalid|localhost|host|server|domain|foo|bar)(?:[.\d].*)?", re.IGNORECASE
)


def _is_login(match: re.Match[str], context: Context) -> bool:
    host = match.groupdict().get("host")
    if context == "text" and host is not None and _NO_HOST.fullmatch(host):
        return False
    return is_value(match["secret"]) and not _NO_LOGIN.fullmatch(match["secret"])


def _is_key_inside(match: re.Match[str], context: Context) -> bool:
    del context
    try:
        return b"PRIVATE KEY-----" in base64.b64decode(match["secret"][:80])
    except binascii.Error:
        return False


def _token(name: str, pattern: str, *words: str, kept: int | None = None) -> Rule:
    whole = re.compile(rf"(?<![A-Za-z0-9])(?P<secret>{pattern})(?![A-Za-z0-9])", re.ASCII)
    return Rule(name=name, words=words, pattern=whole, is_exact=True, kept=kept or len(words[0]))


_TOKENS = (
    _token("AWS access key", r"(?:AKIA|ASIA)[A-Z0-9]{16}", "AKIA", "ASIA"),
    _token("GitHub token", r"gh[pousr]_[A-Za-z0-9]{36,250}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _token("GitHub token", r"github_pat_\w{50,250}", "github_pat_"),
    _token("GitLab token", r"gl(?:pat|rt|dt)-[\w-]{20,250}", "glpat-", "glrt-", "gldt-", kept=5),
    _token("Slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}", "xox"),
    _token("Slack webhook", r"hooks\.slack\.com/services/\w{8,20}/\w{8,20}/\w{20,40}", "hooks.slack.com/services/"),
    _token("Google API key", r"AIza[\w-]{35}", "AIza"),
    _token("Google OAuth secret", r"GOCSPX-[\w-]{28}", "GOCSPX-"),
    _token("Stripe key", r"[rs]k_live_[A-Za-z0-9]{20,250}", "sk_live_", "rk_live_"),
    _token("npm token", r"npm_[A-Za-z0-9]{36}", "npm_"),
    _token("PyPI token", r"pypi-AgE[\w-]{60,250}", "pypi-AgE"),
    _token("Docker Hub token", r"dckr_[po]at_[\w-]{20,250}", "dckr_pat_", "dckr_oat_"),
    _token("SendGrid key", r"SG\.[\w-]{20,24}\.[\w-]{39,50}", "SG."),
    _token("Vault token", r"hv[sb]\.[\w-]{24,250}", "hvs.", "hvb."),
    _token("DigitalOcean token", r"do[opr]_v1_[0-9a-f]{64}", "dop_v1_", "doo_v1_", "dor_v1_"),
    _token("Hugging Face token", r"hf_[A-Za-z0-9]{34,40}", "hf_"),
    _token("OpenAI key", r"sk-[\w-]{20,180}T3BlbkFJ[\w-]{20,180}", "sk-"),
    _token("Anthropic key", r"sk-ant-[\w-]{40,250}", "sk-ant-"),
    _token("Databricks token", r"dapi[0-9a-f]{32}", "dapi"),
    _token("Shopify token", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", "shpat_", "shpca_", "shppa_", "shpss_"),
    _token("age secret key", r"AGE-SECRET-KEY-1[0-9A-Z]{58}", "AGE-SECRET-KEY-1"),
    _token("JSON web token", r"eyJ[\w-]{8,2000}\.eyJ[\w-]{8,8000}\.[\w-]{16,2000}", "eyJ"),
)

# Spaces, also as JSON spells them, up to two headers (RFC 1421), and a line of base64. Bounded, for texts come from strangers.
_GAP = r"(?:\s|\\n|\\r){0,20}"
_KEY_LINES = _GAP + r"(?:[A-Za-z-]{1,30}: [^\n\\]{1,100}" + _GAP + r"){0,3}[A-Za-z0-9+/=]{40}"
_KEYS = (
    # The contents have to be there: that a key begins so stands in many a program. \n: a key within JSON
    Rule(
        name=PRIVATE_KEY,
        words=("-----BEGIN ",),
        pattern=re.compile(
            r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,20})PRIVATE KEY(?: BLOCK)?-----(?P<secret>"
            + _KEY_LINES
            + r"(?:[A-Za-z0-9+/=\s]|\\n|\\r){0,20000})",
            re.ASCII,
        ),
        is_exact=True,
    ),
    Rule(
        name=PRIVATE_KEY,
        words=("PuTTY-User-Key-File-",),
        pattern=re.compile(r"PuTTY-User-Key-File-\d: (?P<kind>\S{1,40})(?P<secret>\s[\s\S]{40,8000}Private-MAC: \w+)"),
        is_exact=True,
    ),
    # "-----BEGIN " as base64, as kubeconfig and many an environment variable hold it
    Rule(
        name=PRIVATE_KEY,
        words=("LS0tLS1CRUdJTi",),
        pattern=re.compile(r"(?P<kind>)(?P<secret>LS0tLS1CRUdJTi[A-Za-z0-9+/=]{100,40000})", re.ASCII),
        is_exact=True,
        is_likely=_is_key_inside,
    ),
)

# PASSWORD, MYSQL_PASSWORD and db-password-2 name a secret; PASSWORD_FILE, TOKEN_URL and COMPASS do not.
_NAMED = (
    r"(?:passwd|password|passphrase|secret|token|credentials?|(?<![a-z])pass|(?<=[_-])pwd|secret[_-]?access[_-]?key|"
    r"secret[_-]?key[_-]?base|client[_-]?key[_-]?data|(?:api|access|auth|app|account|client|encryption|jwt|license|master|"
    r"private|secret|session|signing|storage)[_-]?key)(?:[_-]?(?:base64|b64|\d{1,2}))?"
)
NAMES_A_SECRET = re.compile(rf".{{0,200}}?{_NAMED}", re.IGNORECASE | re.ASCII)
_WORDS = (
    "passwd",
    "password",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "_key",
    "-key",
    "apikey",
    "accesskey",
)
_VALUE = r"(?P<quote>[\"']?)(?P<secret>[^\s\"'`]{4,250})"
# What a distribution ships holds no passwords of an image's owner; keys and tokens are looked for there as well.
_NOT_SHIPPED: tuple[Context, ...] = ("settings", "text", "command")
_SETTINGS = (
    Rule(
        name="password",
        words=_WORDS,
        pattern=re.compile(
            rf"(?P<name>[\w.-]{{0,60}}?{_NAMED})[\"']?[ \t]{{0,3}}(?:=>|:=|=|:)[ \t]{{0,3}}{_VALUE}",
            re.IGNORECASE | re.ASCII,
        ),
        contexts=_NOT_SHIPPED,
        is_named=True,
        is_likely=_is_password,
    ),
    Rule(
        name="password",
        words=_WORDS,
        pattern=re.compile(rf"(?:--|(?<=ENV ))(?P<name>[\w-]{{0,60}}?{_NAMED}) +{_VALUE}", re.IGNORECASE | re.ASCII),
        is_named=True,
        contexts=("command",),
        is_likely=_is_password,
    ),
    Rule(
        name="password in a URL",
        words=("://",),
        pattern=re.compile(r"://[^\s:/@'\"<>]{0,64}:(?P<secret>[^\s@/'\"<>]{3,250})@(?P<host>[\w.-]{1,250})", re.ASCII),
        contexts=_NOT_SHIPPED,
        is_likely=_is_login,
    ),
    Rule(
        name="password in netrc",
        words=("machine",),
        pattern=re.compile(
            r"machine\s+(?P<host>\S{1,250})\s+login\s+\S{1,250}\s+password\s+(?P<secret>[^\s\"'\\]{3,250})"
        ),
        contexts=_NOT_SHIPPED,
        is_likely=_is_login,
    ),
    Rule(
        name="npm token",
        words=("_authtoken", "_auth", "_password"),
        pattern=re.compile(r":_(?:authToken|auth|password)[ \t]{0,3}=[ \t]{0,3}[\"']?(?P<secret>[^\s\"'$]{8,250})"),
        contexts=_NOT_SHIPPED,
        is_likely=_is_login,
    ),
    Rule(
        name="registry login",
        words=('"auth"',),
        pattern=re.compile(r'"auth"\s{0,8}:\s{0,8}"(?P<secret>[A-Za-z0-9+/]{12,2000}={0,2})"', re.ASCII),
        contexts=_NOT_SHIPPED,
    ),
    Rule(
        name="password",
        words=("<password>", "<passphrase>"),
        pattern=re.compile(r"<(?P<name>password|passphrase)>(?P<quote>)(?P<secret>[^<\s]{4,250})</", re.IGNORECASE),
        contexts=("settings",),
        is_likely=_is_password,
    ),
    Rule(
        name="login of a request",
        words=("authorization",),
        pattern=re.compile(
            r"Authorization[\"']?:[ \t]{0,3}[\"']?(?:Bearer|Basic|token)[ \t]+(?P<secret>[\w+/=.~-]{8,2000})",
            re.IGNORECASE | re.ASCII,
        ),
        contexts=("settings", "command"),
    ),
    Rule(
        name="login of a request",
        words=("curl",),
        pattern=re.compile(r"curl[^|;&\n]{0,300}? (?:-u|--user)[ =]?[\"']?[^\s:\"']{1,64}:(?P<secret>[^\s\"']{3,250})"),
        contexts=("command",),
        is_likely=_is_login,
    ),
    Rule(
        name="password of a user",
        words=("echo",),
        pattern=re.compile(
            r"echo (?:-\w+ )?[\"']?[\w.-]{1,32}:(?P<secret>[^\s\"'|]{1,250})[\"']? {0,3}\| {0,3}(?:sudo )?(?:/\S+/)?chpasswd",
            re.ASCII,
        ),
        contexts=("command",),
        is_likely=lambda match, _context: is_value(match["secret"]),
    ),
)

RULES = (*_KEYS, *_TOKENS, *_SETTINGS)
_WORDS_FOR_RE2 = (
    r"(?i:passw[a-z]*|[^a-z]pass|[_-]pwd|passphrase|secret|token|credentials?|(?:[_-]|api|access|auth|app|account|client|"
    r"encryption|jwt|license|master|private|secret|session|signing|storage)key|key[_-]?(?:base|data))(?i:[_-]?(?:base64|b64|[0-9]{1,2}))?"
)
_KEYS_FOR_RE2 = (
    r"AKIA[A-Z0-9]{4}|ASIA[A-Z0-9]{4}|gh[pousr]_[A-Za-z0-9]{4}|github_pat_|gl(?:pat|rt|dt)-|xox[abeoprs]-|hooks\.slack\.com/services/",
    r"AIza[\w-]{4}|GOCSPX-|[rs]k_live_|npm_[A-Z0-9]|npm_[a-z]+[A-Z0-9]|pypi-AgE|dckr_[po]at_|SG\.[\w-]{4}|hv[sb]\.[\w-]{4}",
    r"do[opr]_v1_|hf_[A-Za-z0-9]{4}|T3BlbkFJ|sk-ant-|dapi[0-9a-f]{4}|shp(?:at|ca|pa|ss)_|AGE-SECRET-KEY-1|eyJ[\w-]{4}",
    r"PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-|LS0tLS1CRUdJTi",
)
_SETTINGS_FOR_RE2 = (
    _WORDS_FOR_RE2 + r"[\"']?[ \t]*[:=][ \t>=\"']*[^\s\"'`$<{(][^\s\"'`]*[0-9]",
    r"://[^\s:/@'\"<>]*:[^\s@/'\"<>]+@|machine\s+\S+\s+login\s|:_(?:auth|password)|\"auth\"\s*:\s*\"[A-Za-z0-9+/]{9}",
    r"(?i:<pass(?:word|phrase)>|authorization[\"']?:[ \t]*[\"']?(?:bearer|basic|token)[ \t])",
)
# What stands in every file in which a rule finds something, for RE2, and as little else as its speed allows: that goes by how many
# places of the pattern a text can be at. Of the 33,000 texts of a Debian (137 MB) 80 are left (3 MB), at 450 MB/s.
SIEVE = "|".join((*_KEYS_FOR_RE2, *_SETTINGS_FOR_RE2))
SIEVE_OF_SHIPPED = "|".join(_KEYS_FOR_RE2)
