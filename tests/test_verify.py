"""Is a report whole and unchanged: each way in which it is not is named, of a folder and of a zip, and hostile ones are refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from audit_lib import bundles
from audit_lib.__main__ import main
from audit_lib.bundles import open_bundle, pack_bundle
from audit_lib.errors import AuditError
from audit_lib.exports.manifest import write_manifest
from audit_lib.verification import verify
from tests.images import oci_dir

FACTS = {"status": "complete", "parameters": {"top_n": 15, "limit": 0.5}, "images": [], "inputs": {"files": []}}
PAGE = b"<!DOCTYPE html>"
A_CSV = b'"a"\n1\n'


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "report"
    (made / "tables").mkdir(parents=True)
    (made / "report.html").write_bytes(PAGE)
    (made / "tables" / "a.csv").write_bytes(A_CSV)
    write_manifest(made, FACTS)
    return made


def faults(place):
    with open_bundle(place) as bundle:
        rows = verify(bundle).faults
    return [
        tuple(None if value is None or value != value else value for value in row)  # noqa: PLR0124 - a missing value is not itself
        for row in rows[["path", "fault", "item", "expected", "found"]]
        .astype("object")
        .where(rows.notna(), None)
        .to_numpy()
    ]


def details(place):
    with open_bundle(place) as bundle:
        return verify(bundle).faults["detail"].tolist()


def command(*words):
    """Run the command in this process; return its exit code, standard output and standard error."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["image-audit", *map(str, words)])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
            main()
    out.flush()
    return left.value.code, out.buffer.getvalue().decode(), err.getvalue()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_report_as_it_was_written_is_whole(folder):
    assert faults(folder) == []
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_one_byte_changed(folder):
    (folder / "report.html").write_bytes(b"<!DOCTYPE htmL>")
    assert faults(folder) == [("report.html", "changed", None, sha256(PAGE), sha256(b"<!DOCTYPE htmL>"))]
    assert details(folder) == ["report.html was changed: still 15 bytes, other contents"]


def test_a_file_that_grew(folder):
    (folder / "report.html").write_bytes(PAGE + b"\n")
    assert details(folder) == ["report.html was changed: 15 bytes expected, 16 found"]


def test_a_file_added(folder):
    (folder / "tables" / "b.csv").write_text("mine")
    assert faults(folder) == [("tables/b.csv", "added", None, None, None)]


def test_a_file_removed(folder):
    (folder / "tables" / "a.csv").unlink()
    assert faults(folder) == [("tables/a.csv", "missing", None, sha256(A_CSV), None)]


def test_a_file_renamed_is_one_missing_and_one_added(folder):
    (folder / "tables" / "a.csv").rename(folder / "tables" / "b.csv")
    assert [fault[:2] for fault in faults(folder)] == [("tables/a.csv", "missing"), ("tables/b.csv", "added")]


def test_a_manifest_edited_is_named_with_the_key(folder):
    before = sha256((folder / "manifest.json").read_bytes())
    edit(folder / "manifest.json", '"top_n": 15', '"top_n": 30')
    after = sha256((folder / "manifest.json").read_bytes())
    assert faults(folder) == [
        ("manifest.json", "changed", None, before, after),
        ("manifest.json", "contradicts", "parameters.top_n", "15", "30"),
    ]


def test_a_digest_edited_in_the_manifest_is_the_manifests_fault_and_not_the_files(folder):
    edit(folder / "manifest.json", sha256(PAGE), "0" * 64)
    assert [fault[:3] for fault in faults(folder)] == [
        ("manifest.json", "changed", None),
        ("manifest.json", "contradicts", "report.html"),
    ]


def test_a_length_edited_in_the_manifest(folder):
    edit(folder / "manifest.json", '"bytes": 15', '"bytes": 16')
    assert ("manifest.json", "contradicts", "report.html", "15", "16") in faults(folder)


def test_a_file_struck_out_of_the_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["report.html"]
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    assert [fault[:3] for fault in faults(folder)] == [
        ("manifest.json", "changed", None),
        ("manifest.json", "not_listed", "report.html"),
    ]


