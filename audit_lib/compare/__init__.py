"""Two audits side by side: what the minimal image has less of, more of, and differently."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from audit_lib.compare.files import compare_categories, compare_files, compare_layers
from audit_lib.compare.findings import compare_findings
from audit_lib.compare.gaps import gaps_of
from audit_lib.compare.packages import compare_packages
from audit_lib.compare.sides import Audited, fact, has_files, has_layers
from audit_lib.compare.summary import compare_summaries, headline_of
from audit_lib.compare.surface import compare_surface, compare_surface_counts

__all__ = ["Audited", "Comparison", "compare"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """The tables of a full and a minimal image compared; each is made when it is first asked for.

    `full` and `minimal` are the two audits. A difference is `minimal - full`, so smaller is negative. What is
    unknown on a side stays unknown (missing) and is told by `gaps`; it is never counted as none.
    """

    full: Audited
    minimal: Audited

    @cached_property
    def images(self) -> pd.DataFrame:
        """Both images, one row each: `role` (full, minimal), then the columns of `Image`."""
        return _side_by_side(self.full.image, self.minimal.image)

    @cached_property
    def databases(self) -> pd.DataFrame:
        """The places where package databases were looked for in both images: `role`, then the columns of `Database`."""
        return _side_by_side(self.full.databases, self.minimal.databases)

    @property
    def headline(self) -> str:
        """The comparison in a few sentences made from the figures; what is unknown is said to be."""
        return " ".join(headline_of(self.summary, str(fact(self.full, "image")), str(fact(self.minimal, "image"))))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a measure (schema `Summary`): see `compare_summaries`."""
        return compare_summaries(self.full, self.minimal)

    @cached_property
    def package_changes(self) -> pd.DataFrame:
        """One row a package name on either side (schema `PackageChange`): see `compare_packages`."""
        return compare_packages(self.full, self.minimal)

    @cached_property
    def category_sizes(self) -> pd.DataFrame:
        """One row a category, and one a top folder (schema `CategorySize`): see `compare_categories`."""
        return compare_categories(self.full, self.minimal)

    @cached_property
    def layer_sizes(self) -> pd.DataFrame:
        """One row a layer of either image (schema `LayerSize`): see `compare_layers`."""
        return compare_layers(self.full, self.minimal)

    @cached_property
    def file_changes(self) -> pd.DataFrame:
        """One row a path on either side, directories left out (schema `FileChange`): see `compare_files`."""
        return compare_files(self.full, self.minimal)

    @cached_property
    def surface_counts(self) -> pd.DataFrame:
        """One row a category of things that an attacker would find (schema `SurfaceCount`): see `compare_surface_counts`."""
        return compare_surface_counts(self.full, self.minimal)

    @cached_property
    def surface_changes(self) -> pd.DataFrame:
        """One row a thing that an attacker would find (schema `SurfaceChange`): see `compare_surface`."""
        return compare_surface(self.full, self.minimal)

    @cached_property
    def finding_changes(self) -> pd.DataFrame:
        """One row a check (schema `FindingChange`): see `compare_findings`."""
        return compare_findings(self.full, self.minimal)

    def knows(self, table: str) -> bool:
        """Tell whether the rows of a table about files or layers, or that there are none, say something of both images."""
        rule = has_layers if table == "layer_sizes" else has_files
        return rule(self.full) and rule(self.minimal)

    @property
    def gaps(self) -> tuple[str, ...]:
        """What this comparison cannot tell and why, a sentence each, with counts; empty where it can tell all."""
        return tuple(gaps_of(self.full, self.minimal, self.package_changes))


def compare(full: Audited, minimal: Audited) -> Comparison:
    """Return the `Comparison` of two audits (or of anything that has their tables)."""
    return Comparison(full=full, minimal=minimal)


def _side_by_side(full: pd.DataFrame, minimal: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([full.assign(role="full"), minimal.assign(role="minimal")], ignore_index=True)
    return both.astype({"role": "string"})[["role", *full.columns]]
