"""CPE 2.3 names by which vulnerability lists may know a package: candidates, best first, never facts.

Nobody assigns CPE names to packages: NVD makes one up when it writes a record. What stands here are the habits that its
records show: the vendor is the project's organisation, or the product's own name, or that with `_project`.
Source of the notation: NISTIR 7695, section 6.2 (formatted string binding).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from audit_lib.formats.base import Found

_MOST = 6
_DISTRIBUTION = {"deb", "apk", "rpm", "alpm", "opkg"}
# (vendor, product) of projects whose NVD name cannot be guessed from the package's; by the package's or its source's name.
_KNOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "apache2": (("apache", "http_server"),),
    "arangodb": (("arangodb", "arangodb"),),
    "bash": (("gnu", "bash"),),
    "bind9": (("isc", "bind"),),
    "binutils": (("gnu", "binutils"),),
    "busybox": (("busybox", "busybox"),),
    "bzip2": (("bzip", "bzip2"),),
    "composer": (("getcomposer", "composer"),),
    "coreutils": (("gnu", "coreutils"),),
    "curl": (("haxx", "curl"),),
    "dart": (("dart", "dart_software_development_kit"),),
    "deno": (("deno", "deno"),),
    "dpkg": (("debian", "dpkg"),),
    "erlang": (("erlang", r"erlang/otp"),),
    "expat": (("libexpat_project", "libexpat"),),
    "fluent-bit": (("treasuredata", "fluent_bit"),),
    "gcc": (("gnu", "gcc"),),
    "git": (("git-scm", "git"),),
    "glibc": (("gnu", "glibc"),),
    "gnupg2": (("gnupg", "gnupg"),),
    "gnutls28": (("gnu", "gnutls"),),
    "go": (("golang", "go"),),
    "gzip": (("gnu", "gzip"),),
    "haproxy": (("haproxy", "haproxy"),),
    "haskell/cabal": (("haskell", "cabal"),),
    "haskell/ghc": (("haskell", "ghc"),),
    "httpd": (("apache", "http_server"),),
    "java": (("oracle", "openjdk"), ("oracle", "jdk")),
    "java/jdk": (("oracle", "jdk"), ("oracle", "openjdk")),
    "java/jre": (("oracle", "jre"), ("oracle", "openjdk")),
    "jq": (("jqlang", "jq"),),
    "julia": (("julialang", "julia"),),
    "krb5": (("mit", "kerberos_5"),),
    "libphp": (("php", "php"),),
    "libxml2": (("xmlsoft", "libxml2"),),
    "libxslt": (("xmlsoft", "libxslt"),),
    "linux": (("linux", "linux_kernel"),),
    "mariadb": (("mariadb", "mariadb"),),
    "memcached": (("memcached", "memcached"),),
    "musl": (("musl-libc", "musl"),),
    "mysql": (("oracle", "mysql"),),
    "ncurses": (("gnu", "ncurses"),),
    "nginx": (("f5", "nginx"), ("nginx", "nginx")),
    "node": (("nodejs", "node.js"),),
    "nodejs": (("nodejs", "node.js"),),
    "openjdk": (("oracle", "openjdk"),),
    "openssh": (("openbsd", "openssh"),),
    "openssl": (("openssl", "openssl"),),
    "pam": (("linux-pam", "linux-pam"),),
    "percona-server": (("percona", "percona_server"),),
    "percona-xtrabackup": (("percona", "xtrabackup"),),
    "percona-xtradb-cluster": (("percona", "xtradb_cluster"),),
    "perl": (("perl", "perl"),),
    "php": (("php", "php"),),
    "php-cli": (("php", "php"),),
    "php-fpm": (("php", "php"),),
    "postgresql": (("postgresql", "postgresql"),),
    "python": (("python", "python"), ("python_software_foundation", "python")),
    "redis": (("redis", "redis"), ("redislabs", "redis")),
    "ruby": (("ruby-lang", "ruby"),),
    "rust": (("rust-lang", "rust"),),
    "sqlcipher": (("zetetic", "sqlcipher"),),
    "sqlite": (("sqlite", "sqlite"),),
    "sqlite3": (("sqlite", "sqlite"),),
    "stdlib": (("golang", "go"),),
    "sudo": (("sudo_project", "sudo"),),
    "systemd": (("systemd_project", "systemd"),),
    "tar": (("gnu", "tar"),),
    "util-linux": (("kernel", "util-linux"),),
    "valkey": (("lfprojects", "valkey"),),
    "vim": (("vim", "vim"),),
    "wget": (("gnu", "wget"),),
    "wp-cli": (("wp-cli", "wp-cli"),),
    "xz": (("tukaani", "xz"),),
    "xz-utils": (("tukaani", "xz"),),
    "zlib": (("zlib", "zlib"),),
    "zulu": (("azul", "zulu"),),
}
_VERSIONED = re.compile(r"(python|postgresql|openssl|php|ruby|perl|node|mariadb|mysql|golang|openjdk)-?\d[\d.]*")


def candidates(form: str, found: Found) -> tuple[str, ...]:
    r"""Return at most six CPE 2.3 names, none where the version is not stated.

    The version is that of the project: a distribution's epoch and revision are left out, since NVD counts without them.

    >>> candidates("deb", Found(name="libcurl4", version="7.88.1-10+deb12u8", path="", source_name="curl"))[0]
    'cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*'
    >>> candidates("golang", Found(name="github.com/docker/cli", version="v24.0.1+incompatible", path=""))
    ('cpe:2.3:a:docker:cli:24.0.1\\+incompatible:*:*:*:*:*:*:*',)
    """
    version = _version(form, found.version or "")
    if not version:
        return ()
    pairs = dict.fromkeys(
        (vendor.lower(), product.lower()) for vendor, product in _pairs(form, found) if vendor and product
    )
    return tuple(f"cpe:2.3:a:{_bound(vendor)}:{_bound(product)}:{version}:*:*:*:*:*:*:*" for vendor, product in pairs)[
        :_MOST
    ]


def _pairs(form: str, found: Found) -> Iterator[tuple[str, str]]:
    name = found.name
    if form == "golang" and name != "stdlib":
        host, _, rest = name.partition("/")
        parts = rest.split("/")
        if "." in host and len(parts) > 1:
            yield parts[0], parts[1]
        elif rest:
            yield parts[0], parts[0]
        return
    for known in _names(form, found):
        yield from _KNOWN.get(known, ())
    if form == "maven":
        group = (found.namespace or "").split(".")
        vendors = [
            part for part in group if part not in {"com", "org", "io", "net", "github", "gitlab", "de", "eu", "me"}
        ]
        product = name.rpartition(":")[2]
        if vendors:
            yield vendors[0], product
            yield vendors[0], vendors[-1]
        yield product, product
        return
    if form in {"npm", "composer"}:
        scope, slash, short = name.rpartition("/")
        yield scope.removeprefix("@") if slash else short, short
        yield f"{short}_project", short
        return
    for product in _names(form, found):
        yield from _plain(form, product.rpartition("/")[2])


def _names(form: str, found: Found) -> Iterable[str]:
    """Return what the project may be called: a distribution's source package first, then the package."""
    names = [found.source_name, found.name] if form in _DISTRIBUTION else [found.name]
    for name in names:
        if name:
            versioned = _VERSIONED.fullmatch(name)
            yield versioned[1] if versioned else name


def _plain(form: str, product: str) -> Iterator[tuple[str, str]]:
    yield product, product
    yield f"{product}_project", product
    if form == "pypi":
        yield f"python-{product}", f"python-{product}"
    if "-" in product:
        yield product.replace("-", "_"), product.replace("-", "_")


def _version(form: str, version: str) -> str:
    if form in _DISTRIBUTION:
        version = version.partition(":")[2] if version.partition(":")[0].isdigit() else version
        version = version.rpartition("-")[0] or version
    elif form == "golang":
        version = version.removeprefix("v").removeprefix("go")
    return _bound(version.lower())


def _bound(text: str) -> str:
    """Return text as a formatted string holds it: all but letters, digits and `._-` behind a backslash."""
    return re.sub(r"([^A-Za-z0-9._-])", r"\\\1", text) if text != "-" else r"\-"
