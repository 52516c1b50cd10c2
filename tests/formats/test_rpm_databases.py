"""The files that rpm's headers lie in: SQLite and its log, NDB, Berkeley DB; and the headers themselves."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import rpmbdb, rpmheaders, rpmndb, rpmsqlite, sqlitewal
from tests import rpms

Parse = Callable[[bytes, str], Iterator[tuple[int, bytes]]]
HEADERS = {number: rpms.package(f"package-{number}", license="MIT" * number) for number in (1, 2, 7)}
RANDOM = random.Random(7)
MANY = {number: RANDOM.randbytes(RANDOM.choice([1, 8, 100, 900, 5000, 70_000])) for number in range(1, 200)}


def read(parse: Parse, data: bytes) -> dict[int, bytes]:
    return dict(parse(data, "var/lib/rpm/x"))


def problem(parse: Parse, data: bytes) -> str:
    with pytest.raises(DamagedDatabaseError) as error:
        read(parse, data)
    return error.value.problem


class Files(dict[str, bytes]):
    """Databases by name; Hypothesis does not print them."""

    def __repr__(self) -> str:
        return f"Files({', '.join(self)})"


@pytest.fixture(scope="module")
def hashes(tmp_path_factory) -> Files:
    rpms.needs("db5.3_load")
    folder = tmp_path_factory.mktemp("hashes")
    few = {number: blob for number, blob in MANY.items() if len(blob) < 1000}
    return Files(
        some=rpms.berkeley(folder / "some", HEADERS),
        none=rpms.berkeley(folder / "none", {}),
        few=rpms.berkeley(folder / "few", few, page_size=512),
        many=rpms.berkeley(folder / "many", MANY, page_size=512),
    )


def test_headers_of_sqlite_by_number():
    assert read(rpmsqlite.parse, rpms.sqlite(HEADERS)) == HEADERS
    assert read(rpmsqlite.parse, rpms.sqlite({})) == {}
    assert read(rpmsqlite.parse, rpms.sqlite(MANY)) == MANY


def test_headers_of_ndb_by_number():
    assert read(rpmndb.parse, rpms.ndb(HEADERS)) == HEADERS
    assert read(rpmndb.parse, rpms.ndb(HEADERS, free=300)) == HEADERS
    assert read(rpmndb.parse, rpms.ndb({})) == {}
    assert read(rpmndb.parse, rpms.ndb(MANY)) == MANY


def test_headers_of_berkeley_db_by_number(hashes):
    assert read(rpmbdb.parse, hashes["some"]) == HEADERS
    assert read(rpmbdb.parse, hashes["none"]) == {}
    assert read(rpmbdb.parse, hashes["many"]) == MANY


@pytest.mark.parametrize("is_big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("page_size", [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
def test_berkeley_db_of_every_page_size_and_byte_order(tmp_path: Path, page_size: int, is_big: bool):  # noqa: FBT001 - a case
    rpms.needs("db5.3_load")
    assert read(rpmbdb.parse, rpms.berkeley(tmp_path / "x", MANY, page_size=page_size, is_big=is_big)) == MANY


def test_a_hash_that_was_worked_on_for_long_is_read_as_berkeley_db_reads_it(tmp_path: Path):
    rpms.needs("db5.3_load", "db5.3_dump")
    data = b""
    for _ in range(3):  # the later load replaces values of the earlier one, which frees pages
        some = {number: RANDOM.randbytes(RANDOM.randrange(1, 9000)) for number in RANDOM.sample(range(1, 400), 150)}
        data = rpms.berkeley(tmp_path / "x", some, page_size=1024)
    told = rpms.run("db5.3_dump", tmp_path / "x").partition("HEADER=END\n")[2].split()
    pairs = {
        int.from_bytes(bytes.fromhex(key), "little"): bytes.fromhex(value)
        for key, value in zip(told[::2], told[1::2], strict=False)
    }
    assert len(read(rpmbdb.parse, data)) > 200
    assert read(rpmbdb.parse, data) == {number: value for number, value in pairs.items() if number and number < 1000}


@pytest.mark.parametrize("parse", [rpmsqlite.parse, rpmndb.parse, rpmbdb.parse])
@pytest.mark.parametrize("data", [b"", b"\0" * 5000, b"<html>" * 100, b"SQLite format 3\0"])
def test_what_is_no_database_is_damaged(parse: Parse, data: bytes):
    assert "expected" in problem(parse, data)


def test_a_database_that_was_cut_is_damaged(hashes):
    assert problem(rpmsqlite.parse, rpms.sqlite(MANY)[:-4096]).startswith("cut: ")
    assert problem(rpmndb.parse, rpms.ndb(MANY)[:-16]).endswith("was it cut?")
    assert problem(rpmndb.parse, rpms.ndb(MANY)[:4095]).endswith("4,095 bytes; its header states 1 pages of slots"[6:])
    assert problem(rpmbdb.parse, hashes["many"][:-1]).startswith("cut: ")


def test_ndb_says_what_is_wrong_with_a_slot_or_a_blob():
    data = bytearray(rpms.ndb({1: b"one" * 30, 2: b"two" * 30}))
    assert "checksum" in problem(rpmndb.parse, data[:4112] + b"O" + data[4113:])
    assert problem(rpmndb.parse, data[:4] + b"\1" + data[5:]) == "version 1 of NDB; expected 0"
    assert "begins b'slot'" in problem(rpmndb.parse, data[:32] + b"s" + data[33:])
    assert problem(rpmndb.parse, data[:36] + b"\3" + data[37:]) == "package 3: no blob of its own at byte 4,096"
    twice = data[:48] + data[32:48] + data[64:]
    assert "in another's" in problem(rpmndb.parse, twice)
    assert "1,048,576 pages of slots" in problem(rpmndb.parse, data[:12] + struct.pack("<I", 1 << 20) + data[16:])


def test_berkeley_db_says_what_is_wrong_with_a_file(hashes):
    data = hashes["some"]

    def changed(place: int, value: int, layout: str = "<I") -> bytes:
        made = bytearray(data)
        struct.pack_into(layout, made, place, value)
        return bytes(made)

    assert (
        problem(rpmbdb.parse, changed(12, 0x053162))
        == "a Berkeley DB tree; expected a Berkeley DB hash of version 7 to 10"
    )
    assert "version 5;" in problem(rpmbdb.parse, changed(16, 5))
    assert "pages of 4,097 bytes" in problem(rpmbdb.parse, changed(20, 4097))
    assert "encrypted" in problem(rpmbdb.parse, changed(24, 1, "B"))
    assert "buckets in" in problem(rpmbdb.parse, changed(72, 1 << 31))
    assert problem(rpmbdb.parse, changed(4096 + 8, 9)) == "page 1 says that it is page 9"
    assert "is of type 99" in problem(rpmbdb.parse, changed(4096 + 25, 99, "B"))
    assert problem(rpmbdb.parse, changed(4096 + 20, 5000, "<H")) == "page 1 has 5,000 items"


def test_a_chain_of_pages_that_leads_back_into_itself_ends(hashes):
    data = bytearray(hashes["many"])
    for page in range(1, len(data) // 512):
        struct.pack_into("<I", data, page * 512 + 16, page)
    assert problem(rpmbdb.parse, bytes(data)).endswith("is pointed to twice")


def test_sqlite_runs_nothing_that_the_file_brings():
    view = rpms.sqlite(
        {1: b"x"}, "ALTER TABLE Packages RENAME TO P", "CREATE VIEW Packages AS SELECT hnum, blob FROM P"
    )
    assert problem(rpmsqlite.parse, view) == "SQLite without a plain table Packages; expected rpm's"
    computed = rpms.sqlite(
        {},
        "DROP TABLE Packages",
        "CREATE TABLE Packages (hnum, blob AS (zeroblob(900000000)))",
        "INSERT INTO Packages VALUES (1)",
    )
    assert problem(rpmsqlite.parse, computed) == "SQLite without a plain table Packages; expected rpm's"
    search = rpms.sqlite({}, "DROP TABLE Packages", "CREATE VIRTUAL TABLE Packages USING fts5(hnum, blob)")
    assert problem(rpmsqlite.parse, search) == "SQLite without a plain table Packages; expected rpm's"
    assert "expected rpm's" in problem(rpmsqlite.parse, rpms.sqlite({}, "DROP TABLE Packages"))
    text = rpms.sqlite({}, "INSERT INTO Packages VALUES (1, 'text')")
    assert problem(rpmsqlite.parse, text) == "package 1: no number and header, but str"


def test_sqlite_pages_that_lead_to_the_same_rows_again_and_again_are_refused():
    """Fifteen floors of pages that point to the next floor 400 times each: 400 to the 15th rows in 80 KiB."""
    data = bytearray(rpms.sqlite({1: b"header"}))
    (root,) = sqlite3_root(bytes(data))
    floors = [root, *range(len(data) // 4096 + 1, len(data) // 4096 + 16)]
    leaf = bytes(data[(root - 1) * 4096 : root * 4096])
    data += bytes(4096 * 15)
    for floor, below in pairwise(floors):
        start, cells = (floor - 1) * 4096, range(4096 - 5 * 400, 4096, 5)
        page = struct.pack(">BHHHBI", 5, 0, 400, cells[0], 0, below) + struct.pack(">400H", *cells)
        data[start : start + 4096] = page.ljust(cells[0], b"\0") + struct.pack(">IB", below, 1) * 400
    data[(floors[-1] - 1) * 4096 :] = leaf
    data[28:32] = struct.pack(">I", len(data) // 4096)
    begun = time.monotonic()
    assert problem(rpmsqlite.parse, bytes(data)) == "headers longer together than the file: its pages are used twice"
    assert time.monotonic() - begun < 10


def sqlite3_root(data: bytes) -> tuple[int]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(data[:18] + b"\1\1" + data[20:])
        return connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'Packages'").fetchone()


def logged(folder: Path, headers: Mapping[int, bytes] = MANY, *, is_open: bool = False) -> tuple[bytes, bytes]:
    """Return a database and its log as SQLite leaves them when it is killed; `is_open`: within a transaction."""
    path = folder / "rpmdb.sqlite"
    path.write_bytes(rpms.sqlite(headers))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = 2")
        for number in range(300, 303):
            connection.execute("INSERT INTO Packages VALUES (?, ?)", (number, bytes([number % 256]) * 9000))
            connection.execute("DELETE FROM Packages WHERE hnum = ?", (number - 299,))
        if is_open:
            connection.execute("BEGIN")
            connection.execute("UPDATE Packages SET blob = zeroblob(5000)")
        return path.read_bytes(), Path(f"{path}-wal").read_bytes()


def by_sqlite(folder: Path, data: bytes, log: bytes) -> dict[int, bytes]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "x").write_bytes(data)
    (folder / "x-wal").write_bytes(log)
    with closing(sqlite3.connect(folder / "x")) as connection:
        return dict(connection.execute("SELECT hnum, blob FROM Packages"))


@pytest.mark.parametrize("is_open", [False, True])
def test_a_log_is_read_as_sqlite_reads_it_wherever_it_ends(tmp_path: Path, is_open: bool):  # noqa: FBT001 - a case
    data, log = logged(tmp_path, is_open=is_open)
    cuts = {*range(0, 64, 8), *range(32, len(log), 4120), *(RANDOM.randrange(len(log)) for _ in range(20)), len(log)}
    seen = set()
    for cut in sorted(cuts)[:: 1 if len(cuts) < 60 else len(cuts) // 60]:
        expected = by_sqlite(tmp_path / "other", data, log[:cut])
        assert read(rpmsqlite.parse, sqlitewal.replayed(data, log[:cut], "wal")) == expected, cut
        seen.add(frozenset(expected))
    assert len(seen) > 3


def test_a_log_whose_frames_were_written_over_counts_to_the_first_old_one(tmp_path: Path):
    data, log = logged(tmp_path)
    for place in (20, 60, 32 + 4120 * 2 + 10, 32 + 4120 * 5 + 500):
        odd = log[:place] + bytes([log[place] ^ 1]) + log[place + 1 :]
        expected = by_sqlite(tmp_path / "other", data, odd)
        assert read(rpmsqlite.parse, sqlitewal.replayed(data, odd, "wal")) == expected


def test_a_log_that_is_none_is_damaged():
    for log in (b"x" * 40, struct.pack(">8I", 0x377F0682, 3007000, 4097, 0, 0, 0, 0, 0)):
        with pytest.raises(DamagedDatabaseError, match="expected a log of SQLite"):
            sqlitewal.replayed(rpms.sqlite({}), log, "wal")


def test_values_of_a_header():
    blob = rpms.header({1000: "a", 1001: "1", 1002: "2", 1009: [7, 8], 1117: ["x", "ü"], 1029: b"\0\3"})
    found = rpmheaders.parse(blob, "x", 1)
    assert (found.text(1000), found.number(1009), found.numbers(1009), found.numbers(1029)) == ("a", 7, (7, 8), (0, 3))
    assert (found.texts(1117), found.text(1117)) == ([b"x", "ü".encode()], "x")
    assert (found.text(9), found.number(9), found.numbers(9), found.texts(9)) == (None, None, (), [])
    assert (found.text(1009), found.numbers(1000)) == (None, ())


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (b"", "package 5: 0 bytes; expected a header of 0 entries"),
        (struct.pack(">2I", 1 << 31, 1), "package 5: 8 bytes; expected a header of 2,147,483,648 entries and 1 bytes"),
        (rpms.package("a")[:-1], "expected a header of"),
        (rpms.header({1000: "a", 1001: "1"}), "package 5: no name, version or release"),
        (rpms.header({1000: "", 1001: "1", 1002: "1"}), "package 5: no name, version or release"),
        (rpms.package("bash").replace(b"bash", b"bush"), "package 5: bush: its sha256 is not the one that it states"),
        (struct.pack(">6I", 1, 1, 1000, 6, 0, 1) + b"a", "package 5: tag 1000: a text without an end"),
        (struct.pack(">6I", 1, 1, 1000, 6, 1 << 31, 1) + b"a", "package 5: tag 1000: a text without an end"),
    ],
)
def test_damage_of_a_header_is_told_with_its_number(blob: bytes, said: str):
    with pytest.raises(DamagedDatabaseError) as error:
        rpmheaders.parse(blob, "x", 5)
    assert said in str(error.value)


@pytest.mark.parametrize(("tag", "kind"), [(1009, 4), (5009, 5), (1029, 1), (1117, 8)])
@pytest.mark.parametrize("count", [3, 1 << 20, 1 << 31, (1 << 32) - 1])
def test_a_count_of_values_that_are_not_there_costs_nothing(tag: int, kind: int, count: int):
    blob = rpms.header({1000: "a", 1001: "1", 1002: "1"})
    entries, size = struct.unpack_from(">2I", blob)
    more = struct.pack(">4I", tag, kind, size - 1, count)
    blob = struct.pack(">2I", entries + 1, size) + blob[8 : 8 + 16 * entries] + more + blob[8 + 16 * entries :]
    found = rpmheaders.parse(blob, "x", 1)
    with pytest.raises(DamagedDatabaseError, match=f"tag {tag}: "):
        found.texts(tag) if kind == 8 else found.numbers(tag)


def test_what_a_hostile_file_claims_takes_no_memory():
    """Slots by the hundred thousand, headers of 60,000 values that nobody asks for: less than their own size twice over."""
    pages = 500
    slots = b"".join(struct.pack("<4s3I", b"Slot", at, pages * 256 + at * 2, 2) for at in range(2, pages * 256))
    full = (struct.pack("<4s7I", b"RpmP", 0, 7, pages, 1, 0, 0, 0) + slots).ljust(pages * 8192, b"\0")
    assert problem(rpmndb.parse, full) == f"more packages than fit into its {len(full):,} bytes"
    entries = b"".join(struct.pack(">4I", tag, 6, 0, 1) for tag in (1000, 1001, 1002, *range(70_000, 130_000)))
    blob = struct.pack(">2I", len(entries) // 16, 2) + entries + b"a\0"
    tracemalloc.start()
    assert [rpmheaders.parse(blob, "x", number).text(1000) for number in range(3)] == ["a"] * 3
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(blob)


def test_no_bit_of_what_a_package_brought_can_be_changed_unnoticed():
    blob = rpms.package("bash", "5.2", "1")
    values = b"bash\0005.2\0001\0"
    for place in (*range(8, 8 + 16 * 4), *range(blob.index(values), blob.index(values) + len(values) + 16)):
        with pytest.raises(DamagedDatabaseError):
            rpmheaders.parse(blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :], "x", 1)


@pytest.mark.parametrize("parse", [rpmsqlite.parse, rpmndb.parse, rpmbdb.parse])
@settings(max_examples=150)
@given(st.binary(max_size=700))
def test_any_bytes_are_headers_or_damage(parse: Parse, data: bytes):
    for start in (b"", b"RpmP\0\0\0\0", b"SQLite format 3\0", bytes(12) + b"\x61\x15\x06\0\x09\0\0\0\0\2\0\0"):
        headers_or_damage(parse, start + data)


changes = st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)


@settings(max_examples=200)
@given(changes)
def test_a_database_with_some_bytes_changed_gives_headers_or_damage(hashes, changed: list[tuple[int, bytes]]):
    headers_or_damage(rpmsqlite.parse, with_changes(SOME_SQLITE, changed))
    headers_or_damage(rpmndb.parse, with_changes(SOME_NDB, changed))
    headers_or_damage(rpmbdb.parse, with_changes(hashes["some"], changed))
    headers_or_damage(rpmbdb.parse, with_changes(hashes["few"], changed))


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Files:
    data, wal = logged(tmp_path_factory.mktemp("log"), HEADERS)
    return Files(data=data, wal=wal)


@settings(max_examples=100)
@given(changes)
def test_a_log_with_some_bytes_changed_gives_a_database_or_damage(log, changed: list[tuple[int, bytes]]):
    with contextlib.suppress(DamagedDatabaseError):
        headers_or_damage(rpmsqlite.parse, sqlitewal.replayed(log["data"], with_changes(log["wal"], changed), "wal"))


@settings(max_examples=300)
@given(st.binary(max_size=200), changes)
def test_a_header_with_some_bytes_changed_is_one_or_damage(data: bytes, changed: list[tuple[int, bytes]]):
    for blob in (data, with_changes(UNSIGNED, changed)):
        try:
            header = rpmheaders.parse(blob, "x", 1)
            for tag in header.index:
                header.text(tag), header.numbers(tag), header.texts(tag)
        except DamagedDatabaseError as error:
            assert "\n" not in str(error)


SOME_SQLITE, SOME_NDB = rpms.sqlite(HEADERS), rpms.ndb(HEADERS)
UNSIGNED = rpms.header({1000: "a", 1001: "1", 1002: "1", 1117: ["b", "c"], 1009: [1, 2, 3], 1029: b"\0\0"})


def with_changes(data: bytes, changed: list[tuple[int, bytes]]) -> bytes:
    made = bytearray(data)
    for place, value in changed:
        start = place % len(made)
        made[start : start + len(value)] = value[: len(made) - start]
    return bytes(made)


def headers_or_damage(parse: Parse, data: bytes) -> None:
    try:
        assert all(isinstance(blob, bytes) for blob in read(parse, data).values())
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)
