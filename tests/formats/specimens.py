"""An image of a given number of small packages for each format, all of them valid: what tests of every format begin with."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping

from tests import rpms
from tests.elves import elf_file

Files = Mapping[str, bytes]
_STANZA = "Package: p{}\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\nInstalled-Size: 12\n\n"


def _stanzas(numbers: Iterable[int]) -> bytes:
    return "".join(_STANZA.format(number) for number in numbers).encode()


def deb(count: int) -> Files:
    """Return a status file, lists and checksums, and a licence each."""
    files = {"var/lib/dpkg/status": _stanzas(range(count)), "var/lib/dpkg/diversions": b"/usr/bin/a\n/usr/bin/b\np0\n"}
    for number in range(count):
        files[f"var/lib/dpkg/info/p{number}.list"] = f"/.\n/usr\n/usr/bin/p{number}\n".encode()
        files[f"var/lib/dpkg/info/p{number}.md5sums"] = f"{'0' * 32}  usr/bin/p{number}\n".encode()
        files[f"usr/share/doc/p{number}/copyright"] = b"Format: x\n\nLicense: MIT\n"
        files[f"usr/bin/p{number}"] = b"program"
    return files


def distroless(count: int) -> Files:
    """Return one status file and its checksums a package."""
    files = {f"var/lib/dpkg/status.d/p{number}": _stanzas([number]) for number in range(count)}
    sums = {f"var/lib/dpkg/status.d/p{number}.md5sums": b"0" * 32 + b"  usr/bin/p\n" for number in range(count)}
    return files | sums


def apk(count: int) -> Files:
    """Return an installed database with a file each."""
    stanza = "P:p{0}\nV:1.0-r0\nA:x86_64\nI:12\no:p\nL:MIT\nF:usr/bin\nR:p{0}\nZ:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=\n\n"
    return {"lib/apk/db/installed": "".join(stanza.format(number) for number in range(count)).encode()}


def alpm(count: int) -> Files:
    """Return a folder a package."""
    files = {"var/lib/pacman/local/ALPM_DB_VERSION": b"9\n"}
    for number in range(count):
        folder = f"var/lib/pacman/local/p{number}-1.0-1"
        files[f"{folder}/desc"] = f"%NAME%\np{number}\n\n%VERSION%\n1.0-1\n\n%SIZE%\n12\n\n".encode()
        files[f"{folder}/files"] = f"%FILES%\nusr/\nusr/bin/p{number}\n\n".encode()
    return files


def opkg(count: int) -> Files:
    """Return a status file, lists and control files."""
    files = {"usr/lib/opkg/status": _stanzas(range(count))}
    for number in range(count):
        files[f"usr/lib/opkg/info/p{number}.list"] = f"/usr/bin/p{number}\n".encode()
        files[f"usr/lib/opkg/info/p{number}.control"] = b"Package: p\nLicense: MIT\nInstalled-Size: 12\n"
    return files


def rpm(count: int) -> Files:
    """Return a database in SQLite with a file each."""
    files = {"arch": "noarch", "size": [12], "dirnames": ["/usr/bin/"], "dirindexes": [0], "digests": ["aa"]}
    headers = {
        number: rpms.package(f"p{number}", "1.0", "1", basenames=[f"p{number}"], **files)
        for number in range(1, count + 1)
    }
    return {"var/lib/rpm/rpmdb.sqlite": rpms.sqlite(headers)}


def pypi(count: int) -> Files:
    """Return a dist-info folder, each in a site of its own."""
    files = {}
    for number in range(count):
        folder = f"opt/{number}/site-packages/p-1.0.dist-info"
        files[f"{folder}/METADATA"] = f"Metadata-Version: 2.1\nName: p{number}\nVersion: 1.0\nLicense: MIT\n\n".encode()
        files[f"{folder}/RECORD"] = b"p.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
        files[f"{folder}/direct_url.json"] = b'{"url": "https://example.org/p", "dir_info": {"editable": true}}'
    return files


def eggs(count: int) -> Files:
    """Return zipped eggs, each in a folder of its own, and a list of vendored copies."""
    files = {
        f"opt/{number}/p.egg": archive({"EGG-INFO/PKG-INFO": b"Name: p\nVersion: 1.0\n"}) for number in range(count)
    }
    return files | {f"opt/{number}/pip/_vendor/vendor.txt": b"six==1.16.0\n" for number in range(count)}


def npm(count: int) -> Files:
    """Return packages, each in a place of its own."""
    document = '{{"name": "@scope/p{}", "version": "1.0.0", "license": "MIT"}}'
    return {f"opt/{number}/package.json": document.format(number).encode() for number in range(count)}


def maven(count: int) -> Files:
    """Return archives that state what they are, each in a folder of its own."""
    files = {}
    for number in range(count):
        pom = {"META-INF/maven/org.a/p/pom.properties": f"groupId=org.a\nartifactId=p{number}\nversion=1.0\n".encode()}
        inner = archive({**pom, "META-INF/maven/org.a/p/pom.xml": b"<project><version>1.0</version></project>"})
        manifest = b"Manifest-Version: 1.0\nImplementation-Version: 1.0\n\n"
        files[f"opt/{number}/a-1.0.war"] = archive({"META-INF/MANIFEST.MF": manifest, "WEB-INF/lib/p.jar": inner})
        files |= {f"srv/{number}/{path}": content for path, content in pom.items()}
    return files


def gem(count: int) -> Files:
    """Return specifications, each in a folder of its own, with extensions that were built."""
    text = '# stub: p 1.0 ruby lib\n\nGem::Specification.new do |s|\n  s.licenses = ["MIT".freeze]\n  s.files = ["a"]\nend\n'
    files = {f"opt/{number}/specifications/p-1.0.gemspec": text.encode() for number in range(count)}
    built = {f"opt/{number}/extensions/x86_64-linux/3.1.0/p-1.0/gem.build_complete": b"" for number in range(count)}
    return files | built


def composer(count: int) -> Files:
    """Return one installed.json."""
    listed = [{"name": f"v/p{number}", "version": "1.0", "license": ["MIT"]} for number in range(count)]
    stated = [{**one, "install-path": f"../{one['name']}"} for one in listed]
    document = {"packages": stated, "dev-package-names": ["v/p0"]}
    return {"srv/vendor/composer/installed.json": json.dumps(document).encode()}


def conda(count: int) -> Files:
    """Return records, each in an environment of its own."""
    record = {"name": "p", "version": "1.0", "build": "0", "subdir": "noarch", "files": ["bin/p"], "license": "MIT"}
    paths = {"paths": [{"_path": "bin/p", "path_type": "hardlink", "size_in_bytes": 12}]}
    document = json.dumps({**record, "paths_data": paths, "channel": "conda-forge/noarch"}).encode()
    return {f"opt/{number}/conda-meta/p-1.0-0.json": document for number in range(count)}


def nuget(count: int) -> Files:
    """Return applications, each in a folder of its own."""
    document = {
        "targets": {".NETCoreApp,Version=v8.0": {"P/1.0": {"runtime": {"lib/net8.0/P.dll": {}}}}},
        "libraries": {"P/1.0": {"type": "package"}},
    }
    return {f"opt/{number}/app.deps.json": json.dumps(document).encode() for number in range(count)}


def cran(count: int) -> Files:
    """Return packages of R, each in a library of its own."""
    text = b"Package: p\nVersion: 1.0\nLicense: MIT + file LICENSE\nTitle: A\n  title\nBuilt: R 4.2.2; ; 2022-12-09; unix\n"
    return {f"opt/{number}/library/p/DESCRIPTION": text for number in range(count)}


def wordpress(count: int) -> Files:
    """Return plugins of one WordPress."""
    text = b"<?php\n/**\n * Plugin Name: A plugin\n * Version: 1.0\n * License: GPLv2\n */\n"
    return {f"var/www/wp-content/plugins/p{number}/p.php": text for number in range(count)}


def golang(count: int) -> Files:
    """Return executables with Go's build information."""
    info = b"0" * 16 + b"path\ta.org/x\nmod\ta.org/x\tv1.0.0\th1:\ndep\tb.org/y\tv2.0.0\th1:\n" + b"0" * 16
    block = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16) + b"\x06go1.21" + bytes([len(info)]) + info
    return {f"opt/{number}/x": elf_file({".go.buildinfo": block}) for number in range(count)}


