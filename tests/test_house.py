"""The rules of the house that no linter knows: seams, dependencies, the lock, sizes, docstrings, what is shipped."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import audit_lib

ROOT = Path(__file__).parents[1]
MAX_FILE_BYTES = 512 * 1024


class Seam(NamedTuple):
    """What a part may import: parts of this library (patterns), and libraries other than Python's own."""

    parts: Sequence[str] = ()
    libraries: Sequence[str] = ()


_READING = ("errors", "reference", "sources.base", "tar")
_HTTP = ("errors", "sources.answers", "sources.urls")
_OF_REGISTRIES = (*_HTTP, "sources.base", "sources.http", "sources.manifest", "sources.names")
_SCANS = (*_READING, "layer", "scan", "store", "rootfs", "formats", "formats.*")
_FACTS = (
    "capabilities",
    "cpe",
    "distribution",
    "inventory",
    "licenses",
    "ownership",
    "purl",
    "removals",
    "alterations",
    "evidence",
    "evidence.*",
)
_TABLES = ("errors", "units", "tables", "sizes")
_STATEMENTS = ("errors", "formats.base", "formats.documents", "sboms.base", "tables", "vulnerabilities.*")
_OF_ADVISORIES = ("pandas", "platformdirs", "pyarrow")
_ANY = ("*",)

