"""Real images of several hundred megabytes: built once from Debian packages, kept outside the checkout.

Where: `AUDIT_TEST_CACHE`, else `audit-lib-tests` in the user's cache folder. Removing that folder is always safe.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors

from tests.images import layer_tar

CACHE = Path(
    os.environ.get("AUDIT_TEST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "audit-lib-tests"
)

# Of unpacked packages, those that the tool does not need go again, and each other leaves its record as in distroless images.
_RECORDS = (
    'cd "$1"; mkdir -p var/lib/dpkg/status.d; '
    "for deb in var/cache/apt/archives/*.deb; do "
    'name=$(dpkg-deb --field "$deb" Package); record="var/lib/dpkg/status.d/$name"; '
    "case $name in "
    "dpkg|tar|mawk|debconf|fontconfig) dpkg-deb --fsys-tarfile \"$deb\" | tar --list | grep -v '/$' | xargs rm --force;; "
    '*) dpkg-deb --field "$deb" > "$record"; dpkg-deb --ctrl-tarfile "$deb" | tar --extract --to-stdout ./md5sums '
    '> "$record.md5sums" || rm "$record.md5sums";; '
    "esac; done; "
    "cd var/lib/dpkg; rm --recursive --force status arch info updates triggers alternatives"
)

# The commands as Debian's users would type them; the last word, the tar's path, is added below.
DEBIAN: Mapping[str, tuple[str, ...]] = {
    "full": (
        "mmdebstrap",
        "--variant=standard",
        "--include=python3,python3-pip,curl,git,gcc,nodejs,npm",
        "bookworm",
    ),
    "base": (
        "mmdebstrap",
        "--variant=minbase",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        "--include=usr-is-merged",
        "bookworm",
    ),
    "languages": (
        "mmdebstrap",
        "--variant=minbase",
        "--include=ruby,ruby-rack,ruby-nokogiri,bundler,composer,php-cli,php-pear",
        "--include=maven,libcommons-lang3-java,libcommons-io-java,libguava-java,liblog4j2-java",
        "--include=skopeo,python3-pip,python3-setuptools",
        "bookworm",
    ),
    # An application's full base, and what it may be moved to: unpacked packages, no shell, no accounts, no certificates.
    "application": ("mmdebstrap", "--variant=minbase", "--include=python3,ca-certificates,tzdata,musl", "bookworm"),
    "only-glibc": ("mmdebstrap", "--variant=extract", "--include=libc6,base-files", "bookworm"),
    "only-older-glibc": ("mmdebstrap", "--variant=extract", "--include=libc6,base-files", "bullseye"),
    "only-musl": ("mmdebstrap", "--variant=extract", "--include=musl,busybox-static", "bookworm"),
    "only-python": ("mmdebstrap", "--variant=extract", "--include=python3,base-files", "bookworm"),
    "tool": (
        "mmdebstrap",
        "--variant=extract",
        "--include=python3,base-files,libstdc++6,libpango-1.0-0,libpangoft2-1.0-0,fonts-dejavu-core",
        f"--extract-hook={_RECORDS}",
        "bookworm",
    ),
    "only-newer-python": ("mmdebstrap", "--variant=extract", "--include=python3,base-files", "trixie"),
}

FULL = "audit-test/full:latest"
FULL_BASE = "audit-test/full-base"
LABEL = "audit-test.content"

# Over the import come one layer that adds a file and overwrites one, and one that only removes.
DOCKERFILE = """
FROM {base}
LABEL {label}={content}
ENV LANG=C.UTF-8
COPY added/ /
RUN rm -rf /usr/share/man/de /usr/share/doc/git /etc/issue
CMD ["python3"]
"""
ADDED = {"added/opt/audit-test/hello.txt": "hello\n", "added/etc/motd": "This file was overwritten.\n"}


class UnavailableError(Exception):
    """A tool that builds the real images is not here, or failed; the message says which and why."""


def debian_tar(name: str) -> Path:
    """Return a root file system of Debian packages as a tar, "full" (833 MB, a minute or two) or "base"."""
    command = DEBIAN[name]

    def build(made: Path) -> None:
        made.mkdir()
        run([*command, str(made / "root.tar")])
        with (made / "root.tar").open("rb") as tar:
            (made / "sha256").write_text(hashlib.file_digest(tar, "sha256").hexdigest())

    return kept(CACHE / f"debian-{name}-{_short(*command)}", build) / "root.tar"


def load_full_image(client: docker.DockerClient) -> str:
    """Have the full image in an engine, with its tag, and return the tag. Both engines get the same image."""
    with locked(CACHE / "full-image"):
        try:
            if client.images.get(FULL).labels.get(LABEL) == _content():
                return FULL
        except docker.errors.ImageNotFound:
            pass
        archive = _saved() / "docker-archive.tar"
        if archive.exists():
            with archive.open("rb") as saved:
                client.images.load(saved)
        else:
            _build_full_image(client)
    return FULL


def saved_full_image(client: docker.DockerClient) -> Path:
    """Return the full image as `docker save` writes it."""
    tag = load_full_image(client)

    def build(made: Path) -> None:
        with made.open("wb") as saved:
            saved.writelines(client.api.get_image(tag))

    return kept(_saved() / "docker-archive.tar", build)


def oci_full_image(archive: Path) -> Path:
    """Return a saved image as an OCI layout with gzip layers, written by skopeo; its tag is `latest`."""

    def build(made: Path) -> None:
        run(["skopeo", "copy", "--quiet", "--insecure-policy", f"docker-archive:{archive}", f"oci:{made}:latest"])

    return kept(archive.parent / "oci-dir", build)


def packed_full_image(layout: Path) -> Path:
    """Return an OCI layout as an OCI archive, written by skopeo; its tag is `latest`."""

    def build(made: Path) -> None:
        source, target = f"oci:{layout}:latest", f"oci-archive:{made}:latest"
        run(["skopeo", "copy", "--quiet", "--insecure-policy", source, target])

    return kept(layout.parent / "oci-archive.tar", build)


def kept(path: Path, build: Callable[[Path], None]) -> Path:
    """Return a path in the cache, built unless it is there: by one process, while others wait, and never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as scratch:
                made = Path(scratch) / path.name
                build(made)
                made.rename(path)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that belongs to a path; a process that dies lets go of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str]) -> None:
    """Run a tool to its end; raise `UnavailableError` with its last words where that fails."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise UnavailableError(f"{command[0]} is not installed") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise UnavailableError(f"{command[0]} failed ({done.returncode}): {last}")


def _build_full_image(client: docker.DockerClient) -> None:
    base = f"{FULL_BASE}:{_content()}"
    client.api.import_image_from_file(str(debian_tar("full")), repository=FULL_BASE, tag=_content())
    dockerfile = DOCKERFILE.format(base=base, label=LABEL, content=_content())
    context = io.BytesIO(layer_tar({"Dockerfile": dockerfile, **ADDED}))
    client.images.build(
        fileobj=context, custom_context=True, tag=FULL, network_mode="none", rm=True, forcerm=True, nocache=True
    )


def _saved() -> Path:
    return CACHE / f"full-image-{_content()}"


def _content() -> str:
    root = debian_tar("full")
    return _short((root.parent / "sha256").read_text(), DOCKERFILE, *ADDED, *ADDED.values())


def _short(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
