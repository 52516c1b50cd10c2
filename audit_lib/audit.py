"""From a reference to an `Audit`: the tables of one image."""

from __future__ import annotations

import datetime
import json
import os
import posixpath
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

from audit_lib import distribution, licenses, sizes
from audit_lib.errors import DamagedDatabaseError, DigestError, ImageFormatError
from audit_lib.formats import FORMATS
from audit_lib.formats.base import Broken, Format, Found
from audit_lib.formats.globs import Matcher
from audit_lib.purl import purl_of
from audit_lib.rootfs import Rootfs
from audit_lib.scan import LayerScan, Limits, scan_layer
from audit_lib.sources import open_image
from audit_lib.sources.base import Facts, LayerRef
from audit_lib.tables import Database, File, Image, Layer, Package, make_table, total

# Names of capabilities by number, linux/capability.h.
_CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
    "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
    "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override "
    "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The tables of one image; each is a DataFrame with the columns of the row class of that name in `audit_lib.tables`.

    `image` (one row), `layers`, `files`, `databases`, `packages`. `config` is the image configuration as parsed JSON.
    """

    image: pd.DataFrame
    layers: pd.DataFrame
    files: pd.DataFrame
    databases: pd.DataFrame
    packages: pd.DataFrame
    config: Mapping[str, Any]

    @property
    def is_damaged(self) -> bool:
        """Whether a package database is there and could not be read, so that the packages are not known."""
        return bool((self.databases["status"] == "damaged").any())

    @property
    def gaps(self) -> tuple[str, ...]:
        """What could not be read, a sentence each; empty where nothing is known to be missing."""
        damaged = self.databases[self.databases["status"] == "damaged"]
        said = [f"{row.image}: {row.database_path} ({row.format} database) is damaged: {row.detail}" for row in damaged.itertuples()]
        if not self.databases["status"].isin(["read", "damaged"]).any():
            said.append(f"{self.image['image'].iloc[0]}: no package database was found, so its packages are unknown")
        return tuple(said)


def audit(
    reference: str,
    *,
    platform: str | None = None,
    limits: Limits | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> Audit:
    """Return the `Audit` of the image that `reference` names, such as `docker:python:3.13` or `oci-dir:PATH`.

    `platform` (`linux/arm64`) picks from an index, default this machine's. `limits` bound what an image may ask for.
    `progress` is called with (what is read, stored bytes just read). Raises `AuditError` where there is no such image,
    where it is not what its format says, or where a digest is wrong. A package database that cannot be read is not an
    error: it is a `damaged` row of `databases`, and `gaps` says it.
    """
    limits = limits or Limits()
    keep = distribution.GLOBS
    scans: dict[str, LayerScan] = {}
    with open_image(reference, platform=platform) as source:
        for blob in source.blobs():
            report = None if progress is None else (lambda count, name=blob.name: progress(name, count))
            scans[blob.name] = scan_layer(blob, formats=FORMATS, keep=keep, limits=limits, progress=report)
        facts, kind = source.facts(), source.source
    layers = _in_order(facts, scans, reference)
    stacked = _Stacked(layers, limits)
    return _tables(stacked, facts, layers, reference, kind)


@dataclass(slots=True)
class _Place:
    """What is known of one database: its packages with the layer that introduced each, or why they are not known."""

    form: Format
    path: str
    problem: str | None = None
    packages: list[Found] = field(default_factory=list)
    first_layers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    detail: str | None = None


class _Stacked:
    """The layers stacked, and every package database read each time that a layer changed it."""

    def __init__(self, scans: Sequence[LayerScan], limits: Limits) -> None:
        self.rootfs = Rootfs(limits)
        self.places: dict[tuple[str, str], _Place] = {}
        self.deleted: dict[tuple[str, str], str] = {}
        asks = {form.name: Matcher(form.globs).matches for form in FORMATS}
        for number, scan in enumerate(scans, start=1):
            self.rootfs.add(scan)
            changed = {form for form, _ in scan.evidence}
            hides = any("/.wh." in f"/{path}" for path in scan.paths)
            kept = [scan.paths[row] for row in (*scan.kept, *scan.links)]
            for form in FORMATS:
                if form.name in changed or hides or any(asks[form.name](path) for path in kept):
                    self._read(form, number)

    def _read(self, form: Format, number: int) -> None:
        """Read all databases of a format as they stand with this layer on top."""
        found = {(form.name, path): _read_place(form, path, self.rootfs) for path in form.places(self.rootfs)}
        for key, place in found.items():
            before = self.places.get(key)
            known = before.first_layers if before else {}
            place.first_layers = {_key(package): known.get(_key(package), number) for package in place.packages}
            if place.problem is not None and before is not None:
                place.first_layers = known
        for key in [key for key in self.places if key[0] == form.name and key not in found]:
            lost = self.places.pop(key)
            told = "damaged" if lost.problem else f"{len(lost.packages):,} packages"
            self.deleted[key] = f"deleted by layer {number}; below it: {told}"
        self.places.update(found)


def _read_place(form: Format, path: str, rootfs: Rootfs) -> _Place:
    place = _Place(form, path)
    try:
        for found in form.read(rootfs, path):
            if isinstance(found, Broken):
                place.broken.append(found)
            else:
                place.packages.append(found)
    except DamagedDatabaseError as error:
        where = "" if error.path.lstrip("/") == path and error.line is None else _where(error, path)
        place.problem, place.packages = where + error.problem, []
    return place


def _where(error: DamagedDatabaseError, path: str) -> str:
    file = "" if error.path.lstrip("/") == path else f"/{error.path.lstrip('/')}"
    line = "" if error.line is None else f"line {error.line}"
    return ", ".join(part for part in (file, line) if part) + ": "


def _key(found: Found) -> tuple[Any, ...]:
    return (found.name, found.version, found.architecture, found.path)


def _in_order(facts: Facts, scans: Mapping[str, LayerScan], reference: str) -> list[LayerScan]:
    """Return the scans bottom first, each checked against what manifest and config promise."""
    ordered = []
    for number, layer in enumerate(facts.layers, start=1):
        where = f"{reference}: layer {number} of {len(facts.layers)}"
        scan = scans.get(layer.name)
        if scan is None:
            raise ImageFormatError(f"{where}: {layer.name} is missing")
        if layer.digest is not None and layer.digest != scan.layer_digest:
            raise DigestError(f"{where}: digest", expected=layer.digest, found=str(scan.layer_digest))
        if layer.diff_id != scan.diff_id:
            raise DigestError(f"{where}: diff id", expected=layer.diff_id, found=scan.diff_id)
        if layer.compressed_bytes not in {None, scan.compressed_bytes}:
            raise ImageFormatError(f"{where}: the manifest says {layer.compressed_bytes:,} bytes, there are {scan.compressed_bytes:,}")
        ordered.append(scan)
    return ordered


def _tables(stacked: _Stacked, facts: Facts, scans: Sequence[LayerScan], label: str, source: str) -> Audit:
    distro = distribution.read_distribution(stacked.rootfs)
    ownership = _Ownership(stacked)
    files = _files_table(stacked.rootfs, ownership, label)
    databases = _databases_table(stacked, label)
    packages = _packages_table(stacked, ownership, distro, label)
    layers = _layers_table(stacked.rootfs, facts, scans, label)
    return Audit(
        image=_image_table(facts, distro, label, source, layers, files, databases),
        layers=layers,
        files=files,
        databases=databases,
        packages=packages,
        config=facts.config,
    )


class _Ownership:
    """Which package owns which path of the tree, and what each package's files weigh."""

    def __init__(self, stacked: _Stacked) -> None:
        self.rootfs = stacked.rootfs
        self.paths = self.rootfs.paths()
        self.entries = [self.rootfs.entry(path) for path in self.paths]
        self.inodes = [self.rootfs.inode(path) for path in self.paths]
        self._rows = {path: row for row, path in enumerate(self.paths)}
        self.owners: list[tuple[str, str] | None] = [None] * len(self.paths)
        self.weights: dict[int, tuple[int, int]] = {}
        folders: dict[str, str | None] = {}
        below: dict[str, list[tuple[Format, Found]]] = {}
        places = sorted(stacked.places.values(), key=lambda place: not place.form.is_distribution)
        for place in places:
            for found in place.packages:
                try:
                    claimed = place.form.files(self.rootfs, found)
                except DamagedDatabaseError as error:
                    place.detail = f"{found.name}: which files it owns is not known: {error}"
                    continue
                if claimed is None:
                    continue
                exact = []
                for path in claimed:
                    if path.endswith("/"):
                        below.setdefault(path.rstrip("/"), []).append((place.form, found))
                    else:
                        exact.append(path)
                self._claim(place.form, found, self._rows_of(exact, folders))
        if below:
            self._claim_below(below)

    def parent(self, form: Format, found: Found) -> str | None:
        """Return `format:name` of the distribution package that owns the file which states this one."""
        row = self._rows.get(found.path)
        owner = None if row is None or form.is_distribution else self.owners[row]
        return None if owner is None or owner == (form.name, found.name) else f"{owner[0]}:{owner[1]}"

    def _rows_of(self, paths: Iterable[str], folders: dict[str, str | None]) -> set[int]:
        rows = set()
        for path in paths:
            row = self._rows.get(path)
            if row is None:
                # dpkg lists /lib/x where merged /usr has it in /usr/lib/x
                folder, _, name = path.rpartition("/")
                real = self.rootfs.real_folder(folder, folders)
                row = self._rows.get(f"{real}/{name}" if real else name) if real is not None else None
            if row is not None and self.entries[row].kind != "directory":  # type: ignore[union-attr]
                rows.add(row)
        return rows

    def _claim(self, form: Format, found: Found, rows: set[int]) -> None:
        owner = (form.name, found.name)
        for row in rows:
            if self.owners[row] is None:
                self.owners[row] = owner
        weights = {self.inodes[row]: self.entries[row].size for row in rows}  # type: ignore[union-attr]
        size, count = self.weights.get(id(found), (0, 0))
        self.weights[id(found)] = (size + sum(weights.values()), count + len(rows))

    def _claim_below(self, below: dict[str, list[tuple[Format, Found]]]) -> None:
        rows: dict[str, set[int]] = {folder: set() for folder in below}
        for row, path in enumerate(self.paths):
            if self.entries[row].kind == "directory":  # type: ignore[union-attr]
                continue
            folder = posixpath.dirname(path)
            while folder and folder not in rows:
                folder = posixpath.dirname(folder)
            if folder:
                rows[folder].add(row)
        for folder, claims in below.items():
            for form, found in claims:
                self._claim(form, found, rows[folder])