# The seams as code: imports go down only. A new module gets a row here, or falls under one.
SEAMS = {
    "errors": Seam(),
    "units": Seam(),
    "tables": Seam(("errors",), ("pandas",)),
    "reference": Seam(("errors",)),
    "tar": Seam(("errors",)),
    "sources": Seam(("errors", "reference", "sources.*")),
    "sources.base": Seam(("errors", "reference")),
    "sources.manifest": Seam(("errors", "reference", "sources.base")),
    "sources.attached": Seam(("errors", "sources.base", "sources.manifest")),
    "sources.urls": Seam(("errors",)),
    "sources.names": Seam(("errors",)),
    "sources.credentials": Seam(("errors",), ("docker",)),
    "sources.certificates": Seam(("errors",), ("requests",)),
    "sources.answers": Seam(("errors", "sources.base", "sources.urls"), ("requests",)),
    "sources.http": Seam((*_HTTP, "sources.base", "sources.certificates"), ("requests",)),
    "sources.login": Seam((*_HTTP, "sources.http", "sources.credentials", "sources.names")),
    "sources.transfer": Seam((*_HTTP, "sources.http")),
    "sources.repository": Seam((*_OF_REGISTRIES, "sources.login", "sources.transfer")),
    "sources.referrers": Seam((*_OF_REGISTRIES, "sources.attached", "sources.repository")),
    "sources.registry": Seam((*_OF_REGISTRIES, "sources.repository", "sources.referrers", "sources.transfer")),
    "sources.*": Seam(
        (*_READING, "sources", "sources.manifest", "sources.attached"),
        ("docker", "isal", "requests", "tqdm", "zstandard"),
    ),
    "formats": Seam(("formats.*",)),
    "formats.base": Seam(("errors",)),
    "formats.globs": Seam(("errors",)),
    "formats.stanzas": Seam(("errors",)),
    "formats.elf": Seam(),
    "formats.golang": Seam(("errors", "formats.base", "formats.elf")),
    "formats.cargo": Seam(("errors", "formats.base", "formats.documents", "formats.elf")),
    "formats.generic": Seam(("formats.base", "formats.elf", "formats.globs", "formats.programs")),
    "formats.programs": Seam(),
    "formats.deb": Seam(("errors", "formats.base", "formats.stanzas")),
    "formats.rpmheaders": Seam(("errors",)),
    "formats.rpmndb": Seam(("errors",)),
    "formats.rpmbdb": Seam(("errors",)),
    "formats.rpmsqlite": Seam(("errors",)),
    "formats.sqlitewal": Seam(("errors",)),
    "formats.rpm": Seam(
        (
            "errors",
            "formats.base",
            "formats.rpmbdb",
            "formats.rpmheaders",
            "formats.rpmndb",
            "formats.rpmsqlite",
            "formats.sqlitewal",
            "formats.stanzas",
        )
    ),
    "formats.apk": Seam(("errors", "formats.base", "formats.stanzas")),
    "formats.opkg": Seam(("errors", "formats.base", "formats.stanzas")),
    "formats.npm": Seam(("errors", "formats.base", "formats.documents")),
    "formats.pypi": Seam(("errors", "formats.base", "formats.documents", "formats.zips")),
    "formats.cran": Seam(("errors", "formats.base", "formats.stanzas")),
    "formats.wordpress": Seam(("formats.base", "formats.documents")),
    "formats.gem": Seam(("errors", "formats.base", "formats.documents")),
    "formats.composer": Seam(("errors", "formats.base", "formats.documents")),
    "formats.conda": Seam(("errors", "formats.base", "formats.documents")),
    "formats.nuget": Seam(("errors", "formats.base", "formats.documents", "formats.pe")),
    "formats.maven": Seam(("errors", "formats.base", "formats.documents", "formats.jars", "formats.zips")),
    "formats.*": Seam(("errors", "formats.base", "formats.globs"), ("license_expression", "packageurl")),
    "evidence": Seam(("evidence.*", "formats.base")),
    "account": Seam(),
    "evidence.*": Seam(
        ("account", "errors", "formats.base", "formats.elf", "evidence.secret_rules", "evidence.secrets")
    ),
    "evidence.scripts": Seam(("formats.base", "shell")),
    "severity": Seam(("errors",), ("pandas",)),
    "shell": Seam(),
    "links": Seam((), ("pandas",)),
    "sieve": Seam((), ("pyarrow",)),
    "layer": Seam(),
    "scan": Seam((*_READING, "layer", "sieve", "formats", "formats.base", "formats.globs"), ("isal", "zstandard")),
    "store": Seam((*_READING, "layer"), ("fsspec", "platformdirs", "pyarrow", "zstandard")),
    "reading": Seam((*_SCANS, "sources", "distribution", "evidence", "sboms.places")),
    "rootfs": Seam((*_READING, "layer", "formats", "formats.base", "formats.globs")),
    "distribution": Seam(("errors", "formats.base")),
    "capabilities": Seam(("errors",)),
    "removals": Seam(_SCANS),
    "inventory": Seam((*_SCANS, "removals")),
    "ownership": Seam((*_SCANS, "inventory")),
    "alterations": Seam((*_SCANS, "inventory", "ownership")),
    "licenses": Seam(("errors",), ("license_expression",)),
    "sboms": Seam(("errors", "formats.documents", "sboms.*")),
    "sboms.base": Seam(("errors", "formats.base", "formats.documents"), ("packageurl",)),
    "sboms.places": Seam(),
    "sboms.*": Seam(("errors", "formats.documents", "sboms.base", "sboms.columns")),
    "claims": Seam(("errors", "inventory", "ownership", "sboms", "sboms.*", "tables"), ("pandas",)),
    "stated": Seam(
        ("errors", "distribution", "licenses", "purl", "reference", "sboms", "sboms.*", "tables"), ("pandas",)
    ),
    "purl": Seam(("errors", "formats.base", "distribution"), ("packageurl",)),
    "cpe": Seam(("formats.base",)),
    # An Audit is a bundle of tables, hence the parts that make tables from tables; never charts, comparison, reports.
    "finished": Seam(("layer", "sources.base", "store"), ("pandas", "pyarrow")),
    "assembly": Seam(
        (
            *_SCANS,
            *_FACTS,
            *_TABLES,
            "claims",
            "extracted",
            "finished",
            "reading",
            "seen",
            "sources",
            "sources.base",
            "sources.sample",
            "surface",
        ),
        ("pandas",),
    ),
    "audit": Seam(
        (
            *_SCANS,
            *_FACTS,
            *_TABLES,
            "assembly",
            "finished",
            "reading",
            "sources",
            "sources.*",
            "claims",
            "stated",
            "vulnerabilities*",
            "clock",
            "compliance*",
            # How it shows itself in a notebook.
            "exports.glance",
        ),
        ("pandas",),
    ),
    "tags": Seam(("errors", "reference", "sources", "sources.*", "tables"), ("pandas",)),
    "sizes": Seam(("errors", "tables"), ("pandas",)),
    "surface": Seam(("account", "links", "surface.*", *_TABLES), ("pandas",)),
    "surface.*": Seam(("account", "links", "surface.*", *_TABLES), ("pandas",)),
    "extracted": Seam((*_SCANS, "inventory", "ownership", "evidence", "evidence.*", "surface", "tables"), ("pandas",)),
    "seen": Seam((*_SCANS, "account", "evidence", "evidence.*", "surface", "tables")),
    "compare": Seam((*_TABLES, "surface", "compare.*", "exports.glance"), ("pandas",)),
    "compare.vulnerabilities": Seam(
        (*_TABLES, "compare.*", "vulnerabilities", "vulnerabilities.base", "vulnerabilities.sources"), ("pandas",)
    ),
    "compare.*": Seam((*_TABLES, "links", "shell", "surface", "compare.*"), ("pandas",)),
    "vulnerabilities": Seam((*_TABLES, "vulnerabilities.*"), ("pandas",)),
    # Reports and statements are JSON from strangers, as SBOMs are.
    "vulnerabilities.reports": Seam(_STATEMENTS),
    "vulnerabilities.reports.*": Seam(_STATEMENTS),
    "vulnerabilities.vex": Seam(_STATEMENTS),
    "vulnerabilities.vex.*": Seam(_STATEMENTS),
    "vulnerabilities.vex.applying": Seam(("tables", "vulnerabilities.*"), ("pandas",)),
    "vulnerabilities.vex.draft": Seam(("tables", "vulnerabilities.*"), ("pandas",)),
    "vulnerabilities.columns": Seam(("vulnerabilities.records",), ("pyarrow",)),
    "vulnerabilities.database": Seam(
        ("errors", "store", "tables", "vulnerabilities.base", "vulnerabilities.columns"), _OF_ADVISORIES
    ),
    "vulnerabilities.ecosystems": Seam((), ("packageurl",)),
    "vulnerabilities.versions": Seam((), ("univers",)),
    "vulnerabilities.ranges": Seam(("vulnerabilities.versions",)),
    "vulnerabilities.lists": Seam(),
    "vulnerabilities.intake": Seam(("errors", "vulnerabilities.lists")),
    # What fetches advisories speaks HTTP as registries' clients do.
    "vulnerabilities.fetching": Seam((*_HTTP, "sources.http")),
    "vulnerabilities.taking": Seam(("clock", "errors", "vulnerabilities.*")),
    "vulnerabilities.updating": Seam(("clock", "errors", "vulnerabilities.*")),
    "vulnerabilities.reported": Seam((*_TABLES, "reference", "vulnerabilities.*"), ("pandas",)),
    "vulnerabilities.*": Seam((*_TABLES, "vulnerabilities.*"), ("cvss", "pandas", "pyarrow", "univers", "packageurl")),
    "clock": Seam(("errors",)),
    "marked": Seam(("errors",), ("yaml",)),
    "settings": Seam(("errors", "marked", "units")),
    "compliance": Seam((*_TABLES, "compliance.*"), ("pandas",)),
    "compliance.licenses": Seam((), ("license_expression",)),
    "compliance.checks.vulnerabilities": Seam(
        (*_TABLES, "clock", "compliance.base", "vulnerabilities.sources"), ("pandas",)
    ),
    "compliance.*": Seam((*_TABLES, "clock", "marked", "settings", "severity", "compliance.*"), ("pandas",)),
    "charts": Seam(("errors", "tables", "units", "charts.*"), ("matplotlib", "pandas", "squarify")),
    "charts.*": Seam(("errors", "tables", "units", "charts.*"), ("matplotlib", "pandas", "squarify")),
    "exports": Seam(("errors", "tables", "units", "exports.*"), _ANY),
    "exports.sbom": Seam(("clock", "exports.provenance", "sboms.columns"), _ANY),
    "exports.cyclonedx": Seam(("exports.*", "licenses", "sboms.columns"), _ANY),
    "exports.spdx": Seam(("exports.*", "licenses", "sboms.columns"), _ANY),
    "exports.*": Seam(("clock", "errors", "tables", "units", "exports", "exports.*"), _ANY),
    "execution": Seam(
        ("errors", "exports.pictures", "parameters", "reference"),
        ("ipykernel", "jupyter_client", "nbclient", "nbformat", "papermill"),
    ),
    "parameters": Seam(("errors",), ("nbformat", "papermill")),
    "reports": Seam(("clock", "errors", "tables", "units", "exports", "exports.*", "execution", "parameters"), _ANY),
    "bundles": Seam(("errors", "exports.manifest", "units")),
    "verification": Seam(("bundles", "errors", "exports.manifest", "exports.statement", "tables"), ("pandas",)),
    "samples": Seam(),
    "overview": Seam((*_TABLES, "compare.merging"), ("pandas",)),
    "wanted": Seam(("errors",)),
    "dataset": Seam(("errors", "store", "wanted"), ("pandas", "pyarrow")),
    "workers": Seam(),
    "tasks": Seam(
        (
            "alterations",
            "audit",
            "compliance",
            "dataset",
            "errors",
            "reading",
            "layer",
            "stated",
            "store",
            "tables",
            "wanted",
        ),
        ("pandas",),
    ),
    "audits": Seam(("errors", "marked", "reference", "settings", "tables", "wanted")),
    "history": Seam(("audit", "errors", "store", "tables", "tasks", "wanted"), ("pandas", "pyarrow")),
    "trends": Seam(_TABLES, ("pandas",)),
    "retention": Seam(("audits", "exports.manifest")),
    "runs": Seam(
        (
            "audit",
            "audits",
            "compliance",
            "errors",
            "exports",
            "exports.formats",
            "exports.manifest",
            "exports.provenance",
            "history",
            "layer",
            "parameters",
            "reports",
            "retention",
            "store",
            "tables",
            "tasks",
            "vulnerabilities",
            "vulnerabilities.*",
            "wanted",
        ),
        ("nbformat", "pandas"),
    ),
    "schedule": Seam(("dataset", "tasks", "wanted")),
    "fleet": Seam(
        (
            "clock",
            "compliance",
            "dataset",
            "errors",
            "layer",
            "schedule",
            "store",
            "tables",
            "tasks",
            "vulnerabilities.base",
            "vulnerabilities.database",
            "wanted",
            "workers",
        ),
        ("pandas",),
    ),
    "commands": Seam(),
    "commands.*": Seam(_ANY, _ANY),
    "__main__": Seam(_ANY, _ANY),
    "": Seam(_ANY, _ANY),
}
NOTEBOOKS_IMPORT = {"audit_lib", "pandas", "IPython.display"}

