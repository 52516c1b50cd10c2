"""What each file is for, and bytes by group."""

from __future__ import annotations

from typing import Any, get_args

import pandas as pd
import pytest

from audit_lib.errors import TableError
from audit_lib.sizes import category, largest, sizes_by
from audit_lib.tables import Category, File, make_table


def file(path: str, file_bytes: int, **facts: Any) -> File:
    given = {
        "image": "a",
        "kind": "file",
        "mode": "0644",
        "uid": 0,
        "gid": 0,
        "link_target": None,
        "layer": 1,
        "format": None,
        "package": None,
        "category": "other",
        "capabilities": None,
    }
    return File(path=path, file_bytes=file_bytes, **{**given, **facts})


REGULAR = [
    # folders of one purpose
    ("/usr/share/doc/bash/copyright", "", "documentation"),
    ("/usr/share/doc/git/contrib/hooks/post-receive", "script", "documentation"),
    ("/usr/share/info/bash.info.gz", "", "documentation"),
    ("/usr/share/common-licenses/GPL-3", "", "documentation"),
    ("/usr/share/licenses/musl/COPYRIGHT", "", "documentation"),
    ("/usr/local/share/doc/mpdecimal/libmpdec.txt", "", "documentation"),
    ("/usr/share/locale/de/LC_MESSAGES/git.mo", "", "locales"),
    ("/usr/share/i18n/charmaps/UTF-8.gz", "", "locales"),
    ("/usr/lib/locale/C.utf8/LC_CTYPE", "", "locales"),
    ("/usr/lib/python3/dist-packages/django/conf/locale/de/LC_MESSAGES/django.mo", "", "locales"),
    ("/usr/share/man/man1/bash.1.gz", "", "manual pages"),
    ("/usr/share/man/de/man8/useradd.8.gz", "", "manual pages"),
    ("/usr/local/lib/node_modules/npm/man/man1/npm.1", "", "manual pages"),
    ("/usr/share/zoneinfo/Europe/Berlin", "", "time zones"),
    ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "", "fonts"),
    ("/usr/lib/debug/.build-id/0a/1b2c.debug", "elf", "debug symbols"),
    # package managers
    ("/var/lib/dpkg/status", "", "package-manager data"),
    ("/var/lib/dpkg/status.d/libc6", "", "package-manager data"),
    ("/var/lib/dpkg/info/bash.postinst", "script", "package-manager data"),
    ("/var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_InRelease", "", "package-manager data"),
    ("/lib/apk/db/installed", "", "package-manager data"),
    ("/usr/lib/apk/db/installed", "", "package-manager data"),
    ("/var/lib/rpm/rpmdb.sqlite", "", "package-manager data"),
    ("/usr/lib/sysimage/rpm/Packages.db", "", "package-manager data"),
    ("/var/lib/pacman/local/bash-5.2-1/desc", "", "package-manager data"),
    # caches
    ("/var/cache/apt/archives/bash_5.2.15-2+b2_amd64.deb", "archive", "caches"),
    ("/root/.cache/pip/wheels/ab/cd.whl", "", "caches"),
    ("/root/.npm/_cacache/index-v5/00/11", "", "caches"),
    ("/etc/ld.so.cache", "", "caches"),
    # what a file is goes before where it lies
    ("/usr/lib/python3.11/__pycache__/os.cpython-311.pyc", "", "bytecode"),
    ("/usr/share/emacs/site-lisp/x.elc", "", "bytecode"),
    ("/usr/include/stdio.h", "", "headers and static libraries"),
    ("/usr/include/c++/12/vector", "", "headers and static libraries"),
    ("/usr/lib/x86_64-linux-gnu/libc.a", "archive", "headers and static libraries"),
    ("/usr/lib/x86_64-linux-gnu/libm.a", "", "headers and static libraries"),
    ("/usr/lib/x86_64-linux-gnu/crt1.o", "elf", "headers and static libraries"),
    ("/usr/lib/libxml2.la", "", "headers and static libraries"),
    ("/usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc", "", "headers and static libraries"),
    ("/usr/lib/python3/dist-packages/numpy/core/include/numpy/arrayobject.h", "", "headers and static libraries"),
    ("/usr/lib/x86_64-linux-gnu/libssl.so.3", "elf", "shared libraries"),
    ("/lib/ld-musl-x86_64.so.1", "elf", "shared libraries"),
    ("/usr/lib/python3/dist-packages/_cffi_backend.cpython-311-x86_64-linux-gnu.so", "elf", "shared libraries"),
    ("/app/node_modules/bcrypt/lib/binding/bcrypt.node", "elf", "shared libraries"),
    ("/usr/bin/bash", "elf", "executables"),
    ("/usr/lib/gcc/x86_64-linux-gnu/12/cc1", "elf", "executables"),
    ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "elf", "executables"),
    ("/app/server", "elf", "executables"),
    ("/usr/bin/ldd", "script", "executables"),
    ("/usr/sbin/a-script-without-a-first-line", "", "executables"),
    ("/usr/bin/news", "", "executables"),
    ("/docker-entrypoint.sh", "script", "executables"),
    ("/app/node_modules/lodash/README.md", "", "documentation"),
    ("/app/node_modules/lodash/LICENSE", "", "documentation"),
    ("/usr/lib/python3/dist-packages/six-1.16.0.dist-info/LICENSE.txt", "", "documentation"),
    ("/app/vendor/COPYING.LIB", "", "documentation"),
    ("/usr/share/perl/5.36.0/pod/perldiag.pod", "", "documentation"),
    # language packages
    ("/usr/lib/python3/dist-packages/six.py", "", "language packages"),
    ("/usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA", "", "language packages"),
    ("/usr/local/lib/python3.13/site-packages/pip/__main__.py", "", "language packages"),
    ("/usr/lib/python3.11/os.py", "", "language packages"),
    ("/usr/lib/python3.11/pdb.py", "script", "language packages"),
    ("/app/node_modules/lodash/index.js", "", "language packages"),
    ("/app/node_modules/news/news.js", "", "language packages"),
    ("/usr/lib/node_modules/npm/bin/npm-cli.js", "script", "language packages"),
    ("/usr/share/nodejs/webpack/lib/debug/ProfilingPlugin.js", "", "language packages"),
    ("/usr/lib/ruby/gems/3.1.0/gems/rake-13.0.6/lib/rake.rb", "", "language packages"),
    ("/usr/share/perl/5.36.0/Carp.pm", "", "language packages"),
    ("/opt/app/app.jar", "", "language packages"),
    # nothing tells
    ("/etc/passwd", "", "other"),
    ("/etc/ssl/certs/ca-certificates.crt", "", "other"),
    ("/usr/share/terminfo/x/xterm", "", "other"),
    ("/app/news.py", "", "other"),
    ("/etc/changes.conf", "", "other"),
]


