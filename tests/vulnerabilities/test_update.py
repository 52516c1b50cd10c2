"""An update over HTTP with OSV's layout: fresh, unchanged, cut, lied to; what was held stays until something better is whole."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from audit_lib.__main__ import cli
from audit_lib.errors import AuditError
from audit_lib.sources.answers import Patience
from audit_lib.sources.urls import PLAIN_HTTP
from audit_lib.vulnerabilities import fetching
from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.updating import Addresses, update
from tests.registries import make_certificates, served
from tests.vulnerabilities.advisories import before, found, package, record

QUICK = Patience(attempts=3, connect=2, answer=5, stall=2, pause=0.01, longest_pause=1)
KEV = {
    "catalogVersion": "1",
    "dateReleased": "2026-01-02T00:00:00Z",
    "vulnerabilities": [{"cveID": "CVE-2026-1000", "dateAdded": "2026-01-01"}],
}
EPSS = b"#model_version:v1,score_date:2026-01-03T00:00:00+0000\ncve,epss,percentile\nCVE-2026-1000,0.5,0.9\n"
ARCHIVE = "/osv/PyPI/all.zip"


class Mirror(BaseHTTPRequestHandler):
    """Serves `files` with ETag and ranges; `cuts`: how many bytes are sent of the next answers; `headers`: further ones."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((self.path, self.headers.get("Range"), self.headers.get("If-None-Match")))
        data = server.files.get(self.path)
        if data is None:
            self.send(404, b"not here", {})
            return
        etag = f'"{hashlib.sha256(data).hexdigest()[:12]}"'
        if self.headers.get("If-None-Match") == etag:
            self.send(304, b"", {"ETag": etag})
            return
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        headers = {"ETag": etag, **server.headers}
        if begin and self.headers.get("If-Range") == etag:
            start = int(begin[1])
            self.send(206, data[start:], {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
        else:
            self.send(200, data, headers)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        server: Any = self.server
        cut = server.cuts.pop(0) if body and status != 404 and server.cuts else len(body)
        self.wfile.write(body[:cut])
        if cut < len(body):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing: what was asked is in `seen`."""


def archive(*records: dict[str, Any], **more: bytes) -> bytes:
    """Return a zip archive as OSV has it: a file a record."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for one in records:
            out.writestr(f"{one['id']}.json", json.dumps(one, indent=1))
        for name, data in more.items():
            out.writestr(name.replace("__", "/"), data)
    return made.getvalue()


def padded(identity: str, version: str) -> dict[str, Any]:
    """Return a record of some length that does not pack well, so that an archive can be cut in the middle of it."""
    noise = hashlib.shake_128(identity.encode()).hexdigest(40_000)
    return record(identity, "PyPI", "thing", *before(version), aliases=["CVE-2026-1000"], details=noise)


@pytest.fixture
def mirror(monkeypatch) -> Iterator[Any]:
    monkeypatch.setattr(fetching, "PATIENCE", QUICK)
    files = {
        ARCHIVE: archive(padded("PYSEC-2026-1", "2.0")),
        "/kev.json": json.dumps(KEV).encode(),
        "/epss.csv.gz": gzip.compress(EPSS),
    }
    with served(Mirror, files=files, seen=[], cuts=[], headers={}) as (host, server):
        monkeypatch.setenv(PLAIN_HTTP, host)
        server.addresses = Addresses(
            osv=f"http://{host}/osv", kev=f"http://{host}/kev.json", epss=f"http://{host}/epss.csv.gz"
        )
        yield server


def updated(mirror: Any, folder: Path, *wanted: str) -> Any:
    mirror.seen.clear()
    return update(Database(folder), wanted, addresses=mirror.addresses)


def rows(folder: Path) -> list[list[Any]]:
    table = found(Database(folder), [package("pypi", "thing", "1.0")])
    return table[["vulnerability_id", "fixed_version", "is_known_exploited", "epss_score"]].values.tolist()


def test_a_fresh_update_holds_all_three_and_says_from_where_and_when(mirror, tmp_path: Path):
    outcome = updated(mirror, tmp_path, "PyPI")
    assert [facts.source for facts in outcome.changed] == ["osv:PyPI", "kev", "epss"]
    assert outcome.problems == ()
    assert rows(tmp_path) == [["CVE-2026-1000", "2.0", True, 0.5]]
    table = Database(tmp_path).table().set_index("source")
    assert table["data_utc"].to_dict() == {
        "epss": "2026-01-03",
        "kev": "2026-01-02",
        "osv:PyPI": "2026-01-02T03:04:05Z",
    }
    assert table.loc["osv:PyPI", "digest"] == f"sha256:{hashlib.sha256(mirror.files[ARCHIVE]).hexdigest()}"
    assert table.loc["osv:PyPI", "origin"] == f"{mirror.addresses.osv}/PyPI/all.zip"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epss.parquet", "kev.parquet", "osv-PyPI.parquet"]


def test_what_is_unchanged_is_not_sent_again(mirror, tmp_path: Path):
    updated(mirror, tmp_path, "PyPI")
    first = rows(tmp_path)
    outcome = updated(mirror, tmp_path)
    assert outcome.changed == ()
    assert outcome.unchanged == ("osv:PyPI", "kev", "epss")
    assert [path for path, _, etag in mirror.seen if etag] == [ARCHIVE, "/kev.json", "/epss.csv.gz"]
    assert rows(tmp_path) == first


def test_what_changed_stands_instead_of_what_was_held(mirror, tmp_path: Path):
    updated(mirror, tmp_path, "PyPI")
    mirror.files[ARCHIVE] = archive(record("PYSEC-2026-2", "PyPI", "thing", *before("3.0")))
    outcome = updated(mirror, tmp_path)
    assert [facts.source for facts in outcome.changed] == ["osv:PyPI"]
    assert [row[:2] for row in rows(tmp_path)] == [["PYSEC-2026-2", "3.0"]]


def test_what_is_cut_in_the_middle_is_gone_on_with(mirror, tmp_path: Path):
    mirror.cuts[:] = [9_000, 5_000]
    outcome = updated(mirror, tmp_path, "PyPI")
    assert outcome.problems == ()
    ranges = [ask for path, ask, _ in mirror.seen if path == ARCHIVE]
    assert ranges == [None, "bytes=9000-", "bytes=14000-"]
    assert rows(tmp_path) == [["CVE-2026-1000", "2.0", True, 0.5]]


def test_what_stays_cut_leaves_what_was_held_and_the_next_run_goes_on(mirror, tmp_path: Path):
    updated(mirror, tmp_path, "PyPI")
    mirror.files[ARCHIVE] = archive(padded("PYSEC-2026-2", "3.0"))
    mirror.cuts[:] = [9_000, 1_000, 1_000]
    outcome = updated(mirror, tmp_path)
    (problem,) = outcome.problems
    assert problem.startswith("osv:PyPI: ")
    assert "broken off 3 times" in problem
    assert problem.endswith("what was held stays")
    assert [row[1] for row in rows(tmp_path)] == ["2.0"]
    again = updated(mirror, tmp_path)
    assert again.problems == ()
    assert [ask for path, ask, _ in mirror.seen if path == ARCHIVE] == ["bytes=11000-"]
    assert [row[1] for row in rows(tmp_path)] == ["3.0"]


def test_what_changed_while_it_was_cut_is_begun_anew(mirror, tmp_path: Path):
    mirror.cuts[:] = [9_000, 1_000, 1_000]
    assert updated(mirror, tmp_path, "PyPI").problems
    mirror.files[ARCHIVE] = archive(padded("PYSEC-2026-2", "3.0"))
    assert updated(mirror, tmp_path, "PyPI").problems == ()
    assert [row[1] for row in rows(tmp_path)] == ["3.0"]


def _wrong(algorithm: str) -> str:
    return base64.b64encode(hashlib.new(algorithm, b"something else").digest()).decode()


@pytest.mark.parametrize(
    ("headers", "beside"),
    [
        ({"Repr-Digest": f"sha-256=:{_wrong('sha256')}:"}, None),
        ({"Digest": f"SHA-256={_wrong('sha256')}"}, None),
        ({"x-goog-hash": f"crc32c=AAAAAA==,md5={_wrong('md5')}"}, None),
        ({"Content-MD5": _wrong("md5")}, None),
        ({}, b"0" * 64 + b"  all.zip\n"),
    ],
    ids=["Repr-Digest", "Digest", "x-goog-hash", "Content-MD5", "all.zip.sha256"],
)
def test_a_wrong_digest_is_refused_and_what_was_held_stays(mirror, tmp_path: Path, headers, beside):
    updated(mirror, tmp_path, "PyPI")
    mirror.files[ARCHIVE] = archive(padded("PYSEC-2026-2", "3.0"))
    mirror.headers.update(headers)
    if beside is not None:
        mirror.files[f"{ARCHIVE}.sha256"] = beside
    outcome = updated(mirror, tmp_path)
    (problem,) = [said for said in outcome.problems if said.startswith("osv:PyPI")]
    assert "expected" in problem
    assert problem.endswith("what was held stays")
    assert [row[1] for row in rows(tmp_path)] == ["2.0"]
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


def test_a_right_digest_is_no_problem(mirror, tmp_path: Path):
    data = mirror.files[ARCHIVE]
    mirror.files[f"{ARCHIVE}.sha256"] = f"{hashlib.sha256(data).hexdigest()}  all.zip\n".encode()
    outcome = updated(mirror, tmp_path, "PyPI")
    assert outcome.problems == ()


@pytest.mark.parametrize(
    "data",
    [
        b"<html>Sign in</html>",
        b"",
        archive(record("GO-1", "Go", "example.com/x", {"introduced": "0"})),
        b"PK\x03\x04 and no more",
    ],
    ids=["a page", "nothing", "another ecosystem", "half an archive"],
)
def test_what_is_not_the_archive_is_refused_and_what_was_held_stays(mirror, tmp_path: Path, data):
    updated(mirror, tmp_path, "PyPI")
    mirror.files[ARCHIVE] = data
    outcome = updated(mirror, tmp_path)
    (problem,) = outcome.problems
    assert "PyPI" in problem
    assert problem.endswith("what was held stays")
    assert [row[1] for row in rows(tmp_path)] == ["2.0"]


def test_a_record_that_cannot_be_used_is_told_and_the_rest_is_held(mirror, tmp_path: Path):
    mirror.files[ARCHIVE] = archive(padded("PYSEC-2026-1", "2.0"), **{"PYSEC-2026-3.json": b'{"id": "PYSEC-2026-3"}'})
    outcome = updated(mirror, tmp_path, "PyPI")
    (problem,) = outcome.problems
    assert problem.endswith(
        "all.zip!PYSEC-2026-3.json (PYSEC-2026-3): expected a list of what is affected, found nothing"
    )
    assert rows(tmp_path) == [["CVE-2026-1000", "2.0", True, 0.5]]
    assert Database(tmp_path).facts()["osv:PyPI"].skipped_count == 1


def test_an_update_that_cannot_be_written_leaves_what_was_held(mirror, tmp_path: Path, monkeypatch):
    updated(mirror, tmp_path, "PyPI")
    mirror.files[ARCHIVE] = archive(padded("PYSEC-2026-2", "3.0"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("audit_lib.vulnerabilities.database.write_whole", full)
        (problem, *_) = updated(mirror, tmp_path).problems
    assert problem.startswith(f"osv:PyPI: advisories {tmp_path}: cannot be written: No space left on device")
    assert [row[1] for row in rows(tmp_path)] == ["2.0"]
    assert updated(mirror, tmp_path).problems == ()
    assert [row[1] for row in rows(tmp_path)] == ["3.0"]


def test_one_source_that_is_missing_does_not_stop_the_others(mirror, tmp_path: Path):
    outcome = updated(mirror, tmp_path, "Go", "PyPI")
    (problem,) = outcome.problems
    assert re.fullmatch(r"osv:Go: http://.*/Go/all\.zip: 404 Not Found; nothing is held of it", problem)
    assert [facts.source for facts in outcome.changed] == ["osv:PyPI", "kev", "epss"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates; CI has it")
def test_an_update_over_https_trusts_the_authority_that_is_named_and_no_other(mirror, tmp_path: Path, monkeypatch):
    monkeypatch.delenv(PLAIN_HTTP)
    made = make_certificates(tmp_path / "certificates")
    with served(Mirror, tls=made, files=mirror.files, seen=[], cuts=[9_000], headers={}) as (host, server):
        server.addresses = Addresses(osv=f"https://{host}/osv", kev="", epss="")
        (problem,) = updated(server, tmp_path / "db", "PyPI").problems
        assert "its certificate is not trusted" in problem
        assert server.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
        assert updated(server, tmp_path / "db", "PyPI").problems == ()
        assert [ask for path, ask, _ in server.seen if path == ARCHIVE] == [None, "bytes=9000-"]
    assert [row[1] for row in rows(tmp_path / "db")] == ["2.0"]


def test_plain_http_is_spoken_only_where_it_was_asked_for(mirror, tmp_path: Path, monkeypatch):
    monkeypatch.delenv(PLAIN_HTTP)
    outcome = updated(mirror, tmp_path, "PyPI")
    assert len(outcome.problems) == 3
    assert "only https is spoken" in outcome.problems[0]
    assert mirror.seen == []


def test_an_ecosystem_that_nobody_knows_is_refused_before_anything_is_asked(mirror, tmp_path: Path):
    with pytest.raises(AuditError, match="'pypi': expected one of the ecosystems AlmaLinux, Alpine"):
        updated(mirror, tmp_path, "pypi")
    assert mirror.seen == []


def test_the_command_says_what_it_did_and_ends_with_2_where_something_is_missing(mirror, tmp_path: Path):
    words = [
        "advisories",
        "update",
        "--advisories",
        str(tmp_path / "db"),
        "--osv-url",
        mirror.addresses.osv,
        "--epss-url",
        "",
    ]
    words += ["--kev-url", mirror.addresses.kev, "--ecosystem"]
    done = CliRunner().invoke(cli, [*words, "PyPI"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "image-audit: osv:PyPI: 1 records, as of 2026-01-02T03:04:05Z\n" in done.stderr
    again = CliRunner().invoke(cli, [*words, "PyPI"], catch_exceptions=False)
    assert "image-audit: osv:PyPI: unchanged\n" in again.stderr
    missing = CliRunner().invoke(cli, [*words, "Go"], catch_exceptions=False)
    assert missing.exit_code == 2
    assert re.search(r"image-audit: error: osv:Go: .*404 Not Found; nothing is held of it\n", missing.stderr)