def cargo(count: int) -> Files:
    """Return executables with a list of crates."""
    crates = {"packages": [{"name": "p", "version": "1.0.0", "source": "crates.io", "root": True}]}
    content = elf_file({".dep-v0": zlib.compress(json.dumps(crates).encode())})
    return {f"opt/{number}/x": content for number in range(count)}


def generic(count: int) -> Files:
    """Return programs that state their version."""
    content = elf_file({".rodata": b"@(#)Bash version 5.2.15(1) release GNU"})
    return {f"opt/{number}/bash": content for number in range(count)}


def archive(members: Mapping[str, bytes]) -> bytes:
    """Return a zip; same members, same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


# By the name of the format, and what tells one way of keeping packages from another of it.
SPECIMENS: Mapping[str, Callable[[int], Files]] = {
    "deb": deb,
    "deb distroless": distroless,
    "apk": apk,
    "alpm": alpm,
    "opkg": opkg,
    "rpm": rpm,
    "pypi": pypi,
    "pypi eggs": eggs,
    "npm": npm,
    "maven": maven,
    "gem": gem,
    "composer": composer,
    "conda": conda,
    "nuget": nuget,
    "cran": cran,
    "wordpress": wordpress,
    "golang": golang,
    "cargo": cargo,
    "generic": generic,
}
