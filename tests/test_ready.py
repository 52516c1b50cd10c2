"""The files to begin with: each is what the program that reads it expects, as far as that can be told here."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from audit_lib.__main__ import cli
from audit_lib.audits import parse_plan
from audit_lib.commands.ready import _PURPOSES
from audit_lib.runs import check_plan
from tests.tools import tool

FOLDER = Path(__file__).parents[1] / "audit_lib" / "ready"
NAMES = sorted(_PURPOSES)


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def commands() -> list[tuple[str, list[str]]]:
    """Return every call of image-audit that one of the files makes, outside of comments."""
    found = []
    for name in NAMES:
        for line in text(name).splitlines():
            match = re.search(r"(?<![\w/.-])image-audit (?:--quiet )?run [^\n]*", line)
            if match and not line.lstrip().startswith("#"):
                found.append((name, shlex.split(match[0].replace("$HOME", "/root"))))
    return found


def test_every_file_can_be_written_and_none_is_left_out():
    assert sorted(path.name for path in FOLDER.iterdir()) == NAMES
    for name in NAMES:
        done = CliRunner().invoke(cli, ["ready", name])
        assert (done.exit_code, done.stdout) == (0, text(name))


def test_a_file_is_written_where_it_is_wanted(tmp_path):
    assert CliRunner().invoke(cli, ["ready", "cron", "-o", str(tmp_path / "cron")]).exit_code == 0
    assert (tmp_path / "cron").read_text() == text("cron")


def test_the_calls_in_all_files_have_real_options():
    found = commands()
    assert {name for name, _ in found} == {"cron", "github-actions.yml", "gitlab-ci.yml", "image-audit.service"}
    for _, words in found:
        options = [word for word in words[1:] if word != "--quiet"]
        with cli.make_context("image-audit", options):
            pass
        with cli.get_command(None, "run").make_context("run", options[1:]):
            pass


def test_the_schedule_fits(monkeypatch):
    monkeypatch.chdir(FOLDER)
    plan = parse_plan(text("audits.yml").encode(), "audits.yml")
    check_plan(plan)
    assert [one.name for one in plan.audits] == ["sample", "sample-pair"]


def test_every_key_of_a_schedule_is_explained_in_it():
    message = ""
    for broken in ("schema: 1\nx: 1\naudits: []", "schema: 1\naudits: [{name: a, x: 1}]"):
        with pytest.raises(Exception, match="expected one of") as caught:
            parse_plan(broken.encode(), "x")
        message += str(caught.value).partition("expected one of ")[2] + ", "
    keys = set(message.strip(", ").split(", "))
    assert {
        key for key in keys if not re.search(rf"\b{key}:", text("audits.yml")) and f"`{key}`" not in text("audits.yml")
    } == set()


def test_cron_gets_a_time_and_a_command():
    (line,) = [line for line in text("cron").splitlines() if line and not line.startswith("#")]
    fields = line.split(maxsplit=5)
    assert [re.fullmatch(r"\*|\d+", field) is not None for field in fields[:5]] == [True] * 5
    assert "%" not in line  # cron makes a line feed of it
    tool("flock", "util-linux")
    assert subprocess.run(["sh", "-n", "-c", fields[5]], check=False).returncode == 0


def test_systemd_finds_no_fault(tmp_path):
    tool("systemd-analyze", "systemd")
    for name in ("image-audit.service", "image-audit.timer"):
        (tmp_path / name).write_text(text(name))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "image-audit" in line] == []
    assert done.returncode == 0
    when = re.search(r"OnCalendar=(.*)", text("image-audit.timer"))[1]
    assert subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, check=False).returncode == 0


def test_a_workflow_of_github_has_what_its_schema_asks_for():
    document = yaml.load(text("github-actions.yml"), yaml.BaseLoader)  # noqa: S506 - texts only, so that "on" stays a word
    assert set(document) == {"name", "on", "permissions", "concurrency", "jobs"}
    assert document["on"]["schedule"] == [{"cron": "17 2 * * *"}]
    assert document["permissions"] == {"contents": "read"}
    (job,) = document["jobs"].values()
    assert {"runs-on", "steps", "timeout-minutes"} == set(job)
    assert all(len({"uses", "run"} & set(step)) == 1 for step in job["steps"])
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
    uploaded = [step for step in job["steps"] if "upload" in step.get("uses", "")]
    assert uploaded[0]["if"] == "always()"


def test_a_pipeline_of_gitlab_keeps_reports_and_warns_where_a_gate_fails():
    (job,) = yaml.safe_load(text("gitlab-ci.yml")).values()
    assert job["allow_failure"] == {"exit_codes": [1]}
    assert job["artifacts"]["when"] == job["cache"]["when"] == "always"
    assert "reports" in job["artifacts"]["paths"]
    assert all(set(rule) == {"if"} for rule in job["rules"])


def test_a_cronjob_of_kubernetes_runs_the_schedule_that_it_mounts_without_rights():
    config, claim, job = yaml.safe_load_all(text("kubernetes.yml"))
    assert [one["kind"] for one in (config, claim, job)] == ["ConfigMap", "PersistentVolumeClaim", "CronJob"]
    check_plan(parse_plan(config["data"]["audits.yml"].encode(), "audits.yml"))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert re.fullmatch(r"[\w-]+@sha256:0{64}", container["image"])
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["schedule"]["configMap"]["name"] == config["metadata"]["name"]
    assert volumes["reports"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    with cli.get_command(None, "run").make_context("run", container["args"][1:]):
        pass
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert container["args"][1] == f"{paths[0]}/audits.yml"


def test_the_image_of_the_tool_names_no_base_of_its_own():
    lines = [line for line in text("Dockerfile").splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BUILD_BASE} AS build", "FROM ${BASE}"]
    assert "USER 65532:65532" in lines


def test_help_names_every_file():
    done = subprocess.run(
        [sys.executable, "-m", "audit_lib", "ready", "--help"], capture_output=True, text=True, check=True
    )
    assert [name for name in NAMES if f"  {name} " not in done.stdout] == []