def _files_table(rootfs: Rootfs, ownership: _Ownership, label: str) -> pd.DataFrame:
    first_names: dict[Any, str] = {}
    shared = rootfs.shared_inodes()
    modes: dict[int, str] = {}
    columns: dict[str, list[Any]] = {column.name: [] for column in fields(File)}
    for path, entry, inode, owner in zip(ownership.paths, ownership.entries, ownership.inodes, ownership.owners, strict=True):
        assert entry is not None  # noqa: S101 - every path of the tree has an entry
        kind, size, link = entry.kind, entry.size, entry.link
        if kind == "hardlink" or inode in shared:
            first = first_names.setdefault(inode, path)
            kind, size, link = ("file", size, None) if first == path else ("hardlink", 0, f"/{first}")
        shown = f"/{path}"
        columns["path"].append(_text(shown))
        columns["kind"].append(kind)
        columns["file_bytes"].append(size)
        columns["mode"].append(modes.setdefault(entry.mode, f"{entry.mode:04o}"))
        columns["uid"].append(entry.uid)
        columns["gid"].append(entry.gid)
        columns["link_target"].append(None if link is None else _text(link))
        columns["layer"].append(entry.layer)
        columns["format"].append(owner[0] if owner else None)
        columns["package"].append(owner[1] if owner else None)
        columns["category"].append(sizes.category(shown, kind, entry.magic))
        columns["capabilities"].append(None if entry.capability is None else capability_text(entry.capability))
    columns["image"] = [label] * len(ownership.paths)
    return make_table(File, columns)


