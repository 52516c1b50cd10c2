"""A tree of files in a dict, for tests of formats: no links, no layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from audit_lib.formats.globs import pattern


class DictTree:
    """What a format sees of an image, out of a dict from path to contents."""

    def __init__(self, files: Mapping[str, bytes], evidence: Mapping[str, Mapping[str, bytes]] | None = None) -> None:
        self._files = dict(files)
        self._evidence = evidence or {}
        self._made: dict[Callable[[Any], Any], Any] = {}

    def glob(self, pattern_: str, /) -> Sequence[str]:
        """Return the paths that match, sorted."""
        return [path for path in sorted(self._files) if pattern(pattern_).fullmatch(path)]

    def read(self, path: str, /) -> bytes | None:
        """Return contents, None where there are none."""
        return self._files.get(path)

    def evidence(self, name: str, /) -> Mapping[str, bytes]:
        """Return what was given for the format."""
        return self._evidence.get(name, {})

    def has_folder(self, path: str, /) -> bool:
        """Tell whether something lies below the path."""
        return any(name.startswith(f"{path}/") for name in self._files)

    def once(self, make: Callable[[Any], Any], /) -> Any:
        """Return `make(tree)`, made once."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]
