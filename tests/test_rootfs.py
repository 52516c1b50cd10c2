"""Layers stacked into one tree, against literals and against what umoci unpacks."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from audit_lib.errors import DamagedDatabaseError, ImageFormatError, LimitError
from audit_lib.formats import FORMATS
from audit_lib.layer import Limits
from audit_lib.rootfs import LoopError, Rootfs
from audit_lib.scan import scan_layer
from audit_lib.sources.base import Blob
from tests.images import Layer, file, folder, hardlink, layer_tar, oci_dir, symlink
from tests.tools import REQUIRED


def stacked(*layers: Layer, limits: Limits | None = None) -> Rootfs:
    rootfs = Rootfs(limits)
    for number, layer in enumerate(layers, 1):
        blob = Blob(name=f"number {number}", stream=io.BytesIO(layer_tar(layer)))
        rootfs.add(scan_layer(blob, formats=FORMATS, limits=Limits(), keep=("kept/**/*", "etc/os-release")))
    return rootfs


def test_a_whiteout_hides_a_file_and_a_folder_with_all_below():
    rootfs = stacked({"a/b/c": "1", "a/d": "2", "e": "3"}, {"a/.wh.b": "", ".wh.e": ""})
    assert rootfs.paths() == ["a", "a/d"]


def test_a_whiteout_hides_only_what_lies_below_wherever_it_stands_in_its_layer():
    rootfs = stacked({"a/old": "1"}, {"a/old": "new", "a/.wh.old": "", "b/.wh.x": "", "b/x": "2"})
    assert rootfs.entry("a/old").layer == 2
    assert rootfs.paths() == ["a", "a/old", "b", "b/x"]


def test_an_opaque_folder_keeps_what_its_own_layer_brings():
    rootfs = stacked({"a/one": "1", "a/two/three": "2"}, {"a/new": "3", "a/.wh..wh..opq": ""})
    assert rootfs.paths() == ["a", "a/new"]


def test_a_folder_becomes_a_file_and_back():
    assert stacked({"a/b": "1"}, {"a": "file"}).paths() == ["a"]
    rootfs = stacked({"a/b": "1"}, {"a": "file"}, {"a/c": "2", "a/": folder()})
    assert rootfs.paths() == ["a", "a/c"]
    assert rootfs.entry("a").kind == "directory"


def test_a_folder_becomes_a_link_and_a_link_a_folder():
    rootfs = stacked({"lib/x": "1", "usr/lib/y": "2"}, {"lib": symlink("usr/lib")})
    assert rootfs.paths() == ["lib", "usr", "usr/lib", "usr/lib/y"]
    rootfs = stacked({"lib": symlink("usr/lib"), "usr/lib/y": "2"}, {"lib/": folder(), "lib/z": "3"})
    assert rootfs.entry("lib").kind == "directory"
    assert rootfs.paths() == ["lib", "lib/z", "usr", "usr/lib", "usr/lib/y"]


def test_an_entry_behind_a_linked_folder_lands_behind_the_link():
    rootfs = stacked({"lib": symlink("usr/lib"), "usr/lib/old": "1"}, {"lib/new": "2", "lib/.wh.old": ""})
    assert rootfs.paths() == ["lib", "usr", "usr/lib", "usr/lib/new"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("lib/x", "usr/lib/x"),
        ("abs/x", "usr/lib/x"),
        ("up/x", "usr/lib/x"),
        ("lib/../lib/./x", "usr/lib/x"),
        ("nowhere", None),
        ("dangling", None),
        ("", ""),
    ],
)
def test_links_are_followed_inside_the_root_never_outside(path: str, expected: str | None):
    rootfs = stacked(
        {
            "lib": symlink("usr/lib"),
            "usr/lib/x": "1",
            "abs": symlink("/usr/lib"),
            "up": symlink("../../../../usr/lib"),
            "dangling": symlink("/gone"),
        }
    )
    assert rootfs.resolve(path) == expected


def test_a_loop_of_links_is_noticed_and_harms_nothing_else():
    rootfs = stacked({"a": symlink("b"), "b": symlink("a"), "self": symlink("self"), "c": "1"})
    for path in ("a", "b/x", "self"):
        with pytest.raises(LoopError):
            rootfs.resolve(path)
    assert rootfs.paths() == ["a", "b", "c", "self"]
    with pytest.raises(ImageFormatError, match="lies behind a loop of symbolic links"):
        stacked({"a": symlink("a")}, {"a/x/y": "1"})


def test_hard_links_share_an_inode_whatever_happens_to_the_first_name():
    rootfs = stacked(
        {"one": file("data", mode=0o4755), "two": hardlink("one"), "three": hardlink("two")}, {".wh.one": ""}
    )
    assert rootfs.paths() == ["three", "two"]
    assert rootfs.inode("two") == rootfs.inode("three")
    assert (rootfs.entry("two").size, rootfs.entry("two").mode) == (4, 0o4755)
    assert rootfs.reclaimable_bytes() == [0, 0]


def test_a_hard_link_may_name_a_file_of_a_lower_layer():
    rootfs = stacked({"usr/lib/one": "data", "lib": symlink("usr/lib")}, {"two": hardlink("lib/one")})
    assert rootfs.inode("two") == rootfs.inode("usr/lib/one")


def test_hard_links_to_nothing_or_in_a_loop_are_refused():
    with pytest.raises(ImageFormatError, match="/two is a hard link to /gone, which is not there"):
        stacked({"two": hardlink("gone")})
    with pytest.raises(ImageFormatError, match="is a hard link in a loop"):
        stacked({"a": hardlink("b"), "b": hardlink("a")})
    with pytest.raises(ImageFormatError, match="climbs out of the root"):
        stacked({"a": hardlink("../../etc/shadow")})


def test_an_entry_below_a_file_is_refused():
    with pytest.raises(ImageFormatError, match="an entry lies in /a, but /a is not a folder"):
        stacked({"a": "file", "a/b": "1"})
    with pytest.raises(ImageFormatError, match="states /a twice, as a folder and as something else"):
        stacked({"a/": folder(), "a/b": "1", "a": "file"})


def test_folders_that_no_layer_states_are_there_all_the_same():
    entry = stacked({"a/b/c": "1"}).entry("a/b")
    assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.layer) == ("directory", 0o755, 0, 0, 1)


def test_reclaimable_bytes_are_overwritten_and_deleted_contents_but_not_the_copy_that_survives():
    rootfs = stacked({"a": "12345", "b": "1234567", "c": "1"}, {"a": "123"}, {"a": "12", ".wh.b": ""})
    assert rootfs.reclaimable_bytes() == [12, 3, 0]


def test_a_file_twice_in_one_layer_is_the_last_one():
    rootfs = stacked(layer_tar({"a": "first!"})[:1024] + layer_tar({"a": "second"}))
    assert rootfs.reclaimable_bytes() == [6]
    assert rootfs.inode("a") == (0, 1)


def test_kept_files_are_read_through_links_and_damage_is_told_from_absence():
    rootfs = stacked(
        {
            "kept/real": "data",
            "etc/os-release": symlink("../kept/real"),
            "kept/loop": symlink("loop"),
            "kept/void": symlink("nothing"),
            "kept/away": symlink("/other"),
            "other": "x",
        }
    )
    assert rootfs.read("etc/os-release") == b"data"
    assert rootfs.read("kept/absent") is None
    for path, said in (
        ("kept/loop", "a loop of symbolic links"),
        ("kept/void", "a symbolic link to nothing"),
        ("kept/away", "a link to /other, which no package database is read from"),
    ):
        with pytest.raises(DamagedDatabaseError, match=said):
            rootfs.read(path)
    assert rootfs.glob("kept/*") == ["kept/away", "kept/loop", "kept/real", "kept/void"]


def test_the_limit_of_entries_holds_for_the_image_too():
    with pytest.raises(LimitError, match="more than 3 entries in the image"):
        stacked({"a": "", "b": ""}, {"c": "", "d": ""}, limits=Limits(entries=3))


def random_layers(generator: random.Random) -> list[dict]:
    """Return a stack of layers over few names, so that they meet; only such as an unpacker accepts."""
    layers: list[dict] = []
    names = ["a", "b", "c"]
    for _ in range(generator.randint(2, 4)):
        layer: dict = {}
        taken: dict[str, str] = {"": "folder"}
        for _ in range(generator.randint(1, 9)):
            path = "/".join(generator.choice(names) for _ in range(generator.randint(1, 3)))
            parents = [path.rsplit("/", depth)[0] for depth in range(path.count("/"), 0, -1)]
            if path in taken or any(taken.get(parent, "folder") != "folder" for parent in parents):
                continue
            for parent in parents:
                if parent not in taken:
                    taken[parent] = "folder"
                    layer[f"{parent}/"] = folder(mode=0o755)
            kind = generator.choice(["file", "file", "folder", "link", "whiteout", "opaque"])
            above, _, name = path.rpartition("/")
            prefix = f"{above}/" if above else ""
            if kind == "file":
                taken[path], layer[path] = (
                    "file",
                    file(bytes(generator.randint(0, 99)), mode=generator.choice([0o644, 0o755, 0o4711])),
                )
            elif kind == "folder":
                taken[path], layer[f"{path}/"] = "folder", folder(mode=generator.choice([0o755, 0o1777]))
            elif kind == "link":
                taken[path], layer[path] = "link", symlink(generator.choice(["nowhere", "../x", "/abs"]))
            elif kind == "whiteout" and any(_states(lower, path) for lower in layers):
                taken[path], layer[f"{prefix}.wh.{name}"] = "gone", b""
            elif kind == "opaque" and above:
                layer[f"{prefix}.wh..wh..opq"] = b""
        layers.append(layer)
    return layers


def _states(layer: dict, path: str) -> bool:
    return path in layer or f"{path}/" in layer


def unpacked(root: Path) -> dict[str, tuple]:
    found = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        link = os.readlink(path) if path.is_symlink() else None
        kind = "symlink" if link is not None else "directory" if stat.S_ISDIR(facts.st_mode) else "file"
        found[str(path.relative_to(root))] = (
            kind,
            facts.st_size if kind == "file" else 0,
            stat.S_IMODE(facts.st_mode),
            link,
        )
    return found


@pytest.mark.skipif(shutil.which("umoci") is None and not REQUIRED, reason="umoci is not here (Debian package umoci)")
@pytest.mark.skipif(os.geteuid() != 0, reason="unpacking owners as they are takes root")
def test_random_stacks_are_what_umoci_unpacks(tmp_path: Path):
    generator = random.Random(20)
    for number in range(40):
        layers = random_layers(generator)
        image = tmp_path / f"{number}"
        oci_dir(image, layers=layers)
        subprocess.run(
            ["umoci", "unpack", "--image", f"{image}:latest", image / "bundle"], check=True, capture_output=True
        )
        rootfs = stacked(*layers)
        found = {}
        for path in rootfs.paths():
            entry = rootfs.entry(path)
            mode = 0o777 if entry.kind == "symlink" else entry.mode
            found[path] = (entry.kind, entry.size, mode, entry.link)
        assert found == unpacked(image / "bundle" / "rootfs"), layers
