"""The advisories of the shared data as a database, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.taking import import_paths


@pytest.fixture(scope="session")
def shared_database(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Return a database of all advisories in the shared data, and of CISA's list."""
    made = Database(tmp_path_factory.mktemp("advisories"))
    import_paths(made, [shared_data / "osv", shared_data / "kev"])
    return made
