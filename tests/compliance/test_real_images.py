"""Every check on six kinds of real images, as a table: a check fails where it should and nowhere else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from audit_lib import Audit, audit
from audit_lib.compliance import parse_policy
from tests.compliance.seeded import finding, statuses
from tests.images import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Layer,
    add_blob,
    add_to_index,
    file,
    image_config,
    oci_dir,
    symlink,
)

pytestmark = pytest.mark.real

TODAY = "2026-05-01"
MADE = "2026-04-20T00:00:00Z"
# p pass, F fail, m manual, - not assessable
WORDS = {"p": "pass", "F": "fail", "m": "manual", "-": "not_assessable"}
IMAGES = ("scratch", "busybox", "alpine", "distroless", "slim", "python")
TABLE = """
                           scratch  busybox  alpine  distroless  slim  python
base-age                   p        p        p       p           p     p
base-allowed               m        m        m       m           m     m
binaries-hardened          -        F        -       -           p     p
content-trust              -        -        -       -           -     -
copy-not-add               p        p        p       p           p     p
files-owned                -        p        p       p           p     p
fixed-name                 -        -        -       -           -     -
healthcheck                p        p        p       p           p     p
image-age                  p        p        p       p           p     p
licenses-allowed           -        m        p       m           m     m
malware-scanned            -        -        -       -           -     -
no-empty-passwords         p        p        p       p           p     p
no-file-capabilities       p        p        p       p           p     F
no-old-fixable-vulnerabilities  -   -        -       -           -     -
no-package-manager         p        F        F       p           F     F
no-remote-administration   p        p        p       p           p     p
no-secrets-in-environment  p        p        p       p           p     p
no-secrets-in-files        p        p        p       -           p     p
no-secrets-in-history      p        p        p       p           p     p
no-setuid                  p        p        p       p           F     F
no-shell                   p        F        F       p           F     F
no-unnecessary-packages    -        p        p       p           p     F
no-world-writable          p        p        p       p           p     p
non-root-user              p        p        p       p           p     p
package-records-kept       -        -        p       p           p     p
sbom-attached              -        -        -       -           -     -
scanned                    m        m        m       m           m     m
signature-or-provenance    -        -        -       -           -     -
signed-artifacts           m        m        m       m           m     m
size-budget                p        p        p       p           p     p
supported-distribution     -        -        F       p           p     p
update-not-alone           p        p        p       p           p     p
verified-packages          m        m        m       m           m     m
"""
CONFIG = {"config": {"User": "1000", "Healthcheck": {"Test": ["CMD", "/app"]}}, "created": MADE}


def expected(name: str) -> dict[str, str]:
    """Return what the table says of an image."""
    rows = [line.split() for line in TABLE.strip().splitlines()]
    assert tuple(rows[0]) == IMAGES
    return {row[0]: WORDS[row[1 + IMAGES.index(name)]] for row in rows[1:]}


def of_layers(folder: Path, layers: Sequence[Layer]) -> Audit:
    history = [{"created": MADE, "created_by": "COPY rootfs / # buildkit"} for _ in layers]
    oci_dir(folder, layers=layers, config={**CONFIG, "history": history})
    return audit(f"oci-dir:{folder}", today_utc=TODAY)


def of_tar(folder: Path, tar: Path, config: Mapping[str, Any] = CONFIG) -> Audit:
    """Return the audit of an image of one layer that lies elsewhere: it is linked, not copied."""
    name = (tar.parent / "sha256").read_text().strip()
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "blobs" / "sha256" / name).symlink_to(tar)
    history = [{"created": MADE, "created_by": "debian.sh --arch amd64 out/ bookworm"}]
    facts = image_config([f"sha256:{name}"], {**config, "history": history})
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": add_blob(folder, json.dumps(facts).encode(), OCI_CONFIG),
        "layers": [{"mediaType": OCI_LAYER, "digest": f"sha256:{name}", "size": tar.stat().st_size}],
    }
    add_to_index(folder, [add_blob(folder, json.dumps(manifest).encode(), OCI_MANIFEST)], tag="latest")
    return audit(f"oci-dir:{folder}", today_utc=TODAY)


@pytest.fixture(scope="module")
def busybox() -> bytes:
    """Return the program of Debian's package busybox-static."""
    path = shutil.which("busybox")
    if path is None:
        pytest.skip("no busybox on PATH (Debian's package busybox-static)")
    return Path(path).read_bytes()


