"""What an attacker would find: on images built for each case, and on a real one against what a container says of itself."""

from __future__ import annotations

from pathlib import Path

import docker
import pandas as pd
import pytest

from audit_lib import Audit, audit
from audit_lib.links import links_of
from tests.elves import elf_file
from tests.images import capable, file, folder, hardlink, oci_dir, symlink

USERS = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\napp:x:1000:1000::/app:/bin/sh\n"
GROUP = "root:x:0:\ndaemon:x:1:\nstaff:x:50:app\napp:x:1000:\n"
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
RUN = {"mode": 0o755}
APPLETS = b"\0ash\0cat\0cp\0echo\0httpd\0ls\0nc\0sh\0su\0telnetd\0vi\0wget\0"


def audited(path: Path, *layers, **run) -> Audit:
    oci_dir(path, layers=layers, config={"config": run})
    return audit(f"oci-dir:{path}")


def items(found: Audit, category: str) -> list[tuple]:
    rows = found.surface[found.surface["category"] == category].astype(object)
    return [
        (None if pd.isna(path) else path, name, None if pd.isna(detail) else detail)
        for path, name, detail in zip(rows["path"], rows["name"], rows["detail"], strict=True)
    ]


def test_a_scratch_image_offers_nothing(tmp_path):
    found = audited(tmp_path)
    assert len(found.surface) == 0
    assert found.surface.columns.tolist() == [
        "image",
        "category",
        "path",
        "package",
        "detail",
        "name",
        "item_count",
        "status",
    ]


def test_a_program_counts_once_whatever_links_lead_to_it(tmp_path):
    layer = {
        "bin": symlink("usr/bin"),
        "usr/bin/dash": file("x", **RUN),
        "usr/bin/sh": symlink("dash"),
        "usr/bin/bash": file("x", **RUN),
        "usr/bin/rbash": hardlink("usr/bin/bash"),
        "usr/bin/nc": symlink("/etc/alternatives/nc"),
        "etc/alternatives/nc": symlink("/bin/nc.openbsd"),
        "usr/bin/nc.openbsd": file("x", **RUN),
        "usr/bin/wget": symlink("gone"),
        "usr/bin/curl": file("x"),
        "usr/share/doc/git": folder(),
    }
    found = audited(tmp_path, layer)
    assert items(found, "shells") == [
        ("/usr/bin/bash", "bash", "also /usr/bin/rbash"),
        ("/usr/bin/dash", "dash", "also /usr/bin/sh"),
    ]
    assert items(found, "network clients") == [("/usr/bin/nc.openbsd", "nc.openbsd", "also /usr/bin/nc")]


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("x86_64-linux-gnu-gcc-12", "compilers and linkers"),
        ("python3.13", "interpreters"),
        ("php8.2", "interpreters"),
        ("dnf-3", "package managers"),
        ("pip3.11", "package managers"),
        ("gdb", "debuggers"),
        ("sshd", "remote administration"),
        ("nginx", "network servers"),
        ("sudo", "privilege tools"),
    ],
)
def test_a_program_is_known_by_its_name_with_version_and_target(tmp_path, name, category):
    found = audited(tmp_path, {f"usr/local/bin/{name}": file("x", **RUN)})
    assert found.surface[["category", "path"]].to_numpy().tolist() == [[category, f"/usr/local/bin/{name}"]]


def test_the_links_to_a_busybox_are_its_applets(tmp_path):
    links = {f"bin/{name}": symlink("/bin/busybox") for name in ("sh", "wget", "nc", "ls")}
    found = audited(tmp_path, {"bin/busybox": file(b"x", **RUN), **links})
    assert items(found, "shells") == [("/bin/busybox", "busybox", "as /bin/sh")]
    assert items(found, "network clients") == [("/bin/busybox", "busybox", "as /bin/nc, /bin/wget")]


