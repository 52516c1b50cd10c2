"""Which audits a schedule names: images or pairs, what they are judged by, what is written of them.

`ready/audits.yml` explains each key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit_lib.errors import SettingsError, UnknownImageError
from audit_lib.marked import Node, parse
from audit_lib.reference import parse_platform
from audit_lib.settings import Reader, read_file
from audit_lib.tables import HistoryRole
from audit_lib.wanted import Wanted

SCHEMA = "1"
SEVERITIES = ("critical", "high", "medium", "low", "never")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Beside the audits' folders the reports' folder holds these.
_TAKEN = ("history", "index.html", "index.json")
_IMAGES: tuple[HistoryRole, ...] = ("image", "full", "minimal", "app")
_SHARED = ("platforms", "policy", "vex", "formats", "gate", "keep")
_OWN = ("scanner_reports", "notebook", "parameters")
_HIGHEST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What makes an audit fail: a check of this severity or a graver one (None: as the policy says), or any of these checks."""

    fail_on: str | None = None
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long reports are kept: so many of an audit, so many days; None: for good. The last one always stays."""

    reports: int | None = None
    days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One audit of a schedule; paths are as the schedule states them, below its folder.

    `name` is that of its folder below `reports`. `images` by role: `image` alone, or `full` and `minimal`, with `app` or without.
    `scanner_reports`: by the role of the image that they are about. `notebook` and `policy`: None for those that are used where
    nobody names one. `lines`: where the schedule says these things.
    """

    name: str
    images: Mapping[HistoryRole, Wanted]
    notebook: str | None
    parameters: Mapping[str, str]
    formats: tuple[str, ...]
    policy: str | None
    vex: tuple[str, ...]
    scanner_reports: Mapping[HistoryRole, tuple[str, ...]]
    gate: Gate
    keep: Keep
    lines: Mapping[str, int]

    @property
    def judged(self) -> HistoryRole:
        """The role of the image that the gate judges: of a pair, the minimal one."""
        return "minimal" if "minimal" in self.images else "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A schedule that was read. `reports`: a folder; `history`: a folder or an fsspec URL; `jobs`: how many audits at once."""

    path: str
    reports: str
    history: str
    jobs: int
    audits: tuple[Planned, ...]


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Return the schedule of a file. Raises `SettingsError` with file and line where it does not fit."""
    return parse_plan(read_file(path), os.fspath(path))


def parse_plan(data: bytes, path: str) -> Plan:
    """Return the schedule that a document states. Raises `SettingsError` with file and line."""
    reader = Reader(path)
    given = reader.mapping(
        parse(data, path),
        "a schedule",
        required=("schema", "audits"),
        optional=("reports", "history", "jobs", "defaults"),
    )
    if reader.text(given["schema"], "schema") != SCHEMA:
        raise reader.error(given["schema"], "schema", f"expected {SCHEMA}")
    reports = reader.text(given["reports"], "reports") if "reports" in given else "reports"
    defaults = reader.mapping(given["defaults"], "defaults", optional=_SHARED) if "defaults" in given else {}
    planned: dict[str, Planned] = {}
    for node in reader.items(given["audits"], "audits"):
        for one in _audits(reader, node, defaults):
            earlier = planned.get(one.name.lower())
            if earlier is not None:
                place = f"{path}, line {one.lines['name']}: audits.name"
                raise SettingsError(f"{place}: {one.name!r} stands twice, first on line {earlier.lines['name']}")
            planned[one.name.lower()] = one
    if not planned:
        raise reader.error(given["audits"], "audits", "expected at least one audit")
    return Plan(
        path=path,
        reports=reports,
        history=reader.text(given["history"], "history") if "history" in given else f"{reports}/history",
        jobs=_count(reader, given["jobs"], "jobs") if "jobs" in given else 1,
        audits=tuple(planned.values()),
    )


def _audits(reader: Reader, node: Node, defaults: Mapping[str, Node]) -> list[Planned]:
    """Return the audits that one entry asks for: one a platform where it names several."""
    own = reader.mapping(node, "audits", required=("name",), optional=(*_IMAGES, *_SHARED, *_OWN))
    name = _name(reader, own["name"])
    key = f"audits.{name}"
    references = _references(reader, node, own, key)
    fields = {**defaults, **own}
    platforms = _platforms(reader, fields["platforms"], key) if "platforms" in fields else (None,)
    facts: dict[str, Any] = {
        "notebook": reader.text(own["notebook"], f"{key}.notebook") if "notebook" in own else None,
        "parameters": _parameters(reader, own["parameters"], f"{key}.parameters") if "parameters" in own else {},
        "formats": _texts(reader, fields, "formats", key) or ("html",),
        "policy": reader.text(fields["policy"], f"{key}.policy") if "policy" in fields else None,
        "vex": _texts(reader, fields, "vex", key),
        "scanner_reports": _reports(reader, own, references, key),
        "gate": _gate(reader, fields["gate"], f"{key}.gate") if "gate" in fields else Gate(),
        "keep": _keep(reader, fields["keep"], f"{key}.keep") if "keep" in fields else Keep(),
        "lines": {"name": own["name"].line, **{word: child.line for word, child in fields.items()}},
    }
    return [
        Planned(
            name=name if len(platforms) == 1 else f"{name}-{str(platform).replace('/', '-')}",
            images={role: Wanted(reference, platform) for role, reference in references.items()},
            **facts,
        )
        for platform in platforms
    ]


def _name(reader: Reader, node: Node) -> str:
    if node.text is None or not _NAME.fullmatch(node.text) or node.text.lower() in _TAKEN:
        expected = f"expected up to 100 letters, digits, '.', '_' and '-', since it names a folder, and none of {', '.join(_TAKEN)}"
        raise reader.error(node, "audits.name", expected)
    return node.text


def _references(reader: Reader, node: Node, own: Mapping[str, Node], key: str) -> dict[HistoryRole, str]:
    found = {role: reader.text(own[role], f"{key}.{role}") for role in _IMAGES if role in own}
    if set(found) not in ({"image"}, {"full", "minimal"}, {"full", "minimal", "app"}):
        stated = " and ".join(found) or "none"
        expected = "expected the key image, or full and minimal, with app or without"
        raise SettingsError(f"{reader.path}, line {node.line}: {key}: {expected}, found {stated}")
    return found


def _reports(
    reader: Reader, own: Mapping[str, Node], references: Mapping[HistoryRole, str], key: str
) -> dict[HistoryRole, tuple[str, ...]]:
    """Return the reports of scanners by image: a list where there is one image, else a list for each that has some."""
    if "scanner_reports" not in own:
        return {}
    if "image" in references:
        return {"image": _texts(reader, own, "scanner_reports", key)}
    given = reader.mapping(own["scanner_reports"], f"{key}.scanner_reports", optional=tuple(references))
    return {role: _texts(reader, given, role, f"{key}.scanner_reports") for role in references if role in given}


def _platforms(reader: Reader, node: Node, key: str) -> tuple[str, ...]:
    found = []
    for child in reader.items(node, f"{key}.platforms"):
        text = reader.text(child, f"{key}.platforms")
        try:
            parse_platform(text)
        except UnknownImageError:
            raise reader.error(child, f"{key}.platforms", "expected a platform such as linux/arm64") from None
        if not _NAME.fullmatch(text.replace("/", "-")):
            raise reader.error(child, f"{key}.platforms", "expected a platform such as linux/arm64")
        if text in found:
            raise reader.error(child, f"{key}.platforms", "expected each platform once")
        found.append(text)
    if not found:
        raise reader.error(node, f"{key}.platforms", "expected at least one platform")
    return tuple(found)


def _parameters(reader: Reader, node: Node, key: str) -> dict[str, str]:
    if node.fields is None:
        raise reader.error(node, key, "expected a mapping")
    for name, child in node.fields.items():
        if child.text is None:
            raise reader.error(child, f"{key}.{name[:60]}", "expected text, a number, true or false")
    return {name: str(child.text) for name, child in node.fields.items()}


def _texts(reader: Reader, fields: Mapping[str, Node], name: str, key: str) -> tuple[str, ...]:
    return reader.texts(fields[name], f"{key}.{name}") if name in fields else ()


def _gate(reader: Reader, node: Node, key: str) -> Gate:
    given = reader.mapping(node, key, optional=("fail_on", "checks"))
    return Gate(
        fail_on=reader.word(given["fail_on"], f"{key}.fail_on", SEVERITIES) if "fail_on" in given else None,
        checks=_texts(reader, given, "checks", key),
    )


def _keep(reader: Reader, node: Node, key: str) -> Keep:
    given = reader.mapping(node, key, optional=("reports", "days"))
    return Keep(**{name: _count(reader, child, f"{key}.{name}", highest=100_000) for name, child in given.items()})


def _count(reader: Reader, node: Node, key: str, *, highest: int = _HIGHEST) -> int:
    number = reader.count(node, key)
    if not 1 <= number <= highest:
        raise reader.error(node, key, f"expected a whole number from 1 to {highest:,}")
    return number
