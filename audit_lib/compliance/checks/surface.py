"""Checks of the attack surface: programs, rights, accounts and secrets that an attacker would find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import pandas as pd

from audit_lib.compliance.base import Check, Judged, Rules, Verdict, failed, named, not_assessable, passed

_SHOWN = 8
# What `surface` calls the secrets that files may hold.
_IN_FILES = "in files"


def no_shell(found: Judged, rules: Rules) -> Verdict:
    """Fail where a shell is there, a busybox that holds one included."""
    return _none_of(found, rules, ["shells"], "shell")


def no_package_manager(found: Judged, rules: Rules) -> Verdict:
    """Fail where a package manager is there, of the distribution or of a language."""
    return _none_of(found, rules, ["package managers"], "package manager")


def no_setuid(found: Judged, rules: Rules) -> Verdict:
    """Fail where a file has the setuid or the setgid bit."""
    return _none_of(found, rules, ["setuid files", "setgid files"], "setuid or setgid file")


def no_capabilities(found: Judged, rules: Rules) -> Verdict:
    """Fail where a file has Linux capabilities."""
    return _none_of(found, rules, ["file capabilities"], "file with capabilities", "files with capabilities")


def no_world_writable(found: Judged, rules: Rules) -> Verdict:
    """Fail where everybody may write to a file, or to a folder without the sticky bit."""
    return _none_of(
        found, rules, ["world-writable paths"], "path that everybody may write to", "paths that everybody may write to"
    )


def no_empty_passwords(found: Judged, rules: Rules) -> Verdict:
    """Fail where a user may log in without a password."""
    return _none_of(found, rules, ["empty passwords"], "user without a password", "users without a password")


def no_remote_administration(found: Judged, rules: Rules) -> Verdict:
    """Fail where a server of the policy's list `programs` is there, or a port of its list `ports` is declared."""
    items, unknown = items_of(found, ["remote administration", "network servers", "listening ports"])
    names, ports = rules.options["programs"], rules.options["ports"]
    is_port = items["category"] == "listening ports"
    wanted = [name in (ports if port else names) for name, port in zip(items["name"], is_port, strict=True)]
    return _judged(items[wanted], unknown, "means of remote administration", "means of remote administration")


def no_secrets_in_files(found: Judged, rules: Rules) -> Verdict:
    """Fail where a file holds a private key, a token or a password."""
    items, unknown = items_of(found, ["private keys", "secrets"])
    return _but_allowed(items[items["path"].notna()], rules, unknown, "file with a secret", "files with secrets")


def no_secrets_in_environment(found: Judged, rules: Rules) -> Verdict:
    """Fail where a variable, a label or a command of the configuration holds a secret."""
    del rules
    items, unknown = items_of(found, ["private keys", "secrets"], besides=_IN_FILES)
    return _judged(
        items[items["path"].isna() & ~_is_history(items)],
        unknown,
        "secret in the configuration",
        "secrets in the configuration",
    )


def no_secrets_in_history(found: Judged, rules: Rules) -> Verdict:
    """Fail where an instruction of the history holds a secret."""
    del rules
    items, unknown = items_of(found, ["private keys", "secrets"], besides=_IN_FILES)
    return _judged(
        items[items["path"].isna() & _is_history(items)], unknown, "secret in the history", "secrets in the history"
    )


def items_of(
    found: Judged, categories: Sequence[str], *, besides: str | None = None
) -> tuple[pd.DataFrame, str | None]:
    """Return what of these categories was found, and why it is not known whether there is more.

    `besides`: the name of what may be unknown all the same.
    """
    rows = found.surface[found.surface["category"].isin(list(categories))]
    unknown = rows[(rows["status"] == "unknown") & rows["name"].ne(besides or "")]
    why = None if unknown.empty else named(dict.fromkeys(unknown["detail"].fillna("it is not known")))
    return rows[rows["status"] == "found"], why


def _none_of(found: Judged, rules: Rules, categories: Sequence[str], one: str, several: str | None = None) -> Verdict:
    items, unknown = items_of(found, categories)
    return _but_allowed(items, rules, unknown, one, several or f"{one}s")


