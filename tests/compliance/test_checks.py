"""Every check on an image that fails it and on one that passes it; no image fails a check that it should not.

The clean image is made of real Debian packages (`seeded`); each seed is the clean image and one fault. What no files tell (who
signs, how it is deployed) is looked at in `test_checks_in_registries`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pandas as pd
import pytest

from audit_lib.compliance import CHECKS
from audit_lib.compliance.base import Rules
from audit_lib.compliance.findings import verdict_of
from tests.compliance.seeded import COPYRIGHT, Seeds, finding, statuses
from tests.images import capable, file
from tests.seeds import TOKENS

RUN = {"mode": 0o755}
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
TOKEN = TOKENS[1][1]
TODAY = dt.date(2025, 2, 1)
OTHER = "sha256:" + "0" * 64
# What the clean image says: the only checks that do not pass are those that no image can pass, and what a sample lacks.
CLEAN = {
    "base-age": "pass",
    "base-allowed": "pass",
    "binaries-hardened": "not_assessable",  # the contents of a sample are blank
    "content-trust": "not_assessable",
    "copy-not-add": "pass",
    "files-owned": "pass",
    "fixed-name": "not_assessable",
    "healthcheck": "pass",
    "image-age": "pass",
    "licenses-allowed": "pass",
    "malware-scanned": "not_assessable",
    "no-empty-passwords": "pass",
    "no-old-fixable-vulnerabilities": "not_assessable",  # no advisories, no report
    "no-file-capabilities": "pass",
    "no-package-manager": "pass",
    "no-remote-administration": "pass",
    "no-secrets-in-environment": "pass",
    "no-secrets-in-files": "pass",
    "no-secrets-in-history": "pass",
    "no-setuid": "pass",
    "no-shell": "pass",
    "no-unnecessary-packages": "pass",
    "no-world-writable": "pass",
    "non-root-user": "pass",
    "package-records-kept": "pass",
    "sbom-attached": "not_assessable",
    "scanned": "manual",
    "signature-or-provenance": "not_assessable",
    "signed-artifacts": "manual",
    "size-budget": "pass",
    "supported-distribution": "pass",
    "update-not-alone": "pass",
    "verified-packages": "manual",
}
TELNET = {
    "var/lib/dpkg/status.d/telnet": "Package: telnet\nStatus: install ok installed\nArchitecture: all\nVersion: 0.17+2.4-2\n\n",
    "usr/share/doc/telnet/copyright": COPYRIGHT.format("Expat"),
}
GUEST = {
    "etc/passwd": "root:x:0:0::/:/usr/sbin/nologin\nguest::1:1::/:/usr/sbin/nologin\n",
    "etc/shadow": "root:*:1::::::\n",
}
STRETCH = 'ID=debian\nVERSION_ID="9"\nPRETTY_NAME="Debian GNU/Linux 9 (stretch)"\n'
# check → what is other than in the clean image, the evidence, and further checks that the same fault fails.
SEEDS = {
    "base-age": (
        {"base_created": "2024-08-01T00:00:00Z"},
        "the base sample, made 2024-08-01T00:00:00Z; the policy allows 180 days before 2025-02-01",
    ),
    "base-allowed": (
        {"policy": f"bases:\n  - {{name: another, layers: [{OTHER}]}}\n"},
        "its lowest layers are not those of another",
    ),
    "copy-not-add": ({"created_by": "ADD app.tar.gz /app # buildkit"}, "ADD made 1 layer: 6"),
    "files-owned": (
        {"layer": {"opt/data.bin": file(bytes(30_000_000))}},
        "no package claims 37.4 % of the bytes; the policy allows 25.0 %",
    ),
    "healthcheck": ({"config": {"Healthcheck": {"Test": ["NONE"]}}}, "the health check of the base is turned off (NONE)"),
    "image-age": (
        {"facts": {"created": "2024-11-02T00:00:00Z"}},
        "made 2024-11-02T00:00:00Z; the policy allows 90 days before 2025-02-01",
    ),
    "licenses-allowed": (
        {"layer": {"usr/share/doc/libcrypt1/copyright": COPYRIGHT.format("AGPL-3+")}},
        "1 package under denied licences: libcrypt1 (AGPL-3.0-or-later)",
    ),
    "no-empty-passwords": ({"layer": GUEST}, "1 user without a password: guest"),
    "no-file-capabilities": (
        {"layer": {"usr/bin/ping6": capable("x", NET_RAW, **RUN)}},
        "1 file with capabilities: /usr/bin/ping6",
    ),
    "no-package-manager": ({"layer": {"usr/bin/apt-get": file("x", **RUN)}}, "1 package manager: /usr/bin/apt-get"),
    "no-remote-administration": (
        {"layer": {"usr/sbin/sshd": file("x", **RUN)}, "config": {"ExposedPorts": {"22/tcp": {}, "8000/tcp": {}}}},
        "2 means of remote administration: 22/tcp, /usr/sbin/sshd",
    ),
    "no-secrets-in-environment": (
        {"config": {"Env": ["PATH=/usr/bin", f"DEPLOY={TOKEN}"]}},
        "1 secret in the configuration: ENV DEPLOY: GitHub token",
    ),
    "no-secrets-in-files": (
        {"layer": {"srv/.env": f"DEPLOY={TOKEN}\n"}},
        "1 file with a secret: /srv/.env (GitHub token)",
    ),
    "no-secrets-in-history": (
        {"created_by": f"RUN |1 DEPLOY={TOKEN} /bin/sh -c make # buildkit"},
        "1 secret in the history: history, step 6: GitHub token",
    ),
    "no-setuid": (
        {"layer": {"usr/bin/a": file("x", mode=0o4755), "usr/bin/b": file("x", mode=0o2755)}},
        "2 setuid or setgid files: /usr/bin/b, /usr/bin/a",
    ),
    "no-shell": ({"layer": {"usr/bin/dash": file("x", **RUN)}}, "1 shell: /usr/bin/dash"),
    "no-unnecessary-packages": (
        {"layer": {**TELNET, "usr/bin/gcc-12": file("x", **RUN)}},
        "1 package of the policy's list: telnet; 1 compilers and linkers: gcc-12",
    ),
    "no-world-writable": (
        {"layer": {"srv/open.txt": file("x", mode=0o666)}},
        "1 path that everybody may write to: /srv/open.txt",
    ),
    "non-root-user": ({"config": {"User": "0:0"}}, "the user is 0:0"),
    "package-records-kept": (
        {"layer": {"var/lib/dpkg/status.d/.wh.libssl3": b""}},
        "the records of 1 package were deleted in layer 6, their files are there: libssl3",
    ),
    "size-budget": (
        {"policy": "checks:\n  size-budget: {max_file_bytes: 10MiB}\n"},
        "file bytes: 49.2 MiB of 10.0 MiB allowed",
    ),
    "supported-distribution": (
        {"layer": {"usr/lib/os-release": STRETCH}},
        "the support of Debian GNU/Linux 9 (stretch) ended on 2022-06-30 (as of 2026-04-25)",
    ),
    "update-not-alone": (
        {"created_by": "RUN /bin/sh -c apt-get -qq update # buildkit"},
        "layer 6 runs apt-get update without an installation",
    ),
    "verified-packages": (
        {"created_by": "RUN /bin/sh -c curl -fsSLk https://example.org/install.sh | sh # buildkit"},
        "layer 6: a download is not checked by certificate; layer 6: a downloaded script is run as it comes",
    ),
}  # fmt: skip
# Told by a registry or by real programs: tested below. Or by no image at all.
ELSEWHERE = {
    "binaries-hardened",
    "fixed-name",
    "no-old-fixable-vulnerabilities",
    "sbom-attached",
    "scanned",
    "signature-or-provenance",
}
NEVER = {
    "content-trust": "not_assessable",
    "malware-scanned": "not_assessable",
    "signed-artifacts": "manual",
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return Seeds(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def clean(seeds):
    return seeds.audited()


def judged(check, found):
    """Return what one check says of tables, some of which a test put there."""
    (wanted,) = [one for one in CHECKS if one.id == check]
    return verdict_of(wanted, found, Rules(found.policy.settings[check].options, found.policy.bases, TODAY)).status


def made_by(found, *commands):
    """Return an audit whose topmost layers were made by these commands."""
    told = found.layers["created_by"].tolist()
    return replace(
        found, layers=found.layers.assign(created_by=pd.array([*told[: -len(commands)], *commands], dtype="string"))
    )


def test_every_check_has_an_image_that_fails_it_or_says_why_none_can():
    assert set(SEEDS) | ELSEWHERE | set(NEVER) == {check.id for check in CHECKS} == set(CLEAN)
    assert set(SEEDS) & (ELSEWHERE | set(NEVER)) == set()


def test_the_clean_image_passes_what_an_image_can_pass(clean):
    assert statuses(clean) == CLEAN
    assert not clean.findings["is_gate_failed"].any()


@pytest.mark.parametrize("check", SEEDS)
def test_a_fault_fails_its_check_and_no_other(seeds, check):
    facts, evidence = SEEDS[check]
    found = seeds.audited(**facts)
    assert statuses(found) == {**CLEAN, check: "fail"}
    assert finding(found, check)["evidence"] == evidence


@pytest.mark.parametrize(("check", "status"), NEVER.items())
def test_what_no_image_tells_is_never_decided(clean, check, status):
    row = finding(clean, check)
    assert row["status"] == status
    assert len(row["reason"]) > 40


@pytest.mark.parametrize(
    ("user", "status"),
    [
        ("", "fail"),
        ("0", "fail"),
        ("root", "fail"),
        ("root:app", "fail"),
        ("00", "fail"),
        (":1000", "fail"),
        ("1000", "pass"),
        ("1000:0", "pass"),
        ("app:root", "pass"),
        ("nonroot", "pass"),
    ],
)
def test_root_is_told_by_name_and_by_number(clean, user, status):
    image = clean.image.assign(user=pd.array([user or None], dtype="string"))
    assert judged("non-root-user", replace(clean, image=image)) == status


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("RUN /bin/sh -c apt-get update && apt-get install -y curl # buildkit", "pass"),
        ("RUN /bin/sh -c apt-get update; apt-get dist-upgrade # buildkit", "pass"),
        ("/bin/sh -c apt update", "fail"),
        ("RUN /bin/sh -c apt-get -o Acquire::Retries=3 -y update # buildkit", "fail"),
        ("RUN /bin/sh -c apk update # buildkit", "fail"),
        ("RUN /bin/sh -c apk update && apk add curl # buildkit", "pass"),
        ("RUN /bin/sh -c apt-get update && apk add curl # buildkit", "fail"),
        ("RUN /bin/sh -c dnf makecache # buildkit", "fail"),
        ("RUN /bin/sh -c yum -y update # buildkit", "pass"),
        ("RUN /bin/sh -c zypper --non-interactive ref # buildkit", "fail"),
        ("RUN /bin/sh -c echo apt-get update # buildkit", "pass"),
        ("RUN /bin/sh -c set -eux; if true; then apt-get update; fi # buildkit", "fail"),
        ("COPY apt-get update /x # buildkit", "pass"),
    ],
)
def test_lists_are_fetched_alone_where_nothing_is_installed_by_them(clean, command, status):
    assert judged("update-not-alone", made_by(clean, command)) == status


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("RUN /bin/sh -c apt-get install --allow-unauthenticated curl # buildkit", "fail"),
        ("RUN /bin/sh -c echo 'deb [trusted=yes] http://x y z' > /etc/apt/sources.list # buildkit", "fail"),
        ("RUN /bin/sh -c dnf install --nogpgcheck x # buildkit", "fail"),
        ("RUN /bin/sh -c apk add --allow-untrusted x.apk # buildkit", "fail"),
        ("RUN /bin/sh -c wget --no-check-certificate https://x # buildkit", "fail"),
        ("RUN /bin/sh -c curl --insecure https://x # buildkit", "fail"),
        ("RUN /bin/sh -c pip install --trusted-host x y # buildkit", "fail"),
        ("RUN /bin/sh -c wget -qO- https://x | bash # buildkit", "fail"),
        ("RUN /bin/sh -c curl -K config https://x -o /tmp/key # buildkit", "manual"),
        ("RUN /bin/sh -c curl -fsSL https://x -o y && echo abc y | sha256sum -c # buildkit", "manual"),
        ("RUN /bin/sh -c apt-get install -y curl # buildkit", "manual"),
    ],
)
def test_verification_that_is_turned_off_is_seen(clean, command, status):
    assert judged("verified-packages", made_by(clean, command)) == status


def test_an_add_of_the_first_layer_is_how_a_base_comes(clean):
    steps = ["/bin/sh -c #(nop) ADD file:ab in / ", *["COPY a /a"] * 5]
    assert judged("copy-not-add", made_by(clean, *steps)) == "pass"


def test_a_base_is_found_by_its_layers_whatever_its_name_says(seeds):
    labels = {"Labels": {"org.opencontainers.image.base.name": "docker.io/library/another"}}
    lying = seeds.audited(config=labels, policy=f"bases:\n  - {{name: another, layers: [{OTHER}]}}\n")
    row = finding(lying, "base-allowed")
    assert (row["status"], row["evidence"]) == (
        "fail",
        "its lowest layers are not those of another; by its labels it is built on docker.io/library/another, which is no proof",
    )
    none = finding(seeds.audited(config=labels, policy="bases: []\n"), "base-allowed")
    assert none["status"] == "manual"


def test_of_two_bases_the_one_with_more_layers_is_it_and_a_longer_one_is_none(seeds):
    first, rest = seeds.base_layers[0], ", ".join(seeds.base_layers)
    bases = f"bases:\n  - {{name: short, layers: [{first}]}}\n  - {{name: long, layers: [{rest}]}}\n"
    assert finding(seeds.audited(policy=bases), "base-allowed")["evidence"] == "its lowest 5 layers are those of long"
    deeper = f"bases:\n  - {{name: deep, layers: [{rest}, {OTHER}, {OTHER}]}}\n"
    assert statuses(seeds.audited(policy=deeper))["base-allowed"] == "fail"


@pytest.mark.parametrize(
    ("created", "status"),
    [
        ("1970-01-01T00:00:00Z", "not_assessable"),  # what a reproducible build sets
        ("2024-11-02T00:00:00Z", "fail"),
        ("2024-11-03T00:00:00Z", "pass"),
        ("2025-02-01T23:00:00Z", "pass"),
        ("2025-02-02T00:00:00Z", "not_assessable"),
        (None, "not_assessable"),
    ],
)
def test_an_age_is_judged_by_the_day_and_only_where_a_time_says_something(clean, created, status):
    image = clean.image.assign(created_utc=pd.array([created], dtype="string"))
    assert judged("image-age", replace(clean, image=image)) == status


def test_a_history_that_does_not_fit_the_layers_is_not_told(seeds):
    found = seeds.audited(facts={"history": [{"created_by": "COPY a /a"}]})
    for check in ("update-not-alone", "copy-not-add", "verified-packages"):
        row = finding(found, check)
        assert (row["status"], row["reason"]) == (
            "not_assessable",
            "the image does not state what its layers were made by",
        )
    assert statuses(found)["base-age"] == "not_assessable"


def test_a_history_that_is_told_in_part_can_fail_and_never_pass(clean):
    steps = ["x", None, *["COPY a /a"] * 4]
    (check,) = [one for one in CHECKS if one.id == "update-not-alone"]
    verdict = verdict_of(check, made_by(clean, *steps), Rules({}, (), TODAY))
    assert (verdict.status, verdict.reason) == ("not_assessable", "of 1 of 6 layers it is not known what made them")
    assert judged("update-not-alone", made_by(clean, *steps[:5], "RUN /bin/sh -c apt-get update")) == "fail"


def test_what_the_policy_allows_is_left_out_and_counted(seeds):
    layer = {"usr/bin/su": file("x", mode=0o4755), "usr/bin/other": file("x", mode=0o4755)}
    policy = "checks:\n  no-setuid: {allowed: [/usr/bin/su]}\n"
    row = finding(seeds.audited(layer, policy=policy), "no-setuid")
    assert (row["status"], row["evidence"], row["locations"]) == (
        "fail",
        "1 setuid or setgid file: /usr/bin/other; 1 allowed by the policy: /usr/bin/su",
        '["/usr/bin/other"]',
    )
    del layer["usr/bin/other"]
    row = finding(seeds.audited(layer, policy=policy), "no-setuid")
    assert (row["status"], row["evidence"]) == (
        "pass",
        "no setuid or setgid file; 1 allowed by the policy: /usr/bin/su",
    )


def test_extended_support_is_for_a_person_unless_the_policy_takes_it(seeds):
    layer = {"usr/lib/os-release": 'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian 11"\n'}
    row = finding(seeds.audited(layer), "supported-distribution")
    assert (row["status"], row["evidence"]) == (
        "manual",
        "the regular support of Debian 11 ended on 2024-08-14, extended support ends on 2026-08-31 (as of 2026-04-25)",
    )
    taken = "checks:\n  supported-distribution: {accept_extended_support: true}\n"
    assert statuses(seeds.audited(layer, policy=taken))["supported-distribution"] == "pass"
    unknown = {"usr/lib/os-release": "ID=mine\n"}
    assert statuses(seeds.audited(unknown))["supported-distribution"] == "not_assessable"


def test_a_choice_of_licences_is_denied_where_all_of_it_is(seeds):
    def status(licence):
        layer = {"usr/share/doc/libcrypt1/copyright": COPYRIGHT.format(licence)}
        return statuses(seeds.audited(layer))["licenses-allowed"]

    assert status("AGPL-3+ or Expat") == "pass"
    assert status("AGPL-3+ and Expat") == "fail"


def test_a_check_that_the_policy_leaves_out_says_so(seeds):
    found = seeds.audited(config={"User": "0"}, policy="checks:\n  non-root-user:\n    run: false\n")
    row = finding(found, "non-root-user")
    assert row["status"] == "not_assessable"
    assert row["reason"].startswith("the policy leaves this check out (policy.yml, line ")
    assert not row["is_gate_failed"]
