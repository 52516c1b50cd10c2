"""Tables of what was taken out of single files while the layers passed by: one row a file, or a statement in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pandas as pd

from audit_lib.evidence import binaries, loader, scripts
from audit_lib.ownership import Ownership
from audit_lib.rootfs import Rootfs
from audit_lib.surface import Seen
from audit_lib.tables import Account, Binary, LoaderPath, Row, Script, make_table, plain_text


def binaries_table(ownership: Ownership, label: str) -> pd.DataFrame:
    """Return the ELF files of an image (schema `Binary`)."""
    return _by_file(Binary, ownership, label, binaries.NAME, binaries.facts_of)


def scripts_table(ownership: Ownership, label: str) -> pd.DataFrame:
    """Return the scripts of an image (schema `Script`)."""
    return _by_file(Script, ownership, label, scripts.NAME, scripts.facts_of)


def loader_table(rootfs: Rootfs, label: str) -> pd.DataFrame:
    """Return where the loaders of an image look for libraries (schema `LoaderPath`)."""
    rows = [
        (label, plain_text(f"/{stated_in}"), position, kind, path, name)
        for stated_in, found in rootfs.evidence(loader.NAME).items()
        for position, (kind, path, name) in enumerate(json.loads(found), start=1)
    ]
    rows += [
        (label, plain_text(f"/{stated_in}"), 0, "unreadable", "", why)
        for stated_in, why in rootfs.not_examined(loader.NAME).items()
    ]
    names = [field.name for field in fields(LoaderPath)]
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return make_table(LoaderPath, dict(zip(names, map(list, columns), strict=True)))


def accounts_table(seen: Seen, label: str) -> pd.DataFrame:
    """Return the users and groups of an image (schema `Account`)."""
    users = [
        Account(
            image=label,
            kind="user",
            name=user.name,
            id=user.uid,
            primary_gid=user.gid,
            home=user.home,
            shell=user.shell,
            members=None,
        )
        for user in seen.users or ()
    ]
    groups = [
        Account(
            image=label,
            kind="group",
            name=group.name,
            id=group.gid,
            primary_gid=None,
            home=None,
            shell=None,
            members=", ".join(group.members) or None,
        )
        for group in seen.groups or ()
    ]
    return make_table(Account, {(row.kind, row.name): row for row in (*users, *groups)[::-1]}.values())


def _by_file(
    row: type[Row], ownership: Ownership, label: str, extractor: str, facts_of: Callable[[bytes], dict[str, Any]]
) -> pd.DataFrame:
    """Return a table with one row a file that an extractor looked into, or could not: then `detail` says why."""
    rootfs = ownership.rootfs
    rows = {path: facts_of(found) for path, found in rootfs.evidence(extractor).items()}
    unread = {path: {"status": "not_examined", "detail": why} for path, why in rootfs.not_examined(extractor).items()}
    columns: dict[str, list[Any]] = {column.name: [] for column in fields(row)}
    for path, facts in sorted((rows | unread).items()):
        owner = ownership.owner(path)
        named = {"image": label, "path": plain_text(f"/{path}"), "package": owner[1] if owner else None}
        known = {**facts, **named}
        for name, values in columns.items():
            values.append(known.get(name))
    return make_table(row, columns)
