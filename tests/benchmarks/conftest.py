"""What `make bench` leaves behind: reports/benchmarks/ with each figure, a chart of the ratios, the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "reports" / "benchmarks"
LIBRARIES = ("audit-lib", "isal", "numpy", "pandas", "pyarrow", "zstandard")

Note = Callable[..., None]


@pytest.fixture(scope="session")
def figures() -> Iterator[list[dict[str, object]]]:
    """Return the list of figures, which is written when the last benchmark has run."""
    rows: list[dict[str, object]] = []
    yield rows
    if rows:
        FOLDER.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(rows)
        table.to_csv(FOLDER / "benchmarks.csv", index=False)
        (FOLDER / "machine.json").write_text(json.dumps(_machine(), indent=2, sort_keys=True) + "\n")
        _draw(table[table["limit"].notna()], FOLDER / "benchmarks.png")


@pytest.fixture
def note(figures: list[dict[str, object]], request: pytest.FixtureRequest) -> Note:
    """Return a function that records and prints one figure: what, value, unit, and the limit that it has to keep, if any."""

    def noted(what: str, value: float, unit: str, *, limit: float | None = None) -> None:
        row = {"benchmark": request.node.name, "figure": what, "value": round(value, 3), "unit": unit, "limit": limit}
        figures.append(row)
        bound = "" if limit is None else f" (at most {limit:g})"
        print(f"{what}: {value:.2f} {unit}{bound}")  # noqa: T201 - what the benchmark is run for; `make bench` shows it

    return noted


def _machine() -> dict[str, object]:
    processors = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": processors[0] if processors else platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[2],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _draw(table: pd.DataFrame, path: Path) -> None:
    """Draw each figure as a share of its limit: what reaches past 1 has missed it."""
    shares = (table["value"] / table["limit"]).tolist()
    figure, axes = plt.subplots(figsize=(9, 0.4 * len(table) + 1.2), layout="constrained")
    names = [f"{row.figure}\n{row.value:g} {row.unit}, at most {row.limit:g}" for row in table.itertuples()]
    axes.barh(names, shares, color=["#3b6ea5" if share <= 1 else "#b5482f" for share in shares])
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("share of the limit (1 = the limit)")
    axes.tick_params(axis="y", labelsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)
