"""gem: the specifications of Ruby's packages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.distribution import Distribution
from audit_lib.formats import gem
from audit_lib.formats.base import Broken, Found
from audit_lib.purl import purl_of
from tests import syft
from tests.formats.tree import DictTree
from tests.tools import tool

HOME = "var/lib/gems/3.1.0"
RAKE_PATH = f"{HOME}/specifications/rake-13.0.6.gemspec"
RAKE = b"""# -*- encoding: utf-8 -*-
# stub: rake 13.0.6 ruby lib

Gem::Specification.new do |s|
  s.name = "rake".freeze
  s.version = "13.0.6"

  s.metadata = { "bug_tracker_uri" => "https://example.org" } if s.respond_to? :metadata=
  s.authors = ["Hiroshi SHIBATA".freeze, "Eric \\"E.\\" Hodel".freeze]
  s.description = "Rake is a Make-like program.\\n  s.name = \\"fake\\"\\n".freeze
  s.files = ["exe/rake".freeze]
  s.licenses = ["MIT".freeze]
end
"""
NOKOGIRI = b"""# stub: nokogiri 1.15.4 x86_64-linux lib
Gem::Specification.new do |s|
  s.name = "nokogiri".freeze
  s.version = "1.15.4"
  s.platform = "x86_64-linux".freeze
  s.licenses = ["MIT".freeze,
    "Apache-2.0".freeze]
end
"""
PATHNAME = b"""# stub: pathname 0.2.0 ruby lib
Gem::Specification.new do |s|
  s.name = "pathname".freeze
  s.version = "0.2.0"
  s.files = ["pathname.rb".freeze, "pathname/delete.rb".freeze]
end
"""


def read(files: dict[str, bytes]) -> list[Found | Broken]:
    tree = DictTree(files)
    return [found for place in gem.FORMAT.places(tree) for found in gem.FORMAT.read(tree, place)]


def test_installed_gems_with_licences():
    assert read({RAKE_PATH: RAKE}) == [Found(name="rake", version="13.0.6", path=RAKE_PATH, licenses=("MIT",))]


def test_a_gem_of_one_platform_says_so_in_its_purl():
    path = f"{HOME}/specifications/nokogiri-1.15.4-x86_64-linux.gemspec"
    (found,) = read({path: NOKOGIRI})
    assert isinstance(found, Found)
    assert found.licenses == ("Apache-2.0", "MIT")
    assert purl_of(gem.FORMAT, found, Distribution()) == "pkg:gem/nokogiri@1.15.4?platform=x86_64-linux"


@pytest.mark.parametrize(
    ("path", "place", "detail"),
    [
        (RAKE_PATH, f"{HOME}/specifications", None),
        (
            f"{HOME}/specifications/default/rake-13.0.6.gemspec",
            f"{HOME}/specifications",
            "default gem: part of Ruby itself",
        ),
        (
            "usr/share/rubygems-integration/all/specifications/rake-13.0.6.gemspec",
            "usr/share/rubygems-integration/all/specifications",
            None,
        ),
        (
            "app/vendor/bundle/ruby/3.1.0/bundler/gems/rake-1a2b3c4d5e6f/rake.gemspec",
            "app/vendor/bundle/ruby/3.1.0/bundler/gems",
            "from a git checkout",
        ),
    ],
)
def test_one_place_is_a_folder_of_specifications(path: str, place: str, detail: str | None):
    assert gem.FORMAT.places(DictTree({path: RAKE})) == [place]
    (found,) = read({path: RAKE})
    assert isinstance(found, Found)
    assert (found.name, found.version, found.detail) == ("rake", "13.0.6", detail)


def test_a_gem_owns_its_folder_and_what_was_built_for_it():
    built = f"{HOME}/extensions/x86_64-linux/3.1.0/nokogiri-1.15.4-x86_64-linux/gem.build_complete"
    path = f"{HOME}/specifications/nokogiri-1.15.4-x86_64-linux.gemspec"
    tree = DictTree({path: NOKOGIRI, built: b"", built.replace("nokogiri-1.15.4", "nokogiri-1.15.5"): b""})
    (found,) = gem.FORMAT.read(tree, f"{HOME}/specifications")
    assert isinstance(found, Found)
    assert gem.FORMAT.files(tree, found) == [
        path,
        f"{HOME}/cache/nokogiri-1.15.4-x86_64-linux.gem",
        f"{HOME}/gems/nokogiri-1.15.4-x86_64-linux/",
        f"{HOME}/doc/nokogiri-1.15.4-x86_64-linux/",
        f"{HOME}/extensions/x86_64-linux/3.1.0/nokogiri-1.15.4-x86_64-linux/",
    ]


def test_a_default_gem_owns_its_files_in_rubys_own_library():
    path = "usr/lib/ruby/gems/3.1.0/specifications/default/pathname-0.2.0.gemspec"
    tree = DictTree({path: PATHNAME})
    (found,) = read({path: PATHNAME})
    assert isinstance(found, Found)
    assert {"usr/lib/ruby/3.1.0/pathname.rb", "usr/lib/ruby/3.1.0/pathname/delete.rb"} <= set(
        gem.FORMAT.files(tree, found) or ()
    )


def test_a_version_that_is_code_is_that_of_the_files_name():
    text = (
        b"require 'rack'\nGem::Specification.new do |spec|\n  spec.name = 'rack'\n"
        b"  spec.version = Rack::VERSION\n  spec.license = 'MIT'\nend\n"
    )
    for path, version in (("specifications/rack-2.2.6.gemspec", "2.2.6"), ("specifications/rack.gemspec", None)):
        assert read({path: text}) == [Found(name="rack", version=version, path=path, licenses=("MIT",))]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected 'Gem::Specification.new', which is not in it"),
        (b"<html>", "expected 'Gem::Specification.new', which is not in it"),
        (RAKE[:-40], "the specification has no 'end'; was it cut?"),
        (b"Gem::Specification.new do |s|\nend\n", "expected a gem's name, found ''"),
        (b"Gem::Specification.new do |s|\n  s.name = 'a b'\nend\n", "expected a gem's name, found 'a b'"),
    ],
)
def test_damage_is_a_row_of_its_own_and_neighbours_are_read(data: bytes, said: str):
    path = f"{HOME}/specifications/broken-1.gemspec"
    assert read({path: data, RAKE_PATH: RAKE}) == [
        Broken(path, said),
        Found(name="rake", version="13.0.6", path=RAKE_PATH, licenses=("MIT",)),
    ]


def test_no_specification_is_no_place():
    assert gem.FORMAT.places(DictTree({"app/rake.gemspec": RAKE})) == []


@given(
    st.binary(max_size=200)
    | st.text(alphabet="sne.vrio=\"'[],\\ \n%q<>", max_size=200).map(
        lambda text: f"Gem::Specification.new do |s|\n{text}\nend\n".encode()
    )
)
def test_any_bytes_are_gems_or_damage(data: bytes):
    assert_told(data)


@given(st.data())
def test_a_specification_with_any_bytes_changed_is_a_gem_or_damage(data: st.DataObject):
    changed = bytearray(NOKOGIRI)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert_told(bytes(changed))


def assert_told(data: bytes) -> None:
    path = "specifications/\udcff.gemspec"
    tree = DictTree({path: data})
    (found,) = read({path: data})
    if isinstance(found, Found):
        assert purl_of(gem.FORMAT, found, Distribution()).startswith("pkg:gem/")
        assert found.version != ""
        assert gem.FORMAT.files(tree, found)


@pytest.fixture(scope="module")
def gem_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which RubyGems itself built and installed three gems."""
    tool("gem", "ruby")
    work = tmp_path_factory.mktemp("gems")
    home = work / "home"
    for name, version, platform in [("one", "1.0", "ruby"), ("two", "2.0.pre1", "ruby"), ("three", "3.0", "java")]:
        (work / f"{name}.rb").write_text("")
        (work / f"{name}.gemspec").write_text(
            f"Gem::Specification.new do |s|\n  s.name = '{name}'\n  s.version = '{version}'\n  s.platform = '{platform}'\n"
            f"  s.summary = \"a 'quoted' \\\"text\\\"\"\n  s.authors = ['A']\n  s.files = ['{name}.rb']\n"
            f"  s.licenses = ['MIT', 'Ruby']\nend\n"
        )
        subprocess.run(["gem", "build", "--force", f"{name}.gemspec"], cwd=work, check=True, capture_output=True)
    built = sorted(str(path) for path in work.glob("*.gem"))
    install = ["gem", "install", "--local", "--force", "--no-document", "--ignore-dependencies"]
    subprocess.run([*install, "--install-dir", home, *built], cwd=work, check=True, capture_output=True)
    return home


