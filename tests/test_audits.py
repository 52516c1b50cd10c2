"""Schedules: what a file may say, and how it is told what is wrong with it."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.audits import Gate, Keep, parse_plan
from audit_lib.errors import SettingsError
from audit_lib.runs import check_plan
from audit_lib.wanted import Wanted

WHOLE = """\
schema: 1
reports: out
history: s3://audits/history
jobs: 4
defaults:
  platforms: [linux/amd64]
  policy: policy.yml
  gate: {fail_on: medium}
  keep: {reports: 30, days: 90}
audits:
  - name: web
    image: docker:shop/web:1.4
    formats: [html, pdf]
    parameters:
      top_n: 30
  - name: python
    full: docker:python:3.13
    minimal: docker:python:3.13-slim
    app: docker:my-app
    notebook: compare_images
    platforms: [linux/amd64, linux/arm64]
    gate:
      checks: [no-shell]
    vex: [a.json]
    scanner_reports: {minimal: [grype.json, trivy.json]}
"""


def error(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_plan(text.encode(), "audits.yml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def audits(*lines: str) -> str:
    return "\n".join(["schema: 1", "audits:", *(f"  {line}" for line in lines)])


def test_a_schedule_names_images_pairs_and_what_holds_for_all():
    plan = parse_plan(WHOLE.encode(), "audits.yml")
    assert (plan.reports, plan.history, plan.jobs) == ("out", "s3://audits/history", 4)
    web, amd64, arm64 = plan.audits
    assert (web.name, amd64.name, arm64.name) == ("web", "python-linux-amd64", "python-linux-arm64")
    assert web.images == {"image": Wanted("docker:shop/web:1.4", "linux/amd64")}
    assert dict(arm64.images) == {
        "full": Wanted("docker:python:3.13", "linux/arm64"),
        "minimal": Wanted("docker:python:3.13-slim", "linux/arm64"),
        "app": Wanted("docker:my-app", "linux/arm64"),
    }
    assert (web.judged, arm64.judged) == ("image", "minimal")
    assert (web.formats, arm64.formats) == (("html", "pdf"), ("html",))
    assert (dict(web.parameters), web.notebook, arm64.notebook) == ({"top_n": "30"}, None, "compare_images")
    assert (web.policy, arm64.policy) == ("policy.yml", "policy.yml")
    assert (web.gate, arm64.gate) == (Gate(fail_on="medium"), Gate(checks=("no-shell",)))
    assert (web.keep, arm64.keep) == (Keep(reports=30, days=90), Keep(reports=30, days=90))
    assert (arm64.vex, arm64.scanner_reports) == (("a.json",), {"minimal": ("grype.json", "trivy.json")})
    assert (web.lines["name"], web.lines["parameters"], web.lines["policy"]) == (11, 15, 7)


def test_what_a_schedule_leaves_out_has_a_default():
    (one,) = parse_plan(audits("- {name: a, image: b}").encode(), "x.yml").audits
    plan = parse_plan(audits("- {name: a, image: b}").encode(), "x.yml")
    assert (plan.reports, plan.history, plan.jobs) == ("reports", "reports/history", 1)
    assert (one.formats, one.gate, one.keep, one.policy) == (("html",), Gate(), Keep(), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "audits.yml: expected one YAML document, found 0"),
        ("schema: 2\naudits: []", "audits.yml, line 1: schema: expected 1, found '2'"),
        (
            "schema: 1\naudit: []",
            (
                "audits.yml, line 2: a schedule: 'audit' is unknown (did you mean 'audits'?), "
                "expected one of schema, audits, reports, history, jobs, defaults"
            ),
        ),
        ("schema: 1\naudits: []", "audits.yml, line 2: audits: expected at least one audit, found a list"),
        ("schema: 1\naudits: [a]", "audits.yml, line 2: audits: expected a mapping, found 'a'"),
        (
            "schema: 1\njobs: 0\naudits: [{name: a, image: b}]",
            "audits.yml, line 2: jobs: expected a whole number from 1 to 64, found '0'",
        ),
        (audits("- image: a"), "audits.yml, line 3: audits: expected the key name"),
        (
            audits("- name: web", "  platform: [linux/amd64]"),
            (
                "audits.yml, line 4: audits: 'platform' is unknown (did you mean 'platforms'?), expected one of name, image, full, "
                "minimal, app, platforms, policy, vex, formats, gate, keep, scanner_reports, notebook, parameters"
            ),
        ),
        (
            audits("- {name: ../up, image: a}"),
            (
                "audits.yml, line 3: audits.name: expected up to 100 letters, digits, '.', '_' and '-', since it names a folder, "
                "and none of history, index.html, index.json, found '../up'"
            ),
        ),
        (
            audits("- {name: History, image: a}"),
            (
                "audits.yml, line 3: audits.name: expected up to 100 letters, digits, '.', '_' and '-', since it names a folder, "
                "and none of history, index.html, index.json, found 'History'"
            ),
        ),
        (
            audits("- {name: web, image: a}", "- {name: WEB, image: b}"),
            "audits.yml, line 4: audits.name: 'WEB' stands twice, first on line 3",
        ),
        (
            audits("- name: web", "  full: a"),
            "audits.yml, line 3: audits.web: expected the key image, or full and minimal, with app or without, found full",
        ),
        (
            audits("- {name: web, image: a, platforms: [arm64]}"),
            "audits.yml, line 3: audits.web.platforms: expected a platform such as linux/arm64, found 'arm64'",
        ),
        (
            audits("- {name: web, image: a, platforms: ['linux/a:b']}"),
            "audits.yml, line 3: audits.web.platforms: expected a platform such as linux/arm64, found 'linux/a:b'",
        ),
        (
            audits("- {name: web, image: a, platforms: [linux/arm64, linux/arm64]}"),
            "audits.yml, line 3: audits.web.platforms: expected each platform once, found 'linux/arm64'",
        ),
        (
            audits("- {name: web, image: a, parameters: {top_n: [1]}}"),
            "audits.yml, line 3: audits.web.parameters.top_n: expected text, a number, true or false, found a list",
        ),
        (
            audits("- name: web", "  image: a", "  gate:", "    fail_on: grave"),
            "audits.yml, line 6: audits.web.gate.fail_on: expected one of critical, high, medium, low, never, found 'grave'",
        ),
        (
            audits("- {name: web, full: a, minimal: b, scanner_reports: [c.json]}"),
            "audits.yml, line 3: audits.web.scanner_reports: expected a mapping, found a list",
        ),
        (
            audits("- {name: web, image: a, keep: {days: 0}}"),
            "audits.yml, line 3: audits.web.keep.days: expected a whole number from 1 to 100,000, found '0'",
        ),
        (
            "schema: 1\ndefaults: {notebook: x}\naudits: []",
            "audits.yml, line 2: defaults: 'notebook' is unknown, expected one of platforms, policy, vex, formats, gate, keep",
        ),
    ],
)
def test_what_does_not_fit_is_told_by_line(text, message):
    assert error(text) == message


@given(st.binary(max_size=200))
def test_any_bytes_give_a_schedule_or_the_named_error(data):
    with contextlib.suppress(SettingsError):
        assert parse_plan(data, "x").audits


@given(
    st.recursive(st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    st.sampled_from(
        [
            "name",
            "image",
            "full",
            "platforms",
            "policy",
            "vex",
            "formats",
            "gate",
            "keep",
            "parameters",
            "scanner_reports",
        ]
    ),
)
def test_any_value_of_any_key_gives_a_schedule_or_the_named_error(value, key):
    fields = {"name": "'web'", "image": "'a'"} | {key: repr(value)}
    text = audits("- " + "{" + ", ".join(f"{name}: {word}" for name, word in fields.items()) + "}")
    with contextlib.suppress(SettingsError):
        assert parse_plan(text.encode("utf-8", "surrogatepass"), "x").audits


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "notebook: compare_image",
            "line 5: audits.web.notebook: no notebook is called 'compare_image': expected a path, or one of: ",
        ),
        ("notebook: compare_images", "line 5: audits.web.notebook: compare_images has no parameter image, so"),
        (
            "parameters: {topn: 3}",
            "line 5: audits.web.parameters: image_inventory has no parameter 'topn', did you mean 'top_n'?",
        ),
        (
            "parameters: {top_n: many}",
            "line 5: audits.web.parameters: image_inventory: parameter top_n: expected int, found 'many'",
        ),
        ("parameters: {image: b}", "line 5: audits.web.parameters: image is what another key of the schedule states"),
        (
            "gate: {checks: [no-shel]}",
            "line 5: audits.web.gate: no check is called 'no-shel', did you mean 'no-shell'?",
        ),
        ("policy: policy.yml", "policy.yml, line 1: a policy: 'scheme' is unknown"),
        ("policy: gone.yml", "gone.yml: cannot be read: No such file or directory"),
    ],
)
def test_what_the_library_does_not_have_is_told_by_line_too(tmp_path, monkeypatch, line, message):
    (tmp_path / "policy.yml").write_text("scheme: 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        check_plan(parse_plan(audits("- name: web", "  image: sample:full", f"  {line}").encode(), "audits.yml"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "code", "said"),
    [
        ("{name: web, image: sample:full}", 0, "audits.yml: fits; 1 audit\n"),
        ("{name: web}", 2, "image-audit: error: audits.yml, line 3: audits.web: expected the key image, or full"),
    ],
)
def test_a_schedule_is_checked_before_anything_is_done(tmp_path, entry, code, said):
    (tmp_path / "audits.yml").write_text(audits(f"- {entry}"))
    words = [sys.executable, "-m", "audit_lib", "run", "audits.yml", *(["--check"] if code == 0 else [])]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (done.stdout or done.stderr).startswith(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audits.yml"]
