"""The users and groups that an image states, and the shells that it calls login shells; passwords never leave this module.

Sources: passwd(5), shadow(5), group(5), shells(5), crypt(5). A line that the C library would pass over (getpwent(3)) is passed
over here too: one without a name, or whose ids are no numbers.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator

from audit_lib.account import Group, User
from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Extractor

NAME = "accounts"
PASSWD, SHADOW, GROUP, SHELLS = "etc/passwd", "etc/shadow", "etc/group", "etc/shells"

# passwd(5): the password stands in shadow
IN_SHADOW = "shadow"

# crypt(5): what a hash begins with
_METHODS = {
    "1": "MD5",
    "2": "bcrypt",
    "5": "SHA-256",
    "6": "SHA-512",
    "7": "scrypt",
    "y": "yescrypt",
    "gy": "gost-yescrypt",
}
_MAX_ID = 2**32
# A hundred thousand users; a longer list is nobody's.
_MAX_BYTES = 8 * 1024**2


def users(text: str) -> Iterator[User]:
    r"""Yield the users in a passwd file.

    >>> list(users("root:x:0:0:root:/root:/bin/bash\n# none\n:x:1:1::/:\n"))
    [User(name='root', password='shadow', uid=0, gid=0, home='/root', shell='/bin/bash')]
    """
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) < 7 or not fields[0] or fields[0].startswith(("#", "+", "-")):  # noqa: PLR2004 - passwd(5)
            continue
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid is not None and gid is not None:
            yield User(fields[0], state(fields[1]), uid, gid, fields[5], fields[6])


def passwords(text: str) -> dict[str, str]:
    r"""Return the state of each user's password in a shadow file.

    >>> passwords("root:*:19000:0:99999:7:::\nanna:$6$salt$hash:1::::::\nguest::1::::::\n")
    {'root': 'locked', 'anna': 'SHA-512', 'guest': 'empty'}
    """
    lines = [line.split(":") for line in text.splitlines() if ":" in line and not line.startswith("#")]
    return {fields[0]: state(fields[1]) for fields in lines}


def groups(text: str) -> Iterator[Group]:
    r"""Yield the groups in a group file.

    >>> list(groups("adm:x:4:anna,bert\n"))
    [Group(name='adm', gid=4, members=('anna', 'bert'))]
    """
    for line in text.splitlines():
        fields = line.split(":")
        gid = _id(fields[2]) if len(fields) > 3 else None  # noqa: PLR2004 - group(5)
        if gid is not None and fields[0] and not fields[0].startswith(("#", "+", "-")):
            yield Group(fields[0], gid, tuple(name for name in fields[3].split(",") if name))


def shells(text: str) -> tuple[str, ...]:
    """Return the paths in a shells file, in its order."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip().startswith("/")))


def state(password: str) -> str:
    """Return what a password field says: `empty`, `shadow` (it stands there), `locked`, or the method of its hash.

    >>> state(""), state("x"), state("!$6$salt$hash"), state("$y$j9T$salt$hash"), state("ab0123456789.")
    ('empty', 'shadow', 'locked', 'yescrypt', 'DES')
    """
    if not password:
        return "empty"
    if password == "x":  # noqa: S105 - passwd(5)'s sign for "in shadow"
        return IN_SHADOW
    if password.startswith(("!", "*")):
        return "locked"
    parts = password.split("$")
    if password.startswith("$") and len(parts) > 2:  # noqa: PLR2004 - $method$…
        return _METHODS.get(parts[1].rstrip("abxy") if parts[1].startswith("2") else parts[1], "unknown method")
    return "DES" if len(password) == 13 else "locked"  # noqa: PLR2004 - crypt(5): what is no hash matches no password


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) < _MAX_ID else None  # noqa: PLR2004


def _extract(path: str, content: bytes) -> bytes:
    if len(content) > _MAX_BYTES:
        raise DamagedDatabaseError(path, None, f"{len(content):,} bytes, more than {_MAX_BYTES:,}")
    text = content.decode("utf-8", "backslashreplace")
    readers = {"passwd": users, "shadow": passwords, "group": groups, "shells": shells}
    found = readers[posixpath.basename(path)](text)
    return json.dumps(found if isinstance(found, dict) else list(found)).encode()


EXTRACTOR = Extractor(
    name=NAME, extract=_extract, extract_globs=tuple(f"**/{path}" for path in (PASSWD, SHADOW, GROUP, SHELLS))
)
