"""generic: programs told by their version strings; the programs on this machine say themselves which version they are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.audit import Audit, audit
from audit_lib.formats import generic
from audit_lib.formats.programs import RULES
from tests.elves import elf_file
from tests.formats.tree import DictTree
from tests.images import oci_dir
from tests.syft import syft_packages
from tests.tools import tool

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
        ("opt/bin/python3", b"\x003.40.1\0cpython-312-x86_64\x003.12.8\0", ("python", "3.12.8", False)),
        ("opt/bin/python", b"\x003.12.8\0", None),  # nothing says that this is its own version
        ("opt/jdk/release", b'JAVA_VERSION="1.8.0_402"\n', ("openjdk", "1.8.0_402", False)),
        (
            "opt/java/openjdk/release",
            b'IMPLEMENTOR="Eclipse Adoptium"\nJAVA_RUNTIME_VERSION="21.0.4+7-LTS"\nJAVA_VERSION="21.0.4"\n',
            ("openjdk", "21.0.4+7-LTS", False),
        ),
        (
            "usr/lib/jvm/z/release",
            b'IMPLEMENTOR="Azul Systems, Inc."\nJAVA_VERSION="17.0.9"\n',
            ("zulu", "17.0.9", False),
        ),
        ("opt/jdk/bin/jdb", b"openjdk\x00jdb\x00java\x000.0\x0017.0.9+9\0", ("java/jdk", "17.0.9+9", False)),
        ("etc/release", b"Debian 12\n", None),
        ("app/x.libs/libcrypto-1ad5e8.so.3", b"OpenSSL 3.3.2 3 Sep 2024\0", ("openssl", "3.3.2", True)),
        ("app/x.libs/libz-dcb0d7.so.1.3.1", b" deflate 1.3.1 Copyright 1995", ("zlib", "1.3.1", True)),
        ("app/x.libs/libexpat-5.so.1", b"\0expat_2.6.4\0", ("expat", "2.6.4", True)),
        ("app/x.libs/libsqlite3-1.so.0", b"\x003.46.1\0", ("sqlite", "3.46.1", True)),
        ("lib/ld-musl-x86_64.so.1", b"/proc/self/fd/\x001.2.5\0", ("musl", "1.2.5", False)),
        (
            "lib/x86_64-linux-gnu/libc.so.6",
            b"Library (Debian GLIBC 2.36-9) stable release version 2.36.\n",
            ("glibc", "2.36", False),
        ),
        ("usr/local/bin/gcc", b"\x0014.2.0\0(GCC) \0gcc version %s %s\n", ("gcc", "14.2.0", False)),
        ("usr/local/bin/x86_64-linux-gnu-gcc-14.2.0", b"GCC: (GNU) 14.2.0\0", ("gcc", "14.2.0", False)),
        ("usr/sbin/squid", b"\0squid/5.7\0", ("squid", "5.7", False)),
        ("usr/sbin/varnishd", b"\0varnish-7.1.1 revision 7cee1c", ("varnish", "7.1.1", False)),
        ("usr/sbin/mosquitto", b"\x002.0.11\0mosquitto version %s\n", ("mosquitto", "2.0.11", False)),
        ("usr/sbin/proftpd", b"ProFTPD Version 1.3.8b\0", ("proftpd", "1.3.8b", False)),
        ("usr/sbin/sshd", b"OpenSSH_9.2\0OpenSSH_9.2p1 Debian", ("openssh", "9.2p1", False)),
        ("usr/bin/lua5.4", b"$LuaVersion: Lua 5.4.4  Copyright (C) 1994", ("lua", "5.4.4", False)),
        ("root/.deno/bin/deno", b"Exporter-Deno/0.82.0grpc-Deno/2.1.4\0 Deno/2.1.4", ("deno", "2.1.4", False)),
        ("opt/bin/redis-server", b"4.0.11841ce7054bd9-1542359302000000000\0", ("redis", "4.0.11", False)),
        ("opt/bin/redis-server", b"Server started, Redis version 2.8.23", ("redis", "2.8.23", False)),
        ("opt/bin/valkey-server", b"\x008.0.1buildkitsandbox-1702957741000000000\0", ("valkey", "8.0.1", False)),
        ("usr/bin/mysql", b"shutdown\x008.0.37\0\0\0\0mysql_real_escape", ("mysql", "8.0.37", False)),
        ("usr/bin/mysql", b"/build/percona-server-8.0.35-27/sql", ("percona-server", "8.0.35-27", False)),
        ("usr/bin/xtrabackup", b"/percona-xtrabackup-8.0.35/storage", ("percona-xtrabackup", "8.0.35", False)),
        ("usr/bin/arangosh", b"\x003.12.0-2 enterprise [linux] 64bit", ("arangodb", "3.12.0-2", False)),
        ("fluent-bit/bin/fluent-bit", b"\x003.0.2\0%sFluent Bit v%s", ("fluent-bit", "3.0.2", False)),
        ("fluent-bit/bin/fluent-bit", b"\x001.7.0\0\x1b[1m\0%sFluent Bit", ("fluent-bit", "1.7.0", False)),
        ("usr/local/sbin/haproxy", b"HA-Proxy version 1.8.30 2021/01/01", ("haproxy", "1.8.30", False)),
        ("usr/lib/dart/bin/dart", b'Dart,GC"\x003.5.2 (stable) (Wed', ("dart", "3.5.2", False)),
        ("opt/ghc/bin/ghc-9.4.7", b"\0GHC 9.4.7\0", ("haskell/ghc", "9.4.7", False)),
        ("opt/ghc/bin/ghc", b"\0libHSghc-8.10.4-ghc8.10.4.so\0", ("haskell/ghc", "8.10.4", False)),
        ("root/.ghcup/bin/cabal", b"\0Cabal-3.10.3.0-inplace\0", ("haskell/cabal", "3.10.3.0", False)),
        ("usr/local/bin/stack", b"Version 2.15.7, Git revision 7e7f", ("haskell/stack", "2.15.7", False)),
        ("usr/local/bin/swipl", b"/usr/lib/swipl-9.1.22/\0", ("swipl", "9.1.22", False)),
        (
            "usr/local/julia/lib/julia/libjulia-internal.so.1",
            b"__init__\x001.10.4\0verify",
            ("julia", "1.10.4", False),
        ),
        ("usr/bin/sqlcipher", b"\x003.45.3\0x\x004.6.0 community\0", ("sqlcipher", "4.6.0", False)),
        (
            "usr/bin/composer",
            b"<?php 'root' => array('name' => 'composer/composer', 'pretty_version' => '2.8.3',",
            ("composer", "2.8.3", False),
        ),
        ("usr/local/bin/wp", b"#!/usr/bin/env php\nwp-cli/wp-cli 2.9.0", ("wp-cli", "2.9.0", False)),
        ("root/.bun/bin/bun", b"Bun/1.1.38\0", ("bun", "1.1.38", False)),
        ("usr/lib/libstd-0.so", b"/usr/src/rustc-1.63.0/library/core", ("rust", "1.63.0", False)),
        ("var/www/core/lib/Drupal.php", b"<?php  const VERSION = '10.3.10';", ("drupal", "10.3.10", False)),
        ("usr/bin/cat", BASH, None),
        ("etc/init.d/bash", b"#!/bin/sh", None),
        ("usr/local/bin/node", b"node.js/v" * 10_000, None),
    ],
)
def test_a_program_is_told_by_its_name_and_its_version_string(path, text, expected):
    is_text = path.endswith(("VERSION", ".php", "release", "/composer", "/wp"))
    assert generic.parse(text if is_text else b"\x7fELF\0" + text, path) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("program", "package", "arguments", "version"),
    [
        ("bash", "bash", ["--version"], r"version (\d+\.\d+\.\d+)"),
        ("perl", "perl", ["-e", "print substr $^V, 1"], r"(.*)"),
        ("openssl", "openssl", ["version"], r"OpenSSL (\S+)"),
        ("python3", "python3", ["--version"], r"Python (\S+)"),
        ("curl", "curl", ["--version"], r"curl (\S+)"),
        ("busybox", "busybox", [], r"v(\S+)"),
        ("node", "nodejs", ["--version"], r"v(\S+)"),
        ("git", "git", ["--version"], r"git version (\S+)"),
        ("gzip", "gzip", ["--version"], r"gzip (\S+)"),
        ("jq", "jq", ["--version"], r"jq-(\S+)"),
        ("xz", "xz-utils", ["--version"], r"XZ Utils\) (\S+)"),
        ("zstd", "zstd", ["--version"], r" v([\d.]+)"),
        ("getopt", "util-linux", ["--version"], r"util-linux (\S+)"),
        ("gcc", "gcc", ["-dumpfullversion"], r"(.*)"),
        ("sqlite3", "sqlite3", ["--version"], r"(\S+)"),
        ("ruby", "ruby", ["--version"], r"ruby (\S+)"),
        ("php", "php-cli", ["--version"], r"PHP (\S+)"),
    ],
)
def test_real_programs_have_the_version_that_they_print(program, package, arguments, version):
    # What PATH calls python3 may be a script that chooses one (pyenv): the one that runs this test is a program.
    file = Path(sys.executable).resolve() if program == "python3" else tool(program, package)
    printed = subprocess.run([str(file), *arguments], capture_output=True, text=True, check=False).stdout
    expected = re.search(version, printed)
    assert expected
    # A program may be a small launcher of a library: Python with --enable-shared, Debian's sqlite3.
    told = [one for path in (file, *libraries(file)) for one in generic.parse(path.read_bytes(), str(path))]
    assert expected[1] in {found for _, found, _ in told}
    assert {found for name, found, _ in told if name == told[0][0]} == {expected[1]}


def libraries(program: Path) -> list[Path]:
    """Return the libraries of a program that are in the house of the same name, as the loader finds them; none of a static one."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    found = [Path(path).resolve() for path in re.findall(r"=> (/\S+)", told)]
    return [path for path in found if re.match(r"lib(python|sqlite|ruby|node)", path.name)]


