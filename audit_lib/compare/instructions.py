"""What an application takes from its base image's instructions, and takes otherwise from another: commands, variables, folders."""

from __future__ import annotations

from collections.abc import Iterator

from audit_lib.compare.faults import Fault, Rated
from audit_lib.compare.running import Running

_OWN_BUILD = "state {} in the application's own build"


def instruction_faults(
    full: Running, minimal: Running, before: Running, after: Running, *, has_app: bool
) -> Iterator[Rated]:
    """Yield what the minimal image's instructions make different; `before`, `after`: how the application runs on either."""
    yield from _entrypoint(full, minimal, after, has_app=has_app)
    yield from _command(full, before, after, has_app=has_app)
    yield from _health(before, after)
    yield from _variables(full, after)
    if full.folder != minimal.folder and after.folder == minimal.folder:
        why = f"the working directory is {minimal.folder or '/'}, no longer {full.folder or '/'}"
        fault = Fault("working_directory_differs", "WORKDIR", full.folder or "/", why, _OWN_BUILD.format("WORKDIR"))
        yield Rated("low", fault)


def _entrypoint(full: Running, minimal: Running, after: Running, *, has_app: bool) -> Iterator[Rated]:
    """Yield that the base images start CMD in different ways, unless the application states its own."""
    before, target = full.entrypoint, minimal.entrypoint
    if target == before or (has_app and after.entrypoint != target):
        return
    if target:
        why = f"the minimal image has an ENTRYPOINT of its own ({' '.join(target)}): CMD becomes its arguments"
        todo = f"{_OWN_BUILD.format('ENTRYPOINT')}, ENTRYPOINT [] for none"
    else:
        why = f"the full image's ENTRYPOINT ({' '.join(before)}) is gone: CMD is run without it"
        todo = f"{_OWN_BUILD.format('ENTRYPOINT')}, or do without what it does"
    yield Rated("medium", Fault("entrypoint_differs", "ENTRYPOINT", " ".join(target or before), why, todo))


def _command(full: Running, before: Running, after: Running, *, has_app: bool) -> Iterator[Rated]:
    """Yield that nothing is stated to be run any more, or something else."""
    earlier, later = " ".join(before.entrypoint + before.cmd), " ".join(after.entrypoint + after.cmd)
    todo = _OWN_BUILD.format("CMD or ENTRYPOINT")
    if earlier and not later:
        why = f"the full image states what is run ({earlier}), neither the minimal image nor the application does"
        yield Rated("high", Fault("command_missing", "CMD", earlier, why, todo))
    elif has_app and earlier != later and (before.entrypoint, before.cmd) == (full.entrypoint, full.cmd):
        why = f"the application states no command of its own: {later} is run, no longer {earlier}"
        yield Rated("info", Fault("entrypoint_differs", "CMD", later, why, todo))


def _health(before: Running, after: Running) -> Iterator[Rated]:
    if before.healthcheck not in {(), ("NONE",)} and not after.healthcheck:
        why = "the full image states a HEALTHCHECK, the minimal one does not"
        todo = _OWN_BUILD.format("HEALTHCHECK")
        yield Rated("info", Fault("environment_differs", "HEALTHCHECK", "HEALTHCHECK", why, todo))


def _variables(full: Running, after: Running) -> Iterator[Rated]:
    """Yield the variables that the full image states and nothing states any more; their values may be secrets and are not told."""
    for name in sorted(full.env):
        if name != "PATH" and name not in after.env:
            why = f"the full image sets {name}, the minimal one does not"
            todo = f"{_OWN_BUILD.format(name)} where it is read"
            yield Rated("info", Fault("environment_differs", f"ENV {name}", name, why, todo))
    lost = [folder for folder in full.path if folder not in after.path]
    if lost:
        why = f"PATH of the full image also holds {', '.join(lost)}"
        todo = "set PATH, or name programs by their whole path"
        yield Rated("info", Fault("environment_differs", "ENV PATH", ":".join(lost), why, todo))