def _databases_table(stacked: _Stacked, label: str) -> pd.DataFrame:
    rows: dict[tuple[str, str], Database] = {}

    def say(form: str, path: str, status: str, count: int | None, detail: str | None) -> None:
        shown = _text(f"/{path}") if not path.startswith("**/") else path
        rows[form, shown] = Database(
            image=label, database_path=shown, format=form, status=status, package_count=count, detail=None if detail is None else _text(detail)  # type: ignore[arg-type]
        )

    for form in FORMATS:
        has_any = any(name == form.name for name, _ in stacked.places)
        for path in form.expected:
            if not (has_any and path.startswith("**/")):
                say(form.name, path, "absent", None, None)
        for path, why in stacked.rootfs.not_examined(form.name).items():
            say(form.name, path, "damaged", None, f"not looked into: {why}")
    for (name, path), detail in stacked.deleted.items():
        say(name, path, "absent", None, detail)
    for place in stacked.places.values():
        if place.problem is not None:
            say(place.form.name, place.path, "damaged", None, place.problem)
        else:
            say(place.form.name, place.path, "read", len(place.packages), place.detail)
        for broken in place.broken:
            say(place.form.name, broken.path, "damaged", None, broken.problem)
    return make_table(Database, rows.values())


def _packages_table(stacked: _Stacked, ownership: _Ownership, distro: distribution.Distribution, label: str) -> pd.DataFrame:
    rows = {}
    for place in stacked.places.values():
        for found in place.packages:
            weight = ownership.weights.get(id(found))
            row = Package(
                image=label,
                format=place.form.name,
                name=_text(found.name),
                version=None if found.version is None else _text(found.version),
                architecture=found.architecture,
                purl=purl_of(place.form, found, distro),
                source_name=found.source_name,
                source_version=found.source_version,
                licenses=licenses.normalized(map(_text, found.licenses)),
                installed_size_bytes=found.installed_size_bytes,
                file_bytes=None if weight is None else weight[0],
                file_count=None if weight is None else weight[1],
                first_layer=place.first_layers.get(_key(found)),
                database_path=_text(f"/{found.path}"),
                parent=ownership.parent(place.form, found),
            )
            # A database that states the same package twice (two stanzas, two archives in one) states it once here.
            rows.setdefault((row.format, row.name, row.version, row.architecture, row.database_path), row)
    return make_table(Package, rows.values())


