"""Secrets to be sown into images: made up here, put together from pieces so that no scanner of repositories takes them for real."""

from __future__ import annotations

import base64
import random
import string

_chance = random.Random(20250101)
_LETTERS = string.ascii_letters + string.digits


def letters(count: int, alphabet: str = _LETTERS) -> str:
    """Return so many characters by chance, the same in each run."""
    return "".join(_chance.choice(alphabet) for _ in range(count))


def key(kind: str, *, bytes_: int = 600, head: bytes = b"", lines: str = "\n", header: str = "") -> str:
    """Return what looks like a private key as text: its armour, and contents by chance."""
    body = base64.b64encode(head + _chance.randbytes(bytes_)).decode()
    wrapped = lines.join(body[place : place + 64] for place in range(0, len(body), 64))
    return f"-----BEGIN {kind}-----{lines}{header}{wrapped}{lines}-----END {kind}-----{lines}"


UPPER, HEX = string.ascii_uppercase + string.digits, "0123456789abcdef"
# By the name of the rule that finds it: what must never be shown.
TOKENS = [
    ("AWS access key", "AKIA" + letters(16, UPPER)),
    ("GitHub token", "ghp_" + letters(36)),
    ("GitHub token", "ghs_" + letters(36)),
    ("GitHub token", "github_pat_" + letters(22) + "_" + letters(59)),
    ("GitLab token", "glpat-" + letters(20)),
    ("Slack token", "xoxb-" + letters(12, string.digits) + "-" + letters(12, string.digits) + "-" + letters(24)),
    ("Slack webhook", f"hooks.slack.com/services/T{letters(8, UPPER)}/B{letters(8, UPPER)}/{letters(24)}"),
    ("Google API key", "AIza" + letters(35)),
    ("Google OAuth secret", "GOCSPX-" + letters(28)),
    ("Stripe key", "sk_live_" + letters(24)),
    ("npm token", "npm_" + letters(36)),
    ("PyPI token", "pypi-AgEIcHlwaS5vcmc" + letters(80)),
    ("Docker Hub token", "dckr_pat_" + letters(27)),
    ("SendGrid key", f"SG.{letters(22)}.{letters(43)}"),
    ("Vault token", "hvs." + letters(90)),
    ("DigitalOcean token", "dop_v1_" + letters(64, HEX)),
    ("Hugging Face token", "hf_" + letters(34)),
    ("OpenAI key", f"sk-proj-{letters(40)}T3BlbkFJ{letters(40)}"),
    ("Anthropic key", "sk-ant-api03-" + letters(93)),
    ("Databricks token", "dapi" + letters(32, HEX)),
    ("Shopify token", "shpat_" + letters(32, HEX)),
    ("age secret key", "AGE-SECRET-KEY-1" + letters(58, UPPER)),
    ("JSON web token", f"eyJ{letters(20)}.eyJ{letters(60)}.{letters(43)}"),
]
KEYS = [
    ("RSA, not encrypted", key("RSA PRIVATE KEY")),
    ("not encrypted", key("PRIVATE KEY", bytes_=48)),
    ("EC, not encrypted", key("EC PRIVATE KEY", bytes_=120)),
    ("ENCRYPTED, encrypted", key("ENCRYPTED PRIVATE KEY")),
    ("RSA, encrypted", key("RSA PRIVATE KEY", header="Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n")),
    ("OPENSSH, not encrypted", key("OPENSSH PRIVATE KEY", head=b"openssh-key-v1\0\0\0\0\4none\0\0\0\4none")),
    ("OPENSSH, encrypted", key("OPENSSH PRIVATE KEY", head=b"openssh-key-v1\0\0\0\0\x0aaes256-ctr")),
    ("PGP, not encrypted", key("PGP PRIVATE KEY BLOCK", header="Version: GnuPG v2\n\n")),
    ("RSA, not encrypted", key("RSA PRIVATE KEY", lines="\\n")),
]
