"""Whether the commands that an image states could run in a world."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from audit_lib import shell
from audit_lib.compare.faults import Fault
from audit_lib.compare.programs import Programs
from audit_lib.compare.running import Command


class _Interpreter(NamedTuple):
    """How a language's interpreter reads its words: options that take a value, and those after which no file follows."""

    names: re.Pattern[str]
    valued: frozenset[str]
    last: frozenset[str]


_INTERPRETERS = (
    _Interpreter(re.compile(r"(python|pypy)[\d.]*"), frozenset({"-W", "-X"}), frozenset({"-c", "-m", "-"})),
    _Interpreter(
        re.compile(r"node(js)?"), frozenset({"-r", "--require", "--import"}), frozenset({"-e", "-p", "--eval", "-"})
    ),
    _Interpreter(re.compile(r"ruby[\d.]*"), frozenset({"-r", "-I", "-C"}), frozenset({"-e", "-S"})),
    _Interpreter(re.compile(r"perl[\d.]*"), frozenset({"-I"}), frozenset({"-e", "-E", "-S"})),
    _Interpreter(re.compile(r"php[\d.]*"), frozenset({"-c", "-d"}), frozenset({"-r", "-S", "-m", "-i"})),
    _Interpreter(re.compile("|".join(sorted(shell.NAMES))), frozenset({"-o"}), frozenset({"-c", "-s"})),
)
# What text a shell would take apart in a way that an exec form cannot say.
_NEEDS_SHELL = re.compile(r"[|&;<>()$`*?\[\]{}~\n]|^\s*\w+=")


def command_faults(programs: Programs, command: Command) -> Iterator[Fault]:
    """Yield why a command that an image states could not run: its program, and what a shell or an interpreter is told to run."""
    name, text = command.words[0], command.shell_text
    path = programs.which(name)
    if path is None:
        yield _shell_fault(command, text) if text is not None else _missing(programs, command, name)
        return
    yield from programs.faults(path)
    if text is not None:
        for called in shell.commands(text):
            found = programs.which(called)
            if found is None:
                yield _missing(programs, command, called)
            else:
                yield from programs.faults(found)
    words = command.words if text is None else _plain_words(text)
    file = _given_file(programs, words)
    if file is not None and not programs.world.is_there(programs.running.absolute(file)):
        where = programs.running.absolute(file)
        yield Fault(
            "command_missing",
            command.instruction,
            file,
            f"{command.instruction} has {words[0]} run {file}, and there is no {where}",
            "name the file by its whole path, and see that ENTRYPOINT, CMD and WORKDIR are stated by the application itself",
        )


def script_faults(programs: Programs, path: str) -> Iterator[Fault]:
    """Yield the commands that a shell's script calls and that are not found: told by its text, so one may be never reached."""
    script = programs.world.scripts.get(programs.world.file(path) or path)
    for called in script.commands if script is not None else ():
        if programs.which(called) is None:
            yield Fault(
                "command_missing",
                path,
                called,
                f"the script {path} calls {called}, which is not there",
                "install it, or do without it in the script",
            )


def programs_of(programs: Programs, command: Command) -> Iterator[str]:
    """Yield the files that run for a command: its program, interpreters behind it, what a shell's text or script calls."""
    text = command.shell_text
    named = [command.words[0], *(shell.commands(text) if text is not None else ())]
    started = [path for name in named if (path := programs.which(name)) is not None]
    file = _given_file(programs, command.words if text is None else _plain_words(text))
    if file is not None:
        started.append(programs.running.absolute(file))
    for path in started:
        for real in programs.interpreters(path):
            yield real
            script = programs.world.scripts.get(real)
            for called in script.commands if script is not None else ():
                yield from programs.interpreters(programs.which(called) or "")


def _shell_fault(command: Command, text: str) -> Fault:
    plain = _plain_words(text)
    form = json.dumps(list(plain), ensure_ascii=False) if plain else '["program", "argument"]'
    instruction = f"HEALTHCHECK CMD {form}" if command.instruction == "HEALTHCHECK" else f"{command.instruction} {form}"
    return Fault(
        "shell_missing",
        command.instruction,
        command.words[0],
        f"{command.instruction} is run by {command.words[0]} (shell form), which is not there",
        f"write it in exec form: {instruction}",
    )


def _missing(programs: Programs, command: Command, name: str) -> Fault:
    if "/" in name:
        why, todo = f"there is no {programs.running.absolute(name)}", "install it, or name what is there"
    else:
        why, todo = f"it is in none of the folders of PATH ({':'.join(programs.running.path)})", "install it"
        elsewhere = _elsewhere(programs, name)
        if elsewhere is not None:
            why, todo = f"{why}, but at {elsewhere}", f"set PATH, or name it as {elsewhere}"
    return Fault("command_missing", command.instruction, name, f"{command.instruction} runs {name}: {why}", todo)


def _elsewhere(programs: Programs, name: str) -> str | None:
    world = programs.world
    folders = ("/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin", "/app", "/app/bin")
    found = (world.file(f"{folder}/{name}") for folder in folders)
    return next((path for path in found if path is not None and world.entries[path].mode & 0o111), None)


def _plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a shell's text that an exec form could say, the command first; none where a shell does more with them."""
    try:
        words = [] if _NEEDS_SHELL.search(text) else shlex.split(text)
    except ValueError:
        return ()
    return tuple(words[1:] if words[:1] == ["exec"] else words)


def _given_file(programs: Programs, words: tuple[str, ...]) -> str | None:
    """Return the file that an interpreter is told to run, None where it is no interpreter or is told otherwise."""
    if not words:
        return None
    names = {
        posixpath.basename(words[0]),
        posixpath.basename(programs.world.file(programs.which(words[0]) or "") or ""),
    }
    if "java" in names:
        return words[words.index("-jar") + 1] if "-jar" in words[1:-1] else None
    rules = next((one for one in _INTERPRETERS if any(one.names.fullmatch(name) for name in names)), None)
    if rules is None:
        return None
    rest = list(words[1:])
    while rest:
        word = rest.pop(0)
        if word in rules.last:
            return None
        if word in rules.valued:
            rest[:1] = []
        elif not word.startswith(("-", "+")):
            return word
    return None
