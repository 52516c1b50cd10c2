"""Which of two versions comes first, by the rules of who numbered them: a key to sort by for each scheme.

dpkg, rpm, apk and Semantic Versioning are ordered here: `univers` takes ten times as long for these, refuses versions of apk that
apk itself orders, and there are a hundred thousand to compare. The other schemes are univers'. A key compares with keys of its own
scheme only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cmp_to_key, lru_cache
from typing import Any

_PARTS = re.compile(r"(\D*)(\d*)")
_DEB = re.compile(r"[A-Za-z0-9.+~:_-]+")
_RPM_VERSION = re.compile(r"[A-Za-z0-9.+~^:_-]+")
_RPM = re.compile(r"(~)|(\^)|(\d+)|([A-Za-z]+)")
_APK = re.compile(r"\d+(\.\d+)*[a-z]*(_[a-z]+\d*)*(~[0-9a-f]+)?(-r\d+)?")
_APK_MEANT = re.compile(r"\d[\da-z]*([._-][\da-z]+)*(-r\d+)?")
_APK_TOKEN = re.compile(
    r"(?P<digit>\d+)|(?P<letter>[a-z])|_(?P<suffix>[a-z]+)(?P<number>\d*)|~(?P<hash>[0-9a-f]+)|-r(?P<build>\d+)"
)
_APK_SUFFIXES = ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p")
_SEMVER = re.compile(r"[vV=\s]*(\d+(?:\.\d+)*)(?:-([0-9A-Za-z.~_-]*)|([A-Za-z][0-9A-Za-z.~_-]*))?(?:\+.*)?")
_LEGACY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_LONGEST = 256
# Python's own limit for digits of a number is 4,300; nobody numbers so far.
_MOST_DIGITS = 64


class InvalidVersionError(ValueError):
    """A text is no version of its scheme."""


@lru_cache(maxsize=1 << 17)
def version_key(scheme: str, version: str) -> Any:
    """Return what to compare a version by: `scheme` is one of `SCHEMES`. Raises `InvalidVersionError`.

    >>> version_key("deb", "1.0~rc1-1") < version_key("deb", "1.0-1")
    True
    >>> version_key("semver", "v1.2+build") == version_key("semver", "1.2.0")
    True
    """
    text = version.strip()
    if not text or len(text) > _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidVersionError(f"{version[:_LONGEST]!r} is no version")
    if re.search(rf"\d{{{_MOST_DIGITS}}}", text):
        raise InvalidVersionError(f"{text!r} has a number of more than {_MOST_DIGITS - 1} digits")
    return _SCHEMES[scheme](text)


def key_or_none(scheme: str, version: str) -> Any:
    """Return what to compare a version by, None for what is none."""
    try:
        return version_key(scheme, version)
    except InvalidVersionError:
        return None


def _deb_key(version: str) -> Any:
    """Order as dpkg does (Debian Policy 5.6.12; deb-version(7))."""
    if not _DEB.fullmatch(version):
        raise InvalidVersionError(f"{version!r} is no version of dpkg's")
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    if not epoch.isdecimal() or not rest:
        raise InvalidVersionError(f"{version!r}: expected a number before the colon and a version behind it")
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), _deb_parts(upstream), _deb_parts(revision)


def _deb_parts(text: str) -> tuple[Any, ...]:
    # A tilde comes before the end of a part, which comes before letters, which come before the rest. The end is 0.
    parts = [
        (
            (*(-1 if mark == "~" else ord(mark) if mark.isalpha() else 256 + ord(mark) for mark in other), 0),
            int(number or 0),
        )
        for other, number in _PARTS.findall(text)
    ]
    end = ((0,), 0)
    while parts and parts[-1] == end:
        parts.pop()
    return (*parts, end)


def _rpm_key(version: str) -> Any:
    """Order as rpm does (rpmvercmp; rpm-version(7)): epoch, version, release."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    if not epoch.isdecimal() or not _RPM_VERSION.fullmatch(rest):
        raise InvalidVersionError(f"{version!r} is no version of rpm's")
    number, _, release = rest.partition("-")
    return int(epoch), _rpm_parts(number), _rpm_parts(release)


def _rpm_parts(text: str) -> tuple[Any, ...]:
    # A tilde comes before the end, a caret behind it; letters come before numbers.
    parts: list[tuple[int, Any]] = []
    for tilde, caret, number, word in _RPM.findall(text):
        parts.append((0, 0) if tilde else (2, 0) if caret else (4, int(number)) if number else (3, word))
    return (*parts, (1, 0))


