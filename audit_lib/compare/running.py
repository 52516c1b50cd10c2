"""How an image says that it is to be run: its commands, user, working directory and variables.

Source: OCI image-spec, config.md; Docker's "Dockerfile reference" for what a base image hands on and for HEALTHCHECK and SHELL.
What is read is a stranger's JSON: what is not of the type that it should be counts as not stated.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from audit_lib import shell

# What the engine puts in where an image states none (runc, moby's oci defaults).
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEFAULT_SHELL = ("/bin/sh", "-c")


class Running(NamedTuple):
    """What an image's configuration states. Empty is "not stated"; `healthcheck` is its `Test`, the form first."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    healthcheck: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    user: str = ""
    folder: str = ""
    ports: tuple[int, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """Return the folders in which commands are looked for."""
        return tuple(self.env.get("PATH", DEFAULT_PATH).split(":"))

    @property
    def library_path(self) -> tuple[str, ...]:
        """Return the folders of LD_LIBRARY_PATH."""
        return tuple(part for part in self.env.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":") if part)

    def absolute(self, path: str) -> str:
        """Return a path as it is seen from the working directory."""
        return posixpath.normpath(posixpath.join("/", self.folder, path))


class Command(NamedTuple):
    """A command that an image states: the instruction, and the words that are run."""

    instruction: str
    words: tuple[str, ...]

    @property
    def shell_text(self) -> str | None:
        """Return what a shell is given to run, None where the command does not go through a shell."""
        is_shell = len(self.words) > 2 and posixpath.basename(self.words[0]) in shell.NAMES  # noqa: PLR2004 - shell, -c, text
        return self.words[2] if is_shell and self.words[1].startswith("-") and self.words[1].endswith("c") else None


def running_of(config: Mapping[str, Any]) -> Running:
    """Return what an OCI image configuration states.

    >>> running_of({"config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "User": None}}).cmd
    ('sh',)
    """
    stated = config.get("config")
    run: Mapping[str, Any] = stated if isinstance(stated, dict) else {}
    check = run.get("Healthcheck")
    return Running(
        entrypoint=_words(run.get("Entrypoint")),
        cmd=_words(run.get("Cmd")),
        healthcheck=_words(check.get("Test")) if isinstance(check, dict) else (),
        shell=_words(run.get("Shell")),
        env={name: value for name, equals, value in (one.partition("=") for one in _words(run.get("Env"))) if equals},
        user=_text(run.get("User")),
        folder=_text(run.get("WorkingDir")),
        ports=tuple(sorted(_ports(run.get("ExposedPorts")))),
    )


def commands_of(running: Running) -> Iterator[Command]:
    """Yield the commands that are run: the container's own, named by the instruction that begins it, and the health check."""
    words = running.entrypoint + running.cmd
    if words:
        yield Command("ENTRYPOINT" if running.entrypoint else "CMD", words)
    form, *rest = running.healthcheck or ("NONE",)
    if form == "CMD" and rest:
        yield Command("HEALTHCHECK", tuple(rest))
    elif form == "CMD-SHELL" and rest:
        yield Command("HEALTHCHECK", (*(running.shell or _DEFAULT_SHELL), *rest))


def carried(full: Running, minimal: Running, app: Running) -> Running:
    """Return how an application that was built on `full` runs when built on `minimal`: what it states itself, else the base's.

    It states itself what differs from `full`. An entrypoint of its own takes the base's CMD away.
    """
    has_entrypoint, has_cmd = app.entrypoint != full.entrypoint, app.cmd != full.cmd
    entrypoint = app.entrypoint if has_entrypoint else minimal.entrypoint
    cmd = app.cmd if has_cmd or has_entrypoint else minimal.cmd
    own = {name: value for name, value in app.env.items() if full.env.get(name) != value}
    return Running(
        entrypoint=entrypoint,
        cmd=cmd,
        healthcheck=app.healthcheck if app.healthcheck != full.healthcheck else minimal.healthcheck,
        shell=app.shell if app.shell != full.shell else minimal.shell,
        env={**minimal.env, **own},
        user=app.user if app.user != full.user else minimal.user,
        folder=app.folder if app.folder != full.folder else minimal.folder,
        ports=app.ports,
    )


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _ports(value: object) -> Iterator[int]:
    for stated in value if isinstance(value, dict) else ():
        number = stated.partition("/")[0] if isinstance(stated, str) else ""
        if number.isascii() and number.isdecimal():
            yield int(number[:6])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
