"""What is learned of one layer, and what it may ask for while it is read: values that know nothing of how that is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# Those by which package databases state what their files hold.
ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
# Called with (layer, stored bytes just read).
Progress = Callable[[str, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an image from a stranger may ask for before it is refused with a `LimitError`.

    `entries` and `unpacked_bytes` hold for each layer, and `entries` for the whole image too; `layers` are those of an image.
    `inflation` is how many times its compressed length a layer may become, once it is longer than `inflation_from_bytes`.
    `searched_bytes` is the largest text that is searched for secrets: what is larger is not.
    `kept_file_bytes` is the largest package-database file that is read, `kept_bytes` all of a layer together, and all
    that is taken out of its other files: a larger one is reported as damaged, not refused. `examined_bytes` is the
    largest single file (an archive, an executable) that is looked into.
    """

    entries: int = 1_000_000
    unpacked_bytes: int = 256 * 1024**3
    inflation: int = 200
    inflation_from_bytes: int = 256 * 1024**2
    kept_file_bytes: int = 128 * 1024**2
    kept_bytes: int = 512 * 1024**2
    examined_bytes: int = 512 * 1024**2
    searched_bytes: int = 256 * 1024
    path_bytes: int = 4096
    layers: int = 1000


@dataclass(frozen=True, slots=True)
class NotKept:
    """Stands for the contents of a file that a format asked for and that could not be kept."""

    why: str


@dataclass(slots=True, kw_only=True)
class LayerScan:
    """What one layer holds. The lists are columns: one place an entry, in the order of the tar.

    `paths` from the root without slashes around; whiteouts are still names (`.wh.…`). `kinds`: the type flag of ustar
    ("0" file … "6" pipe). `sizes`: contents of a file, else 0. `owners`: (permission bits, uid, gid). By row
    number, where there is something to say: `links` (targets), `magics` ("elf", "script", "archive"),
    `capabilities` (the raw `security.capability` attribute), `kept` (contents), `digests` (hexadecimal, by the
    algorithm's name). `evidence`: by (name of the format or extractor, row); `evidence_bytes` counts it while it grows.
    """

    name: str
    diff_id: str = ""
    layer_digest: str | None = None
    compressed_bytes: int | None = None
    unpacked_bytes: int = 0
    compression: str = ""
    paths: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    owners: list[tuple[int, int, int]] = field(default_factory=list)
    links: dict[int, str] = field(default_factory=dict)
    magics: dict[int, str] = field(default_factory=dict)
    capabilities: dict[int, bytes] = field(default_factory=dict)
    kept: dict[int, bytes | NotKept] = field(default_factory=dict)
    digests: dict[int, dict[str, str]] = field(default_factory=dict)
    evidence: dict[tuple[str, int], bytes | NotKept] = field(default_factory=dict)
    evidence_bytes: int = field(default=0, compare=False)
