"""What the attack surface is told from beside the tables, out of an image's tree and configuration."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from audit_lib.account import Group, User
from audit_lib.evidence import accounts, applets, secrets
from audit_lib.evidence.configuration import Place
from audit_lib.evidence.secret_rules import PRIVATE_KEY
from audit_lib.layer import NotKept
from audit_lib.rootfs import Rootfs
from audit_lib.surface import Secret, Seen
from audit_lib.tables import plain_text


def seen_in(
    rootfs: Rootfs,
    config: Mapping[str, Any],
    places: Sequence[Place],
    *,
    owned: Container[str],
    unsearched: str | None = None,
) -> Seen:
    """Return what was seen in an image; `places` are the secrets that were taken out of `config`.

    `unsearched`: why files could not be searched for secrets, where they could not.

    A secret that says of itself that it is an example is left out of the files that packages brought (`owned`, without a
    leading slash): documentation is full of them.
    """
    unknown: dict[str, str] = {}
    passwd, shadow, group, shells = (
        _stated(rootfs, path, unknown) for path in (accounts.PASSWD, accounts.SHADOW, accounts.GROUP, accounts.SHELLS)
    )
    run = config.get("config")
    return Seen(
        users=None if passwd is None else [_user(fields, shadow) for fields in passwd],
        groups=None if group is None else [Group(name, gid, tuple(members)) for name, gid, members in group],
        shells=shells,
        applets={plain_text(f"/{path}"): json.loads(found) for path, found in rootfs.evidence(applets.NAME).items()},
        secrets=[
            *_in_files(rootfs, owned),
            *_in_layers(rootfs),
            *(_in_configuration(place) for place in places),
        ],
        config=run if isinstance(run, dict) else {},
        unknown=unknown,
        unsearched=unsearched,
    )


def _stated(rootfs: Rootfs, path: str, unknown: dict[str, str]) -> Any:
    """Return what a file of accounts states, nothing where it is not there; None, and why in `unknown`, where it cannot be read."""
    found = rootfs.evidence_at(accounts.NAME, path)
    if isinstance(found, NotKept):
        unknown[f"/{path}"] = found.why
        return None
    return json.loads(found) if found else {} if path == accounts.SHADOW else []


def _user(fields: Sequence[Any], shadow: Mapping[str, str] | None) -> User:
    user = User(*fields)
    if user.password != accounts.IN_SHADOW:
        return user
    return user._replace(password="unknown" if shadow is None else shadow.get(user.name, "none"))


def _in_files(rootfs: Rootfs, owned: Container[str]) -> Iterator[Secret]:
    for path, found in rootfs.evidence(secrets.NAME).items():
        for rule, line, shown, is_example in json.loads(found):
            if not (is_example and path in owned):
                yield Secret(plain_text(f"/{path}"), f"line {line}", rule == PRIVATE_KEY, rule, shown)


def _in_layers(rootfs: Rootfs) -> Iterator[Secret]:
    """Yield the secrets of files that a later layer deleted or replaced: whoever pulls the image has them all the same."""
    shown = rootfs.evidence(secrets.NAME)
    for path, layer, found in rootfs.hidden_evidence(secrets.NAME):
        if shown.get(path) == found:  # copied up with other rights, or written again
            continue
        for rule, line, what, is_example in json.loads(found):
            if not is_example:
                yield Secret(plain_text(f"/{path}"), f"line {line}", rule == PRIVATE_KEY, rule, what, layer)


def _in_configuration(place: Place) -> Secret:
    secret = place.secret
    return Secret(None, place.where, secret.rule == PRIVATE_KEY, secret.rule, secret.shown)