def test_real_programs_are_those_that_syft_finds(tmp_path):
    """Syft states each (name, version) once, for all of its files."""
    for name in (
        "bash",
        "curl",
        "getopt",
        "git",
        "gzip",
        "java",
        "jq",
        "node",
        "openssl",
        "perl",
        "python3",
        "xz",
        "zstd",
    ):
        if found := shutil.which(name):
            file = Path(found).resolve()
            (tmp_path / name / "bin").mkdir(parents=True)
            shutil.copy(file, tmp_path / name / "bin" / file.name)
    expected = {(name, version) for name, version, _ in syft_packages(f"dir:{tmp_path}", "binary-classifier-cataloger")}
    ours = {
        (name, version)
        for file in tmp_path.glob("*/bin/*")
        for name, version, _ in generic.parse(file.read_bytes(), str(file.relative_to(tmp_path)))
    }
    assert len(expected) > 3
    assert expected - ours == set()


def test_a_library_of_a_programs_own_version_is_part_of_it():
    evidence = {
        "usr/local/bin/python3.13": generic.FORMAT.extract("usr/local/bin/python3.13", b"\x7fELF\x003.13.1\0"),
        "usr/local/lib/libpython3.13.so.1.0": generic.FORMAT.extract("x/libpython3.13.so.1.0", b"\x7fELF\x003.13.1\0"),
        "opt/lib/libpython3.12.so.1.0": generic.FORMAT.extract("x/libpython3.12.so.1.0", b"\x7fELF\x003.12.8\0"),
    }
    assert generic.FORMAT.places(DictTree({}, {"generic": evidence})) == [
        "usr/local/bin/python3.13",
        "opt/lib/libpython3.12.so.1.0",
    ]


