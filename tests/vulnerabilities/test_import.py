"""Advisories out of files, also such as nobody should have sent: what can be used is held, the rest told with file and record."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.__main__ import cli
from audit_lib.errors import AuditError
from audit_lib.vulnerabilities import records
from audit_lib.vulnerabilities.database import Database
from audit_lib.vulnerabilities.intake import Limits
from audit_lib.vulnerabilities.taking import Outcome, import_paths
from tests.vulnerabilities.advisories import before, found, package, record

GOOD = record("GOOD-1", "PyPI", "thing", *before("2.0"))
ANOTHER = record("GOOD-2", "PyPI", "thing", *before("2.0"))
KEV = {
    "catalogVersion": "1",
    "dateReleased": "2026-01-02",
    "vulnerabilities": [{"cveID": "CVE-2026-1000", "dateAdded": "2026-01-01"}],
}


def lines(*records_: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in records_)


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def imported(
    folder: Path, *contents: bytes, names: tuple[str, ...] = ("a.json", "b.json"), limits: Limits | None = None
) -> Outcome:
    (folder / "files").mkdir(exist_ok=True)
    paths = []
    for name, data in zip(names, contents, strict=False):
        paths.append(folder / "files" / name)
        paths[-1].write_bytes(data)
    return import_paths(Database(folder / "db"), paths, limits=limits)


def held(folder: Path) -> list[str]:
    return found(Database(folder / "db"), [package("pypi", "thing", "1.0")])["vulnerability_id"].tolist()


@pytest.mark.parametrize(
    "data",
    [
        lines(GOOD, ANOTHER),
        json.dumps([GOOD, ANOTHER]).encode(),
        json.dumps([GOOD, ANOTHER], indent=2).encode(),
        json.dumps({"vulns": [GOOD, ANOTHER]}).encode(),
        gzip.compress(lines(GOOD, ANOTHER)),
        zipped({"GOOD-1.json": json.dumps(GOOD, indent=1).encode(), "deep/GOOD-2.json": json.dumps(ANOTHER).encode()}),
        zipped({"both.jsonl": lines(GOOD, ANOTHER)}),
    ],
    ids=["lines", "a list", "a list over lines", "an answer of OSV's API", "gzip", "zip", "lines in a zip"],
)
def test_every_way_to_write_records_gives_the_same(tmp_path: Path, data):
    outcome = imported(tmp_path, data)
    assert held(tmp_path) == ["GOOD-1", "GOOD-2"]
    assert (outcome.problems, outcome.changed[0].record_count) == ((), 2)


def test_a_folder_is_read_with_all_below_it_and_lists_too(tmp_path: Path):
    folder = tmp_path / "all"
    (folder / "osv" / "PyPI").mkdir(parents=True)
    (folder / "osv" / "PyPI" / "all.zip").write_bytes(zipped({"GOOD-1.json": json.dumps(GOOD).encode()}))
    (folder / "kev.json").write_text(json.dumps(KEV, indent=2))
    (folder / "epss.csv").write_text(
        "#model_version:v1,score_date:2026-01-03T00:00:00Z\ncve,epss,percentile\nCVE-2026-1000,0.5,0.9\n"
    )
    (folder / "README.md").write_text("not an advisory")
    outcome = import_paths(Database(tmp_path / "db"), [folder])
    assert [(facts.source, facts.record_count) for facts in outcome.changed] == [
        ("osv:PyPI", 1),
        ("epss", 1),
        ("kev", 1),
    ]
    assert outcome.problems == ()


def test_of_a_record_that_is_held_already_what_was_modified_last_stays(tmp_path: Path):
    def version(fixed: str, day: str) -> bytes:
        return lines(
            {**record("GOOD-1", "PyPI", "thing", *before(fixed)), "modified": f"2026-01-{day}T00:00:00Z"}, ANOTHER
        )

    def fixes() -> dict[str, str]:
        table = found(Database(tmp_path / "db"), [package("pypi", "thing", "1.0")])
        return dict(zip(table["vulnerability_id"], table["fixed_version"], strict=True))

    imported(tmp_path, version("2.0", "10"))
    imported(tmp_path, version("3.0", "20"))
    assert fixes() == {"GOOD-1": "3.0", "GOOD-2": "2.0"}
    imported(tmp_path, version("4.0", "15"))
    assert fixes() == {"GOOD-1": "3.0", "GOOD-2": "2.0"}


def test_a_record_of_two_ecosystems_stands_in_both_and_of_unknown_ones_nothing_does(tmp_path: Path):
    both = {**GOOD, "affected": [*GOOD["affected"], *record("x", "npm", "thing", *before("2"))["affected"]]}
    firmware = record("OTHER-1", "Android", "platform", *before("2"))
    commits = {
        "id": "OTHER-2",
        "affected": [{"ranges": [{"type": "GIT", "repo": "r", "events": [{"introduced": "0"}]}]}],
    }
    outcome = imported(tmp_path, lines(both, firmware, commits))
    assert [facts.source for facts in outcome.changed] == ["osv:PyPI", "osv:npm"]
    assert (outcome.problems, outcome.passed_over_count) == ((), 2)


def _events(*events: object) -> dict[str, Any]:
    return {
        **GOOD,
        "id": "BAD-1",
        "affected": [{**GOOD["affected"][0], "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}],
    }


BAD_RECORDS = {
    "no affected": ({"id": "BAD-1"}, "expected a list of what is affected, found nothing"),
    "affected is no list": ({"id": "BAD-1", "affected": {}}, "expected a list of what is affected, found {}"),
    "no id": ({"affected": []}, "expected an OSV record with an id, found nothing"),
    "an id over lines": ({"id": "a\nb", "affected": []}, r"expected an OSV record with an id, found 'a\\nb'"),
    "no object": (7, "expected an object, found 7"),
    "a package without a name": (
        {"id": "BAD-1", "affected": [{"package": {"ecosystem": "PyPI"}}]},
        "expected ecosystem and name",
    ),
    "neither ranges nor versions": (
        {"id": "BAD-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "thing"}}]},
        "found neither",
    ),
    "a version that is none": (
        _events({"introduced": "0"}, {"fixed": "not a version"}),
        "range left out: 'not a version' is no version",
    ),
    "events that are none": (_events("0", 7), "range left out: expected one of introduced, fixed"),
    "no begin": (_events({"fixed": "1"}), "range left out: expected an event 'introduced'"),
    "a number for a version": (_events({"introduced": 0}), "range left out: expected one of introduced, fixed"),
    "a version without end": (_events({"introduced": "9" * 10_000}), "range left out: "),
    "a report of Grype": (
        {"matches": [], "descriptor": {"name": "grype"}},
        "expected an OSV record with an id, found nothing",
    ),
}


@pytest.mark.parametrize(("bad", "problem"), BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_a_record_that_cannot_be_used_is_told_with_file_and_record_and_the_rest_is_held(tmp_path: Path, bad, problem):
    outcome = imported(tmp_path, lines(GOOD, bad, ANOTHER))
    assert held(tmp_path) == ["GOOD-1", "GOOD-2"]
    (said,) = outcome.problems
    assert re.match(rf"{re.escape(str(tmp_path))}/files/a\.json, line 2( \(.*\))?: .*{problem}", said)
    assert outcome.changed[0].skipped_count == 1
    assert outcome.changed[0].detail == said[:300]


def test_a_bad_range_does_not_take_the_good_one_of_the_same_record_along(tmp_path: Path):
    mixed = _events({"introduced": "0"}, {"fixed": "not a version"})
    mixed["affected"][0]["ranges"].append({"type": "ECOSYSTEM", "events": list(before("2.0"))})
    outcome = imported(tmp_path, lines(mixed))
    assert held(tmp_path) == ["BAD-1"]
    assert len(outcome.problems) == 1


HALF = lines(GOOD) + lines(ANOTHER)[:60]
BAD_FILES = {
    "cut JSON lines": (HALF, "a.json, line 2: expected a JSON object a line, found one that is cut"),
    "a broken first line": (b'{"id": \n' + lines(GOOD), "a.json, line 1: expected a JSON object a line"),
    "cut JSON": (json.dumps(ANOTHER, indent=1).encode()[:90], "expected JSON (OSV records, KEV) or EPSS's CSV: line "),
    "cut gzip": (
        gzip.compress(lines(*[record(f"X-{number}", "npm", "x", *before("1")) for number in range(400)]))[:900],
        "broken off after ",
    ),
    "cut zip": (zipped({"x.json": json.dumps(ANOTHER).encode()})[:-30], "expected a whole zip archive"),
    "a picture": (
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "expected JSON (OSV records, KEV) or EPSS's CSV: 'utf-8' codec",
    ),
    "nothing": (b"", "expected JSON (OSV records, KEV) or EPSS's CSV"),
    "a path that climbs out": (
        zipped({"../../x.json": json.dumps(ANOTHER).encode()}),
        "!../../x.json: its path climbs out of the archive; left out",
    ),
    "an absolute path": (
        zipped({"/etc/x.json": json.dumps(ANOTHER).encode()}),
        "!/etc/x.json: its path climbs out of the archive; left out",
    ),
    "a path of Windows": (
        zipped({"..\\x.json": json.dumps(ANOTHER).encode()}),
        "its path climbs out of the archive; left out",
    ),
    "a zip that inflates a thousandfold": (
        zipped({"x.json": json.dumps(ANOTHER).encode() + b" " * 30_000_000}),
        "unpacks to more than 200 times its ",
    ),
    "a gzip that inflates a thousandfold": (
        gzip.compress(lines(ANOTHER) + b" " * 30_000_000),
        "unpacks to more than 200 times its ",
    ),
    "brackets without end": (b"[" * 100_000, "expected JSON"),
    "a list of KEV that is none": (
        json.dumps({"catalogVersion": "1", "vulnerabilities": 7}).encode(),
        "expected a list of vulnerabilities, found int",
    ),
    "scores without a head": (b"#model_version:v1\nCVE-2026-1,0.5\n", "expected the columns cve,epss,percentile"),
}


@pytest.mark.parametrize(("bad", "problem"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_used_is_told_and_the_other_one_is_held(tmp_path: Path, bad, problem):
    outcome = imported(tmp_path, bad, lines(GOOD))
    assert "GOOD-1" in held(tmp_path)
    assert problem in " ".join(outcome.problems)
    assert str(tmp_path / "files" / "a.json") in outcome.problems[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "files"]


def test_what_all_unpack_to_is_bounded(tmp_path: Path):
    many = zipped(
        {
            f"{number}.json": json.dumps(record(f"X-{number}", "PyPI", "x", *before("1"))).encode()
            for number in range(50)
        }
    )
    outcome = imported(tmp_path, many, limits=Limits(total_bytes=2_000))
    assert "more than 2,000 bytes unpacked" in outcome.problems[0]
    assert 0 < outcome.changed[0].record_count < 50


def test_a_line_without_end_is_bounded(tmp_path: Path):
    outcome = imported(tmp_path, lines(GOOD) + b"x" * 5_000, limits=Limits(record_bytes=2_000))
    assert outcome.problems == (
        f"{tmp_path}/files/a.json: line 2 is longer than 2,000 bytes; expected advisories, which are not",
    )


def test_links_out_of_a_folder_and_pipes_in_it_are_left_out(tmp_path: Path):
    import os  # noqa: PLC0415 - for one pipe

    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "secret.json").write_bytes(lines(ANOTHER))
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    os.mkfifo(folder / "pipe.json")
    (folder / "good.json").write_bytes(lines(GOOD))
    outcome = import_paths(Database(tmp_path / "db"), [folder])
    assert held(tmp_path) == ["GOOD-1"]
    assert [said.partition(": ")[2] for said in outcome.problems] == [
        "a link that leads out of the folder; left out",
        "expected a file, found something else (a pipe, a device)",
    ]


def test_where_nothing_can_be_used_the_database_is_as_it_was(tmp_path: Path):
    imported(tmp_path, lines(GOOD))
    with pytest.raises(AuditError, match=r"no advisories were found: .*b\.json: expected JSON"):
        imported(tmp_path, b"", b"nothing of the kind", names=("b.json", "c.json"))
    with pytest.raises(AuditError, match=r"missing\.json: expected a file or a folder with advisories, found nothing"):
        import_paths(Database(tmp_path / "db"), [tmp_path / "missing.json"])
    assert held(tmp_path) == ["GOOD-1"]


def test_the_command_counts_what_was_skipped_and_ends_with_2(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(lines(GOOD, {"id": "BAD-1"}))
    place = ["--advisories", str(tmp_path / "db")]
    done = CliRunner().invoke(cli, ["advisories", "import", *place, str(tmp_path / "a.jsonl")], catch_exceptions=False)
    assert done.exit_code == 2
    assert "image-audit: osv:PyPI: 1 records, as of 2026-01-02T03:04:05Z, 1 skipped\n" in done.stderr
    assert "a.jsonl, line 2 (BAD-1): expected a list of what is affected, found nothing\n" in done.stderr
    shown = CliRunner().invoke(cli, ["advisories", "show", "--format", "json", *place], catch_exceptions=False)
    (row,) = json.loads(shown.stdout)
    assert (row["source"], row["record_count"], row["skipped_count"], row["package_count"]) == ("osv:PyPI", 1, 1, 1)
    good = CliRunner().invoke(
        cli, ["--quiet", "advisories", "import", *place, str(tmp_path / "a.jsonl")], catch_exceptions=False
    )
    assert good.exit_code == 2


def test_inspect_shows_what_is_known_of_vulnerabilities_and_what_is_not(tmp_path: Path):
    imported(tmp_path, lines(GOOD))
    document = tmp_path / "bom.json"
    component = {"type": "library", "name": "thing", "version": "1.0", "purl": "pkg:pypi/thing@1.0"}
    document.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]}))
    words = ["inspect", f"sbom:{document}", "--format", "json", "--table"]
    place = ["--advisories", str(tmp_path / "db")]
    overview = CliRunner().invoke(cli, ["inspect", f"sbom:{document}", *place], catch_exceptions=False)
    assert re.search(r"\naudit-lib +matches +1 +0 +0 +0 +0 +0 +1 +1 ", overview.stdout)
    known = CliRunner().invoke(cli, [*words, "vulnerabilities", *place], catch_exceptions=False)
    assert [row["vulnerability_id"] for row in json.loads(known.stdout)] == ["GOOD-1"]
    unknown = CliRunner().invoke(cli, [*words, "vulnerabilities", "--advisories", "none"], catch_exceptions=False)
    assert "vulnerabilities are unknown, not none: no advisories are held that speak of its packages" in unknown.stderr


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["package", "ranges", "events", "type", "versions"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150)
@given(
    change=st.dictionaries(
        st.sampled_from(
            [
                "id",
                "affected",
                "aliases",
                "severity",
                "database_specific",
                "modified",
                "withdrawn",
                "summary",
                "upstream",
            ]
        ),
        _JSON,
    ),
    part=st.dictionaries(st.sampled_from(["package", "ranges", "versions", "ecosystem_specific", "severity"]), _JSON),
)
def test_any_record_gives_rows_or_is_refused_by_name(change, part):
    problems: list[str] = []
    try:
        rows = list(records.parse({**GOOD, "affected": [{**GOOD["affected"][0], **part}], **change}, problems))
    except records.RecordError:
        return
    assert all(isinstance(row.package, str) for row in rows)
    assert all(problem.isprintable() for problem in problems)


@settings(max_examples=40, deadline=None)
@given(
    data=st.binary(max_size=300),
    head=st.sampled_from([b"", b"{", b"[", b"#model_version", b"PK\x03\x04", b"\x1f\x8b", b'{"id":']),
)
def test_any_bytes_are_told_of(tmp_path_factory, data, head):
    folder = tmp_path_factory.mktemp("any")
    outcome = imported(folder, head + data, lines(GOOD))
    assert held(folder) == ["GOOD-1"]
    assert all(problem.startswith(str(folder)) for problem in outcome.problems)
