"""What holds for each format alike: any bytes at all give rows or a damaged one, and thousands of packages take no hours."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_lib import Audit, audit
from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import FORMATS
from audit_lib.formats.base import Format, Found
from tests.elves import elf_file
from tests.formats.specimens import SPECIMENS, Files
from tests.formats.tree import DictTree
from tests.images import oci_dir

BY_NAME = {form.name: form for form in FORMATS}
# What a hang is: the worst of these took minutes to hours before they were bounded, and takes a second or two now.
SECONDS = 40


def of(specimen: str) -> Format:
    return BY_NAME[specimen.partition(" ")[0]]


def tree_of(form: Format, files: Files) -> DictTree:
    """Return the files as the format sees them; what `extract` refuses is left out, as a scan does."""
    evidence = {}
    for path, content in files.items() if form.extract else ():
        is_asked = any(DictTree({path: b""}).glob(glob) for glob in form.extract_globs)
        if is_asked or (form.extract_magic and content.startswith(form.extract_magic)):
            try:
                evidence[path] = form.extract(path, content)
            except DamagedDatabaseError:
                continue
    kept = {path for glob in form.globs for path in DictTree(files).glob(glob)}
    return DictTree(
        {path: files[path] for path in kept},
        {form.name: {path: found for path, found in sorted(evidence.items()) if found is not None}},
    )


def read_all(form: Format, files: Files) -> list[str]:
    """Return the names of the packages in the files, everything asked for that is asked of a format."""
    tree, names = tree_of(form, files), []
    for place in form.places(tree):
        found = []
        try:
            for one in form.read(tree, place):
                found += [one] if isinstance(one, Found) else []
        except DamagedDatabaseError:
            continue
        for one in found:
            names.append(one.name)
            for ask in (form.files, form.digests):
                try:
                    claimed = ask(tree, one) if ask else None
                except DamagedDatabaseError:
                    continue
                assert claimed is None or all(not path.startswith("/") for path in claimed)
    return names


def audited(path: Path, files: Mapping[str, object]) -> Audit:
    oci_dir(path / "image", layers=[files], compression="")
    return audit(f"oci-dir:{path / 'image'}")


def test_every_format_has_a_specimen():
    assert {of(specimen).name for specimen in SPECIMENS} == set(BY_NAME)


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_a_specimen_holds_packages_and_nothing_damaged(specimen, tmp_path):
    found = audited(tmp_path, SPECIMENS[specimen](3))
    assert len(found.packages[found.packages["format"] == of(specimen).name]) >= 3
    assert found.gaps == ()


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes that were valid: cut, overwritten, doubled, with something put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["cut", "overwrite", "insert", "double", "digits"])):
            case "cut":
                del data[place : place + draw(st.integers(1, 40))]
            case "overwrite":
                new = draw(st.binary(min_size=1, max_size=4))
                data[place : place + len(new)] = new
            case "insert":
                data[place:place] = draw(
                    st.sampled_from([b"\n", b"\n\n", b"\0", b"{", b"[", b'"', b"\xff", b"/../", b"null", b"="])
                )
            case "double":
                data[place:place] = data[max(place - 60, 0) : place]
            case "digits":
                data[place:place] = b"9" * draw(st.sampled_from([1, 20, 5000]))
    return bytes(data)


@pytest.mark.parametrize("specimen", SPECIMENS)
@given(data=st.data())
def test_damage_of_any_kind_gives_packages_or_the_named_error(specimen, data):
    files = dict(SPECIMENS[specimen](2))
    for path in data.draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True)):
        files[path] = data.draw(damaged(files[path]))
    read_all(of(specimen), files)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@given(data=st.data())
def test_any_bytes_in_any_file_give_packages_or_the_named_error(form, data):
    globs = data.draw(st.lists(st.sampled_from([*form.globs, *form.extract_globs, "bin/x"]), min_size=1, max_size=3))
    magic = data.draw(st.sampled_from([b"", b"PK\3\4", b"MZ", form.extract_magic or b""]))
    paths = [glob.replace("**/", "usr/").replace("*", "p").replace("?", "3") for glob in globs]
    read_all(form, {path: magic + data.draw(st.binary(max_size=200)) for path in paths})


@pytest.mark.parametrize("specimen", SPECIMENS)
@given(data=st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_image_still_becomes_tables(specimen, data, tmp_path_factory):
    files = dict(SPECIMENS[specimen](2))
    path = data.draw(st.sampled_from(sorted(files)))
    files[path] = data.draw(damaged(files[path]))
    audited(tmp_path_factory.mktemp("damaged"), files)


def _calls(path: Path, files: Files) -> int:
    """Return how many calls an audit makes: a measure of its work that no other process disturbs."""
    count = 0

    def counted(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counted)
    try:
        audited(path, files)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_twice_the_packages_are_twice_the_work_not_four_times(specimen, tmp_path):
    _calls(tmp_path / "first", SPECIMENS[specimen](1))  # what is made once a process
    fewer, more = (_calls(tmp_path / str(count), SPECIMENS[specimen](count)) for count in (200, 400))
    assert more < 2.2 * fewer


STANZA = b"Package: p\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
SIZES = {
    "deb": {"var/lib/dpkg/status": STANZA + b"Installed-Size: %s\n\n"},
    "opkg": {"usr/lib/opkg/status": STANZA + b"Installed-Size: %s\n\n"},
    "apk": {"lib/apk/db/installed": b"P:p\nV:1\nI:%s\n\n"},
    "alpm": {"var/lib/pacman/local/p-1/desc": b"%%NAME%%\np\n\n%%VERSION%%\n1\n\n%%SIZE%%\n%s\n\n"},
    "rpm": {"var/lib/rpmmanifest/container-manifest-2": b"p\t1\t1\t1\tx\t(none)\t%s\tnoarch\t0\tp-1-1.src.rpm\n"},
    "conda": {
        "conda-meta/p.json": b'{"name": "p", "version": "1", "paths_data": {"paths": [{"size_in_bytes": %s}, '
        b'{"size_in_bytes": 1}]}}'
    },
}


@pytest.mark.parametrize("size", ["9" * 16, "9" * 30])
@pytest.mark.parametrize("name", SIZES)
def test_a_size_that_nothing_can_have_is_not_stated(name, size, tmp_path):
    found = audited(tmp_path, {path: content % size.encode() for path, content in SIZES[name].items()})
    assert found.packages[["name", "version"]].to_numpy().tolist() == [["p", "1"]]
    assert found.packages["installed_size_bytes"].isna().all()


@pytest.mark.parametrize("name", [name for name in SIZES if name != "conda"])
def test_a_size_of_more_digits_than_python_converts_is_not_stated(name, tmp_path):
    found = audited(tmp_path, {path: content % (b"9" * 5000) for path, content in SIZES[name].items()})
    assert found.packages["installed_size_bytes"].isna().tolist() == [True]


def _overlapping() -> bytes:
    """Return an executable of 60,000 segments, each of them the whole file."""
    file = bytearray(elf_file({".text": bytes(8_000_000)}, stripped=True))
    segment = bytes(file[64:120])
    file[32:40] = len(file).to_bytes(8, "little")
    file[56:58] = (60_000).to_bytes(2, "little")
    return bytes(file) + segment * 60_000


HOSTILE: Mapping[str, Mapping[str, object]] = {
    "a field of a million lines": {"var/lib/dpkg/status": STANZA + b"Description: x\n" + b" a\n" * 1_000_000 + b"\n"},
    "metadata of a million lines": {"p.dist-info/METADATA": b"Name: p\nVersion: 1\nLicense: x\n" + b" a\n" * 1_000_000},
    "a distribution's name of a megabyte": {"etc/os-release": b"ID=" + b"x" * 1_000_000},
    "a diversion for each of many packages": {
        **SPECIMENS["deb"](1000),
        "var/lib/dpkg/diversions": b"/a\n/b\n:\n" * 200_000,
    },
    "libraries by the thousand in one file": {
        "x.deps.json": b'{"libraries": {' + b",".join(b'"L%d/1": {}' % number for number in range(20_000)) + b"}}"
    },
    "segments that overlap": {"bin/x": _overlapping()},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_made_to_take_hours_takes_seconds(case, tmp_path):
    start = time.monotonic()
    audited(tmp_path, HOSTILE[case])
    assert time.monotonic() - start < SECONDS


def test_segments_that_overlap_are_a_damaged_row_not_a_silent_gap(tmp_path):
    found = audited(tmp_path, {"bin/x": _overlapping()})
    assert "60,000 parts of an executable that overlap: not looked into" in " ".join(found.gaps)
