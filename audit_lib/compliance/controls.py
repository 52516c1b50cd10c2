"""Controls of frameworks and the checks that speak to them, out of `controls.yml`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from audit_lib.marked import Node, parse
from audit_lib.settings import Reader, read_file
from audit_lib.tables import Control, make_table

FILE = Path(__file__).with_name("controls.yml")


def controls() -> pd.DataFrame:
    """Return the controls of all frameworks with the checks that speak to them (schema `Control`)."""
    return _table().copy()


@cache
def controls_of() -> dict[str, str]:
    """Return by check the controls that it speaks to, such as "CIS Docker 4.1", joined by "; "."""
    named: dict[str, list[str]] = {}
    for framework, control_id, check_id in _table()[["framework", "control_id", "check_id"]].to_numpy().tolist():
        named.setdefault(check_id, []).append(f"{framework} {control_id}")
    return {check: "; ".join(names) for check, names in named.items()}


@cache
def _table() -> pd.DataFrame:
    reader = Reader(FILE.name)
    document = reader.mapping(parse(read_file(FILE), FILE.name), "controls", required=("frameworks",))
    rows = [row for framework in reader.items(document["frameworks"], "frameworks") for row in _rows(reader, framework)]
    return make_table(Control, rows)


def _rows(reader: Reader, node: Node) -> Iterator[Control]:
    framework = reader.mapping(node, "frameworks", required=("id", "name", "version", "source", "controls"))
    name = reader.text(framework["id"], "id")
    for one in reader.items(framework["controls"], "controls"):
        control = reader.mapping(one, "controls", required=("id", "title", "basis", "checks"), optional=("source",))
        for check in reader.texts(control["checks"], "checks"):
            yield Control(
                framework=name,
                control_id=reader.text(control["id"], "id"),
                check_id=check,
                title=reader.text(control["title"], "title"),
                framework_name=f"{reader.text(framework['name'], 'name')}, {reader.text(framework['version'], 'version')}",
                basis=reader.text(control["basis"], "basis"),
                source=reader.text(control.get("source", framework["source"]), "source"),
            )