def test_applets_without_a_link_are_told_from_the_busybox_itself(tmp_path):
    box = elf_file({".rodata": APPLETS})
    found = audited(tmp_path, {"busybox/busybox": file(box, **RUN), "busybox/sh": symlink("busybox")})
    assert items(found, "shells") == [("/busybox/busybox", "busybox", "as /busybox/sh; without a link: ash")]
    assert items(found, "network servers") == [("/busybox/busybox", "busybox", "without a link: httpd")]
    assert items(found, "privilege tools") == [("/busybox/busybox", "busybox", "without a link: su")]
    assert items(found, "remote administration") == [("/busybox/busybox", "busybox", "without a link: telnetd")]


def test_a_busybox_of_hard_links_goes_by_its_own_name(tmp_path):
    layer = {
        "bin/[": file(b"x", **RUN),
        "bin/busybox": hardlink("bin/["),
        "bin/sh": hardlink("bin/["),
        "bin/wget": hardlink("bin/["),
    }
    found = audited(tmp_path, layer)
    assert items(found, "shells") == [("/bin/busybox", "busybox", "as /bin/sh")]
    assert items(found, "network clients") == [("/bin/busybox", "busybox", "as /bin/wget")]


def test_a_busybox_whose_applets_cannot_be_told_has_a_shell_all_the_same(tmp_path):
    found = audited(tmp_path, {"bin/busybox": file(b"x", **RUN)})
    assert items(found, "shells") == [("/bin/busybox", "busybox", "which applets it holds is not known")]


@pytest.mark.parametrize(
    ("user", "mode", "said"),
    [
        ("", 0o644, "the image's user (root) may write to it"),
        ("1000", 0o644, "the image's user (1000) may not write to it"),
        ("1000", 0o666, "the image's user (1000) may write to it"),
        ("app", 0o664, "the image's user (app) may write to it"),
        ("app:app", 0o664, "the image's user (app:app) may write to it"),
        ("nobody", 0o664, "the image's user (nobody) is not known to be able to write to it"),
    ],
)
def test_a_package_manager_says_whether_its_database_may_be_written_to(tmp_path, user, mode, said):
    database = file("", mode=mode, gid=50)
    layer = {"etc/passwd": USERS, "etc/group": GROUP, "usr/bin/apt": file("x", **RUN), "var/lib/dpkg/status": database}
    found = audited(tmp_path, layer, User=user)
    assert items(found, "package managers") == [
        ("/usr/bin/apt", "apt", f"its database /var/lib/dpkg/status is there; {said}")
    ]


def test_a_package_manager_without_its_database_says_so(tmp_path):
    found = audited(tmp_path, {"sbin/apk": file("x", **RUN)})
    assert items(found, "package managers") == [("/sbin/apk", "apk", "its database is not there")]


def test_setuid_setgid_and_capabilities_are_told_with_their_owners(tmp_path):
    layer = {
        "etc/passwd": USERS,
        "etc/group": GROUP,
        "usr/bin/su": file("x", mode=0o4755),
        "usr/bin/su-too": hardlink("usr/bin/su"),
        "usr/bin/wall": file("x", mode=0o2755, gid=50),
        "usr/bin/both": file("x", mode=0o6711, uid=1000, gid=4242),
        "usr/bin/ping": capable("x", NET_RAW, mode=0o755),
        "var/mail": folder(mode=0o2775),
    }
    found = audited(tmp_path, layer)
    assert items(found, "setuid files") == [
        ("/usr/bin/both", "both", "6711 app:4242"),
        ("/usr/bin/su", "su", "4755 root:root; also /usr/bin/su-too"),
    ]
    assert items(found, "setgid files") == [
        ("/usr/bin/both", "both", "6711 app:4242"),
        ("/usr/bin/wall", "wall", "2755 root:staff"),
    ]
    assert items(found, "file capabilities") == [("/usr/bin/ping", "ping", "cap_net_raw=ep")]


