"""Policies: which checks, how grave, with which thresholds, on which bases, and what is waived. `policy.yml` explains each key.

A policy states what differs from the default policy, which ships with the library. Waivers and bases are its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from audit_lib.compliance.base import Base, Check, OptionKind
from audit_lib.compliance.checks import CHECKS
from audit_lib.marked import Node, parse
from audit_lib.settings import Reader, read_file
from audit_lib.tables import Severity

DEFAULT = Path(__file__).with_name("policy.yml")
SCHEMA = "1"
NEVER = "never"
# Gravest first.
SEVERITIES: tuple[Severity, ...] = typing.get_args(Severity)

_CHECKS: Mapping[str, Check] = {check.id: check for check in CHECKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a policy says of one check; `line` is where, None where the default policy says it."""

    severity: Severity
    run: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A check whose outcome is accepted: by whom, why, until the end of which day, for which images (patterns of references)."""

    check: str
    owner: str
    reason: str
    until: dt.date
    images: tuple[str, ...] = ("*",)
    line: int = 0

    def is_for(self, check: str, image: str) -> bool:
        """Tell whether this waiver is for that check of that image."""
        return check == self.check and any(fnmatchcase(image, pattern) for pattern in self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy that was read.

    `digest`: SHA-256 of its file. `fail_on`: the lowest severity at which a check that fails makes the gate fail, None for never;
    `fail_on_not_assessable`: whether one that cannot tell does so too.
    """

    name: str
    path: str
    digest: str
    fail_on: Severity | None
    fail_on_not_assessable: bool
    settings: Mapping[str, Setting]
    bases: tuple[Base, ...] = ()
    waivers: tuple[Waiver, ...] = ()

    def gated_at(self, fail_on: Severity | None) -> Policy:
        """Return this policy with another gate."""
        return replace(self, fail_on=fail_on)

    def waiver(self, check: str, image: str) -> Waiver | None:
        """Return the waiver for a check of an image, the one that ends last where there are several."""
        fitting = [waiver for waiver in self.waivers if waiver.is_for(check, image)]
        return max(fitting, key=lambda waiver: waiver.until, default=None)


def read_policy(path: str | os.PathLike[str] | None = None) -> Policy:
    """Return the policy of a file, else the default policy. Raises `SettingsError` with file and line where it does not fit."""
    if path is None:
        return _default()
    return parse_policy(read_file(path), os.fspath(path))


def parse_policy(data: bytes, path: str) -> Policy:
    """Return the policy that a document states, over the default one. Raises `SettingsError` with file and line."""
    return _parse(data, path, _default())


@cache
def _default() -> Policy:
    everything = Policy(
        name="", path="", digest="", fail_on=None, fail_on_not_assessable=False, settings={}, bases=(), waivers=()
    )
    return replace(_parse(DEFAULT.read_bytes(), DEFAULT.name, everything), path="default")


def _parse(data: bytes, path: str, below: Policy) -> Policy:
    reader = Reader(path)
    given = reader.mapping(parse(data, path), "a policy", required=("schema",), optional=tuple(_READERS))
    if reader.text(given["schema"], "schema") != SCHEMA:
        raise reader.error(given["schema"], "schema", f"expected {SCHEMA}")
    read: dict[str, Any] = {}
    for key, (name, read_value) in _READERS.items():
        if key in given:
            read[name] = read_value(reader, given[key], below)
    read.setdefault("name", Path(path).stem)
    return replace(below, path=path, digest=f"sha256:{hashlib.sha256(data).hexdigest()}", **read)


def _read_name(reader: Reader, node: Node, below: Policy) -> str:
    del below
    return reader.text(node, "name")


def _read_gate(reader: Reader, node: Node, below: Policy) -> Severity | None:
    del below
    word = reader.word(node, "fail_on", (*SEVERITIES, NEVER))
    return None if word == NEVER else typing.cast("Severity", word)


def _read_flag(reader: Reader, node: Node, below: Policy) -> bool:
    del below
    return reader.flag(node, "fail_on_not_assessable")


