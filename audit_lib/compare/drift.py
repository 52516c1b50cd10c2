"""The same image in several places: equal in every respect, or where they part."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, NamedTuple, Protocol

import pandas as pd

from audit_lib.compare.packages import compare_packages
from audit_lib.compare.sides import Audited, fact, formats_of, has_files, has_layers, is_stated, unknown_formats
from audit_lib.errors import TableError
from audit_lib.tables import Drift, DriftAspect, DriftStatus, make_table
from audit_lib.units import format_count

Verdict = Literal["same", "differs", "unknown"]
# from the whole to the parts
ASPECTS = typing.get_args(DriftAspect)

_FACTS = ("kind", "file_bytes", "mode", "uid", "gid", "link_target", "capabilities")
_ENGINES = {"docker", "podman"}
_REDACTED = "[redacted]"
_ALL = {"layers": "all layers", "config": "all keys", "packages": "all packages", "files": "all files"}


class Configured(Audited, Protocol):
    """What drift needs of an image: its tables and its configuration, empty where that is unknown."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The image configuration as parsed JSON, without the secrets in it."""


def compare_drift(images: Sequence[Configured]) -> pd.DataFrame:
    """Return where each further image parts from the first (schema `Drift`): digests, layers, config, packages, files.

    Layers that are equal by their diff ids hold the same files and packages, so these are `equal` too. Where layers differ, files
    are compared by kind, size, mode, owner, target and capabilities; by contents where both audits checked files, or where the
    same layer brought them. What cannot be known of either image is `unknown`, which is not equal. Raises `TableError` for fewer
    than two images.
    """
    if len(images) < 2:  # noqa: PLR2004 - it takes two
        raise TableError(f"drift: expected two or more images, found {len(images)}")
    first = images[0]
    rows = [
        Drift(
            position=position,
            image=str(fact(other, "image")),
            aspect=found.aspect,
            item=found.item,
            status=found.status,
            first_value=found.first,
            value=found.here,
            detail=found.detail,
        )
        for position, other in enumerate(images[1:], start=2)
        for found in _parted(first, other)
    ]
    return make_table(Drift, rows)


def verdicts(drift: pd.DataFrame) -> dict[int, Verdict]:
    """Return for each further image, by its position, whether it is the `same` as the first.

    `same`: nothing differs, and config or manifest have the same digest, from which all else follows. `unknown`: nothing is known
    to differ, but too little is known to call them the same.
    """
    found: dict[int, Verdict] = {}
    for position, rows in drift.groupby("position"):
        equal = rows.loc[rows["status"] == "equal", "aspect"]
        is_proven = equal.isin(["config_digest", "manifest_digest"]).any()
        is_other = (rows["status"] == "differs").any()
        found[int(str(position))] = "differs" if is_other else "same" if is_proven else "unknown"
    return found


def drift_sentences(drift: pd.DataFrame, first: str) -> Iterator[str]:
    """Yield for each further image a sentence that says whether it is the same as the first, and if not, in what it differs."""
    for position, verdict in verdicts(drift).items():
        rows = drift[drift["position"] == position]
        pair = f"{first} and {rows['image'].iloc[0]}"
        unknown = _counted(rows, "unknown")
        if verdict == "differs":
            yield f"{pair} differ: {_counted(rows, 'differs')}" + (f"; unknown: {unknown}" if unknown else "")
        elif verdict == "same":
            yield f"{pair} are the same image" + (f"; unknown: {unknown}" if unknown else "")
        else:
            yield f"{pair} are not known to be the same image; unknown: {unknown}"


class _Part(NamedTuple):
    """One thing compared: a row of `Drift` before it is known whose."""

    aspect: DriftAspect
    item: str
    status: DriftStatus
    first: str | None = None
    here: str | None = None
    detail: str | None = None


