"""Packages of real installations are those that their own tools list: pip, npm, Composer; gem and rpm are beside their formats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit_lib import audit
from audit_lib.formats.pypi import normalized
from tests.images import oci_dir
from tests.tools import tool


def packages(folder: Path, form: str) -> pd.DataFrame:
    """Return the packages of one format in an image that holds this folder and nothing else."""
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(f"{scratch}/layer.tar", "w") as tar:
            tar.add(folder, str(folder).lstrip("/"), filter=lambda one: None if one.name.endswith(".pyc") else one)
        oci_dir(Path(scratch, "image"), layers=[Path(scratch, "layer.tar").read_bytes()], compression="")
        found = audit(f"oci-dir:{scratch}/image")
    assert found.gaps == ()
    return found.packages[found.packages["format"] == form]


def told(*command: str | Path, cwd: Path | None = None) -> Any:
    """Return the JSON that a tool prints; its exit code says what it thinks of what it lists."""
    quiet = {**os.environ, "COMPOSER_ALLOW_SUPERUSER": "1", "COMPOSER_NO_INTERACTION": "1"}
    return json.loads(
        subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=quiet).stdout or "null"
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that pip installed: wheels of this environment, copied as pip lays them out, and this project."""
    target = tmp_path_factory.mktemp("site")
    made = tmp_path_factory.mktemp("project")
    for name, version in (("Foo.Bar", "1.0.dev3"), ("under_score", "2!3.4+local.1")):
        (made / name).mkdir()
        (made / name / "pyproject.toml").write_text(
            f'[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\nlicense = "MIT"\n'
            f"[tool.hatch.build.targets.wheel]\nbypass-selection = true\n"
        )
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", target, made / "Foo.Bar", made / "under_score"], check=True)
    return target


def test_what_pip_installed_is_what_pip_lists(site: Path):
    listed = told(sys.executable, "-m", "pip", "list", "--path", site, "--format", "json")
    ours = packages(site, "pypi")
    assert {(normalized(one["name"]), one["version"]) for one in listed} == set(
        zip(ours["name"], ours["version"], strict=True)
    )
    assert {"foo-bar", "under-score"} == set(ours["name"])
    assert set(ours["licenses"]) == {"MIT"}


def test_this_environment_holds_what_pip_lists():
    import certifi  # noqa: PLC0415 - one of the packages, to find the folder of all

    folder = Path(certifi.__file__).parents[1]
    listed = told(sys.executable, "-m", "pip", "list", "--path", folder, "--format", "json")
    ours = packages(folder, "pypi")
    own = ours[~ours["detail"].fillna("").str.startswith("a copy within")]
    assert {(normalized(one["name"]), one["version"]) for one in listed} == set(
        zip(own["name"], own["version"], strict=True)
    )
    assert len(own) > 100


def test_npm_holds_what_npm_lists_of_itself():
    folder = tool("npm").parents[1]
    ours = packages(folder, "npm")
    listed: set[tuple[str, str, str]] = set()

    def walk(one: dict[str, Any]) -> None:
        listed.add((one["name"], one["version"], f"{one['path']}/package.json"))
        for below in one.get("dependencies", {}).values():
            if below.get("path"):
                walk(below)

    walk(told("npm", "ls", "--all", "--json", "--long", cwd=folder))
    assert len(listed) > 100
    own = ours["database_path"].str.fullmatch(rf"{folder}(/node_modules/(@[^/]+/)?[^/]+)*/package\.json")
    # Packages carry further package.json files of their own in other folders: none that npm takes for installed ones.
    assert set(ours.loc[own, ["name", "version", "database_path"]].itertuples(index=False, name=None)) == listed


def test_composer_installed_what_it_shows(tmp_path: Path):
    tool("composer")
    for name, version in (("one", "1.2.3"), ("two", "v2.0.0-beta1")):
        (tmp_path / name).mkdir()
        stated = {"name": f"acme/{name}", "version": version, "license": ["MIT"], "autoload": {"files": ["a.php"]}}
        (tmp_path / name / "composer.json").write_text(json.dumps(stated))
        (tmp_path / name / "a.php").write_text("<?php\n")
    project = {
        "name": "acme/project",
        "minimum-stability": "beta",
        "repositories": [
            *({"type": "path", "url": f"../{name}", "options": {"symlink": False}} for name in ("one", "two")),
            {"packagist.org": False},
        ],
        "require": {"acme/one": "*"},
        "require-dev": {"acme/two": "*"},
    }
    app = tmp_path / "app"
    app.mkdir()
    (app / "composer.json").write_text(json.dumps(project))
    told("composer", "install", "--quiet", cwd=app)
    listed = told("composer", "show", "--format=json", cwd=app)["installed"]
    ours = packages(app, "composer")
    assert [(one["name"], one["version"]) for one in listed] == list(zip(ours["name"], ours["version"], strict=True))
    assert ours["detail"].fillna("").tolist() == ["", "for development"]
    assert ours["file_count"].tolist() == [2, 2]
