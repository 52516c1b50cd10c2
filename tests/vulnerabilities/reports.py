"""The documents of scanners that tests read."""

from __future__ import annotations

import lzma
from pathlib import Path

from audit_lib.vulnerabilities.reports import parse
from audit_lib.vulnerabilities.reports.base import Report

DOCUMENTS = Path(__file__).parent / "documents"
LIMIT = 64 * 1024**2
BY_TRIVY = (
    "full.trivy.json",
    "minimal.trivy.json",
    "minimal.trivy-vex.json",
    "minimal.trivy.sarif",
    "minimal.trivy.cdx.json",
)
BY_HAND = ("grype.json", "scout.sarif", "scout.gitlab.json", "osv-scanner.json")


def document(name: str) -> bytes:
    """Return a document's bytes."""
    path = DOCUMENTS / name
    return path.read_bytes() if path.exists() else lzma.decompress(path.with_name(f"{name}.xz").read_bytes())


def written(name: str, folder: Path) -> Path:
    """Return the path of a document that was written into a folder."""
    path = folder / name
    path.write_bytes(document(name))
    return path


def parsed(name: str) -> Report:
    """Return what a document states."""
    return parse(document(name), name, limit=LIMIT)
