"""Secrets in an image's configuration (variables, history, commands, labels), and the configuration without them.

Source: OCI image-spec, config.md ("Config", "history"). Docker's older images hold a `container_config` of the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from audit_lib.evidence.secrets import MARK, Secret, find, redacted, setting

# No configuration is as deep as this; what is, was made to exhaust a reader.
_DEEPEST = 50


class Place(NamedTuple):
    """Where in a configuration a secret stands, in words such as `ENV TOKEN` or `history, step 3`."""

    where: str
    secret: Secret


def cleaned(config: dict[str, Any]) -> tuple[dict[str, Any], list[Place]]:
    r"""Return a configuration with `[redacted]` for each secret of each text in it, and where they were.

    What is half a character is shown as its number (`\ud800`).

    >>> shown, found = cleaned({"config": {"Env": ["PATH=/bin", "DB_PASSWORD=hunter2"]}})
    >>> shown, [(place.where, place.secret.rule) for place in found]
    ({'config': {'Env': ['PATH=/bin', 'DB_PASSWORD=[redacted]']}}, [('ENV DB_PASSWORD', 'password')])
    """
    found: list[Place] = []
    shown: dict[str, Any] = _cleaned(config, (), found)
    return shown, found


def _cleaned(value: Any, keys: tuple[str | int, ...], found: list[Place]) -> Any:
    if len(keys) > _DEEPEST:
        return MARK
    if isinstance(value, dict):
        return {_whole(key): _cleaned(one, (*keys, _whole(key)), found) for key, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one, (*keys, number), found) for number, one in enumerate(value)]
    if not isinstance(value, str):
        return value
    value = _whole(value)
    name, equals, after = "", "", value
    if keys[-2:-1] == ("Env",) and "=" in value:
        name, equals, after = value.partition("=")
    elif keys[-2:-1] == ("Labels",):
        name = str(keys[-1])
    secrets = setting(name, after) if name else find(after, "command")
    found.extend(Place(_where(keys, name), secret) for secret in secrets)
    return (name + equals if equals else "") + redacted(after, secrets)


def _whole(text: str) -> str:
    """Return a text without halves of characters, which JSON can name and no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _where(keys: Sequence[str | int], name: str) -> str:
    parts = [str(key) for key in keys if isinstance(key, str)]
    if "Env" in parts:
        return f"ENV {name}".strip()
    if "Labels" in parts:
        return f"label {name}"
    if parts[:1] == ["history"] and len(keys) > 1 and isinstance(keys[1], int):
        return f"history, step {keys[1] + 1}"
    return " ".join(parts)
