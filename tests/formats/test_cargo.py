"""cargo: the list that `cargo auditable` leaves in an executable, told against Syft on a real one and by damaged ones."""

from __future__ import annotations

import importlib.util
import json
import shutil
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import cargo
from audit_lib.formats.base import Found
from tests.elves import elf_file
from tests.formats.tree import DictTree
from tests.syft import syft_packages

# The example of the format's own documentation, with a build dependency and a crate from git.
LIST = {
    "packages": [
        {"name": "adler", "version": "0.2.3", "source": "crates.io"},
        {"name": "app", "version": "0.1.0", "source": "local", "dependencies": [0], "root": True},
        {"name": "cc", "version": "1.0.0", "source": "crates.io", "kind": "build"},
        {"name": "fork", "version": "2.0.0", "source": "git"},
    ]
}


def binary(data: bytes) -> bytes:
    return elf_file({".text": b"code", ".dep-v0": data})


def auditable(document: object = LIST) -> bytes:
    return binary(zlib.compress(json.dumps(document).encode()))


def tree(content: bytes, path: str = "usr/bin/app") -> DictTree:
    evidence = cargo.FORMAT.extract(path, content)
    assert evidence is not None
    return DictTree({}, {"cargo": {path: evidence}})


def packages(content: bytes, path: str = "usr/bin/app") -> list[Found]:
    return list(cargo.FORMAT.read(tree(content, path), path))


def test_crates_that_are_in_the_executable_without_those_that_built_it():
    assert [(found.name, found.version, found.detail) for found in packages(auditable())] == [
        ("adler", "0.2.3", None),
        ("app", "0.1.0", "built from local"),
        ("fork", "2.0.0", "built from git"),
    ]


def test_the_crate_that_was_built_weighs_what_the_executable_weighs():
    image = tree(auditable())
    owned = {found.name: cargo.FORMAT.files(image, found) for found in cargo.FORMAT.read(image, "usr/bin/app")}
    assert owned == {"adler": None, "app": ["usr/bin/app"], "fork": None}


def test_the_same_crate_with_and_without_a_source_is_two():
    crates = [{"name": "x", "version": "1", "source": "git"}, {"name": "x", "version": "1"}]
    assert [found.detail for found in packages(auditable({"packages": crates}))] == ["built from git", None]


def test_half_a_character_in_a_name_is_replaced():
    assert packages(binary(zlib.compress(b'{"packages":[{"name":"\\ud800x","version":"1"}]}')))[0].name == "\ufffdx"


def test_an_empty_list_is_no_crates():
    assert packages(auditable({"packages": []})) == []


def test_an_executable_without_the_section_is_nothing():
    assert cargo.FORMAT.extract("bin/x", elf_file({".text": b"code"})) is None
    assert cargo.FORMAT.extract("bin/x", elf_file({".text": b"the word .dep-v0 in a text"})) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (binary(b"not zlib"), "section .dep-v0 cannot be inflated"),
        (binary(zlib.compress(b"{}")[:-3]), "section .dep-v0"),
        (binary(zlib.compress(b"[" * 100_000)), "not JSON: "),
        (binary(zlib.compress(bytes(17 * 1024**2))), "section .dep-v0 becomes larger than 16,777,216 bytes"),
        (auditable([]), "section .dep-v0 holds no list of packages"),
        (auditable({"packages": [{"name": "x"}]}), "section .dep-v0: a crate without name or version: {'name': 'x'}"),
        (auditable({"packages": [7]}), "section .dep-v0: a crate without name or version: 7"),
    ],
)
def test_a_damaged_list_is_damaged_and_says_why(content, problem):
    with pytest.raises(DamagedDatabaseError) as caught:
        cargo.FORMAT.extract("bin/x", content)
    assert caught.value.problem.startswith(problem)


def test_a_real_executable_holds_what_syft_finds_in_it(tmp_path: Path):
    """Both come from PyPI as executables; which of them states its crates changes with their releases."""
    for name in ("uv", "ruff"):
        spec = importlib.util.find_spec(name)
        program = shutil.which(name)
        if spec is None or program is None:
            continue
        content = Path(program).read_bytes()
        if cargo.FORMAT.extract(name, content) is None:
            continue
        shutil.copy(program, tmp_path / name)
        expected = syft_packages(f"dir:{tmp_path}", "cargo-auditable-binary-cataloger")
        ours = {(one.name, one.version, name) for one in packages(content, name)}
        assert len(expected) > 50
        assert expected - ours == set()
        return
    pytest.skip("neither uv nor ruff is published with a list of its crates in these versions")


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_evidence_none_or_the_named_error(data, is_compressed):
    try:
        evidence = cargo.FORMAT.extract("bin/x", binary(zlib.compress(data) if is_compressed else data))
    except DamagedDatabaseError:
        return
    assert evidence is None or isinstance(json.loads(evidence), list)
