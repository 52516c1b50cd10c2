"""Whether a program could start in a world: its file, its permissions, its loader and libraries, the interpreters it goes through.

Sources: execve(2); Linux, fs/binfmt_script.c (at most five interpreters one after the other); runc's search of PATH, which is Go's
os/exec.LookPath; env(1).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from audit_lib.compare.faults import Fault
from audit_lib.compare.libraries import Libraries, Resolved
from audit_lib.compare.running import Running
from audit_lib.compare.world import Entry, World

# OCI's and Go's names of architectures, in the words of `uname -m`, with what else such a processor runs.
_MACHINES: Mapping[str, tuple[str, ...]] = {
    "amd64": ("x86_64", "i686", "x32"),
    "386": ("i686",),
    "arm64": ("aarch64", "arm"),
    "arm": ("arm",),
    "ppc64le": ("ppc64le",),
    "s390x": ("s390x",),
    "riscv64": ("riscv64",),
    "loong64": ("loongarch64",),
    "mips64le": ("mips64",),
}
_MAX_INTERPRETERS = 5


class Identity(NamedTuple):
    """Who a process runs as; None where that cannot be told."""

    uid: int
    gids: frozenset[int]


class Programs:
    """The programs of a world that runs as `running` says, on a machine of this architecture (OCI's name)."""

    def __init__(
        self, world: World, running: Running, architecture: str | None, identity: Identity | None = None
    ) -> None:
        self.world, self.running, self.identity = world, running, identity
        self.libraries = Libraries(world, running.library_path)
        self._machines = _MACHINES.get(architecture or "", ())
        self._resolved: dict[str, Resolved] = {}

    def which(self, name: str) -> str | None:
        """Return the path at which a command is found: a path as it is, from the working directory; a name in PATH."""
        if "/" in name:
            path = self.running.absolute(name)
            return path if self.world.file(path) else None
        for folder in self.running.path:
            path = self.running.absolute(posixpath.join(folder, name))
            real = self.world.file(path)
            if real is not None and self.world.entries[real].mode & 0o111:
                return path
        return None

    def faults(self, path: str, depth: int = 0) -> Iterator[Fault]:
        """Yield why the program at a path, which is there, would not start; nothing where nothing stands in its way."""
        real = self.world.file(path) or path
        entry = self.world.entries[real]
        if not self.may(real, "execute"):
            who = "anybody" if not entry.mode & 0o111 else f"user {self.identity.uid if self.identity else '?'}"
            yield Fault(
                "permission_missing",
                path,
                "execute",
                f"{path} (mode {entry.mode:04o}, owner {entry.uid}:{entry.gid}) cannot be executed by {who}",
                "set its mode or owner in the build (COPY --chmod, --chown), or set USER",
            )
        binary, script = self.world.binaries.get(real), self.world.scripts.get(real)
        if binary is not None:
            yield from self.library_faults(path)
        elif script is not None:
            yield from self._script_faults(path, script.interpreter, script.argument, depth)

    def library_faults(self, path: str) -> Iterator[Fault]:
        """Yield what an ELF file would not be loaded for; nothing where that cannot be told."""
        if self.world.is_blind:
            return
        real = self.world.file(path) or path
        binary = self.world.binaries[real]
        if self._machines and binary.is_read and binary.machine not in self._machines:
            yield Fault(
                "architecture_differs",
                path,
                str(binary.machine),
                f"{path} is for {binary.machine}, the image for {self._machines[0]}",
                "build it for the image's architecture, or choose the minimal image of its own",
            )
            return
        found = self.resolved(real)
        if found.problem is not None:
            yield self._loader_fault(path, found.problem)
        for name, asker, misfit in found.missing:
            by = "" if asker == real else f", which {asker} needs,"
            yield Fault(
                "library_missing",
                path,
                name,
                f"{path} needs {name}{by} which is in none of the folders that its loader looks into"
                + (f" ({misfit})" if misfit else ""),
                "install the package that holds it, or copy the library into one of these folders",
            )
        for version, library, asker in found.missing_versions:
            by = "" if asker == real else f" through {asker}"
            yield Fault(
                "library_version_missing",
                path,
                f"{posixpath.basename(library)}:{version}",
                f"{path} needs {version}{by}, which {library} does not define: it is an older version",
                "build it on the minimal image's distribution, or choose a minimal image that is at least as new",
            )
        for unread in found.unread:
            yield Fault(
                "unreadable",
                path,
                unread,
                f"what {unread} needs is not known: it could not be read",
                "see the detail in the table binaries",
            )

    def resolved(self, real: str) -> Resolved:
        """Return the libraries of an ELF file, looked for once."""
        if real not in self._resolved:
            self._resolved[real] = self.libraries.resolve(real)
        return self._resolved[real]

    def interpreters(self, path: str) -> Iterator[str]:
        """Yield the files that run when a command is called: itself, then the interpreters behind it."""
        for _ in range(_MAX_INTERPRETERS):
            real = self.world.file(path)
            if real is None:
                return
            yield real
            script = self.world.scripts.get(real)
            if script is None or script.interpreter is None:
                return
            called = self._through_env(script.interpreter, script.argument)
            path = (self.which(called) or "") if called else script.interpreter

    def _script_faults(self, path: str, interpreter: str | None, argument: str | None, depth: int) -> Iterator[Fault]:
        if interpreter is None or depth >= _MAX_INTERPRETERS:
            return
        found = self.which(interpreter) if interpreter.startswith("/") else self.which(f"./{interpreter}")
        if found is None:
            yield Fault(
                "interpreter_missing",
                path,
                interpreter,
                f"the first line of {path} names {interpreter}, which is not there",
                "install the interpreter, or change the first line to where it is",
            )
            return
        yield from self.faults(found, depth + 1)
        called = self._through_env(interpreter, argument)
        if called is None:
            return
        program = self.which(called)
        if program is None:
            yield Fault(
                "interpreter_missing",
                path,
                called,
                f"the first line of {path} asks {interpreter} for {called}, which is in no folder of PATH",
                "install the interpreter, or set PATH so that it is found",
            )
        else:
            yield from self.faults(program, depth + 1)

    def _loader_fault(self, path: str, problem: str) -> Fault:
        real = self.world.file(path) or path
        wants = self.world.binaries[real].interpreter or "a loader"
        libc = "glibc" if "ld-linux" in problem or "ld64" in problem or "glibc" in problem else "musl"
        other = "musl" if libc == "glibc" else "glibc"
        has_other = any(
            place.kind == "default" and ("musl" in place.stated_in) == (other == "musl") for place in self.world.places
        )
        if has_other:
            return Fault(
                "libc_differs",
                path,
                wants,
                f"{path} is linked against {libc}, the image has {other}: {problem}",
                f"build it against {other}, link it statically, or choose a minimal image with {libc}",
            )
        return Fault(
            "loader_missing",
            path,
            wants,
            f"{path} is linked dynamically: {problem}",
            f"link it statically, or choose a minimal image with {libc}",
        )

    def may(self, real: str, what: Literal["read", "write", "execute"]) -> bool:
        """Tell whether the user may do this with what is at a path (no link), folders on the way included; true where unknown.

        root may do all, but execute only what anybody may.
        """
        entry = self.world.entries[real]
        bit = {"read": 0o4, "write": 0o2, "execute": 0o1}[what]
        if self.identity is None or self.identity.uid == 0:
            return bool(entry.mode & 0o111) or what != "execute"
        folders = [self.world.entries[folder] for folder in _folders(real)]
        return _has_bit(entry, self.identity, bit) and all(_has_bit(one, self.identity, 0o1) for one in folders)

    @staticmethod
    def _through_env(interpreter: str, argument: str | None) -> str | None:
        """Return the command that `env` runs for a script, None where its interpreter is another."""
        if posixpath.basename(interpreter) != "env":
            return None
        words = (argument or "").split()
        while words and (words[0].startswith("-") or "=" in words[0]):
            words.pop(0)
        return words[0] if words else None


def _has_bit(entry: Entry, identity: Identity, bit: int) -> bool:
    if entry.uid == identity.uid:
        return bool(entry.mode & bit << 6)
    return bool(entry.mode & (bit << 3 if entry.gid in identity.gids else bit))


def _folders(path: str) -> Iterator[str]:
    folder = posixpath.dirname(path)
    while folder != "/":
        yield folder
        folder = posixpath.dirname(folder)
