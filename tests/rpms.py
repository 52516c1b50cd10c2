"""rpm databases for tests: headers and NDB files written byte by byte, packages and roots made by rpm's own tools."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import struct
import subprocess
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from tests.tools import unavailable

NAME, VERSION, RELEASE, EPOCH, SIZE, VENDOR, LICENSE, ARCH = 1000, 1001, 1002, 1003, 1009, 1011, 1014, 1022
STATES, DIGESTS, FLAGS, SOURCE, BASENAMES, DIRNAMES, DIRINDEXES = 1029, 1035, 1037, 1044, 1117, 1118, 1116
OLD_NAMES, ALGORITHM, MODULE = 1027, 5011, 5096
Value = str | bytes | list[str] | list[int]

# One of everything: an epoch, licences of old, a configuration file, a ghost, documentation, a file that may differ, links,
# names that are not ASCII, digests of three kinds, a second vendor, a module, two architectures of one name.
SPECS = {
    "one": """
%define _binary_filedigest_algorithm 8
Name: one
Epoch: 2
Version: 1.5
Release: 3.el9
Summary: one
License: GPLv2+ and MIT
Vendor: Example, Inc.
ModularityLabel: one:1:920240101:9
BuildArch: noarch
%description
one
%package libs
Summary: libs
Vendor: Another
%description libs
libs
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/usr/share/doc/one %{buildroot}/usr/lib/one/a
echo hello > %{buildroot}/usr/bin/one
ln -s one %{buildroot}/usr/bin/uno
ln %{buildroot}/usr/bin/one %{buildroot}/usr/bin/eins
echo conf > %{buildroot}/etc/one.conf
echo doc > %{buildroot}/usr/share/doc/one/README
echo unverified > %{buildroot}/usr/lib/one/a/unverified
echo optional > %{buildroot}/usr/lib/one/optional
touch %{buildroot}/usr/lib/one/empty
echo ü > "%{buildroot}/usr/lib/one/grün und blau"
%files
/usr/bin/*
%config(noreplace) /etc/one.conf
%doc /usr/share/doc/one/README
%ghost /var/log/one.log
%dir /usr/lib/one
%verify(not md5 size mtime) /usr/lib/one/a/unverified
%config(missingok) /usr/lib/one/optional
"/usr/lib/one/grün und blau"
%files libs
/usr/lib/one/empty
""",
    "old": """
%define _binary_filedigest_algorithm 1
Name: old
Version: 1.0~rc1
Release: 1
Summary: old
License: BSD
Vendor: Example, Inc.
%description
old
%install
mkdir -p %{buildroot}/opt/old
for number in $(seq 300); do mkdir %{buildroot}/opt/old/$number; echo $number > %{buildroot}/opt/old/$number/file; done
%files
/opt/old
""",
    "bare": """
%define _binary_filedigest_algorithm 10
Name: bare
Version: 7
Release: 1^git
Summary: bare
License: MIT
%description
bare
%package sub
Version: 8
Epoch: 0
Summary: sub
%description sub
sub
%install
mkdir -p %{buildroot}/usr/share
echo %{_target_cpu} > %{buildroot}/usr/share/bare
echo sub > %{buildroot}/usr/share/sub
%files
/usr/share/bare
%files sub
/usr/share/sub
""",
}


def needs(*tools: str) -> None:
    """Skip the test where a tool is not installed; fail where all tools are required."""
    missing = [f"{tool} is not installed" for tool in tools if shutil.which(tool) is None]
    if "rpm" in tools and os.geteuid():
        missing.append("rpm --root needs root")
    if missing:
        unavailable(", ".join(missing))


def build(folder: Path) -> list[Path]:
    """Return the packages of `SPECS` as rpmbuild makes them."""
    for name, spec in SPECS.items():
        (folder / f"{name}.spec").write_text(spec)
        for target in ("x86_64-linux", "i686-linux") if name == "bare" else ("x86_64-linux",):
            run(
                "rpmbuild",
                "-bb",
                "--quiet",
                f"--target={target}",
                f"--define=_topdir {folder}",
                folder / f"{name}.spec",
            )
    return sorted((folder / "RPMS").rglob("*.rpm"))


def install(root: Path, packages: Iterable[Path], *options: str) -> None:
    """Have rpm install packages into a root."""
    fearless = ("--nodeps", "--force", "--ignorearch", "--noscripts", "--nosignature")
    run("rpm", f"--root={root}", "--dbpath=/var/lib/rpm", "--install", *fearless, *options, *packages)


def query(root: Path, form: str, *, backend: str = "sqlite", folder: str = "/var/lib/rpm") -> list[list[str]]:
    """Return what `rpm -qa` says of a root, a line in `form` each, split at tabs, sorted."""
    told = run(
        "rpm",
        f"--root={root}",
        f"--dbpath={folder}",
        f"--define=_db_backend {backend}",
        "--query",
        "--all",
        f"--qf={form}",
    )
    return sorted(line.split("\t") for line in told.splitlines())


def blobs(database: Path) -> dict[int, bytes]:
    """Return the headers of an rpmdb.sqlite by number, by Python's own SQLite."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as connection:
        return dict(connection.execute("SELECT hnum, blob FROM Packages"))


def header(values: Mapping[int, Value], added: Mapping[int, Value] | None = None, *, is_signed: bool = False) -> bytes:
    """Return a header as a database holds it; `is_signed` puts the values into a region and its digest behind it.

    `added` are the values that rpm adds when it installs: behind the region.
    """
    entries, store = _laid(values)
    behind = dict(added or {})
    if is_signed:
        size = 16 * (len(entries) + 1)
        region = struct.pack(">4I", 63, 7, len(store), 16)
        store += struct.pack(">2IiI", 63, 7, -size, 16)
        entries = [region, *entries]
        image = (
            bytes.fromhex("8eade80100000000") + struct.pack(">2I", len(entries), len(store)) + b"".join(entries) + store
        )
        behind = {269: hashlib.sha1(image).hexdigest(), 273: hashlib.sha256(image).hexdigest()} | behind  # noqa: S324 - rpm's
    more, tail = _laid(behind, len(store))
    entries += more
    return struct.pack(">2I", len(entries), len(store) + len(tail)) + b"".join(entries) + store + tail


def package(name: str, version: str = "1", release: str = "1", **more: Value) -> bytes:
    """Return the header of a package; `more` are values by the tags above, in lower case."""
    tags = {globals()[key.upper()]: value for key, value in more.items()}
    return header({NAME: name, VERSION: version, RELEASE: release} | tags, is_signed=True)


def ndb(headers: Mapping[int, bytes], *, free: int = 0) -> bytes:
    """Return an NDB database; `free` slots are empty in front of the used ones."""
    slots, data = [struct.pack("<4s3I", b"Slot", 0, 0, 0)] * free, b""
    pages = (32 + 16 * (free + len(headers)) + 4095) // 4096
    for number, blob in headers.items():
        start = pages * 256 + len(data) // 16
        head = struct.pack("<4s3I", b"BlbS", number, 1700000000, len(blob)) + blob
        head += bytes(-(len(head) + 12) % 16)
        data += head + struct.pack("<2I4s", zlib.adler32(head), len(blob), b"BlbE")
        slots.append(struct.pack("<4s3I", b"Slot", number, start, (len(head) + 12) // 16))
    used = struct.pack("<4s7I", b"RpmP", 0, 7, pages, 1 + max(headers, default=0), 0, 0, 0) + b"".join(slots)
    rest = (pages * 4096 - len(used)) // 16
    return used + struct.pack("<4s3I", b"Slot", 0, 0, 0) * rest + data


def sqlite(headers: Mapping[int, bytes], *commands: str) -> bytes:
    """Return an rpmdb.sqlite with these headers, in WAL mode as rpm leaves it; `commands` are run at the end."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)")
        connection.executemany("INSERT INTO Packages VALUES (?, ?)", headers.items())
        for command in commands:
            connection.execute(command)
        connection.commit()
        data = connection.serialize()
    return data[:18] + b"\2\2" + data[20:]


def berkeley(path: Path, headers: Mapping[int, bytes], *, page_size: int = 4096, is_big: bool = False) -> bytes:
    """Return a Berkeley DB hash that db5.3_load wrote."""
    order = "big" if is_big else "little"
    pairs = {0: max(headers, default=0).to_bytes(4, order)} | dict(headers)
    lines = ["VERSION=3", "format=bytevalue", "type=hash", f"db_pagesize={page_size}", "HEADER=END"]
    for number, blob in pairs.items():
        lines += [f" {number.to_bytes(4, order).hex()}", f" {blob.hex()}"]
    load = ["db5.3_load", "-c", f"db_lorder={4321 if is_big else 1234}", str(path)]
    subprocess.run(load, input="\n".join([*lines, "DATA=END", ""]), text=True, check=True, capture_output=True)
    return path.read_bytes()


def _laid(values: Mapping[int, Value], start: int = 0) -> tuple[list[bytes], bytes]:
    entries, store = [], b""
    for tag, value in values.items():
        if isinstance(value, str):
            kind, count, data = 6, 1, value.encode() + b"\0"
        elif isinstance(value, bytes):
            kind, count, data = 1, len(value), value
        elif value and isinstance(value[0], int):
            kind, count, data = 4, len(value), struct.pack(f">{len(value)}I", *value)
            store += bytes(-(start + len(store)) % 4)
        else:
            kind, count, data = 8, len(value), b"".join(str(text).encode() + b"\0" for text in value)
        entries.append(struct.pack(">4I", tag, kind, start + len(store), count))
        store += data
    return entries, store


def run(*command: str | Path, is_sure: bool = True) -> str:
    """Return what a tool prints; it has to succeed where that is sure."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 or not is_sure, done.stderr
    return done.stdout