def _parted(first: Configured, other: Configured) -> Iterator[_Part]:
    yield from _digests(first, other)
    layers = list(_layers(first, other))
    yield from layers
    yield from _config(first, other)
    if all(part.status == "equal" for part in layers):
        yield _Part("packages", _ALL["packages"], "equal", detail="the layers are the same")
        yield _Part("files", _ALL["files"], "equal", detail="the layers are the same")
        return
    yield from _packages(first, other)
    yield from _files(first, other)


def _digests(first: Configured, other: Configured) -> Iterator[_Part]:
    config = _compared("config_digest", fact(first, "config_digest"), fact(other, "config_digest"))
    manifest = _compared("manifest_digest", fact(first, "manifest_digest"), fact(other, "manifest_digest"))
    if manifest.status == "differs" and config.status == "equal":
        if {fact(first, "source"), fact(other, "source")} & _ENGINES:
            detail = (
                "the configs are the same; what an engine remembers may be the digest of an index of several platforms"
            )
            manifest = manifest._replace(status="unknown", detail=detail)
        else:
            manifest = manifest._replace(
                detail="the configs are the same, and so are the layers' contents; they are packed otherwise"
            )
    yield manifest
    yield config


def _compared(aspect: DriftAspect, first: str | None, here: str | None) -> _Part:
    """Return whether two digests are equal; where either is missing that is unknown."""
    status: DriftStatus = "unknown" if first is None or here is None else "equal" if first == here else "differs"
    return _Part(aspect, "digest", status, first, here)


def _layers(first: Configured, other: Configured) -> Iterator[_Part]:
    if not (has_layers(first) and has_layers(other)):
        yield _Part("layers", _ALL["layers"], "unknown", detail="known from an SBOM alone")
        return
    pairs = list(zip_longest(first.layers["diff_id"], other.layers["diff_id"]))
    for number, (before, here) in enumerate(pairs, start=1):
        status: DriftStatus = "equal" if before == here else "differs"
        yield _Part("layers", f"layer {number:0{len(str(len(pairs)))}}", status, before, here)
    if not pairs:
        yield _Part("layers", _ALL["layers"], "equal", detail="there are none")


