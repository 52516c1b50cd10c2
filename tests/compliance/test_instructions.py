"""What a history states, in the spellings of the tools that write it."""

import time

import pandas as pd
import pytest

from audit_lib.compliance.instructions import commands, instructions, split


@pytest.mark.parametrize(
    ("created_by", "verb", "text"),
    [
        # Docker's classic builder
        ("/bin/sh -c apt-get update", "RUN", "apt-get update"),
        ("/bin/sh -c #(nop) ADD file:ab12 in / ", "ADD", "file:ab12 in /"),
        ('/bin/sh -c #(nop)  CMD ["bash"]', "CMD", '["bash"]'),
        ("|2 A=1 B=two words /bin/sh -c make install", "RUN", "make install"),
        ("/bin/bash -o pipefail -c curl x | tar xz", "RUN", "curl x | tar xz"),
        # BuildKit
        ("RUN /bin/sh -c apt-get update # buildkit", "RUN", "apt-get update"),
        ("RUN |1 VERSION=3.13 /bin/sh -c set -eux; make # buildkit", "RUN", "set -eux; make"),
        ("RUN /bin/bash -eo pipefail -c make # buildkit", "RUN", "make"),
        ("RUN apt-get update # buildkit", "RUN", "apt-get update"),
        ("ADD https://example.org/x /x # buildkit", "ADD", "https://example.org/x /x"),
        ("COPY dir /dir # buildkit", "COPY", "dir /dir"),
        ("ENV A=1", "ENV", "A=1"),
        ("RUN /bin/sh -c echo '#(nop) ADD x' # buildkit", "RUN", "echo '#(nop) ADD x'"),
        # others
        ("/bin/sh -c #(nop) COPY dir:9a in /app ", "COPY", "dir:9a in /app"),
        (
            "debian.sh --arch 'amd64' out/ 'bookworm' '@1734912000'",
            None,
            "debian.sh --arch 'amd64' out/ 'bookworm' '@1734912000'",
        ),
        ("bazel build ...", None, "bazel build ..."),
        ("ADDENDUM", None, "ADDENDUM"),
        ("", None, ""),
    ],
)
def test_each_spelling_is_the_instruction_that_it_was(created_by, verb, text):
    assert split(created_by) == (verb, text)


def test_a_run_is_told_command_by_command():
    text = 'set -eux; \\\n\tsudo apt-get update && (DEBIAN_FRONTEND=x "apt-get" install -y curl) || exit 1\nrm -rf /x'
    assert list(commands(text)) == [
        ["set", "-eux"],
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "curl"],
        ["exit", "1"],
        ["rm", "-rf", "/x"],
    ]


def test_layers_that_state_nothing_have_no_instruction():
    layers = pd.DataFrame(
        {"layer": [1, 2, 3], "created_by": pd.array(["COPY a /a", None, "x" * 200_000], dtype="string")}
    )
    assert [tuple(one) for one in instructions(layers)] == [(1, "COPY", "a /a")]


@pytest.mark.parametrize(
    "text",
    [
        "|1 " + "sh " * 33_000,
        "/" * 100_000,
        "RUN " + " " * 99_000 + "-c",
        "sh -" + "c" * 99_000,
        "sh " + "-a " * 33_000,
    ],
)
def test_hostile_instructions_take_no_time(text):
    start = time.perf_counter()
    split(text)
    list(commands(text))
    assert time.perf_counter() - start < 1
