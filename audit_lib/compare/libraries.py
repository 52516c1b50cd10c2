"""Which libraries a program finds in an image, searched for as the dynamic loader does; nothing is run.

Sources: ld.so(8), "Dynamic string tokens" and the order of the search; glibc's elf/dl-load.c (_dl_map_object, open_verify),
elf/dl-version.c; System V gABI chapter 5, "Shared Object Dependencies"; musl's ldso/dynlink.c (load_library, fixup_rpath).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from audit_lib.compare.world import Binary, World

_CACHE = "/etc/ld.so.cache"
# musl is all of these itself, whatever their ending (dynlink.c, "reserved").
_MUSL_ITSELF = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
_GLIBC_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM))")
_MUSL_TOKEN = re.compile(r"\$(?:\{ORIGIN\}|ORIGIN(?=/|$))")
# Folders of processor variants that glibc looks into first (since 2.33).
_HWCAPS = "/glibc-hwcaps/"
_LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "power9", "power10", "z13", "z14", "z15", "z16")
# Where neither the loader nor another tells: Debian's folders by machine, then those of everyone else.
_TRIPLETS: Mapping[str, str] = {
    "x86_64": "x86_64-linux-gnu",
    "i686": "i386-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "ppc64le": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "loongarch64": "loongarch64-linux-gnu",
}
# How often is looked for a library in one world: an image of thousands of programs takes a tenth; what was made to keep a reader
# busy ends here.
_MAX_LOOKS = 20_000_000
_MUSL_FOLDERS = ("/lib", "/usr/local/lib", "/usr/lib")


class Missing(NamedTuple):
    """A library that is not found: `name` as `needed_by` (a path) asks for it; `found` is one that does not fit, and why."""

    name: str
    needed_by: str
    found: str | None = None


class MissingVersion(NamedTuple):
    """A version of symbols (`GLIBC_2.38`) that the library at `library` does not define; `needed_by` asks for it."""

    version: str
    library: str
    needed_by: str


@dataclass(slots=True)
class Resolved:
    """What loading a program or library comes to.

    `libraries`: path by the name that was asked for, in the order of loading. `problem`: why it cannot be loaded at all.
    `unread`: ELF files on the way of which is not known what they need.
    """

    libraries: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    missing_versions: list[MissingVersion] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    problem: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether everything was found."""
        return not (self.missing or self.missing_versions or self.problem)


class _Object(NamedTuple):
    """A file that was loaded: `path` as it was opened, `loader` the one that first asked for it."""

    path: str
    binary: Binary
    loader: _Object | None


class Libraries:
    """The libraries of a world. `library_path` are the folders of LD_LIBRARY_PATH.

    A library that is there for newer processors alone (glibc-hwcaps) counts as found.
    """

    def __init__(self, world: World, library_path: Sequence[str] = ()) -> None:
        self.world, self.library_path = world, tuple(library_path)
        self.looks_left = _MAX_LOOKS

    def resolve(self, path: str) -> Resolved:
        """Return what the loader finds for the ELF file at a path. Raises `KeyError` where there is no ELF file."""
        real = self.world.file(path) or path
        binary = self.world.binaries[real]
        if not binary.is_read:
            return Resolved(unread=[real])
        if binary.interpreter is None and not binary.needed:
            return Resolved()
        loader = self._loader(binary)
        if loader is None:
            return Resolved(problem=self._without_loader(binary))
        search = _Musl if self._is_musl(loader) else _Glibc
        return search(self, loader, real, binary).resolved()

    @cached_property
    def cache(self) -> Mapping[str, Sequence[str]]:
        """Return the paths in ld.so.cache by the library's name, those for newer processors last."""
        names: dict[str, list[str]] = {}
        for place in self.world.places:
            if place.kind == "cache" and place.stated_in == _CACHE and place.name is not None:
                names.setdefault(place.name, []).append(place.path)
        return {name: sorted(paths, key=lambda path: _HWCAPS in path) for name, paths in names.items()}

    def stated(self, kind: str, stated_in: str | None) -> tuple[str, ...]:
        """Return the folders of a kind that a file states, in its order."""
        return tuple(place.path for place in self.world.places if place.kind == kind and place.stated_in == stated_in)

    def _loader(self, binary: Binary) -> str | None:
        """Return the loader's path: the one that a program asks for, one that fits for a library."""
        world = self.world
        if binary.interpreter is not None:
            return binary.interpreter if world.file(binary.interpreter) else None
        wants_musl = {True} if _needs_musl(binary) else {False} if _needs_glibc(binary) else {True, False}
        fitting = [
            path
            for path in self._loaders
            if world.binaries[path].machine == binary.machine and self._is_musl(path) in wants_musl
        ]
        return min(fitting, default=None)

    def _is_musl(self, loader: str) -> bool:
        """Tell whether a loader is musl's, also where a link gives it the name of glibc's."""
        names = {loader, self.world.file(loader) or ""}
        return any("musl" in name or posixpath.basename(name) == "libc.so" for name in names)

    def _without_loader(self, binary: Binary) -> str:
        if binary.interpreter is not None:
            return f"its loader {binary.interpreter} is not there"
        libc = "musl's" if _needs_musl(binary) else "glibc's" if _needs_glibc(binary) else "a"
        return f"there is no {libc} loader for {binary.machine}"

    @cached_property
    def _loaders(self) -> list[str]:
        stated = {place.stated_in for place in self.world.places if place.kind == "default"}
        return sorted(path for path in stated if path in self.world.binaries)


