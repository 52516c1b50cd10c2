"""The credentials that `docker login` and `podman login` left, by the `docker` package's own reading of them.

Sources: Docker's documentation of `docker login` (config.json, credential helpers); containers-auth.json(5).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit_lib.errors import SourceError

# Enough for any such file; one that is larger is something else.
_MAX_BYTES = 1024 * 1024
_HELPER = "docker-credential-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A name with its password, or an identity token in their place; `origin` is the file that they were found by."""

    origin: Path
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        who = f"user {self.username}" if self.username else "an identity token"
        return f"{who}, by {self.origin}"


def read_credentials(host: str, repository: str) -> Credentials | None:
    """Return what was left for a repository, None where nothing was: the first file that has an entry for it counts.

    `REGISTRY_AUTH_FILE` and `DOCKER_CONFIG` come before the usual places, Podman's before Docker's. In a file, an entry for a
    folder of the registry (Podman's `host/team`) comes before the host's. Raises `SourceError` for a file or a
    helper that cannot be read: nobody is taken for anonymous by mistake.
    """
    for path in _places():
        config = _read(path)
        if config is None:
            continue
        from docker.errors import DockerException  # noqa: PLC0415 - 0.15 s and 20 MiB, for those who have logged in

        try:
            found = _in(config, host, repository, path)
        except (DockerException, ValueError, TypeError, AttributeError, KeyError, OSError) as error:
            raise SourceError(f"{path}: the credentials for {host} cannot be read: {error}") from error
        if found is not None:
            return found
    return None


def _places() -> Iterator[Path]:
    environment = os.environ
    home = Path(environment.get("HOME") or Path.home())
    if environment.get("REGISTRY_AUTH_FILE"):
        yield Path(environment["REGISTRY_AUTH_FILE"])
    if environment.get("DOCKER_CONFIG"):
        yield Path(environment["DOCKER_CONFIG"], "config.json")
    yield Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "containers", "auth.json")
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "containers", "auth.json")
    yield home / ".docker" / "config.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; it may hold the credentials for a registry") from error
    try:
        config = json.loads(data) if len(data) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise SourceError(f"{path}: expected the JSON object that `docker login` or `podman login` writes")
    return config


def _in(config: dict[str, Any], host: str, repository: str, path: Path) -> Credentials | None:
    """Return the credentials that one file has for a repository, the longest name first."""
    from docker.auth import AuthConfig, load_config  # noqa: PLC0415 - as above

    entries = {key: config[key] for key in ("auths", "credsStore", "credHelpers") if config.get(key)}
    auths = entries.get("auths") or {}
    names = [f"{host}/{repository}"]
    while "/" in names[-1]:
        names.append(names[-1].rpartition("/")[0])
    for name in names[:-1]:
        if name in auths:
            found = _of(AuthConfig.parse_auth({name: auths[name]}, raise_on_error=True)[name], path)
            if found is not None:
                return found
    # What is left for one folder of a registry is not meant for the whole; Docker's own old keys are URLs.
    entries["auths"] = {key: entry for key, entry in auths.items() if "/" not in key or "://" in key}
    loaded = load_config(config_dict=entries)
    helper = loaded.get_credential_store(host)
    if helper and shutil.which(_HELPER + helper) is None:
        raise SourceError(f"{path}: names the credential helper {_HELPER}{helper}, which is not on PATH")
    return _of(loaded.resolve_authconfig(host), path)


def _of(entry: Mapping[str, Any] | None, path: Path) -> Credentials | None:
    """Return an entry as the `docker` package gives it: files and helpers differ in their capitals."""
    lowered = {key.lower(): value for key, value in (entry or {}).items()}
    if lowered.get("identitytoken"):
        return Credentials(origin=path, identity_token=lowered["identitytoken"])
    if lowered.get("username") or lowered.get("password"):
        return Credentials(origin=path, username=lowered.get("username") or "", password=lowered.get("password") or "")
    return None
