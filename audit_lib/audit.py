"""From a reference to an `Audit`: the tables of one image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from audit_lib.clock import now_utc, parse_day
from audit_lib.compliance import Policy, findings_of, read_policy
from audit_lib.errors import AuditError, SbomError
from audit_lib.finished import Assembled, Finished
from audit_lib.layer import ALGORITHMS, Limits, Progress
from audit_lib.reference import as_given, may_be_document, parse_platform
from audit_lib.sources import open_image, sample
from audit_lib.sources.base import Facts
from audit_lib.sources.base import Image as OpenedImage
from audit_lib.store import Store, opened_store
from audit_lib.tables import (
    Account,
    AlteredFile,
    Binary,
    Database,
    Exposure,
    File,
    Finding,
    Image,
    Layer,
    LoaderPath,
    Package,
    Referrer,
    RemovedPackage,
    Row,
    SbomClaim,
    SbomDocument,
    ScannerReport,
    Script,
    SurfaceItem,
    VexStatement,
    Vulnerability,
    VulnerabilityCount,
    VulnerabilityCoverage,
    make_table,
)
from audit_lib.units import format_bytes, format_count, format_share
from audit_lib.vulnerabilities import count_vulnerabilities, exposure, notes_on

if TYPE_CHECKING:
    from audit_lib.vulnerabilities.database import Database as Advisories
    from audit_lib.vulnerabilities.files import Paths

# The tables of an `Audit`, by its attributes' names; each new one has a line here.
TABLES: Mapping[str, type[Row]] = {
    "image": Image,
    "layers": Layer,
    "files": File,
    "databases": Database,
    "packages": Package,
    "removed_packages": RemovedPackage,
    "altered_files": AlteredFile,
    "binaries": Binary,
    "scripts": Script,
    "loader_paths": LoaderPath,
    "accounts": Account,
    "referrers": Referrer,
    "sbom_documents": SbomDocument,
    "sbom_claims": SbomClaim,
    "surface": SurfaceItem,
    "findings": Finding,
    "vulnerabilities": Vulnerability,
    "vulnerability_coverage": VulnerabilityCoverage,
    "vulnerability_counts": VulnerabilityCount,
    "scanner_reports": ScannerReport,
    "vex_statements": VexStatement,
    "exposure": Exposure,
}
# Tables that are made of others when they are asked for.
_MADE_LATER = frozenset({"findings", "vulnerability_counts", "exposure"})
_MADE_OF_VULNERABILITIES = frozenset({"vulnerabilities", "vulnerability_counts", "exposure"})
_OF_VULNERABILITIES = _MADE_OF_VULNERABILITIES | {"vulnerability_coverage", "scanner_reports", "vex_statements"}
_CHARTS = {
    "files": "charts.folder_treemap(audit.files)",
    "packages": "charts.largest_packages(audit.packages)",
    "findings": "charts.checks_by_status(audit.findings)",
}
_DAY = len("2026-01-31")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The tables of one image; each is a DataFrame with the columns of the row class of that name in `audit_lib.tables`.

    `image` (one row), `layers`, `files`, `databases`, `packages`, `removed_packages`, `altered_files`,
    `binaries`, `scripts`, `loader_paths`, `accounts`, `surface`, `referrers`, `sbom_documents`, `sbom_claims`, `vulnerabilities`,
    `vulnerability_coverage`, `scanner_reports`, `vex_statements`. `config` is the image configuration as parsed JSON, without the
    secrets in it.
    `notes`: what is to be known of the image as a whole before its figures are read, a sentence each.
    `unknown`: the tables of which nothing is known, because where the image comes from (an SBOM alone, an archive) does not tell.
    They are empty and mean nothing, and the figures that would come of them are missing. `referrers_problem`: why what is
    attached to the image is not known, where its registry was asked. `vulnerability_gaps`: of which packages the advisories that
    are held say nothing, and what has to be known of scanners' reports and VEX documents. `advisory_sources`: which were asked.
    `policy`, `today_utc`: what `findings` are judged by.
    """

    image: pd.DataFrame
    layers: pd.DataFrame
    files: pd.DataFrame
    databases: pd.DataFrame
    packages: pd.DataFrame
    removed_packages: pd.DataFrame
    altered_files: pd.DataFrame
    binaries: pd.DataFrame
    scripts: pd.DataFrame
    loader_paths: pd.DataFrame
    accounts: pd.DataFrame
    referrers: pd.DataFrame
    sbom_documents: pd.DataFrame
    sbom_claims: pd.DataFrame
    surface: pd.DataFrame
    vulnerabilities: pd.DataFrame
    vulnerability_coverage: pd.DataFrame
    scanner_reports: pd.DataFrame
    vex_statements: pd.DataFrame
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()
    referrers_problem: str | None = None
    vulnerability_gaps: tuple[str, ...] = ()
    advisory_sources: tuple[Mapping[str, str | None], ...] = ()
    policy: Policy = field(default_factory=read_policy)
    today_utc: str = field(default_factory=lambda: now_utc()[:_DAY])

    @property
    def findings(self) -> pd.DataFrame:
        """What each check of `policy` says of the image as of `today_utc` (schema `Finding`), made when it is asked for."""
        return findings_of(self, self.policy, self.today_utc)

    @property
    def vulnerability_counts(self) -> pd.DataFrame:
        """How many vulnerabilities each source finds, counted in three ways (schema `VulnerabilityCount`)."""
        return count_vulnerabilities(self.vulnerabilities, self.vulnerability_coverage, self.scanner_reports)

    @property
    def vulnerability_notes(self) -> tuple[str, ...]:
        """How many vulnerabilities each source finds, a sentence each, or that they are unknown."""
        return tuple(notes_on(self.vulnerability_counts, str(self.image["image"].iloc[0])))

    @property
    def exposure(self) -> pd.DataFrame:
        """Since how many days a fix for each vulnerability could have been had, as of `today_utc` (schema `Exposure`)."""
        return exposure(self.vulnerabilities, as_of_utc=self.today_utc)

    def knows(self, table: str) -> bool:
        """Tell whether the rows of a table, or that it has none, say something of the image (see `unknown`)."""
        return table not in self.unknown

    @property
    def headline(self) -> str:
        """The image in a sentence made from the figures; what is unknown is said to be."""
        image = self.image.iloc[0]
        known = {
            name: None if pd.isna(image[name]) else image[name]
            for name in ("package_count", "file_bytes", "unowned_share")
        }
        packages = "an unknown number of" if known["package_count"] is None else format_count(known["package_count"])
        unowned = (
            ""
            if known["unowned_share"] is None
            else f"; no package claims {format_share(known['unowned_share'])} of the bytes"
        )
        if not self.knows("files"):
            return f"{image['image']} holds {packages} packages by its SBOM; its files, layers and sizes are unknown."
        return (
            f"{image['image']} holds {packages} packages and {format_bytes(known['file_bytes'])} of files "
            f"in {format_count(image['layer_count'])} layers{unowned}."
        )

    def _repr_html_(self) -> str:
        """Show the image in a notebook: the headline, and the tables folded."""
        from audit_lib.exports.glance import Glimpse, at_a_glance  # noqa: PLC0415 - only a notebook asks for it

        glimpses = [
            Glimpse(
                name=name,
                says=str(row.__doc__).partition("\n")[0],
                table=None if name in _MADE_LATER else getattr(self, name),
                is_known=self.knows(name),
                chart=_CHARTS.get(name, ""),
            )
            for name, row in TABLES.items()
        ]
        return at_a_glance(str(self.image["image"].iloc[0]), self.headline, self.gaps, glimpses)

    @property
    def is_damaged(self) -> bool:
        """Whether a package database is there and could not be read, so that the packages are not known."""
        return bool((self.databases["status"] == "damaged").any())

    @property
    def gaps(self) -> tuple[str, ...]:
        """What could not be read, a sentence each; empty where nothing is known to be missing."""
        damaged = self.databases[self.databases["status"] == "damaged"]
        said = [
            f"{row.image}: {row.database_path} ({row.format} database) is damaged: {row.detail}"
            for row in damaged.itertuples()
        ]
        if not self.databases["status"].isin(["read", "damaged"]).any():
            said.append(f"{self.image['image'].iloc[0]}: no package database was found, so its packages are unknown")
        if self.referrers_problem is not None:
            said.append(f"{self.image['image'].iloc[0]}: what is attached to it is unknown: {self.referrers_problem}")
        said.extend(_unread_documents(self.sbom_documents, str(self.image["image"].iloc[0])))
        unread = int((self.binaries["status"] != "read").sum())
        if unread:
            said.append(
                f"{self.image['image'].iloc[0]}: {unread:,} of {len(self.binaries):,} ELF files could not be read: what they need "
                "and how they were hardened is unknown (see binaries)"
            )
        said += self.vulnerability_gaps
        hidden = self.surface[self.surface["status"] == "unknown"]
        hidden = hidden.assign(place=hidden["path"].fillna(hidden["name"]))
        said += [f"{row.image}: {row.category} are unknown: {row.place}: {row.detail}" for row in hidden.itertuples()]
        if not self.knows("files"):
            names = ", ".join(name.replace("_", " ") for name in TABLES if name in self.unknown - _OF_VULNERABILITIES)
            said.append(
                f"{self.image['image'].iloc[0]}: an SBOM does not tell these, so they are unknown, not none: {names}"
            )
        return tuple(said)


