"""The README is true: its examples run, and every column and every command stands in it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from audit_lib import tables
from audit_lib.__main__ import cli
from audit_lib.layer import Limits
from audit_lib.sources import SOURCES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ROWS = [
    row
    for row in vars(tables).values()
    if isinstance(row, type) and issubclass(row, tables.Row) and row is not tables.Row
]
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]
RUNNABLE = [line for line in SHELL if line.startswith(("image-audit", "papermill")) and "sample:" in line]

_CONTEXT = click.Context(cli)
COMMANDS = {name: command for name in cli.list_commands(_CONTEXT) if (command := cli.get_command(_CONTEXT, name))}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_every_column_stands_in_the_readme(row):
    words = set(re.findall(r"[a-z_]+", README))
    assert {field.name for field in fields(row)} <= words


def test_every_command_source_and_limit_stands_in_the_readme():
    assert [name for name in COMMANDS if f"image-audit {name}" not in README] == []
    assert [source.scheme for source in SOURCES if f"`{source.scheme}:" not in README] == []
    assert [field.name for field in fields(Limits) if f"`{field.name}`" not in README] == []


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 2
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []


def test_python_examples_run(monkeypatch):
    monkeypatch.setattr(mpl, "get_backend", lambda: "agg")
    plt.switch_backend("agg")
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})  # noqa: S102 - the README's own lines
    plt.close("all")


@pytest.mark.parametrize("line", RUNNABLE)
def test_commands_on_the_samples_run(line, tmp_path):
    words = shlex.split(line)
    if words[0] == "papermill":
        words[1] = str(ROOT / words[1])
        words = [sys.executable, "-m", "papermill", "--no-progress-bar", *words[1:]]
    else:
        words = [sys.executable, "-m", "audit_lib", *words[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_on_other_images_have_real_options():
    for line in SHELL:
        if line.startswith("image-audit") and line not in RUNNABLE:
            name, *words = shlex.split(line)[1:]
            with COMMANDS[name].make_context(name, words):
                pass


def test_help_of_every_command_teaches():
    for name, command in COMMANDS.items():
        said = subprocess.run(
            [sys.executable, "-m", "audit_lib", name, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert "Examples:" in said
        assert "image-audit" in said
        assert [
            option.opts for option in command.params if option.param_type_name == "option" and not option.help
        ] == []