def test_what_everybody_may_write_to_is_told_by_its_topmost_folder(tmp_path):
    layer = {
        "tmp": folder(mode=0o1777),
        "app": folder(mode=0o777),
        "app/a": file("x", mode=0o666),
        "app/b": file("x", mode=0o644),
        "app/c": file("x", mode=0o666),
        "etc/open": file("x", mode=0o666),
        "link": symlink("etc/open", mode=0o777),
    }
    found = audited(tmp_path, layer)
    rows = found.surface[found.surface["category"] == "world-writable paths"]
    assert rows[["path", "item_count", "detail"]].to_numpy().tolist() == [
        ["/app", 3, "directory, 0777 root:root; and 2 paths below it"],
        ["/etc/open", 1, "file, 0666 root:root"],
    ]


def test_owners_without_a_name_are_told_by_their_topmost_path(tmp_path):
    layer = {
        "etc/passwd": USERS,
        "etc/group": GROUP,
        "app": folder(uid=501, gid=20),
        "app/x": file("x", uid=501, gid=20),
        "app/y": file("x", uid=1000, gid=1000),
        "app/z": file("x", uid=777, gid=0),
        "srv": file("x", uid=0, gid=4242),
    }
    found = audited(tmp_path, layer)
    rows = found.surface[found.surface["category"] == "unnamed owners"]
    assert rows[["path", "name", "item_count"]].to_numpy().tolist() == [
        ["/app", "501:20", 2],
        ["/app/z", "777:0", 1],
        ["/srv", "0:4242", 1],
    ]


def test_without_passwd_root_alone_has_a_name(tmp_path):
    found = audited(tmp_path, {"app": file("x"), "data": file("x", uid=65532, gid=65532)})
    assert items(found, "unnamed owners") == [("/data", "65532:65532", "file")]
    assert items(found, "login users") == []


def test_users_with_a_shell_and_without_a_password_are_told(tmp_path):
    shadow = "root:$6$salt$abcdef:1::::::\ndaemon:*:1::::::\napp::1::::::\n"
    passwd = USERS + "tool:!:1001:1001::/:/opt/tool\nguest::1002:1002::/:\nsync:x:4:65534::/bin:/bin/sync\n"
    layer = {
        "etc/passwd": passwd,
        "etc/shadow": shadow,
        "etc/shells": "/bin/sh\n/opt/tool\n",
        "bin/sh": file("x", **RUN),
    }
    found = audited(tmp_path, layer)
    assert items(found, "login users") == [
        ("/etc/passwd", "app", "uid 1000, shell /bin/sh, no password needed"),
        ("/etc/passwd", "guest", "uid 1002, shell /bin/sh, no password needed"),
        ("/etc/passwd", "root", "uid 0, shell /bin/bash (not in the image), a password is set (SHA-512)"),
        ("/etc/passwd", "tool", "uid 1001, shell /opt/tool (not in the image), password locked"),
    ]
    assert [name for _, name, _ in items(found, "empty passwords")] == ["app", "guest"]


def test_a_passwd_that_cannot_be_read_makes_users_unknown_not_none(tmp_path):
    found = audited(tmp_path, {"etc/passwd": folder(), "etc/passwd/x": file("x", uid=5)})
    rows = found.surface[found.surface["status"] == "unknown"]
    assert rows["category"].tolist() == ["empty passwords", "login users", "unnamed owners"]
    assert set(rows["detail"]) == {"no regular file"}
    assert rows["item_count"].tolist() == [0, 0, 0]
    assert any("/etc/passwd" in gap for gap in found.gaps)


def test_passwd_behind_a_link_is_read(tmp_path):
    found = audited(tmp_path, {"nix/store/fake/etc/passwd": USERS, "etc/passwd": symlink("/nix/store/fake/etc/passwd")})
    assert [name for _, name, _ in items(found, "login users")] == ["app", "root"]


def test_ports_and_volumes_are_what_the_configuration_declares(tmp_path):
    found = audited(tmp_path, ExposedPorts={"8080/tcp": {}, "53/udp": {}}, Volumes={"/data": {}})
    assert items(found, "listening ports") == [(None, "53/udp", "EXPOSE"), (None, "8080/tcp", "EXPOSE")]
    assert items(found, "volumes") == [("/data", "/data", "VOLUME")]


