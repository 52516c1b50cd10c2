"""The row classes (= the schemas of all tables), and the two functions that make and check a table."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, Literal

import pandas as pd
from pandas.api.extensions import ExtensionArray

from audit_lib.errors import TableError

Status = Literal["read", "absent", "damaged"]
Kind = Literal["file", "hardlink", "directory", "symlink", "character_device", "block_device", "fifo"]
Change = Literal["added", "removed", "kept", "changed"]
FleetStatus = Literal["read", "damaged", "failed"]
DriftAspect = Literal["manifest_digest", "config_digest", "layers", "config", "packages", "files"]
DriftStatus = Literal["equal", "differs", "unknown"]
Fault = Literal[
    "added", "changed", "contradicts", "missing", "moved", "not_a_file", "not_listed", "outside", "unreadable"
]
Publisher = Literal["bitnami", "melange", "docker", "python"]
Agreement = Literal["both", "other_version", "document_only", "databases_only"]
BinaryKind = Literal["executable", "shared_library", "object", "core", "debug", "other"]
Relro = Literal["none", "partial", "full"]
SurfaceCategory = Literal[
    "shells",
    "package managers",
    "interpreters",
    "compilers and linkers",
    "debuggers",
    "network clients",
    "network servers",
    "remote administration",
    "privilege tools",
    "setuid files",
    "setgid files",
    "file capabilities",
    "world-writable paths",
    "unnamed owners",
    "login users",
    "empty passwords",
    "listening ports",
    "volumes",
    "private keys",
    "secrets",
    "kernel modules",
    "cron jobs",
    "service units",
]
FindingStatus = Literal["pass", "fail", "manual", "not_assessable", "waived"]
Severity = Literal["critical", "high", "medium", "low"]
VulnerabilitySeverity = Literal["critical", "high", "medium", "low", "negligible", "unknown"]
VulnerabilityStatus = Literal["affected", "fixed", "not_affected", "under_investigation"]
CountedThing = Literal["matches", "unique ids", "after VEX"]
LoaderPathKind = Literal["default", "cache", "configured", "included", "preload", "unreadable"]
RiskSeverity = Literal["high", "medium", "low", "info"]
HistoryStatus = Literal["read", "damaged", "failed", "unchanged"]
HistoryRole = Literal["image", "full", "minimal", "app"]
OpenKind = Literal["finding", "vulnerability"]
HistoryChangeKind = Literal["digest", "measure", "package", "finding", "vulnerability"]
Unit = Literal["bytes", "count", "share"]
Risk = Literal[
    "architecture_differs",
    "base_differs",
    "certificates_missing",
    "command_missing",
    "entrypoint_differs",
    "environment_differs",
    "interpreter_missing",
    "libc_differs",
    "library_lost",
    "library_missing",
    "library_version_missing",
    "link_target_missing",
    "loader_missing",
    "locale_missing",
    "name_service_missing",
    "permission_missing",
    "runtime_version_differs",
    "shell_missing",
    "temporary_folder_missing",
    "time_zones_missing",
    "unreadable",
    "user_differs",
    "user_missing",
    "working_directory_differs",
]
Category = Literal[
    "caches",
    "bytecode",
    "debug symbols",
    "documentation",
    "executables",
    "fonts",
    "headers and static libraries",
    "language packages",
    "locales",
    "manual pages",
    "other",
    "package-manager data",
    "shared libraries",
    "time zones",
]

_DTYPES = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What all row classes share: `KEY` names the columns that tell one row from the next."""

    KEY: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Image(Row):
    """One row: the image as a whole.

    `compressed_bytes`: as the registry stores it, all layers added up; not stated by an engine.
    `unpacked_bytes`: the layer tars added up. `file_bytes`: contents of the final tree, hard links once.
    `file_count`: entries of the final tree other than directories. `package_count`: missing unless at
    least one database was read and none is damaged. `unowned_share`: share (0-1) of `file_bytes` that
    no package claims; missing where `package_count` is. `distro_eol_utc`: the day on which the distribution's regular
    security support ends, `distro_extended_eol_utc` that of extended support; both as of `distro_eol_data_utc`, all missing
    where the release is not in the data that ships with the library.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image",)

    image: str
    reference: str
    source: str
    manifest_digest: str | None
    config_digest: str | None
    os: str | None
    architecture: str | None
    created_utc: str | None
    distro_id: str | None
    distro_version: str | None
    user: str | None
    entrypoint: str | None
    cmd: str | None
    layer_count: int | None
    compressed_bytes: int | None
    unpacked_bytes: int | None
    file_bytes: int | None
    file_count: int | None
    package_count: int | None
    unowned_share: float | None
    distro_name: str | None
    distro_codename: str | None = None
    distro_eol_utc: str | None = None
    distro_extended_eol_utc: str | None = None
    distro_eol_data_utc: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetImage(Row):
    """One row an image of a fleet, and what came of it; in a fleet's table `images` the columns of `Image` follow.

    `platform`: the one that was asked for. `status`: `read`; `damaged` (read, but a package database in it cannot be trusted);
    `failed`: `error` says why, and everything else of it is missing. `unknown_tables`: tables in which it has no rows because
    nothing is known of them, joined by ", ". `notes`, `gaps`: sentences as an `Audit` has them, a line each.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image",)

    image: str
    reference: str
    platform: str | None
    status: FleetStatus
    error: str | None
    unknown_tables: str | None
    notes: str | None
    gaps: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetMeasure(Row):
    """One row an image of a fleet, a column a measure; missing is unknown, as all of an image that `failed` is.

    `shared_bytes`: of `compressed_bytes`, those of layers that other images of the fleet have too. `unowned_bytes`: of
    `file_bytes`, those that no package claims. `shell_count`, `package_manager_count`, `setuid_count`: things of these categories
    of `surface`. `failed_check_count`, `unassessed_check_count`: of `findings`, those with status `fail`, and `manual` or
    `not_assessable`.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image",)

    image: str
    status: FleetStatus
    distro_name: str | None
    architecture: str | None
    layer_count: int | None
    package_count: int | None
    compressed_bytes: int | None
    shared_bytes: int | None
    file_bytes: int | None
    file_count: int | None
    reclaimable_bytes: int | None
    unowned_bytes: int | None
    unowned_share: float | None
    shell_count: int | None
    package_manager_count: int | None
    setuid_count: int | None
    failed_check_count: int | None
    unassessed_check_count: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetLayer(Row):
    """One row a layer of a fleet by its diff id, however many images have it.

    `images`: the first five of these, joined by ", ". `compressed_bytes`: the least that an image states for it. `saved_bytes`:
    what a registry, and a machine that pulls all, does not store because it has the layer already.
    """

    KEY: ClassVar[tuple[str, ...]] = ("diff_id",)

    diff_id: str
    image_count: int
    compressed_bytes: int | None
    unpacked_bytes: int
    saved_bytes: int | None
    created_by: str | None
    images: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetPackage(Row):
    """One row a package name of a fleet, by (format, name).

    `file_bytes`: what its files weigh in all images that have it, added up; missing where one does not tell. `weight_share`: of
    all packages whose bytes are known, `cumulative_share`: with all that weigh more. A package that another one brought
    (`parent`) weighs nothing here, since its files are among that one's.
    """

    KEY: ClassVar[tuple[str, ...]] = ("format", "name")

    format: str
    name: str
    image_count: int
    version_count: int
    file_bytes: int | None
    weight_share: float | None
    cumulative_share: float | None
    versions: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetFolder(Row):
    """One row a top folder of a fleet's image with files that no package claims; images whose packages are unknown have none."""

    KEY: ClassVar[tuple[str, ...]] = ("image", "folder")

    image: str
    folder: str
    unowned_bytes: int
    unowned_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer(Row):
    """One row a layer, 1 is the base.

    `unpacked_bytes`: length of the layer tar. `content_bytes`: contents of the files it stores and the
    targets of its symbolic links, which is what `docker history` shows. `reclaimable_bytes`: contents of files
    that the final tree does not show, because a layer above (or this one again) overwrote or deleted them.
    `file_count`: entries other than directories and whiteouts.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "layer")

    image: str
    layer: int
    diff_id: str
    layer_digest: str | None
    media_type: str | None
    created_by: str | None
    compressed_bytes: int | None
    unpacked_bytes: int
    file_count: int
    reclaimable_bytes: int
    content_bytes: int
    whiteout_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class File(Row):
    """One row a path of the final tree (the root itself is left out).

    `mode`: four octal digits as text ("4755"). `file_bytes`: contents of a regular file; 0 for all
    else, and for the second and further names of a hard-linked file (kind `hardlink`, `link_target` =
    its first name in sorted order), so that the column adds up to the image's `file_bytes`.
    `layer`: the layer that brought this entry. `format`, `package`: its owner, missing where no
    package claims it, the distribution's package where several do. `owner_count`: how many packages claim it.
    `capabilities`: the file's Linux capabilities as `getcap` prints them. `content_digest`: of a file's contents, where the audit
    was asked to check files.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "path")

    image: str
    path: str
    kind: Kind
    file_bytes: int
    mode: str
    uid: int
    gid: int
    link_target: str | None
    layer: int
    format: str | None
    package: str | None
    category: Category
    capabilities: str | None
    owner_count: int | None = None
    content_digest: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Database(Row):
    """One row a place where a package database was looked for, and what came of it.

    `status` read with `package_count` 0 is an empty database; `absent` is none; `damaged` is one
    that is there and cannot be trusted: its packages are unknown, not none. `detail` says why.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "database_path", "format")

    image: str
    database_path: str
    format: str
    status: Status
    package_count: int | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Package(Row):
    """One row an installed package, as one database states it.

    `format` is the purl type. `licenses`: an SPDX expression where all that is stated reads as one, else the
    statements joined by "; ". `installed_size_bytes`: what the database claims. `file_bytes`,
    `file_count`: what the package's files (entries other than directories) weigh in the final tree;
    missing where the database does not say which files it owns. `first_layer`: the layer that
    introduced this name and version. `parent`: `format:name` of the package that installed this
    one's files (a Python package out of a deb), so that nothing need be counted twice. `created_by`: the instruction
    of `first_layer`. `cpes`: CPE 2.3 names by which vulnerability lists may know it, best first, separated by
    a space: candidates, not facts. `detail`: what a reader of the row has to know, in words.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "format", "name", "version", "architecture", "database_path")

    image: str
    format: str
    name: str
    version: str | None
    architecture: str | None
    purl: str
    source_name: str | None
    source_version: str | None
    licenses: str | None
    installed_size_bytes: int | None
    file_bytes: int | None
    file_count: int | None
    first_layer: int | None
    database_path: str
    parent: str | None
    created_by: str | None = None
    cpes: str | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovedPackage(Row):
    """One row a package that a layer removed, while the layers below it still hold what it brought.

    `change`: `removed` (its files are gone from the final tree), `upgraded` (`replaced_by` stands there instead), or
    `metadata_deleted`: most of its files are in place, only the record of it is gone, so that scanners no longer see it.
    `hidden_bytes`: its bytes that the image stores and does not show. `left_file_count`: its files that the final tree
    still shows. Both are missing where its database did not say which files it owned.
    """

    KEY: ClassVar[tuple[str, ...]] = (
        "image",
        "format",
        "name",
        "version",
        "architecture",
        "database_path",
        "removed_layer",
    )

    image: str
    format: str
    name: str
    version: str | None
    architecture: str | None
    change: Literal["removed", "upgraded", "metadata_deleted"]
    replaced_by: str | None
    first_layer: int
    removed_layer: int
    removed_by: str | None
    hidden_bytes: int | None
    left_file_count: int | None
    database_path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AlteredFile(Row):
    """One row a file that is not as its package brought it.

    `change`: `rewritten` (a later layer than the package's stores it anew; its contents may be the same), and where the
    audit was asked to check files: `changed` (`found_digest` is not the `expected_digest` that the package's database states) or
    `missing` (that database states a digest, the file is not there; `layer` is missing too). Configuration files are left
    out where the database knows them.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "path", "format", "package")

    image: str
    path: str
    change: Literal["rewritten", "changed", "missing"]
    format: str
    package: str
    layer: int | None
    expected_digest: str | None
    found_digest: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Binary(Row):
    """One row an ELF file, under the first of its names: what the loader needs for it, and how it was hardened.

    `status`: `read`, `damaged` (cut, or it says what cannot be), `not_examined` (larger than the limits allow); all facts of the
    latter two are missing and `detail` says why. Missing facts are not to be told from the file, or make no sense for its `kind`:
    `object` (a relocatable file, kernel modules too), `debug` (separate debug information), `core` and `other` state little.
    `machine` is named as by `uname -m`.

    `is_pie`: a position-independent executable; missing for libraries. `relro`: what the loader makes read-only after relocation
    (PT_GNU_RELRO), `full` where nothing is bound later (BIND_NOW). `has_nx`: its stack is not executable; false also where the
    file does not say. `has_canary`: it refers to the functions of the stack protector; missing for a static executable without
    symbols. `fortified_count`: how many functions it imports in the form that _FORTIFY_SOURCE puts in (`__memcpy_chk`),
    `fortifiable_count`: how many in that or in the plain form; `has_fortify`: any in that form, missing where nothing can be told
    (none that could be, static, musl). A compiler leaves calls alone that it knows to be safe, so false is no proof.
    `is_stripped`: it has no table of symbols beside the loader's. `is_static`: an executable that asks for no loader.

    `needed`: libraries by name (DT_NEEDED); `needed_versions`: versions of symbols, each as `library:version`;
    `defined_versions`: those that it offers itself. All joined by ", ", in the order of the file. `needed_glibc`: the highest
    GLIBC_x.y of them, without "GLIBC_". `rpath`, `runpath`: as they stand in the file, `$ORIGIN` and all.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "path")

    image: str
    path: str
    package: str | None
    status: Literal["read", "damaged", "not_examined"]
    machine: str | None
    bits: int | None
    kind: BinaryKind | None
    is_static: bool | None
    is_pie: bool | None
    relro: Relro | None
    has_nx: bool | None
    has_canary: bool | None
    has_fortify: bool | None
    fortified_count: int | None
    fortifiable_count: int | None
    is_stripped: bool | None
    interpreter: str | None
    soname: str | None
    needed: str | None
    rpath: str | None
    runpath: str | None
    needed_versions: str | None
    defined_versions: str | None
    needed_glibc: str | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Referrer(Row):
    """One row a document that is attached to an image in its registry: an SBOM, an attestation, a signature.

    Listed, not checked: whether a signature is good, or an SBOM true, is not looked at. `subject_digest` is what it is about: the
    image's manifest, or an index that led to it. `manifest_digest` is the manifest that holds it, as the blob number `position`,
    from 1; 0 where that manifest was not opened or holds nothing, and `detail` says which. `digest`, `media_type` and
    `artifact_bytes` are the document's as stored. `predicate_type`: what an attestation states, where that is written
    outside of it. `found_by`: the referrers API, the tag that stands in for it, a tag of cosign's (`sha256-….sig`, `.att`,
    `.sbom`), or the image's own index, where BuildKit puts them.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "subject_digest", "manifest_digest", "position")

    image: str
    subject_digest: str
    manifest_digest: str
    position: int
    kind: Literal["sbom", "attestation", "signature", "other"]
    artifact_type: str | None
    predicate_type: str | None
    media_type: str | None
    digest: str | None
    artifact_bytes: int | None
    found_by: Literal["referrers_api", "referrers_tag", "cosign_tag", "image_index"]
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag(Row):
    """One row a tag of a repository in a registry."""

    KEY: ClassVar[tuple[str, ...]] = ("repository", "tag")

    repository: str
    tag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SbomDocument(Row):
    """One row an SBOM document that lies in the image: Bitnami's, Wolfi's and Chainguard's (melange), Docker's, a Python wheel's.

    What it claims is compared with what the package databases state: `package_count` packages of which `both_count` are stated
    with the same version, `other_version_count` with another one and `document_only_count` not at all; `source_count` further ones
    are what others were built from. `databases_only_count`: packages that the databases state and the document is silent of,
    where it is known of what it speaks: Bitnami's of its folder, a wheel's of the wheel. All are missing where the document is
    `damaged` as a whole. `package`: `format:name` of the package whose file it is.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "document_path")

    image: str
    document_path: str
    publisher: Publisher
    status: Status
    notation: str | None
    made_by: str | None
    subject: str | None
    package_count: int | None
    both_count: int | None
    other_version_count: int | None
    document_only_count: int | None
    databases_only_count: int | None
    source_count: int | None
    layer: int
    package: str | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SbomClaim(Row):
    """One row a package that an SBOM document in the image claims, or that the databases state and the document is silent of.

    `role`: `installed`, or `source` for what others were built from by the document's own words. `agreement`: `both` (a database
    states this version too), `other_version` (`found_version`), `document_only` or `databases_only`; missing for a source.
    `databases_only` without `document_path`: an apk package that no document names, in an image where each should have one.
    Of Bitnami's and Docker's own types (`bitnami`, `dhi`), versions are compared without the number of the build. `database_path`:
    where the databases state it. No claim is counted among the image's `packages`.
    """

    KEY: ClassVar[tuple[str, ...]] = (
        "image",
        "publisher",
        "document_path",
        "format",
        "name",
        "version",
        "purl",
        "role",
        "database_path",
    )

    image: str
    publisher: Publisher
    document_path: str | None
    role: Literal["installed", "source"]
    agreement: Agreement | None
    format: str
    name: str
    version: str | None
    purl: str | None
    found_version: str | None
    database_path: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceItem(Row):
    """One row a thing that an attacker would find, by category; a file once, under the path to which its links lead.

    `status` `unknown`: what of this category is there cannot be told, and `detail` says why; all other rows are `found`.
    `name`: what the thing is called. `path` is missing for what is no file. `item_count`: how many files or entries a row stands
    for; more than one where a folder stands for what lies below it, or where a file holds several secrets of a kind.

    Programs (`shells`, `package managers`, `interpreters`, `compilers and linkers`, `debuggers`, `network clients`,
    `network servers`, `remote administration`, `privilege tools`): executable files of known names, and a busybox once for each
    category of which it holds an applet; `detail` tells the links that lead there. `package managers` say whether their database
    is there and whether the image's user may write to it. `setuid files`, `setgid files`, `file capabilities`: regular files with
    these. `world-writable paths`: files, and folders without the sticky bit, that everybody may write to; `unnamed owners`: paths
    whose user or group id has no name in the image; of both only the topmost. `login users`: those whose shell starts a session;
    `empty passwords`: those who need none. `listening ports`, `volumes`: what the configuration declares. `private keys`,
    `secrets`: found by the rules of `audit_lib.evidence.secret_rules`; what is secret of them is never told; in a file that a later
    layer deleted or replaced they are named with the layer that holds it. `kernel modules`, `cron jobs`, `service units`: files
    where the kernel, cron and the usual supervisors look for them.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "category", "path", "name")

    image: str
    category: SurfaceCategory
    path: str | None
    package: str | None
    detail: str | None
    name: str
    item_count: int
    status: Literal["found", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding(Row):
    """One row a check: what it says of the image.

    `status`: `pass`, `fail`, `manual` (only a person can tell: `reason` says what to look at), `not_assessable` (an image cannot
    tell, or not this one: `reason` says why; it is never a pass), `waived` (it would be one of the three before, and the policy
    accepts it: by `waiver_owner`, for `waiver_reason`, until the end of the day `waiver_until_utc`). The three are filled too where
    a waiver has expired, which makes the check fail, and where one is not needed, since the check passes. `severity` is the
    policy's. `evidence`: what was found, no secret in full. `locations`: the first paths meant, as JSON. `controls`: the controls
    it speaks to, such as "CIS Docker 4.1", joined by "; ". `is_gate_failed`: whether the policy's gate fails by this row.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "check_id")

    image: str
    check_id: str
    status: FindingStatus
    severity: Severity
    evidence: str | None
    waiver_owner: str | None
    waiver_until_utc: str | None
    title: str
    reason: str | None
    remedy: str
    controls: str | None
    locations: str | None
    waiver_reason: str | None
    is_gate_failed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Control(Row):
    """One row a control of a framework and a check that speaks to it.

    `title` is the framework's own, shortened. `basis`: why the check is evidence for it; a check that passes is evidence, not proof
    that a control is met. `source`: where id and title were looked up. `framework_name`: its full name and version.
    """

    KEY: ClassVar[tuple[str, ...]] = ("framework", "control_id", "check_id")

    framework: str
    control_id: str
    check_id: str
    title: str
    basis: str
    source: str
    framework_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlStatus(Row):
    """One row a control: the worst that the checks which speak to it say of an image (fail, not_assessable, manual, waived, pass).

    `checks`: each of them with its status, joined by "; ".
    """

    KEY: ClassVar[tuple[str, ...]] = ("framework", "control_id")

    framework: str
    control_id: str
    title: str
    status: FindingStatus
    checks: str
    basis: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameworkCount(Row):
    """One row a framework and status: how many of its controls have it, 0 included."""

    KEY: ClassVar[tuple[str, ...]] = ("framework", "status")

    framework: str
    status: FindingStatus
    control_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PoamItem(Row):
    """One row a weakness of a plan of action and milestones: a check that fails, or is waived (`risk accepted`).

    `scheduled_completion_utc`: the end of a waiver; when an open weakness is to be closed is for its owner to state, as is when
    it was first seen. `asset_identifier`: the image and its digest. `status_utc`: the day as of which it was judged.
    """

    KEY: ClassVar[tuple[str, ...]] = ("poam_id",)

    poam_id: str
    controls: str | None
    weakness_name: str
    weakness_description: str
    detector_source: str
    source_identifier: str
    asset_identifier: str
    locations: str | None
    point_of_contact: str | None
    remediation_plan: str
    scheduled_completion_utc: str | None
    status_utc: str
    original_risk_rating: Severity
    status: Literal["open", "risk accepted"]
    deviation_rationale: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingChange(Row):
    """One row a check made of both images; `changed` where its status differs, `added` or `removed` where one policy lacks it."""

    KEY: ClassVar[tuple[str, ...]] = ("check_id",)

    check_id: str
    change: Change
    status_full: FindingStatus | None
    status_minimal: FindingStatus | None
    severity: Severity
    title: str
    evidence_full: str | None
    evidence_minimal: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Vulnerability(Row):
    """One row a vulnerability, a package that it is said to affect, and who says so: several sources stand below one another.

    `vulnerability_id`: the CVE where the source names one, else the source's own id; `aliases`: other ids of the same thing,
    `advisories`: the records that say it (DSA-5417-1, GHSA-…), both joined by ", ". A bundle that fixes five vulnerabilities is
    five rows. `format` … `version`, `purl`, `database_path` are those of the row of `packages`, where it is one (`is_joined`);
    `source_name`: the name that a distribution's advisory has. `severity_source`: `record` (a word of the advisory), `cvss` (its
    vector), `distribution` (the distribution's word), or a scanner's name. `status`: `affected` until a statement (VEX)
    says otherwise; `justification` is that statement's word, `status_detail` who stated it where and when. `is_known_exploited`
    (CISA KEV) and `epss_score` (0-1, FIRST) are missing where that list is not held, or the thing has no CVE. `found_by`:
    `audit-lib` or a scanner, `found_by_version` its version, `data_utc` the date of its data. `fix_published_utc`: when the first
    advisory that names the fix was published. `is_distribution_data`: whether a distribution says it of its own package.
    `match_reason`: which version was held against which range.
    """

    KEY: ClassVar[tuple[str, ...]] = (
        "image",
        "vulnerability_id",
        "format",
        "name",
        "version",
        "purl",
        "database_path",
        "found_by",
    )

    image: str
    vulnerability_id: str
    format: str
    name: str
    version: str | None
    severity: VulnerabilitySeverity
    cvss_score: float | None
    fixed_version: str | None
    status: VulnerabilityStatus
    justification: str | None
    is_known_exploited: bool | None
    epss_score: float | None
    found_by: str
    data_utc: str | None
    aliases: str | None = None
    advisories: str | None = None
    purl: str | None = None
    database_path: str | None = None
    source_name: str | None = None
    severity_source: str | None = None
    cvss_vector: str | None = None
    summary: str | None = None
    published_utc: str | None = None
    fix_published_utc: str | None = None
    is_distribution_data: bool | None = None
    match_reason: str | None = None
    status_detail: str | None = None
    found_by_version: str | None = None
    is_joined: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class VulnerabilityCoverage(Row):
    """One row a kind of packages of an image, and what the advisories that are held can say of it.

    `status`: `matched` (held against the advisories of `ecosystem`, which may be none of them), `by_distribution` (packages of a
    language that a package of the distribution brought: what the distribution says of that one counts), `no_data` (no advisories
    of `ecosystem` are held: unknown, not none), `no_ecosystem` (nobody publishes advisories for it that could be matched),
    `no_version` (a package without a version, or with one that cannot be ordered).
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "format", "ecosystem", "status")
    # Of packages of these no advisories tell.
    UNTOLD: ClassVar[tuple[str, ...]] = ("no_data", "no_ecosystem", "no_version")

    image: str
    format: str
    ecosystem: str | None
    status: Literal["matched", "by_distribution", "no_data", "no_ecosystem", "no_version"]
    package_count: int
    data_utc: str | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VulnerabilityCount(Row):
    """One row a source, a way to count and a severity (`all` for their sum): so many, missing where it is unknown.

    `counted`: `matches` (rows of `vulnerabilities`), `unique ids` (each vulnerability once), `after VEX` (each once, without
    those whose every row a statement says is `not_affected` or `fixed`). `fixable_count`: those with a fixed version in any row;
    `known_exploited_count`: those on CISA's list; `epss_count`: those whose EPSS score is 0.1 or more.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "found_by", "counted", "severity")

    image: str
    found_by: str
    counted: CountedThing
    severity: Literal["all", "critical", "high", "medium", "low", "negligible", "unknown"]
    vulnerability_count: int | None
    fixable_count: int | None
    known_exploited_count: int | None
    epss_count: int | None
    data_utc: str | None
    found_by_version: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannerReport(Row):
    """One row a scanner's report that was named beside the image; its matches are rows of `vulnerabilities`.

    `found_by`: the scanner's name, with a number behind it where several reports are of one. `notation`, `scanned_utc`, `data_utc`
    (of the scanner's vulnerability data), `subject` (what it says it scanned): as stated. `is_same_image`: whether it names this
    image's config or manifest by digest; missing where it names none, or this image's are not known. `match_count`: matches in the
    report, of which `purl_joined_count` were found among `packages` by package URL, `name_joined_count` by name and version,
    `source_joined_count` by source package, and `unjoined_count` not at all. `suppressed_count`: those that the scanner itself took
    out (by VEX or by a rule). `broken_count`: entries that cannot be read. `left_out`: what else the report holds, counted.
    `is_compromised`: whether it was made by a version of the scanner known to have been tampered with; missing where no version is
    stated. `detail`: what a reader has to know.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "found_by")

    image: str
    found_by: str
    report_path: str
    notation: str
    scanner: str | None
    scanner_version: str | None
    scanned_utc: str | None
    data_utc: str | None
    subject: str | None
    is_same_image: bool | None
    match_count: int
    purl_joined_count: int
    name_joined_count: int
    source_joined_count: int
    unjoined_count: int
    suppressed_count: int
    broken_count: int
    left_out: str | None
    is_compromised: bool | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VexStatement(Row):
    """One row a statement of a VEX document and a product that it names (missing: it names none).

    `outcome`: `applied` (the latest on all rows that it is about), `overruled` (a later one contradicts it on some, and counts
    there), `not_matched` (it is about none of the rows). `product`, `parts`: package URLs or other ids, as stated. `match_count`:
    rows of `vulnerabilities` that it is about. `place` leads to it in the document.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "document_path", "place", "status", "position")

    image: str
    document_path: str
    place: str
    position: int
    vulnerability_id: str
    status: VulnerabilityStatus
    justification: str | None
    detail: str | None
    product: str | None
    parts: str | None
    outcome: Literal["applied", "overruled", "not_matched"]
    match_count: int
    stated_utc: str | None
    author: str | None
    document_id: str | None
    notation: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceAgreement(Row):
    """One row two sources of vulnerabilities of an image, and a way to count: what both find, and what one of them alone.

    `counted`: `matches` (a vulnerability and a package name) or `unique ids`. Of what only one finds, neither is known to be right.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "first", "second", "counted")

    image: str
    first: str
    second: str
    counted: Literal["matches", "unique ids"]
    both_count: int
    first_only_count: int
    second_only_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposure(Row):
    """One row a vulnerability and a package that is affected: since how many days a fix could have been had.

    Severity is the worst that any source says, `fixed_version` what the sources say, `fix_published_utc` the earliest date that any
    of them states. `exposed_days`: from then to `as_of_utc`; missing where no source states a fix, or none its date. `found_by`:
    the sources, joined by ", ".
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "vulnerability_id", "format", "name")

    image: str
    vulnerability_id: str
    format: str
    name: str
    version: str | None
    severity: VulnerabilitySeverity
    is_fixable: bool
    fixed_version: str | None
    fix_published_utc: str | None
    exposed_days: int | None
    as_of_utc: str
    is_known_exploited: bool | None
    epss_score: float | None
    found_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalGain(Row):
    """One row a package name: what would be gone, or is gone, without it.

    `vulnerability_count`: vulnerabilities (each id once) that affect it, `serious_count` those of them that are critical or high;
    both missing where nothing is known of the image's vulnerabilities, or of those of this format. `file_bytes`, `file_count`:
    missing where a package of that name does not state its files.
    """

    KEY: ClassVar[tuple[str, ...]] = ("format", "name")

    format: str
    name: str
    version: str | None
    vulnerability_count: int | None
    serious_count: int | None
    file_bytes: int | None
    file_count: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VulnerabilityChange(Row):
    """One row a vulnerability and a package name on either side of a comparison.

    `change`: `removed` (only full has it), `added` (only minimal), `kept`, `changed` (both, with another status). Severities are
    the worst that any source says; `fixed_version` the minimal image's where it has the row. `found_by`: the sources on both sides.
    """

    KEY: ClassVar[tuple[str, ...]] = ("vulnerability_id", "format", "name")

    vulnerability_id: str
    format: str
    name: str
    change: Change
    severity_full: VulnerabilitySeverity | None
    severity_minimal: VulnerabilitySeverity | None
    status_full: VulnerabilityStatus | None
    status_minimal: VulnerabilityStatus | None
    version_full: str | None
    version_minimal: str | None
    fixed_version: str | None
    justification: str | None
    is_known_exploited: bool | None
    epss_score: float | None
    found_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SeverityCount(Row):
    """One row a source, a way to count and a severity: how many vulnerabilities the full and the minimal image have.

    The columns of `VulnerabilityCount` for both sides. Missing is unknown: no source of that name was asked about that image.
    """

    KEY: ClassVar[tuple[str, ...]] = ("found_by", "counted", "severity")

    found_by: str
    counted: CountedThing
    severity: Literal["all", "critical", "high", "medium", "low", "negligible", "unknown"]
    count_full: int | None
    count_minimal: int | None
    delta_count: int | None
    fixable_count_full: int | None
    fixable_count_minimal: int | None
    known_exploited_count_full: int | None
    known_exploited_count_minimal: int | None
    data_utc_full: str | None
    data_utc_minimal: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AdvisorySource(Row):
    """One row a body of advisories that is held: an ecosystem of OSV's, `kev` or `epss`.

    `data_utc`: the date of its newest record, `updated_utc` when it was last taken over or found unchanged, `origin` from where,
    `digest` of the archive or file (missing where several were joined). `record_count`: records held, `package_count`: names of
    packages (a release's own count apart), `withdrawn_count`: records that were taken back, which match nothing.
    `skipped_count`: records that could not be used, or name no package; `detail` tells of the first.
    """

    KEY: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    data_utc: str | None
    updated_utc: str | None
    record_count: int
    package_count: int | None
    withdrawn_count: int | None
    skipped_count: int
    stored_bytes: int
    origin: str | None
    digest: str | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Account(Row):
    """One row a user of /etc/passwd, or a group of /etc/group; of several lines of one name the first, which counts.

    `id`: the user's or the group's. `primary_gid`, `home`, `shell` are missing for a group; `members`: the users that it lists,
    joined by ", ". Passwords are in no table; whether one is empty tells `surface`.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "kind", "name")

    image: str
    kind: Literal["user", "group"]
    name: str
    id: int
    primary_gid: int | None
    home: str | None
    shell: str | None
    members: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Script(Row):
    """One row a file that begins with `#!`, under the first of its names: which program runs it.

    `interpreter`: the path in its first line; `argument`: what follows it, which the kernel hands over as one word. The first is
    missing where the line names none or the file was not looked into; `detail` says why. `commands`: those that a shell's script
    calls, joined by ", ", as far as its text tells that; missing for those of a package manager.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "path")

    image: str
    path: str
    package: str | None
    interpreter: str | None
    argument: str | None
    commands: str | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderPath(Row):
    """One row a statement of where the dynamic loader looks for libraries; `position` is its place in the file that states it.

    `kind`: `default` (`path` is a folder built into the loader `stated_in`), `cache` (ld.so.cache says that the library `name` is
    at `path`), `configured` (a folder: in ld.so.conf, which only ldconfig reads, or in musl's settings), `included` (a glob of
    further settings), `preload` (a library loaded before all others), `unreadable` (it is not what it should be: `name` says why).
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "stated_in", "position")

    image: str
    stated_in: str
    position: int
    kind: LoaderPathKind
    path: str
    name: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeGroup(Row):
    """One row a group of an image's files, directories left out; within a grouping `file_bytes` adds up to the image's.

    `category` is the group: a category, a layer's number, a package (`format:name`) or a top folder.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "grouping", "category")

    image: str
    grouping: Literal["category", "layer", "package", "top_folder"]
    category: str
    file_bytes: int
    file_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary(Row):
    """One row a measure of both images; `reduction_share` = 1 - minimal / full.

    `unit` is `bytes`, `count` or `share`. Missing on a side means unknown there.
    """

    KEY: ClassVar[tuple[str, ...]] = ("measure",)

    measure: str
    unit: Literal["bytes", "count", "share"]
    full: float | None
    minimal: float | None
    delta: float | None
    reduction_share: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageChange(Row):
    """One row a package name on either side, compared by (format, name).

    Several versions of one name stand in one row, joined by ", ". `matched_by` tells how a row
    was paired: `name`, or `source_name` across distributions (deb against apk or rpm; a guess,
    marked as such), missing where it stands alone.
    """

    KEY: ClassVar[tuple[str, ...]] = ("format", "name")

    format: str
    name: str
    change: Change
    version_full: str | None
    version_minimal: str | None
    file_bytes_full: int | None
    file_bytes_minimal: int | None
    delta_bytes: int | None
    matched_by: Literal["name", "source_name"] | None
    counterpart: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CategorySize(Row):
    """One row a grouping (`category`, `top_folder`) and group: bytes and files on both sides, directories left out.

    A group that a side does not have holds 0 there; missing means that the side's files are unknown.
    """

    KEY: ClassVar[tuple[str, ...]] = ("grouping", "category")

    grouping: Literal["category", "top_folder"]
    category: str
    file_bytes_full: int | None
    file_bytes_minimal: int | None
    delta_bytes: int | None
    file_count_full: int | None
    file_count_minimal: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceCount(Row):
    """One row a category of `SurfaceItem`: how many things both images offer. Missing on a side means unknown there."""

    KEY: ClassVar[tuple[str, ...]] = ("category",)

    category: SurfaceCategory
    count_full: int | None
    count_minimal: int | None
    delta_count: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceChange(Row):
    """One row a thing that an attacker would find on either side; the columns mean what those of `SurfaceItem` do.

    `changed` where `detail` or `item_count` differ.
    """

    KEY: ClassVar[tuple[str, ...]] = ("category", "path", "name")

    category: SurfaceCategory
    path: str | None
    name: str
    change: Change
    package_full: str | None
    package_minimal: str | None
    detail_full: str | None
    detail_minimal: str | None
    item_count_full: int | None
    item_count_minimal: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSize(Row):
    """One row a layer of either image; `is_shared` where both images have that diff id, missing where the other's are unknown."""

    KEY: ClassVar[tuple[str, ...]] = ("role", "layer")

    role: Literal["full", "minimal"]
    image: str
    layer: int
    diff_id: str
    created_by: str | None
    compressed_bytes: int | None
    unpacked_bytes: int
    content_bytes: int
    reclaimable_bytes: int
    is_shared: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileChange(Row):
    """One row a path on either side other than a directory; `changed` names in `what` the facts that differ.

    Contents are not compared byte for byte: a file of equal size, mode, owner, kind and target is `kept`.
    """

    KEY: ClassVar[tuple[str, ...]] = ("path",)

    path: str
    change: Change
    what: str | None
    file_bytes_full: int | None
    file_bytes_minimal: int | None
    delta_bytes: int
    package_full: str | None
    package_minimal: str | None
    category: Category


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift(Row):
    """One row a thing in which an image may part from the first one: a digest, a layer, a key of the config, a package, a file.

    `position`: 2 for the second reference given. `item`: which of the aspect's things; packages and files have a row for each that
    differs, and one for all where none does. `status`: `equal`, `differs`, or `unknown`, which is not equal: either image does not
    tell. `first_value`, `value`: what the first image and this one have, missing where it has none.
    """

    KEY: ClassVar[tuple[str, ...]] = ("position", "aspect", "item")

    position: int
    image: str
    aspect: DriftAspect
    item: str
    status: DriftStatus
    first_value: str | None
    value: str | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleFault(Row):
    """One row a thing in which a report is not as it was written, or no longer true of an image.

    `fault`: a file was `changed`, is `missing`, was `added`, or is `not_a_file` (a link); what states digests (manifest, Statement,
    checksums) `contradicts` the others in `item`, does `not_listed` have a file, names a path `outside`, or is `unreadable`; the
    image that a reference names has `moved`, or is not known to be the same. `path`: the file, or the reference. `expected`,
    `found`: digests in hexadecimal digits, or the values of a key, missing where there is none. `detail`: the same in a sentence.
    """

    KEY: ClassVar[tuple[str, ...]] = ("path", "fault", "item")

    path: str
    fault: Fault
    item: str | None
    expected: str | None
    found: str | None
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationRisk(Row):
    """One row a thing that works on the full image and would not, or would otherwise, on the minimal one; told from files alone.

    `place`: the path of a file, or the instruction that states it (`CMD`, `ENV TZ`). `needs`: what is not there or differs, one
    thing a row. `severity`: `high`: the container will not start, or a command that it states cannot run. `medium`: something that
    the application brings, or its runtime usually needs, will not work when it is used. `low`: only some programs need it, and
    nothing tells that this one does. `info`: a difference to know of. `package`: the owner of the file at `place` before the move.
    """

    KEY: ClassVar[tuple[str, ...]] = ("place", "risk", "needs")

    place: str
    risk: Risk
    needs: str
    severity: RiskSeverity
    why: str
    what_to_do: str
    package: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRun(Row):
    """One row an image of a run of a schedule; in a history's table `runs` the columns of `Image` follow.

    `audit`: the schedule's name for what was asked. `run_utc`: when the run began. `status`: `read`; `damaged` (read, but a
    package database in it cannot be trusted); `failed`: `error` says why, and everything else of it is missing; `unchanged`:
    digest, settings and data are those of the run before, whose rows are repeated. `unknown_tables`: tables of which nothing is
    known, joined by ", ". Counts of checks are of `findings`: `failed_check_count` has status `fail`, `waived_check_count`
    `waived`, `unassessed_check_count` `manual` or `not_assessable`. `vulnerability_count`: different identifiers that affect the
    image, `severe_vulnerability_count` those of severity critical or high; missing where no vulnerability data was asked.
    `data_utc`: of when these data are. `report`: the report's folder below the schedule's. `fingerprint`: of all that the run
    depends on; `judged_until_utc`: the last day on which the findings are the same for the same image.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "run_utc")

    image: str
    audit: str
    run_utc: str
    role: HistoryRole
    status: HistoryStatus
    image_digest: str | None
    error: str | None
    unknown_tables: str | None
    failed_check_count: int | None
    waived_check_count: int | None
    unassessed_check_count: int | None
    vulnerability_count: int | None
    severe_vulnerability_count: int | None
    data_utc: str | None
    is_gate_failed: bool | None
    report: str | None
    fingerprint: str | None
    judged_until_utc: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryDatabase(Row):
    """One row a place where a run looked for a package database; the columns are those of `Database`."""

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "run_utc", "database_path", "format")

    image: str
    audit: str
    run_utc: str
    database_path: str
    format: str
    status: Status
    package_count: int | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryPackage(Row):
    """One row a package that a run found, once however many databases state it."""

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "run_utc", "format", "name", "version", "architecture")

    image: str
    audit: str
    run_utc: str
    format: str
    name: str
    version: str | None
    architecture: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryFinding(Row):
    """One row a check of a run: what it said."""

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "run_utc", "check_id")

    image: str
    audit: str
    run_utc: str
    check_id: str
    status: FindingStatus
    severity: Severity
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryVulnerability(Row):
    """One row a vulnerability of a package that a run was told of, and by whom; the columns are those of `Vulnerability`."""

    KEY: ClassVar[tuple[str, ...]] = (
        "image",
        "audit",
        "run_utc",
        "vulnerability_id",
        "format",
        "name",
        "version",
        "found_by",
    )

    image: str
    audit: str
    run_utc: str
    vulnerability_id: str
    format: str
    name: str
    version: str | None
    found_by: str
    severity: VulnerabilitySeverity
    status: VulnerabilityStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend(Row):
    """One row a measure of an image over the runs of a history.

    `run_count`: runs in which it is known, `unknown_run_count` those in which it is not; all else is of the former.
    `slope_per_day`: of the least-squares line through them, in the measure's unit; `slope_low`, `slope_high`: its interval at 95 %
    (Student's t; runs are taken for independent, which nightly ones are not quite, so it is rather too narrow). Missing with fewer
    than two moments, the interval with fewer than three runs. `zero_utc`: the run since which it is 0, missing where the last one
    is not.
    `days_to_zero`: where the line reaches 0, in days after the last run; `days_to_zero_low` and `days_to_zero_high` for the
    interval's ends. Missing where the line does not go down, the latter where the flatter end does not.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "measure")

    image: str
    audit: str
    measure: str
    unit: Unit
    run_count: int
    unknown_run_count: int
    first_utc: str | None
    last_utc: str | None
    first_value: float | None
    last_value: float | None
    slope_per_day: float | None
    slope_low: float | None
    slope_high: float | None
    zero_utc: str | None
    days_to_zero: float | None
    days_to_zero_low: float | None
    days_to_zero_high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSpell(Row):
    """One row a time during which a finding or a vulnerability was open in an image.

    Open is a finding that fails or is waived, and a vulnerability whose status is `affected` or `under_investigation`. It begins
    with the first run that saw it (`first_utc`; `is_from_first_run` where that is the first run of all, so that it may be older)
    and ends with the first run after it that saw it gone (`closed_utc`, missing while it `is_open`). Runs that cannot tell neither
    begin nor end it. `days_open`: from `first_utc` to `closed_utc`, of an open one to `last_utc`, the last run that saw it, so
    at least so many. `severity`: the last one stated.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "kind", "item", "first_utc")

    image: str
    audit: str
    kind: OpenKind
    item: str
    first_utc: str
    severity: str | None
    last_utc: str
    closed_utc: str | None
    days_open: float
    is_open: bool
    is_from_first_run: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenTime(Row):
    """One row an image and kind: how long its findings or vulnerabilities stayed open.

    `median_days_open`: by Kaplan and Meier's estimate, in which one that is still open counts as open for at least as long as it
    has been; missing where too many are still open for it to be told. `longest_days_open`: of all, open ones included.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "kind")

    image: str
    audit: str
    kind: OpenKind
    spell_count: int
    closed_count: int
    open_count: int
    from_first_run_count: int
    median_days_open: float | None
    longest_days_open: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryChange(Row):
    """One row a thing of an image that differs between two runs: its digest, a measure, a package, a finding, a vulnerability.

    `before`, `after`: its values; missing on the side that does not have it, or does not know it.
    """

    KEY: ClassVar[tuple[str, ...]] = ("image", "audit", "kind", "item")

    image: str
    audit: str
    kind: HistoryChangeKind
    item: str
    change: Change
    before: str | None
    after: str | None
    before_utc: str
    after_utc: str


