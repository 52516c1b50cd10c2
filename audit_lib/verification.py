"""Is a report whole and unchanged: its files against what manifest, Statement and checksums each state of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from audit_lib.bundles import Bundle, is_inside
from audit_lib.errors import AuditError
from audit_lib.exports.manifest import ABOUT, MANIFEST, SCHEMA, SUMS
from audit_lib.exports.statement import PREDICATE_TYPE, STATEMENT, TYPE, predicate_of
from audit_lib.tables import BundleFault, Fault, make_table

_MAX_DOCUMENT = 64 * 1024 * 1024
_MAX_SHOWN = 120
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPED = re.compile(r"\\([\\nr])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of it: `faults` (schema `BundleFault`, none where the report is whole and unchanged), and what the report is of.

    `manifest`: as it was read, empty where it could not be. `signatures`: files beside the Statement or the checksums that sign
    these; they are not checked.
    """

    faults: pd.DataFrame
    manifest: Mapping[str, Any]
    file_count: int
    signatures: tuple[str, ...]


def verify(bundle: Bundle) -> Verified:
    """Return whether a report's files are those that were written, and every difference by name.

    Three files state the digest of each other file: `manifest.json`, the Statement and `SHA256SUMS`. Where they agree and the file
    does not, the file was changed; where one of them stands alone, that one was. Who changes all three alike is found out by a
    signature of the Statement only.
    """
    read = _Reader(bundle)
    faults = [*read.faults, *_of_files(bundle, read.stated)]
    if read.manifest and read.statement:
        changed = {one.path for one in faults if one.fault == "changed"}
        faults += _of_keys(read.manifest, read.statement["predicate"], changed)
    unique = {(one.path, one.fault, one.item): one for one in faults}
    return Verified(
        faults=make_table(BundleFault, unique.values()),
        manifest=read.manifest,
        file_count=len(bundle.files),
        signatures=tuple(sorted(name for name in bundle.files if _is_signature(name))),
    )


@dataclass(slots=True)
class _Stated:
    """What one of the three files states: SHA-256 by path, and lengths where it has them."""

    digests: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)


