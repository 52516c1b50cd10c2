"""Programs that tests compare with: found, or the test that asks is skipped with the reason.

`AUDIT_TEST_ENGINES=required` turns those skips into failures, for machines that are meant to have all of them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRED = os.environ.get("AUDIT_TEST_ENGINES") == "required"


def tool(name: str, package: str | None = None) -> Path:
    """Return where a program is, links followed; `package` is Debian's, where it has another name."""
    found = shutil.which(name)
    if found is None:
        unavailable(f"{name} is not installed (Debian: {package or name})")
    return Path(found).resolve()


def unavailable(reason: str) -> NoReturn:
    """Skip the test that runs, or fail it where everything is required."""
    if REQUIRED:
        pytest.fail(f"{reason} (AUDIT_TEST_ENGINES=required)", pytrace=False)
    pytest.skip(reason)