def _but_allowed(items: pd.DataFrame, rules: Rules, unknown: str | None, one: str, several: str) -> Verdict:
    """Return what items say but those that the policy allows, which are counted."""
    kept = _without(items, rules.options["allowed"])
    verdict = _judged(kept, unknown, one, several)
    allowed = items.drop(index=kept.index)
    if allowed.empty:
        return verdict
    said = f"{len(allowed):,} allowed by the policy: {named(_shown(allowed), few=_SHOWN)}"
    return verdict._replace(evidence="; ".join(filter(None, (verdict.evidence, said))))


def _judged(items: pd.DataFrame, unknown: str | None, one: str, several: str) -> Verdict:
    if len(items):
        count = int(items["item_count"].sum())
        return failed(
            f"{count:,} {one if count == 1 else several}: {named(_shown(items), few=_SHOWN)}", items["path"].dropna()
        )
    return passed(f"no {one}") if unknown is None else not_assessable(unknown)


def _shown(items: pd.DataFrame) -> Iterable[str]:
    """Return items as a reader finds them: by their paths, with the rule of a secret, the name of a user."""
    for category, path, name in items[["category", "path", "name"]].astype(object).to_numpy().tolist():
        if pd.isna(path) or category in {"login users", "empty passwords"}:
            yield name
        else:
            yield f"{path} ({name})" if category in {"private keys", "secrets"} else path


def _is_history(items: pd.DataFrame) -> pd.Series:
    return items["name"].str.startswith("history")


def _without(items: pd.DataFrame, allowed: Sequence[str]) -> pd.DataFrame:
    """Return items but those whose path or name fits one of the patterns."""
    keys = zip(items["path"].fillna(""), items["name"], strict=True)
    return items[[not any(fnmatchcase(key, pattern) for key in pair for pattern in allowed) for pair in keys]]


CHECKS = (
    Check(
        id="no-shell",
        title="No shell is there",
        needs=("surface",),
        judge=no_shell,
        remedy="Use a base without a shell (distroless, scratch) and the exec form of CMD, ENTRYPOINT and HEALTHCHECK.",
        options={"allowed": "texts"},
    ),
    Check(
        id="no-package-manager",
        title="No package manager is there",
        needs=("surface",),
        judge=no_package_manager,
        remedy="Install in a build stage, and copy the result onto a base without a package manager.",
        options={"allowed": "texts"},
    ),
    Check(
        id="no-setuid",
        title="No file has the setuid or setgid bit",
        needs=("surface",),
        judge=no_setuid,
        remedy="Remove the bits (chmod a-s) or the packages that bring them.",
        options={"allowed": "texts"},
    ),
    Check(
        id="no-file-capabilities",
        title="No file has Linux capabilities",
        needs=("surface",),
        judge=no_capabilities,
        remedy="Remove them (setcap -r), and give the container the capability that it needs.",
        options={"allowed": "texts"},
    ),
    Check(
        id="no-world-writable",
        title="Nothing is writable for everybody",
        needs=("surface",),
        judge=no_world_writable,
        remedy="Take the right away (chmod o-w), or set the sticky bit of a folder that many write to.",
        options={"allowed": "texts"},
    ),
    Check(
        id="no-empty-passwords",
        title="No user logs in without a password",
        needs=("surface",),
        judge=no_empty_passwords,
        remedy="Lock the password (passwd -l) or remove the user.",
        options={"allowed": "texts"},
    ),
    Check(
        id="no-remote-administration",
        title="No server for remote administration is there",
        needs=("surface",),
        judge=no_remote_administration,
        remedy="Leave sshd and its like out; an orchestrator runs commands in a container where that is needed.",
        options={"programs": "texts", "ports": "texts"},
    ),
    Check(
        id="no-secrets-in-files",
        title="No secret lies in a file",
        needs=("surface",),
        judge=no_secrets_in_files,
        remedy="Take the secret out of every layer, replace it everywhere, and mount secrets when the container runs.",
        options={"allowed": "texts"},
    ),
    Check(
        id="no-secrets-in-environment",
        title="No secret stands in the configuration",
        needs=("surface",),
        judge=no_secrets_in_environment,
        remedy="Take the secret out of ENV and LABEL, replace it everywhere, and pass secrets when the container runs.",
    ),
    Check(
        id="no-secrets-in-history",
        title="No secret stands in the history",
        needs=("surface", "config"),
        judge=no_secrets_in_history,
        remedy="Build with secret mounts (RUN --mount=type=secret) instead of ARG and commands, and replace the secret everywhere.",
    ),
)
