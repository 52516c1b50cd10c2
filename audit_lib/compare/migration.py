"""What a move from the full to the minimal image would break, told from files; nothing is run.

The application's files are copied, in thought, onto the minimal image, and run as its configuration says. What is not found there
and was found before is a risk. Without an application's image, the full image's own commands stand for it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from audit_lib.compare.commands import command_faults, programs_of, script_faults
from audit_lib.compare.faults import Fault, Rated
from audit_lib.compare.instructions import instruction_faults
from audit_lib.compare.programs import Identity, Programs
from audit_lib.compare.running import Running, carried, commands_of, running_of
from audit_lib.compare.runtimes import addon_faults, extension_faults, python_faults
from audit_lib.compare.sides import Audited, fact, has_files, is_built_on
from audit_lib.compare.surroundings import Uses, surrounding_faults
from audit_lib.compare.users import identity_of, user_faults
from audit_lib.compare.world import Tables, World, make_world, moved
from audit_lib.tables import MigrationRisk, RiskSeverity, make_table

_SEVERITIES: tuple[RiskSeverity, ...] = ("high", "medium", "low", "info")
_TLS_LIBRARY = re.compile(r"lib(?:ssl|gnutls|curl|curl-gnutls|nss3|mbedtls|wolfssl|tls)(?:-[\w.]+)?\.so")
_TLS_PROGRAM = re.compile(r"(?:python|node|nodejs|ruby|java|php|curl|wget|git)[\d.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The application before and after the move, and which paths it brings itself.

    `before`: its own image, or the full one where no application is known. `commands` are judged as `before` states them.
    """

    before: Programs
    after: Programs
    own: frozenset[str]
    has_app: bool


def compare_migration(full: Audited, minimal: Audited, app: Audited | None = None) -> pd.DataFrame:
    """Return one row a thing that would break, or be otherwise (schema `MigrationRisk`).

    `app`: an application's image that was built on `full`; its own files are those of the layers above. What was broken before is
    no risk of the move and has no row. No rows where the files of an image are unknown.
    """
    if not all(has_files(side) for side in (full, minimal, app or full)):
        return make_table(MigrationRisk, [])
    move = made_move(full, minimal, app)
    bases = running_of(full.config), running_of(minimal.config)
    rated = [
        *instruction_faults(*bases, move.before.running, move.after.running, has_app=move.has_app),
        *_commands(move),
        *_own_files(move, full, minimal),
        *surrounding_faults(move.before, move.after, _uses(move, app, full)),
        *user_faults(move.before, move.after, move.own),
        *(_lost_libraries(move) if app is None else ()),
        *_base(full, app),
    ]
    return make_table(MigrationRisk, _rows(rated, move.before.world))


def own_paths(full: Audited, app: Audited) -> frozenset[str]:
    """Return the paths that an application's image brings: those of the layers above `full`'s.

    Where its layers do not begin with `full`'s, those that `full` does not have.
    """
    is_above = app.files["layer"] > len(full.layers)
    rows = is_above if is_built_on(full, app) else ~app.files["path"].isin(full.files["path"])
    return frozenset(app.files.loc[rows, "path"])


def made_move(full: Audited, minimal: Audited, app: Audited | None) -> Move:
    """Return the application before and after the move."""
    source = app if app is not None else full
    running, base, target = running_of(source.config), running_of(full.config), running_of(minimal.config)
    world = make_world(_tables(source))
    own = frozenset[str]() if app is None else own_paths(full, app)
    after = moved(make_world(_tables(minimal)), world, own)
    if app is None:
        then = target._replace(
            entrypoint=running.entrypoint, cmd=running.cmd, healthcheck=running.healthcheck, shell=running.shell
        )
    else:
        then = carried(base, target, running)
    return Move(
        before=_programs(world, running, fact(source, "architecture")),
        after=_programs(after, then, fact(minimal, "architecture")),
        own=own,
        has_app=app is not None,
    )


def _programs(world: World, running: Running, architecture: str | None) -> Programs:
    who = identity_of(world, running.user)
    return Programs(world, running, architecture, who if isinstance(who, Identity) else None)


def _tables(side: Audited) -> Tables:
    accounts = side.accounts if side.knows("accounts") else None
    is_blind = not side.knows("binaries")
    return Tables(side.files, side.binaries, side.scripts, side.loader_paths, accounts, is_blind)


def _commands(move: Move) -> Iterator[Rated]:
    """Yield why commands that the image states could not run; scripts that they go through are read too."""
    known = {
        fault.key for command in commands_of(move.before.running) for fault in command_faults(move.before, command)
    }
    for command in commands_of(move.after.running):
        for fault in command_faults(move.after, command):
            if _is_new(fault, known):
                yield Rated("medium" if fault.risk == "unreadable" else "high", fault)
        for path in programs_of(move.after, command):
            yield from _new(move, path)


def _new(move: Move, path: str) -> Iterator[Rated]:
    before = {fault.key for fault in script_faults(move.before, path)}
    yield from (Rated("medium", fault) for fault in script_faults(move.after, path) if _is_new(fault, before))