def test_the_checksums_edited(folder):
    edit(folder / "SHA256SUMS", sha256(PAGE), "f" * 64)
    assert faults(folder) == [("SHA256SUMS", "contradicts", "report.html", sha256(PAGE), "f" * 64)]
    text = "SHA256SUMS states another SHA-256 of report.html than manifest.json, statement.intoto.json"
    assert details(folder) == [text]


def test_a_line_of_the_checksums_removed_broken_and_doubled(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    kept = [line for line in lines if not line.endswith("report.html")]
    (folder / "SHA256SUMS").write_text("\n".join([*kept, "rubbish", kept[0]]) + "\n")
    assert [fault[:3] for fault in faults(folder)] == [
        ("SHA256SUMS", "not_listed", "report.html"),
        ("SHA256SUMS", "unreadable", "line 4"),
        ("SHA256SUMS", "unreadable", "line 5"),
    ]


def test_the_statement_edited(folder):
    edit(folder / "statement.intoto.json", '"limit": 0.5', '"limit": 0.9')
    assert [fault[:3] for fault in faults(folder)] == [
        ("statement.intoto.json", "changed", None),
        ("statement.intoto.json", "contradicts", "parameters.limit"),
    ]


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS", "statement.intoto.json"])
def test_each_of_the_three_that_state_digests_is_missed(folder, name):
    (folder / name).unlink()
    assert [fault[:2] for fault in faults(folder)] == [(name, "missing")]


def test_a_change_that_the_manifest_was_made_to_fit_is_found_by_the_two_others(folder):
    (folder / "report.html").write_bytes(b"<!DOCTYPE htmL>")
    edit(folder / "manifest.json", sha256(PAGE), sha256(b"<!DOCTYPE htmL>"))
    found = faults(folder)
    assert ("manifest.json", "changed", None) in [fault[:3] for fault in found]
    assert {fault[0] for fault in found if fault[2] == "report.html"} == {"SHA256SUMS", "statement.intoto.json"}


def test_a_link_in_place_of_a_file_is_no_file_and_is_not_followed(folder, tmp_path):
    (tmp_path / "elsewhere").write_bytes(PAGE)
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(tmp_path / "elsewhere")
    assert [fault[:2] for fault in faults(folder)] == [("report.html", "not_a_file")]
    assert details(folder) == ["report.html is a symbolic link, expected a file"]


def test_a_link_in_place_of_a_folder_is_not_followed_either(folder, tmp_path):
    shutil.move(folder / "tables", tmp_path / "tables")
    (folder / "tables").symlink_to(tmp_path / "tables")
    assert [fault[:2] for fault in faults(folder)] == [("tables", "not_a_file"), ("tables/a.csv", "missing")]


def test_a_pipe_in_place_of_a_file_does_not_stop_it(folder):
    (folder / "report.html").unlink()
    os.mkfifo(folder / "report.html")
    assert details(folder) == ["report.html is a named pipe, expected a file"]


@pytest.mark.parametrize(
    "name", ["../precious", "/etc/passwd", "tables/../../precious", "C:\\x", "a\0b", "", "../\ud800"]
)
def test_a_path_that_leads_out_is_named_and_not_looked_at(folder, tmp_path, name):
    (tmp_path / "precious").write_text("mine")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": sha256(b"mine"), "bytes": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = [fault[:3] for fault in faults(folder)]
    assert ("manifest.json", "outside", name.replace("\ud800", "\\ud800")) in found
    assert ("manifest.json", "changed", None) in found
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "it is nested too deeply"),
        ("[]", "expected the schema 'audit-lib report manifest, version 1'"),
        ('{"schema": 1, "schema": 2}', "key 'schema' is there twice"),
        ('{"schema": "audit-lib report manifest, version 1"}', "files is not there"),
        (
            '{"schema": "audit-lib report manifest, version 1", "files": {"a": {"sha256": "x", "bytes": 1}}}',
            "files: a: ",
        ),
        ('{"schema": "audit-lib report manifest, version 1", "files": [1]}', "files: expected an object"),
    ],
)
def test_a_manifest_that_is_none_is_said_and_the_others_are_believed(folder, text, said):
    (folder / "manifest.json").write_text(text)
    found = faults(folder)
    assert [fault[:2] for fault in found] == [("manifest.json", "changed"), ("manifest.json", "unreadable")]
    assert said in details(folder)[1]


