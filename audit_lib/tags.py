"""The tags of a repository in a registry, as a table."""

from __future__ import annotations

import re

import pandas as pd

from audit_lib.errors import UnknownImageError
from audit_lib.reference import split_scheme
from audit_lib.sources import SOURCES
from audit_lib.tables import Tag, make_table


def tags(repository: str) -> pd.DataFrame:
    """Return the tags of a repository (schema `Tag`), numbers in their order: 3.9 comes before 3.10.

    `repository` is `registry:HOST/NAME`, `HOST/NAME` or a name in Docker Hub, without a tag. Raises `UnknownImageError` where
    there is no such repository, `SourceError` where the registry does not answer or refuses.
    """
    from audit_lib.sources import registry  # noqa: PLC0415 - requests and docker take long to import

    scheme, name = split_scheme(repository, frozenset(source.scheme for source in SOURCES))
    if scheme not in {None, "registry"}:
        raise UnknownImageError(
            f"{repository}: tags are listed by registries; expected registry:HOST/NAME or HOST/NAME"
        )
    full_name, found = registry.list_tags(name, repository)
    table = make_table(Tag, [Tag(repository=full_name, tag=tag) for tag in set(found)])
    order = sorted(range(len(table)), key=lambda row: natural(str(table.loc[row, "tag"])))
    return table.iloc[order].reset_index(drop=True)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return what text is sorted by so that numbers in it are numbers; they come before words.

    >>> sorted(["latest", "3.10", "3.9", "3.9-slim"], key=natural)
    ['3.9', '3.9-slim', '3.10', 'latest']
    """
    parts = re.findall(r"[0-9]{1,100}|[^0-9]+", text)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]