def test_cron_jobs_units_modules_and_key_stores_are_found_by_their_places(tmp_path):
    unit = "usr/lib/systemd/system/app.service"
    layer = {
        unit: "x",
        "etc/systemd/system/multi-user.target.wants/app.service": symlink(f"/{unit}"),
        "usr/lib/systemd/system/masked.service": symlink("/dev/null"),
        "etc/init.d/cron": file("x", **RUN),
        "etc/init.d/README": "x",
        "etc/cron.daily/tidy": file("x", **RUN),
        "etc/cron.daily/.placeholder": "",
        "var/spool/cron/crontabs/root": "x",
        "lib/modules/6.1/extra/x.ko.xz": "x",
        "srv/tls.p12": "x",
    }
    found = audited(tmp_path, layer)
    assert items(found, "service units") == [
        ("/etc/init.d/cron", "cron", None),
        (f"/{unit}", "app.service", "also /etc/systemd/system/multi-user.target.wants/app.service"),
    ]
    assert [path for path, _, _ in items(found, "cron jobs")] == [
        "/etc/cron.daily/tidy",
        "/var/spool/cron/crontabs/root",
    ]
    assert items(found, "kernel modules") == [("/lib/modules/6.1/extra/x.ko.xz", "x.ko.xz", None)]
    assert items(found, "private keys") == [("/srv/tls.p12", "tls.p12", "a key store, not looked into")]


def test_each_row_names_the_package_that_owns_the_path(tmp_path):
    status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5\n\n"
    layer = {"var/lib/dpkg/status": status, "var/lib/dpkg/info/bash.list": "/bin/bash\n", "bin/bash": file("x", **RUN)}
    layer["opt/bin/bash"] = file("x", **RUN)
    found = audited(tmp_path, layer)
    assert found.surface[["path", "package"]].astype(object).fillna("-").to_numpy().tolist() == [
        ["/bin/bash", "bash"],
        ["/opt/bin/bash", "-"],
    ]


def test_names_that_are_no_text_are_shown_all_the_same(tmp_path):
    layer = {"srv/caf\udce9.env": "PASSWORD=S3cure-7abcdef\n"}
    found = audited(tmp_path, layer, User="\ud800", Labels={"api\ud801_token": "s3cret"})
    rows = found.surface[found.surface["category"] == "secrets"]
    assert rows["path"].astype(object).fillna("-").tolist() == ["/srv/caf\\xe9.env", "-"]
    assert rows["name"].tolist() == ["password", "label api\\ud801_token: password"]


def test_a_secret_in_a_file_that_a_later_layer_deleted_is_still_in_the_image(tmp_path):
    below = {
        "srv/app/.env": "PASSWORD=S3cure-7abcdef\n",
        "srv/old/.env": "PASSWORD=S3cure-8abcdef\n",
        "srv/new/.env": "PASSWORD=S3cure-9abcdef\n",
        "srv/kept/.env": "PASSWORD=S3cure-1abcdef\n",
        "srv/doc/.env": "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n",
    }
    above = {
        "srv/app/.wh..env": b"",
        "srv/old/.wh..wh..opq": b"",
        "srv/doc/.wh..wh..opq": b"",
        "srv/new/.env": "PASSWORD=S3cure-0abcdef\nTOKEN=\n\nPASSWORD=S3cure-2abcdef\n",
        "srv/kept/.env": file(below["srv/kept/.env"].encode(), mode=0o600),
    }
    found = audited(tmp_path, {}, below, above)
    still = "deleted or replaced by a later layer, and still in the image"
    assert items(found, "secrets") == [
        ("/srv/app/.env", "password in layer 2", f"line 1: PASSWORD; {still}"),
        ("/srv/kept/.env", "password", "line 1: PASSWORD"),
        ("/srv/new/.env", "password", "line 1: PASSWORD; line 4: PASSWORD"),
        ("/srv/new/.env", "password in layer 2", f"line 1: PASSWORD; {still}"),
        ("/srv/old/.env", "password in layer 2", f"line 1: PASSWORD; {still}"),
    ]
    assert found.findings.set_index("check_id").loc["no-secrets-in-files", "status"] == "fail"


