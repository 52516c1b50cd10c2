"""generic, programs that no package manager recorded: told by the version that they themselves print, found in the file.

Official images carry their runtime this way: built from source into /usr/local, outside of the distribution's database.
Source: the programs' own sources, named beside each rule (where `--version` gets its text from).
What is found is a version string in a file of the right name, so `detail` says so; a file that a distribution's package
owns is left out, since that package says better what it is (`only_unrecorded`).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from audit_lib.formats import elf
from audit_lib.formats.base import Broken, Format, Found, Tree
from audit_lib.formats.globs import pattern

_NUMBER = rb"\d{1,4}\.\d{1,5}(?:\.\d{1,5}){0,2}"
_WINDOW = 200
_MAX_TRIES = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """How one program is recognised: files of these names, in them a text around `needle` that `version` matches.

    `needle` is searched for first, since that is ten times as fast as a regular expression; `before` bytes in front of it belong to
    what `version` has to match, whose first group is the version. `is_library` rows give way to those of the program itself.
    `is_text`: the file is a text; all others are executables (ELF), and a script of that name is not the program.
    """

    name: str
    globs: tuple[str, ...]
    needle: bytes
    version: bytes
    before: int = 0
    is_library: bool = False
    is_text: bool = False


_GCC = ("**/gcc", "**/gcc-??", "**/x86_64-*-gcc*", "**/aarch64-*-gcc*")

RULES = (
    # Include/patchlevel.h: PY_VERSION, a constant of its own; the file's name says which minor version to look for
    Rule(
        "python",
        ("**/python", "**/python?", "**/python2.?", "**/python3.?", "**/python3.??"),
        b"\0{minor}.",
        rb"\0({minor}\.\d{1,3}[abrc\d+]{0,6})\0",
    ),
    Rule("python", ("**/libpython*.so*",), b"\0{minor}.", rb"\0({minor}\.\d{1,3}[abrc\d+]{0,6})\0", is_library=True),
    # Where the path of an installation ends in the version (pyenv), linkers keep one text for both, and it ends in the other.
    Rule("python", ("**/libpython*.so*",), b"/{minor}.", rb"/({minor}\.\d{1,3}[abrc\d+]{0,6})\0", is_library=True),
    Rule("python", ("**/python3.?", "**/python3.??"), b"/{minor}.", rb"/({minor}\.\d{1,3}[abrc\d+]{0,6})\0"),
    # pypy/module/sys/version.py
    Rule("pypy", ("**/pypy", "**/pypy3*", "**/libpypy*.so*"), b"[PyPy ", rb"\[PyPy (" + _NUMBER + rb")"),
    # src/node.cc: the default user agent
    Rule("node", ("**/node", "**/nodejs", "**/libnode.so*"), b"node.js/v", rb"node\.js/v(\d+\.\d+\.\d+)"),
    # src/cmd/dist: the file VERSION of the tree
    Rule(
        "go", ("**/go/VERSION", "**/go-*/VERSION"), b"", rb"\Ago(\d+\.\d+(?:\.\d+)?(?:(?:rc|beta)\d+)?)", is_text=True
    ),
    # make/RunTimeVersion: FULL_VERSION in the launcher, behind the names of the launcher
    Rule("java/jre", ("**/bin/java",), b"java\0", rb"java\0[^\0]{0,40}\0{1,8}(?:\d+\.\d+\0{1,8})?(\d[\w.+-]{2,60})\0"),
    Rule("java/jdk", ("**/bin/jdb",), b"java\0", rb"java\0[^\0]{0,40}\0{1,8}(?:\d+\.\d+\0{1,8})?(\d[\w.+-]{2,60})\0"),
    # what `ruby --version` prints, with its patch level (version.c)
    Rule("ruby", ("**/ruby", "**/ruby?.?"), b"ruby ", rb"ruby (\d\.\d{1,2}\.\d{1,2}(?:p\d+)?) \("),
    Rule("ruby", ("**/libruby*.so*",), b"ruby ", rb"ruby (\d\.\d{1,2}\.\d{1,2}(?:p\d+)?) \(", is_library=True),
    # main/main.c: SAPI_PHP_VERSION_HEADER
    Rule(
        "php-cli",
        ("**/php", "**/php?.?"),
        b"X-Powered-By: PHP/",
        rb"X-Powered-By: PHP/(\d+\.\d+\.\d+(?:alpha|beta|RC)?\d*)",
    ),
    Rule(
        "php-fpm", ("**/php-fpm*",), b"X-Powered-By: PHP/", rb"X-Powered-By: PHP/(\d+\.\d+\.\d+(?:alpha|beta|RC)?\d*)"
    ),
    Rule(
        "libphp", ("**/libphp*.so",), b"X-Powered-By: PHP/", rb"X-Powered-By: PHP/(\d+\.\d+\.\d+(?:alpha|beta|RC)?\d*)"
    ),
    # perl.c: the library folder of its own version, compiled in
    Rule("perl", ("**/perl", "**/perl5.*.*"), b"/perl5/", rb"/perl5/(5\.\d{1,2}\.\d{1,2})\b"),
    Rule("perl", ("**/perl", "**/perl5.*.*"), b"/perl/5.", rb"/perl/(5\.\d{1,2}\.\d{1,2})\b"),
    # include/openssl/opensslv.h: OPENSSL_VERSION_TEXT
    Rule(
        "openssl",
        ("**/bin/openssl",),
        b"OpenSSL ",
        rb"OpenSSL (\d\.\d\.\d{1,2}(?:[a-z]{1,2}|-(?:alpha|beta|rc)\d+)?) +\d{1,2} \w{3} \d{4}",
    ),
    Rule(
        "openssl",
        ("**/libcrypto*.so*",),
        b"OpenSSL ",
        rb"OpenSSL (\d\.\d\.\d{1,2}(?:[a-z]{1,2}|-(?:alpha|beta|rc)\d+)?) +\d{1,2} \w{3} \d{4}",
        is_library=True,
    ),
    # libbb/messages.c
    Rule("busybox", ("**/busybox",), b"BusyBox v", rb"BusyBox v(\d+\.\d+\.\d+)"),
    # src/core/nginx.c
    Rule(
        "nginx",
        ("**/nginx", "**/nginx-debug"),
        b"nginx version: ",
        rb"nginx version: [\w-]+/(\d+\.\d+\.\d+(?:\.\d+)?)",
    ),
    # include/ap_release.h: AP_SERVER_BASEVERSION
    Rule("httpd", ("**/httpd", "**/apache2"), b"Apache/", rb"Apache/(2\.\d+\.\d+)"),
    # src/release.c: version, build host and time, whether the sources were changed, and the commit, one after the other
    Rule(
        "redis",
        ("**/redis-server", "**/redis-check-rdb"),
        b"",
        rb"(\d{1,2}\.\d{1,2}\.\d{1,2})(?:[A-Za-z][\w.-]{0,63}-)?\d{10}[01][0-9a-f]{8}\0",
    ),
    # what configure makes PG_VERSION_STR of
    Rule(
        "postgresql", ("**/postgres",), b"PostgreSQL ", rb"PostgreSQL (\d+(?:\.\d+){1,2}(?:(?:alpha|beta|rc)\d+)?)[ \0]"
    ),
    # src/tool_version.h, lib/version.c
    Rule("curl", ("**/curl",), b"curl", rb"curl[ /](\d+\.\d+\.\d+)"),
    Rule("curl", ("**/libcurl*.so*",), b"libcurl/", rb"libcurl/(\d+\.\d+\.\d+)", is_library=True),
    # what version.c leaves for what(1)
    Rule("bash", ("**/bash",), b"@(#)Bash version ", rb"@\(#\)Bash version (\d+\.\d+\.\d+)"),
    # memcached.c: usage() prints PACKAGE " " VERSION
    Rule("memcached", ("**/memcached",), b"memcached ", rb"memcached (\d+\.\d+\.\d+)"),
    # sql/mysqld.cc: server_version
    Rule(
        "mariadb",
        ("**/mariadb", "**/mariadbd", "**/mysqld"),
        b"-MariaDB",
        rb"(?:\A|[^\d.])(\d+\.\d+\.\d+)-MariaDB",
        before=14,
    ),
    Rule("mysql", ("**/mysql", "**/mysqld"), b"/mysql-", rb"/mysql-(\d+\.\d+\.\d+)"),
    # include/haproxy/version.h
    Rule(
        "haproxy",
        ("**/haproxy",),
        b", released 2",
        rb" version (\d+\.\d+(?:\.\d+|-dev\d+))[^\0\n]{0,40}, released",
        before=80,
    ),
    # src/configfile-glue, PACKAGE_DESC
    Rule("lighttpd", ("**/lighttpd",), b"lighttpd/", rb"lighttpd/(\d+\.\d+\.\d+)"),
    # library/std: the producer of its debug information
    Rule("rust", ("**/libstd-*.so", "**/librustc_driver-*.so"), b"rustc version ", rb"rustc version (\d+\.\d+\.\d+)"),
    # Debian's has no debug information, and the folder of its sources in each message
    Rule("rust", ("**/libstd-*.so",), b"/rustc-", rb"/rustc-(\d+\.\d+\.\d+)/library/"),
    # erts: the file OTP_VERSION of a release
    Rule("erlang", ("**/releases/*/OTP_VERSION",), b"", rb"\A(\d+\.\d+(?:\.\d+){0,3})\s*\Z", is_text=True),
    # proftpd's include/version.h; util-linux's include/c.h
    Rule("proftpd", ("**/proftpd",), b"ProFTPD Version ", rb"ProFTPD Version (\d\.\d\.\d{1,2}[a-z]?(?:rc\d)?)"),
    Rule("util-linux", ("**/getopt",), b"util-linux ", rb"util-linux (\d\.\d{1,2}(?:\.\d{1,2})?)\0"),
    # a constant of its own, in programs that link little else
    Rule("gzip", ("**/gzip",), b"\x001.", rb"\0(1\.\d{1,2})\0"),
    Rule("jq", ("**/jq",), b"\x001.", rb"\0(1\.[3-9](?:\.\d{1,2})?)\0"),
    Rule("zstd", ("**/zstd",), b"\0v1.", rb"\0v(1\.\d\.\d{1,2})\0"),
    Rule("xz", ("**/xz",), b"XZ Utils) ", rb"XZ Utils\) (\d\.\d{1,2}\.\d{1,2})"),
    # gcc/version.c, gcc/gcc.c: what -v prints; the compiler's own mark in what it made of itself
    Rule("gcc", _GCC, b"\0gcc version ", rb"\0(\d+\.\d+\.\d+)\0[^\0]{0,80}\0gcc version", before=110),
    Rule("gcc", _GCC, b"GCC: (GNU) ", rb"GCC: \(GNU\) (\d+\.\d+\.\d+)\0"),
    # what git, sshd, squid, varnishd and mosquitto say of themselves to their peers
    Rule("git", ("**/bin/git",), b"git/", rb"git/(\d+\.\d+\.\d+)"),
    Rule("openssh", ("**/sshd",), b"OpenSSH_", rb"OpenSSH_(\d{1,2}\.\d{1,2}(?:\.\d{1,2})?p\d{1,2})"),
    Rule("squid", ("**/squid",), b"squid/", rb"squid/(\d{1,2}\.\d{1,2}(?:\.\d{1,2})?)\0"),
    Rule("varnish", ("**/varnishd",), b"varnish-", rb"varnish-(\d+\.\d+\.\d+) revision"),
    Rule("mosquitto", ("**/mosquitto",), b"\0mosquitto version ", rb"\0(\d+\.\d+\.\d+)\0mosquitto version", before=16),
    # what lua.h puts together as its copyright
    Rule("lua", ("**/lua", "**/lua5.?"), b"Lua 5.", rb"Lua (5\.\d\.\d{1,2})  Copyright"),
    Rule("lua", ("**/liblua*.so*",), b"Lua 5.", rb"Lua (5\.\d\.\d{1,2})  Copyright", is_library=True),
    # the C library itself, where nothing else tells: csu/version.c; musl's VERSION
    Rule("glibc", ("**/libc.so.6", "**/libc-2.*.so"), b" release version 2.", rb" release version (2\.\d{1,3})"),
    Rule("musl", ("**/ld-musl-*.so.1",), b"\x001.", rb"\0(1\.\d\.\d{1,2})\0"),
    # libraries that wheels and tarballs carry beside what needs them: sqlite3.c, deflate.c, xmlparse.c
    Rule("sqlite", ("**/libsqlite3*.so*",), b"\x003.", rb"\0(3\.\d{1,2}\.\d{1,2})\0", is_library=True),
    Rule("sqlite", ("**/sqlite3",), b"\x003.", rb"\0(3\.\d{1,2}\.\d{1,2})\0"),
    Rule(
        "zlib",
        ("**/libz.so*", "**/libz-*.so*"),
        b" deflate 1.",
        rb" deflate (1\.\d{1,2}(?:\.\d{1,2}){0,2}) Copyright",
        is_library=True,
    ),
    Rule("expat", ("**/libexpat*.so*",), b"expat_2.", rb"expat_(2\.\d{1,2}\.\d{1,2})\0", is_library=True),
    # deno's and bun's user agents
    Rule("deno", ("**/deno",), b"Deno/", rb"Deno/(\d+\.\d+\.\d+)"),
    Rule("bun", ("**/bun",), b"Bun/", rb"Bun/(\d+\.\d+\.\d+)"),
    # the file release of a Java runtime, where its launcher says nothing (it gives way to the launcher)
    Rule(
        "java/jre",
        ("**/release",),
        b"JAVA_RUNTIME_VERSION=",
        rb'JAVA_RUNTIME_VERSION="([\w.+-]{1,60})"',
        is_library=True,
        is_text=True,
    ),
    Rule(
        "java/jre", ("**/release",), b"JAVA_VERSION=", rb'JAVA_VERSION="([\w.+-]{1,60})"', is_library=True, is_text=True
    ),
    # core/lib/Drupal.php
    Rule(
        "drupal",
        ("**/core/lib/Drupal.php",),
        b"const VERSION = ",
        rb"const VERSION = '(\d+\.\d+\.\d+[\w.-]{0,20})'",
        is_text=True,
    ),
    # wp-includes/version.php
    Rule(
        "wordpress",
        ("**/wp-includes/version.php",),
        b"$wp_version",
        rb"\$wp_version\s*=\s*'(\d+\.\d+(?:\.\d+)?)'",
        is_text=True,
    ),
)
# Few of many: each executable of an image is asked about.
_BY_BEGINNING = {
    beginning: tuple(rule for rule in RULES if beginning in {posixpath.basename(glob)[:2] for glob in rule.globs})
    for beginning in {posixpath.basename(glob)[:2] for rule in RULES for glob in rule.globs}
}
_MINOR = re.compile(r"(?:lib)?python(\d\.\d{1,2})")
# PEP 3147
_TAG = re.compile(rb"cpython-(3)(\d{1,2})")


def parse(data: bytes, path: str) -> list[tuple[str, str, bool]]:
    r"""Return (name, version, whether it is a library) for each program that a file of this path is recognised as.

    >>> parse(b"\x7fELF @(#)Bash version 5.2.15(1) release GNU", "opt/bin/bash")
    [('bash', '5.2.15', False)]
    >>> parse(b"#!/bin/sh", "opt/bin/bash")
    []
    """
    found: list[tuple[str, str, bool]] = []
    is_executable = data.startswith(elf.MAGIC)
    for rule in _BY_BEGINNING.get(posixpath.basename(path)[:2], ()):
        if rule.is_text is not is_executable and _matches(rule, path):
            version = _version(rule, data, path)
            if version is not None and not any(name == rule.name for name, _, _ in found):
                found.append((rule.name, version, rule.is_library))
    return found


def _matches(rule: Rule, path: str) -> bool:
    return any(pattern(glob).fullmatch(path) for glob in rule.globs)


def _version(rule: Rule, data: bytes, path: str) -> str | None:
    needle, expression = rule.needle, rule.version
    if b"{minor}" in needle:
        minor = _minor(data, posixpath.basename(path))
        if minor is None:
            return None
        needle = needle.replace(b"{minor}", minor)
        expression = expression.replace(b"{minor}", re.escape(minor))
    if not needle:
        match = re.search(expression, data)
        return match[1].decode() if match else None
    place = data.find(needle)
    for _ in range(_MAX_TRIES):
        if place < 0:
            return None
        match = re.match(
            rb"(?s:.*?)" + expression if rule.before else expression,
            data[max(place - rule.before, 0) : place + _WINDOW],
        )
        if match:
            return match[1].decode()
        place = data.find(needle, place + 1)
    return None


def _minor(data: bytes, name: str) -> bytes | None:
    """Return the `3.11` of a Python's version: of the file's name, else of the names that it looks for modules under."""
    said = _MINOR.match(name)
    if said:
        return said[1].encode()
    tagged = _TAG.search(data)
    return tagged[1] + b"." + tagged[2] if tagged else None


def _extract(path: str, content: bytes) -> bytes | None:
    found = parse(content, path)
    return json.dumps(found).encode() if found else None


def _places(tree: Tree) -> Sequence[str]:
    evidence = {path: json.loads(found) for path, found in tree.evidence(FORMAT.name).items()}
    programs = {(name, version) for found in evidence.values() for name, version, is_library in found if not is_library}
    # A library of the very version that stands as a program is part of it.
    return [
        path
        for path, found in evidence.items()
        if any(not is_library or (name, version) not in programs for name, version, is_library in found)
    ]


def _read(tree: Tree, place: str) -> Iterator[Found | Broken]:
    for name, version, is_library in json.loads(tree.evidence(FORMAT.name)[place]):
        folder = name.rpartition("/")[0]
        is_text = any(rule.name == name and rule.is_text and _matches(rule, place) for rule in RULES)
        kind = "text file" if is_text else "library" if is_library else "program"
        yield Found(
            name=name,
            version=version,
            path=place,
            namespace=folder or None,
            detail=f"told by the version string in this {kind}",
        )


def _files(tree: Tree, found: Found) -> Iterable[str] | None:
    del tree
    return [found.path]


FORMAT = Format(
    name="generic",
    globs=(),
    expected=(),
    places=_places,
    read=_read,
    files=_files,
    extract=_extract,
    extract_globs=tuple(sorted({glob for rule in RULES if rule.is_text for glob in rule.globs})),
    extract_magic=elf.MAGIC,
    only_unrecorded=True,
)
