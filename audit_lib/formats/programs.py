"""Programs and how they are told: the name of a file, and the version that the program itself prints, as it stands in the file.

Source: the programs' own sources, named beside each rule (where `--version` gets its text from).
"""

from __future__ import annotations

from dataclasses import dataclass

_NUMBER = rb"\d{1,4}\.\d{1,5}(?:\.\d{1,5}){0,2}"


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


_BUILD_ID = rb"(\d{1,2}\.\d{1,2}\.\d{1,2})(?:(?:[A-Za-z][\w.-]{0,63}|[0-9a-f]{12})-)?\d{10}[01][0-9a-f]{8}\0"
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
    # src/release.c: version, build host and time, whether the sources were changed, and the commit, one after the other. A
    # container's host name is twelve digits of its identifier.
    Rule("redis", ("**/redis-server", "**/redis-check-rdb"), b"", _BUILD_ID),
    Rule("redis", ("**/redis-server",), b"Redis version ", rb"Redis version (\d{1,2}\.\d{1,2}\.\d{1,2})"),
    Rule("valkey", ("**/valkey-server", "**/valkey-check-rdb"), b"", _BUILD_ID),
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
    Rule("mysql", ("**/mysql",), b"\0mysql", rb"\0(\d{1,2}\.\d{1,2}\.\d{1,3})\0{1,8}mysql", before=24),
    # the folder of their sources in messages
    Rule(
        "percona-server", ("**/mysql", "**/mysqld"), b"/percona-server-", rb"/percona-server-(\d+\.\d+\.\d+(?:-\d+)?)"
    ),
    Rule(
        "percona-xtradb-cluster",
        ("**/mysql", "**/mysqld"),
        b"/Percona-XtraDB-Cluster-",
        rb"/Percona-XtraDB-Cluster-(\d+\.\d+\.\d+)",
    ),
    Rule("percona-xtrabackup", ("**/xtrabackup",), b"/percona-xtrabackup-", rb"/percona-xtrabackup-(\d+\.\d+\.\d+)"),
    # lib/Rest/Version.cpp
    Rule("arangodb", ("**/arangosh",), b" [linux]", rb"(\d+\.\d+\.\d+(?:-\d+)?) (?:enterprise )?\[linux\]", before=40),
    # include/haproxy/version.h
    Rule(
        "haproxy",
        ("**/haproxy",),
        b", released 2",
        rb" version (\d+\.\d+(?:\.\d+|-dev\d+))[^\0\n]{0,40}, released",
        before=80,
    ),
    Rule("haproxy", ("**/haproxy",), b"HA-Proxy version ", rb"HA-Proxy version (\d+\.\d+(?:\.\d+|-dev\d+))"),
    # src/fluent-bit.c: the banner, its version in front
    Rule(
        "fluent-bit",
        ("**/fluent-bit",),
        b"Fluent",
        rb"\0(\d+\.\d+\.\d+)\0{1,2}(?:\x1b\[1m\0)?(?:%s)?Fluent",
        before=24,
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
    # deno's and bun's user agents; that of a library in deno ends in -Deno
    Rule("deno", ("**/deno",), b"Deno/", rb"(?:\A|[^-])Deno/(\d+\.\d+\.\d+)", before=1),
    Rule("bun", ("**/bun",), b"Bun/", rb"Bun/(\d+\.\d+\.\d+)"),
    # pl-init.c: the folder of its library; runtime/vm/version.cc; compiler/GHC/Version; cabal-install and stack print it
    Rule("swipl", ("**/swipl",), b"swipl-", rb"swipl-(\d+\.\d+\.\d+)/"),
    Rule("dart", ("**/dart",), b" (stable)", rb"\0(\d+\.\d+\.\d+) \(stable\)", before=20),
    Rule("haskell/ghc", ("**/ghc", "**/ghc-*"), b"\0GHC ", rb"\0GHC (\d+\.\d+\.\d+)\0"),
    Rule("haskell/ghc", ("**/ghc", "**/ghc-*"), b"\0libHSghc-", rb"\0libHSghc-(\d+\.\d+\.\d+)-"),
    Rule("haskell/cabal", ("**/cabal",), b"\0Cabal-", rb"\0Cabal-(\d+\.\d+\.\d+(?:\.\d+)?)-"),
    Rule("haskell/stack", ("**/stack",), b", Git revision", rb"Version (\d+\.\d+\.\d+), Git revision", before=24),
    # julia's src/init.c; sqlcipher's shell, beside what SQLite states
    Rule("julia", ("**/libjulia-internal.so*",), b"__init__\0", rb"__init__\0(\d+\.\d+\.\d+)\0verify"),
    Rule("sqlcipher", ("**/sqlcipher",), b"\x004.", rb"\0(4\.\d{1,2}\.\d{1,2})(?: community| enterprise)?\0"),
    # what Composer and WP-CLI keep of their own package within their archive of PHP
    Rule(
        "composer",
        ("**/composer", "**/composer.phar"),
        b"'pretty_version'",
        rb"'pretty_version' => '(\d+\.\d+\.\d+(?:(?:alpha|beta|RC)\d+)?)'",
        is_text=True,
    ),
    Rule("wp-cli", ("**/wp", "**/wp-cli.phar"), b"wp-cli/wp-cli ", rb"wp-cli/wp-cli (\d+\.\d+\.\d+)", is_text=True),
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