def test_of_many_links_a_few_are_listed(tmp_path):
    links = {f"opt/{number:03}/sh": symlink("/bin/dash") for number in range(200)}
    found = audited(tmp_path, {"bin/dash": file("x", **RUN), **links})
    ((_, _, detail),) = items(found, "shells")
    assert detail.startswith("also /opt/000/sh, /opt/001/sh, ")
    assert detail.endswith(" and 190 others")


def test_links_through_links_are_followed_in_no_time(tmp_path):
    ladder = {f"l{number}": symlink(f"l{number + 1}/../l{number + 1}") for number in range(30)}
    found = audited(tmp_path, {"l30/sh": file("x", **RUN), **ladder, "bin/bash": symlink("/l0/sh")})
    assert items(found, "shells") == [("/l30/sh", "sh", "also /bin/bash")]


def test_a_list_of_users_that_is_too_long_is_unknown_not_cut(tmp_path):
    found = audited(tmp_path, {"etc/passwd": "x" * (8 * 1024**2 + 1)})
    unknown = found.surface[found.surface["status"] == "unknown"]
    assert set(unknown["category"]) == {"login users", "empty passwords", "unnamed owners"}
    assert unknown["detail"].iloc[0].endswith("8,388,609 bytes, more than 8,388,608")


@pytest.mark.parametrize("target", ["a", "b/c", "/x/y", "..", "loop"])
def test_a_link_to_nothing_leads_nowhere(target):
    files = pd.DataFrame({"path": ["/d", "/d/loop"], "kind": ["directory", "symlink"], "link_target": [None, target]})
    assert links_of(files).real("/d/loop") == ("/" if target == ".." else None)


@pytest.mark.engine
@pytest.mark.real
def test_a_container_of_the_full_image_says_the_same_of_itself(
    docker_client: docker.DockerClient, full_image, full_oci_dir
):
    surface = audit(f"oci-dir:{full_oci_dir}").surface

    def said(command: str) -> list[str]:
        run = ["sh", "-c", command]
        output = docker_client.containers.run(full_image, run, network_mode="none", remove=True)
        return output.decode().splitlines()

    def paths(category: str) -> set[str]:
        return set(surface.loc[surface["category"] == category, "path"])

    assert paths("setuid files") == set(said("find / -xdev -type f -perm -4000"))
    assert paths("setgid files") == set(said("find / -xdev -type f -perm -2000"))
    assert paths("world-writable paths") == set(said("find / -xdev ! -path '/dev/*' -perm -0002 -type f"))
    assert paths("unnamed owners") == set(said("find / -xdev -nouser -o -nogroup"))
    capable_files = surface[surface["category"] == "file capabilities"]
    assert set(capable_files["path"] + " " + capable_files["detail"]) == set(said("getcap -r / 2> /dev/null"))
    shells = {line for line in said("cat /etc/shells") if line.startswith("/")}
    assert paths("shells") == set(said(f"realpath {' '.join(sorted(shells))}"))
    users = [line.split(":") for line in said("getent passwd")]
    login = surface[surface["category"] == "login users"]
    assert set(login["name"]) == {user[0] for user in users if user[6] in shells}
    states = dict(line.split()[:2] for line in said("passwd --status --all"))
    told = dict(zip(login["name"], login["detail"], strict=True))
    assert {name: states[name] for name in told} == {
        name: "L" for name, detail in told.items() if detail.endswith("locked")
    }
    assert paths("empty passwords") == {user for user, state in states.items() if state == "NP"}
    assert surface["item_count"].eq(1).all()


@pytest.mark.real
def test_a_debian_of_41000_files_gives_at_most_five_false_alarms(full_oci_dir):
    surface = audit(f"oci-dir:{full_oci_dir}").surface
    alarms = surface[surface["category"].isin(["secrets", "private keys"])]
    assert len(alarms) <= 5, alarms["path"].tolist()
