"""The applets of a busybox are those that it lists itself."""

from __future__ import annotations

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from audit_lib.evidence import applets
from tests.tools import tool


def test_the_applets_of_a_real_busybox_are_those_that_it_lists():
    path = tool("busybox")
    told = subprocess.run([path, "--list"], check=True, capture_output=True, text=True).stdout.split()
    assert len(told) > 100
    assert applets.parse(path.read_bytes()) == told


def test_a_list_ends_where_the_order_of_the_alphabet_does():
    names = b"arp\0ash\0cat\0chmod\0cp\0date\0df\0dmesg\0echo\0"
    assert applets.parse(b"zzz\0" + names + b"ab\0cd\0") == names.decode().split("\0")[:-1]


def test_fewer_than_eight_names_are_no_list():
    assert applets.parse(b"\0ash\0cat\0cp\0ls\0sh\0") == []


def test_a_script_of_that_name_is_no_busybox():
    assert applets._extract("bin/busybox", b"#!/bin/sh\n\0ash\0awk\0cat\0cp\0ls\0sh\0vi\0wget\0") is None


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_bytes_around_a_name_give_names(before, after):
    assert all(name for name in applets.parse(before + b"\0cat\0" + after))
