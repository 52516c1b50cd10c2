"""opkg: the status files of OpenWrt (usr/lib) and Yocto (var/lib). The texts are those that opkg writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import opkg
from audit_lib.formats.base import Found
from tests.formats.tree import DictTree

STATUS = "usr/lib/opkg/status"
INFO = "usr/lib/opkg/info"
BUSYBOX = b"""Package: busybox
Version: 1.36.1-1
Depends: libc
Status: install user installed
Architecture: x86_64
Conffiles:
 /etc/syslog.conf 0123
Installed-Time: 1700000000

"""
CONTROL = b"""Package: busybox
Version: 1.36.1-1
Source: package/utils/busybox
SourceName: busybox
License: GPL-2.0
Installed-Size: 245760
Description:  Core utilities
"""
ONE = {
    STATUS: BUSYBOX,
    f"{INFO}/busybox.control": CONTROL,
    f"{INFO}/busybox.list": b"/bin/busybox\n/bin/ls\t0120777\tbusybox\n",
}


def read(files: dict[str, bytes], place: str = STATUS) -> list[Found]:
    return list(opkg.FORMAT.read(DictTree(files), place))


def test_an_installed_package_with_what_its_control_file_adds():
    assert read(ONE) == [
        Found(
            name="busybox",
            version="1.36.1-1",
            path=STATUS,
            architecture="x86_64",
            source_name="busybox",
            source_version="1.36.1-1",
            licenses=("GPL-2.0",),
            installed_size_bytes=245760,
        )
    ]


def test_files_with_and_without_mode_and_target():
    assert opkg.FORMAT.files(DictTree(ONE), read(ONE)[0]) == ["bin/busybox", "bin/ls"]


def test_without_control_and_list_the_rest_is_not_stated():
    [found] = read({STATUS: BUSYBOX})
    assert (found.installed_size_bytes, found.licenses, found.source_name) == (None, (), "busybox")
    assert opkg.FORMAT.files(DictTree({STATUS: BUSYBOX}), found) is None


@pytest.mark.parametrize("path", ["usr/lib/opkg/status", "var/lib/opkg/status"])
def test_both_homes_are_looked_at(path):
    assert opkg.FORMAT.places(DictTree({path: BUSYBOX})) == [path]
    assert [found.name for found in read({path: BUSYBOX}, path)] == ["busybox"]


def test_an_empty_file_is_no_packages_and_what_was_removed_is_none():
    assert read({STATUS: b""}) == []
    assert read({STATUS: BUSYBOX.replace(b"user installed", b"user not-installed")}) == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (BUSYBOX[:60], "the file ends within a line: 'Status: ins'"),
        (b"Package: x\n\n", "a stanza without Version; was the file cut?"),
        (b"Version: 1\nStatus: install user installed\n", "a stanza without Package; was the file cut?"),
        (b"Package: x\nVersion: 1\nStatus: installed\n", "Status is 'installed'; expected 'install user installed' or"),
    ],
)
def test_a_damaged_file_is_damaged_as_a_whole(data, problem):
    with pytest.raises(DamagedDatabaseError) as caught:
        read({STATUS: data})
    assert caught.value.problem.startswith(problem)


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"Package: a", b"Version: 1", b"", b" x", b"Status: a b c"])).map(b"\n".join)
)
def test_any_bytes_give_stanzas_or_the_named_error(data):
    try:
        found = list(opkg.parse(data, "status"))
    except DamagedDatabaseError:
        return
    assert all(stanza["package"] and stanza["version"] for stanza in found)