def _read_checks(reader: Reader, node: Node, below: Policy) -> dict[str, Setting]:
    """Return what the policy says of each check, over what the policy below says."""
    given = reader.mapping(node, "checks", optional=tuple(_CHECKS))
    stated = {name: _read_setting(reader, given[name], _CHECKS[name], below.settings.get(name)) for name in given}
    return {**below.settings, **stated}


def _read_setting(reader: Reader, node: Node, check: Check, below: Setting | None) -> Setting:
    key = f"checks.{check.id}"
    required = ("severity", *check.options) if below is None else ()
    given = reader.mapping(node, key, required=required, optional=("severity", "run", *check.options))
    options = dict(below.options) if below is not None else {}
    for name, kind in check.options.items():
        if name in given:
            options[name] = _read_option(reader, given[name], f"{key}.{name}", kind)
    severity = reader.word(given["severity"], f"{key}.severity", SEVERITIES) if "severity" in given else None
    return Setting(
        severity=typing.cast("Severity", severity)
        if severity is not None
        else (below or Setting(severity="low")).severity,
        run=reader.flag(given["run"], f"{key}.run") if "run" in given else below is None or below.run,
        options=options,
        line=None if below is None else node.line,
    )


def _read_option(reader: Reader, node: Node, key: str, kind: OptionKind | tuple[str, ...]) -> Any:
    if isinstance(kind, tuple):
        return tuple(reader.word(one, key, kind) for one in reader.items(node, key))
    return _OPTIONS[kind](reader, node, key)


def _read_bases(reader: Reader, node: Node, below: Policy) -> tuple[Base, ...]:
    del below
    return tuple(_read_base(reader, one) for one in reader.items(node, "bases"))


def _read_base(reader: Reader, node: Node) -> Base:
    given = reader.mapping(node, "bases", required=("name", "layers"))
    layers = []
    for one in reader.items(given["layers"], "bases.layers"):
        digest = one.text or ""
        if (
            len(digest) != len("sha256:") + 64
            or not digest.startswith("sha256:")
            or set(digest[7:]) - set("0123456789abcdef")
        ):
            raise reader.error(one, "bases.layers", "expected sha256: and 64 hexadecimal digits")
        layers.append(digest)
    if not layers:
        raise reader.error(given["layers"], "bases.layers", "expected at least one layer")
    return Base(reader.text(given["name"], "bases.name"), tuple(layers))


def _read_waivers(reader: Reader, node: Node, below: Policy) -> tuple[Waiver, ...]:
    del below
    return tuple(_read_waiver(reader, one) for one in reader.items(node, "waivers"))


def _read_waiver(reader: Reader, node: Node) -> Waiver:
    given = reader.mapping(node, "waivers", required=("check", "reason", "owner", "until"), optional=("images",))
    check = reader.text(given["check"], "waivers.check")
    if check not in _CHECKS:
        raise reader.error(given["check"], "waivers.check", f"expected one of {', '.join(_CHECKS)}")
    return Waiver(
        check=check,
        owner=reader.text(given["owner"], "waivers.owner"),
        reason=reader.text(given["reason"], "waivers.reason"),
        until=reader.day(given["until"], "waivers.until"),
        images=reader.texts(given["images"], "waivers.images") if "images" in given else ("*",),
        line=node.line,
    )


_READERS: Mapping[str, tuple[str, Callable[[Reader, Node, Policy], Any]]] = {
    "name": ("name", _read_name),
    "fail_on": ("fail_on", _read_gate),
    "fail_on_not_assessable": ("fail_on_not_assessable", _read_flag),
    "checks": ("settings", _read_checks),
    "bases": ("bases", _read_bases),
    "waivers": ("waivers", _read_waivers),
}
_OPTIONS: Mapping[OptionKind, Callable[[Reader, Node, str], Any]] = {
    "count": Reader.count,
    "share": Reader.share,
    "bytes": Reader.bytes,
    "texts": Reader.texts,
    "flag": Reader.flag,
}
