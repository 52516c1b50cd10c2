"""What workers do for a fleet: look at an image, read one layer, write one image's tables.

Functions of a module, with small arguments and small results, so that any executor can send them to another process or machine. The
tables go from the worker to the place of the output, the scans to the store: nothing large passes through who started the run.
"""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit_lib import stated
from audit_lib.audit import TABLES, Audit, audit
from audit_lib.compliance import Policy
from audit_lib.dataset import Dataset, part_of
from audit_lib.errors import AuditError, LimitError, SourceError
from audit_lib.layer import ALGORITHMS, Limits
from audit_lib.reading import read_layer, read_outline
from audit_lib.store import Store
from audit_lib.tables import FleetImage, Image, Row, make_table
from audit_lib.wanted import Wanted

IMAGES = "images"
# The tables of the output by name: the images, and all else that an audit has.
FLEET_TABLES: Mapping[str, type[Row]] = {
    IMAGES: FleetImage,
    **{name: row for name, row in TABLES.items() if name != "image"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What holds for all tasks of a run: `output` and `store` are places that all workers reach; the rest is as for `audit`.

    `made_by` stands for all that tables depend on beside the image.
    """

    output: str
    store: str
    made_by: str
    limits: Limits
    check_files: bool
    policy: Policy
    today_utc: str | None
    advisories: str | None

    @property
    def digests(self) -> tuple[str, ...]:
        """The algorithms by which files are hashed."""
        return ALGORITHMS if self.check_files else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an image says before a layer is read: its `digest`, its `stored_bytes`, and those of each layer that is `unknown` yet.

    All of these are missing where only the layers bring them: such an image is read as a whole. `error` says why there is no such
    image.
    """

    digest: str | None = None
    stored_bytes: int | None = None
    unknown: Mapping[str, int | None] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a task: `stored_bytes` read, the file's name (`part`) where tables were written, else an `error`.

    `is_final`: another image that has this layer would meet the same error. `messages` are the store's.
    """

    stored_bytes: int = 0
    part: str | None = None
    error: str | None = None
    is_final: bool = False
    messages: tuple[str, ...] = ()


class _Calm:
    """While a task is at work in this process, garbage in circles is looked for less often than Python does by itself.

    An audit makes millions of values that stay and hardly a circle; in a worker of Dask, which holds many objects of its own,
    looking for these took a fifth of the time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._before = gc.get_threshold()

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._before = gc.get_threshold()
                gc.set_threshold(200_000, 50, 100)
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                gc.set_threshold(*self._before)


_CALM = _Calm()


def look(wanted: Wanted, order: Order) -> Seen:
    """Return what an image says of itself before any of its layers is read."""
    try:
        document = stated.find_document(wanted.reference)
        if document is not None:
            return Seen(digest=_document_digest(document))
        outline = read_outline(
            wanted.reference,
            platform=wanted.platform,
            limits=order.limits,
            store=Store(order.store),
            digests=order.digests,
        )
    except (AuditError, OSError, ValueError) as error:
        return Seen(error=_said(error))
    facts = outline.facts
    if facts is None:
        return Seen()
    sizes = {layer.diff_id: layer.compressed_bytes for layer in facts.layers}
    known = [size for size in sizes.values() if size is not None]
    unknown = {diff_id: size for diff_id, size in sizes.items() if diff_id in outline.unknown}
    return Seen(
        digest=facts.manifest_digest or facts.config_digest,
        stored_bytes=sum(known) if len(known) == len(sizes) else None,
        unknown=unknown if outline.is_separable else None,
    )


def bring(wanted: Wanted, diff_id: str, order: Order) -> Done:
    """Read one layer of an image into the store."""
    store = Store(order.store)
    try:
        with _CALM:
            stored_bytes = read_layer(
                wanted.reference,
                diff_id,
                platform=wanted.platform,
                limits=order.limits,
                store=store,
                digests=order.digests,
            )
    except (AuditError, OSError, ValueError) as error:
        return Done(error=_said(error), is_final=isinstance(error, LimitError))
    return Done(stored_bytes=stored_bytes, messages=tuple(store.messages))


def write(wanted: Wanted, order: Order) -> Done:
    """Audit one image and write its tables, `images` last: an image that has its row there is whole."""
    store = Store(order.store)
    try:
        with _CALM:
            found = audit(
                wanted.reference,
                platform=wanted.platform,
                store=store,
                limits=order.limits,
                check_files=order.check_files,
                policy=order.policy,
                today_utc=order.today_utc,
                advisories=order.advisories,
            )
            part = part_of(wanted, digest_of(found, wanted), order.made_by)
            _write_tables(found, wanted, part, Dataset(order.output))
    except (AuditError, OSError, ValueError) as error:
        return Done(error=_said(error), messages=tuple(store.messages))
    return Done(part=part, messages=tuple(store.messages))


def _write_tables(found: Audit, wanted: Wanted, part: str, output: Dataset) -> None:
    try:
        for name in FLEET_TABLES:
            if name != IMAGES:
                output.write(name, part, _labelled(getattr(found, name), wanted))
        output.write(IMAGES, part, images_table([_row(found, wanted)], found.image))
    except SourceError:
        for name in FLEET_TABLES:
            output.remove(name, part)
        raise


def _labelled(table: pd.DataFrame, wanted: Wanted) -> pd.DataFrame:
    """Return a table with the image called as in the list: an audit calls it by its reference, whatever the platform."""
    if wanted.platform is None:
        return table
    return table.assign(image=pd.array([wanted.label] * len(table), dtype="string"))


def images_table(rows: Sequence[FleetImage], image: pd.DataFrame) -> pd.DataFrame:
    """Return the table `images`: the columns of `FleetImage`, then those of `Image`, missing where `image` has no such row."""
    facts = image.drop(columns=["image", "reference"]).reindex(range(len(rows)))
    return pd.concat([make_table(FleetImage, rows), facts], axis="columns")


def failed_table(wanted: Wanted, error: str) -> pd.DataFrame:
    """Return the table `images` of one image that could not be read."""
    return images_table([_failure(wanted, error)], make_table(Image, []))


def _failure(wanted: Wanted, error: str) -> FleetImage:
    return FleetImage(
        image=wanted.label,
        reference=wanted.reference,
        platform=wanted.platform,
        status="failed",
        error=error,
        unknown_tables=", ".join(name for name in FLEET_TABLES if name != IMAGES),
        notes=None,
        gaps=None,
    )


def _row(found: Audit, wanted: Wanted) -> FleetImage:
    return FleetImage(
        image=wanted.label,
        reference=wanted.reference,
        platform=wanted.platform,
        status="damaged" if found.is_damaged else "read",
        error=None,
        unknown_tables=", ".join(name for name in FLEET_TABLES if not found.knows(name)) or None,
        notes="\n".join(found.notes) or None,
        gaps="\n".join(found.gaps) or None,
    )


def digest_of(found: Audit, wanted: Wanted) -> str | None:
    """Return what an image is told by: the digest of its manifest, else of its config, of an SBOM alone its own."""
    document = stated.find_document(wanted.reference)
    if document is not None:
        return _document_digest(document)
    image = found.image.iloc[0]
    return next((str(image[name]) for name in ("manifest_digest", "config_digest") if not pd.isna(image[name])), None)


def _document_digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or "without a word"
    return text if isinstance(error, AuditError) else f"{type(error).__name__}: {text}"
