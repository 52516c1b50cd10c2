"""Libraries as dynamic loaders find them: the rules one by one, and on a whole image against the loader itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker
import pytest

from audit_lib import audit
from audit_lib.compare.libraries import Libraries, Missing, MissingVersion, Resolved
from audit_lib.compare.world import Binary, Entry, Place, Tables, World, make_world
from audit_lib.links import Links

GLIBC, MUSL = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
DEFAULTS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib")


def elf(*needed: str, soname: str | None = None, **facts: object) -> Binary:
    known = {"is_read": True, "machine": "x86_64", "kind": "shared_library", "interpreter": None, "soname": soname}
    known |= {"needed": needed, "rpath": None, "runpath": None, "needed_versions": (), "defined_versions": frozenset()}
    return Binary(**{**known, **facts})  # type: ignore[arg-type]


def program(*needed: str, **facts: object) -> Binary:
    return elf(*needed, **{"kind": "executable", "interpreter": GLIBC, **facts})


def world(
    binaries: Mapping[str, Binary],
    *,
    links: Mapping[str, str] | None = None,
    texts: Sequence[str] = (),
    cache: Mapping[str, str] | None = None,
    settings: Mapping[str, Sequence[str]] | None = None,
) -> World:
    """Return a world with a loader of glibc and these files; `settings` are musl's, by the file's path."""
    binaries = {GLIBC: elf(soname="ld-linux-x86-64.so.2"), **binaries}
    entries = {path: Entry("file", 1, 0o755, 0, 0, None, None) for path in (*binaries, *texts)}
    entries |= {path: Entry("symlink", 0, 0o777, 0, 0, target, None) for path, target in (links or {}).items()}
    for path in list(entries):
        folder = path.rpartition("/")[0]
        while folder:
            entries.setdefault(folder, Entry("directory", 0, 0o755, 0, 0, None, None))
            folder = folder.rpartition("/")[0]
    places = [Place(GLIBC, "default", folder, None) for folder in DEFAULTS]
    places += [Place("/etc/ld.so.cache", "cache", path, name) for name, path in (cache or {}).items()]
    places += [Place(path, "configured", one, None) for path, folders in (settings or {}).items() for one in folders]
    if MUSL in binaries:
        places += [Place(MUSL, "default", folder, None) for folder in ("/lib", "/usr/local/lib", "/usr/lib")]
    targets = {path: entry.link for path, entry in entries.items() if entry.link is not None}
    return World(entries, Links(entries, targets), binaries, {}, tuple(places))


def found(binaries: Mapping[str, Binary], path: str = "/run", library_path: Sequence[str] = (), **facts) -> Resolved:
    return Libraries(world(binaries, **facts), library_path).resolve(path)


def test_a_library_in_a_default_folder_is_found_and_another_is_missing():
    result = found({"/run": program("liba.so.1", "libb.so.1"), "/usr/lib/liba.so.1": elf()})
    assert result.libraries == {"liba.so.1": "/usr/lib/liba.so.1"}
    assert result.missing == [Missing("libb.so.1", "/run")]


def test_a_configured_folder_counts_only_through_the_cache():
    files = {"/run": program("liba.so.1"), "/opt/lib/liba.so.1": elf()}
    assert found(files).missing == [Missing("liba.so.1", "/run")]
    assert found(files, cache={"liba.so.1": "/opt/lib/liba.so.1"}).is_whole


def test_the_cache_goes_before_the_default_folders_and_is_passed_over_where_it_leads_nowhere():
    files = {"/run": program("liba.so.1"), "/opt/lib/liba.so.1": elf(), "/usr/lib/liba.so.1": elf()}
    assert found(files, cache={"liba.so.1": "/opt/lib/liba.so.1"}).libraries["liba.so.1"] == "/opt/lib/liba.so.1"
    assert found(files, cache={"liba.so.1": "/gone/liba.so.1"}).libraries["liba.so.1"] == "/usr/lib/liba.so.1"


def test_rpath_is_inherited_and_runpath_is_not():
    libraries = {"/opt/lib/liba.so.1": elf("libb.so.1"), "/opt/lib/libb.so.1": elf()}
    assert found({"/run": program("liba.so.1", rpath="/opt/lib"), **libraries}).is_whole
    assert found({"/run": program("liba.so.1", runpath="/opt/lib"), **libraries}).missing == [
        Missing("libb.so.1", "/opt/lib/liba.so.1")
    ]


def test_runpath_of_the_asker_takes_all_rpath_away():
    files = {
        "/run": program("liba.so.1", rpath="/opt/lib"),
        "/opt/lib/liba.so.1": elf("libb.so.1", runpath="/nowhere"),
        "/opt/lib/libb.so.1": elf(),
    }
    assert found(files).missing == [Missing("libb.so.1", "/opt/lib/liba.so.1")]
    both = {"/run": program("libb.so.1", rpath="/opt/lib", runpath="/nowhere"), "/opt/lib/libb.so.1": elf()}
    assert found(both).missing == [Missing("libb.so.1", "/run")]


def test_ld_library_path_stands_between_rpath_and_runpath():
    files = {
        "/first/liba.so.1": elf(),
        "/second/liba.so.1": elf(),
    }
    by_rpath = found({"/run": program("liba.so.1", rpath="/first"), **files}, library_path=["/second"])
    by_runpath = found({"/run": program("liba.so.1", runpath="/first"), **files}, library_path=["/second"])
    assert by_rpath.libraries["liba.so.1"] == "/first/liba.so.1"
    assert by_runpath.libraries["liba.so.1"] == "/second/liba.so.1"


@pytest.mark.parametrize(
    ("runpath", "folder"),
    [
        ("$ORIGIN/../lib", "/app/lib"),
        ("${ORIGIN}/lib", "/app/bin/lib"),
        ("/opt/$LIB", "/opt/lib/x86_64-linux-gnu"),
        ("/opt/${PLATFORM}:/none", "/opt/x86_64"),
        ("/none::/opt/lib", "/opt/lib"),
    ],
)
def test_tokens_of_a_runpath_are_expanded(runpath, folder):
    files = {"/app/bin/run": program("liba.so.1", runpath=runpath), f"{folder}/liba.so.1": elf()}
    assert found(files, "/app/bin/run").is_whole


def test_origin_of_a_program_is_where_its_links_lead():
    files = {"/app/bin/run": program("liba.so.1", runpath="$ORIGIN/../lib"), "/app/lib/liba.so.1": elf()}
    assert found(files, "/usr/bin/run", links={"/usr/bin/run": "../../app/bin/run"}).is_whole


def test_a_library_that_was_loaded_already_is_known_by_its_soname():
    files = {
        "/run": program("/opt/lib/plugin.so", "libb.so.1"),
        "/opt/lib/plugin.so": elf("liba.so.1", soname="plugin.so", runpath="$ORIGIN"),
        "/opt/lib/liba.so.1": elf(soname="libb.so.1"),
    }
    result = found(files)
    assert result.missing == [Missing("libb.so.1", "/run")]  # asked for before it was loaded
    files["/run"] = program("/opt/lib/plugin.so", "libc.so.9")
    files["/opt/lib/libd.so.1"] = elf("libb.so.1")
    files["/opt/lib/plugin.so"] = elf("liba.so.1", "libd.so.1", runpath="$ORIGIN")
    assert found(files).libraries["libb.so.1"] == "/opt/lib/liba.so.1"


def test_what_is_for_another_machine_or_no_elf_file_is_passed_over_and_said():
    files = {"/run": program("liba.so.1", "libb.so.1"), "/usr/lib/liba.so.1": elf(machine="i686")}
    assert found(files, texts=["/usr/lib/libb.so.1"]).missing == [
        Missing("liba.so.1", "/run", "/usr/lib/liba.so.1 is for i686"),
        Missing("libb.so.1", "/run", "/usr/lib/libb.so.1 is no ELF file"),
    ]


def test_a_library_for_newer_processors_alone_counts():
    files = {"/run": program("liba.so.1"), "/usr/lib/glibc-hwcaps/x86-64-v3/liba.so.1": elf()}
    assert found(files).is_whole


def test_versions_of_symbols_that_a_library_does_not_define():
    libc = "/usr/lib/libc.so.6"
    files = {
        "/run": program("libc.so.6", needed_versions=("libc.so.6:GLIBC_2.2.5", "libc.so.6:GLIBC_2.38")),
        libc: elf(soname="libc.so.6", defined_versions=frozenset({"GLIBC_2.2.5", "GLIBC_2.36"})),
    }
    assert found(files).missing_versions == [MissingVersion("GLIBC_2.38", libc, "/run")]
    files[libc] = elf(soname="libc.so.6")  # a library without versions is taken as it is
    assert found(files).is_whole


def test_a_program_whose_loader_is_gone():
    result = found({"/run": program("libc.so.6", interpreter="/lib/ld-gone.so.1")})
    assert result.problem == "its loader /lib/ld-gone.so.1 is not there"
    assert not result.is_whole


def test_a_static_program_needs_nothing():
    assert found({"/run": program(interpreter=None)}).is_whole


def test_what_could_not_be_read_is_unknown_not_whole_by_itself():
    result = found({"/run": program("liba.so.1"), "/usr/lib/liba.so.1": elf(is_read=False)})
    assert result.unread == ["/usr/lib/liba.so.1"]
    assert found({"/run": program("liba.so.1", is_read=False)}).unread == ["/run"]


def test_musl_inherits_every_path_and_is_libc_itself():
    files = {
        MUSL: elf(),
        "/app/run": program("liba.so.1", "libc.musl-x86_64.so.1", interpreter=MUSL, runpath="$ORIGIN/own"),
        "/app/own/liba.so.1": elf("libb.so.1", "libpthread.so.0"),
        "/app/own/libb.so.1": elf(),
    }
    assert found(files, "/app/run").libraries == {
        "liba.so.1": "/app/own/liba.so.1",
        "libc.musl-x86_64.so.1": MUSL,
        "libb.so.1": "/app/own/libb.so.1",
        "libpthread.so.0": MUSL,
    }


def test_musl_knows_no_cache_and_its_settings_replace_its_folders():
    files = {MUSL: elf(), "/run": program("liba.so.1", interpreter=MUSL), "/usr/lib/liba.so.1": elf()}
    assert found(files).is_whole
    settings = {"/etc/ld-musl-x86_64.path": ["/opt/lib"]}
    cache = {"liba.so.1": "/usr/lib/liba.so.1"}
    assert found(files, settings=settings, cache=cache).missing == [Missing("liba.so.1", "/run")]


def test_musl_takes_no_token_but_origin():
    files = {MUSL: elf(), "/run": program("liba.so.1", interpreter=MUSL, rpath="/opt/$LIB:/opt/lib")}
    assert not found({**files, "/opt/lib/liba.so.1": elf()}).is_whole


def test_a_library_of_glibc_finds_no_loader_where_there_is_musl_alone():
    files = {MUSL: elf(), "/a.so": elf("libc.so.6", needed_versions=("libc.so.6:GLIBC_2.34",), machine="aarch64")}
    assert found(files, "/a.so").problem == "there is no glibc's loader for aarch64"


def test_links_in_a_loop_are_not_there():
    assert found({"/run": program("liba.so.1")}, links={"/usr/lib/liba.so.1": "liba.so.1"}).missing


def test_looking_ends_where_an_image_was_made_to_keep_a_reader_busy():
    names = [f"lib{number}.so" for number in range(2000)]
    libraries = Libraries(world({"/run": program(*names, rpath=":".join(f"/{number}" for number in range(100)))}))
    libraries.looks_left = 1000
    result = libraries.resolve("/run")
    assert result.unread[0] == "/run"
    assert len(result.missing) < 20


@pytest.mark.engine
@pytest.mark.real
def test_every_program_and_library_of_the_full_image_finds_what_its_loader_finds(
    docker_client: docker.DockerClient, full_image: str, full_archive: Path
) -> None:
    image = audit(f"docker-archive:{full_archive}")
    libraries = Libraries(make_world(Tables(image.files, image.binaries, image.scripts, image.loader_paths, None)))
    is_loaded = image.binaries["kind"].isin(["executable", "shared_library"]) & ~image.binaries["is_static"].eq(True)  # noqa: FBT003 - pandas
    paths = image.binaries.loc[is_loaded.fillna(value=True), "path"].tolist()
    script = (
        'export LD_TRACE_LOADED_OBJECTS=1; for path; do echo "== $path"; /lib64/ld-linux-x86-64.so.2 "$path"; done 2>&1'
    )
    said = docker_client.containers.run(
        full_image, ["sh", "-c", script, "sh", *paths], remove=True, network_mode="none"
    ).decode()
    told = dict(_told(part) for part in said.split("== ")[1:])
    assert len(told) == len(paths) > 1000
    resolved = {path: libraries.resolve(path) for path in paths}
    ours = {path: {**one.libraries, **{name: None for name, *_ in one.missing}} for path, one in resolved.items()}
    differing = {path: (told[path], ours[path]) for path in paths if told[path] != _without_loader(ours[path])}
    assert differing == {}
    assert sum(None in one.values() for one in told.values()) >= 2


def _told(part: str) -> tuple[str, dict[str, str | None]]:
    path, *lines = part.splitlines()
    matches = (re.fullmatch(r"\t(\S+) => (?:(/\S+) \(0x[0-9a-f]+\)|not found)", line) for line in lines)
    return path, _without_loader({match[1]: match[2] for match in matches if match})


def _without_loader(found: Mapping[str, str | None]) -> dict[str, str | None]:
    """Leave the loader out: it is told by the path that it was started with."""
    return {name: path for name, path in found.items() if not name.startswith(("ld-linux", "/lib64/ld-linux"))}