def test_a_signature_beside_the_statement_is_no_file_added_and_is_said(folder):
    (folder / "statement.intoto.json.sigstore.json").write_text("{}")
    (folder / "SHA256SUMS.asc").write_text("")
    code, out, _ = command("verify", folder)
    assert code == 0
    assert "Signatures beside it were not checked: SHA256SUMS.asc, statement.intoto.json.sigstore.json" in out


def test_a_file_whose_name_sha256sum_escapes(folder):
    (folder / "back\\slash").write_text("x")
    (folder / "line\nend").write_text("y")
    write_manifest(folder, FACTS)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_the_command_says_what_differs_and_exits_with_1(folder):
    assert command("verify", folder)[:2] == (
        0,
        f"{folder} is whole and unchanged: 5 files are as manifest, Statement and checksums state.\n",
    )
    (folder / "extra").touch()
    code, out, _ = command("verify", folder, "--format", "json")
    assert code == 1
    assert json.loads(out) == [
        {
            "path": "extra",
            "fault": "added",
            "item": None,
            "expected": None,
            "found": None,
            "detail": "extra is there, and was not when the report was made",
        }
    ]
    assert "extra is there, and was not when the report was made" in command("verify", folder)[1]


def test_what_is_no_report_is_wrong_input(tmp_path):
    (tmp_path / "file").write_text("x")
    for place, said in (
        (tmp_path, f"{tmp_path}: expected a report's folder, or a zip of one, found none of SHA256SUMS, manifest.json"),
        (tmp_path / "nowhere", "nowhere: expected a report's folder, or a zip of one, found nothing"),
        (tmp_path / "file", "file: expected a report's folder, or a zip of one, found something else"),
    ):
        code, out, err = command("verify", place)
        assert (code, out) == (2, "")
        assert said in err


