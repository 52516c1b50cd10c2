"""What an attacker would find in a full and a minimal image: counted, compared, and unknown where it cannot be told."""

from __future__ import annotations

import pytest

from audit_lib.compare import compare
from audit_lib.tables import Binary, SurfaceItem
from tests.test_compare import measure, row, rows, side


def item(category, path, **facts):
    known = {"name": (path or "").rpartition("/")[2], "item_count": 1, "status": "found"}
    return row(SurfaceItem, **{**known, "category": category, "path": path, **facts})


def binary(path, **facts):
    return row(Binary, **{"path": path, "status": "read", "kind": "executable", **facts})


def counts(comparison):
    table = comparison.surface_counts
    return {
        category: (full, minimal, delta)
        for category, full, minimal, delta in rows(table, "category", "count_full", "count_minimal", "delta_count")
        if (full, minimal) != (0, 0)
    }


BASH = item("shells", "/bin/bash", package="bash")
DASH = item("shells", "/bin/dash", detail="also /bin/sh")
SU = item("setuid files", "/bin/su")
UNKNOWN = item("login users", "/etc/passwd", name="", item_count=0, status="unknown", detail="no regular file")


def test_things_are_counted_by_category_on_both_sides():
    both = compare(side(surface=[BASH, DASH, SU]), side(surface=[DASH]))
    assert counts(both) == {"shells": (2, 1, -1), "setuid files": (1, 0, -1)}
    assert len(both.surface_counts) == 23
    assert measure(both, "surface_shells") == ["count", 2, 1, -1, 0.5]
    assert measure(both, "surface_setuid_files") == ["count", 1, 0, -1, 1]
    assert "surface_volumes" not in set(both.summary["measure"])


def test_a_thing_is_compared_by_category_path_and_name():
    busybox = item("shells", "/bin/busybox", detail="as /bin/sh")
    full = side(surface=[BASH, DASH, SU, item("listening ports", None, name="80/tcp")])
    minimal = side(surface=[busybox, item("shells", "/bin/dash"), SU, item("listening ports", None, name="443/tcp")])
    both = compare(full, minimal)
    assert rows(both.surface_changes, "category", "path", "name", "change", "package_full", "detail_minimal") == [
        ["listening ports", None, "443/tcp", "added", None, None],
        ["listening ports", None, "80/tcp", "removed", None, None],
        ["setuid files", "/bin/su", "su", "kept", None, None],
        ["shells", "/bin/bash", "bash", "removed", "bash", None],
        ["shells", "/bin/busybox", "busybox", "added", None, "as /bin/sh"],
        ["shells", "/bin/dash", "dash", "changed", None, None],
    ]


def test_a_category_that_is_unknown_on_a_side_is_not_none():
    root = item("login users", "/etc/passwd", name="root")
    both = compare(side(surface=[BASH, root]), side(surface=[UNKNOWN]))
    assert counts(both) == {"shells": (1, 0, -1), "login users": (1, None, None)}
    assert measure(both, "surface_login_users") == ["count", 1, None, None, None]
    assert rows(both.surface_changes, "category", "change") == [["shells", "removed"]]
    assert "minimal (a): login users are unknown and not compared: /etc/passwd: no regular file" in both.gaps


def test_an_image_whose_files_are_unknown_has_an_unknown_surface():
    both = compare(side(surface=[BASH]), side(facts={"file_bytes": None, "file_count": None}))
    assert {minimal for _, minimal, _ in counts(both).values()} == {None}
    assert len(counts(both)) == 23
    assert len(both.surface_changes) == 0
    assert not both.knows("surface_changes")


def test_shares_of_hardened_files_are_of_those_that_can_tell():
    files = [
        binary("/a", is_pie=True, has_nx=True, relro="full", has_canary=True, has_fortify=True),
        binary("/b", is_pie=False, has_nx=True, relro="partial", has_canary=False, has_fortify=None),
        binary("/c", kind="shared_library", has_nx=False, relro="none", has_canary=None),
        binary("/d", kind="object"),
    ]
    both = compare(side(binaries=files), side(binaries=[binary("/a", status="damaged")]))
    assert [
        measure(both, f"surface_elf_{name}_share")[1:3] for name in ("pie", "nx", "full_relro", "canary", "fortify")
    ] == [
        [0.5, None],
        [pytest.approx(2 / 3), None],
        [pytest.approx(1 / 3), None],
        [0.5, None],
        [1.0, None],
    ]
    assert measure(both, "surface_elf_files")[:3] == ["count", 4, 1]
    assert "minimal (a): 1 of 1 ELF files could not be read, so how they were hardened is unknown" in both.gaps