def test_gems_that_rubygems_installed_are_those_it_lists_with_the_files_it_lists(gem_home: Path):
    files = {
        str(path.relative_to(gem_home)): path.read_bytes() for path in sorted(gem_home.glob("specifications/*.gemspec"))
    }
    tree = DictTree(files)
    found = [one for one in read(files) if isinstance(one, Found)]
    assert [(one.name, one.version, one.licenses, dict(one.qualifiers)) for one in found] == [
        ("one", "1.0", ("MIT", "Ruby"), {}),
        ("three", "3.0", ("MIT", "Ruby"), {"platform": "java"}),
        ("two", "2.0.pre1", ("MIT", "Ruby"), {}),
    ]
    for one in found:
        (library,) = gem_home.glob(f"gems/*/{one.name}.rb")
        claims = gem.FORMAT.files(tree, one) or ()
        assert any(str(library.relative_to(gem_home)).startswith(claim) for claim in claims if claim.endswith("/"))
        assert (gem_home / next(claim for claim in claims if claim.startswith("cache/"))).is_file()


def test_the_gems_of_this_machine_are_those_that_gem_list_names():
    tool("gem", "ruby")
    run = subprocess.run(["gem", "env", "gempath"], check=True, capture_output=True, text=True)
    homes = [Path(home) for home in run.stdout.strip().split(":")]
    files = {
        str(path).lstrip("/"): path.read_bytes() for home in homes for path in home.glob("specifications/**/*.gemspec")
    }
    ours = {(one.name, one.version) for one in read(files) if isinstance(one, Found)}
    listed = subprocess.run(["gem", "list", "--local"], check=True, capture_output=True, text=True).stdout
    theirs = {
        (name, version.removeprefix("default: ").split()[0])
        for name, versions in re.findall(r"^(\S+) \((.*)\)$", listed, re.MULTILINE)
        for version in versions.split(", ")
    }
    assert ours == theirs
    assert len(ours) > 50


def test_syft_finds_the_same_gems(gem_home: Path):
    files = {
        str(path.relative_to(gem_home)): path.read_bytes() for path in sorted(gem_home.glob("specifications/*.gemspec"))
    }
    ours = {(one.name, one.version, one.path) for one in read(files) if isinstance(one, Found)}
    assert ours == syft.syft_packages(f"dir:{gem_home}", "ruby-installed-gemspec-cataloger")
