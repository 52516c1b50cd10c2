"""From the layers of an image as they were read to the tables of its audit."""

from __future__ import annotations

import datetime as dt
import json
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from audit_lib import cpe, distribution, licenses, sizes
from audit_lib.alterations import alterations
from audit_lib.capabilities import capability_text
from audit_lib.claims import claim_notes, claims_tables
from audit_lib.evidence import secrets
from audit_lib.evidence.configuration import cleaned
from audit_lib.extracted import accounts_table, binaries_table, loader_table, scripts_table
from audit_lib.finished import Assembled
from audit_lib.formats import FORMATS
from audit_lib.inventory import Inventory, key_of
from audit_lib.layer import LayerScan, Limits
from audit_lib.ownership import Ownership
from audit_lib.purl import purl_of
from audit_lib.reading import Layers
from audit_lib.rootfs import Entry, Rootfs
from audit_lib.seen import seen_in
from audit_lib.sources import sample
from audit_lib.sources.base import Facts, LayerRef
from audit_lib.surface import Seen, surface_table
from audit_lib.tables import (
    AlteredFile,
    Binary,
    Database,
    File,
    Image,
    Layer,
    Package,
    RemovedPackage,
    Script,
    Status,
    make_table,
    plain_text,
    total,
)
from audit_lib.units import format_count, format_share

# Above this share of bytes that no package claims, an image's packages say too little of it to be taken for the whole.
_LARGE_SHARE = 0.25


def assemble(read: Layers, limits: Limits, label: str, *, check_files: bool) -> Assembled:
    """Return the tables of an image; `check_files`: its files were hashed, and are compared with what their packages state."""
    inventory = Inventory(read.scans, limits)
    config, places = cleaned(read.facts.config)
    facts = replace(read.facts, config=config)
    source = read.source
    distro = distribution.read_distribution(inventory.rootfs)
    ownership = Ownership(inventory)
    files = _files_table(inventory.rootfs, ownership, label)
    databases = _databases_table(inventory, label)
    layers = _layers_table(inventory.rootfs, facts, read.scans, label)
    packages = _packages_table(inventory, ownership, distro, layers, label)
    image = _image_table(facts, distro, label, source, layers, files, databases)
    removed_packages = _removed_table(inventory, layers, label)
    altered_files = _altered_table(inventory, ownership, label, check_files=check_files)
    sbom_documents, sbom_claims = claims_tables(ownership, packages, label)
    owned = {path for path, owner in zip(ownership.paths, ownership.owners, strict=True) if owner}
    unsearched = "the contents of a sample's files are blank" if source == sample.SCHEME else None
    seen = seen_in(inventory.rootfs, config, places, owned=owned, unsearched=unsearched)
    unknown = frozenset(_unknown(seen, source))
    tables = {
        "image": image,
        "layers": layers,
        "files": files,
        "databases": _hidden(databases),
        "packages": _hidden(packages),
        "removed_packages": removed_packages,
        "altered_files": altered_files,
        "binaries": make_table(Binary, []) if "binaries" in unknown else binaries_table(ownership, label),
        "scripts": make_table(Script, []) if "scripts" in unknown else scripts_table(ownership, label),
        "loader_paths": loader_table(inventory.rootfs, label),
        "accounts": accounts_table(seen, label),
        "sbom_documents": _hidden(sbom_documents),
        "sbom_claims": sbom_claims,
        "surface": surface_table(files, databases, seen, label=label),
    }
    notes = (*_notes(image.iloc[0], removed_packages, altered_files), *claim_notes(sbom_claims, label))
    return Assembled(tables=tables, config=config, notes=notes, unknown=unknown)


