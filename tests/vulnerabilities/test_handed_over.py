"""A report's manifest says which advisories were asked: of which day, and with which digest."""

from __future__ import annotations

import hashlib
import json

from audit_lib import audit, write_audits
from audit_lib.exports.audits import read_audits
from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.taking import import_paths
from tests.vulnerabilities.advisories import before, record


def test_the_bodies_of_advisories_that_were_asked_are_handed_over_with_their_digests(tmp_path):
    held = tmp_path / "pypi.json"
    held.write_bytes(json.dumps(record("GOOD-1", "PyPI", "pip", *before("999"))).encode())
    other = tmp_path / "cargo.json"
    other.write_bytes(json.dumps(record("GOOD-2", "crates.io", "thing", *before("2.0"))).encode())
    database = Database(tmp_path / "advisories")
    for path in (held, other):
        import_paths(database, [path])
    found = audit("sample:full", advisories=database)
    assert "PyPI" in set(found.vulnerability_coverage["ecosystem"].dropna())
    write_audits(tmp_path / "out", image=found)
    data = read_audits(tmp_path / "out")["image"].vulnerability_data
    assert [one["source"] for one in data] == ["osv:PyPI"]
    assert data[0]["digest"] == f"sha256:{hashlib.sha256(held.read_bytes()).hexdigest()}"
    assert set(data[0]) == {"source", "data_utc", "updated_utc", "origin", "digest"}


def test_where_no_advisories_were_asked_there_are_none(tmp_path):
    write_audits(tmp_path, image=audit("sample:minimal", advisories="none"))
    assert read_audits(tmp_path)["image"].vulnerability_data == ()
