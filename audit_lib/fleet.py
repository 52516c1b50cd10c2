"""Many images at once: a layer that several of them have is read once, on one machine or on many.

First what all images say of themselves, then each layer that is not known yet as one task, then the tables of each image. What is
done stays done: a run that was cut goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from audit_lib.clock import now_utc
from audit_lib.compliance import Policy, read_policy
from audit_lib.dataset import PARTITION, Dataset
from audit_lib.errors import SourceError, TableError
from audit_lib.layer import Limits
from audit_lib.schedule import Progress, Schedule
from audit_lib.store import NONE, default_place, open_place
from audit_lib.tables import Image, make_table
from audit_lib.tasks import FLEET_TABLES, IMAGES, Order, images_table
from audit_lib.vulnerabilities.base import ENVIRONMENT as ADVISORIES
from audit_lib.vulnerabilities.database import Database
from audit_lib.wanted import Wanted, parse_references, wanted_of
from audit_lib.workers import Processes

__all__ = ["Fleet", "Progress", "Wanted", "audit_many", "open_fleet", "read_fleet"]

# Where less is to be done than this, starting processes takes longer than they gain.
_FEW_BYTES = 64 * 1024 * 1024
# What images say of themselves is waited for, not computed.
_LOOKS_AT_ONCE = 8
# Where scans are kept for one run, in its output; programs that read a folder of tables pass over such a name.
_SCANS = ".layers"


@dataclass(frozen=True, eq=False, kw_only=True)
class Fleet:
    """Images that were read; their tables lie in a place that holds a Parquet dataset a table.

    `images` is one row an image, failed ones too: the columns of `FleetImage`, then those of `Image`, then `image_digest` (the
    manifest's digest, the config's where no manifest is known, an SBOM's own). `messages`: what there is to say of the run, a
    sentence each.
    """

    place: str
    images: pd.DataFrame
    messages: tuple[str, ...] = ()
    _parts: Sequence[str] = ()

    def table(self, name: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a table of all images that were read: the columns of its row class (or those asked for), and `image_digest`.

        `name` is that of an attribute of `Audit`, or `images`. The `files` of many images may not fit into memory: see `each`.
        Raises `TableError` where there is no such table.
        """
        if name == IMAGES:
            found: pd.DataFrame | None = self.images
        else:
            found = Dataset(self.place).read(_checked(name), self._parts, columns=columns)
        if found is None:
            found = make_table(FLEET_TABLES[name], []).assign(**{PARTITION: pd.array([], dtype="string")})
        return found if columns is None else found[list(columns)]

    def each(self, name: str, *, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield a table image by image, so that the rows of one image only are in memory at a time; see `table`."""
        for part in self._parts:
            found = Dataset(self.place).read(_checked(name), [part], columns=columns)
            if found is not None:
                yield found


def audit_many(  # noqa: PLR0913 - what is asked of many images
    references: Iterable[str | Wanted],
    output: str | os.PathLike[str] | None = None,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    platform: str | None = None,
    store: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    check_files: bool = False,
    policy: Policy | str | os.PathLike[str] | None = None,
    today_utc: str | None = None,
    advisories: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Fleet:
    """Return the `Fleet` of these images, their tables written to `output`: a folder, or an fsspec URL.

    Without `output` they lie in a temporary folder that goes when the `Fleet` goes. `executor` is any
    `concurrent.futures.Executor`, such as `distributed.Client(…).get_executor()`; its workers must reach `output` and `store`.
    Without one, `workers` processes of this machine share the work (default: one a processor; none where there is little to do):
    walking layers and making tables hold Python's global lock, so threads would wait for each other.

    `platform` holds for references that name none; `store`, `limits`, `check_files`, `policy`, `today_utc` and `advisories` are
    those of `audit`; workers of other machines must reach `advisories` too, or have their own. With the store "none", scans are
    kept beside the output while the run lasts, since a layer is read once all the same.
    `progress` is called with each step.

    An image that cannot be read is a row of `images` with its `error`, not the end of the run. What `output` holds already of the
    same digest, made by the same version with the same options and advisories on the same day (by which `findings` are judged), is
    not made again.
    Raises `SourceError` where `output` or `store` cannot be used.
    """
    wanted = wanted_of(references, platform)
    with ExitStack() as undone:
        if output is None:
            place = tempfile.mkdtemp(prefix="audit-fleet-")
            undone.callback(shutil.rmtree, place, ignore_errors=True)
        else:
            place = _absolute(os.fspath(output))
        judged = policy if isinstance(policy, Policy) else read_policy(policy)
        order = _order(
            place,
            store,
            limits=limits or Limits(),
            check_files=check_files,
            policy=judged,
            today_utc=today_utc,
            advisories=_held(advisories),
        )
        schedule = Schedule(wanted, order, progress or (lambda _: None))
        with nullcontext(executor) if executor is not None else ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            schedule.look(pool)
        with nullcontext(executor) if executor is not None else _own(schedule, workers) as pool:
            schedule.work(pool)
        _clear(order)
        fleet = dataclasses.replace(_fleet(place, schedule.parts), messages=tuple(schedule.messages))
        weakref.finalize(fleet, undone.pop_all().close)
    return fleet


def open_fleet(place: str | os.PathLike[str]) -> Fleet:
    """Return the `Fleet` that earlier runs left in a place. Raises `SourceError` where there is none."""
    parts = [names[-1] for names in Dataset(place).parts(IMAGES).values()]
    if not parts:
        raise SourceError(f"{os.fspath(place)}: holds no fleet; expected what `image-audit fleet` wrote")
    return _fleet(os.fspath(place), parts)


def read_fleet(images: str, *, place: str = "", platform: str | None = None) -> Fleet:
    """Return the `Fleet` that earlier runs left in `place`; where that is empty, the one of the images that a text names.

    `images`: references separated by blanks or lines, each with a platform behind it where one is wanted: what a notebook's
    parameter can hold. Raises `AuditError` where there is no such fleet, or the text names no image.
    """
    return open_fleet(place) if place else audit_many(parse_references(images), platform=platform)


def _fleet(place: str, parts: Sequence[str]) -> Fleet:
    found = Dataset(place).read(IMAGES, parts)
    if found is None:
        none = images_table([], make_table(Image, []))
        return Fleet(place=place, images=none.assign(**{PARTITION: pd.array([], dtype="string")}))
    if len(found) != len(parts):
        raise SourceError(
            f"output {place}: {len(parts):,} files of {IMAGES} hold {len(found):,} rows; expected one each"
        )
    images = found.assign(part=list(parts)).sort_values("image", kind="stable", ignore_index=True)
    read = images.loc[images["status"] != "failed", "part"]
    return Fleet(place=place, images=images.drop(columns="part"), _parts=tuple(read))


def _own(schedule: Schedule, workers: int | None) -> Executor:
    """Return processes of this machine, or a thread of this process where they are not worth it."""
    count = min(workers or len(os.sched_getaffinity(0)), schedule.task_count)
    known = schedule.work_bytes
    is_little = workers is None and known is not None and known < _FEW_BYTES
    return ThreadPoolExecutor(1) if count <= 1 or is_little else Processes(count)


def _order(output: str, store: str | os.PathLike[str] | None, **options: Any) -> Order:
    """Return what holds for all tasks. Raises `SourceError` where there is no driver for a place."""
    place = default_place() if store is None else os.fspath(store)
    kept = f"{output}/{_SCANS}" if place == NONE else _absolute(place)
    open_place(output, "output")
    open_place(kept, "store")
    day = options["today_utc"] or now_utc()[:10]
    held = options["advisories"]
    state = "" if held == NONE else Database(held).state()
    said = [_code(), repr(options["limits"]), options["check_files"], options["policy"].digest, day, state]
    made_by = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    return Order(output=output, store=kept, made_by=made_by, **options)


@cache
def _code() -> str:
    """Return what stands for the code that makes the tables, and the data that comes with it."""
    here = Path(__file__).parent
    sources = sorted(path for ending in ("py", "csv", "yml") for path in here.rglob(f"*.{ending}"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in sources)).hexdigest()


def _clear(order: Order) -> None:
    """Remove the scans that were kept for this run alone."""
    if order.store == f"{order.output}/{_SCANS}":
        filesystem, root = open_place(order.store, "store")
        if filesystem.exists(root):
            filesystem.rm(root, recursive=True)


def _held(advisories: str | os.PathLike[str] | None) -> str | None:
    """Return where advisories are as workers are told; None for the user's cache folder, wherever they run."""
    named = os.environ.get(ADVISORIES) if advisories is None else os.fspath(advisories)
    return named if named in {None, NONE} else _absolute(named)


def _absolute(place: str) -> str:
    """Return a folder as it is found from anywhere; a URL is."""
    return place if "://" in place else str(Path(place).absolute())


def _checked(name: str) -> str:
    if name not in FLEET_TABLES:
        raise TableError(f"a fleet has no table {name!r}: expected one of {', '.join(FLEET_TABLES)}")
    return name
