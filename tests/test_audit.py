"""From small images to their tables: what is known, what is not, and which layer brought it."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from audit_lib import Audit, audit
from tests.images import capable, digest, docker_archive, file, hardlink, layer_tar, oci_archive, oci_dir, symlink
from tests.tools import REQUIRED

STANZA = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\n\n"
OS_RELEASE = {"usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'}
ELF = b"\x7fELF" + bytes(1000)


def status(**versions: str) -> str:
    return "".join(STANZA.format(name, version) for name, version in versions.items())


def audited(path: Path, *layers, config: dict | None = None) -> Audit:
    oci_dir(path / "image", layers=layers, config=config)
    return audit(f"oci-dir:{path / 'image'}")


def databases(found: Audit) -> dict[str, tuple]:
    rows = found.databases[["database_path", "status", "package_count", "detail"]].astype(object)
    return {
        row[0]: tuple(None if pd.isna(value) else value for value in row[1:]) for row in rows.itertuples(index=False)
    }


def image(found: Audit, name: str):
    value = found.image[name].iloc[0]
    return None if pd.isna(value) else value


def test_a_scratch_image_has_no_files_and_unknown_packages(tmp_path: Path):
    found = audited(tmp_path)
    assert (image(found, "layer_count"), image(found, "file_bytes"), image(found, "file_count")) == (0, 0, 0)
    assert image(found, "package_count") is None
    assert image(found, "unowned_share") is None
    assert {row[0] for row in databases(found).values()} == {"absent"}
    assert found.gaps == (f"{image(found, 'image')}: no package database was found, so its packages are unknown",)
    assert len(found.files) == len(found.packages) == 0


def test_one_static_binary_without_a_database_has_unknown_packages_not_none(tmp_path: Path):
    found = audited(tmp_path, {"app": file(ELF, mode=0o755)})
    assert image(found, "file_bytes") == 1004
    assert image(found, "package_count") is None
    assert databases(found)["/var/lib/dpkg/status"] == ("absent", None, None)
    assert found.files[["path", "category", "package"]].astype(object).fillna("-").to_numpy().tolist() == [
        ["/app", "executables", "-"]
    ]
    assert not found.is_damaged


def test_an_empty_database_is_no_packages(tmp_path: Path):
    found = audited(tmp_path, {"var/lib/dpkg/status": ""})
    assert databases(found)["/var/lib/dpkg/status"] == ("read", 0, None)
    assert image(found, "package_count") == 0


def test_a_package_that_a_database_states_twice_is_one_row_and_counts_once(tmp_path: Path):
    found = audited(tmp_path, {"var/lib/dpkg/status": status(bash="5.2") * 2 + status(curl="7.88")})
    assert databases(found)["/var/lib/dpkg/status"] == ("read", 2, None)
    assert image(found, "package_count") == 2
    assert list(found.packages["name"]) == ["bash", "curl"]


def test_a_status_file_that_is_cut_makes_the_packages_unknown(tmp_path: Path):
    whole = status(bash="5.2", curl="7.88", tzdata="2024a")
    found = audited(tmp_path, {"var/lib/dpkg/status": whole[: len(whole) // 2], "var/lib/dpkg/info/tzdata.list": ""})
    state, count, detail = databases(found)["/var/lib/dpkg/status"]
    assert (state, count) == ("damaged", None)
    assert detail.startswith("line ")
    assert found.is_damaged
    assert image(found, "package_count") is None
    assert len(found.packages) == 0
    assert "is damaged: line " in found.gaps[0]


def test_a_database_that_a_layer_deleted_is_absent_and_says_what_it_held(tmp_path: Path):
    apk = "P:musl\nV:1.2.5-r0\nF:lib\nR:libc.so\n\nP:busybox\nV:1.36-r2\n\n"
    found = audited(tmp_path, {"lib/apk/db/installed": apk, "lib/libc.so": ELF}, {"lib/apk/db/.wh.installed": ""})
    assert databases(found)["/lib/apk/db/installed"] == ("absent", None, "deleted by layer 2; below it: 2 packages")
    assert image(found, "package_count") is None
    assert len(found.packages) == 0


def test_the_layer_that_introduced_a_version_is_not_the_one_that_last_wrote_the_database(tmp_path: Path):
    found = audited(
        tmp_path,
        {"var/lib/dpkg/status": status(bash="5.2", curl="7.88", nano="7.2")},
        {"etc/motd": "nothing of packages"},
        {"var/lib/dpkg/status": status(bash="5.2", curl="8.0")},
        {"var/lib/dpkg/status": status(bash="5.2", curl="8.0", nano="7.2", zsh="5.9")},
    )
    layers = found.packages.set_index("name")["first_layer"].to_dict()
    assert layers == {"bash": 1, "curl": 3, "nano": 4, "zsh": 4}


def test_files_belong_to_packages_through_a_merged_usr(tmp_path: Path):
    found = audited(
        tmp_path,
        {
            "lib": symlink("usr/lib"),
            "usr/lib/libc.so.6": ELF,
            "usr/lib/other": "unowned",
            "var/lib/dpkg/status": status(libc6="2.36"),
            "var/lib/dpkg/info/libc6.list": "/.\n/lib\n/lib/libc.so.6\n/lib/gone\n",
        },
    )
    files = found.files.set_index("path")
    assert files.loc["/usr/lib/libc.so.6", "package"] == "libc6"
    assert pd.isna(files.loc["/usr/lib/other", "package"])
    package = found.packages.iloc[0]
    assert (package["file_bytes"], package["file_count"]) == (1004, 2)  # the link /lib is listed too


def test_hard_links_weigh_once_in_files_packages_and_image(tmp_path: Path):
    found = audited(
        tmp_path,
        {
            "usr/bin/perl": file(ELF, mode=0o755),
            "usr/bin/perl5.36": hardlink("usr/bin/perl"),
            "var/lib/dpkg/status": status(perl="5.36"),
            "var/lib/dpkg/info/perl.list": "/usr/bin/perl\n/usr/bin/perl5.36\n",
        },
    )
    files = found.files.set_index("path")
    assert files.loc["/usr/bin/perl", ["kind", "file_bytes"]].tolist() == ["file", 1004]
    assert files.loc["/usr/bin/perl5.36", ["kind", "file_bytes", "link_target"]].tolist() == [
        "hardlink",
        0,
        "/usr/bin/perl",
    ]
    assert found.packages.loc[0, ["file_bytes", "file_count"]].tolist() == [1004, 2]
    assert image(found, "file_bytes") == found.files["file_bytes"].sum()


def test_unowned_share_is_the_share_of_bytes_that_no_package_claims(tmp_path: Path):
    layer = {"owned": "x" * 300, "var/lib/dpkg/status": status(a="1"), "var/lib/dpkg/info/a.list": "/owned\n"}
    bytes_of_databases = sum(len(content) for path, content in layer.items() if path != "owned")
    found = audited(tmp_path, {**layer, "unowned": "y" * 100})
    assert image(found, "unowned_share") == pytest.approx((100 + bytes_of_databases) / (400 + bytes_of_databases))


def test_a_python_distribution_out_of_a_deb_names_it_as_its_parent(tmp_path: Path):
    info = "usr/lib/python3/dist-packages/six-1.16.0.dist-info"
    found = audited(
        tmp_path,
        {
            f"{info}/METADATA": "Name: six\nVersion: 1.16.0\nLicense: MIT\n",
            f"{info}/RECORD": "six.py,,\n",
            "usr/lib/python3/dist-packages/six.py": "code",
            "var/lib/dpkg/status": status(**{"python3-six": "1.16.0-4"}),
            "var/lib/dpkg/info/python3-six.list": f"/{info}/METADATA\n/usr/lib/python3/dist-packages/six.py\n",
        },
        OS_RELEASE,
    )
    rows = found.packages.set_index("format")
    assert rows.loc["pypi", ["parent", "file_bytes", "licenses", "purl"]].tolist() == [
        "deb:python3-six",
        4,
        "MIT",
        "pkg:pypi/six@1.16.0",
    ]
    assert rows.loc["deb", "purl"] == "pkg:deb/debian/python3-six@1.16.0-4?arch=amd64&distro=debian-12"
    assert found.files.set_index("path").loc[
        "/usr/lib/python3/dist-packages/six.py", ["format", "package"]
    ].tolist() == ["deb", "python3-six"]


def test_one_broken_distribution_among_others_is_a_row_of_its_own(tmp_path: Path):
    site = "usr/lib/python3/dist-packages"
    found = audited(
        tmp_path, {f"{site}/a-1.dist-info/METADATA": "Name: a\nVersion: 1\n", f"{site}/b-1.dist-info/METADATA": "cut"}
    )
    assert databases(found)[f"/{site}"] == ("read", 1, None)
    assert databases(found)[f"/{site}/b-1.dist-info/METADATA"][0] == "damaged"
    assert image(found, "package_count") is None


def test_what_config_and_history_say(tmp_path: Path):
    config = {
        "created": "2024-03-01T12:00:00.123456789+02:00",
        "config": {"User": "65532", "Entrypoint": ["/app", "--x"], "Cmd": None},
        "history": [
            {"created_by": "ADD rootfs"},
            {"created_by": "ENV A=b", "empty_layer": True},
            {"created_by": "RUN make"},
        ],
    }
    found = audited(tmp_path, {"a": "1"}, {"b": "22"}, config=config)
    assert [image(found, name) for name in ("created_utc", "user", "entrypoint", "cmd")] == [
        "2024-03-01T10:00:00Z",
        "65532",
        '["/app", "--x"]',
        None,
    ]
    assert found.layers["created_by"].tolist() == ["ADD rootfs", "RUN make"]
    assert found.layers["content_bytes"].tolist() == [1, 2]


def test_layers_hold_content_links_whiteouts_and_what_is_reclaimable(tmp_path: Path):
    found = audited(tmp_path, {"a": "12345", "link": symlink("abc"), "dir/": None}, {".wh.a": "", "b": "1"})
    columns = ["content_bytes", "reclaimable_bytes", "file_count", "whiteout_count"]
    assert found.layers[columns].to_numpy().tolist() == [[8, 5, 2, 0], [1, 0, 1, 1]]
    tars = [layer_tar({"a": "12345", "link": symlink("abc"), "dir/": None}), layer_tar({".wh.a": "", "b": "1"})]
    assert found.layers["diff_id"].tolist() == [digest(tar) for tar in tars]
    assert image(found, "unpacked_bytes") == sum(map(len, tars))


def test_every_packing_of_an_image_gives_the_same_tables(tmp_path: Path):
    layers = [
        {"bin/sh": file(ELF, mode=0o755), **OS_RELEASE},
        {"var/lib/dpkg/status": status(a="1"), "var/lib/dpkg/info/a.list": "/bin/sh\n"},
    ]
    oci_dir(tmp_path / "dir", layers=layers, compression="zstd")
    oci_archive(tmp_path / "oci.tar", tmp_path / "dir")
    references = [
        f"oci-dir:{tmp_path}/dir",
        f"oci-archive:{tmp_path}/oci.tar",
        f"{tmp_path}/dir",
        f"{tmp_path}/oci.tar:latest",
    ]
    for layout in ("old", "new"):
        for compression in ("", "gzip", "zstd", "xz"):
            docker_archive(
                tmp_path / f"{layout}{compression}.tar", layers=layers, layout=layout, compression=compression
            )
            references.append(f"docker-archive:{tmp_path}/{layout}{compression}.tar")
    audits = [audit(reference) for reference in references]
    for found in audits[1:]:
        for table in ("files", "packages", "databases"):
            pd.testing.assert_frame_equal(
                getattr(found, table).drop(columns="image"), getattr(audits[0], table).drop(columns="image")
            )
    assert [image(found, "source") for found in audits[:4]] == ["oci-dir", "oci-archive", "oci-dir", "oci-archive"]
    assert pd.isna(audits[-1].layers["compressed_bytes"]).all()  # what a registry would store is not known
    assert audits[0].layers["compressed_bytes"].notna().all()


@pytest.mark.skipif(
    shutil.which("setcap") is None and not REQUIRED, reason="setcap is not here (Debian package libcap2-bin)"
)
@pytest.mark.parametrize(
    "capability",
    [
        "cap_net_raw=ep",
        "cap_net_bind_service,cap_net_raw=ep",
        "cap_chown=i",
        "cap_sys_admin=eip",
        "cap_bpf,cap_perfmon=p",
    ],
)
def test_capabilities_read_as_getcap_prints_them(capability: str, tmp_path: Path):
    path = tmp_path / "tree" / "ping"
    path.parent.mkdir()
    path.write_bytes(b"x")
    done = subprocess.run(["setcap", capability, path], capture_output=True, check=False)
    if done.returncode and not REQUIRED:
        pytest.skip(f"setcap is not permitted here: {done.stderr.decode().strip()}")
    printed = (
        subprocess.run(["getcap", path], check=True, capture_output=True, text=True)
        .stdout.strip()
        .removeprefix(f"{path} ")
    )
    subprocess.run(
        [
            "tar",
            "--xattrs",
            "--xattrs-include=security.capability",
            "-C",
            path.parent,
            "-cf",
            tmp_path / "layer.tar",
            ".",
        ],
        check=True,
    )
    found = audited(tmp_path, (tmp_path / "layer.tar").read_bytes())
    assert found.files["capabilities"].tolist() == [printed]


def test_capabilities_of_an_odd_length_are_shown_as_they_are(tmp_path: Path):
    found = audited(tmp_path, {"x": capable(b"x", b"\x01\x02")})
    assert found.files["capabilities"].tolist() == ["unknown (0102)"]


def test_names_that_are_not_utf_8_can_be_shown(tmp_path: Path):
    found = audited(
        tmp_path, tarfile.TarInfo("a\udcff").tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + bytes(1024)
    )
    assert found.files["path"].tolist() == ["/a\\xff"]