def test_a_launcher_of_java_is_part_of_the_runtime_around_it():
    launcher = elf_file({".rodata": b"openjdk\0java\x0021.0\x0021.0.5+11-LTS\0"})
    release = b'JAVA_VERSION="21.0.5"\n'
    evidence = {
        path: generic.FORMAT.extract(path, content)
        for path, content in (
            ("opt/java/openjdk/bin/java", launcher),
            ("opt/java/openjdk/release", release),
            ("srv/old/bin/java", launcher),
        )
    }
    tree = DictTree({}, {"generic": evidence})
    assert [
        (one.name, one.path) for place in generic.FORMAT.places(tree) for one in generic.FORMAT.read(tree, place)
    ] == [
        ("openjdk", "opt/java/openjdk/release"),
        ("java/jre", "srv/old/bin/java"),
    ]


def audited(path: Path, files: dict[str, bytes | str]) -> Audit:
    oci_dir(path / "image", layers=[files])
    return audit(f"oci-dir:{path / 'image'}")


def test_a_program_that_nothing_recorded_is_a_package_that_owns_its_file(tmp_path):
    found = audited(tmp_path, {"opt/bin/bash": BASH})
    [row] = found.packages.itertuples()
    assert (row.format, row.name, row.version, row.purl) == ("generic", "bash", "5.2.15", "pkg:generic/bash@5.2.15")
    assert row.file_bytes == len(BASH)
    assert row.detail == "told by the version string in this program"
    assert found.files.set_index("path")["package"]["/opt/bin/bash"] == "bash"


