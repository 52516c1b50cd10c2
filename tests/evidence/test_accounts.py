"""passwd, group, shadow and shells as images have them, and as nobody should."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.evidence import accounts


@pytest.mark.parametrize("name", ["passwd", "shadow", "group", "shells"])
@given(data=st.binary(max_size=200) | st.text(alphabet=":\n#root0x$", max_size=60).map(str.encode))
def test_any_bytes_are_read_line_by_line(name, data):
    json.loads(accounts._extract(f"etc/{name}", data))


def test_no_hash_of_a_password_leaves_the_reader():
    hashes = ["$6$5aLt$hashhashhash", "$y$j9T$salt$hashhash", "$2b$12$hashhashhash", "ab0123456789.", "!$1$salt$hash"]
    text = "".join(f"user{number}:{one}:19000:0:99999:7:::\n" for number, one in enumerate(hashes))
    found = accounts._extract("etc/shadow", text.encode()).decode()
    assert json.loads(found) == {
        "user0": "SHA-512",
        "user1": "yescrypt",
        "user2": "bcrypt",
        "user3": "DES",
        "user4": "locked",
    }
    assert not [one for one in hashes if one in found]


def test_lines_that_the_c_library_passes_over_are_passed_over():
    text = "root:x:0:0::/root:/bin/sh\n+nis::0:0:::\nshort:x:1\nname:x:one:1::/:/bin/sh\n:x:2:2::/:/bin/sh\n"
    assert [user.name for user in accounts.users(text)] == ["root"]


def test_the_shells_are_paths_each_once():
    assert accounts.shells("# comment\n/bin/sh\n\n  /bin/bash  \n/bin/sh\nrelative\n") == ("/bin/sh", "/bin/bash")