def audit(  # noqa: PLR0913 - what is asked of an image
    reference: str,
    *,
    platform: str | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    check_files: bool = False,
    policy: Policy | str | os.PathLike[str] | None = None,
    today_utc: str | None = None,
    advisories: Advisories | str | os.PathLike[str] | None = None,
    scanner_reports: Paths = (),
    vex: Paths = (),
    progress: Progress | None = None,
) -> Audit:
    """Return the `Audit` of the image that `reference` names, such as `docker:python:3.13`, `oci-dir:PATH` or `sbom:PATH`.

    `platform` (`linux/arm64`) picks from an index, default this machine's. `store` is where scans of layers are kept, so that a
    layer is read once: a folder, an fsspec URL or a `Store`; default AUDIT_STORE, else the user's cache folder; "none" keeps
    nothing. `limits` bound what an image may ask for. `check_files` hashes every file and compares it with what its package
    states (see `altered_files`); that takes about as long again. `policy` (a file, or what `compliance.read_policy` returns;
    default the default policy) and `today_utc` (a day such as 2026-01-31; default the day of the run, for a sample one that stays)
    are what `findings` are judged by. `advisories` is where the advisories are that its packages are held against (see
    `image-audit advisories`): a folder, an fsspec URL or a `Database` of them; default AUDIT_ADVISORIES, else the user's cache
    folder, for a sample nothing; "none" asks none. `scanner_reports` are files that scanners wrote of the image, `vex` those that
    say which vulnerabilities do not affect it: paths, or text with several as in PATH. `progress` is called with (layer, stored
    bytes just read).

    Raises `AuditError` where there is no such image, where it is not what its format says, or where a digest is wrong.
    A package database that cannot be read is not an error: it is a `damaged` row of `databases`, and `gaps` says it.
    """
    limits = limits or Limits()
    policy = policy if isinstance(policy, Policy) else _as_given(read_policy(policy))
    today = _today(today_utc)
    label = as_given(reference)
    if may_be_document(reference):
        from audit_lib import stated  # noqa: PLC0415 - as in `_read`: most images are none

        document = stated.find_document(reference)
        if document is not None:
            read = replace(_from_document(document, reference, platform, limits), policy=policy, today_utc=today)
            return _with_reports(_with_vulnerabilities(read, advisories), scanner_reports, vex)
    digests = ALGORITHMS if check_files else ()
    kept = opened_store(store)
    finished = Finished(kept, label, limits, digests)
    with open_image(reference, platform=platform) as image:
        source = image.source
        found = finished.find(image)
        if found is None:
            found = _read(image, kept, limits, label, digests, finished, progress)
    facts, assembled = found
    if today_utc is None and source == sample.SCHEME:
        today = sample.AS_OF
    tables: dict[str, Any] = {**assembled.tables}
    made = Audit(
        **tables,
        referrers=make_table(Referrer, [Referrer(image=label, **asdict(one)) for one in facts.referrers or ()]),
        vulnerabilities=make_table(Vulnerability, []),
        vulnerability_coverage=make_table(VulnerabilityCoverage, []),
        scanner_reports=make_table(ScannerReport, []),
        vex_statements=make_table(VexStatement, []),
        config=assembled.config,
        notes=assembled.notes,
        unknown=assembled.unknown | _OF_VULNERABILITIES | ({"referrers"} if facts.referrers is None else frozenset()),
        referrers_problem=facts.referrers_problem,
        policy=policy,
        today_utc=today,
    )
    return _with_reports(_with_vulnerabilities(made, advisories), scanner_reports, vex)


