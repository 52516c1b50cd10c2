"""What the attack surface is told from beside the tables: the image's accounts, the applets of a busybox, the secrets found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pandas as pd

from audit_lib.account import Group, User
from audit_lib.tables import SurfaceCategory

_FEW = 10
# The state of a password that nobody is asked for
EMPTY = "empty"
# What stands in place of a shell for those who may not log in.
NO_SHELLS = frozenset({"nologin", "false", "true", "null"})


class Secret(NamedTuple):
    """A secret that was found: `where` in the file at `path`, else in the configuration; `shown` is what may be told of it.

    `layer`: the one that alone holds the file, since a later one deleted or replaced it; None for what the image shows.
    """

    path: str | None
    where: str
    is_key: bool
    rule: str
    shown: str
    layer: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen in an image beside its tables.

    `users`, `groups`, `shells` (as /etc/shells lists them) are None where they cannot be told, and `unknown` says why, by the
    file's path; they are empty where there is no such file. `applets`: by the path of a busybox. `config`: the `config` of the OCI
    image configuration, secrets taken out. `unsearched`: why files could not be searched for secrets.
    """

    users: Sequence[User] | None
    groups: Sequence[Group] | None
    shells: Sequence[str] | None
    applets: Mapping[str, Sequence[str]]
    secrets: Sequence[Secret]
    config: Mapping[str, Any]
    unknown: Mapping[str, str] = field(default_factory=dict)
    unsearched: str | None = None


class Item(NamedTuple):
    """A row in the making: `SurfaceItem` without image and package, which are told from the path."""

    category: SurfaceCategory
    path: str | None
    name: str
    detail: str | None = None
    item_count: int = 1
    status: Literal["found", "unknown"] = "found"


def listed(paths: Sequence[str]) -> str:
    """Return paths in one line, those beyond the first few as a number.

    >>> listed(["/a", "/b"]), listed([f"/{number}" for number in range(20)])[-20:]
    ('/a, /b', '/8, /9 and 10 others')
    """
    more = f" and {len(paths) - _FEW:,} others" if len(paths) > _FEW else ""
    return ", ".join(paths[:_FEW]) + more


def names_of(seen: Seen) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names of users and groups by id; 0 is root whatever the files say."""
    users = {user.uid: user.name for user in reversed(seen.users or ())}
    groups = {group.gid: group.name for group in reversed(seen.groups or ())}
    return {0: "root", **users}, {0: "root", **groups}


def may_write(seen: Seen, file: pd.DataFrame) -> bool | None:
    """Tell whether the user whom the configuration names may write to a file (a row of `files`); None where that is not known."""
    if file.empty:
        return None
    user, _, group = str(seen.config.get("User") or "0").partition(":")
    known = {one.name: one for one in reversed(seen.users or ())}
    uid = int(user) if user.isdecimal() else known[user].uid if user in known else 0 if user == "root" else None
    if uid == 0:
        return True
    row = file.iloc[0]
    mode = int(row["mode"], 8)
    if mode & 0o002:
        return True
    if uid is None:
        return None
    if uid == row["uid"]:
        return bool(mode & 0o200)
    name = next((one.name for one in seen.users or () if one.uid == uid), None)
    gids = {one.gid for one in seen.groups or () if name in one.members or group in {one.name, str(one.gid)}}
    gids |= {one.gid for one in seen.users or () if one.uid == uid and not group}
    return bool(mode & 0o020) and row["gid"] in gids | ({int(group)} if group.isdecimal() else set())