# A format is given bytes and gives back values: it opens nothing itself.
NOT_IN_FORMATS = {"glob", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib"}

# Where conda-forge's name, or the name that is imported, differs from the package's own.
CONDA_NAMES = {
    "docker": "docker-py",
    "isal": "python-isal",
    "jupyter-client": "jupyter_client",
    "matplotlib": "matplotlib-base",
}
IMPORT_NAMES = {
    "PIL": "pillow",
    "cyclonedx": "cyclonedx-python-lib",
    "packageurl": "packageurl-python",
    "yaml": "pyyaml",
}


def modules() -> dict[str, Path]:
    """Return every module by its name without `audit_lib.`; the package itself is ""."""
    found = {}
    for path in sorted((ROOT / "audit_lib").rglob("*.py")):
        words = path.relative_to(ROOT / "audit_lib").with_suffix("").parts
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return found


MODULES = modules()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
DEVELOPMENT = [Requirement(line) for line in PROJECT["project"]["optional-dependencies"]["dev"]]


@pytest.mark.parametrize("part", MODULES)
def test_imports_go_down_only(part):
    seam = SEAMS[_row(part)]
    for imported in _imports(MODULES[part].read_text()):
        if imported == "audit_lib" or imported.startswith("audit_lib."):
            name = _part(imported)
            below = any(fnmatchcase(name, pattern) for pattern in seam.parts)
            assert below or name == part, f"{part or 'audit_lib'} must not import {imported}"
        elif imported.split(".")[0] not in sys.stdlib_module_names:
            allowed = any(f"{imported}.".startswith(f"{library}.") for library in seam.libraries)
            assert allowed or seam.libraries == _ANY, f"{part or 'audit_lib'} must not know {imported}"


def test_notebooks_know_public_names_only():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= NOTEBOOKS_IMPORT, path.name
            elif isinstance(node, ast.ImportFrom):
                assert node.module in NOTEBOOKS_IMPORT, path.name
                assert node.module != "audit_lib" or {alias.name for alias in node.names} <= set(audit_lib.__all__)


@pytest.mark.parametrize("part", [part for part in MODULES if part.startswith("formats.")])
def test_a_format_opens_nothing_itself(part):
    code = MODULES[part].read_text()
    assert {imported.split(".")[0] for imported in _imports(code)} & NOT_IN_FORMATS == set()
    assert "open" not in {node.func.id for node in ast.walk(ast.parse(code)) if _is_plain_call(node)}


def test_every_library_that_is_imported_is_a_dependency():
    imported = {name.split(".")[0] for path in MODULES.values() for name in _imports(path.read_text())}
    libraries = imported - set(sys.stdlib_module_names) - {"audit_lib"}
    declared = {canonicalize_name(requirement.name) for requirement in RUNTIME}
    assert {canonicalize_name(IMPORT_NAMES.get(name, name)) for name in libraries} - declared == set()


@pytest.mark.parametrize("part", MODULES)
def test_every_public_name_has_a_docstring(part):
    tree = ast.parse(MODULES[part].read_text())
    bare = [name for name, node in _public(tree, part or "audit_lib") if not ast.get_docstring(node)]
    assert bare == []


def test_conda_and_pip_name_the_same_dependencies():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (by_pip,) = (line["pip"] for line in environment["dependencies"] if isinstance(line, dict))
    conda = dict(line.partition(" ")[::2] for line in environment["dependencies"] if isinstance(line, str))
    assert conda.pop("python") == PROJECT["project"]["requires-python"]
    assert conda.pop("pip") == ""
    conda |= {needed.name: str(needed.specifier) for needed in map(Requirement, by_pip)}
    pip = {CONDA_NAMES.get(needed.name, needed.name): needed.specifier for needed in RUNTIME + DEVELOPMENT}
    assert {name: SpecifierSet(version) for name, version in conda.items()} == pip


def test_the_lock_holds_names_versions_and_hashes_and_nothing_else():
    line = re.compile(r"[a-z0-9.-]+==[a-z0-9.!+]+( ; [a-zA-Z0-9_.'*<>=! ]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [text for text in lines if not line.fullmatch(text)] == []


def test_the_lock_has_every_dependency_with_hashes():
    blocks = re.split(r"^(?=\S)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]
    locked = {block.partition("==")[0]: block.partition("==")[2].split()[0] for block in blocks}
    assert [block for block in blocks if "--hash=" not in block] == []
    build = [Requirement(line) for line in PROJECT["build-system"]["requires"]]
    missing = [
        str(needed)
        for needed in (*RUNTIME, *DEVELOPMENT, *build)
        if not needed.specifier.contains(locked.get(canonicalize_name(needed.name), "0"))
    ]
    assert missing == []


def test_no_file_in_git_is_large():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    large = [str(path.relative_to(ROOT)) for path in files if path.is_file() and path.stat().st_size > MAX_FILE_BYTES]
    assert large == []


def test_make_help_comes_first_and_every_target_says_what_it_is_for():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^\.PHONY: (\w+)$", makefile, flags=re.MULTILINE)
    assert targets[0] == "help"
    assert [target for target in targets if not re.search(rf"^{target}:.* ## \w", makefile, flags=re.MULTILINE)] == []


def test_an_installed_wheel_has_the_notebooks_the_samples_and_the_pages(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"audit_lib/{path.relative_to(ROOT)}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    wanted |= {
        str(path.relative_to(ROOT))
        for folder in ("docs", "samples")
        for path in (ROOT / "audit_lib" / folder).glob("*")
        if path.is_file()
    }
    assert wanted - shipped == set()


def _row(part: str) -> str:
    if part in SEAMS:
        return part
    rows = [row for row in SEAMS if row.endswith("*") and fnmatchcase(part, row)]
    assert rows, f"{part} has no row in the table of seams"
    return max(rows, key=len)  # a folder in a folder


def _part(imported: str) -> str:
    """`audit_lib.tables.File` → `tables`: the longest beginning that is a module."""
    words = imported.split(".")[1:]
    while words and ".".join(words) not in MODULES:
        words.pop()
    return ".".join(words)


def _imports(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import names its module in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_plain_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _public(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    yield name, node
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named and not child.name.startswith("_"):
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{name}.{child.name}")
            else:
                yield f"{name}.{child.name}", child