def _with_vulnerabilities(found: Audit, advisories: Advisories | str | os.PathLike[str] | None) -> Audit:
    """Return an audit with what the advisories that are held say of its packages; as it is where they say nothing."""
    from audit_lib.vulnerabilities.assessing import assess  # noqa: PLC0415 - see `_read`

    image = found.image.iloc[0]
    assessed = assess(found.packages, image, advisories, only_if_named=image["source"] == sample.SCHEME)
    if assessed is None:
        return found
    return replace(
        found,
        vulnerabilities=assessed.vulnerabilities,
        vulnerability_coverage=assessed.coverage,
        unknown=found.unknown - {"vulnerability_coverage"} - (_MADE_OF_VULNERABILITIES if assessed.is_known else set()),
        vulnerability_gaps=assessed.gaps,
        advisory_sources=assessed.sources,
    )


def _with_reports(found: Audit, scanner_reports: Paths, vex: Paths) -> Audit:
    """Return an audit with what scanners' reports and VEX documents say; as it is where none is named."""
    from audit_lib.vulnerabilities.files import paths_of  # noqa: PLC0415 - see `_read`
    from audit_lib.vulnerabilities.reported import add_reports  # noqa: PLC0415 - see `_read`

    reports, documents = paths_of(scanner_reports), paths_of(vex)
    if not reports and not documents:
        return found
    image = found.image.iloc[0]
    said = add_reports(found.vulnerabilities, found.packages, image, scanner_reports=reports, vex_documents=documents)
    known = (_MADE_OF_VULNERABILITIES | {"scanner_reports"} if reports else set()) | (
        {"vex_statements"} if documents else set()
    )
    return replace(
        found,
        vulnerabilities=said.vulnerabilities,
        scanner_reports=said.scanner_reports,
        vex_statements=said.vex_statements,
        unknown=found.unknown - known,
        vulnerability_gaps=(*found.vulnerability_gaps, *said.gaps),
    )


