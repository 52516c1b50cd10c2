"""Tables of many images: what they have in common, counted; what is not known of one of them stays unknown."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from audit_lib import Fleet, audit_many, overview, read_fleet
from audit_lib.errors import AuditError
from audit_lib.tables import FleetFolder, FleetLayer, FleetMeasure, FleetPackage, check_table
from tests.images import compress, digest, file, layer_tar, oci_dir

STATUS = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\n\n"
BASE = {
    "usr/lib/os-release": 'ID=debian\nVERSION_ID=12\nPRETTY_NAME="Debian 12"\n',
    "var/lib/dpkg/status": STATUS.format("dash", "1") + STATUS.format("apt", "2"),
    "var/lib/dpkg/info/dash.md5sums": "d41d8cd98f00b204e9800998ecf8427e  bin/dash\n",
    "bin/dash": file(b"\x7fELF" + bytes(96), mode=0o755),
    "usr/bin/apt-get": file(b"\x7fELF" + bytes(46), mode=0o755),
    "usr/bin/su": file(b"#!", mode=0o4755),
}
BASE_FILES = {"os-release": 50, "status": 150, "md5sums": 43, "dash": 100, "apt-get": 50, "su": 2}
OWN = {"srv/app": "x" * 1000}
NEWER = {
    "var/lib/dpkg/status": STATUS.format("dash", "1.1"),
    "var/lib/dpkg/info/dash.list": "/bin/dash\n",
    "srv/app": "x" * 10,
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Return three images, two of them on one base, one without a database; one that fails; one that is an SBOM."""
    place = tmp_path_factory.mktemp("overview")
    oci_dir(place / "one", layers=[BASE, OWN])
    oci_dir(place / "two", layers=[BASE, NEWER])
    oci_dir(place / "bare", layers=[{"app": file(b"x" * 70, mode=0o755)}])
    components = [{"type": "library", "name": "dash", "version": "1", "purl": "pkg:deb/debian/dash@1"}]
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": components}
    (place / "sbom.json").write_text(json.dumps(document))
    references = [f"oci-dir:{place}/{name}" for name in ("one", "two", "bare", "gone")]
    return audit_many([*references, f"sbom:{place}/sbom.json"], place / "out")


def name_of(image: str) -> str:
    return Path(image.partition(":")[2]).name


@pytest.fixture(scope="module")
def measures(fleet: Fleet) -> pd.DataFrame:
    made = overview.measures(
        fleet.images, layers=fleet.table("layers"), surface=fleet.table("surface"), findings=fleet.table("findings")
    )
    return check_table(FleetMeasure, made).set_index(made["image"].map(name_of))


def test_each_image_is_a_row_and_what_failed_is_unknown(measures):
    assert measures.index.tolist() == ["bare", "gone", "one", "two", "sbom.json"]
    assert measures["status"].tolist() == ["read", "failed", "read", "read", "read"]
    assert measures.loc["gone"].drop(["image", "status"]).isna().all()
    assert measures.loc["one", "distro_name"] == "Debian 12"


def test_shared_bytes_are_those_of_layers_that_others_have(measures):
    base, own = (len(compress(layer_tar(layer), "gzip")) for layer in (BASE, OWN))
    assert measures.loc["one", ["compressed_bytes", "shared_bytes"]].tolist() == [base + own, base]
    assert measures.loc["bare", "shared_bytes"] == 0
    assert measures.loc["sbom.json", ["layer_count", "shared_bytes", "reclaimable_bytes"]].isna().all()


def test_unowned_bytes_are_unknown_where_packages_are(measures):
    unowned = sum(BASE_FILES.values()) - BASE_FILES["dash"] + len("x" * 1000)
    everything = measures.loc["one", "file_bytes"]
    assert measures.loc["one", "unowned_bytes"] == everything - 100
    assert abs(everything - 100 - unowned) < 100  # the texts of the databases
    assert measures.loc["bare", "unowned_bytes"] is pd.NA


def test_things_of_the_surface_and_checks_are_counted(measures):
    columns = ["shell_count", "package_manager_count", "setuid_count"]
    assert measures.loc["one", columns].tolist() == [1, 1, 1]
    assert measures.loc["bare", columns].tolist() == [0, 0, 0]
    assert measures.loc["sbom.json", columns].isna().all()
    assert measures.loc["one", "failed_check_count"] > 0
    assert measures.loc["sbom.json", "unassessed_check_count"] > measures.loc["one", "unassessed_check_count"]


def test_layers_are_counted_over_images(fleet):
    layers = check_table(FleetLayer, overview.fleet_layers(fleet.table("layers"))).set_index("diff_id")
    base = layers.loc[digest(layer_tar(BASE))]
    assert len(layers) == 4
    assert base["image_count"] == 2
    assert base["saved_bytes"] == len(compress(layer_tar(BASE), "gzip"))
    assert [name_of(image) for image in base["images"].split(", ")] == ["one", "two"]
    assert layers["image_count"].sum() == 5