def test_a_program_that_a_distribution_recorded_is_not_told_twice(tmp_path):
    status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2\n\n"
    info = {"var/lib/dpkg/status": status, "var/lib/dpkg/info/bash.list": "/bin/bash\n"}
    found = audited(tmp_path, info | {"bin/bash": BASH, "opt/bin/bash": BASH})
    rows = found.packages[["format", "name", "database_path"]].values.tolist()
    assert rows == [["deb", "bash", "/var/lib/dpkg/status"], ["generic", "bash", "/opt/bin/bash"]]
    assert "/bin/bash" not in set(found.databases["database_path"])


def test_a_script_of_a_programs_name_is_not_the_program():
    assert generic.parse(b"#!/bin/sh\n# curl/7.88.1\n", "usr/bin/curl") == []


def test_a_program_that_conda_recorded_is_not_told_twice_whichever_layer_came_first(tmp_path):
    record = {"name": "bash", "version": "5.2.15", "build": "h_0", "files": ["bin/bash"]}
    meta = {"opt/conda/conda-meta/bash-5.2.15-h_0.json": json.dumps(record)}
    oci_dir(tmp_path / "image", layers=[{"opt/conda/bin/bash": BASH}, meta])
    found = audit(f"oci-dir:{tmp_path / 'image'}")
    assert found.packages[["format", "name"]].values.tolist() == [["conda", "bash"]]


def test_a_library_in_a_wheel_has_the_wheel_as_its_parent(tmp_path):
    info = "app/x-1.0.dist-info"
    found = audited(
        tmp_path,
        {
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: x\nVersion: 1.0\n",
            f"{info}/RECORD": f"x.libs/libcrypto-1.so.3,,\n{info}/METADATA,,\n{info}/RECORD,,\n",
            "app/x.libs/libcrypto-1.so.3": b"\x7fELF\0OpenSSL 3.3.2 3 Sep 2024\0",
        },
    )
    rows = found.packages[["format", "name", "version", "parent"]].fillna("").values.tolist()
    assert rows == [["generic", "openssl", "3.3.2", "pypi:x"], ["pypi", "x", "1.0", ""]]


def test_a_program_that_a_later_layer_deleted_leaves_no_row(tmp_path):
    oci_dir(tmp_path / "image", layers=[{"bin/bash": BASH, "opt/bin/bash": BASH}, {"bin/.wh.bash": b""}])
    found = audit(f"oci-dir:{tmp_path / 'image'}")
    assert found.packages["database_path"].tolist() == ["/opt/bin/bash"]
    assert "/bin/bash" not in set(found.databases["database_path"])
    assert found.removed_packages.empty


@given(st.sampled_from([b"", b"\x7fELF"]), st.binary(max_size=300), st.sampled_from(RULES), st.booleans())
def test_any_bytes_give_programs_or_none(prefix, data, rule, has_needle):
    content = prefix + (rule.needle if has_needle else b"") + data
    for glob in rule.globs:
        path = glob.replace("**/", "usr/").replace("?", "3").replace("*", "1")
        for name, version, _ in generic.parse(content, path):
            assert name
            assert re.match(r"\d", version)