def _hidden(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose details hold no secret: they quote what stands in files, an address with a password in it too."""
    said = {text: secrets.hidden(text) for text in table["detail"].dropna().unique()}
    changed = {text: shown for text, shown in said.items() if text != shown}
    return table.assign(detail=table["detail"].replace(changed)) if changed else table


def _unknown(seen: Seen, source: str) -> Iterator[str]:
    """Yield the tables of which nothing is known, though the image's files are."""
    if seen.users is None or seen.groups is None:
        yield "accounts"
    if source == sample.SCHEME:  # its programs are blank
        yield from ("binaries", "scripts")


def _notes(image: pd.Series, removed: pd.DataFrame, altered: pd.DataFrame) -> Iterator[str]:
    """Yield what has to be known of an image before its figures are read."""
    label = image["image"]
    if image["source"] == "sample":
        yield sample.NOTE.format(label)
    share = image["unowned_share"]
    if not pd.isna(share) and share > _LARGE_SHARE:
        yield (
            f"{label}: no package claims {format_share(share)} of its bytes, so the packages tell only of the rest; "
            "a short list is no clean list"
        )
    deleted = removed[removed["change"] == "metadata_deleted"]
    for (form, layer), rows in deleted.groupby(["format", "removed_layer"]):
        yield (
            f"{label}: layer {layer} deleted the records of {format_count(len(rows))} {form} packages and left their files: "
            "they are still there, and no list names them (see removed_packages)"
        )
    changed = int((altered["change"] == "changed").sum())
    if changed:
        yield f"{label}: {format_count(changed)} files are not those that their packages state (see altered_files)"


def _files_table(rootfs: Rootfs, ownership: Ownership, label: str) -> pd.DataFrame:
    paths = [f"/{path}" for path in ownership.paths]
    layers, kinds, sizes_, modes, uids, gids, links, magics, capabilities = (
        [list(column) for column in zip(*ownership.entries, strict=True)] if paths else [[] for _ in Entry._fields]
    )
    shared = rootfs.shared_inodes()
    first_names: dict[Any, str] = {}
    for row, inode in enumerate(ownership.inodes) if shared else ():
        if inode in shared:
            first = first_names.setdefault(inode, paths[row])
            kinds[row], links[row] = ("file", None) if first is paths[row] else ("hardlink", first)
            sizes_[row] = sizes_[row] if first is paths[row] else 0
    octal = {mode: f"{mode:04o}" for mode in set(modes)}
    columns: dict[str, list[Any]] = {
        "image": [label] * len(paths),
        "path": [plain_text(path) for path in paths],
        "kind": kinds,
        "file_bytes": sizes_,
        "mode": [octal[mode] for mode in modes],
        "uid": uids,
        "gid": gids,
        "link_target": [None if link is None else plain_text(link) for link in links],
        "layer": layers,
        "format": [owner[0] if owner else None for owner in ownership.owners],
        "package": [owner[1] if owner else None for owner in ownership.owners],
        "category": list(map(sizes.category, paths, kinds, magics)),
        "capabilities": [None if stored is None else capability_text(stored) for stored in capabilities],
        "owner_count": ownership.owner_counts,
        "content_digest": [_content_digest(rootfs, inode) for inode in ownership.inodes],
    }
    return make_table(File, columns)


def _content_digest(rootfs: Rootfs, inode: tuple[int, int] | None) -> str | None:
    """Return the digest of a file's contents, None where the scans made none, or it is no file."""
    if inode is None or not rootfs.scans[inode[0]].digests:
        return None
    found = rootfs.scans[inode[0]].digests.get(inode[1], {}).get("sha256")
    return None if found is None else f"sha256:{found}"


def _databases_table(inventory: Inventory, label: str) -> pd.DataFrame:
    rows: dict[tuple[str, str], Database] = {}

    def say(form: str, path: str, status: Status, count: int | None, detail: str | None) -> None:
        shown = plain_text(f"/{path}") if not path.startswith("**/") else path
        rows[form, shown] = Database(
            image=label,
            database_path=shown,
            format=form,
            status=status,
            package_count=count,
            detail=None if detail is None else plain_text(detail),
        )

    for form in FORMATS:
        has_any = any(name == form.name for name, _ in inventory.places)
        for path in form.expected:
            if not (has_any and path.startswith("**/")):
                say(form.name, path, "absent", None, None)
        for path, why in inventory.rootfs.not_examined(form.name).items():
            say(form.name, path, "damaged", None, f"not looked into: {why}")
    for (name, path), detail in inventory.deleted.items():
        say(name, path, "absent", None, detail)
    for place in inventory.places.values():
        if place.problem is not None:
            say(place.form.name, place.path, "damaged", None, place.problem)
        else:
            # the rows of `packages`: one that is stated twice counts once
            say(place.form.name, place.path, "read", len({*map(key_of, place.packages)}), place.detail)
        for broken in place.broken:
            say(place.form.name, broken.path, "damaged", None, broken.problem)
    return make_table(Database, rows.values())


def _packages_table(
    inventory: Inventory,
    ownership: Ownership,
    distro: distribution.Distribution,
    layers: pd.DataFrame,
    label: str,
) -> pd.DataFrame:
    rows: dict[tuple[str | None, ...], Package] = {}
    instructions = _instructions(layers)
    for place in inventory.places.values():
        for found in place.packages:
            weight = ownership.weights.get(id(found))
            first_layer = place.first_layers.get(key_of(found))
            row = Package(
                image=label,
                format=place.form.name,
                name=plain_text(found.name),
                version=None if found.version is None else plain_text(found.version),
                architecture=found.architecture,
                purl=purl_of(place.form, found, distro),
                source_name=found.source_name,
                source_version=found.source_version,
                licenses=licenses.normalized(map(plain_text, found.licenses)),
                installed_size_bytes=found.installed_size_bytes,
                file_bytes=None if weight is None else weight[0],
                file_count=None if weight is None else weight[1],
                first_layer=first_layer,
                database_path=plain_text(f"/{found.path}"),
                parent=ownership.parent(place.form, found),
                created_by=None if first_layer is None else instructions[first_layer - 1],
                cpes=" ".join(cpe.candidates(place.form.name, found)) or None,
                detail=None if found.detail is None else plain_text(found.detail),
            )
            # A database that states the same package twice (two stanzas, two archives in one) states it once here.
            rows.setdefault((row.format, row.name, row.version, row.architecture, row.database_path), row)
    return make_table(Package, rows.values())


def _removed_table(inventory: Inventory, layers: pd.DataFrame, label: str) -> pd.DataFrame:
    instructions = _instructions(layers)
    rows: dict[tuple[object, ...], RemovedPackage] = {}
    for removal in inventory.removed:
        found = removal.found
        row = RemovedPackage(
            image=label,
            format=removal.form.name,
            name=plain_text(found.name),
            version=None if found.version is None else plain_text(found.version),
            architecture=found.architecture,
            change=removal.how(inventory.rootfs),
            replaced_by=None if removal.replaced_by is None else plain_text(removal.replaced_by),
            first_layer=removal.first_layer,
            removed_layer=removal.layer,
            removed_by=instructions[removal.layer - 1],
            hidden_bytes=removal.hidden_bytes(inventory.rootfs),
            left_file_count=None if removal.files is None else len(removal.left(inventory.rootfs)),
            database_path=plain_text(f"/{found.path}"),
        )
        rows.setdefault(
            (row.format, row.name, row.version, row.architecture, row.database_path, row.removed_layer), row
        )
    return make_table(RemovedPackage, rows.values())


def _altered_table(inventory: Inventory, ownership: Ownership, label: str, *, check_files: bool) -> pd.DataFrame:
    rows: dict[tuple[str, ...], AlteredFile] = {}
    for one in alterations(inventory, ownership, checked=check_files):
        row = AlteredFile(
            image=label,
            path=plain_text(f"/{one.path}"),
            change=one.change,
            format=one.format,
            package=plain_text(one.package),
            layer=one.layer,
            expected_digest=one.expected,
            found_digest=one.found,
        )
        rows.setdefault((row.path, row.format, row.package), row)
    return make_table(AlteredFile, rows.values())


def _instructions(layers: pd.DataFrame) -> list[str | None]:
    return [None if pd.isna(text) else str(text) for text in layers["created_by"]]


def _layers_table(rootfs: Rootfs, facts: Facts, scans: Sequence[LayerScan], label: str) -> pd.DataFrame:
    stated = facts.config.get("history")
    steps = stated if isinstance(stated, list) else []
    history = [step for step in steps if isinstance(step, dict) and not step.get("empty_layer")]
    instructions = (
        [_string(step.get("created_by")) for step in history] if len(history) == len(scans) else [None] * len(scans)
    )
    reclaimable = rootfs.reclaimable_bytes()
    return make_table(
        Layer,
        [
            _layer_row(label, number, layer, scan, instructions[number - 1], reclaimable[number - 1])
            for number, (layer, scan) in enumerate(zip(facts.layers, scans, strict=True), start=1)
        ],
    )


def _layer_row(  # noqa: PLR0913 - the parts that one row is made of
    label: str, number: int, layer: LayerRef, scan: LayerScan, created_by: str | None, reclaimable: int
) -> Layer:
    whiteouts = sum("/.wh." in f"/{path}" and posixpath.basename(path).startswith(".wh.") for path in scan.paths)
    folders = sum(kind == "5" for kind in scan.kinds)
    return Layer(
        image=label,
        layer=number,
        diff_id=scan.diff_id,
        layer_digest=layer.digest or (scan.layer_digest if scan.compression else None),
        media_type=layer.media_type,
        created_by=created_by or None,
        compressed_bytes=layer.compressed_bytes
        if layer.digest
        else (scan.compressed_bytes if scan.compression else None),
        unpacked_bytes=scan.unpacked_bytes,
        file_count=len(scan.paths) - folders - whiteouts,
        reclaimable_bytes=reclaimable,
        content_bytes=sum(scan.sizes)
        + sum(len(os.fsencode(link)) for row, link in scan.links.items() if scan.kinds[row] == "2"),
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
    support = distribution.lifecycle(distro)
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
                distro_codename=distro.codename or support.codename,
                distro_eol_utc=support.end_of_life_utc,
                distro_extended_eol_utc=support.extended_end_of_life_utc,
                distro_eol_data_utc=support.data_utc,
            )
        ],
    )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _json(value: object) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


def _utc(value: object) -> str | None:
    """Return a time as ISO text to the second, ending in Z; None where it is not stated (or is Go's zero time)."""
    if not isinstance(value, str) or value.startswith("0001-"):
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