class _Glibc:
    """glibc's search for one program."""

    def __init__(self, libraries: Libraries, loader: str, path: str, binary: Binary) -> None:
        self._libraries, self._world, self._machine = libraries, libraries.world, binary.machine
        self._defaults = self._default_folders(loader)
        self._main = _Object(path, binary, None)
        self._loaded: dict[str, _Object] = {}
        self._result = Resolved()
        own = self._world.binaries.get(self._world.file(loader) or "")
        if own is not None and binary.interpreter is not None:
            self._note(_Object(loader, own, self._main), loader, posixpath.basename(loader))

    def resolved(self) -> Resolved:
        """Load breadth first, each library once, as the loader does."""
        queue = [self._main]
        seen = {self._main.path}
        for one in queue:
            for name in one.binary.needed:
                known = self._loaded.get(name)
                found = known or self._load(name, one)
                if found is None:
                    continue
                self._result.libraries.setdefault(name, found.path)
                if known is None and found.path not in seen:
                    seen.add(found.path)
                    queue.append(found)
                self._note(found, name)
        self._check_versions(queue)
        return self._result

    def _note(self, found: _Object, *names: str) -> None:
        for name in (*names, found.binary.soname):
            if name:
                self._loaded.setdefault(name, found)

    def _load(self, name: str, asker: _Object) -> _Object | None:
        misfit = None
        for path in self._candidates(name, asker):
            self._libraries.looks_left -= 1
            if self._libraries.looks_left < 0:
                self._result.unread.append(asker.path)
                return None
            real = self._world.file(path)
            if real is None:
                continue
            binary = self._world.binaries.get(real)
            if binary is None:
                misfit = misfit or f"{path} is no ELF file"
            elif not binary.is_read:
                self._result.unread.append(real)
                return _Object(path, binary, asker)
            elif binary.machine != self._machine:
                misfit = misfit or f"{path} is for {binary.machine}"
            else:
                return _Object(path, binary, asker)
        self._result.missing.append(Missing(name, asker.path, misfit))
        return None

    def _candidates(self, name: str, asker: _Object) -> Iterator[str]:
        """Yield where a library may lie, in the order in which the loader looks."""
        if "/" in name:
            yield from self._expanded(name, asker)
            return
        if asker.binary.runpath is None:
            for one in _chain(asker, self._main):
                if one.binary.rpath is not None and one.binary.runpath is None:
                    yield from _in(self._expanded(one.binary.rpath, one), name)
        yield from _in(self._libraries.library_path, name)
        if asker.binary.runpath is not None:
            yield from _in(self._expanded(asker.binary.runpath, asker), name)
        yield from self._libraries.cache.get(name, ())
        yield from _in(self._defaults, name)
        yield from _in((f"{folder}{_HWCAPS}{level}" for level in _LEVELS for folder in self._defaults), name)

    def _expanded(self, text: str, one: _Object) -> list[str]:
        values = {"ORIGIN": posixpath.dirname(one.path), "LIB": self._lib, "PLATFORM": self._machine or ""}
        return [_GLIBC_TOKEN.sub(lambda found: values[found[1] or found[2]], part) for part in text.split(":") if part]

    @property
    def _lib(self) -> str:
        """Return what $LIB stands for: `lib64`, or `lib/x86_64-linux-gnu` where Debian's folders are built in."""
        first = self._defaults[0] if self._defaults else "/lib"
        return first.removeprefix("/usr").lstrip("/")

    def _default_folders(self, loader: str) -> tuple[str, ...]:
        stated = self._libraries.stated("default", self._world.file(loader))
        if stated:
            return stated
        triplet = _TRIPLETS.get(self._machine or "")
        multiarch = (f"/lib/{triplet}", f"/usr/lib/{triplet}") if triplet else ()
        return (*multiarch, "/lib64", "/usr/lib64", "/lib", "/usr/lib")

    def _check_versions(self, loaded: Sequence[_Object]) -> None:
        """Note the versions of symbols that are asked for and not defined; a library without any is taken as it is."""
        for one in loaded:
            for wanted in one.binary.needed_versions:
                name, _, version = wanted.rpartition(":")
                library = self._loaded.get(name)
                offered = library.binary.defined_versions if library is not None else frozenset()
                if library is not None and offered and version not in offered:
                    self._result.missing_versions.append(MissingVersion(version, library.path, one.path))


