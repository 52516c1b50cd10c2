"""What scanners' reports and VEX documents that somebody names beside an image say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from audit_lib.reference import as_given
from audit_lib.tables import ScannerReport, Vulnerability, check_table, make_table
from audit_lib.units import format_count
from audit_lib.vulnerabilities import reports, vex
from audit_lib.vulnerabilities.base import vulnerabilities_table
from audit_lib.vulnerabilities.files import Paths, paths_of, read_with
from audit_lib.vulnerabilities.scans import join_reports
from audit_lib.vulnerabilities.vex.applying import apply_statements
from audit_lib.vulnerabilities.vex.base import VexDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """Tables of the schemas `Vulnerability`, `ScannerReport`, `VexStatement`, and `gaps`: what has to be known, a sentence each."""

    vulnerabilities: pd.DataFrame
    scanner_reports: pd.DataFrame
    vex_statements: pd.DataFrame
    gaps: tuple[str, ...]


def add_reports(
    vulnerabilities: pd.DataFrame,
    packages: pd.DataFrame,
    image: pd.Series,
    *,
    scanner_reports: Paths,
    vex_documents: Paths,
) -> Reported:
    """Return the vulnerabilities of an image with those of scanners' reports beside them, and the status that VEX gives them.

    `vulnerabilities`: what the library itself found (schema `Vulnerability`). A vulnerability that one source knows by its CVE and
    another by an alias of that has the CVE as its id in both. Raises `ReportError` for a file that is no report, or no VEX.
    """
    read = [
        (as_given(str(path)), read_with(reports.parse, path, "a scanner's report"))
        for path in paths_of(scanner_reports)
    ]
    joined = join_reports(read, packages, image)
    every = _with_common_ids(pd.concat([vulnerabilities, vulnerabilities_table(joined.matches)], ignore_index=True))
    documents = [
        (as_given(str(path)), read_with(vex.parse, path, "a VEX document")) for path in paths_of(vex_documents)
    ]
    applied = apply_statements(every, documents, packages, image)
    label = str(image["image"])
    return Reported(
        vulnerabilities=applied.vulnerabilities,
        scanner_reports=make_table(ScannerReport, joined.reports),
        vex_statements=applied.statements,
        gaps=(*_report_gaps(joined.reports, label), *_vex_gaps(applied.statements, documents, label)),
    )


def _with_common_ids(vulnerabilities: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with one id for one vulnerability, where a source says that its CVE is another source's id."""
    known: dict[str, str] = {}
    for identity, aliases in zip(vulnerabilities["vulnerability_id"], vulnerabilities["aliases"], strict=True):
        if identity.startswith("CVE-") and not pd.isna(aliases):
            for alias in aliases.split(", "):
                known.setdefault(alias, identity)
    is_other = vulnerabilities["vulnerability_id"].isin([one for one in known if not one.startswith("CVE-")])
    if is_other.any():
        own = vulnerabilities.loc[is_other, "vulnerability_id"]
        aliases = own.str.cat(vulnerabilities.loc[is_other, "aliases"], sep=", ", na_rep="").str.removesuffix(", ")
        vulnerabilities = vulnerabilities.assign(
            vulnerability_id=vulnerabilities["vulnerability_id"].mask(is_other, own.map(known)),
            aliases=vulnerabilities["aliases"].mask(is_other, aliases),
        )
    key = list(Vulnerability.KEY)
    ordered = vulnerabilities.drop_duplicates(key).sort_values(key, kind="stable", ignore_index=True)
    return check_table(Vulnerability, ordered.astype(dict.fromkeys(("vulnerability_id", "aliases"), "string")))


def _report_gaps(rows: Sequence[ScannerReport], label: str) -> Iterator[str]:
    for row in rows:
        which = f"{label}: {row.report_path} ({row.found_by})"
        if row.is_compromised:
            yield f"{which}: {row.detail}"
        if row.is_same_image is False:
            yield f"{which} is of another image, by the digests that it names ({row.subject or 'no name'})"
        if row.unjoined_count:
            yield (
                f"{which}: {format_count(row.unjoined_count)} of {format_count(row.match_count)} matches are of no package that "
                "was found in the image; they are kept and counted (see is_joined)"
            )
        if row.broken_count:
            yield f"{which}: {format_count(row.broken_count)} entries cannot be read and are left out: {row.detail}"


def _vex_gaps(statements: pd.DataFrame, documents: Sequence[tuple[str, VexDocument]], label: str) -> Iterator[str]:
    for path, document in documents:
        if document.broken_count:
            first = document.broken[0]
            yield (
                f"{label}: {path}: {format_count(document.broken_count)} statements cannot be read and are left out: "
                f"{first.path}: {first.problem}"
            )
    for named, rows in statements.groupby("document_path"):
        idle = int((rows["outcome"] == "not_matched").sum())
        if idle:
            yield f"{label}: {named}: {format_count(idle)} of {format_count(len(rows))} statements are about nothing that was found"
    overruled = statements[statements["outcome"] == "overruled"]
    for identity, rows in overruled.groupby("vulnerability_id"):
        said = ", ".join(rows["status"] + " in " + rows["document_path"])
        yield f"{label}: {identity}: VEX statements contradict each other; the latest counts, not {said}"