def _read(  # noqa: PLR0913 - what is asked of an image
    image: OpenedImage,
    store: Store | None,
    limits: Limits,
    label: str,
    digests: Sequence[str],
    finished: Finished,
    progress: Progress | None,
) -> tuple[Facts, Assembled]:
    """Read an image's layers, or have the store remember them, make tables of them, and keep these."""
    # All that reads formats takes a quarter of the start, and is not needed where the tables are finished.
    from audit_lib.assembly import assemble  # noqa: PLC0415
    from audit_lib.reading import read_opened  # noqa: PLC0415

    read = read_opened(image, label, limits=limits, store=store, digests=digests, progress=progress)
    assembled = assemble(read, limits, label, check_files=bool(digests))
    finished.keep(read.facts, read.source, assembled)
    return read.facts, assembled


def _today(stated_utc: str | None) -> str:
    """Return the day that ages are judged by; raise `AuditError` where what is stated is no day."""
    day = parse_day(now_utc() if stated_utc is None else stated_utc)
    if day is None:
        raise AuditError(f"today_utc: expected a day such as 2026-01-31, found {stated_utc!r}")
    return day.isoformat()


def audit_if_named(reference: str, *, platform: str | None = None) -> Audit | None:
    """Return the `Audit` of the image that a notebook's parameter names, None where it is "" and so names none."""
    return audit(reference, platform=platform) if reference else None


def _as_given(policy: Policy) -> Policy:
    return replace(policy, path=as_given(policy.path))


def _from_document(path: Path, reference: str, platform: str | None, limits: Limits) -> Audit:
    """Return the audit of an image that is known from an SBOM alone."""
    from audit_lib import stated  # noqa: PLC0415 - as above

    document = stated.read_document(path, reference, limit=limits.kept_file_bytes)
    architecture = document.facts.get("architecture")
    if platform is not None and architecture not in {None, parse_platform(platform).architecture}:
        raise SbomError(f"{reference}: expected an SBOM of {platform}, found one of {architecture}")
    path, reference = Path(as_given(str(path))), as_given(reference)
    databases = stated.databases_table(document, path, reference)
    known: dict[str, Any] = {
        "image": stated.image_table(document, databases, reference),
        "databases": databases,
        "packages": stated.packages_table(document, path, reference),
    }
    unknown: dict[str, Any] = {
        name: make_table(row, []) for name, row in TABLES.items() if name not in {*known, *_MADE_LATER}
    }
    notes = tuple(stated.notes(document, reference))
    return Audit(
        **known,
        **unknown,
        config={},
        notes=notes,
        unknown=frozenset({*unknown, *_OF_VULNERABILITIES}),
        referrers_problem=None,
    )


def _unread_documents(documents: pd.DataFrame, label: str) -> Iterator[str]:
    """Yield what the documents that could not be read leave unknown."""
    damaged = documents[documents["status"] == "damaged"]
    if len(damaged):
        first = damaged.iloc[0]
        yield (
            f"{label}: {len(damaged):,} of {len(documents):,} SBOM documents inside it could not be read, so what they claim is "
            f"unknown: {first['document_path']}: {first['detail']}"
        )