@pytest.mark.parametrize(("path", "magic", "expected"), REGULAR, ids=[row[0] for row in REGULAR])
def test_a_regular_file_has_one_category(path: str, magic: str, expected: Category):
    assert category(path, "file", magic) == expected
    assert category(path, "hardlink", magic) == expected


def test_every_category_occurs_in_these_cases():
    assert {row[2] for row in REGULAR} == set(get_args(Category))


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("/usr/lib/x86_64-linux-gnu/libz.so.1", "symlink", "shared libraries"),
        ("/usr/bin/python3", "symlink", "executables"),
        ("/bin", "symlink", "other"),
        ("/usr/share/man/man1/vi.1.gz", "symlink", "manual pages"),
        ("/usr/share/doc", "directory", "documentation"),
        ("/usr/share/doc/bash", "directory", "documentation"),
        ("/usr/lib/python3/dist-packages", "directory", "language packages"),
        ("/usr", "directory", "other"),
        ("/dev/null", "character_device", "other"),
        ("/run/initctl", "fifo", "other"),
    ],
)
def test_entries_that_are_no_files_go_by_name_and_folder(path: str, kind: str, expected: Category):
    assert category(path, kind, "") == expected


def test_bytes_by_category_leave_directories_out_and_add_up():
    files = make_table(
        File,
        [
            file("/usr", 0, kind="directory", category="other"),
            file("/usr/bin/a", 10, category="executables"),
            file("/usr/bin/b", 5, category="executables"),
            file("/usr/bin/c", 0, category="executables", kind="hardlink", link_target="/usr/bin/a"),
            file("/etc/x", 1),
        ],
    )
    table = sizes_by(files, "category")
    assert table.to_numpy().tolist() == [["a", "category", "executables", 15, 3], ["a", "category", "other", 1, 1]]
    assert table.dtypes.astype(str).tolist() == ["string", "string", "string", "Int64", "Int64"]


