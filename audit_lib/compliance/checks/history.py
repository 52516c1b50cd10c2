"""Checks of what the image's history states: how it was built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from audit_lib.compliance.base import Check, Judged, Rules, Verdict, counted, failed, named, passed, to_look_at
from audit_lib.compliance.instructions import Instruction, commands, instructions


class _Manager(NamedTuple):
    """What a package manager is told to fetch its lists, and to install or upgrade by them."""

    refresh: frozenset[str]
    install: frozenset[str]


_APT = _Manager(
    frozenset({"update"}),
    frozenset({"install", "reinstall", "upgrade", "dist-upgrade", "full-upgrade", "build-dep", "satisfy"}),
)
_DNF = _Manager(
    frozenset({"makecache", "check-update"}),
    frozenset({"install", "localinstall", "groupinstall", "update", "upgrade", "distro-sync", "reinstall", "group"}),
)
_MANAGERS: Mapping[str, tuple[str, _Manager]] = {
    **dict.fromkeys(("apt-get", "apt", "aptitude"), ("apt", _APT)),
    **dict.fromkeys(("dnf", "dnf5", "yum", "microdnf", "tdnf"), ("dnf", _DNF)),
    "apk": ("apk", _Manager(frozenset({"update"}), frozenset({"add", "upgrade", "fix"}))),
    "opkg": ("opkg", _Manager(frozenset({"update"}), frozenset({"install", "upgrade"}))),
    "zypper": (
        "zypper",
        _Manager(
            frozenset({"refresh", "ref"}), frozenset({"install", "in", "update", "up", "patch", "dup", "dist-upgrade"})
        ),
    ),
}

# Words by which a command says not to verify what it installs, and what it then does.
_UNVERIFIED = (
    (r"--allow-unauthenticated|--force-yes|allowinsecurerepositories=(?:true|1|yes)", "apt takes packages without signature"),
    (r"trusted=yes", "an apt repository is trusted without signature"),
    (r"--nogpgcheck|gpgcheck=0|--no-gpg-checks?", "rpm packages are not checked by key"),
    (r"--allow-untrusted", "apk takes packages without signature"),
    (
        r"--no-check-certificate|curl\b[^|;&\n]{0,300}\s(?:--insecure|(?-i:-[a-zA-Z]{0,8}k[a-zA-Z]{0,8}))\b",
        "a download is not checked by certificate",
    ),
    (r"--trusted-host", "pip takes packages from a host without certificate"),
    (r"strict-ssl(?:=|\s+)false", "npm takes packages without certificate"),
    (r"(?:curl|wget)\b[^|;&\n]{0,300}\|\s*(?:sudo\s+)?(?:ba|da|z|a)?sh\b", "a downloaded script is run as it comes"),
)  # fmt: skip
_UNVERIFIED_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), what) for pattern, what in _UNVERIFIED)


def update_not_alone(found: Judged, rules: Rules) -> Verdict:
    """Fail where a RUN fetches package lists and installs nothing by them: a later build takes the old lists from the cache."""
    del rules
    runs = [one for one in instructions(found.layers) if one.verb == "RUN"]
    alone = [(one, name) for one in runs for name in _refreshed_only(one)]
    if alone:
        return failed("; ".join(f"layer {one.layer} runs {name} without an installation" for one, name in alone))
    return passed(f"none of {counted(len(runs), 'RUN instruction')} fetches package lists alone")


def copy_not_add(found: Judged, rules: Rules) -> Verdict:
    """Fail where ADD made a layer other than the first, which brings a base's root file system."""
    del rules
    added = [one.layer for one in instructions(found.layers) if one.verb == "ADD" and one.layer > 1]
    if added:
        return failed(f"ADD made {counted(len(added), 'layer')}: {named(added)}")
    return passed("no layer but perhaps the first was made by ADD")


def verified_packages(found: Judged, rules: Rules) -> Verdict:
    """Fail where an instruction says not to verify what it installs; else only a person can tell that all was verified."""
    del rules
    said = [
        f"layer {one.layer}: {what}"
        for one in instructions(found.layers)
        if one.verb in {"RUN", "ENV"}
        for pattern, what in _UNVERIFIED_PATTERNS
        if pattern.search(one.text)
    ]
    if said:
        return failed("; ".join(said))
    return to_look_at(
        "whether packages come from signed repositories only: the repositories and keys that the build uses",
        "no instruction turns verification off",
    )


def _refreshed_only(one: Instruction) -> Iterator[str]:
    """Yield the package managers whose lists an instruction fetches without installing anything by them."""
    refreshed: dict[str, str] = {}
    installed: set[str] = set()
    for program, *words in commands(one.text):
        family, manager = _MANAGERS.get(program, ("", None))
        if manager is None:
            continue
        if manager.install & set(words):
            installed.add(family)
        elif manager.refresh & set(words):
            refreshed.setdefault(family, f"{program} {next(word for word in words if word in manager.refresh)}")
    yield from (said for family, said in refreshed.items() if family not in installed)


CHECKS = (
    Check(
        id="update-not-alone",
        title="Package lists are fetched only together with an installation",
        needs=("history",),
        judge=update_not_alone,
        remedy="Fetch the lists and install in the same RUN, so that the cache never keeps old lists.",
    ),
    Check(
        id="copy-not-add",
        title="Files come by COPY, not by ADD",
        needs=("history",),
        judge=copy_not_add,
        remedy="Use COPY; fetch and check archives in a RUN, by digest.",
    ),
    Check(
        id="verified-packages",
        title="Only verified packages are installed",
        needs=("history",),
        judge=verified_packages,
        remedy="Install from signed repositories, check downloads by digest, leave verification on.",
    ),
)
