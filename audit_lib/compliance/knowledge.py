"""What is known of an image before it is judged: a check never passes for want of data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audit_lib.compliance.base import Judged, counted, fact, named
from audit_lib.compliance.instructions import is_told
from audit_lib.tables import VulnerabilityCoverage


def unknown(found: Judged, need: str) -> str | None:
    """Return why nothing of what a check needs is known (a table, `config` or `history`); None where something is."""
    if need in _UNKNOWN:
        return _UNKNOWN[need](found)
    return None if found.knows(need) else _cannot_tell(found, need)


def gap(found: Judged, need: str) -> str | None:
    """Return why what a check needs is known in part only, so that finding nothing proves nothing; None where all is known."""
    return _GAPS[need](found) if need in _GAPS else None


def _cannot_tell(found: Judged, need: str) -> str:
    what = _SPOKEN.get(need, need.replace("_", " "))
    if fact(found, "source") == "sbom":
        return f"the image is known from an SBOM alone, which does not tell {what}"
    return f"where the image was read from ({fact(found, 'source')}) does not tell {what}"


def _unknown_packages(found: Judged) -> str | None:
    if found.databases["status"].isin(["read", "damaged"]).any():
        return None
    return "no package database was found, so the packages are unknown"


def _unknown_config(found: Judged) -> str | None:
    return None if found.config else _cannot_tell(found, "config")


def _unknown_history(found: Judged) -> str | None:
    if not found.knows("layers"):
        return _cannot_tell(found, "history")
    return None if _told(found) else "the image does not state what its layers were made by"


def _unknown_referrers(found: Judged) -> str | None:
    if found.knows("referrers"):
        return None
    problem = found.referrers_problem
    return f"what is attached is not known: {problem}" if problem else _cannot_tell(found, "referrers")


def _unknown_vulnerabilities(found: Judged) -> str | None:
    if found.knows("vulnerabilities"):
        return None
    return "its vulnerabilities are unknown: no advisories speak of its packages, and no scanner's report was named"


def _unmatched_packages(found: Judged) -> str | None:
    """Return of how many packages no advisories are held; a scanner is taken to have looked at all of them."""
    if len(found.scanner_reports):
        return None
    coverage = found.vulnerability_coverage
    unmatched = int(coverage.loc[coverage["status"].isin(VulnerabilityCoverage.UNTOLD), "package_count"].sum())
    return f"of {counted(unmatched, 'package')} no advisories are held" if unmatched else None


def _damaged_packages(found: Judged) -> str | None:
    damaged = found.databases[found.databases["status"] == "damaged"]
    if damaged.empty:
        return None
    return f"{counted(len(damaged), 'package database')} cannot be read: {named(damaged['database_path'])}"


def _untold_history(found: Judged) -> str | None:
    untold = len(found.layers) - _told(found)
    return f"of {untold:,} of {counted(len(found.layers), 'layer')} it is not known what made them" if untold else None


def _told(found: Judged) -> int:
    return sum(map(is_told, found.layers["created_by"].tolist()))


def _unread_binaries(found: Judged) -> str | None:
    unread = int((found.binaries["status"] != "read").sum())
    return f"{unread:,} of {counted(len(found.binaries), 'ELF file')} could not be read" if unread else None


_SPOKEN = {
    "config": "its configuration",
    "history": "how it was built",
    "referrers": "what is attached to it",
    "binaries": "its ELF files",
    "surface": "what its files are",
}
_UNKNOWN: Mapping[str, Callable[[Judged], str | None]] = {
    "packages": _unknown_packages,
    "config": _unknown_config,
    "history": _unknown_history,
    "referrers": _unknown_referrers,
    "vulnerabilities": _unknown_vulnerabilities,
}
_GAPS: Mapping[str, Callable[[Judged], str | None]] = {
    "packages": _damaged_packages,
    "removed_packages": _damaged_packages,
    "history": _untold_history,
    "binaries": _unread_binaries,
    "vulnerabilities": _unmatched_packages,
}
