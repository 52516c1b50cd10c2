"""gem, Ruby's packages: a specification each, in the Ruby source that RubyGems writes; it is read, never run.

Sources: RubyGems' Specification Reference and `Gem::Specification#to_ruby` (the stub line, the assignments), its
`Gem::BasicSpecification` (gems/, extensions/, doc/ beside specifications/); Bundler's git sources (bundler/gems); Debian's
Ruby policy (rubygems-integration).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats.base import Broken, Format, Found, Tree, by_place
from audit_lib.formats.documents import texts

_INSTALLED, _FROM_GIT = "**/specifications/**/*.gemspec", "**/bundler/gems/*/*.gemspec"
# RubyGems leaves this file where it has built a gem's extensions, in a folder named after the platform.
_BUILT = "**/extensions/*/*/*/gem.build_complete"
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_VERSION = re.compile(r"\d[0-9A-Za-z.]*(?:-[0-9A-Za-z.-]+)?")
_STUB = re.compile(r"# stub: ([\w.-]+) (\S+) ([\w.-]+) ", re.ASCII)
_ASSIGNED = r"^[ \t]*\w+\.{}[ \t]*=[ \t]*(\[\s*)?"
_STRING = re.compile(
    r"""(?:"((?:[^"\\]|\\.){0,1000})"|'((?:[^'\\]|\\.){0,1000})'|%q<([^<>]{0,1000})>)(?:\.freeze)?\s*,?\s*"""
)
_ESCAPE = re.compile(r"\\(.)")
_MAX_BYTES = 4 * 1024**2
_RUBY = "ruby"


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """A gem as its specification states it. `platform` is None for pure Ruby; `files` are relative to where it lies."""

    name: str
    version: str | None
    platform: str | None
    licenses: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """The name of the gem's folder: name, version and platform, joined by hyphens."""
        return "-".join(part for part in (self.name, self.version, self.platform) if part)


def parse(data: bytes, path: str) -> Specification:
    r"""Return what a specification states.

    A version that only running it would tell (`s.version = Rack::VERSION`) is that of the file's name, else None. Raises
    `DamagedDatabaseError` for what is no specification, was cut, or names no gem.

    >>> text = b'# stub: rack 2.2.6 ruby lib\n\nGem::Specification.new do |s|\n  s.licenses = ["MIT".freeze]\nend\n'
    >>> parse(text, "specifications/rack-2.2.6.gemspec").licenses
    ('MIT',)
    """
    if len(data) > _MAX_BYTES:
        raise DamagedDatabaseError(
            path, None, f"{len(data):,} bytes; expected a gem's specification below {_MAX_BYTES:,}"
        )
    source = data.decode("utf-8", "replace")
    if "Gem::Specification" not in source:
        raise DamagedDatabaseError(path, None, "expected 'Gem::Specification.new', which is not in it")
    if not re.search(r"^end\b", source, re.MULTILINE):
        raise DamagedDatabaseError(path, None, "the specification has no 'end'; was it cut?")
    stub = _STUB.search(source[: source.find("Gem::Specification")])
    name = stub[1] if stub else next(iter(_strings(source, "name")), "")
    if not _NAME.fullmatch(name):
        raise DamagedDatabaseError(path, None, f"expected a gem's name, found {name[:60]!r}")
    version = stub[2] if stub else next(iter(_strings(source, "version")), "")
    if not _VERSION.fullmatch(version):
        named = posixpath.basename(path).removesuffix(".gemspec").removeprefix(f"{name}-")
        version = (re.match(r"\d[0-9A-Za-z.]*", named) or [""])[0]
    platform = stub[3] if stub else next(iter(_strings(source, "platform")), "")
    return Specification(
        name=name,
        version=version or None,
        platform=platform if platform != _RUBY and _NAME.fullmatch(platform) else None,
        licenses=texts([*_strings(source, "licenses"), *_strings(source, "license")]),
        files=tuple(_strings(source, "files")),
    )


def _strings(source: str, attribute: str) -> list[str]:
    """Return the strings that are assigned to an attribute: one, or those of a list on one line or several."""
    found = re.search(_ASSIGNED.format(attribute), source, re.MULTILINE)
    if not found:
        return []
    place, is_list = found.end(), bool(found[1])
    strings: list[str] = []
    while string := _STRING.match(source, place):
        strings.append(_ESCAPE.sub(r"\1", "".join(part or "" for part in string.groups())))
        place = string.end()
        if not is_list:
            break
    return strings


def _places(tree: Tree) -> Sequence[str]:
    return list(tree.once(_by_place))


def _by_place(tree: Tree) -> dict[str, list[str]]:
    return by_place(sorted({*tree.glob(_INSTALLED), *tree.glob(_FROM_GIT)}), _place)


def _place(path: str) -> str:
    """Return the folder of specifications that one lies in; those of default gems lie in a folder of it."""
    if _is_from_git(path):
        return posixpath.dirname(posixpath.dirname(path))
    return f"{f'/{path}'.rpartition('/specifications/')[0]}/specifications".lstrip("/")


def _is_from_git(path: str) -> bool:
    return f"/{posixpath.dirname(posixpath.dirname(path))}".endswith("/bundler/gems")


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for path in tree.once(_by_place)[place]:
        try:
            gem = parse(tree.read(path) or b"", path)
        except DamagedDatabaseError as error:
            yield Broken(path, error.problem)
            continue
        yield Found(
            name=gem.name,
            version=gem.version,
            path=path,
            licenses=gem.licenses,
            qualifiers=(("platform", gem.platform),) if gem.platform else (),
            detail=_detail(path),
        )


def _detail(path: str) -> str | None:
    if _is_from_git(path):
        return "from a git checkout"
    return "default gem: part of Ruby itself" if "/specifications/default/" in f"/{path}" else None


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    if _is_from_git(found.path):
        return [f"{posixpath.dirname(found.path)}/"]
    gem = _specification(tree.read(found.path) or b"", found.path)
    home = posixpath.dirname(_place(found.path))
    if "/specifications/default/" in f"/{found.path}":
        # /usr/lib/ruby/gems/3.1.0/specifications/default states files of /usr/lib/ruby/3.1.0
        library = posixpath.join(posixpath.dirname(posixpath.dirname(home)), posixpath.basename(home))
        own = [f"{library}/{file}" for file in gem.files]
    else:
        built = [f"{posixpath.dirname(path)}/" for path in tree.once(_built).get(f"{home}/{gem.full_name}", ())]
        own = [posixpath.join(home, kind, f"{gem.full_name}/") for kind in ("gems", "doc")] + built
    return [found.path, posixpath.join(home, "cache", f"{gem.full_name}.gem"), *own]


def _built(tree: Tree) -> dict[str, list[str]]:
    """Return what marks that a gem's extensions were built, by "home/name of the gem's folder"."""
    return by_place(tree.glob(_BUILT), _built_for)


def _built_for(path: str) -> str:
    home, name = path.split("/")[:-5], path.split("/")[-2]
    return f"{'/'.join(home)}/{name}"


@lru_cache(maxsize=1)
def _specification(data: bytes, path: str) -> Specification:
    return parse(data, path)


FORMAT = Format(
    name="gem",
    globs=(_INSTALLED, _FROM_GIT, _BUILT),
    expected=(_INSTALLED,),
    places=_places,
    read=_read,
    files=_files,
)
