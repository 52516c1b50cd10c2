"""wordpress, the plugins of WordPress: a folder each, with a PHP file whose first comment says what it is.

Source: WordPress' Plugin Handbook, "Header Requirements"; `get_file_data` reads the first 8 KiB of a file and no more.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence

from audit_lib.formats.base import Broken, Format, Found, Tree, by_place
from audit_lib.formats.documents import text

_GLOBS = ("**/wp-content/plugins/*/*.php", "**/wp-content/plugins/*.php")
_HEADER_BYTES = 8 * 1024
_FIELD = re.compile(r"^[ \t/*#@]*(Plugin Name|Version|License):[ \t]*([^\r\n]{1,200})", re.MULTILINE)


def parse(data: bytes) -> dict[str, str]:
    r"""Return Plugin Name, Version and License of a plugin's main file, nothing where it is none.

    >>> parse(b"<?php\n/*\nPlugin Name: Akismet\nVersion: 5.0.2\n*/\n")
    {'Plugin Name': 'Akismet', 'Version': '5.0.2'}
    """
    stated: dict[str, str] = {}
    for field, value in _FIELD.findall(data[:_HEADER_BYTES].decode("utf-8", "replace")):
        clean = text(value.partition("*/")[0].partition("?>")[0])
        if clean is not None:
            stated.setdefault(field, clean)
    return stated if "Plugin Name" in stated else {}


def _extract(path: str, content: bytes) -> bytes | None:
    del path
    stated = parse(content)
    return json.dumps(stated).encode() if stated else None


def _places(tree: Tree) -> Sequence[str]:
    return list(tree.once(_by_place))


def _by_place(tree: Tree) -> dict[str, list[str]]:
    return by_place(tree.evidence(FORMAT.name), _plugins)


def _plugins(path: str) -> str:
    return f"{path.rpartition('wp-content/plugins/')[0]}wp-content/plugins"


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.once(_by_place)[place]:
        stated = json.loads(tree.evidence(FORMAT.name)[path])
        # The folder's name is what wordpress.org and advisories know a plugin by.
        slug = path[len(place) + 1 :].partition("/")[0].removesuffix(".php")
        yield Found(
            name=text(slug) or "?",
            version=stated.get("Version"),
            path=path,
            licenses=(stated["License"],) if "License" in stated else (),
            detail=stated["Plugin Name"],
        )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    del tree
    folder = posixpath.dirname(found.path)
    return [found.path] if folder == _plugins(found.path) else [f"{folder}/"]


FORMAT = Format(
    name="wordpress",
    globs=(),
    expected=(),
    places=_places,
    read=_read,
    files=_files,
    extract=_extract,
    extract_globs=_GLOBS,
)
