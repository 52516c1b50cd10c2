"""The walk over a tar, against Python's own tarfile and GNU tar."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.errors import ImageFormatError
from audit_lib.tar import Window, clean, members
from tests.images import capable, device, fifo, file, folder, hardlink, layer_tar, symlink

KINDS = {tarfile.REGTYPE: "0", tarfile.AREGTYPE: "0", tarfile.CONTTYPE: "0", tarfile.GNUTYPE_SPARSE: "0"}
LONG = "a-folder-with-a-long-name/" * 6 + "and-a-file"


def chunked(data: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    return iter([data[at : at + size] for at in range(0, len(data), size)])


def walked(data: bytes, size: int = 1 << 20) -> list[tuple]:
    """Return what the walk tells, and the stored bytes of each member."""
    window = Window(chunked(data, size))
    return [
        (
            found.name.rstrip("/"),
            found.kind,
            found.size,
            *found.owner,
            found.link,
            b"" if found.is_sparse else window.take(found.stored),
        )
        for found in members(window, "test")
    ]


def told_by_tarfile(data: bytes) -> list[tuple]:
    with tarfile.open(fileobj=io.BytesIO(data), errorlevel=2) as archive:
        return [
            (
                found.name,
                KINDS.get(found.type, found.type.decode()),
                found.size if found.isreg() else 0,
                found.mode & 0o7777,
                found.uid,
                found.gid,
                found.linkname if found.issym() or found.islnk() else "",
                archive.extractfile(found).read() if found.isreg() and not found.issparse() else b"",
            )
            for found in archive
        ]


EVERYTHING = {
    "etc/": folder(mode=0o755),
    "etc/passwd": "root:x:0:0\n",
    "bin": symlink("usr/bin"),
    "usr/bin/su": file(b"\x7fELF", mode=0o4755),
    "usr/bin/again": hardlink("usr/bin/su"),
    "dev/null": device("character", 1, 3),
    "dev/sda": device("block", 8, 0),
    "run/pipe": fifo(),
    LONG: file(b"long", uid=70_000, gid=3_000_000),
    "link-to-long": symlink(LONG * 2),
    "ünïcödé/名前": "text",
    "empty": b"",
    "block": bytes(512),
    "ping": capable(b"ping", bytes.fromhex("0100000200200000000000000000000000000000")),
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 4096, 1 << 20])
def test_every_kind_of_member_is_told_as_tarfile_tells_it_whatever_the_chunks(form: int, size: int):
    data = layer_tar(EVERYTHING, tar_format=form)
    assert walked(data, size) == told_by_tarfile(data)
    assert len(walked(data, size)) == len(EVERYTHING)


def test_a_ustar_prefix_stands_in_front_of_the_name():
    data = layer_tar({LONG: "x"}, tar_format=tarfile.USTAR_FORMAT)
    assert walked(data)[0][0] == LONG


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_archives_of_gnu_tar_in_each_of_its_formats(form: str, tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(b"x" * 3000)
    (tree / "sub" / "link").symlink_to("file")
    (tree / "sub" / "hard").hardlink_to(tree / "sub" / "file")
    data = subprocess.run(["tar", f"--format={form}", "-C", tree, "-c", "."], check=True, capture_output=True).stdout
    assert walked(data) == told_by_tarfile(data)


@pytest.mark.parametrize(
    "form",
    [["--format=gnu"], *(["--format=posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0"))],
)
def test_a_sparse_file_is_as_long_as_it_was_not_as_it_is_stored(form: list[str], tmp_path):
    with (tmp_path / "sparse").open("wb") as out:
        for at in range(40):
            out.seek(at * 100_000)
            out.write(b"data")
        out.truncate(5_000_000)
    (tmp_path / "after").write_bytes(b"after")
    data = subprocess.run(
        ["tar", *form, "--sparse", "-C", tmp_path, "-c", "sparse", "after"], check=True, capture_output=True
    ).stdout
    assert [row[:3] for row in walked(data)] == [("sparse", "0", 5_000_000), ("after", "0", 5)]
    assert walked(data) == told_by_tarfile(data)


def test_large_numbers_are_base_256():
    member = tarfile.TarInfo("big-ids")
    member.uid, member.gid = 2**40, 2**33
    data = member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    assert walked(data)[0][4:6] == (2**40, 2**33)


def test_global_pax_headers_hold_for_all_that_follow():
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"uid": "1234", "comment": "x"}
    ) as archive:
        archive.addfile(tarfile.TarInfo("one"))
    assert [row[4] for row in walked(out.getvalue())] == [1234]


def test_pax_headers_that_nothing_reads_take_no_memory():
    comments = {f"comment.{number}": "" for number in range(20_000)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=comments) as archive:
        archive.addfile(tarfile.TarInfo("one"))
    (found,) = members(Window(chunked(out.getvalue())), "test")
    assert found.pax is None


def test_capabilities_survive_byte_for_byte():
    raw = bytes(range(200, 220))
    window = Window(chunked(layer_tar({"f": capable(b"x", raw)})))
    (found,) = members(window, "test")
    assert found.pax["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == raw


def test_names_that_are_not_utf_8_are_kept_apart():
    first, second = (
        tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") for name in ("a\udcff", "a\udcfe")
    )
    assert [row[0] for row in walked(first + second)] == ["a\udcff", "a\udcfe"]


def test_an_archive_may_end_without_end_blocks():
    data = layer_tar({"one": "1", "two": "2"})
    assert [row[0] for row in walked(data[:2048])] == ["one", "two"]
    assert walked(b"") == []
    assert walked(bytes(10240)) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"just text\n" * 100, "not a tar header at byte 0"),
        (layer_tar({"one": b"x" * 2000})[:1500], "'one' (header at byte 0) claims 2,000 bytes, only 988 follow"),
        (layer_tar({"one": "1"})[:1024] + b"short", "expected a 512-byte tar header at byte 1024, found 5 bytes"),
        (layer_tar({"y" * 200: "1"})[:600], "truncated: extension header at byte 0"),
        (layer_tar({"x": file("1", pax={"size": "-3"})}), "size is '-3', expected a whole number"),
        (layer_tar({"x": file("1", pax={"path": "a\0b"})}), "a name with a NUL byte"),
        (layer_tar({"x": file("1", pax={"uid": "9" * 19})}), "uid is '9999999999999999999', expected a whole number"),
        (
            layer_tar({"x": file("1", pax={"GNU.sparse.realsize": str(2**43 + 1)})}),
            "'x' (header at byte 1024) claims 8,796,093,022,209 bytes, limit 8,796,093,022,208",
        ),
    ],
)
def test_what_is_no_tar_is_one_clear_error(data: bytes, said: str):
    with pytest.raises(ImageFormatError, match=r"^test: ") as error:
        walked(data)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_negative_size_is_an_error():
    member = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    member[124:136] = b"\xff" * 12
    member[148:156] = b" " * 8
    member[148:156] = b"%06o\0 " % sum(member)
    with pytest.raises(ImageFormatError, match="a negative number"):
        walked(bytes(member))


def test_an_extension_header_of_a_gigabyte_is_refused_before_it_is_read():
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 1 << 30
    with pytest.raises(ImageFormatError, match="an extension of 1,073,741,824 bytes, limit"):
        walked(member.tobuf(tarfile.GNU_FORMAT))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("./a/b", "a/b"),
        ("/a//b/", "a/b"),
        ("a/./b", "a/b"),
        ("a/x/../b", "a/b"),
        (".", ""),
        ("./", ""),
        ("..a/b..", "..a/b.."),
        ("a/.wh.b", "a/.wh.b"),
        ("a/...", "a/..."),
    ],
)
def test_names_become_paths_from_the_root(name: str, expected: str):
    assert clean(name, "test") == expected


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/../x", "./../x"])
def test_names_that_climb_out_are_refused(name: str):
    with pytest.raises(ImageFormatError, match="climbs out of the root"):
        clean(name, "test")


NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=120).filter(
    lambda name: name.strip(".")
)


@given(
    st.dictionaries(NAMES, st.binary(max_size=1500), max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 3000),
)
@settings(max_examples=60, deadline=None)
def test_any_archive_is_told_as_tarfile_tells_it(files: dict[str, bytes], form: int, size: int):
    data = layer_tar(files, tar_format=form)
    assert walked(data, size) == told_by_tarfile(data)


@given(st.binary(max_size=3000))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_members_or_one_error(data: bytes):
    with suppress(ImageFormatError):
        walked(data)


def test_a_damaged_archive_is_members_or_one_error():
    generator = random.Random(1)
    whole = layer_tar(EVERYTHING)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 20)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            walked(bytes(data))
        except ImageFormatError:
            refused += 1
    assert refused > 300  # nearly every header byte is under the checksum