def test_the_top_folder_is_one_level_deeper_below_usr():
    files = make_table(
        File,
        [file("/init", 1), file("/etc/x/y", 2), file("/usr/lib/z/a", 4), file("/usr/lib/b", 8), file("/usr/c", 16)],
    )
    table = sizes_by(files, "top_folder")
    assert table[["category", "file_bytes"]].to_numpy().tolist() == [
        ["/", 1],
        ["/etc", 2],
        ["/usr", 16],
        ["/usr/lib", 12],
    ]


def test_layers_sort_as_numbers():
    files = make_table(File, [file(f"/{layer}", layer, layer=layer) for layer in (1, 2, 10)])
    assert sizes_by(files, "layer")[["category", "file_bytes"]].to_numpy().tolist() == [
        ["01", 1],
        ["02", 2],
        ["10", 10],
    ]


def test_files_of_no_package_are_a_group_of_their_own():
    files = make_table(
        File, [file("/a", 1, format="deb", package="bash"), file("/b", 2, format="pypi", package="bash"), file("/c", 4)]
    )
    assert sizes_by(files, "package")[["category", "file_bytes"]].to_numpy().tolist() == [
        ["(no package)", 4],
        ["deb:bash", 1],
        ["pypi:bash", 2],
    ]


def test_images_are_kept_apart():
    files = make_table(File, [file("/a", 1), file("/a", 2, image="b")])
    assert sizes_by(files, "category")[["image", "file_bytes"]].to_numpy().tolist() == [["a", 1], ["b", 2]]


@pytest.mark.parametrize("grouping", ["category", "layer", "package", "top_folder"])
def test_an_image_without_files_gives_an_empty_table_with_all_columns(grouping: Any):
    table = sizes_by(make_table(File, []), grouping)
    assert list(table.columns) == ["image", "grouping", "category", "file_bytes", "file_count"]
    assert len(table) == 0


def test_an_unknown_grouping_is_named():
    with pytest.raises(
        TableError, match=r"expected one of \['category', 'layer', 'package', 'top_folder'\], found 'owner'"
    ):
        sizes_by(make_table(File, [file("/a", 1)]), "owner")  # type: ignore[arg-type]


def test_the_largest_rows_come_first_ties_in_order_unknown_ones_not_at_all():
    table = pd.DataFrame({"name": ["a", "b", "c", "d"], "file_bytes": pd.array([1, 5, None, 5], dtype="Int64")})
    assert largest(table, count=2)["name"].tolist() == ["b", "d"]
    assert largest(table, count=9)["name"].tolist() == ["b", "d", "a"]
    many = pd.DataFrame({"name": range(100), "file_bytes": pd.array([7] * 100, dtype="Int64")})
    assert largest(many, count=100)["name"].tolist() == list(range(100))


def test_largest_names_a_column_that_is_not_there():
    with pytest.raises(TableError, match=r"expected a column 'weight', found \['name'\]"):
        largest(pd.DataFrame({"name": ["a"]}), by="weight")
