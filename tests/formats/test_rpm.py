"""rpm: packages, their files and digests, from databases of each kind and from the manifests of distroless images."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib import Audit, audit
from audit_lib.distribution import Distribution
from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import rpm
from audit_lib.formats.base import Found
from audit_lib.purl import purl_of
from tests import rpms
from tests.formats.tree import DictTree
from tests.images import oci_dir

SQLITE, NDB, BDB = "var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/Packages.db", "var/lib/rpm/Packages"
MANIFEST_1, MANIFEST_2 = (f"var/lib/rpmmanifest/container-manifest-{number}" for number in (1, 2))
CURL = rpms.package(
    "curl",
    "7.76.1",
    "31.el9",
    epoch=[1],
    arch="x86_64",
    license="MIT",
    vendor="Red Hat, Inc.",
    size=[719_872],
    source="curl-7.76.1-31.el9.src.rpm",
    dirnames=["/usr/bin/", "/etc/", "/"],
    basenames=["curl", "uno", "curl.conf", "cache", "left-out", "replaced", "optional", ""],
    dirindexes=[0, 0, 1, 0, 0, 0, 0, 2],
    flags=[0, 0, 1, 64, 2, 0, 8, 0],
    states=bytes([0, 3, 0, 0, 2, 1, 0, 0]),
    digests=["aa", "", "bb", "cc", "dd", "ee", "ff", ""],
    algorithm=[8],
)
BASH = rpms.package("bash", "5.1.8", "9.el9", arch="x86_64", vendor="Red Hat, Inc.", source="bash-5.1.8-9.el9.src.rpm")


def read(data: bytes, place: str = SQLITE) -> list[Found]:
    return list(rpm.FORMAT.read(DictTree({place: data}), place))


def test_installed_packages_with_epoch_source_licence_and_size():
    assert read(rpms.sqlite({1: CURL, 2: BASH})) == [
        Found(
            name="curl",
            version="1:7.76.1-31.el9",
            path=SQLITE,
            architecture="x86_64",
            source_name="curl",
            source_version="7.76.1-31.el9",
            licenses=("MIT",),
            installed_size_bytes=719_872,
            qualifiers=(("epoch", "1"), ("upstream", "curl-7.76.1-31.el9.src.rpm")),
        ),
        Found(
            name="bash",
            version="5.1.8-9.el9",
            path=SQLITE,
            architecture="x86_64",
            source_name="bash",
            source_version="5.1.8-9.el9",
            qualifiers=(("upstream", "bash-5.1.8-9.el9.src.rpm"),),
        ),
    ]


def test_each_kind_of_database_says_the_same(tmp_path: Path):
    rpms.needs("db5.3_load")
    headers = {1: CURL, 2: BASH}
    expected = read(rpms.sqlite(headers))
    for place, data in ((NDB, rpms.ndb(headers)), (BDB, rpms.berkeley(tmp_path / "x", headers))):
        found = sorted(read(data, place), key=lambda one: one.name, reverse=True)
        assert [replace(one, path=SQLITE) for one in found] == expected


def test_a_single_package_and_none(tmp_path: Path):
    rpms.needs("db5.3_load")
    for headers, names in (({9: BASH}, ["bash"]), ({}, [])):
        made = {
            SQLITE: rpms.sqlite(headers),
            NDB: rpms.ndb(headers),
            BDB: rpms.berkeley(tmp_path / str(len(names)), headers),
        }
        for place, data in made.items():
            assert [found.name for found in read(data, place)] == names


@pytest.mark.parametrize("place", [SQLITE, NDB, BDB])
def test_a_file_of_no_bytes_is_damaged_not_empty(place: str):
    with pytest.raises(DamagedDatabaseError, match="0 bytes"):
        read(b"", place)


@pytest.mark.parametrize("place", [SQLITE, NDB, BDB, "usr/share/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/Packages"])
def test_every_place_is_looked_at(place: str):
    assert rpm.FORMAT.places(DictTree({place: b""})) == [place]


def test_a_ghost_a_file_left_out_and_one_that_was_replaced_are_not_owned():
    tree = DictTree({SQLITE: rpms.sqlite({1: CURL, 2: BASH})})
    curl, bash = rpm.FORMAT.read(tree, SQLITE)
    assert rpm.FORMAT.files(tree, curl) == ["usr/bin/curl", "usr/bin/uno", "etc/curl.conf", "usr/bin/optional"]
    assert rpm.FORMAT.files(tree, bash) == []


def test_digests_are_those_of_files_that_may_not_differ():
    tree = DictTree({SQLITE: rpms.sqlite({1: CURL})})
    [curl] = rpm.FORMAT.read(tree, SQLITE)
    assert rpm.FORMAT.digests(tree, curl) == {"usr/bin/curl": ("sha256", "aa")}


def test_a_digest_of_no_stated_kind_is_md5_and_one_of_an_unknown_kind_is_none():
    for more, expected in (({}, {"a": ("md5", "aa")}), ({"algorithm": [99]}, None)):
        data = rpms.package("a", dirnames=["/"], basenames=["a"], dirindexes=[0], digests=["aa"], **more)
        tree = DictTree({SQLITE: rpms.sqlite({1: data})})
        [found] = rpm.FORMAT.read(tree, SQLITE)
        assert rpm.FORMAT.digests(tree, found) == expected


def test_full_names_of_files_as_the_first_versions_of_rpm_listed_them():
    tree = DictTree({SQLITE: rpms.sqlite({1: rpms.package("a", old_names=["/bin/a", "/bin/b/"])})})
    [found] = rpm.FORMAT.read(tree, SQLITE)
    assert rpm.FORMAT.files(tree, found) == ["bin/a", "bin/b"]


@pytest.mark.parametrize(
    "lists",
    [
        {"dirindexes": [0]},
        {"dirindexes": [0, 7]},
        {"dirindexes": []},
        {"states": b"\0"},
        {"digests": ["aa"]},
        {"flags": [0, 0, 0]},
        {"dirnames": ["/" + "x" * 90_000], "basenames": ["a"] * 300, "dirindexes": [0] * 300},
    ],
)
def test_lists_of_files_that_do_not_fit_together_are_damage_to_that_package_alone(lists):
    good = {"dirnames": ["/usr/"], "basenames": ["a", "b"], "dirindexes": [0, 0]}
    tree = DictTree({SQLITE: rpms.sqlite({1: rpms.package("a", **good | lists)})})
    [found] = rpm.FORMAT.read(tree, SQLITE)
    with pytest.raises(DamagedDatabaseError, match="package 1: "):
        rpm.FORMAT.files(tree, found)


def test_a_key_is_a_row_that_says_that_it_is_one():
    [key] = read(
        rpms.sqlite({1: rpms.package("gpg-pubkey", "fd431d51", "4ae0493b", license="pubkey", source="(none)")})
    )
    assert (key.version, key.architecture, key.licenses, key.source_name) == ("fd431d51-4ae0493b", None, (), None)
    assert key.detail == "a key that rpm trusts, which rpm lists as a package; no software"


def test_a_package_of_another_vendor_than_most_says_so():
    docker = rpms.package("docker-ce", vendor="Docker")
    home = rpms.package("mine")
    details = {one.name: one.detail for one in read(rpms.sqlite({1: CURL, 2: BASH, 3: docker, 4: home}))}
    assert details == {
        "curl": None,
        "bash": None,
        "docker-ce": "vendor Docker; most packages here are of Red Hat, Inc.",
        "mine": "vendor not stated; most packages here are of Red Hat, Inc.",
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("util-linux-2.32.1-42.el8_8.src.rpm", ("util-linux", "2.32.1-42.el8_8")),
        ("java-1.8.0-openjdk-1.8.0.1-1.nosrc.rpm", ("java-1.8.0-openjdk", "1.8.0.1-1")),
        ("elasticsearch-8.17.0-1-src.rpm", ("elasticsearch", "8.17.0-1")),
        ("something else", (None, None)),
    ],
)
def test_the_source_package_out_of_its_file_name(source: str, expected: tuple):
    [found] = read(rpms.sqlite({1: rpms.package("a", source=source)}))
    assert (found.source_name, found.source_version) == expected
    assert found.qualifiers == (("upstream", source),)


@pytest.mark.parametrize(
    ("distro", "expected"),
    [
        (("fedora", "25"), "pkg:rpm/fedora/curl@7.50.3-1.fc25?arch=i386&distro=fedora-25"),
        (("opensuse-tumbleweed", None), "pkg:rpm/opensuse/curl@7.50.3-1.fc25?arch=i386&distro=opensuse-tumbleweed"),
        (("rhel", "9.4"), "pkg:rpm/redhat/curl@7.50.3-1.fc25?arch=i386&distro=rhel-9.4"),
    ],
)
def test_purls_of_the_specification(distro: tuple, expected: str):
    [found] = read(rpms.sqlite({1: rpms.package("curl", "7.50.3", "1.fc25", arch="i386")}))
    assert purl_of(rpm.FORMAT, found, Distribution(*distro)) == expected


def test_a_purl_with_epoch_source_and_module():
    data = rpms.package(
        "nodejs", "18.19", "1", epoch=[1], arch="x86_64", source="nodejs-18.19-1.src.rpm", module="nodejs:18:89"
    )
    [found] = read(rpms.sqlite({1: data}))
    assert found.version == "1:18.19-1"
    assert purl_of(rpm.FORMAT, found, Distribution("rocky", "8.9")) == (
        "pkg:rpm/rocky/nodejs@18.19-1?arch=x86_64&distro=rocky-8.9&epoch=1&rpmmod=nodejs:18:89&upstream=nodejs-18.19-1.src.rpm"
    )


AZURE = (
    b"filesystem\t1.1-9.cm2\t1653816591\t1653628924\tMicrosoft Corporation\t(none)\t7596\tx86_64\t0\tfilesystem-1.1-9.cm2.src.rpm\n"
    b"vim\t9.0-1.cm2\t1653816591\t1653753130\tMicrosoft Corporation\t(none)\t45000\tx86_64\t2\tvim-9.0-1.cm2.src.rpm\n"
    b"gpg-pubkey\t3135ce90-5e6fda74\t1\t1\t(none)\t(none)\t0\t(none)\t0\t(none)\n\n"
)
AZURE_NAMES = b"filesystem-1.1-9.cm2.x86_64\nvim-9.0-1.cm2.x86_64\ngpg-pubkey-3135ce90-5e6fda74\n"


def test_the_manifest_of_a_distroless_image():
    tree = DictTree({MANIFEST_2: AZURE})
    filesystem, vim, key = rpm.FORMAT.read(tree, MANIFEST_2)
    assert filesystem == Found(
        name="filesystem",
        version="1.1-9.cm2",
        path=MANIFEST_2,
        architecture="x86_64",
        source_name="filesystem",
        source_version="1.1-9.cm2",
        installed_size_bytes=7596,
        qualifiers=(("upstream", "filesystem-1.1-9.cm2.src.rpm"),),
    )
    assert vim.version == "2:9.0-1.cm2"
    assert (key.version, key.architecture, key.source_name) == ("3135ce90-5e6fda74", None, None)
    assert rpm.FORMAT.files(tree, vim) is None
    assert rpm.FORMAT.digests(tree, vim) is None


def test_the_list_of_names_beside_it_is_read_where_it_stands_alone():
    found = list(rpm.FORMAT.read(DictTree({MANIFEST_1: AZURE_NAMES}), MANIFEST_1))
    assert [(one.name, one.version, one.architecture) for one in found] == [
        ("filesystem", "1.1-9.cm2", "x86_64"),
        ("vim", "9.0-1.cm2", "x86_64"),
        ("gpg-pubkey", "3135ce90-5e6fda74", None),
    ]


def test_an_empty_manifest_is_no_packages():
    assert read(b"", MANIFEST_2) == []


@pytest.mark.parametrize(
    ("place", "data", "said"),
    [
        (MANIFEST_2, AZURE[:-3], "line 3: the file ends within a line: 'gpg-pubkey"),
        (MANIFEST_2, b"vim\t9.0-1\n", "line 1: expected 10 columns between tabs, found 'vim"),
        (MANIFEST_1, b"vim\n", "line 1: expected name-version-release.arch, found 'vim'"),
    ],
)
def test_a_manifest_that_was_cut_is_damaged(place: str, data: bytes, said: str):
    with pytest.raises(DamagedDatabaseError) as error:
        read(data, place)
    assert said in str(error.value)


def test_what_two_places_state_is_read_from_the_better_one():
    azure = rpms.package("filesystem", "1.1", "9.cm2", arch="x86_64")
    tree = DictTree({SQLITE: rpms.sqlite({1: azure}), MANIFEST_2: AZURE, MANIFEST_1: AZURE_NAMES})
    places = rpm.FORMAT.places(tree)
    assert places == [SQLITE, MANIFEST_2, MANIFEST_1]
    names = {place: [found.name for found in rpm.FORMAT.read(tree, place)] for place in places}
    # the list of names does not tell vim's epoch
    assert names == {SQLITE: ["filesystem"], MANIFEST_2: ["vim", "gpg-pubkey"], MANIFEST_1: ["vim"]}


def test_a_manifest_beside_a_damaged_database_is_read():
    tree = DictTree({SQLITE: b"", MANIFEST_2: AZURE})
    assert len(list(rpm.FORMAT.read(tree, MANIFEST_2))) == 3


def test_a_package_that_the_database_states_twice_is_one():
    assert len(read(rpms.sqlite({1: BASH, 2: BASH}))) == 1


def test_a_journal_beside_the_database_says_that_it_was_left_in_the_middle_of_a_change():
    for start, is_damaged in ((bytes.fromhex("d9d505f920a163d7"), True), (bytes(8), False)):
        tree = DictTree({SQLITE: rpms.sqlite({1: BASH}), f"{SQLITE}-journal": start + bytes(504)})
        if is_damaged:
            with pytest.raises(DamagedDatabaseError, match="left in the middle of a change"):
                list(rpm.FORMAT.read(tree, SQLITE))
        else:
            assert len(list(rpm.FORMAT.read(tree, SQLITE))) == 1


def test_a_log_in_a_layer_of_its_own_is_read_and_said(tmp_path: Path):
    """What the second and the third layer changed stands in the log alone."""
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(rpms.sqlite({1: CURL}))
    log = Path(f"{path}-wal")
    with closing(sqlite3.connect(path)) as connection:
        layers = [{SQLITE: path.read_bytes(), f"{SQLITE}-wal": b""}]
        for command in ("INSERT INTO Packages VALUES (2, ?)", "DELETE FROM Packages WHERE blob <> ?"):
            connection.execute(command, (BASH,))
            connection.commit()
            layers.append({f"{SQLITE}-wal": log.read_bytes()})
        assert path.read_bytes() == layers[0][SQLITE]
    found = audited(tmp_path, *layers)
    assert rows(found.packages, "name", "first_layer") == [("bash", 2)]
    assert rows(found.removed_packages, "name", "first_layer", "removed_layer") == [("curl", 1, 3)]
    assert rows(found.databases[found.databases["format"] == "rpm"], "status", "package_count", "detail") == [
        ("read", 1, "read with what is committed in rpmdb.sqlite-wal beside it, and not in the file itself yet")
    ]


def test_a_database_that_moves_and_changes_its_kind_keeps_its_packages(tmp_path: Path):
    moved = {"usr/lib/sysimage/rpm/rpmdb.sqlite": rpms.sqlite({1: CURL, 2: BASH}), "var/lib/.wh.rpm": ""}
    found = audited(tmp_path, {"var/lib/rpm/Packages.db": rpms.ndb({1: CURL})}, moved)
    assert rows(found.packages, "name", "first_layer") == [("bash", 2), ("curl", 1)]
    assert len(found.removed_packages) == 0
    assert rows(found.databases[found.databases["format"] == "rpm"], "database_path", "status", "detail") == [
        ("/usr/lib/sysimage/rpm/rpmdb.sqlite", "read", None),
        ("/var/lib/rpm/Packages.db", "absent", "deleted by layer 2; below it: 1 packages"),
    ]


def audited(path: Path, *layers) -> Audit:
    oci_dir(path / "image", layers)
    return audit(f"oci-dir:{path / 'image'}")


def rows(table: pd.DataFrame, *columns: str) -> list[tuple]:
    chosen = table[list(columns)].astype(object)
    return [tuple(None if pd.isna(value) else value for value in row) for row in chosen.itertuples(index=False)]


def test_the_known_packages_of_a_suse_image(shared_data: Path):
    expected = json.loads((shared_data / "rpmdb" / "sle15-bci.expected.json").read_text())
    found = read((shared_data / "rpmdb" / "sle15-bci.Packages.db").read_bytes(), NDB)
    stated = [
        {
            "name": one.name,
            "version": one.version,
            "arch": one.architecture,
            "sourcerpm": dict(one.qualifiers)["upstream"],
            "size": one.installed_size_bytes,
            "license": "".join(one.licenses),
            "modularitylabel": dict(one.qualifiers).get("rpmmod", ""),
        }
        for one in found
    ]
    assert stated == [
        {
            **{key: row[key] for key in ("name", "arch", "sourcerpm", "size", "license", "modularitylabel")},
            "version": f"{row['version']}-{row['release']}",
        }
        for row in expected
    ]
    assert {row["epoch"] for row in expected} == {None}
    headers = list(rpm.parse((shared_data / "rpmdb" / "sle15-bci.Packages.db").read_bytes(), NDB))
    assert [header.text(rpms.VENDOR) for header in headers] == [row["vendor"] for row in expected]
    assert len(found) == 35


@pytest.mark.parametrize(("name", "place"), [("ubi8-libuuid", BDB), ("rpm-testsuite", SQLITE)])
def test_the_known_packages_of_a_red_hat_image_and_of_rpms_own_tests(shared_data: Path, name: str, place: str):
    with (shared_data / "rpmdb" / f"{name}.expected.tsv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    data = (shared_data / "rpmdb" / f"{name}.{place.rpartition('/')[2]}").read_bytes()
    stated = [
        [
            one.name,
            dict(one.qualifiers).get("epoch", ""),
            *str(one.version).split("-"),
            one.architecture or "(none)",
            dict(one.qualifiers).get("upstream", "(none)"),
            str(one.installed_size_bytes),
        ]
        for one in read(data, place)
    ]
    assert sorted(stated) == sorted(row[:7] for row in rows)
    headers = {header.text(rpms.NAME): header for header in rpm.parse(data, place)}
    for row in rows:  # the one of Red Hat's tells licence and vendor too
        assert [headers[row[0]].text(tag) for tag in (rpms.LICENSE, rpms.VENDOR)[: len(row) - 7]] == row[7:9]


@settings(max_examples=100)
@given(st.binary(max_size=300) | st.text(alphabet="a-1.\t\n0(none)", max_size=200).map(str.encode))
def test_any_bytes_are_packages_or_damage(data: bytes):
    for place in (SQLITE, NDB, BDB, MANIFEST_1, MANIFEST_2):
        try:
            assert all(isinstance(found, Found) for found in read(data, place))
        except DamagedDatabaseError as error:
            assert "\n" not in str(error)


@settings(max_examples=200)
@given(
    st.lists(st.text(max_size=4).filter(lambda text: "\0" not in text), max_size=3),
    st.lists(st.text(max_size=4).filter(lambda text: "\0" not in text), max_size=3),
    st.lists(st.integers(0, 4), max_size=3),
)
def test_any_lists_of_files_are_paths_inside_or_damage(folders: list[str], names: list[str], indexes: list[int]):
    lists = {"dirnames": folders, "basenames": names, "dirindexes": indexes}
    tree = DictTree({SQLITE: rpms.sqlite({1: rpms.package("a", **lists)})})
    [found] = rpm.FORMAT.read(tree, SQLITE)
    try:
        assert not any(path.startswith("/") or path.endswith("/") or not path for path in rpm.FORMAT.files(tree, found))
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)