def _layers_table(rootfs: Rootfs, facts: Facts, scans: Sequence[LayerScan], label: str) -> pd.DataFrame:
    history = [step for step in facts.config.get("history") or [] if isinstance(step, dict) and not step.get("empty_layer")]
    instructions = [step.get("created_by") for step in history] if len(history) == len(scans) else [None] * len(scans)
    reclaimable = rootfs.reclaimable_bytes()
    return make_table(
        Layer,
        [
            _layer_row(label, number, layer, scan, instructions[number - 1], reclaimable[number - 1])
            for number, (layer, scan) in enumerate(zip(facts.layers, scans, strict=True), start=1)
        ],
    )


def _layer_row(label: str, number: int, layer: LayerRef, scan: LayerScan, created_by: str | None, reclaimable: int) -> Layer:
    whiteouts = sum(posixpath.basename(path).startswith(".wh.") for path in scan.paths)
    folders = sum(kind == "5" for kind in scan.kinds)
    return Layer(
        image=label,
        layer=number,
        diff_id=scan.diff_id,
        layer_digest=layer.digest or (scan.layer_digest if scan.compression else None),
        media_type=layer.media_type,
        created_by=created_by or None,
        compressed_bytes=layer.compressed_bytes if layer.digest else (scan.compressed_bytes if scan.compression else None),
        unpacked_bytes=scan.unpacked_bytes,
        file_count=len(scan.paths) - folders - whiteouts,
        reclaimable_bytes=reclaimable,
        content_bytes=sum(scan.sizes) + sum(len(os.fsencode(link)) for row, link in scan.links.items() if scan.kinds[row] == "2"),
        whiteout_count=whiteouts,
    )


