"""What a report was made with: version, commit, libraries."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

DISTRIBUTION = "audit-lib"
_CHECKOUT = Path(__file__).resolve().parents[2]


def version() -> str:
    """Return the installed version of this library, "unknown" where it is used without being installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def commit() -> str | None:
    """Return the commit of the checkout that this library runs from, None where it is none.

    "-dirty" is appended where the library or the notebooks were changed since.
    """
    git = shutil.which("git")
    if git is None or not (_CHECKOUT / ".git").exists():
        return None
    head = _output(git, "rev-parse", "HEAD")
    changed = _output(git, "status", "--porcelain", "--", "audit_lib", "notebooks")
    return f"{head}-dirty" if head and changed else head


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that this one requires, by name; empty where it is not installed."""
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def _output(git: str, *words: str) -> str | None:
    command = [git, "-C", str(_CHECKOUT), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words, no shell
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None
