"""Package URLs compared: which packages of an image one names, as a scanner or a statement spells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from packageurl import PackageURL

# An rpm's and a deb's epoch stands in the version or in a qualifier, as the writer likes.
_EPOCH = re.compile(r"^\d+:")


class Purl(NamedTuple):
    """The parts of a package URL by which packages are compared, folded as its type's rules say."""

    type: str
    name: str
    version: str | None
    qualifiers: Mapping[str, str]

    @property
    def core(self) -> tuple[str, str, str | None]:
        """Type, name with namespace, version without its epoch."""
        return self.type, self.name, bare_version(self.type, self.version)


@lru_cache(maxsize=65536)
def parse_purl(purl: str) -> Purl | None:
    """Return the parts of a package URL, None where the text is none.

    >>> parse_purl("pkg:pypi/Zope_Interface@5")
    Purl(type='pypi', name='zope-interface', version='5', qualifiers={})
    >>> parse_purl("no purl") is None
    True
    """
    try:
        parsed = PackageURL.from_string(purl)
    except ValueError:
        return None
    name = "/".join(part for part in (parsed.namespace, parsed.name) if part)
    qualifiers = parsed.qualifiers if isinstance(parsed.qualifiers, dict) else {}
    return Purl(parsed.type, folded_name(parsed.type, name), parsed.version or None, qualifiers)


def folded_name(type_: str | None, name: str) -> str:
    """Return a name as names of its type are compared.

    >>> folded_name("pypi", "Zope.Interface"), folded_name("maven", "org.x:y"), folded_name("npm", "@a/b")
    ('zope-interface', 'org.x/y', '@a/b')
    """
    if type_ == "pypi":
        return re.sub(r"[-_.]+", "-", name).lower()
    if type_ == "maven":
        return name.replace(":", "/")
    return name.lower() if type_ in {"golang", "deb", "apk", "composer", "nuget"} else name


def bare_version(type_: str | None, version: str | None) -> str | None:
    """Return a version as versions of one package are compared for being the same: without epoch, and Go's without its v."""
    if version is None:
        return None
    if type_ == "golang":
        return version.removeprefix("v")
    return _EPOCH.sub("", version) if type_ in {"deb", "rpm", "alpm", None} else version


def covers(general: Purl, special: Purl) -> bool:
    """Tell whether a package URL of a statement is for a package: the same name, and whatever else it states is so too.

    Version and qualifiers that the statement does not name may be any. An epoch may stand in the version or in a qualifier.
    """
    if (general.type, general.name) != (special.type, special.name):
        return False
    if general.version is not None and general.core[2] != special.core[2]:
        return False
    return all(special.qualifiers.get(key) == value for key, value in general.qualifiers.items() if key != "epoch")
