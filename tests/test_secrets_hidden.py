"""Secrets sown into an image are found, and nothing that this library writes holds one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from audit_lib import audit
from audit_lib.__main__ import COMPARISON_TABLES, cli
from audit_lib.audit import TABLES
from audit_lib.reports import run_report
from tests.images import file, oci_dir
from tests.seeds import KEYS, TOKENS, letters

PASSWORDS = {
    name: f"{name}-7{letters(12)}" for name in ("file", "env", "arg", "url", "label", "cmd", "quoted", "shadow")
}
FILES = {
    "srv/app/.env": "".join(f"VALUE_{number}={token}\n" for number, (_, token) in enumerate(TOKENS)),
    "srv/app/settings.ini": f"[db]\npassword = {PASSWORDS['file']}\n",
    **{f"root/keys/{number}.pem": text for number, (_, text) in enumerate(KEYS)},
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/shadow": f"root:$6$salt${PASSWORDS['shadow']}:19000:0:99999:7:::\n",
    "bin/sh": file("x", mode=0o755),
    # A database that is damaged is quoted where it is.
    "var/lib/dpkg/status": f"Package: a\nthis line https://anna:{PASSWORDS['quoted']}@corp is none\n",
}
CONFIG = {
    "config": {
        "Env": ["PATH=/bin", f"DB_PASSWORD={PASSWORDS['env']}", f"SIGNING_KEY={KEYS[0][1]}"]
        + [f"VALUE_{number}={token}" for number, (_, token) in enumerate(TOKENS)],
        "Cmd": ["/bin/sh", "-c", f"app --password={PASSWORDS['cmd']}"],
        "Entrypoint": ["app", f"--url=https://anna:{PASSWORDS['url']}@corp"],
        "Labels": {"ci.token": PASSWORDS["label"]},
    },
    "history": [
        {"created_by": f"|1 NPM_TOKEN={PASSWORDS['arg']} /bin/sh -c npm ci # {TOKENS[1][1]}"},
        {"created_by": f"ENV DB_PASSWORD={PASSWORDS['env']}", "empty_layer": True},
    ],
}


def pieces() -> dict[str, str]:
    """Return by name what must stand nowhere: all of a password, the second half of a token, a line of each key."""
    found = dict(PASSWORDS)
    found |= {f"token {number}": token[-(len(token) // 2) :] for number, (_, token) in enumerate(TOKENS)}
    for number, (_, text) in enumerate(KEYS):
        lines = [line for line in text.replace("\\n", "\n").splitlines() if len(line) > 40 and " " not in line]
        found[f"key {number}"] = lines[0][:40]
    return found


def leaks(text: str) -> list[str]:
    return [name for name, secret in pieces().items() if secret in text]


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("sown")
    oci_dir(folder, layers=[FILES], config=CONFIG)
    assert leaks("".join(one if isinstance(one, str) else "" for one in FILES.values()) + json.dumps(CONFIG)) == list(
        pieces()
    )
    return f"oci-dir:{folder}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("bare")
    oci_dir(folder, layers=[{"app": "x"}])
    return f"oci-dir:{folder}"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, [*arguments], catch_exceptions=False)
    return done.output


def test_every_secret_is_found(reference):
    surface = audit(reference).surface
    in_files = surface[surface["path"].notna() & surface["category"].isin(["secrets", "private keys"])]
    rules = {rule for rule, _ in TOKENS}
    assert set(in_files.loc[in_files["path"] == "/srv/app/.env", "name"]) == rules
    assert set(in_files.loc[in_files["category"] == "private keys", "path"]) == {
        f"/root/keys/{number}.pem" for number in range(len(KEYS))
    }
    assert "/srv/app/settings.ini" in set(in_files["path"])
    places = set(surface.loc[surface["path"].isna(), "name"].str.rpartition(": ")[0])
    assert places == {
        *(f"ENV VALUE_{number}" for number in range(len(TOKENS))),
        "ENV DB_PASSWORD",
        "ENV SIGNING_KEY",
        "config Cmd",
        "config Entrypoint",
        "label ci.token",
        "history, step 1",
        "history, step 2",
    }


@pytest.mark.parametrize("form", ["csv", "json", "table"])
def test_no_table_of_an_image_holds_a_secret(reference, form):
    shown = "".join(run("inspect", reference, "--table", table, "--format", form) for table in TABLES)
    assert "[redacted]" in shown
    assert leaks(shown) == []


def test_neither_overview_nor_gaps_nor_bill_of_materials_holds_a_secret(reference, bare):
    shown = run("inspect", reference) + run("compare", reference, bare) + run("compare", bare, reference)
    shown += run("inspect", reference, "--format", "cyclonedx") + run("inspect", reference, "--format", "spdx")
    assert "is damaged" in shown
    assert leaks(shown) == []


def test_no_table_of_a_comparison_holds_a_secret(reference, bare):
    shown = "".join(
        run("compare", *pair, "--table", table, "--format", "json")
        for table in COMPARISON_TABLES
        for pair in ((reference, bare), (bare, reference))
    )
    assert len(shown) > 1000
    assert leaks(shown) == []


@pytest.mark.parametrize("form", ["table", "csv", "json", "sarif", "junit", "markdown", "oscal", "oscal-poam", "poam"])
def test_no_export_of_findings_holds_a_secret(reference, form):
    shown = run("check", reference, "--format", form, "--exit-code", "0")
    assert "no-secrets-in-environment" in shown
    assert leaks(shown) == []


def test_the_configuration_of_an_audit_holds_no_secret(reference):
    found = audit(reference)
    assert found.config["config"]["Env"][1] == "DB_PASSWORD=[redacted]"
    assert leaks(json.dumps(found.config)) == []
    assert leaks(repr(found)) == []


def test_no_file_of_a_report_holds_a_secret(reference, bare, tmp_path: Path):
    run_report("compare_images", tmp_path, {"full_image": reference, "minimal_image": bare})
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".html", ".ipynb", ".csv", ".json"}
    assert [str(path) for path in written if leaks(path.read_text("utf-8", "replace"))] == []


def test_no_file_of_a_review_holds_a_secret(reference, tmp_path: Path):
    run_report("compliance_review", tmp_path, {"image": reference})
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "ENV DB_PASSWORD" in (tmp_path / "report.html").read_text()
    assert [str(path) for path in written if leaks(path.read_text("utf-8", "replace"))] == []


def test_the_layer_store_holds_no_secret_of_a_file(reference, tmp_path: Path):
    audit(reference, store=tmp_path)
    stored = list(tmp_path.rglob("*.parquet"))
    assert stored
    in_files = {
        name: secret for name, secret in pieces().items() if name not in {"env", "arg", "url", "label", "cmd", "quoted"}
    }
    for path in stored:
        table = pq.read_table(path)
        text = "".join(repr(column.to_pylist()) for column in table.columns)
        assert [name for name, secret in in_files.items() if secret in text] == []
