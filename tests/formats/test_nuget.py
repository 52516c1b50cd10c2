"""nuget: what .NET applications, and .NET itself, were built from."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.distribution import Distribution
from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import nuget, pe
from audit_lib.formats.base import Broken, Found
from audit_lib.purl import purl_of
from tests import syft
from tests.formats.tree import DictTree

PATH = "app/shop.deps.json"
TARGET = ".NETCoreApp,Version=v8.0"
DOCUMENT = {
    "runtimeTarget": {"name": TARGET, "signature": ""},
    "compilationOptions": {},
    "targets": {
        TARGET: {
            "shop/1.0.0": {
                "dependencies": {"Newtonsoft.Json": "13.0.3", "Prices": "1.2.0"},
                "runtime": {"shop.dll": {}},
            },
            "Newtonsoft.Json/13.0.3": {
                "runtime": {"lib/net6.0/Newtonsoft.Json.dll": {"assemblyVersion": "13.0.0.0"}},
                "resources": {"lib/net6.0/de/Newtonsoft.Json.resources.dll": {"locale": "de"}},
            },
            "SQLitePCLRaw.lib.e_sqlite3/2.1.6": {
                "runtimeTargets": {
                    "runtimes/linux-x64/native/libe_sqlite3.so": {"rid": "linux-x64", "assetType": "native"}
                }
            },
            "Prices/1.2.0": {"runtime": {"Prices.dll": {}}},
            "Analyzers/3.3.4": {},
        }
    },
    "libraries": {
        "shop/1.0.0": {"type": "project", "serviceable": False, "sha512": ""},
        "Newtonsoft.Json/13.0.3": {"type": "package", "serviceable": True, "path": "newtonsoft.json/13.0.3"},
        "SQLitePCLRaw.lib.e_sqlite3/2.1.6": {"type": "package", "serviceable": True},
        "Prices/1.2.0": {"type": "project", "serviceable": False, "sha512": ""},
        "Analyzers/3.3.4": {"type": "package", "serviceable": True},
        "Legacy.Reference/4.0.0.0": {"type": "reference", "serviceable": False},
    },
}
SHOP = json.dumps(DOCUMENT).encode()
# The shared runtime of .NET 8.0.4, as its own file states it.
RUNTIME_PATH = "usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.4/Microsoft.NETCore.App.deps.json"
RUNTIME = json.dumps(
    {
        "runtimeTarget": {"name": f"{TARGET}/linux-x64", "signature": ""},
        "targets": {
            TARGET: {},
            f"{TARGET}/linux-x64": {
                "Microsoft.NETCore.App.Runtime.linux-x64/8.0.4": {
                    "runtime": {"System.Private.CoreLib.dll": {"fileVersion": "8.0.424.16909"}},
                    "native": {"libclrjit.so": {"fileVersion": "8.0.424.16909"}},
                }
            },
        },
        "libraries": {
            "Microsoft.NETCore.App.Runtime.linux-x64/8.0.4": {"type": "package", "serviceable": True, "sha512": ""}
        },
    }
).encode()


def block(key: str, value: bytes, *children: bytes, is_text: bool = False) -> bytes:
    """Return a block of a VERSIONINFO resource, padded to four bytes."""
    name = key.encode("utf-16-le") + b"\0\0"
    head = name + bytes(-(6 + len(name)) % 4) + value
    body = head + (bytes(-(6 + len(head)) % 4) + b"".join(children) if children else b"")
    length = 6 + len(body)
    return struct.pack("<3H", length, len(value) // (2 if is_text else 1), is_text) + body + bytes(-length % 4)


def assembly(strings: Mapping[str, str], *, is_managed: bool = True) -> bytes:
    """Return a 64-bit PE file with version information: one section, from address 0x2000, right after the headers."""
    texts = [block(key, (value + "\0").encode("utf-16-le"), is_text=True) for key, value in strings.items()]
    info = block(
        "VS_VERSION_INFO",
        struct.pack("<2L44x", 0xFEEF04BD, 0x10000),
        block("StringFileInfo", b"", block("000004b0", b"", *texts)),
    )
    folders = b"".join(
        bytes(12) + struct.pack("<2H2L", 0, 1, kind, place)
        for kind, place in ((16, 0x80000018), (1, 0x80000030), (1033, 0x48))
    )
    resources = folders + struct.pack("<4L", 0x2000 + 0x58, len(info), 0, 0) + info
    directories = [(0, 0)] * 16
    directories[2], directories[14] = (0x2000, len(resources)), (0x3000 if is_managed else 0, 72)
    optional = struct.pack("<H106xL", 0x20B, 16) + b"".join(struct.pack("<2L", *one) for one in directories)
    head = b"MZ" + bytes(58) + struct.pack("<L", 64)
    coff = b"PE\0\0" + struct.pack("<2H12x2H", 0x8664, 1, len(optional), 0x2022)
    place = len(head) + len(coff) + len(optional) + 40
    section = b".rsrc\0\0\0" + struct.pack("<4L16x", len(resources), 0x2000, len(resources), place)
    return head + coff + optional + section + resources


def read(files: dict[str, bytes]) -> list[Found | Broken]:
    assemblies = {
        path: nuget._extract(path, data) for path, data in sorted(files.items()) if path.endswith((".dll", ".exe"))
    }
    kept = {path: data for path, data in files.items() if path not in assemblies}
    tree = DictTree(kept, {"nuget": {path: found for path, found in assemblies.items() if found is not None}})
    return [found for place in nuget.FORMAT.places(tree) for found in nuget.FORMAT.read(tree, place)]


def packages(files: dict[str, bytes]) -> list[Found]:
    return [one for one in read(files) if isinstance(one, Found)]


def test_an_applications_packages_and_what_else_it_was_built_from():
    assert [(one.name, one.version, one.detail) for one in packages({PATH: SHOP})] == [
        ("Analyzers", "3.3.4", "brings no file of its own"),
        ("Legacy.Reference", "4.0.0.0", "an assembly that was referred to, not a package"),
        ("Newtonsoft.Json", "13.0.3", None),
        ("Prices", "1.2.0", "a project of the application's own, not a package"),
        ("SQLitePCLRaw.lib.e_sqlite3", "2.1.6", None),
        ("shop", "1.0.0", "a project of the application's own, not a package"),
    ]


def test_the_runtime_states_its_own_package():
    (found,) = packages({RUNTIME_PATH: RUNTIME})
    assert purl_of(nuget.FORMAT, found, Distribution()) == ("pkg:nuget/Microsoft.NETCore.App.Runtime.linux-x64@8.0.4")
    folder = "usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.4"
    assert nuget.FORMAT.places(DictTree({RUNTIME_PATH: RUNTIME})) == [folder]
    assert nuget.FORMAT.files(DictTree({RUNTIME_PATH: RUNTIME}), found) == [
        f"{folder}/System.Private.CoreLib.dll",
        f"{folder}/libclrjit.so",
    ]


def test_a_package_owns_the_assets_that_publishing_put_beside_the_application():
    tree = DictTree({PATH: SHOP})
    owned = {one.name: set(nuget.FORMAT.files(tree, one) or ()) for one in packages({PATH: SHOP})}
    assert {"app/Newtonsoft.Json.dll", "app/de/Newtonsoft.Json.resources.dll"} <= owned["Newtonsoft.Json"]
    assert {"app/libe_sqlite3.so", "app/runtimes/linux-x64/native/libe_sqlite3.so"} <= owned[
        "SQLitePCLRaw.lib.e_sqlite3"
    ]
    assert owned["Analyzers"] == set()
    assert owned["shop"] == {"app/shop.dll"}


LOG = {"OriginalFilename": "Log.dll", "FileVersion": "2.0.15.0", "ProductVersion": "2.0.15-beta.1+641ee87b"}


def test_an_assembly_that_nothing_names_states_itself():
    (found,) = packages({"opt/tool/log.dll": assembly(LOG)})
    detail = "an assembly that no .deps.json names, by its own version"
    assert found == Found(name="Log", version="2.0.15-beta.1", path="opt/tool/log.dll", detail=detail)
    assert nuget.FORMAT.files(DictTree({}), found) == ["opt/tool/log.dll"]


@pytest.mark.parametrize(
    ("strings", "version"),
    [
        ({"FileVersion": "4.700.22.12208", "ProductVersion": "3.1.23+641ee87b"}, "3.1.23"),
        ({"FileVersion": "4.700.22.12208", "ProductVersion": "Summer edition"}, "4.700.22.12208"),
        ({"FileVersion": "1, 0, 0, 1"}, None),
        ({}, None),
    ],
)
def test_the_version_of_an_assembly_is_that_of_its_product(strings: dict[str, str], version: str | None):
    assert [(one.name, one.version) for one in packages({"opt/a.dll": assembly(strings)})] == [("a", version)]


def test_an_assembly_that_a_deps_json_names_is_part_of_that_package():
    files = {
        PATH: SHOP,
        "app/Newtonsoft.Json.dll": assembly(LOG),
        "app/de/Newtonsoft.Json.resources.dll": assembly(LOG),
        "app/plugins/extra.dll": assembly(LOG),
    }
    assert [one.path for one in packages(files) if not one.path.endswith(".json")] == ["app/plugins/extra.dll"]


@pytest.mark.parametrize(
    "data", [b"", b"MZ", b"text", assembly(LOG)[:200], assembly(LOG, is_managed=False), b"\x7fELF" + bytes(100)]
)
def test_what_is_no_assembly_is_no_package(data: bytes):
    assert read({"opt/a.dll": data}) == []


def test_an_assembly_that_is_cut_is_damaged():
    with pytest.raises(DamagedDatabaseError, match=r"/opt/a\.dll: version information of \d+ bytes, \d+ are there"):
        nuget._extract("opt/a.dll", assembly(LOG)[:-30])


@given(st.data())
def test_an_assembly_with_any_bytes_changed_is_a_package_or_damage(data: st.DataObject):
    changed = bytearray(assembly(LOG))
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = packages({"opt/\udcff.dll": bytes(changed)})
    except DamagedDatabaseError:
        return
    for one in found:
        assert purl_of(nuget.FORMAT, one, Distribution()).startswith("pkg:nuget/")
        assert one.version != ""


@given(st.binary(max_size=300))
def test_any_bytes_are_an_assembly_or_none(data: bytes):
    assert pe.assembly_strings(data, "a.dll") is None
    assert isinstance(list(pe._strings(data)), list)


def test_assets_stay_in_the_applications_folder():
    odd = json.dumps(
        {
            "targets": {"t": {"a/1": {"runtime": {"../../../etc/passwd": {}, "/": {}}}}},
            "libraries": {"a/1": {"type": "package"}},
        }
    ).encode()
    (found,) = packages({PATH: odd})
    assert nuget.FORMAT.files(DictTree({PATH: odd}), found) == ["app/etc/passwd", "app/passwd"]


def test_a_version_that_is_not_stated_is_none():
    assert [
        (one.name, one.version) for one in packages({PATH: b'{"libraries": {"a": {}, "b/": {"type": "package"}}}'})
    ] == [
        ("a", None),
        ("b", None),
    ]


def test_an_application_without_libraries_is_empty():
    assert nuget.FORMAT.places(DictTree({PATH: b'{"libraries": {}}'})) == ["app"]
    assert read({PATH: b'{"libraries": {}}'}) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "expected a JSON object, found a list"),
        (b"{}", "expected an object 'libraries', which is not in it"),
        (b'{"libraries": {"/1.0": {}}}', "expected a library's 'name/version', found '/1.0'"),
    ],
)
def test_a_damaged_file_is_a_row_of_its_own_and_its_neighbours_are_read(data: bytes, said: str):
    found = read({"app/a.deps.json": data, PATH: SHOP})
    assert found[0] == Broken("app/a.deps.json", said)
    assert len(found) == 7


_JSON = st.recursive(
    st.none() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a/1", "type", "runtime", "native", "\ud800/1", " /x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.binary(max_size=100)
    | st.tuples(_JSON, _JSON).map(lambda pair: json.dumps({"libraries": pair[0], "targets": pair[1]}).encode())
)
def test_any_bytes_are_libraries_or_damage(data: bytes):
    assert_told(data)


@given(st.data())
def test_a_file_with_any_bytes_changed_is_libraries_or_damage(data: st.DataObject):
    changed = bytearray(SHOP)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert_told(bytes(changed))


def assert_told(data: bytes) -> None:
    tree = DictTree({PATH: data})
    for one in packages({PATH: data}):
        assert purl_of(nuget.FORMAT, one, Distribution()).startswith("pkg:nuget/")
        assert one.version != ""
        nuget.FORMAT.files(tree, one)


def test_syft_finds_the_same_libraries(tmp_path: Path):
    for path, data in {PATH: SHOP, RUNTIME_PATH: RUNTIME}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(data)
    theirs = syft.syft_packages(f"dir:{tmp_path}", "dotnet-deps-cataloger")
    assert theirs == {(one.name, one.version, one.path) for one in packages({PATH: SHOP})}
    # Syft gives up on the runtime's own file, which has no library that is named as the file is.
    assert {path for _, _, path in theirs} == {PATH}


def test_syft_names_the_same_assemblies(tmp_path: Path):
    names = {"ProductName": "Log", "FileDescription": "Log", "InternalName": "Log.dll", "CompanyName": "X"}
    data = assembly({**LOG, **names})
    (tmp_path / "Log.dll").write_bytes(data)
    theirs = syft.syft_packages(f"dir:{tmp_path}", "dotnet-portable-executable-cataloger")
    # Syft keeps the commit behind the version, and takes FileVersion where it is the greater: of .NET 3.1.23's own files
    # it says 4.700.22.12208, which no package ever had.
    assert theirs == {("Log", "2.0.15-beta.1+641ee87b", "Log.dll")}
    assert [(one.name, one.version) for one in packages({"Log.dll": data})] == [("Log", "2.0.15-beta.1")]
