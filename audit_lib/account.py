"""A user and a group as passwd(5) and group(5) state them: values that readers make and tables are made of."""

from __future__ import annotations

from typing import NamedTuple


class User(NamedTuple):
    """A line of /etc/passwd. `password`: `empty`, `locked`, `none` (no entry in shadow), `shadow`, or the method of its hash."""

    name: str
    password: str
    uid: int
    gid: int
    home: str
    shell: str


class Group(NamedTuple):
    """A line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...]