def _config(first: Configured, other: Configured) -> Iterator[_Part]:
    if not (first.config and other.config):
        yield _Part("config", _ALL["config"], "unknown", detail="known from an SBOM alone")
        return
    is_same = fact(first, "config_digest") == fact(other, "config_digest")
    before, here = (dict(_flat(side.config)) for side in (first, other))
    for key in sorted(before.keys() | here.keys()):
        part = _Part("config", key, "equal", before.get(key), here.get(key))
        if part.first != part.here:
            part = part._replace(status="differs")
        elif _REDACTED in str(part.first) and not is_same:
            part = part._replace(status="unknown", detail="what is secret of it is not compared")
        yield part


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the configuration key by key, variables and instructions one by one; the layers are an aspect of their own."""
    if path == "rootfs.diff_ids":
        return
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif path == "config.Env" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        for one in value:
            name, _, text = one.partition("=")
            yield f"{path}.{name}", text
    elif path == "history" and isinstance(value, list):
        for number, step in enumerate(value, start=1):
            yield f"{path}.{number:03}", _text(step)
    else:
        yield path, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _packages(first: Configured, other: Configured) -> Iterator[_Part]:
    changes = compare_packages(first, other)
    formats = formats_of(first) | formats_of(other)
    unknown = unknown_formats(first, formats) | unknown_formats(other, formats)
    # What an SBOM does not list may be there all the same, unless it lists others of that format.
    unlisted = [formats - formats_of(side) for side in (first, other) if is_stated(side)]
    unknown = unknown.union(*unlisted)
    if not formats:
        yield _Part("packages", _ALL["packages"], "unknown", detail="no package database was found in either")
    for name in sorted(unknown):
        yield _Part("packages", f"{name} packages", "unknown", detail="not known of both images")
    told = changes[~changes["format"].isin(unknown)]
    parted = told[told["change"] != "kept"]
    for row in parted.to_dict("records"):
        before, here = (None if pd.isna(row[name]) else str(row[name]) for name in ("version_full", "version_minimal"))
        detail = {"added": "not in the first", "removed": "in the first only"}.get(row["change"])
        yield _Part("packages", f"{row['format']}:{row['name']}", "differs", before, here, detail)
    if len(told) and not len(parted):
        yield _Part(
            "packages", "all that are known" if unknown else _ALL["packages"], "equal", detail=_names(len(told))
        )


def _names(count: int) -> str:
    return f"{format_count(count)} names in the same versions"


def _files(first: Configured, other: Configured) -> Iterator[_Part]:
    if not (has_files(first) and has_files(other)):
        yield _Part("files", _ALL["files"], "unknown", detail="known from an SBOM alone")
        return
    before, here = _located(first), _located(other)
    both = before.merge(
        here, on="path", how="outer", suffixes=("_first", "_here"), validate="one_to_one", indicator=True
    )
    is_alone = both["_merge"] != "both"
    is_other = pd.Series(data=False, index=both.index)
    for name in _FACTS:
        left, right = both[f"{name}_first"], both[f"{name}_here"]
        is_other |= (left != right).fillna(left.isna() != right.isna()).astype(bool)
    made = both["content_digest_first"].notna() & both["content_digest_here"].notna()
    contents = (both["content_digest_first"] != both["content_digest_here"]).fillna(value=False).astype(bool) & made
    for row in both[is_alone | is_other | contents].to_dict("records"):
        alone = {"left_only": "in the first only", "right_only": "not in the first"}.get(str(row["_merge"]))
        yield _Part("files", str(row["path"]), "differs", _described(row, "first"), _described(row, "here"), alone)
    same_layer = (both["diff_id_first"] == both["diff_id_here"]).fillna(value=False).astype(bool)
    is_file = both["kind_first"].isin(["file", "hardlink"]) & both["file_bytes_first"].ne(0)
    uncertain = int((is_file & ~is_alone & ~is_other & ~made & ~same_layer).sum())
    if uncertain:
        detail = f"{format_count(uncertain)} files of equal size, mode and owner, out of layers that differ, were not checked"
        yield _Part("files", "contents", "unknown", detail=detail)
    elif not (is_alone | is_other | contents).any():
        yield _Part("files", _ALL["files"], "equal", detail=f"{format_count(len(both))} paths")


def _located(side: Configured) -> pd.DataFrame:
    """Return the files, each with the diff id of the layer that brought it."""
    layers = side.layers[["layer", "diff_id"]]
    return side.files[["path", "content_digest", "layer", *_FACTS]].merge(
        layers, on="layer", how="left", validate="many_to_one"
    )


def _described(row: Mapping[Any, Any], side: str) -> str | None:
    """Return the facts of a file in words, None where it is not there."""
    if pd.isna(row[f"kind_{side}"]):
        return None
    facts = {name: row[f"{name}_{side}"] for name in (*_FACTS, "content_digest")}
    said = [f"{facts['kind']} {facts['mode']} {facts['uid']}:{facts['gid']}"]
    if facts["kind"] == "file":
        said.append(f"{format_count(int(facts['file_bytes']))} bytes")
    said += [f"-> {facts['link_target']}" for _ in range(not pd.isna(facts["link_target"]))]
    said += [str(facts[name]) for name in ("capabilities", "content_digest") if not pd.isna(facts[name])]
    return " ".join(said)


def _counted(rows: pd.DataFrame, status: DriftStatus) -> str:
    """Return how many things of which aspects have a status, such as "config digest, 2 layers, 1 config key"."""
    words = {"layers": "layer", "config": "config key", "packages": "package", "files": "file"}
    counts = rows.loc[rows["status"] == status, "aspect"].value_counts()
    said = []
    for aspect in (aspect for aspect in ASPECTS if aspect in counts):
        count = int(counts[aspect])
        is_whole = status == "unknown" or aspect not in words
        plural = "s" * (count > 1)
        said.append(aspect.replace("_", " ") if is_whole else f"{format_count(count)} {words[aspect]}{plural}")
    return ", ".join(said)
