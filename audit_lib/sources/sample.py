"""sample: the two images that ship with the library, so that everything can be tried without an engine or a network."""

from __future__ import annotations

from pathlib import Path

from audit_lib.errors import UnknownImageError

SCHEME = "sample"
# Ages of a sample are judged by this day, so that examples stay as they are printed.
AS_OF = "2025-02-01"
_FOLDER = Path(__file__).parent.parent / "samples"
NAMES = ("full", "minimal")
NOTE = (
    "{} is a sample that ships with the library: file tree, sizes, modes, owners and package databases are those of a real "
    "image, other contents are blank and package descriptions left out, so nothing that is read from inside programs is known."
)


def path_of(name: str) -> Path:
    """Return where a sample image lies (an OCI archive with zstd layers); raises `UnknownImageError` for another name."""
    if name not in NAMES:
        raise UnknownImageError(f"sample:{name}: expected sample:full or sample:minimal")
    return _FOLDER / f"{name}.tar"