class _Musl(_Glibc):
    """musl's search: RPATH and RUNPATH are one and are inherited, there is no cache, and libc is the loader itself."""

    def _note(self, found: _Object, *names: str) -> None:
        for name in names:
            self._loaded.setdefault(name, found)

    def _candidates(self, name: str, asker: _Object) -> Iterator[str]:
        if "/" in name:
            yield name
            return
        yield from _in(self._libraries.library_path, name)
        for one in _chain(asker, None):
            stated = one.binary.runpath or one.binary.rpath
            if stated is not None:
                yield from _in(self._expanded(stated, one), name)
        yield from _in(self._defaults, name)

    def _expanded(self, text: str, one: _Object) -> list[str]:
        expanded = _MUSL_TOKEN.sub(lambda _: posixpath.dirname(one.path), text)
        return [] if "$" in expanded else [part for part in re.split(r"[:\n]", expanded) if part]

    def _default_folders(self, loader: str) -> tuple[str, ...]:
        real = self._world.file(loader)
        named = (posixpath.basename(path) for path in (loader, real or "") if "ld-musl-" in path)
        settings = f"/etc/{next(named, '').removesuffix('.so.1')}.path"
        return (
            self._libraries.stated("configured", settings) or self._libraries.stated("default", real) or _MUSL_FOLDERS
        )

    def _load(self, name: str, asker: _Object) -> _Object | None:
        if _MUSL_ITSELF.match(name) and self._itself is not None:
            return self._itself
        return super()._load(name, asker)

    @cached_property
    def _itself(self) -> _Object | None:
        return next(iter(self._loaded.values()), None)

    def _check_versions(self, loaded: Sequence[_Object]) -> None:
        """Do nothing: musl does not look at versions of symbols."""


def _chain(first: _Object | None, last: _Object | None) -> Iterator[_Object]:
    """Yield a file, the one that asked for it, and so on up; then `last` unless it was among them."""
    has_last = last is None
    while first is not None:
        yield first
        has_last = has_last or first is last
        first = first.loader
    if not has_last and last is not None:
        yield last


def _in(folders: Iterable[str], name: str) -> Iterator[str]:
    return (posixpath.join(folder, name) for folder in folders)


def _needs_musl(binary: Binary) -> bool:
    return any(name == "libc.so" or name.startswith("libc.musl-") for name in binary.needed)


def _needs_glibc(binary: Binary) -> bool:
    return any(re.search(r":GLIBC_\d", version) for version in binary.needed_versions) or "libc.so.6" in binary.needed
