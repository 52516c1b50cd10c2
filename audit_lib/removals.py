"""Packages that a layer removed, while the layers below still hold them: what was claimed then, what is left of it now."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Format, Found
from audit_lib.rootfs import Rootfs

Inode = tuple[int, int]
How = Literal["removed", "upgraded", "metadata_deleted"]


@dataclass(frozen=True, slots=True)
class Removal:
    """A package that the databases of a lower layer state and those of the final tree do not.

    `layer` removed it, `first_layer` brought it. `files`: its files (path, inode, bytes) in the tree below `layer`, None
    where its database did not say which they are. `replaced_by`: the version that stands there instead.
    """

    form: Format
    found: Found
    first_layer: int
    layer: int
    files: tuple[tuple[str, Inode, int], ...] | None
    replaced_by: str | None

    def left(self, final: Rootfs) -> list[str]:
        """Return the paths at which the final tree still shows the very files that the package brought."""
        return [path for path, inode, _ in self.files or () if final.inode(path) == inode]

    def how(self, final: Rootfs) -> How:
        """Tell what happened: where most of its files are in place, only its metadata was deleted."""
        if self.replaced_by is not None:
            return "upgraded"
        return "metadata_deleted" if self.files and 2 * len(self.left(final)) > len(self.files) else "removed"

    def hidden_bytes(self, final: Rootfs) -> int | None:
        """Return the bytes of its files that the image stores and does not show."""
        if self.files is None:
            return None
        shown = {final.inode(path) for path, _, _ in self.files}
        return sum({inode: size for _, inode, size in self.files if inode not in shown}.values())


def removals(
    form: Format, gone: Sequence[tuple[Found, int]], before: Rootfs, layer: int, versions: Mapping[str, str | None]
) -> Iterator[Removal]:
    """Yield a `Removal` for each package with its first layer that `layer` took out of the tree `before`.

    `versions`: what stands in the databases of that format now, by name.
    """
    paths: list[str] = []
    folders: dict[str, str | None] = {}
    for found, first_layer in gone:
        try:
            claimed = form.files(before, found)
        except DamagedDatabaseError:
            claimed = None
        files = None
        if claimed is not None:
            paths = paths or before.paths()
            files = tuple(dict.fromkeys(_files(before, claimed, paths, folders)))
        yield Removal(form, found, first_layer, layer, files, versions.get(found.name))


def _files(
    tree: Rootfs, claimed: Iterable[str], paths: list[str], folders: dict[str, str | None]
) -> Iterator[tuple[str, Inode, int]]:
    for path in claimed:
        if path.endswith("/"):
            start = bisect_left(paths, path)
            while start < len(paths) and paths[start].startswith(path):
                yield from _file(tree, paths[start])
                start += 1
            continue
        found = list(_file(tree, path))
        if not found:
            folder, _, name = path.rpartition("/")
            real = tree.real_folder(folder, folders)
            if real is not None:
                found = list(_file(tree, f"{real}/{name}" if real else name))
        yield from found


def _file(tree: Rootfs, path: str) -> Iterator[tuple[str, Inode, int]]:
    entry, inode = tree.entry(path), tree.inode(path)
    if entry is not None and inode is not None and entry.kind in {"file", "hardlink"}:
        yield path, inode, entry.size
