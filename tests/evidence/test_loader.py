"""Where dynamic loaders look: told against ldconfig, and out of the loaders of this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib import audit
from audit_lib.evidence import loader
from audit_lib.evidence.loader import Place
from tests.images import oci_dir

LDCONFIG = shutil.which("ldconfig", path="/usr/sbin:/sbin")
needs_ldconfig = pytest.mark.skipif(not LDCONFIG, reason="ldconfig is not installed")


def root_with_a_library(folder: Path) -> Path:
    """Make a root with one real library in a configured folder, for ldconfig."""
    source = next(Path("/usr/lib").rglob("libz.so.1"), None) or next(Path("/usr/lib").rglob("libc.so.6"))
    (folder / "opt/lib").mkdir(parents=True)
    shutil.copy(source, folder / "opt/lib" / source.name)
    (folder / "etc").mkdir()
    (folder / "etc/ld.so.conf").write_text("/opt/lib\n")
    return folder


@needs_ldconfig
@pytest.mark.parametrize("form", ["new", "compat"])
def test_a_cache_holds_what_ldconfig_prints(form, tmp_path):
    root = root_with_a_library(tmp_path)
    subprocess.run([LDCONFIG, "-r", root, "-c", form], check=True)
    printed = subprocess.run([LDCONFIG, "-r", root, "-p"], check=True, capture_output=True, text=True).stdout
    expected = [
        Place("cache", path, name) for name, path in re.findall(r"^\t(\S+) \(.*\) => (\S+)$", printed, re.MULTILINE)
    ]
    assert expected
    assert list(loader.cached((root / "etc/ld.so.cache").read_bytes())) == expected


@needs_ldconfig
def test_a_cut_cache_is_unreadable_and_says_why(tmp_path):
    root = root_with_a_library(tmp_path)
    subprocess.run([LDCONFIG, "-r", root, "-c", "new"], check=True)
    whole = (root / "etc/ld.so.cache").read_bytes()
    assert list(loader.cached(whole[:30])) == [Place("unreadable", "", "its header is cut")]
    assert [place.kind for place in loader.cached(whole[:60])] == ["unreadable"]
    assert list(loader.cached(b"")) == [Place("unreadable", "", "no cache of glibc 2.2 or newer")]


@given(st.binary(max_size=300))
def test_any_bytes_give_places(data):
    for start in (b"", b"glibc-ld.so.cache1.1", b"ld.so-1.7.0"):
        assert {place.kind for place in loader.cached(start + data)} <= {"cache", "unreadable"}
    for name in ("etc/ld.so.cache", "etc/ld.so.conf", "etc/ld-musl-x86_64.path", "lib/ld-musl-x86_64.so.1"):
        loader.EXTRACTOR.extract(name, data)


def test_settings_of_glibc_and_of_musl(tmp_path):
    layer = {
        "etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n# a comment\nhwcap 1 nosegneg\n/opt/lib=libc6\n",
        "etc/ld.so.conf.d/local.conf": "/usr/local/lib\n",
        "etc/ld-musl-x86_64.path": "/lib:/usr/lib\n/opt/lib\n",
        "etc/ld.so.preload": "/opt/lib/libeat.so libother.so\n",
        "etc/ld.so.cache": "no cache\n",
        "usr/lib/libc.so": "/* GNU ld script */\n",
    }
    oci_dir(tmp_path / "image", [layer])
    table = audit(f"oci-dir:{tmp_path / 'image'}").loader_paths
    assert table[["stated_in", "position", "kind", "path"]].to_numpy().tolist() == [
        ["/etc/ld-musl-x86_64.path", 1, "configured", "/lib"],
        ["/etc/ld-musl-x86_64.path", 2, "configured", "/usr/lib"],
        ["/etc/ld-musl-x86_64.path", 3, "configured", "/opt/lib"],
        ["/etc/ld.so.cache", 1, "unreadable", ""],
        ["/etc/ld.so.conf", 1, "included", "/etc/ld.so.conf.d/*.conf"],
        ["/etc/ld.so.conf", 2, "configured", "/opt/lib"],
        ["/etc/ld.so.conf.d/local.conf", 1, "configured", "/usr/local/lib"],
        ["/etc/ld.so.preload", 1, "preload", "/opt/lib/libeat.so"],
        ["/etc/ld.so.preload", 2, "preload", "libother.so"],
    ]


def test_folders_are_read_out_of_the_loader_itself():
    glibc = b"\x7fELF\0\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0more"
    musl = b"\x7fELF\0/etc/ld-musl-x86_64.path\0%s\0/lib:/usr/local/lib:/usr/lib\0"
    assert [place.path for place in loader.built_in(glibc)] == [
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib",
        "/usr/lib",
    ]
    assert [place.path for place in loader.built_in(musl)] == ["/lib", "/usr/local/lib", "/usr/lib"]
    assert list(loader.built_in(b"\x7fELF\0/usr/share/\0/etc/\0")) == []


@pytest.mark.skipif(not Path("/lib64/ld-linux-x86-64.so.2").exists(), reason="no glibc for x86_64 here")
def test_folders_are_those_that_the_loader_of_this_machine_names():
    said = subprocess.run(["/lib64/ld-linux-x86-64.so.2", "--help"], check=True, capture_output=True, text=True).stdout
    named = re.findall(r"^  (/\S+) \(system search path\)$", said, re.MULTILINE)
    assert named
    assert [place.path for place in loader.built_in(Path("/lib64/ld-linux-x86-64.so.2").read_bytes())] == named
