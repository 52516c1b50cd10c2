"""The two sample images, made from Debian packages: `python -m tests.samples` (as root, with mmdebstrap; `make samples`).

`full`: a Debian 12 with python3, pip and curl as users build it, layer by layer, and a small web application on top.
`minimal`: the same application and the same Python, distroless-style: no shell, no package manager, one file a package
under `status.d`, a user of its own.

File trees, sizes, modes, owners, links and package databases are real. All other contents are blanked: zero bytes of the
same length behind the first four, so that an image of 190 MB packs into a few hundred kilobytes and every table that is
made of an image stays what it was. Descriptions of packages, texts of licences and checksums are blanked in place too.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import zstandard

from tests.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, add_blob, add_to_index, digest, image_config, oci_archive

TARGET = Path(__file__).parents[1] / "audit_lib" / "samples"
MADE = "2025-01-01T00:00:00Z"
MTIME = 1_735_689_600
# A window that the reader accepts (128 MiB), so that zeros and repeated headers are found wherever they lie.
PACKING = {"window_log": 27, "level": 19}

WHEELS = (
    "flask==3.1.0", "werkzeug==3.1.3", "jinja2==3.1.5", "markupsafe==3.0.2", "itsdangerous==2.2.0", "click==8.1.8",
    "blinker==1.9.0",
    "requests==2.32.3", "urllib3==2.3.0", "idna==3.10", "certifi==2024.12.14", "charset-normalizer==3.4.1",
)  # fmt: skip
MINIMAL_LAYERS = {
    "base": ("base-files", "netbase", "media-types", "tzdata", "ca-certificates"),
    "libraries": (
        "libc6", "gcc-12-base", "libgcc-s1", "libcrypt1", "zlib1g", "libbz2-1.0", "liblzma5", "libexpat1", "libffi8",
        "libssl3", "libuuid1", "libsqlite3-0", "libdb5.3", "libnsl2", "libtirpc3", "libtirpc-common", "libcom-err2",
        "libgssapi-krb5-2", "libkrb5-3", "libkrb5support0", "libk5crypto3", "libkeyutils1",
    ),
    "python": ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
}  # fmt: skip
APPLICATION = {
    "app/app.py": 'from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get("/")\ndef hello() -> str:\n    return "hello"\n',
    "app/requirements.txt": "flask\nrequests\n",
}

# What the readers of package databases look at is kept; of some only as much as they look at.
_KEPT = re.compile(
    r"var/lib/dpkg/(status|diversions|status\.d/[^/]+|info/[^/]+\.list)|(usr/lib|etc)/os-release|etc/(passwd|group)"
    r"|.*\.(dist|egg)-info/(METADATA|PKG-INFO|RECORD|installed-files\.txt|top_level\.txt)|app/.*"
)
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright")
_LICENSE_LINES = re.compile(r"(\s*Format(-Specification)?:.*|License:[ \t]*\S.*)", re.IGNORECASE)
_MAGIC = (b"\x7fELF", b"!<ar")


def blank(path: str, data: bytes) -> bytes:
    """Return contents of the same length that keep what package databases state and what a file's first bytes tell."""
    if path.endswith(".md5sums"):
        return re.sub(rb"(?m)^[0-9a-f]{32}", b"0" * 32, data)
    if path.endswith("/RECORD"):
        return re.sub(rb"sha256=[A-Za-z0-9_=-]+", lambda match: b"sha256=" + b"A" * (len(match[0]) - 7), data)
    if path.endswith(("/METADATA", "/PKG-INFO")):
        head, separator, body = data.partition(b"\n\n")
        return head + separator + _dots(body)
    if _COPYRIGHT.fullmatch(path):
        return b"".join(_license_line(line) for line in data.split(b"\n")).removesuffix(b"\n")
    if _KEPT.fullmatch(path):
        return re.sub(rb"(?m)^Description(-[a-z]+)?: .*\n( .*\n)*", lambda match: _dots(match[0], keep=13), data)
    keep = 4 if data.startswith(_MAGIC) else 2 if data.startswith(b"#!") else 0
    return data[:keep] + bytes(len(data) - keep)


