"""One side of a comparison: its tables, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import pandas as pd

# Formats of the operating system's own packages: one image has one of them, and they cut the same sources differently.
DISTRIBUTION_FORMATS = frozenset({"deb", "apk", "rpm", "alpm", "opkg"})
ROLES: tuple[Literal["full"], Literal["minimal"]] = ("full", "minimal")


class Audited(Protocol):
    """What a comparison needs of an image: its tables, with the columns of the row classes of those names."""

    @property
    def image(self) -> pd.DataFrame:
        """One row, schema `Image`."""

    @property
    def layers(self) -> pd.DataFrame:
        """Schema `Layer`."""

    @property
    def files(self) -> pd.DataFrame:
        """Schema `File`."""

    @property
    def databases(self) -> pd.DataFrame:
        """Schema `Database`."""

    @property
    def packages(self) -> pd.DataFrame:
        """Schema `Package`."""

    @property
    def binaries(self) -> pd.DataFrame:
        """Schema `Binary`."""

    @property
    def surface(self) -> pd.DataFrame:
        """Schema `SurfaceItem`."""

    @property
    def findings(self) -> pd.DataFrame:
        """Schema `Finding`."""

    @property
    def scripts(self) -> pd.DataFrame:
        """Schema `Script`."""

    @property
    def loader_paths(self) -> pd.DataFrame:
        """Schema `LoaderPath`."""

    @property
    def accounts(self) -> pd.DataFrame:
        """Schema `Account`."""

    @property
    def vulnerabilities(self) -> pd.DataFrame:
        """Schema `Vulnerability`."""

    @property
    def vulnerability_coverage(self) -> pd.DataFrame:
        """Schema `VulnerabilityCoverage`."""

    @property
    def vulnerability_counts(self) -> pd.DataFrame:
        """Schema `VulnerabilityCount`."""

    @property
    def vulnerability_notes(self) -> tuple[str, ...]:
        """How many vulnerabilities each source finds, a sentence each, or that they are unknown."""

    @property
    def vulnerability_gaps(self) -> tuple[str, ...]:
        """What is not known of the vulnerabilities, a sentence each."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The image configuration as parsed JSON."""

    def knows(self, table: str) -> bool:
        """Tell whether the rows of a table, or that it has none, say something of the image."""


def fact(side: Audited, name: str) -> Any:
    """Return a column of the image's row, None where it is missing."""
    value = side.image[name].iloc[0]
    return None if pd.isna(value) else value


def has_files(side: Audited) -> bool:
    """Tell whether an image's files are known; those of one known from an SBOM alone are not."""
    return fact(side, "file_bytes") is not None


def has_layers(side: Audited) -> bool:
    """Tell whether an image's layers are known; those of one known from an SBOM alone are not."""
    return fact(side, "layer_count") is not None


def is_stated(side: Audited) -> bool:
    """Tell whether an image is known from an SBOM alone: what that does not list is not known to be absent."""
    return bool(fact(side, "source") == "sbom")


def formats_of(side: Audited) -> set[str]:
    """Return the formats that an image has a database of, readable or not."""
    return set(side.databases.loc[side.databases["status"] != "absent", "format"]) | set(side.packages["format"])


def unknown_formats(side: Audited, formats: set[str]) -> set[str]:
    """Return those of `formats` whose packages in this image are not known, which is not the same as none."""
    if not side.databases["status"].isin(["read", "damaged"]).any():
        return formats
    return formats & set(side.databases.loc[side.databases["status"] == "damaged", "format"])


def is_built_on(full: Audited, app: Audited) -> bool:
    """Tell whether an image's layers begin with those of another."""
    base = full.layers["diff_id"].tolist()
    return app.layers["diff_id"].tolist()[: len(base)] == base