class _Reader:
    """The three files that state digests, as far as they can be read, and what is wrong with them."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.faults: list[BundleFault] = []
        self.stated: dict[str, _Stated] = {}
        self.manifest = self._document(MANIFEST, _check_manifest)
        self.statement = self._document(STATEMENT, _check_statement)
        if self.manifest:
            files: dict[str, Any] = self.manifest["files"]
            stated = _Stated({name: said["sha256"] for name, said in files.items()})
            stated.lengths = {name: said["bytes"] for name, said in files.items()}
            self._keep(MANIFEST, stated)
        if self.statement:
            subjects = {one["name"]: one["digest"]["sha256"] for one in self.statement["subject"]}
            self._keep(STATEMENT, _Stated(subjects))
        if SUMS in bundle.files:
            self._keep(SUMS, _Stated(dict(self._sums())))

    def _document(self, name: str, check: Callable[[Any], None]) -> dict[str, Any]:
        """Return a JSON document, empty where it is not there or not what it should be; the latter is a fault."""
        if name not in self._bundle.files:
            return {}
        try:
            found = json.loads(self._bundle.read(name, limit=_MAX_DOCUMENT), object_pairs_hook=_once)
            check(found)
        except (AuditError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._fault(name, f"cannot be read: {_said(error)}")
            return {}
        documents: dict[str, Any] = found
        return documents

    def _sums(self) -> Iterator[tuple[str, str]]:
        try:
            text = self._bundle.read(SUMS, limit=_MAX_DOCUMENT).decode("utf-8", "surrogateescape")
        except AuditError as error:
            self._fault(SUMS, f"cannot be read: {error}")
            return
        named: set[str] = set()
        for number, line in enumerate(text.split("\n"), start=1):
            match = _LINE.fullmatch(line)
            if match is None:
                if line:
                    self._fault(
                        SUMS, f"line {number}: expected a SHA-256, two spaces and a path", item=f"line {number}"
                    )
                continue
            name = (
                _ESCAPED.sub(lambda one: {"n": "\n", "r": "\r"}.get(one[1], one[1]), match[3]) if match[1] else match[3]
            )
            if name in named:
                self._fault(SUMS, f"line {number}: {name} is there twice", item=f"line {number}")
            named.add(name)
            yield name, match[2]

    def _keep(self, source: str, stated: _Stated) -> None:
        """Keep what a file states of paths inside; a path that leads out is a fault, and is not looked at."""
        for name in [name for name in stated.digests if not is_inside(name)]:
            del stated.digests[name]
            said = f"{source} names {name!r}, which leads out of the folder; it was not looked at"
            self.faults.append(_fault(source, "outside", said, item=name))
        self.stated[source] = stated

    def _fault(self, path: str, said: str, item: str | None = None) -> None:
        self.faults.append(_fault(path, "unreadable", f"{path} {said}", item=item))


def _check_manifest(found: Any) -> None:
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"expected the schema {SCHEMA!r}")
    if not isinstance(found["files"], dict):
        raise TypeError("files: expected an object")
    for name, said in found["files"].items():
        if (
            not isinstance(said["sha256"], str)
            or not _DIGEST.fullmatch(said["sha256"])
            or type(said["bytes"]) is not int
        ):
            raise ValueError(f"files: {name}: expected sha256 and bytes")
    if not isinstance(found["images"], list) or not all(isinstance(one, dict) for one in found["images"]):
        raise ValueError("images: expected a list of objects")


def _check_statement(found: Any) -> None:
    if not isinstance(found, dict) or (found.get("_type"), found.get("predicateType")) != (TYPE, PREDICATE_TYPE):
        raise ValueError(f"expected a Statement ({TYPE}) with the predicate {PREDICATE_TYPE}")
    names = [one["name"] for one in found["subject"]]
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ValueError("subject: expected each name once")
    if not all(_DIGEST.fullmatch(one["digest"]["sha256"]) for one in found["subject"]):
        raise ValueError("subject: expected a sha256 of 64 hexadecimal digits each")
    if not isinstance(found["predicate"], dict):
        raise TypeError("predicate: expected an object")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} is there twice")
    return found


def _of_files(bundle: Bundle, stated: Mapping[str, _Stated]) -> Iterator[BundleFault]:
    """Yield what is wrong with each file, and with what is stated of it."""
    for name, what in sorted(bundle.others.items()):
        yield _fault(name, "not_a_file", f"{name} is {what}, expected a file")
    listed = {name for one in stated.values() for name in one.digests}
    for name in sorted({*listed, *bundle.files, *ABOUT}):
        if name in bundle.others:
            continue
        said = {source: one.digests[name] for source, one in stated.items() if name in one.digests}
        if name not in bundle.files:
            expected = " or ".join(sorted(set(said.values()))) or None
            yield _fault(name, "missing", f"{name} is not there", expected=expected)
        elif said:
            yield from _of_contents(bundle, name, said, stated)
        elif name not in ABOUT and not _is_signature(name):
            yield _fault(name, "added", f"{name} is there, and was not when the report was made")
        if name not in ABOUT and name in listed:
            yield from _not_listed(name, said, stated)


def _of_contents(
    bundle: Bundle, name: str, said: Mapping[str, str], stated: Mapping[str, _Stated]
) -> Iterator[BundleFault]:
    try:
        found = bundle.digest(name)
    except AuditError as error:
        yield _fault(name, "changed", f"{name} cannot be read: {error}", expected=_one_of(said))
        return
    wrong = {source: digest for source, digest in said.items() if digest != found}
    if len(wrong) == len(said):
        length = next((one.lengths[name] for one in stated.values() if name in one.lengths), None)
        yield _fault(name, "changed", _changed(name, length, bundle.files[name]), expected=_one_of(said), found=found)
        if len(set(wrong.values())) == 1:
            return
    for source, digest in wrong.items():
        others = ", ".join(sorted(set(said) - set(wrong))) or "another does"
        text = f"{source} states another SHA-256 of {name} than {others}"
        yield _fault(source, "contradicts", text, item=name, expected=found, found=digest)
    if (
        not wrong
        and MANIFEST in stated
        and stated[MANIFEST].lengths.get(name, bundle.files[name]) != bundle.files[name]
    ):
        text = f"{MANIFEST} states another length of {name} than it has"
        lengths = {"expected": str(bundle.files[name]), "found": str(stated[MANIFEST].lengths[name])}
        yield _fault(MANIFEST, "contradicts", text, item=name, **lengths)


def _changed(name: str, expected: int | None, found: int) -> str:
    if expected is None or expected == found:
        return f"{name} was changed" + (f": still {found:,} bytes, other contents" if expected is not None else "")
    return f"{name} was changed: {expected:,} bytes expected, {found:,} found"


def _not_listed(name: str, said: Mapping[str, str], stated: Mapping[str, _Stated]) -> Iterator[BundleFault]:
    for source in sorted(set(stated) - set(said)):
        others = ", ".join(sorted(said))
        yield _fault(source, "not_listed", f"{source} does not list {name}, {others} does", item=name)


def _of_keys(manifest: Mapping[str, Any], predicate: Mapping[str, Any], changed: set[str]) -> Iterator[BundleFault]:
    """Yield each key in which manifest and Statement part, held against the one of them that was changed."""
    stands_alone = STATEMENT if STATEMENT in changed and MANIFEST not in changed else MANIFEST
    for key, here, there in _parted(predicate_of(manifest), dict(predicate), ""):
        expected, found = (here, there) if stands_alone == STATEMENT else (there, here)
        other = MANIFEST if stands_alone == STATEMENT else STATEMENT
        text = f"{stands_alone} states {key} otherwise than {other}"
        yield _fault(stands_alone, "contradicts", text, item=key, expected=_short(expected), found=_short(found))


_NOTHING = object()


def _parted(one: Any, other: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            yield from _parted(one.get(name, _NOTHING), other.get(name, _NOTHING), f"{key}.{name}" if key else name)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _parted(left, right, f"{key}[{number}]")
    elif one != other or type(one) is not type(other):
        yield key, one, other


def _short(value: Any) -> str | None:
    if value is _NOTHING:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _one_of(said: Mapping[str, str]) -> str:
    return " or ".join(sorted(set(said.values())))


def _is_signature(name: str) -> bool:
    return name.startswith((f"{STATEMENT}.", f"{SUMS}.", f"{MANIFEST}."))


def _said(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is not there"
    return " ".join(str(error).split())


def _fault(  # noqa: PLR0913 - the columns of a row
    path: str,
    fault: Fault,
    detail: str,
    *,
    item: str | None = None,
    expected: str | None = None,
    found: str | None = None,
) -> BundleFault:
    texts = {"item": item, "expected": expected, "found": found}
    shown = {name: None if text is None else _plain(text) for name, text in texts.items()}
    return BundleFault(path=_plain(path), fault=fault, detail=_plain(detail), **shown)


def _plain(text: str) -> str:
    """Return text that every table can hold: a name that is no UTF-8, and half of a pair that JSON may spell, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def against(recorded: Mapping[str, Any], image: pd.Series, layers: Sequence[str] | None) -> Iterator[BundleFault]:
    """Yield in what an image as it is now differs from what a report recorded of it.

    `recorded`: an image of the manifest. `image`: the row of `Image` now; `layers`: its diff ids, None where nothing tells. The
    digest of the config stands for the whole image; where either side does not tell it, that of the manifest does, or the layers.
    """
    reference = str(image["reference"])
    now = {name: None if pd.isna(image[name]) else str(image[name]) for name in _COMPARED}
    then = {name: recorded.get(name) for name in _COMPARED}
    for name in ("os", "architecture"):
        if then[name] != now[name]:
            yield _moved(reference, name, then[name], now[name], f"is of another platform: {name}")
    told = [name for name in ("config_digest", "manifest_digest") if then[name] is not None and now[name] is not None]
    if told:
        name = told[0]
        if then[name] != now[name]:
            yield _moved(reference, name, then[name], now[name], f"is another image than the report is of: {name}")
            yield from _of_layers(reference, recorded.get("diff_ids"), layers)
    elif recorded.get("diff_ids") and layers:
        yield from _of_layers(reference, recorded["diff_ids"], layers)
    else:
        said = "cannot be compared: neither digest of config or manifest nor layers are known on both sides, so whether it is "
        yield _moved(
            reference, "config_digest", then["config_digest"], now["config_digest"], said + "the same is unknown"
        )


_COMPARED = ("config_digest", "manifest_digest", "os", "architecture")


def _of_layers(reference: str, then: Any, now: Sequence[str] | None) -> Iterator[BundleFault]:
    if not isinstance(then, list) or now is None or then == list(now):
        return
    shared = next((number for number, (one, other) in enumerate(zip(then, now, strict=False)) if one != other), None)
    first = min(len(then), len(now)) if shared is None else shared
    text = f"shares the first {first} of {len(then)} layers, and has {len(now)}"
    yield _moved(
        reference,
        "diff_ids",
        str(then[first]) if first < len(then) else None,
        now[first] if first < len(now) else None,
        text,
    )


def _moved(reference: str, item: str, expected: Any, found: Any, text: str) -> BundleFault:
    said = None if expected is None else str(expected)
    return _fault(
        reference, "moved", f"{reference} {text}", item=item, expected=said, found=None if found is None else str(found)
    )