def blanked(tar: bytes) -> bytes:
    """Return a layer tar whose files' contents are blanked; members sorted, times fixed, nothing else changed."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as source,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        # Hard links last: the name that they point to must be there.
        for member in sorted(source, key=lambda member: (member.islnk(), member.name)):
            data = source.extractfile(member).read() if member.isreg() else b""  # type: ignore[union-attr]
            name = member.name.removeprefix("./")
            member.mtime, member.uname, member.gname = MTIME, "", ""
            member.pax_headers = {
                key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")
            }
            target.addfile(member, io.BytesIO(blank(name, data)))
    return out.getvalue()


def make(target: Path = TARGET) -> None:
    """Write `full.tar` and `minimal.tar`: OCI archives with one image each, layers zstd."""
    with tempfile.TemporaryDirectory(prefix="audit-samples-") as folder:
        work = Path(folder)
        wheels = _wheels(work)
        full = _full_layers(work, wheels)
        minimal = _minimal_layers(work, wheels)
        _write(target / "full.tar", full, work / "full", {
            "User": "", "ExposedPorts": {"8000/tcp": {}}, "WorkingDir": "/app",
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FLASK_APP=app"],
            "Cmd": ["/bin/sh", "-c", "python3 -m flask run --host 0.0.0.0 --port 8000"],
        })  # fmt: skip
        _write(target / "minimal.tar", minimal, work / "minimal", {
            "User": "65532:65532", "ExposedPorts": {"8000/tcp": {}}, "WorkingDir": "/app",
            "Env": ["PATH=/usr/local/bin:/usr/bin", "FLASK_APP=app", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "Entrypoint": ["/usr/bin/python3.11", "-m", "flask", "run", "--host", "0.0.0.0", "--port", "8000"],  # noqa: S104
        })  # fmt: skip


def _full_layers(work: Path, wheels: Path) -> list[tuple[str, bytes]]:
    """Build a Debian step by step and return what each step changed, as layers."""
    root = work / "root"
    steps = work / "steps"
    steps.mkdir()
    hook = work / "hook.sh"
    # The chroot directory is what keeps apt from installing into the machine that this runs on.
    # Snapshots are taken while mmdebstrap's own apt can still install into the root. tar's 1: /sys changed meanwhile.
    # apt's own cache is deleted because the official image tells apt not to keep one; lists and archives are what users leave.
    hook.write_text(f"""#!/bin/sh
