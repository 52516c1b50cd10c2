"""generic: programs told by their version strings; the programs on this machine say themselves which version they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.audit import Audit, audit
from audit_lib.formats import generic
from tests.formats.tree import DictTree
from tests.images import oci_dir

BASH = b"\x7fELF" + bytes(100) + b"@(#)Bash version 5.2.15(1) release GNU\0"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("usr/local/bin/python3.13", b"\x003.13.1\0", ("python", "3.13.1", False)),
        ("usr/local/bin/python3.13", b"\x003.12.1\0", None),  # the version of something else
        ("usr/local/lib/libpython3.14.so.1.0", b"\x003.14.0rc2\0", ("python", "3.14.0rc2", True)),
        ("opt/pypy/bin/pypy3", b"[PyPy 7.3.17 with GCC]", ("pypy", "7.3.17", False)),
        ("usr/local/bin/node", b"node.js/v22.11.0\0", ("node", "22.11.0", False)),
        ("usr/local/go/VERSION", b"go1.23.4\ntime 2024-11-27T20:27:20Z\n", ("go", "1.23.4", False)),
        ("usr/local/go/VERSION", b"devel go1.24-abc\n", None),
        (
            "opt/java/openjdk/bin/java",
            b"openjdk\x00java\x0021.0\x0021.0.5+11-LTS\0",
            ("java/jre", "21.0.5+11-LTS", False),
        ),
        ("usr/local/lib/libruby.so.3.3.6", b"ruby 3.3.6 (2024-11-05 revision)", ("ruby", "3.3.6", True)),
        ("usr/local/bin/php", b"X-Powered-By: PHP/8.4.1\0", ("php-cli", "8.4.1", False)),
        ("usr/local/sbin/php-fpm", b"X-Powered-By: PHP/8.4.0RC4\0", ("php-fpm", "8.4.0RC4", False)),
        ("usr/local/bin/perl", b"/usr/local/lib/perl5/5.40.0/x86_64-linux-gnu", ("perl", "5.40.0", False)),
        ("opt/lib/libcrypto.so.1.1", b"OpenSSL 1.1.1w  11 Sep 2023\0", ("openssl", "1.1.1w", True)),
        ("bin/busybox", b"BusyBox v1.36.1 (2023-11-07)", ("busybox", "1.36.1", False)),
        ("usr/sbin/nginx", b"\0nginx version: nginx/1.27.3\0", ("nginx", "1.27.3", False)),
        ("usr/local/apache2/bin/httpd", b"Apache/2.4.62 (Unix)", ("httpd", "2.4.62", False)),
        ("usr/local/bin/redis-server", b"7.4.1buildkitsandbox-1727872432000000000\0", ("redis", "7.4.1", False)),
        ("usr/lib/postgresql/17/bin/postgres", b"PostgreSQL 17.2 (Debian", ("postgresql", "17.2", False)),
        ("usr/local/bin/memcached", b"memcached 1.6.33\n", ("memcached", "1.6.33", False)),
        ("usr/sbin/mariadbd", b"5.5.5-\x0011.6.2-MariaDB-ubu2404\0", ("mariadb", "11.6.2", False)),
        ("usr/sbin/mysqld", b"/build/mysql-8.4.3/sql/x.cc", ("mysql", "8.4.3", False)),
        ("usr/local/sbin/haproxy", b" version 3.1.0-f2b9791, released 2024/11/26\0", ("haproxy", "3.1.0", False)),
        (
            "usr/lib/libstd-0123456789abcdef.so",
            b"clang LLVM (rustc version 1.83.0 (90b35a623",
            ("rust", "1.83.0", False),
        ),
        ("usr/local/lib/erlang/releases/27/OTP_VERSION", b"27.1.3\n", ("erlang", "27.1.3", False)),
        ("var/www/html/wp-includes/version.php", b"<?php\n$wp_version = '6.7.1';\n", ("wordpress", "6.7.1", False)),
        ("usr/bin/cat", BASH, None),
        ("etc/init.d/bash", b"#!/bin/sh", None),
        ("usr/local/bin/node", b"node.js/v" * 10_000, None),
    ],
)
def test_a_program_is_told_by_its_name_and_its_version_string(path, text, expected):
    assert generic.parse(b"\x7fELF\0" + text if not path.endswith(("VERSION", ".php")) else text, path) == (
        [expected] if expected else []
    )


@pytest.mark.parametrize(
    ("program", "arguments", "version"),
    [
        ("bash", ["--version"], r"version (\d+\.\d+\.\d+)"),
        ("perl", ["-e", "print substr $^V, 1"], r"(.*)"),
        ("openssl", ["version"], r"OpenSSL (\S+)"),
        ("python3", ["--version"], r"Python (\S+)"),
        ("curl", ["--version"], r"curl (\S+)"),
        ("busybox", [], r"v(\S+)"),
        ("node", ["--version"], r"v(\S+)"),
    ],
)
def test_real_programs_have_the_version_that_they_print(program, arguments, version):
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    file = Path(found).resolve()
    printed = subprocess.run([str(file), *arguments], capture_output=True, text=True, check=False).stdout
    expected = re.search(version, printed)
    assert expected
    told = generic.parse(file.read_bytes(), f"opt/bin/{file.name}")
    if not told:
        pytest.skip(f"{file} is a small launcher: its version stands in a library")
    assert [one for _, one, _ in told] == [expected[1]]


def test_a_library_of_a_programs_own_version_is_part_of_it():
    evidence = {
        "usr/local/bin/python3.13": generic.FORMAT.extract("usr/local/bin/python3.13", b"\x003.13.1\0"),
        "usr/local/lib/libpython3.13.so.1.0": generic.FORMAT.extract("x/libpython3.13.so.1.0", b"\x003.13.1\0"),
        "opt/lib/libpython3.12.so.1.0": generic.FORMAT.extract("x/libpython3.12.so.1.0", b"\x003.12.8\0"),
    }
    assert generic.FORMAT.places(DictTree({}, {"generic": evidence})) == [
        "usr/local/bin/python3.13",
        "opt/lib/libpython3.12.so.1.0",
    ]


def audited(path: Path, files: dict[str, bytes | str]) -> Audit:
    oci_dir(path / "image", layers=[files])
    return audit(f"oci-dir:{path / 'image'}")


def test_a_program_that_nothing_recorded_is_a_package_that_owns_its_file(tmp_path):
    found = audited(tmp_path, {"opt/bin/bash": BASH})
    [row] = found.packages.itertuples()
    assert (row.format, row.name, row.version, row.purl) == ("generic", "bash", "5.2.15", "pkg:generic/bash@5.2.15")
    assert row.file_bytes == len(BASH)
    assert row.detail == "told by the version string in this program; no package manager recorded it"
    assert found.files.set_index("path")["package"]["/opt/bin/bash"] == "bash"


def test_a_program_that_a_distribution_recorded_is_not_told_twice(tmp_path):
    status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2\n\n"
    info = {"var/lib/dpkg/status": status, "var/lib/dpkg/info/bash.list": "/bin/bash\n"}
    found = audited(tmp_path, info | {"bin/bash": BASH, "opt/bin/bash": BASH})
    rows = found.packages[["format", "name", "database_path"]].values.tolist()
    assert rows == [["deb", "bash", "/var/lib/dpkg/status"], ["generic", "bash", "/opt/bin/bash"]]
    assert "/bin/bash" not in set(found.databases["database_path"])


@given(st.binary(max_size=300), st.sampled_from([path for rule in generic.RULES for path in rule.globs]))
def test_any_bytes_give_programs_or_none(data, glob):
    path = glob.replace("**/", "usr/").replace("?", "3").replace("*", "1")
    for name, version, _ in generic.parse(data, path):
        assert name
        assert re.match(r"\d", version)
