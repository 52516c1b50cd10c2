"""One pass over one layer: digests, compressions, limits, and what is kept."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import subprocess
import sys
import tarfile
import textwrap
import threading

import pytest
import zstandard

from audit_lib.errors import AuditError, DigestError, ImageFormatError, LimitError
from audit_lib.formats import FORMATS
from audit_lib.layer import Limits, NotKept
from audit_lib.scan import scan_layer
from audit_lib.sources.base import Blob
from tests.images import capable, digest, file, layer_tar, symlink

TAR = layer_tar(
    {
        "etc/": None,
        "etc/hostname": "a",
        "bin/sh": file(b"\x7fELF...", mode=0o755),
        "run.sh": "#!/bin/sh\n",
        "lib.a": "!<arch>\n",
        "big": bytes(3_000_000),
    }
)


def scanned(data: bytes, *, limits: Limits | None = None, promised: str | None = None, keep: tuple[str, ...] = ()):
    blob = Blob(name="test", stream=io.BytesIO(data), digest=promised)
    return scan_layer(blob, formats=FORMATS, limits=limits or Limits(), keep=keep)


PACKINGS = {
    "plain": (TAR, ""),
    "gzip": (gzip.compress(TAR), "gzip"),
    "gzip of several members": (
        gzip.compress(TAR[:5000]) + gzip.compress(TAR[5000:9000]) + gzip.compress(TAR[9000:]),
        "gzip",
    ),
    "gzip with zero bytes behind it": (gzip.compress(TAR) + bytes(1000), "gzip"),
    "zstd": (zstandard.compress(TAR), "zstd"),
    "zstd of several frames": (zstandard.compress(TAR[:5000]) + zstandard.compress(TAR[5000:]), "zstd"),
}


@pytest.mark.parametrize(("data", "compression"), PACKINGS.values(), ids=PACKINGS)
def test_digests_and_lengths_are_those_of_hashlib(data: bytes, compression: str):
    scan = scanned(data)
    assert scan.diff_id == f"sha256:{hashlib.sha256(TAR).hexdigest()}"
    assert scan.layer_digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (scan.compressed_bytes, scan.unpacked_bytes, scan.compression) == (len(data), len(TAR), compression)
    assert scan.paths == ["etc", "etc/hostname", "bin/sh", "run.sh", "lib.a", "big"]
    assert scan.magics == {2: "elf", 3: "script", 4: "archive"}


def test_a_stream_that_trickles_is_the_same_layer():
    class Trickle(io.BytesIO):
        def read(self, count=-1, /):
            return super().read(min(count, 3))

    data = gzip.compress(layer_tar({"a": "1", "b": "2"}))
    scan = scan_layer(Blob(name="test", stream=Trickle(data)), formats=FORMATS, limits=Limits())
    assert scan.layer_digest == digest(data)


@pytest.mark.parametrize("cut", [1, 9, 500, -9, -1])
def test_a_cut_gzip_is_truncated(cut: int):
    data = gzip.compress(TAR)
    with pytest.raises(ImageFormatError, match="layer test: truncated"):
        scanned(data[:cut])


@pytest.mark.parametrize("cut", [10, 5000, -5])
def test_a_cut_zstd_does_not_pass_for_the_whole(cut: int):
    tar = layer_tar({"noise": random.Random(1).randbytes(20_000)})
    try:
        scan = scanned(zstandard.compress(tar)[:cut])
    except ImageFormatError as error:
        assert "truncated" in str(error)
    else:
        assert scan.diff_id != digest(tar)


def test_damaged_gzip_says_where():
    data = bytearray(gzip.compress(TAR))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageFormatError, match=r"layer test: (damaged gzip near byte|truncated|not a tar header)"):
        scanned(bytes(data))


def test_a_wrong_digest_names_both():
    with pytest.raises(DigestError) as error:
        scanned(TAR, promised="sha256:" + "0" * 64)
    assert str(error.value) == f"layer test: expected sha256:{'0' * 64}, found {digest(TAR)}"


def test_a_stream_that_breaks_is_told_as_it_broke_and_no_thread_is_left():
    class Broken(io.BytesIO):
        def read(self, _=-1, /):
            data = super().read(1000)
            if self.tell() > 5000:
                raise AuditError("the engine stopped sending")
            return data

    before = threading.active_count()
    with pytest.raises(AuditError, match="the engine stopped sending"):
        scan_layer(Blob(name="test", stream=Broken(TAR)), formats=FORMATS, limits=Limits())
    assert threading.active_count() == before


def test_no_thread_is_left_after_an_error_in_the_walk():
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(ImageFormatError):
            scanned(gzip.compress(b"not a tar at all" * 1_000_000))
    assert threading.active_count() == before


def test_limits_refuse_by_name():
    many = layer_tar({f"f{number}": b"" for number in range(20)})
    with pytest.raises(LimitError, match=r"more than 19 entries \(limit `entries`\)"):
        scanned(many, limits=Limits(entries=19))
    with pytest.raises(LimitError, match="unpacked_bytes"):
        scanned(TAR, limits=Limits(unpacked_bytes=1_000_000))
    with pytest.raises(LimitError, match="over 200-fold"):
        scanned(gzip.compress(layer_tar({"zeros": bytes(10_000_000)})), limits=Limits(inflation_from_bytes=1_000_000))
    with pytest.raises(LimitError, match="path_bytes"):
        scanned(layer_tar({"x" * 300: b""}), limits=Limits(path_bytes=299))


def test_a_file_that_is_too_large_to_keep_is_noted_not_refused():
    tar = layer_tar({"var/lib/dpkg/status": b"x" * 2000, "lib/apk/db/installed": b"y" * 100})
    scan = scanned(tar, limits=Limits(kept_file_bytes=1000))
    assert scan.kept == {0: NotKept("2,000 bytes, limit 1,000"), 1: b"y" * 100}
    scan = scanned(tar, limits=Limits(kept_bytes=2050))
    assert scan.kept[0] == b"x" * 2000
    assert isinstance(scan.kept[1], NotKept)


def test_a_database_that_is_a_link_is_noted_as_there():
    scan = scanned(layer_tar({"var/lib/dpkg/status": symlink("/elsewhere")}))
    assert isinstance(scan.kept[0], NotKept)


def test_capabilities_and_asked_for_files_are_kept():
    scan = scanned(
        layer_tar({"ping": capable(b"x", b"\x01\x02\xff"), "etc/os-release": "ID=x\n"}), keep=("etc/os-release",)
    )
    assert scan.capabilities == {0: b"\x01\x02\xff"}
    assert scan.kept == {1: b"ID=x\n"}


def test_progress_adds_up_to_the_stored_bytes():
    data, seen = gzip.compress(TAR), []
    scan_layer(Blob(name="test", stream=io.BytesIO(data)), formats=FORMATS, limits=Limits(), progress=seen.append)
    assert sum(seen) == len(data)


def peak_mib(program: str) -> tuple[str, int]:
    """Return what a program printed, and the most memory it held in MiB."""
    # Not getrusage: what the kernel tells there of a new process begins with the peak of the one that started it.
    after = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    command = [sys.executable, "-c", textwrap.dedent(program) + after]
    *lines, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return "\n".join(lines), int(peak) // 1024


PREAMBLE = """
import io, tarfile, zlib
from audit_lib.errors import AuditError
from audit_lib.formats import FORMATS
from audit_lib.layer import Limits
from audit_lib.scan import scan_layer
from audit_lib.sources.base import Blob

