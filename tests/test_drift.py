"""The same image here and there: equal, or where it parts; what cannot be known is neither."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from audit_lib import audit
from audit_lib.__main__ import cli
from audit_lib.compare.drift import compare_drift, drift_sentences, verdicts
from audit_lib.errors import TableError
from tests.images import digest, docker_archive, file, layer_tar, oci_archive, oci_dir, symlink

STATUS = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\n\n"
BASE = {
    "var/lib/dpkg/status": STATUS.format("dash", "0.5.12-2") + STATUS.format("libc6", "2.36"),
    "etc/motd": "hello",
    "bin/sh": symlink("dash"),
    "bin/dash": file(b"x" * 100, mode=0o755),
}
APP = {"srv/app": "one"}
CONFIG = {"config": {"Env": ["PATH=/bin", "LANG=C"], "User": "app", "Labels": {"team": "web"}}}


@pytest.fixture
def here(tmp_path: Path) -> str:
    oci_dir(tmp_path / "here", layers=[BASE, APP], config=CONFIG)
    return f"oci-dir:{tmp_path}/here"


def there(tmp_path: Path, layers, config=CONFIG, **facts) -> str:
    oci_dir(tmp_path / "there", layers=layers, config=config, **facts)
    return f"oci-dir:{tmp_path}/there"


def drift_of(*references: str, **options):
    return compare_drift([audit(reference, **options) for reference in references])


def parted(drift, aspect: str | None = None):
    """Return (item, first value, value) of what differs."""
    rows = drift[(drift["status"] == "differs") & (drift["aspect"] == aspect if aspect else True)]
    return [tuple(row) for row in rows[["item", "first_value", "value"]].fillna("").to_numpy().tolist()]


def statuses(drift, aspect: str) -> dict[str, str]:
    rows = drift[drift["aspect"] == aspect]
    return dict(zip(rows["item"], rows["status"], strict=True))


def test_one_image_in_several_packagings_is_the_same(here, tmp_path):
    oci_archive(tmp_path / "copy.tar", tmp_path / "here")
    drift = drift_of(here, f"oci-archive:{tmp_path}/copy.tar")
    assert set(drift["status"]) == {"equal"}
    assert verdicts(drift) == {2: "same"}
    assert list(drift_sentences(drift, here)) == [f"{here} and oci-archive:{tmp_path}/copy.tar are the same image"]
    assert statuses(drift, "layers") == {"layer 1": "equal", "layer 2": "equal"}
    assert statuses(drift, "config")["config.Env.LANG"] == "equal"
    assert statuses(drift, "config")["config.Labels.team"] == "equal"
    assert statuses(drift, "packages") == {"all packages": "equal"}
    assert statuses(drift, "files") == {"all files": "equal"}


def test_a_digest_that_a_source_does_not_tell_is_unknown_and_the_config_proves_the_image_all_the_same(here, tmp_path):
    docker_archive(tmp_path / "saved.tar", layers=[BASE, APP], config=CONFIG)
    drift = drift_of(here, f"docker-archive:{tmp_path}/saved.tar")
    assert statuses(drift, "manifest_digest") == {"digest": "unknown"}
    assert statuses(drift, "config_digest") == {"digest": "equal"}
    assert verdicts(drift) == {2: "same"}
    (told,) = drift_sentences(drift, here)
    assert told.endswith("are the same image; unknown: manifest digest")


def test_layers_packed_otherwise_are_told_from_other_contents(here, tmp_path):
    drift = drift_of(here, there(tmp_path, [BASE, APP], compression="zstd"))
    assert [item for item, *_ in parted(drift)] == ["digest"]
    detail = drift.set_index("aspect").loc["manifest_digest", "detail"]
    assert detail == "the configs are the same, and so are the layers' contents; they are packed otherwise"
    assert verdicts(drift) == {2: "differs"}


def test_an_engine_that_remembers_the_digest_of_an_index_does_not_make_it_another_image(here, tmp_path):
    one, other = audit(here), audit(there(tmp_path, [BASE, APP], compression="zstd"))
    other.image["source"] = other.image["source"].replace("oci-dir", "docker")
    drift = compare_drift([one, other])
    assert statuses(drift, "manifest_digest") == {"digest": "unknown"}
    assert verdicts(drift) == {2: "same"}


def test_where_the_config_parts_each_key_says_so(here, tmp_path):
    config = {"config": {"Env": ["PATH=/bin", "LANG=de", "TZ=UTC"], "Labels": {"team": "web"}}, "architecture": "arm64"}
    drift = drift_of(here, there(tmp_path, [BASE, APP], config))
    assert parted(drift, "config") == [
        ("architecture", "amd64", "arm64"),
        ("config.Env.LANG", "C", "de"),
        ("config.Env.TZ", "", "UTC"),
        ("config.User", "app", ""),
    ]
    assert statuses(drift, "files") == {"all files": "equal"}
    assert statuses(drift, "packages") == {"all packages": "equal"}


def test_secrets_that_are_not_shown_are_not_called_equal(tmp_path):
    secrets = ["ghp_" + letter * 36 for letter in ("aB3", "cD4")]
    configs = [{"config": {"Env": [f"KEEP={secret[:40]}"]}} for secret in secrets]
    oci_dir(tmp_path / "one", layers=[BASE], config=configs[0])
    drift = drift_of(f"oci-dir:{tmp_path}/one", there(tmp_path, [BASE], configs[1]))
    assert statuses(drift, "config")["config.Env.KEEP"] == "unknown"
    assert not any(secret[:20] in drift.to_csv() for secret in secrets)
    assert parted(drift, "config") == []
    assert verdicts(drift) == {2: "differs"}
    same = drift_of(f"oci-dir:{tmp_path}/one", f"oci-dir:{tmp_path}/one")
    assert statuses(same, "config")["config.Env.KEEP"] == "equal"


def test_where_layers_part_packages_and_files_say_what_differs(here, tmp_path):
    changed = {
        "var/lib/dpkg/status": STATUS.format("dash", "0.5.13-1") + STATUS.format("curl", "8.0"),
        "etc/motd": file("hello", mode=0o600),
        "bin/sh": symlink("bash"),
        "bin/dash": file(b"x" * 100, mode=0o755),
        "etc/new": "new",
    }
    drift = drift_of(here, there(tmp_path, [changed, APP]))
    assert parted(drift, "layers") == [("layer 1", digest(layer_tar(BASE)), digest(layer_tar(changed)))]
    assert parted(drift, "packages") == [
        ("deb:curl", "", "8.0"),
        ("deb:dash", "0.5.12-2", "0.5.13-1"),
        ("deb:libc6", "2.36", ""),
    ]
    files = {item: (first, value) for item, first, value in parted(drift, "files")}
    assert files["/bin/sh"] == ("symlink 0777 0:0 -> dash", "symlink 0777 0:0 -> bash")
    assert files["/etc/motd"] == ("file 0644 0:0 5 bytes", "file 0600 0:0 5 bytes")
    assert files["/etc/new"] == ("", "file 0644 0:0 3 bytes")
    assert set(files) == {"/bin/sh", "/etc/motd", "/etc/new", "/var/lib/dpkg/status"}
    assert statuses(drift, "files")["contents"] == "unknown"  # bin/dash
    (told,) = drift_sentences(drift, here)
    assert told.endswith("differ: manifest digest, config digest, 1 layer, 3 packages, 4 files; unknown: files")


def test_contents_of_equal_length_are_compared_where_files_are_checked(here, tmp_path):
    changed = {**BASE, "bin/dash": file(b"y" * 100, mode=0o755)}
    other = there(tmp_path, [changed, APP])
    unchecked = drift_of(here, other)
    assert parted(unchecked, "files") == []
    assert statuses(unchecked, "files") == {"contents": "unknown"}
    assert "3 files of equal size" in unchecked[unchecked["item"] == "contents"]["detail"].iloc[0]
    checked = drift_of(here, other, check_files=True)
    ((item, first, value),) = parted(checked, "files")
    assert item == "/bin/dash"
    assert first.endswith(digest(b"x" * 100))
    assert value.endswith(digest(b"y" * 100))
    assert statuses(checked, "files") == {"/bin/dash": "differs"}


def test_files_out_of_the_same_layer_need_not_be_checked(here, tmp_path):
    drift = drift_of(here, there(tmp_path, [BASE, APP, {"srv/more": "more"}]))
    assert [item for item, *_ in parted(drift, "files")] == ["/srv/more"]
    assert "contents" not in statuses(drift, "files")
    assert parted(drift, "layers") == [("layer 3", "", digest(layer_tar({"srv/more": "more"})))]
    assert statuses(drift, "packages") == {"all packages": "equal"}


def test_what_an_sbom_does_not_tell_is_unknown_not_equal(here, tmp_path):
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{name}@{version}"}
        for name, version in (("dash", "0.5.12-2"), ("libc6", "2.36"))
    ]
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": components}
    (tmp_path / "sbom.json").write_text(json.dumps(document))
    drift = drift_of(here, f"sbom:{tmp_path}/sbom.json")
    assert statuses(drift, "packages") == {"all packages": "equal"}
    for aspect in ("manifest_digest", "config_digest", "layers", "config", "files"):
        assert set(statuses(drift, aspect).values()) == {"unknown"}
    assert verdicts(drift) == {2: "unknown"}
    (told,) = drift_sentences(drift, here)
    assert told.endswith(
        "are not known to be the same image; unknown: manifest digest, config digest, layers, config, files"
    )


def test_formats_that_an_sbom_does_not_list_are_unknown(here, tmp_path):
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": []}
    (tmp_path / "sbom.json").write_text(json.dumps(document))
    drift = drift_of(here, f"sbom:{tmp_path}/sbom.json")
    assert statuses(drift, "packages") == {"deb packages": "unknown"}
    assert verdicts(drift) == {2: "unknown"}


def test_packages_of_a_damaged_database_are_unknown(here, tmp_path):
    drift = drift_of(here, there(tmp_path, [{**BASE, "var/lib/dpkg/status": "Package dash\n"}, APP]))
    assert statuses(drift, "packages") == {"deb packages": "unknown"}


def test_images_without_any_database_have_unknown_packages_unless_their_layers_are_the_same(tmp_path):
    oci_dir(tmp_path / "one", layers=[{"a": "1"}])
    one = f"oci-dir:{tmp_path}/one"
    assert statuses(drift_of(one, there(tmp_path, [{"a": "2"}])), "packages") == {"all packages": "unknown"}
    assert statuses(drift_of(one, one), "packages") == {"all packages": "equal"}


def test_images_without_layers_are_the_same(tmp_path):
    oci_dir(tmp_path / "one", layers=[])
    drift = drift_of(f"oci-dir:{tmp_path}/one", there(tmp_path, [], config=None))
    assert verdicts(drift) == {2: "same"}


def test_each_further_image_is_compared_with_the_first(here, tmp_path):
    other = there(tmp_path, [BASE, {"srv/app": "two"}])
    drift = drift_of(here, other, here, other)
    assert verdicts(drift) == {2: "differs", 3: "same", 4: "differs"}
    assert drift.groupby("position")["image"].first().tolist() == [other, here, other]
    with pytest.raises(TableError, match="expected two or more images, found 1"):
        drift_of(here)


def same(*words: str):
    return CliRunner().invoke(cli, ["-q", "same", *words])


def test_the_command_ends_with_0_for_the_same_image_and_1_for_another(here, tmp_path):
    equal = same(here, here)
    assert (equal.exit_code, equal.stdout) == (0, f"{here} and {here} are the same image\n")
    other = there(tmp_path, [BASE, {"srv/app": "two", "srv/new": "x"}])
    done = same(here, other)
    assert done.exit_code == 1
    assert (
        f"{here} and {other} differ: manifest digest, config digest, 1 layer, 1 file; unknown: files\n" in done.stdout
    )
    assert "/srv/new" in done.stdout
    assert "all packages" not in done.stdout
    rows = list(csv.DictReader(io.StringIO(same(here, other, "--format", "csv").stdout)))
    assert {row["status"] for row in rows} == {"equal", "differs", "unknown"}


def test_the_command_ends_with_1_where_too_little_is_known_and_with_2_without_a_second_image(here, tmp_path):
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": []}
    (tmp_path / "sbom.json").write_text(json.dumps(document))
    assert same(here, f"sbom:{tmp_path}/sbom.json").exit_code == 1
    assert same(here).exit_code == 2
    assert "expected two references or more, found one" in same(here).stderr


def test_many_differences_are_counted_and_shown_in_part(here, tmp_path):
    other = there(tmp_path, [BASE, APP, {f"srv/{number:03}": "x" for number in range(40)}])
    done = same(here, other)
    assert done.stdout.count("/srv/0") == 10
    assert "… 30 more, in --format csv" in done.stdout
    assert "40 files" in done.stdout


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.real
def test_an_image_in_docker_podman_and_a_folder_is_the_same(
    full_image, docker_host, podman_full_image, podman_host, full_archive, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    monkeypatch.setenv("CONTAINER_HOST", podman_host)
    drift = drift_of(f"docker:{full_image}", f"podman:{podman_full_image}", f"docker-archive:{full_archive}")
    assert verdicts(drift) == {2: "same", 3: "same"}
    assert set(drift.loc[drift["aspect"] != "manifest_digest", "status"]) == {"equal"}
