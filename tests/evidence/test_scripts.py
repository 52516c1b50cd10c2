"""First lines of scripts, as the kernel reads them."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib import audit
from audit_lib.evidence import scripts
from audit_lib.shell import commands
from tests.images import hardlink, oci_dir


@pytest.mark.parametrize(
    ("data", "interpreter", "argument"),
    [
        (b"#!/bin/sh\necho\n", "/bin/sh", None),
        (b"#! /bin/sh -e \necho\n", "/bin/sh", "-e"),
        (b"#!/usr/bin/env\tpython3  -u\n", "/usr/bin/env", "python3  -u"),
        (b"#!/bin/sh\r\necho\n", "/bin/sh\r", None),
        (b"#!/bin/sh", "/bin/sh", None),
        (b"#!" + b"/long" * 40 + b" -x\n", "/long" * 40, "-x"),
    ],
)
def test_the_first_line_names_interpreter_and_one_argument(data, interpreter, argument):
    assert scripts.parse(data) == (interpreter, argument, None)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"#!\necho\n", "its first line names no interpreter"),
        (b"#!  \t\n", "its first line names no interpreter"),
        (b"#!/" + b"x" * 300 + b"\n", "its interpreter does not end within 256 bytes"),
    ],
)
def test_a_first_line_that_the_kernel_refuses_says_why(data, why):
    assert scripts.parse(data) == (None, None, why)


@pytest.mark.parametrize("line", ["#!{} one two", "#! {}\ttab", "#!{}", "#!{} spaced  out  "])
def test_the_kernel_hands_over_what_was_read(line, tmp_path):
    shown = tmp_path / "shown"
    shown.symlink_to("/bin/echo")
    script = tmp_path / "script"
    script.write_text(line.format(shown) + "\n")
    script.chmod(0o755)
    told = subprocess.run([script], capture_output=True, text=True, check=True).stdout.removesuffix(f"{script}\n")
    first = scripts.parse(script.read_bytes())
    assert first.interpreter == str(shown)
    assert told == (f"{first.argument} " if first.argument else "")


@given(st.binary(max_size=600))
def test_any_bytes_give_a_first_line(data):
    assert scripts.facts_of(scripts.EXTRACTOR.extract("run", b"#!" + data) or b"").keys() >= {"interpreter", "detail"}


def test_scripts_are_a_table_of_an_image(tmp_path):
    layer = {
        "bin/start": "#!/bin/sh -e\ncurl http://localhost | jq .\n",
        "bin/begin": hardlink("bin/start"),
        "bin/text": "no script\n",
        "var/lib/dpkg/info/x.postinst": "#!/bin/sh\nldconfig\n",
    }
    oci_dir(tmp_path / "image", [layer])
    table = audit(f"oci-dir:{tmp_path / 'image'}").scripts
    assert table[["path", "interpreter", "argument"]].to_numpy().tolist()[0] == ["/bin/begin", "/bin/sh", "-e"]
    assert table["path"].tolist() == ["/bin/begin", "/var/lib/dpkg/info/x.postinst"]
    assert table["commands"].fillna("").tolist() == ["curl, jq", ""]


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("cd /app && exec gunicorn app:main", ("gunicorn",)),
        ("#!/bin/sh\n# curl is not called\n'curl' \"wget\"\n", ()),
        ('if [ "$(id -u)" = 0 ]; then exec gosu app "$0" "$@"; fi', ("gosu", "id")),
        ("exec env A=1 nohup tini -- gosu app:app python3 -m app", ("env", "nohup", "tini", "gosu", "python3")),
        ("case $1 in\n  serve) nginx;;\n  shell|sh) bash ;;\nesac", ("nginx", "bash")),
        ("main() {\n  envsubst < a > b\n}\nmain; helper", ("envsubst", "helper")),
        ("cat <<EOF\nrm everything\nEOF\nls", ("cat", "ls")),
        ("for f in a b; do gzip $f || exit 1; done", ("gzip",)),
        ("A=1 B=$(hostname) /opt/run --x", ("hostname", "/opt/run")),
        ("$CMD run; ${OTHER} run; 2>/dev/null true", ()),
        ("echo one \\\n two | sed s/a/b/", ("sed",)),
    ],
)
def test_commands_of_a_shell_text(text, called):
    assert sorted(commands(text)) == sorted(called)


@given(st.text(alphabet="ab$(){}'\"`\\|&;<>#\n =E", max_size=200))
def test_any_text_gives_commands(text):
    assert all(name and not name.isspace() for name in commands(text))


def test_a_text_of_nothing_but_beginnings_takes_no_time():
    for beginning in ("${", "$((", '"$(', "<<A\n", "'", "a("):
        assert len(commands(beginning * 50_000)) <= 200


def test_commands_are_those_that_a_shell_traces(tmp_path):
    text = (
        'set -e\nX="$(basename /a/b)"\nmkdir -p "$D/x" && touch "$D/x/y"\nls "$D"\nsort /dev/null\nhead -1 /dev/null\n'
    )
    traced = subprocess.run(
        ["sh", "-x", "-c", text],
        env={"PATH": os.environ["PATH"], "D": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    first_words = {line.lstrip("+ ").split()[0] for line in traced.splitlines()}
    assert set(commands(text)) == first_words - {"set"} - {word for word in first_words if "=" in word}
