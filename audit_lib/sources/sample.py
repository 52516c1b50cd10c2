"""sample: the two images that ship with the library, so that everything can be tried without an engine or a network."""

from __future__ import annotations

from pathlib import Path

from audit_lib.errors import ReferenceError

_FOLDER = Path(__file__).parent.parent / "samples"
NAMES = ("full", "minimal")


def path_of(name: str) -> Path:
    """Return where a sample image lies (an OCI archive with zstd layers); raises `ReferenceError` for another name."""
    if name not in NAMES:
        raise ReferenceError(f"sample:{name}: expected sample:full or sample:minimal")
    return _FOLDER / f"{name}.tar"