def make_table(row: type[Row], records: Iterable[Row] | Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return a table of `row`: its fields as columns, in order, nullable types, sorted by `KEY`.

    `records` are instances of `row`, or whole columns by name (for tables with many rows).
    Raises `TableError` where a value, a type or a key does not fit.
    """
    names = [field.name for field in fields(row)]
    if isinstance(records, Mapping):
        if set(records) != set(names):
            raise TableError(f"{row.__name__}: expected columns {names}, found {list(records)}")
        columns: Mapping[str, Sequence[Any]] = records
    else:
        rows = list(records)
        columns = {name: [getattr(record, name) for record in rows] for name in names}
    schema = columns_of(row)
    try:
        frame = pd.DataFrame({name: _array(columns[name], schema[name].dtype) for name in names})
    except (TypeError, ValueError) as error:
        raise TableError(f"{row.__name__}: {error}") from error
    if not _is_sorted([columns[name] for name in row.KEY]):
        frame = frame.sort_values(list(row.KEY), kind="stable", ignore_index=True)
    return check_table(row, frame)


def check_table(row: type[Row], frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` unchanged if it is a table of `row`; raise `TableError` naming the fault otherwise.

    Checked: column names and order (further columns may follow), types, missing values,
    vocabularies (`Literal`), and that `KEY` is unique.
    """
    schema = columns_of(row)
    if list(frame.columns[: len(schema)]) != list(schema):
        raise TableError(f"{row.__name__}: expected columns {list(schema)}, found {list(frame.columns)}")
    for name, column in schema.items():
        values = frame[name]
        if values.dtype.name != column.dtype:
            raise TableError(f"{row.__name__}.{name}: expected type {column.dtype}, found {values.dtype.name}")
        if not column.is_optional and values.isna().any():
            raise TableError(f"{row.__name__}.{name}: row {int(values.isna().argmax())} is missing, expected a value")
        if column.vocabulary and not values.dropna().isin(column.vocabulary).all():
            strange = sorted(set(values.dropna()) - set(column.vocabulary))
            raise TableError(f"{row.__name__}.{name}: expected one of {list(column.vocabulary)}, found {strange}")
    if row.KEY and frame.duplicated(list(row.KEY)).any():
        first = frame.loc[frame.duplicated(list(row.KEY)), list(row.KEY)].iloc[0].tolist()
        raise TableError(f"{row.__name__}: key {list(row.KEY)} occurs twice: {first}")
    return frame


@dataclass(frozen=True, slots=True)
class Column:
    """What a table asks of a column: pandas' name of its type, whether a value may be missing, the only values it may have."""

    dtype: str
    is_optional: bool
    vocabulary: tuple[str, ...]


def columns_of(row: type[Row]) -> dict[str, Column]:
    """Return the columns of `row` by name, in their order."""
    hints = typing.get_type_hints(row)
    return {field.name: _column(hints[field.name]) for field in fields(row)}


def plain_text(value: str) -> str:
    r"""Return text that every table and file can hold: bytes that are not UTF-8 are shown as `\xNN`."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def total(values: pd.Series) -> int | None:
    """Return the sum of a column, or None where any part of it is unknown (`sum()` would skip it quietly).

    >>> total(pd.Series([1, 2], dtype="Int64")), total(pd.Series([1, None], dtype="Int64"))
    (3, None)
    >>> total(pd.Series([], dtype="Int64"))
    0
    """
    result = values.sum(skipna=False)
    return None if pd.isna(result) else int(result)


def _array(values: Sequence[Any], dtype: Any) -> ExtensionArray:
    made: ExtensionArray = pd.array(values, dtype=dtype)
    return made


def _is_sorted(keys: Sequence[Sequence[Any]]) -> bool:
    """Tell whether rows come in the order of their keys already: sorting copies every column."""
    try:
        return all(before <= after for before, after in pairwise(zip(*keys, strict=True)))
    except TypeError:  # a missing value has no order
        return False


def _column(hint: Any) -> Column:
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    kept = [option for option in options if option is not type(None)]
    vocabulary = typing.get_args(kept[0]) if typing.get_origin(kept[0]) is Literal else ()
    return Column(_DTYPES[str if vocabulary else kept[0]], len(kept) < len(options), vocabulary)
