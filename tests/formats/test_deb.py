"""deb: the status file, status.d of distroless images, and who owns what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import deb
from audit_lib.formats.base import Found
from tests.formats.tree import DictTree

BASH = (
    b"Package: bash\nEssential: yes\nStatus: install ok installed\nInstalled-Size: 7163\nArchitecture: amd64\n"
    b"Source: bash (5.2.15-2)\n"
    b"Version: 5.2.15-2+b13\nDescription: shell\n the GNU one\n .\n more\n\n"
)
TZDATA = b"Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2024a\n\n"
REMOVED = b"Package: nano\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 7.2\n\n"
STATUS = "var/lib/dpkg/status"
INFO = "var/lib/dpkg/info"


def read(files: dict[str, bytes], place: str = STATUS) -> list[Found]:
    return list(deb.FORMAT.read(DictTree(files), place))


def test_installed_packages_with_source_size_and_licences():
    copyright_file = b"Format: https://example.org/\n\nFiles: *\nLicense: GPL-3+\n\nLicense: Expat\n text\n"
    found = read({STATUS: BASH + TZDATA, "usr/share/doc/bash/copyright": copyright_file})
    assert found == [
        Found(
            name="bash",
            version="5.2.15-2+b13",
            path=STATUS,
            architecture="amd64",
            source_name="bash",
            source_version="5.2.15-2",
            licenses=("Expat", "GPL-3+"),
            installed_size_bytes=7163 * 1024,
        ),
        Found(
            name="tzdata",
            version="2024a",
            path=STATUS,
            architecture="all",
            source_name="tzdata",
            source_version="2024a",
        ),
    ]


def test_a_single_package_without_an_empty_line_at_the_end():
    assert [found.name for found in read({STATUS: TZDATA.rstrip(b"\n") + b"\n"})] == ["tzdata"]


def test_an_empty_status_file_is_no_packages_not_a_fault():
    assert read({STATUS: b""}) == []


def test_what_was_removed_and_left_its_configuration_is_not_installed():
    assert [found.name for found in read({STATUS: REMOVED + BASH})] == ["bash"]


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (BASH[:26], 2, "the file ends within a line: 'Essential: y'"),
        (BASH[: BASH.index(b"Version")], 1, "bash: no Version; was the file cut?"),
        (b"Package: bash\nno colon here\n", 2, "expected 'Field: value', found 'no colon here'"),
        (b" continuation\n", 1, "a continuation of nothing"),
        (BASH[:-1] + TZDATA, 12, "field 'Package' twice in one stanza"),
        (BASH + b"Status: install ok installed\n\n", 13, "a stanza without Package"),
        (b"Package: x\nStatus: very odd\n\n", 1, "Status is 'very odd'"),
        (BASH + bytes(10), 13, "a NUL byte; expected text"),
    ],
)
def test_damage_is_told_with_its_line(data: bytes, line: int, said: str):
    with pytest.raises(DamagedDatabaseError) as error:
        read({STATUS: data})
    assert error.value.line == line
    assert said in str(error.value)


def test_a_status_file_cut_at_any_byte_is_damaged_or_has_lost_nothing():
    files = {f"{INFO}/{name}.list": b"/.\n" for name in ("bash", "tzdata")}
    whole = read({STATUS: BASH + TZDATA, **files})
    data = BASH + TZDATA
    survived = []
    for cut in range(len(data)):
        try:
            found = read({STATUS: data[:cut], **files})
        except DamagedDatabaseError:
            continue
        assert found == whole, cut
        survived.append(cut)
    # All that may be lost without notice is the empty line at the very end.
    assert survived == [len(data) - 1]


def test_file_lists_of_packages_that_the_status_file_lacks_tell_that_it_was_edited():
    with pytest.raises(
        DamagedDatabaseError, match=r"it lacks 2 of the 3 packages whose file lists are there \(curl, tzdata\)"
    ):
        read({STATUS: BASH, **{f"{INFO}/{name}.list": b"" for name in ("bash", "tzdata", "curl:amd64")}})


def test_distroless_images_have_a_file_a_package_and_own_by_checksums():
    files = {
        "var/lib/dpkg/status.d/tzdata": b"Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
        "var/lib/dpkg/status.d/tzdata.md5sums": b"0" * 32
        + b"  usr/share/zoneinfo/UTC\n"
        + b"1" * 32
        + b"  ./usr/share/doc/tzdata/copyright\n",
    }
    tree = DictTree(files)
    assert deb.FORMAT.places(tree) == ["var/lib/dpkg/status.d"]
    (found,) = deb.FORMAT.read(tree, "var/lib/dpkg/status.d")
    assert (found.name, found.path) == ("tzdata", "var/lib/dpkg/status.d/tzdata")
    assert deb.FORMAT.files(tree, found) == ["usr/share/zoneinfo/UTC", "usr/share/doc/tzdata/copyright"]


def test_owned_files_come_from_the_list_with_or_without_the_architecture():
    (found,) = read({STATUS: BASH})
    for stem in ("bash", "bash:amd64"):
        tree = DictTree({STATUS: BASH, f"{INFO}/{stem}.list": b"/.\n/bin\n/bin/bash\n"})
        assert deb.FORMAT.files(tree, found) == ["bin", "bin/bash"]
    assert deb.FORMAT.files(DictTree({STATUS: BASH, f"{INFO}/bash.md5sums": b"0" * 32 + b"  bin/bash\n"}), found) == [
        "bin/bash"
    ]
    assert deb.FORMAT.files(DictTree({STATUS: BASH}), found) is None


def test_a_diverted_file_belongs_to_its_package_under_the_other_name():
    (found,) = read({STATUS: BASH})
    diversions = b"/bin/bash\n/bin/bash.distrib\nother\n/bin/sh\n/bin/sh.distrib\nbash\n"
    tree = DictTree({STATUS: BASH, f"{INFO}/bash.list": b"/bin/bash\n/bin/sh\n", "var/lib/dpkg/diversions": diversions})
    assert deb.FORMAT.files(tree, found) == ["bin/bash.distrib", "bin/sh"]


def test_free_text_in_a_copyright_file_is_no_licence_but_the_common_ones_it_names_are():
    text = "License: see below\nOn Debian systems, see /usr/share/common-licenses/GPL-2. Or\n/usr/share/common-licenses/Artistic\n"
    assert deb.parse_licenses(text) == ("Artistic", "GPL-2")
    assert deb.parse_licenses("nothing known") == ()


@given(
    st.binary(max_size=400) | st.text(alphabet="Package: \nStatusVersion ok installed", max_size=300).map(str.encode)
)
def test_any_bytes_are_packages_or_damage(data: bytes):
    try:
        assert all(isinstance(found, Found) for found in read({STATUS: data}))
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)