def test_a_scratch_image_fails_nothing(tmp_path):
    found = of_layers(tmp_path, [{"app": file(b"\x7fELF no program of ours", mode=0o755)}])
    assert statuses(found) == expected("scratch")


def test_a_busybox_fails_for_its_shell_and_what_it_installs_with(tmp_path, busybox):
    links = {f"bin/{name}": symlink("busybox") for name in ("sh", "ls", "wget", "vi")}
    found = of_layers(tmp_path, [{"bin/busybox": file(busybox, mode=0o755), **links}])
    assert statuses(found) == expected("busybox")


def listed(database: str) -> Iterator[str]:
    """Yield the paths that an apk database lists."""
    folder = ""
    for line in database.splitlines():
        if line.startswith("F:"):
            folder = line[2:]
        elif line.startswith("R:"):
            yield f"{folder}/{line[2:]}"


def test_an_alpine_fails_for_its_shell_its_package_manager_and_its_age(tmp_path, shared_data):
    release = shared_data / "apk" / "3.20.3"
    database = (release / "lib/apk/db/installed").read_text()
    files = {
        **dict.fromkeys(listed(database), file(b"\x7fELF" + bytes(20_000), mode=0o755)),
        "lib/apk/db/installed": database,
        "etc/os-release": (release / "os-release").read_bytes(),
        "bin/sh": symlink("/bin/busybox"),
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
        "etc/shadow": "root:*::0:::::\nnobody:!::0:::::\n",
    }
    found = of_layers(tmp_path, [files])
    assert statuses(found) == expected("alpine")
    assert finding(found, "supported-distribution")["evidence"].startswith(
        "the support of Alpine Linux v3.20 ended on 2026-04-01"
    )


def test_a_distroless_image_of_debian_packages_fails_nothing():
    policy = parse_policy(b"schema: 1\nchecks:\n  healthcheck: {run: false}\n", "policy.yml")
    found = audit("sample:minimal", policy=policy, today_utc="2025-03-01")
    known = {**statuses(found), "healthcheck": "pass"}
    assert known.pop("no-secrets-in-files") == "not_assessable"  # a sample's files are blank
    assert known == {name: status for name, status in expected("distroless").items() if name in known}


def test_a_debian_slim_fails_for_shell_package_manager_and_setuid_files(tmp_path, base_image_tar):
    found = of_tar(tmp_path, base_image_tar)
    assert statuses(found) == expected("slim")
    assert finding(found, "no-setuid")["evidence"].startswith("11 setuid or setgid files: ")
    assert finding(found, "binaries-hardened")["evidence"].startswith("pie: 100.0 % of ")


def test_a_full_debian_with_python_fails_for_its_tools_too(tmp_path, full_image_tar):
    found = of_tar(tmp_path, full_image_tar)
    assert statuses(found) == expected("python")
    assert finding(found, "no-unnecessary-packages")["evidence"].startswith(
        "3 packages of the policy's list: cron, inetutils-telnet, netcat-traditional; 11 compilers and linkers: "
    )
    assert finding(found, "no-file-capabilities")["locations"] == '["/usr/bin/ping"]'
    assert finding(found, "no-secrets-in-files")["evidence"] == "no file with a secret"


def test_hardening_is_told_from_real_programs_that_pass_and_one_that_fails(tmp_path, base_image_tar):
    strict = parse_policy(
        b"schema: 1\nchecks:\n  binaries-hardened: {min_share: 1, features: [pie, canary, fortify]}\n", "p.yml"
    )
    folder = tmp_path / "image"
    of_tar(folder, base_image_tar)
    row = finding(audit(f"oci-dir:{folder}", policy=strict, today_utc=TODAY), "binaries-hardened")
    assert row["status"] == "fail"
    assert row["evidence"].endswith("; the policy asks for 100.0 %")
    assert len(json.loads(row["locations"])) == 50
