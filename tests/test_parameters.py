"""Parameters: what a notebook declares, what a command line gives, and which values are paths."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from audit_lib.exports.notebook import prepare_notebook
from audit_lib.parameters import absolute, fit_values, read_parameters, spellings

CELL = """\
full_image: str = "sample:full"  # reference of the full image
top_n: int = 15  # rows shown
strict: bool = False
limit: float = 0.5
platform: str = None  # None: this machine's
anything = None"""


@pytest.fixture
def known():
    notebook = new_notebook(cells=[new_code_cell(CELL, metadata={"tags": ["parameters"]})])
    return read_parameters(prepare_notebook(notebook))


def test_each_parameter_has_a_type_a_default_and_its_comment_as_help(known):
    assert [(one.name, one.type, one.is_optional, one.default, one.help) for one in known.values()] == [
        ("full_image", "str", False, "sample:full", "reference of the full image"),
        ("top_n", "int", False, 15, "rows shown"),
        ("strict", "bool", False, False, ""),
        ("limit", "float", False, 0.5, ""),
        ("platform", "str", True, None, "None: this machine's"),
        ("anything", None, True, None, ""),
    ]


def test_text_from_a_command_line_becomes_the_type_that_is_declared(known):
    given = {"top_n": "4", "strict": "True", "limit": "0.25", "platform": "linux/arm64", "anything": "7"}
    assert fit_values(known, given, notebook="example") == {
        "top_n": 4,
        "strict": True,
        "limit": 0.25,
        "platform": "linux/arm64",
        "anything": "7",
    }


def test_none_fits_where_it_is_the_default_and_a_whole_number_where_a_fraction_may_stand(known, tmp_path):
    given = {"platform": None, "limit": 1, "full_image": tmp_path}
    assert fit_values(known, given, notebook="example") == {"platform": None, "limit": 1, "full_image": str(tmp_path)}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("full_image", "docker-archive:a.tar", "docker-archive:{here}/a.tar"),
        ("full_image", "oci-dir:a/b:1.0", "oci-dir:{here}/a/b:1.0"),
        ("full_image", "oci-archive:/a.tar", "oci-archive:/a.tar"),
        ("full_image", "docker:there", "docker:there"),
        ("full_image", "there", "{here}/there"),
        ("image", "there", "{here}/there"),
        ("image", "python:3.13", "python:3.13"),
        (
            "images",
            "there  oci-dir:a linux/amd64\nsample:full",
            "{here}/there  oci-dir:{here}/a linux/amd64\nsample:full",
        ),
        ("title", "there", "there"),
        ("title", "./there", "{here}/there"),
        ("platform", "linux/amd64", "linux/amd64"),
        ("cache_dir", "cache", "{here}/cache"),
        ("store", "s3://bucket/scans", "s3://bucket/scans"),
        ("cache_dir", "", ""),
        ("top_n", 3, 3),
        ("platform", None, None),
        ("title", "a" * 5000 + "/", "a" * 5000 + "/"),
    ],
)
def test_a_relative_path_becomes_absolute_and_nothing_else_does(name, value, expected, tmp_path, monkeypatch):
    (tmp_path / "there").touch()
    monkeypatch.chdir(tmp_path)
    assert absolute(name, value) == (expected.format(here=tmp_path) if isinstance(expected, str) else expected)


def test_what_a_path_was_spelt_like_is_known_by_what_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full.tar").touch()
    values = {
        "image": "sbom:a.json",
        "images": "full.tar  sample:full",
        "policy_file": "p.yml",
        "top_n": 3,
        "note": "a/b",
        "vex_files": f"v.json:{tmp_path}/w.json",
    }
    assert spellings(values) == {
        f"sbom:{tmp_path}/a.json": "sbom:a.json",
        f"{tmp_path}/a.json": "a.json",
        f"{tmp_path}/full.tar": "full.tar",
        f"{tmp_path}/p.yml": "p.yml",
        f"{tmp_path}/v.json": "v.json",
    }