def test_of_many_images_that_have_a_layer_five_are_named():
    facts = {"layer": 1, "diff_id": "sha256:a", "compressed_bytes": 10, "unpacked_bytes": 20, "created_by": pd.NA}
    rows = pd.DataFrame([{"image": f"image{number}", **facts} for number in range(9)])
    (row,) = overview.fleet_layers(rows.astype({"created_by": "string", "compressed_bytes": "Int64"})).to_dict(
        "records"
    )
    assert row["images"] == "image0, image1, image2, image3, image4 and 4 more"
    assert row["saved_bytes"] == 80


def test_packages_are_counted_over_images_and_bytes_stay_unknown_where_one_does_not_tell(fleet):
    packages = check_table(FleetPackage, overview.fleet_packages(fleet.table("packages"))).set_index("name")
    assert packages.loc["dash", ["image_count", "version_count", "versions"]].tolist() == [3, 2, "1, 1.1"]
    assert packages.loc["dash", "file_bytes"] is pd.NA  # the SBOM does not tell
    assert packages.loc["apt", "image_count"] == 1


def test_shares_add_up_from_the_largest_package_down_and_what_another_brought_weighs_nothing(fleet):
    packages = fleet.table("packages").iloc[:1]
    rows = [
        packages.assign(
            name=name, file_bytes=pd.array([size], dtype="Int64"), parent=pd.array([parent], dtype="string")
        )
        for name, size, parent in (
            ("a", 30, None),
            ("b", 60, None),
            ("c", 10, None),
            ("d", 50, "deb:a"),
            ("e", None, None),
        )
    ]
    table = overview.fleet_packages(pd.concat(rows, ignore_index=True)).set_index("name")
    assert table["file_bytes"].tolist()[:4] == [30, 60, 10, 0]
    assert table["weight_share"].tolist()[:4] == pytest.approx([0.3, 0.6, 0.1, 0.0])
    assert table["cumulative_share"].tolist()[:4] == pytest.approx([0.9, 0.6, 1.0, 1.0])
    assert table.loc["e", ["file_bytes", "weight_share", "cumulative_share"]].isna().all()


def test_unowned_folders_are_those_of_images_whose_packages_are_known(fleet):
    folders = check_table(FleetFolder, overview.unowned_folders(fleet.each("files"), fleet.images))
    assert {name_of(image) for image in folders["image"]} == {"one", "two"}
    srv = folders[folders["folder"] == "/srv"]
    assert dict(zip(srv["image"].map(name_of), srv["unowned_bytes"], strict=True)) == {"one": 1000, "two": 10}
    assert "/bin" not in set(folders["folder"])
    pd.testing.assert_frame_equal(folders, overview.unowned_folders(fleet.table("files"), fleet.images))
    summed = overview.folders_of_all(folders).set_index("folder")
    assert summed.loc["/srv"].tolist() == [1010, 2, 2]
    assert summed.index[0] == "/srv"


def test_no_images_are_empty_tables(fleet):
    nothing = {name: fleet.table(name).head(0) for name in ("layers", "packages", "surface", "findings", "files")}
    none = fleet.images.head(0)
    assert len(overview.fleet_layers(nothing["layers"])) == 0
    assert len(overview.fleet_packages(nothing["packages"])) == 0
    assert len(overview.unowned_folders([], none)) == 0
    assert len(overview.folders_of_all(overview.unowned_folders(nothing["files"], none))) == 0
    given = {name: nothing[name] for name in ("layers", "surface", "findings")}
    assert len(overview.measures(none, **given)) == 0


def test_the_headline_and_the_gaps_say_what_failed(fleet):
    told = overview.headline(fleet.images, overview.fleet_layers(fleet.table("layers")))
    assert told.startswith(
        "5 images: 4 read, 1 not read. They have 4 different layers, 1 of them in more than one image."
    )
    first, *others = overview.gaps(fleet.images)
    assert "gone could not be read: " in first
    assert any("no package database was found" in sentence for sentence in others)
    assert list(overview.gaps(fleet.images, count=1))[1:] == [
        f"and {len(others)} more sentences, in the column gaps of the table images"
    ]
    assert any("known from an SBOM alone" in sentence for sentence in overview.notes(fleet.images))


def test_a_fleet_is_read_from_its_place_or_from_a_text(fleet):
    assert read_fleet("sample:none", place=fleet.place).images["image"].tolist() == fleet.images["image"].tolist()
    found = read_fleet("sample:minimal\nsample:full linux/amd64")
    assert found.images["image"].tolist() == ["sample:full linux/amd64", "sample:minimal"]
    with pytest.raises(AuditError, match="the images: names no image"):
        read_fleet("  ")
    with pytest.raises(AuditError, match="holds no fleet"):
        read_fleet("", place=f"{fleet.place}/files")