set -eu
snapshot() {{
  tar --create --numeric-owner --xattrs --xattrs-include='*' --one-file-system \\
    --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* --exclude=./tmp/* \\
    --directory "$1" --file "{steps}/$2.tar" . || [ $? -eq 1 ]
}}
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
mkdir -p "{work}/debs"
(cd "{work}/debs" && apt-get download --quiet {" ".join(name for names in MINIMAL_LAYERS.values() for name in names)})
cp -a "$1/var/lib/apt/lists" "{work}/lists"
find "$1/var/lib/apt/lists" "$1/var/cache/apt" -type f -delete
snapshot "$1" 1
cp -a "{work}/lists/." "$1/var/lib/apt/lists/"
export DEBIAN_FRONTEND=noninteractive
apt-get --yes --quiet --no-install-recommends -oDPkg::Chroot-Directory="$1" install python3 python3-pip curl ca-certificates
find "$1/var/cache/apt" -name '*pkgcache.bin' -delete
for list in "$1"/var/lib/apt/lists/*_dists_*; do mv "$list" "$1/var/lib/apt/lists/mirror.example_${{list#*/lists/*_}}"; done
snapshot "$1" 2
cp -a "{wheels}/usr" "$1/"
snapshot "$1" 3
find "$1/var/lib/apt/lists" -type f -delete
find "$1/var/cache/apt" -name '*.deb' -delete
snapshot "$1" 4
""")
    hook.chmod(0o755)
    subprocess.run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
         "--include=usr-is-merged",
         "--skip=cleanup", "--format=directory", f'--customize-hook={hook} "$1"', "bookworm", str(root)],
        check=True, stdout=sys.stderr,
    )  # fmt: skip
    said = (
        "debian.sh --arch 'amd64' out/ 'bookworm'",
        "RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends python3 python3-pip curl ca-certificates",
        f"RUN /bin/sh -c pip install {' '.join(WHEELS[:1])} {WHEELS[7]}",
        "RUN /bin/sh -c rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb",
    )
    layers = []
    before: dict[str, tuple[Any, ...]] = {}
    for number, created_by in enumerate(said, 1):
        layer, before = _changes(steps / f"{number}.tar", before)
        layers.append((created_by, blanked(layer)))
    layers.append(("COPY app /app", blanked(_packed(APPLICATION, {}))))
    with tarfile.open(steps / "4.tar") as last:
        (work / "bundle.crt").write_bytes(last.extractfile("./etc/ssl/certs/ca-certificates.crt").read())  # type: ignore[union-attr]
    return layers


def _minimal_layers(work: Path, wheels: Path) -> list[tuple[str, bytes]]:
    """Unpack packages without a package manager, as the builders of distroless images do."""
    layers = []
    for number, (name, packages) in enumerate(MINIMAL_LAYERS.items()):
        root = work / f"minimal-{name}"
        status = root / "var/lib/dpkg/status.d"
        status.mkdir(parents=True)
        for package in packages:
            deb = next((work / "debs").glob(f"{package}_*.deb"))
            subprocess.run(["dpkg-deb", "--extract", deb, root], check=True)
            control = work / "control" / package
            control.parent.mkdir(exist_ok=True)
            subprocess.run(["dpkg-deb", "--control", deb, control], check=True)
            shutil.copy(control / "control", status / package)
            if (control / "md5sums").exists():
                shutil.copy(control / "md5sums", status / f"{package}.md5sums")
        for unused in (
            "usr/share/man",
            "usr/share/lintian",
            "usr/share/bug",
            "usr/share/doc-base",
            "usr/sbin",
            "sbin",
            "usr/share/applications",
        ):
            shutil.rmtree(root / unused, ignore_errors=True)
        for document in [*root.glob("usr/share/doc/*/*")]:
            if document.name != "copyright" and not document.is_dir():
                document.unlink(missing_ok=True)  # the folder may be a link to another one
        if number == 0:
            _base_files(root, work)
        layers.append((f"bazel build ... ({', '.join(packages[:3])} …)", blanked(_tree(root))))
    layers.append(("bazel build ... (application's wheels)", blanked(_tree(wheels))))
    layers.append(("bazel build ... (application)", blanked(_packed(APPLICATION, {"uid": 65532, "gid": 65532}))))
    return layers


def _base_files(root: Path, work: Path) -> None:
    for name, text in {
        "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
        "etc/group": "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n",
        "etc/nsswitch.conf": "hosts: files dns\n",
    }.items():
        (root / name).write_text(text)
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes((work / "bundle.crt").read_bytes())
    home = root / "home/nonroot"
    home.mkdir(parents=True, exist_ok=True)
    os.chown(home, 65532, 65532)
    home.chmod(0o700)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)


def _wheels(work: Path) -> Path:
    """Return a tree with the wheels installed where pip puts them on Debian."""
    site = work / "wheels/usr/local/lib/python3.11/dist-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:",
         "--python-version=3.11",
         "--platform=manylinux2014_x86_64", f"--target={site}", *WHEELS],
        check=True, stdout=sys.stderr,
    )  # fmt: skip
    (site / "bin").rename(work / "wheels/usr/local/bin")
    # pip's RECORD names scripts relative to --target; installed the usual way they lie three folders up.
    for record in site.glob("*.dist-info/RECORD"):
        record.write_text(re.sub(r"(?m)^bin/", "../../../bin/", record.read_text()))
    return work / "wheels"


