"""OSV records and databases of advisories for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from audit_lib.tables import Image, Package, make_table
from audit_lib.vulnerabilities.assessing import assess
from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.taking import import_paths

IMAGE = "oci-dir:image"


def record(identity: str, ecosystem: str, package: str, *events: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Return an OSV record of one package with one range; `more` are further members of the record."""
    kind = "SEMVER" if ecosystem in {"npm", "Go", "crates.io"} else "ECOSYSTEM"
    affected = {
        "package": {"ecosystem": ecosystem, "name": package},
        "ranges": [{"type": kind, "events": list(events)}],
    }
    return {"id": identity, "modified": "2026-01-02T03:04:05.678Z", "affected": [affected], **more}


def before(version: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the events of a range that holds everything before a version."""
    return {"introduced": "0"}, {"fixed": version}


def database(folder: Path, records: Iterable[object], *further: Path) -> Database:
    """Return a database of these records, and of what further files hold."""
    source = folder / "records.jsonl"
    source.write_text("".join(f"{json.dumps(one)}\n" for one in records), encoding="utf-8")
    made = Database(folder / "advisories")
    import_paths(made, [source, *further])
    return made


def package(form: str, name: str, version: str | None, **facts: Any) -> Package:
    """Return a row of `packages`."""
    stated: dict[str, Any] = {
        "architecture": None,
        "purl": f"pkg:{form}/{name}@{version}",
        "source_name": None,
        "source_version": None,
        "licenses": None,
        "installed_size_bytes": None,
        "file_bytes": None,
        "file_count": None,
        "first_layer": None,
        "database_path": "/db",
        "parent": None,
    }
    return Package(image=IMAGE, format=form, name=name, version=version, **{**stated, **facts})


def image_row(
    distro_id: str | None = None, distro_version: str | None = None, package_count: int | None = 1
) -> pd.Series:
    """Return the row of an image of a distribution."""
    stated: dict[str, Any] = {field.name: None for field in fields(Image)}
    known = {
        "image": IMAGE,
        "reference": IMAGE,
        "source": "oci-dir",
        "distro_id": distro_id,
        "distro_version": distro_version,
    }
    return make_table(Image, [Image(**{**stated, **known, "package_count": package_count})]).iloc[0]


def assessed(
    held: Database, packages: Sequence[Package], distro_id: str | None = None, distro_version: str | None = None
) -> Any:
    """Return what a database says of packages."""
    table = make_table(Package, packages)
    return assess(table, image_row(distro_id, distro_version, len(table)), held, only_if_named=False)


def found(held: Database, packages: Sequence[Package], *distro: str) -> pd.DataFrame:
    """Return the vulnerabilities that a database has of packages."""
    table: pd.DataFrame = assessed(held, packages, *distro).vulnerabilities
    return table
