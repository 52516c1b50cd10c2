"""Checks of the packages and files that an image holds."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import pandas as pd

from audit_lib.clock import parse_day
from audit_lib.compliance.base import (
    Check,
    Judged,
    Rules,
    Verdict,
    counted,
    fact,
    failed,
    named,
    not_assessable,
    passed,
    to_look_at,
)
from audit_lib.compliance.checks.surface import items_of
from audit_lib.compliance.licenses import is_denied
from audit_lib.units import format_share

# A reader of a verdict needs to see each of a few, not hundreds.
_SHOWN = 8
# Of the categories of `surface`, those that are programs.
TOOLS = (
    "interpreters",
    "compilers and linkers",
    "debuggers",
    "network clients",
    "network servers",
    "remote administration",
    "privilege tools",
)
HARDENINGS = ("pie", "nx", "relro", "canary", "fortify")
_DISTRIBUTION_FORMATS = frozenset({"deb", "apk", "rpm", "alpm", "opkg"})


def unnecessary_packages(found: Judged, rules: Rules) -> Verdict:
    """Fail where a package is installed that the policy's list `denied` names, or a program of its `categories` is there."""
    names = found.packages["name"]
    patterns = rules.options["denied"]
    denied = names[[any(fnmatchcase(name, pattern) for pattern in patterns) for name in names]]
    tools, unknown = items_of(found, rules.options["categories"])
    said = []
    if len(denied):
        said.append(f"{counted(len(denied), 'package')} of the policy's list: {named(sorted(set(denied)), few=_SHOWN)}")
    for category, rows in tools.groupby("category"):
        said.append(f"{len(rows):,} {category}: {named(rows['name'], few=_SHOWN)}")
    if said:
        return failed("; ".join(said), tools["path"].dropna())
    if unknown is not None:
        return not_assessable(unknown)
    return passed(
        f"none of {counted(len(names), 'package')} is on the policy's list, no program of its categories is there"
    )


def supported_distribution(found: Judged, rules: Rules) -> Verdict:
    """Fail where the distribution's security support has ended; whether extended support is had, only a person can tell."""
    name = fact(found, "distro_name") or fact(found, "distro_id")
    if name is None:
        return not_assessable("the image states no distribution")
    ends = {which: fact(found, f"distro_{which}eol_utc") for which in ("", "extended_")}
    regular, extended = (parse_day(day) if day else None for day in ends.values())
    if regular is None:
        return not_assessable(f"when the support of {name} ends is not in the data that ships with the library")
    as_of = f"as of {fact(found, 'distro_eol_data_utc')}"
    if rules.today <= regular:
        return passed(f"{name} is supported until {regular} ({as_of})")
    if extended is None or rules.today > extended:
        last = extended or regular
        return failed(f"the support of {name} ended on {last} ({as_of})")
    said = f"the regular support of {name} ended on {regular}, extended support ends on {extended} ({as_of})"
    if rules.options["accept_extended_support"]:
        return passed(said)
    return to_look_at(
        "whether the image is built with the packages of extended support, and whether that is contracted for", said
    )


def records_kept(found: Judged, rules: Rules) -> Verdict:
    """Fail where a layer deleted the records of packages and left their files: no scanner sees them any more."""
    del rules
    removed = found.removed_packages
    deleted = removed[removed["change"] == "metadata_deleted"]
    if len(deleted):
        layers = named(sorted(set(deleted["removed_layer"])))
        said = (
            f"the records of {counted(len(deleted), 'package')} were deleted in layer {layers}, their files are there"
        )
        return failed(f"{said}: {named(deleted['name'], few=_SHOWN)}")
    # What is told from programs themselves (generic) is no record of what was installed.
    known = set(found.databases.loc[found.databases["status"] != "absent", "format"]) - {"generic"}
    distribution = fact(found, "distro_name") or fact(found, "distro_id")
    if distribution is not None and not known & _DISTRIBUTION_FORMATS:
        return to_look_at(
            "where the files of the distribution come from: it says which it is, and no database says what is installed",
            f"{distribution}, without a package database",
        )
    if not known:
        return not_assessable("no package database was found, so that nothing tells whether there was one")
    return passed("no layer deleted the records of packages whose files are there")