class Made:
    def __init__(self, chunks): self.chunks = filter(None, chunks)
    def read(self, count, /): return next(self.chunks, b"")

def told(chunks, limits=Limits()):
    try:
        scan_layer(Blob(name="test", stream=Made(chunks)), formats=FORMATS, limits=limits)
    except AuditError as error:
        print(error)
"""


def test_ten_million_entries_are_refused_with_memory_bounded():
    said, peak = peak_mib(
        PREAMBLE
        + """
def entries():
    block = b"".join(tarfile.TarInfo(f"a-folder/{number:07d}").tobuf(tarfile.USTAR_FORMAT) for number in range(1000))
    for _ in range(10_000):
        yield block
told(entries())
"""
    )
    assert said == "layer test: more than 1,000,000 entries (limit `entries`)"
    assert peak < 500


def test_a_bomb_of_a_thousandfold_is_refused_with_memory_bounded():
    said, peak = peak_mib(
        PREAMBLE
        + """
def bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = tarfile.TarInfo("zeros")
    member.size = 1 << 36
    yield packer.compress(member.tobuf())
    for _ in range(2000):
        yield packer.compress(bytes(1 << 20))
told(bomb())
"""
    )
    assert "over 200-fold (limit `inflation`)" in said
    assert peak < 200


def test_a_member_of_eight_exbibytes_is_refused_at_once():
    member = tarfile.TarInfo("var/lib/dpkg/status")
    member.size = 2**63 - 1
    with pytest.raises(ImageFormatError, match="claims 9,223,372,036,854,775,807 bytes, only 10,240 follow"):
        scanned(member.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
