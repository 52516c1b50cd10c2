"""Users who may log in, and those who need no password for it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from audit_lib.account import User
from audit_lib.links import Links
from audit_lib.surface.facts import EMPTY, NO_SHELLS, Item, Seen
from audit_lib.surface.names import category_of

_FILE = "/etc/passwd"


def accounts(links: Links, seen: Seen) -> Iterator[Item]:
    """Yield the users whose shell starts a session, and those whose password is empty.

    A shell is one that /etc/shells lists, or whose name is one's; an empty field means /bin/sh (passwd(5)).
    """
    if seen.users is None:
        for category in ("login users", "empty passwords"):
            yield Item(category, _FILE, "", seen.unknown.get(_FILE), 0, "unknown")
        return
    for user in {user.name: user for user in reversed(seen.users)}.values():
        shell = user.shell or "/bin/sh"
        if _is_login(shell, seen):
            is_there = "" if links.real(shell) else " (not in the image)"
            yield Item("login users", _FILE, user.name, f"uid {user.uid}, shell {shell}{is_there}, {_password(user)}")
        if user.password == EMPTY:
            yield Item("empty passwords", _FILE, user.name, f"uid {user.uid}, shell {shell}")


def _is_login(shell: str, seen: Seen) -> bool:
    name = posixpath.basename(shell)
    return name not in NO_SHELLS and (shell in (seen.shells or ()) or category_of(name) == "shells")


def _password(user: User) -> str:
    """Return what is known of a password; one that was set belongs to all who have the image."""
    states = {
        EMPTY: "no password needed",
        "locked": "password locked",
        "none": "no password set",
        "unknown": "whether a password is set is not known",
    }
    return states.get(user.password, f"a password is set ({user.password})")
