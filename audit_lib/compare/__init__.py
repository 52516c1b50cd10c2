"""Two audits side by side: what the minimal image has less of, more of, and differently."""

from __future__ import annotations

from collections.abc import Mapping
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
from audit_lib.compare.verdict import verdict_of
from audit_lib.compare.vulnerabilities import (
    compare_gains,
    compare_severities,
    compare_vulnerabilities,
    untold_packages,
)

_OF_FILES = frozenset(
    {"file_changes", "category_sizes", "layer_sizes", "surface_counts", "surface_changes", "migration_risks"}
)

_CHARTS = {
    "summary": "charts.packages_and_bytes(both.summary)",
    "package_changes": "charts.largest_packages(both.package_changes)",
    "category_sizes": "charts.size_by_category(both.category_sizes), charts.waterfall(both.category_sizes)",
    "layer_sizes": "charts.layers_stacked(both.layer_sizes)",
    "surface_counts": "charts.surface_by_category(both.surface_counts)",
}

__all__ = ["Audited", "Comparison", "compare"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """The tables of a full and a minimal image compared; each is made when it is first asked for.

    `full` and `minimal` are the two audits, `app` that of an application's image that was built on `full`, if any. A difference
    is `minimal - full`, so smaller is negative. What is unknown on a side stays unknown (missing) and is told by `gaps`; it is
    never counted as none.
    """

    full: Audited
    minimal: Audited
    app: Audited | None = None

    @property
    def _sides(self) -> dict[str, Audited]:
        sides = {"full": self.full, "minimal": self.minimal}
        return sides if self.app is None else {**sides, "app": self.app}

    @cached_property
    def images(self) -> pd.DataFrame:
        """The images, one row each: `role` (full, minimal, and app where there is one), then the columns of `Image`."""
        return _side_by_side({role: side.image for role, side in self._sides.items()})

    @cached_property
    def databases(self) -> pd.DataFrame:
        """The places where package databases were looked for in the images: `role`, then the columns of `Database`."""
        return _side_by_side({role: side.databases for role, side in self._sides.items()})

    @property
    def headline(self) -> str:
        """The comparison in a few sentences made from the figures; what is unknown is said to be."""
        return " ".join(headline_of(self.summary, str(fact(self.full, "image")), str(fact(self.minimal, "image"))))

    @property
    def verdict(self) -> str:
        """The headline, what fails and is vulnerable on either side, what the move breaks, how much is not known: a paragraph."""
        sentences = headline_of(self.summary, str(fact(self.full, "image")), str(fact(self.minimal, "image")))
        return verdict_of(
            sentences,
            findings=self.finding_changes,
            vulnerabilities=self.vulnerability_changes if self.knows("vulnerability_changes") else None,
            untold=(untold_packages(self.full), untold_packages(self.minimal)),
            risks=self.migration_risks if self.knows("migration_risks") else None,
            gaps=self.gaps,
        )

    def _repr_html_(self) -> str:
        """Show the comparison in a notebook: the headline, the summary, and the other tables folded where they are made."""
        from audit_lib.exports.glance import Glimpse, at_a_glance  # noqa: PLC0415 - only a notebook asks for it

        made = {**self.__dict__, "summary": self.summary}
        tables = [name for name, value in vars(type(self)).items() if isinstance(value, cached_property)]
        glimpses = [
            Glimpse(
                name=name,
                says=str(vars(type(self))[name].__doc__),
                table=made.get(name),
                is_known=self.knows(name),
                chart=_CHARTS.get(name, ""),
                is_open=name == "summary",
            )
            for name in tables
        ]
        return at_a_glance("Comparison", self.headline, self.gaps, glimpses)

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

    @cached_property
    def migration_risks(self) -> pd.DataFrame:
        """One row a thing that the move would break (schema `MigrationRisk`): see `compare_migration`."""
        from audit_lib.compare.migration import compare_migration  # noqa: PLC0415 - half of what takes long to load here

        return compare_migration(self.full, self.minimal, self.app)

    @cached_property
    def vulnerability_changes(self) -> pd.DataFrame:
        """One row a vulnerability of a package on either side (schema `VulnerabilityChange`): see `compare_vulnerabilities`."""
        return compare_vulnerabilities(self.full, self.minimal)

    @cached_property
    def severity_counts(self) -> pd.DataFrame:
        """One row a source, a way to count and a severity (schema `SeverityCount`): see `compare_severities`."""
        return compare_severities(self.full, self.minimal)

    @cached_property
    def removal_gains(self) -> pd.DataFrame:
        """One row a package that only full has: what removing it removed (schema `RemovalGain`): see `compare_gains`."""
        return compare_gains(self.full, self.package_changes)

    @property
    def vulnerability_notes(self) -> tuple[str, ...]:
        """How many vulnerabilities each source finds in each image, a sentence each, or that they are unknown."""
        return (*self.full.vulnerability_notes, *self.minimal.vulnerability_notes)

    def knows(self, table: str) -> bool:
        """Tell whether the rows of a table, or that it has none, say something of the images.

        `file_changes`, `category_sizes` and `migration_risks` need to know their files, `layer_sizes` their layers,
        `vulnerability_changes` the vulnerabilities of both, `severity_counts` those of either.
        """
        if table in {"vulnerability_changes", "severity_counts"}:
            known = [side.knows("vulnerabilities") for side in (self.full, self.minimal)]
            return all(known) if table == "vulnerability_changes" else any(known)
        if table not in _OF_FILES:
            return True
        if table == "migration_risks" and self.app is not None and not has_files(self.app):
            return False
        rule = has_layers if table == "layer_sizes" else has_files
        return rule(self.full) and rule(self.minimal)

    @property
    def gaps(self) -> tuple[str, ...]:
        """What this comparison cannot tell and why, a sentence each, with counts; empty where it can tell all."""
        return tuple(gaps_of(self.full, self.minimal, self.package_changes, self.app))


def compare(full: Audited, minimal: Audited, *, app: Audited | None = None) -> Comparison:
    """Return the `Comparison` of two audits (or of anything that has their tables).

    `app`: the audit of an application's image that was built on `full`; `migration_risks` then tells what of it would break.
    """
    return Comparison(full=full, minimal=minimal, app=app)


def _side_by_side(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    every = pd.concat([table.assign(role=role) for role, table in tables.items()], ignore_index=True)
    return every.astype({"role": "string"})[["role", *tables["full"].columns]]