def test_a_zip_is_the_same_bytes_whatever_times_modes_and_order_the_files_have(folder, tmp_path):
    other = tmp_path / "other" / "name"
    other.mkdir(parents=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            target = other / path.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(0o600)
            os.utime(target, (1, 1))
    for one in (folder, other):
        code, _, err = command("bundle", one)
        assert (code, err) == (0, f"Bundle: {one}.zip (5 files)\n")
    assert (tmp_path / "report.zip").read_bytes() == (tmp_path / "other" / "name.zip").read_bytes()
    assert stat.S_IMODE((tmp_path / "report.zip").stat().st_mode) == 0o644
    assert faults(tmp_path / "report.zip") == []
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert archive.namelist() == [
            "SHA256SUMS",
            "manifest.json",
            "report.html",
            "statement.intoto.json",
            "tables/a.csv",
        ]
        archive.extractall(tmp_path / "unpacked")
    assert faults(tmp_path / "unpacked") == []


def test_a_report_that_is_not_whole_is_not_packed(folder):
    (folder / "report.html").unlink()
    code, _, err = command("bundle", folder)
    assert (code, err) == (1, f"image-audit: error: {folder}: report.html is not there\n")
    assert not folder.with_name("report.zip").exists()
    code, _, err = command("bundle", folder, "-o", folder / "x.zip")
    assert code == 2
    assert "expected a place outside of the report's folder" in err


def packed(folder, tmp_path, **changes):
    """Return a zip of the folder with other entries in it: contents by name, None for those left out."""
    target = tmp_path / "changed.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        contents = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        for name, data in {**contents, **changes}.items():
            if data is not None:
                archive.writestr(zipfile.ZipInfo(name), data)
    return target


def test_a_zip_with_a_byte_changed_a_file_added_and_one_removed(folder, tmp_path):
    changes = {"report.html": b"<!DOCTYPE htmL>", "tables/a.csv": None, "new": b""}
    found = faults(packed(folder, tmp_path, **changes))
    assert [fault[:2] for fault in found] == [("new", "added"), ("report.html", "changed"), ("tables/a.csv", "missing")]


@pytest.mark.parametrize("name", ["../x", "/x", "tables/../../x", "a\\..\\x", "C:/x", "./x"])
def test_a_zip_whose_names_lead_out_is_refused(folder, tmp_path, name):
    code, _, err = command("verify", packed(folder, tmp_path, **{name: b"x"}))
    assert code == 2
    assert "leads out of the folder; expected relative paths without .." in err


def test_a_zip_bomb_is_refused_before_it_is_unpacked(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_BYTES", 10_000_000)
    with pytest.raises(AuditError, match=r"expected at most 9\.5 MiB unpacked, found 9\.5 MiB"):
        faults(packed(folder, tmp_path, bomb=bytes(10_000_001)))


def test_a_zip_that_lies_about_a_length_is_damaged(folder, tmp_path):
    target = packed(folder, tmp_path)
    data = target.read_bytes()
    place = data.rindex(b"report.html") - 46  # its header in the directory at the end
    target.write_bytes(data[: place + 24] + (3).to_bytes(4, "little") + data[place + 28 :])
    assert [fault[:2] for fault in faults(target)] == [("report.html", "changed")]
    assert "Bad CRC-32 for file 'report.html'" in details(target)[0]


def test_entries_that_share_their_bytes_are_refused(folder, tmp_path):
    target = tmp_path / "overlapping.zip"
    shutil.copy(packed(folder, tmp_path, big=os.urandom(50_000)), target)
    data = bytearray(target.read_bytes())
    places = [place for place in range(len(data) - 4) if data[place : place + 4] == b"PK\x01\x02"]
    for place in places:
        data[place + 20 : place + 24] = (45_000).to_bytes(4, "little")
    target.write_bytes(bytes(data))
    with pytest.raises(AuditError, match=r"its entries overlap"):
        faults(target)


def test_a_link_in_a_zip_is_no_file(folder, tmp_path):
    target = tmp_path / "link.zip"
    shutil.copy(packed(folder, tmp_path, **{"report.html": None}), target)
    with zipfile.ZipFile(target, "a") as archive:
        entry = zipfile.ZipInfo("report.html")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert [fault[:2] for fault in faults(target)] == [("report.html", "not_a_file")]


def test_a_zip_with_an_entry_twice_or_a_password_is_refused(folder, tmp_path):
    target = packed(folder, tmp_path)
    with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("report.html", "other")
    with pytest.raises(AuditError, match=r"entry 'report\.html' is there twice"):
        faults(target)
    data = bytearray(packed(folder, tmp_path).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    target.write_bytes(bytes(data))
    with pytest.raises(AuditError, match=r"is encrypted or packed in a way that a report's zip is not"):
        faults(target)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_a_zip_with_any_byte_changed_gives_faults_or_one_error(tmp_path_factory, place, byte, cut):
    base = tmp_path_factory.getbasetemp() / "fuzz"
    if not base.exists():
        base.mkdir()
        (base / "report.html").write_bytes(PAGE)
        write_manifest(base, FACTS)
        with open_bundle(base) as bundle:
            pack_bundle(bundle, base.with_name("fuzz-whole.zip"))
    data = bytearray(base.with_name("fuzz-whole.zip").read_bytes())
    place %= len(data)
    data[place] = byte
    target = base.with_name("fuzzed.zip")
    target.write_bytes(bytes(data[:place] if cut else data))
    try:
        faults(target)
    except AuditError as error:
        assert "\n" not in str(error)


def test_an_entry_whose_name_ends_before_it_begins_is_told(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_bytes(PAGE)
    write_manifest(tmp_path / "report", FACTS)
    with open_bundle(tmp_path / "report") as bundle:
        pack_bundle(bundle, tmp_path / "report.zip")
    packed = (tmp_path / "report.zip").read_bytes()
    (tmp_path / "report.zip").write_bytes(packed.replace(b"report.html", b"\0eport.html"))
    with pytest.raises(AuditError, match=r"report\.zip: an entry without a name"):
        faults(tmp_path / "report.zip")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["manifest.json", "SHA256SUMS", "statement.intoto.json"]), data=st.binary(max_size=200))
def test_any_bytes_in_place_of_what_states_digests_give_faults(tmp_path_factory, name, data):
    folder = tmp_path_factory.getbasetemp() / "any-bytes"
    folder.mkdir(exist_ok=True)
    (folder / "report.html").write_bytes(PAGE)
    write_manifest(folder, FACTS)
    (folder / name).write_bytes(data)
    assert faults(folder) != []


@pytest.fixture(scope="module")
def image_report(tmp_path_factory):
    """Make a report of an image in a folder; return both."""
    place = tmp_path_factory.mktemp("against")
    layers = [{"etc/os-release": "ID=debian\n"}, {"app": "one"}]
    oci_dir(place / "image", layers=layers)
    code, _, err = command("report", f"oci-dir:{place / 'image'}", "-o", place / "report", "--formats", "html")
    assert code == 0, err
    return place


def test_a_report_is_still_true_of_an_image_that_did_not_move(image_report):
    code, out, _ = command("verify", image_report / "report", "--against", f"oci-dir:{image_report / 'image'}")
    assert code == 0
    assert out.endswith(f"It is still true of oci-dir:{image_report / 'image'}.\n")


def test_a_tag_that_moved_is_said_with_both_digests_and_the_layers(image_report, tmp_path):
    oci_dir(tmp_path / "moved", layers=[{"etc/os-release": "ID=debian\n"}, {"app": "two"}, {"more": "x"}])
    recorded = json.loads((image_report / "report" / "manifest.json").read_text())["images"][0]
    reference = f"oci-dir:{tmp_path / 'moved'}"
    code, out, _ = command("verify", image_report / "report", "--against", reference, "--format", "json")
    assert code == 1
    config, layers = json.loads(out)
    assert (config["path"], config["fault"], config["item"]) == (reference, "moved", "config_digest")
    assert config["expected"] == recorded["config_digest"]
    assert config["found"] != recorded["config_digest"]
    assert config["detail"] == f"{reference} is another image than the report is of: config_digest"
    assert layers["detail"] == f"{reference} shares the first 1 of 2 layers, and has 3"
    assert layers["expected"] == recorded["diff_ids"][1]


def test_another_platform_is_said(image_report, tmp_path):
    oci_dir(tmp_path / "arm", layers=[{"a": "x"}], config={"architecture": "arm64", "os": "linux"})
    reference = f"oci-dir:{tmp_path / 'arm'}"
    words = ("verify", image_report / "report", "--against", reference, "--platform", "linux/arm64", "--format", "json")
    code, out, _ = command(*words)
    assert code == 1
    found = {fault["item"]: (fault["expected"], fault["found"]) for fault in json.loads(out)}
    assert found["architecture"] == ("amd64", "arm64")


def test_an_image_that_is_gone_is_wrong_input(image_report):
    code, _, err = command("verify", image_report / "report", "--against", "oci-dir:/nowhere")
    assert code == 2
    assert "/nowhere" in err


def test_a_reference_that_the_report_is_not_of_is_refused_where_it_cannot_be_paired(image_report):
    words = ("--against", "sample:full", "--against", "sample:minimal")
    code, _, err = command("verify", image_report / "report", *words)
    assert code == 2
    assert "sample:full: the report is of oci-dir:" in err


def test_the_statement_is_one_that_signers_take(folder):
    statement = json.loads((folder / "statement.intoto.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:audit-lib:predicate:report:v1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert statement["predicate"] == {name: value for name, value in manifest.items() if name != "files"}
    assert {one["name"]: one["digest"]["sha256"] for one in statement["subject"]} == {
        "report.html": sha256(PAGE),
        "tables/a.csv": sha256(A_CSV),
        "manifest.json": sha256((folder / "manifest.json").read_bytes()),
    }


def test_a_signer_of_dsse_envelopes_signs_the_statement_and_its_signature_lies_beside(folder):
    payload = (folder / "statement.intoto.json").read_bytes()
    signer = CryptoSigner.generate_ed25519()
    envelope = Envelope(payload, "application/vnd.in-toto+json", {})
    envelope.sign(signer)
    (folder / "statement.intoto.json.dsse.json").write_text(json.dumps(envelope.to_dict()))
    assert faults(folder) == []
    read = Envelope.from_dict(json.loads((folder / "statement.intoto.json.dsse.json").read_text()))
    assert list(read.verify([signer.public_key], 1)) == [signer.public_key.keyid]
    assert json.loads(read.payload)["subject"][0]["name"] == "manifest.json"
