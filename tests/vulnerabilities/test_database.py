"""What is read of the advisory database is what was asked for, however its rows fall into groups."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.errors import AuditError
from audit_lib.tables import AdvisorySource, check_table
from audit_lib.vulnerabilities import database
from audit_lib.vulnerabilities.database import Database, Facts
from audit_lib.vulnerabilities.taking import import_paths
from tests.vulnerabilities.advisories import before, record

RELEASES = ["3.8", "3.9", "3.10", "3.20"]
PACKAGES = ["a", "b", "busybox", "bz", "é", "z"]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Return a database in whose file two rows are a group."""
    folder = tmp_path_factory.mktemp("held")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_GROUP_ROWS", 2)
        records = [
            record(f"ALPINE-CVE-2026-{number:04}", f"Alpine:v{release}", name, *before("2"))
            for number, (release, name) in enumerate(
                (release, name) for release in RELEASES for name in PACKAGES for _ in "123"
            )
            if (release, name) not in {("3.9", "b"), ("3.20", "a")}
        ]
        source = folder / "records.json"
        source.write_text(json.dumps(records))
        made = Database(folder / "db")
        import_paths(made, [source])
    assert pq.ParquetFile(folder / "db" / "osv-Alpine.parquet").num_row_groups > 30
    return made


@settings(max_examples=60, deadline=None)
@given(asked=st.sets(st.tuples(st.sampled_from([*RELEASES, "4", ""]), st.sampled_from([*PACKAGES, "0", "bu", "zz"]))))
def test_of_any_packages_all_records_are_read_and_of_others_none(held, asked):
    found = held.load({("Alpine", *one) for one in asked}).records
    there = {("Alpine", *one) for one in asked if one[0] in RELEASES and one[1] in PACKAGES} - {
        ("Alpine", "3.9", "b"),
        ("Alpine", "3.20", "a"),
    }
    assert {place: len(rows) for place, rows in found.items()} == dict.fromkeys(there, 3)


def test_an_ecosystem_that_is_not_held_is_not_looked_for(held):
    assert held.load({("Debian", "12", "a")}).records == {}
    assert held.load({("Alpine", "3.9", "a")}).exploited is None


def test_what_is_held_is_a_table_and_its_state_changes_with_it_alone(held, tmp_path: Path):
    table = check_table(AdvisorySource, held.table())
    assert table[["source", "record_count", "package_count"]].to_numpy().tolist() == [["osv:Alpine", 66, 22]]
    again = Database(held.place)
    state = again.state()
    again.touch(Facts(**{**_facts(again), "updated_utc": "2030-01-01T00:00:00Z"}))
    assert again.facts()["osv:Alpine"].updated_utc == "2030-01-01T00:00:00Z"
    assert again.state() == state
    assert again.load({("Alpine", "3.9", "a")}).records != {}
    assert Database(tmp_path / "none").state() != state


def _facts(held: Database) -> dict[str, object]:
    (facts,) = held.facts().values()
    return {name: getattr(facts, name) for name in Facts.__slots__}


def test_a_database_lies_wherever_fsspec_has_a_driver_for(tmp_path: Path):
    source = tmp_path / "records.json"
    source.write_text(json.dumps([record("X-1", "PyPI", "thing", *before("2"))]))
    there = Database("memory://advisories-of-a-test")
    import_paths(there, [source])
    assert list(there.load({("PyPI", "", "thing")}).records) == [("PyPI", "", "thing")]
    with pytest.raises(AuditError, match="Protocol not known: nowhere"):
        Database("nowhere://x")