def _changes(snapshot: Path, before: Mapping[str, tuple[Any, ...]]) -> tuple[bytes, dict[str, tuple[Any, ...]]]:
    """Return a layer tar of what a snapshot has otherwise than before, and the snapshot's facts."""
    after: dict[str, tuple[Any, ...]] = {}
    out = io.BytesIO()
    with tarfile.open(snapshot) as source, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for member in source:
            name = member.name.removeprefix("./").rstrip("/")
            if name in {"", ".", "etc/resolv.conf", "etc/hostname"}:
                continue
            data = source.extractfile(member).read() if member.isreg() else b""  # type: ignore[union-attr]
            after[name] = (member.type, member.mode, member.uid, member.gid, member.linkname, digest(data))
            if before.get(name) != after[name]:
                member.name, member.linkname = (
                    name,
                    member.linkname.removeprefix("./") if member.islnk() else member.linkname,
                )
                target.addfile(member, io.BytesIO(data))
        gone = sorted(set(before) - set(after))
        for name in [name for name in gone if not any(name.startswith(f"{other}/") for other in gone)]:
            folder, _, last = name.rpartition("/")
            target.addfile(tarfile.TarInfo(f"{folder}/.wh.{last}"))
    return out.getvalue(), after


def _tree(root: Path) -> bytes:
    """Return a folder as a layer tar, owners as they are, without the folder itself."""
    out = io.BytesIO()
    first: dict[int, str] = {}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for path in sorted(root.rglob("*")):
            member = target.gettarinfo(str(path), arcname=str(path.relative_to(root)))
            if stat.S_ISREG(path.lstat().st_mode) and not member.islnk():
                first[path.lstat().st_ino] = member.name
            target.addfile(member, path.open("rb") if member.isreg() else None)
    return out.getvalue()


def _packed(files: Mapping[str, str], facts: Mapping[str, int]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for name in sorted({str(parent) for path in files for parent in Path(path).parents if str(parent) != "."}):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.gid = (
                tarfile.DIRTYPE,
                0o755,
                facts.get("uid", 0),
                facts.get("gid", 0),
            )
            target.addfile(member)
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.uid, member.gid = len(text.encode()), facts.get("uid", 0), facts.get("gid", 0)
            target.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def _write(target: Path, layers: Iterable[tuple[str, bytes]], folder: Path, config: Mapping[str, Any]) -> None:
    layers = list(layers)
    history = [{"created": MADE, "created_by": created_by} for created_by, _ in layers]
    history += [
        {"created": MADE, "created_by": f"{name.upper()} {json.dumps(value)}", "empty_layer": True}
        for name, value in config.items()
        if value
    ]
    facts = image_config(
        [digest(tar) for _, tar in layers],
        {
            "created": MADE,
            "history": history,
            "config": {
                **config,
                "Labels": {
                    "org.opencontainers.image.description": "A sample: real file tree, sizes and package databases, blank contents."
                },
            },
        },
    )
    parameters = zstandard.ZstdCompressionParameters.from_level(
        PACKING["level"], window_log=PACKING["window_log"], enable_ldm=True
    )
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": add_blob(folder, _document(facts), OCI_CONFIG),
        "layers": [add_blob(folder, packer.compress(tar), f"{OCI_LAYER}+zstd") for _, tar in layers],
    }
    add_to_index(folder, [add_blob(folder, _document(manifest), OCI_MANIFEST)], tag="latest")
    for path in folder.rglob("*"):
        os.utime(path, (MTIME, MTIME))
        path.chmod(0o755 if path.is_dir() else 0o644)
    oci_archive(target, folder)


def _document(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _license_line(line: bytes) -> bytes:
    """Return a line of a copyright file with no more left than its licence's name, or the path of its text."""
    if _LICENSE_LINES.match(line.decode("utf-8", "replace")):
        return line + b"\n"
    parts = re.split(rb"(/usr/share/common-licenses/[A-Za-z0-9.+-]+)", line)
    return b"".join(part if number % 2 else _dots(part) for number, part in enumerate(parts)) + b"\n"


def _dots(data: bytes, *, keep: int = 0) -> bytes:
    """Return the same number of lines of the same length, of dots; the first letters kept."""
    return data[:keep] + re.sub(rb"[^\n ]", b".", data[keep:])


if __name__ == "__main__":
    make()