def _own_files(move: Move, full: Audited, minimal: Audited) -> Iterator[Rated]:
    """Yield what of the application's own files would break: libraries, scripts, links, packages of a language."""
    before, after = move.before, move.after
    for path in sorted(move.own):
        if before.world.entries[path].kind == "symlink":
            yield from _lost_target(move, path)
        elif path in before.world.binaries:
            known = {fault.key for fault in before.library_faults(path)}
            yield from (Rated("medium", fault) for fault in after.library_faults(path) if _is_new(fault, known))
        elif path in before.world.scripts and before.world.entries[path].mode & 0o111:
            known = {fault.key for fault in (*before.faults(path), *script_faults(before, path))}
            faults = (*after.faults(path), *script_faults(after, path))
            yield from (Rated("medium", fault) for fault in faults if _is_new(fault, known))
    called = _called(move)
    for fault, python in python_faults(before.world, after.world, move.own):
        yield Rated("high" if python in called else "medium", fault)
    for fault in extension_faults(before.world, after.world, move.own):
        yield Rated("medium", fault)
    for fault in addon_faults(_versions(full), _versions(minimal), move.own):
        yield Rated("medium", fault)


def _called(move: Move) -> set[str]:
    """Return the files that run when the application is started as its own image states it."""
    return {path for command in commands_of(move.before.running) for path in programs_of(move.before, command)}


def _lost_target(move: Move, path: str) -> Iterator[Rated]:
    target = move.before.world.entries[path].link
    if move.before.world.is_there(path) and not move.after.world.is_there(path):
        yield Rated(
            "medium",
            Fault(
                "link_target_missing",
                path,
                str(target),
                f"{path} is a link to {target}, which is not there",
                "copy what it leads to, or link to where the minimal image has it",
            ),
        )


def _versions(side: Audited) -> dict[str, str]:
    known = side.packages.dropna(subset=["version"])
    return dict(zip(known["name"], known["version"], strict=True))


def _uses(move: Move, app: Audited | None, full: Audited) -> Uses:
    """Return what tells whether the application needs certificates and time zones."""
    if app is None:
        return Uses("what the application needs is not known", None, None)
    own = app.packages[app.packages["first_layer"] > len(full.layers)]
    names = set(own.loc[own["format"] == "pypi", "name"])
    return Uses(
        tls=next(_tls(move, has_go=bool((own["format"] == "golang").any())), None),
        own_certificates="certifi brings its own, to those libraries that use it" if "certifi" in names else None,
        own_zones="tzdata brings its own to Python" if "tzdata" in names else None,
    )


def _tls(move: Move, *, has_go: bool) -> Iterator[str]:
    """Yield what shows that the application may open TLS connections."""
    called = sorted(_called(move))
    for path in called:
        if _TLS_PROGRAM.fullmatch(path.rpartition("/")[2]):
            yield f"{path}, which it runs, can open TLS connections"
    binaries = move.before.world.binaries
    for path in dict.fromkeys([*called, *sorted(path for path in move.own if path in binaries)]):
        for name in move.before.resolved(path).libraries if path in binaries else ():
            if _TLS_LIBRARY.match(name):
                yield f"{path} uses {name}"
    if has_go:
        yield "it holds Go programs, whose TLS clients look for them there"


def _lost_libraries(move: Move) -> Iterator[Rated]:
    """Yield the shared libraries in folders of the full image's loader that the minimal image does not have."""
    if move.after.world.is_blind:
        return
    before, after = _library_names(move.before.world), _library_names(move.after.world)
    folders = _loader_folders(move.before.world)
    for name, path in sorted(before.items()):
        if name not in after and posixpath.dirname(path) in folders:
            yield Rated(
                "info",
                Fault(
                    "library_lost",
                    path,
                    name,
                    f"the minimal image has no {name}: what is linked against it does not start",
                    "name the application's image to see whether it needs it (--app)",
                ),
            )


def _loader_folders(world: World) -> set[str]:
    stated = {place.path for place in world.places if place.kind in {"default", "configured"}}
    stated |= {posixpath.dirname(place.path) for place in world.places if place.kind == "cache"}
    return {real for folder in stated if (real := world.folder(folder)) is not None}


def _library_names(world: World) -> dict[str, str]:
    return {
        binary.soname: path
        for path, binary in sorted(world.binaries.items(), reverse=True)
        if binary.soname is not None and binary.kind == "shared_library" and ".so" in binary.soname
    }


def _base(full: Audited, app: Audited | None) -> Iterator[Rated]:
    if app is not None and not is_built_on(full, app):
        yield Rated(
            "info",
            Fault(
                "base_differs",
                "FROM",
                str(fact(full, "image")),
                f"the layers of {fact(app, 'image')} do not begin with those of {fact(full, 'image')}: what the full image "
                "does not have was taken for the application's own",
                "compare with the very image that it was built on",
            ),
        )


def _is_new(fault: Fault, known: set[tuple[str, str, str]]) -> bool:
    """Tell whether something breaks by the move alone; what is not known of a file is told whether it was known before or not."""
    return fault.risk == "unreadable" or fault.key not in known


def _rows(rated: Iterable[Rated], world: World) -> Iterator[MigrationRisk]:
    """Yield each fault once, under the highest of its severities."""
    found: dict[tuple[str, str, str], Rated] = {}
    for one in rated:
        known = found.get(one.fault.key)
        if known is None or _SEVERITIES.index(one.severity) < _SEVERITIES.index(known.severity):
            found[one.fault.key] = one
    for severity, fault in found.values():
        entry = world.entries.get(fault.place)
        yield MigrationRisk(
            place=fault.place,
            risk=fault.risk,
            needs=fault.needs,
            severity=severity,
            why=fault.why,
            what_to_do=fault.what_to_do,
            package=None if entry is None else entry.package,
        )