def _image_table(  # noqa: PLR0913 - what the tables of an image add up to
    facts: Facts,
    distro: distribution.Distribution,
    label: str,
    source: str,
    layers: pd.DataFrame,
    files: pd.DataFrame,
    databases: pd.DataFrame,
) -> pd.DataFrame:
    run = facts.config.get("config")
    run = run if isinstance(run, dict) else {}
    file_bytes = total(files["file_bytes"])
    counts = databases.loc[databases["status"] == "read", "package_count"]
    is_known = len(counts) > 0 and not (databases["status"] == "damaged").any()
    unowned = total(files.loc[files["package"].isna(), "file_bytes"])
    return make_table(
        Image,
        [
            Image(
                image=label,
                reference=label,
                source=source,
                manifest_digest=facts.manifest_digest,
                config_digest=facts.config_digest,
                os=_string(facts.config.get("os")),
                architecture=_string(facts.config.get("architecture")),
                created_utc=_utc(facts.config.get("created")),
                distro_id=distro.id,
                distro_version=distro.version,
                user=_string(run.get("User")),
                entrypoint=_json(run.get("Entrypoint")),
                cmd=_json(run.get("Cmd")),
                layer_count=len(layers),
                compressed_bytes=total(layers["compressed_bytes"]),
                unpacked_bytes=total(layers["unpacked_bytes"]),
                file_bytes=file_bytes,
                file_count=int((files["kind"] != "directory").sum()),
                package_count=total(counts) if is_known else None,
                unowned_share=unowned / file_bytes if is_known and file_bytes and unowned is not None else None,
                distro_name=distro.name,
            )
        ],
    )


def capability_text(data: bytes) -> str:
    """Return a `security.capability` attribute as `getcap` prints it: `cap_net_raw=ep` (linux/capability.h, vfs_cap_data).

    >>> capability_text(bytes.fromhex("0100000200200000000000000000000000000000"))
    'cap_net_raw=ep'
    """
    if len(data) not in {12, 20, 24}:
        return f"unknown ({data.hex()})"
    magic, *words = struct.unpack(f"<{len(data) // 4}I", data)
    permitted, inheritable = words[0], words[1]
    if len(words) > 3:  # noqa: PLR2004 - revision 2 and 3 hold two words each
        permitted, inheritable = permitted | words[2] << 32, inheritable | words[3] << 32
    groups: dict[str, list[str]] = {}
    for number in range(64):
        flags = "e" * (magic & 1) + "i" * (inheritable >> number & 1) + "p" * (permitted >> number & 1)
        if flags.strip("e"):
            name = _CAPABILITIES[number] if number < len(_CAPABILITIES) else str(number)
            groups.setdefault(flags, []).append(f"cap_{name}")
    return " ".join(f"{','.join(names)}={flags}" for flags, names in groups.items()) or "="


def _text(value: str) -> str:
    r"""Return text that every table and file can hold: bytes that are not UTF-8 are shown as `\xNN`."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _json(value: object) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


def _utc(value: object) -> str | None:
    """Return a time as ISO text to the second, ending in Z; None where it is not stated (or is Go's zero time)."""
    if not isinstance(value, str) or value.startswith("0001-"):
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