def _apk_key(version: str) -> Any:
    """Order as apk does (apk-tools, src/version.c)."""
    if not _APK.fullmatch(version):
        # What stands in advisories by mistake (4.10-1-r1, 0.8.21.r2, 6.6.2p1-r0), read as it was meant: no package has such a one.
        version = re.sub(r"[.-]*[.-](r\d+)$", r"-\1", version)
        if not _APK_MEANT.fullmatch(version):
            raise InvalidVersionError(f"{version!r} is no version of apk's")
    tokens: list[tuple[int, Any]] = []
    for match in _APK_TOKEN.finditer(version):
        kind = match.lastgroup
        if match["suffix"] is not None:
            if match["suffix"] not in _APK_SUFFIXES:
                raise InvalidVersionError(f"{version!r}: apk knows no suffix _{match['suffix']}")
            place = _APK_SUFFIXES.index(match["suffix"]) - _APK_SUFFIXES.index("")
            tokens.append((0 if place < 0 else 5, place))
            if match["number"]:
                tokens.append((4, int(match["number"])))
        elif kind == "digit":
            tokens.append((7, _digits(match["digit"], is_first=not tokens)))
        elif kind == "letter":
            tokens.append((6, match["letter"]))
        elif kind == "hash":
            tokens.append((3, match["hash"]))
        else:
            tokens.append((2, int(match["build"])))
    return (*tokens, (1, 0))


def _digits(text: str, *, is_first: bool) -> Any:
    return _by_apk((int(text), text, is_first))


def _compare_digits(one: tuple[int, str, bool], other: tuple[int, str, bool]) -> int:
    """Compare numbers as they are, behind a dot as fractions where either begins with 0."""
    left: Any = one[0]
    right: Any = other[0]
    if not one[2] and not other[2] and (one[1].startswith("0") or other[1].startswith("0")):
        left, right = one[1], other[1]
    return 1 if left > right else -1 if left < right else 0


_by_apk = cmp_to_key(_compare_digits)


def _semver_key(version: str) -> Any:
    """Order as Semantic Versioning 2.0.0 section 11 does; any count of numbers, a `v` before them, build metadata left out."""
    match = _SEMVER.fullmatch(version)
    if not match:
        raise InvalidVersionError(f"{version!r} is no semantic version")
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    before = match[2] if match[2] is not None else match[3]
    if not before:
        return tuple(numbers), (1,)
    parts = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in before.split("."))
    return tuple(numbers), (0, parts)


def _pypi_key(version: str) -> Any:
    from univers.versions import PypiVersion  # noqa: PLC0415 - a tenth of a second, where there is no Python package at all

    try:
        return 1, PypiVersion(version)
    except ValueError:
        pass
    if not _LEGACY.fullmatch(version):
        raise InvalidVersionError(f"{version!r} is no version of Python's")
    # Versions from before PEP 440 come before all others.
    return 0, version


def _maven_key(version: str) -> Any:
    # What Maven takes for nothing: a release without a word (ComparableVersion); univers knows some of these words in some places.
    plain = re.sub(r"(?i)(?<![a-z])[.-]?(release|final|ga)(?![a-z])(?=$|[.-])", "", version)
    return _univers("MavenVersion", plain or "0")


def _gem_key(version: str) -> Any:
    # Gem::Version takes 1beta for 1.beta.
    return _univers("RubygemsVersion", re.sub(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)", ".", version))


def _cran_key(version: str) -> Any:
    """Order numbers, parted by dots or dashes, as R's package_version does."""
    if not re.fullmatch(r"\d+([.-]\d+)*", version):
        raise InvalidVersionError(f"{version!r} is no version of an R package")
    return tuple(int(part) for part in re.split(r"[.-]", version))


def _univers(name: str, version: str) -> Any:
    from univers import versions  # noqa: PLC0415 - see above

    try:
        return getattr(versions, name)(version)
    except Exception as error:  # it raises errors of a dozen kinds, some of its own that have no common base
        raise InvalidVersionError(f"{version!r}: {error}") from error


_SCHEMES: dict[str, Callable[[str], Any]] = {
    "deb": _deb_key,
    "rpm": _rpm_key,
    "apk": _apk_key,
    "semver": _semver_key,
    "pypi": _pypi_key,
    "maven": _maven_key,
    "gem": _gem_key,
    "cran": _cran_key,
    "nuget": lambda version: _univers("NugetVersion", version),
    "composer": lambda version: _univers("ComposerVersion", version),
}
SCHEMES = tuple(_SCHEMES)
