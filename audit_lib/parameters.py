"""The parameters of a notebook: which there are, and which values each accepts."""

from __future__ import annotations

import ast
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import papermill
from nbformat import NotebookNode

from audit_lib.errors import AuditError, UnknownParameterError

Value = str | int | float | bool | None

_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_BOOLEANS = {"true": True, "false": False}
# References that name a file or a folder; what follows the first colon is its path.
_PATH_SCHEMES = ("docker-archive", "oci-archive", "oci-dir", "sbom")
_PATH_NAME = re.compile(r"(.*_)?(dir|folder|path|file|store|advisories)")
_PATHS_NAME = re.compile(r"(.*_)?files")
_IMAGE_NAME = re.compile(r"(.*_)?image")
_IMAGES_NAME = re.compile(r"(.*_)?images")


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One parameter: `type` is str, int, float or bool, None where any of them will do; `help` its comment."""

    name: str
    type: str | None
    is_optional: bool
    default: Value
    help: str


def read_parameters(notebook: NotebookNode) -> dict[str, Parameter]:
    """Return the parameters that the notebook's cell tagged `parameters` declares, by name, in its order."""
    return {name: _parameter(facts) for name, facts in papermill.inspect_notebook(notebook).items()}


def fit_values(known: Mapping[str, Parameter], given: Mapping[str, object], *, notebook: str) -> dict[str, Value]:
    """Return the given values in the types that the notebook declares.

    Text that reads as the number or the true or false that is expected becomes that, so that a command
    line need not know the types. Paths become text. Raises `UnknownParameterError` naming what there is,
    and `AuditError` for a value of another type.
    """
    for name in given:
        if name not in known:
            raise UnknownParameterError(_unknown(name, known, notebook))
    return {name: _fit(known[name], value, notebook) for name, value in given.items()}


def absolute(name: str, value: Value) -> Value:
    """Return the value with a path in it made absolute, since a notebook runs in its own folder.

    A path is what follows `docker-archive:` and its like, the value of a parameter whose name ends in
    `_dir`, `_path`, `_file` or the like, and any other text that holds a `/`, or is an image, and exists. Of a parameter whose name
    ends in `images`, each word is an image; of one that ends in `files`, there are several as in PATH.
    """
    if isinstance(value, str) and _IMAGES_NAME.fullmatch(name):
        return re.sub(r"\S+", lambda word: str(absolute("image", word[0])), value)
    if isinstance(value, str) and _PATHS_NAME.fullmatch(name):
        return os.pathsep.join(str(Path(path).absolute()) for path in value.split(os.pathsep) if path)
    if not isinstance(value, str) or not value or "://" in value:
        return value
    scheme, colon, path = value.partition(":")
    if colon and scheme in _PATH_SCHEMES:
        return f"{scheme}:{Path(path).absolute()}" if path else value
    may_be_path = "/" in value or _IMAGE_NAME.fullmatch(name)
    if _PATH_NAME.fullmatch(name) or (may_be_path and _exists(value)):
        return str(Path(value).absolute())
    return value


def spellings(values: Mapping[str, Value]) -> dict[str, str]:
    """Return how each reference and path among values is spelt, by what `absolute` makes of it, with and without its scheme."""
    spelt: dict[str, str] = {}
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        for called, text in _each(name, value):
            made = str(absolute(called, text))
            scheme = f"{text.partition(':')[0]}:"
            spelt[made] = text
            if scheme[:-1] in _PATH_SCHEMES:
                spelt[made.removeprefix(scheme)] = text.removeprefix(scheme)
    return {made: text for made, text in spelt.items() if made != text}


def _each(name: str, value: str) -> list[tuple[str, str]]:
    """Return each of what may be several references or paths, with the name of a parameter that holds one."""
    if _IMAGES_NAME.fullmatch(name):
        return [("image", text) for text in value.split()]
    if _PATHS_NAME.fullmatch(name):
        return [("file", text) for text in value.split(os.pathsep) if text]
    return [(name, value)]


def _parameter(facts: Mapping[str, str]) -> Parameter:
    try:
        default = ast.literal_eval(facts["default"])
    except (SyntaxError, ValueError):
        default = facts["default"]
    written = facts["inferred_type_name"]
    optional = re.fullmatch(r"Optional\[(\w+)\]", written)
    name = optional[1] if optional else written
    if name not in _TYPES:
        name = type(default).__name__
    return Parameter(
        name=facts["name"],
        type=name if name in _TYPES else None,
        is_optional=optional is not None or default is None,
        default=default,
        help=facts["help"],
    )


def _unknown(name: str, known: Mapping[str, Parameter], notebook: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    guess = f", did you mean {close[0]!r}?" if close else "."
    return f"{notebook} has no parameter {name!r}{guess} It has: {', '.join(known) or 'none'}"


def _fit(parameter: Parameter, value: object, notebook: str) -> Value:
    found: object = str(value) if isinstance(value, os.PathLike) else value
    if parameter.type is None and isinstance(found, str | int | float | None):
        return found
    if found is None and parameter.is_optional:
        return None
    if isinstance(found, str):
        found = _read(parameter.type, found)
    if isinstance(found, bool) and parameter.type == "bool":
        return found
    if isinstance(found, int) and not isinstance(found, bool) and parameter.type in {"int", "float"}:
        return found
    if isinstance(found, float) and parameter.type == "float":
        return found
    if isinstance(found, str) and parameter.type == "str":
        return found
    expected = parameter.type or "str, int, float or bool"
    raise AuditError(f"{notebook}: parameter {parameter.name}: expected {expected}, found {value!r}")


def _read(expected: str | None, text: str) -> object:
    if expected == "bool":
        return _BOOLEANS.get(text.strip().lower(), text)
    if expected in {"int", "float"}:
        try:
            return int(text) if expected == "int" else float(text)
        except ValueError:
            return text
    return text


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False