def files_owned(found: Judged, rules: Rules) -> Verdict:
    """Fail where no package claims more than `max_share` of the bytes: of these, an inventory knows nothing."""
    share, limit = fact(found, "unowned_share"), rules.options["max_share"]
    if share is None:
        return not_assessable("which files packages claim is not known")
    said = f"no package claims {format_share(share)} of the bytes; the policy allows {format_share(limit)}"
    return failed(said) if share > limit else passed(said)


def licenses_allowed(found: Judged, rules: Rules) -> Verdict:
    """Fail where a package may be had under denied licences only; look at those that state none."""
    packages = found.packages.drop_duplicates(["format", "name", "version"])
    statements = packages["licenses"]
    denied = packages[[is_denied(text, rules.options["denied"]) for text in statements.fillna("")]]
    if len(denied):
        said = (f"{row.name} ({row.licenses})" for row in denied[["name", "licenses"]].itertuples(index=False))
        return failed(f"{counted(len(denied), 'package')} under denied licences: {named(said, few=_SHOWN)}")
    silent = packages.loc[statements.isna(), "name"]
    if len(silent):
        return to_look_at(
            f"under which licences packages come that state none ({len(silent):,}): {named(silent, few=_SHOWN)}",
            f"none of the {len(packages) - len(silent):,} that state one is denied",
        )
    return passed(f"none of {counted(len(packages), 'package')} is under a denied licence")


def binaries_hardened(found: Judged, rules: Rules) -> Verdict:
    """Fail where fewer than `min_share` of the ELF files have a hardening of the list `features`."""
    read = found.binaries[found.binaries["status"] == "read"]
    programs = read[read["kind"].isin(["executable", "shared_library"])]
    if programs.empty:
        return passed("no ELF executable or library was read")
    flags = {
        "pie": programs["is_pie"],
        "nx": programs["has_nx"],
        "relro": (programs["relro"] != "none").mask(programs["relro"].isna()),
        "canary": programs["has_canary"],
        "fortify": programs["has_fortify"],
    }
    chosen = {name: flags[name].dropna().astype(bool) for name in rules.options["features"]}
    shares = {name: float(flag.mean()) for name, flag in chosen.items() if len(flag)}
    said = "; ".join(
        f"{name}: {format_share(shares[name])} of {len(flag):,}" if len(flag) else f"{name}: told of none"
        for name, flag in chosen.items()
    )
    low = [name for name, share in shares.items() if share < rules.options["min_share"]]
    if low:
        return failed(
            f"{said}; the policy asks for {format_share(rules.options['min_share'])}", _lacking(programs, chosen, low)
        )
    return passed(said)


def _lacking(programs: pd.DataFrame, chosen: dict[str, pd.Series], low: Iterable[str]) -> list[str]:
    paths: dict[str, None] = {}
    for name in low:
        flag = chosen[name]
        paths |= dict.fromkeys(programs.loc[flag.index[~flag], "path"])
    return sorted(paths)


CHECKS = (
    Check(
        id="no-unnecessary-packages",
        title="No package is installed that the policy calls unnecessary",
        needs=("packages", "surface"),
        judge=unnecessary_packages,
        remedy="Leave the packages out, or build in a stage of its own and copy the result.",
        options={"denied": "texts", "categories": TOOLS},
    ),
    Check(
        id="supported-distribution",
        title="The distribution gets security updates",
        needs=(),
        judge=supported_distribution,
        remedy="Build on a release that is supported.",
        options={"accept_extended_support": "flag"},
    ),
    Check(
        id="package-records-kept",
        title="The records of installed packages are there",
        needs=("removed_packages",),
        judge=records_kept,
        remedy="Remove packages by their package manager; never delete its database alone.",
    ),
    Check(
        id="files-owned",
        title="Packages account for the files",
        needs=("files", "packages"),
        judge=files_owned,
        remedy="Install software as packages, or attach an SBOM that tells of the rest.",
        options={"max_share": "share"},
    ),
    Check(
        id="licenses-allowed",
        title="No package is under a denied licence",
        needs=("packages",),
        judge=licenses_allowed,
        remedy="Replace the package, or have its licence cleared and waive the check.",
        options={"denied": "texts"},
    ),
    Check(
        id="binaries-hardened",
        title="ELF files are hardened",
        needs=("binaries",),
        judge=binaries_hardened,
        remedy="Build with -fPIE -pie, -Wl,-z,relro,-z,now, -fstack-protector-strong and -D_FORTIFY_SOURCE=2, or take the "
        "distribution's packages.",
        options={"min_share": "share", "features": HARDENINGS},
    ),
)
