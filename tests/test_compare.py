"""A full and a minimal image side by side: what is less, what is more, and what nobody can know."""

import time
from dataclasses import fields
from types import SimpleNamespace

import pandas as pd

from audit_lib.compare import compare
from audit_lib.tables import (
    Binary,
    Database,
    File,
    Image,
    Layer,
    Package,
    SurfaceItem,
    Vulnerability,
    VulnerabilityCount,
    VulnerabilityCoverage,
    make_table,
    total,
)

DEB = "/var/lib/dpkg/status"
APK = "/lib/apk/db/installed"


def row(schema, **facts):
    """Return a row in which everything that is not given is missing."""
    return schema(**{**{field.name: None for field in fields(schema)}, "image": "a", **facts})


def image(**facts):
    known = {"reference": "a", "source": "oci-dir", "os": "linux", "architecture": "amd64", "layer_count": 1}
    known |= {"compressed_bytes": 5, "unpacked_bytes": 20, "file_bytes": 10, "file_count": 1, "package_count": 0}
    return row(Image, **{**known, "unowned_share": 0.5, **facts})


def layer(number, diff_id, **facts):
    known = {"unpacked_bytes": 20, "file_count": 1, "reclaimable_bytes": 0, "content_bytes": 10, "whiteout_count": 0}
    return row(Layer, **{**known, "layer": number, "diff_id": diff_id, **facts})


def file(path, file_bytes=1, **facts):
    known = {"kind": "file", "mode": "0644", "uid": 0, "gid": 0, "layer": 1, "category": "other"}
    return row(File, **{**known, "path": path, "file_bytes": file_bytes, **facts})


def database(form, path, status="read", package_count=1, detail=None):
    count = package_count if status == "read" else None
    return Database(image="a", database_path=path, format=form, status=status, package_count=count, detail=detail)


def package(name, version="1", form="deb", file_bytes=100, **facts):
    known = {"format": form, "name": name, "version": version, "purl": f"pkg:{form}/{name}", "database_path": DEB}
    return row(Package, **{**known, "file_bytes": file_bytes, **facts})


def side(*, facts=None, layers=(), files=(), databases=(), packages=(), binaries=(), surface=()):
    return SimpleNamespace(
        image=make_table(Image, [image(**(facts or {}))]),
        layers=make_table(Layer, layers),
        files=make_table(File, files),
        databases=make_table(Database, databases),
        packages=make_table(Package, packages),
        binaries=make_table(Binary, binaries),
        surface=make_table(SurfaceItem, surface),
        vulnerabilities=make_table(Vulnerability, []),
        vulnerability_coverage=make_table(VulnerabilityCoverage, []),
        vulnerability_counts=make_table(VulnerabilityCount, []),
        vulnerability_gaps=(),
        knows=lambda table: (
            table != "vulnerabilities"
            and (table != "binaries" or facts is None or facts.get("file_bytes", 0) is not None)
        ),
    )


def debian(*packages, facts=None, databases=()):
    return side(
        facts={"image": "debian", "package_count": len(packages), **(facts or {})},
        databases=[database("deb", DEB, package_count=len(packages)), *databases],
        packages=packages,
    )


def damaged(form="deb", path=DEB, *, others=(), packages=()):
    return side(
        facts={"image": "broken", "package_count": None, "unowned_share": None},
        databases=[database(form, path, "damaged", detail="line 3: cut off"), *others],
        packages=packages,
    )


def rows(table, *columns):
    """Return the columns as plain rows; a missing value is None."""
    chosen = table[list(columns)].astype(object)
    return chosen.where(table[list(columns)].notna(), None).to_numpy().tolist()


def measure(comparison, name):
    table = comparison.summary
    return rows(table[table["measure"] == name], "unit", "full", "minimal", "delta", "reduction_share")[0]


# summary


def test_a_measure_has_both_sides_their_difference_and_the_share_that_is_gone():
    full = debian(*[package(name) for name in "abcd"], facts={"file_bytes": 1000, "file_count": 50})
    both = compare(full, debian(package("a"), facts={"file_bytes": 250, "file_count": 5}))
    assert measure(both, "packages") == ["count", 4, 1, -3, 0.75]
    assert measure(both, "packages_deb") == ["count", 4, 1, -3, 0.75]
    assert measure(both, "file_bytes") == ["bytes", 1000, 250, -750, 0.75]
    assert measure(both, "files") == ["count", 50, 5, -45, 0.9]


def test_the_summary_has_these_measures_in_this_order():
    both = compare(debian(), side(databases=[database("apk", APK)]))
    assert both.summary["measure"].tolist() == [
        "compressed_bytes",
        "executables",
        "executables_bytes",
        "file_bytes",
        "files",
        "layers",
        "packages",
        "packages_apk",
        "packages_deb",
        "reclaimable_bytes",
        "shared_libraries",
        "shared_libraries_bytes",
        "surface_elf_canary_share",
        "surface_elf_files",
        "surface_elf_fortify_share",
        "surface_elf_full_relro_share",
        "surface_elf_nx_share",
        "surface_elf_pie_share",
        "unowned_share",
        "unpacked_bytes",
    ]


def test_nothing_can_be_reduced_from_zero():
    assert measure(compare(debian(), debian(package("a"))), "packages") == ["count", 0, 1, 1, None]


def test_a_minimal_image_that_is_larger_has_a_negative_reduction():
    both = compare(debian(facts={"file_bytes": 100}), debian(facts={"file_bytes": 150}))
    assert measure(both, "file_bytes") == ["bytes", 100, 150, 50, -0.5]


def test_what_the_engine_does_not_state_stays_unknown():
    both = compare(debian(facts={"compressed_bytes": 7}), debian(facts={"compressed_bytes": None, "image": "m"}))
    assert measure(both, "compressed_bytes") == ["bytes", 7, None, None, None]
    assert both.gaps == ("minimal (m): its compressed bytes are not stated by where it was read from (oci-dir)",)


def test_executables_and_libraries_are_counted_as_files_not_as_links():
    files = [
        file("/bin/a", 10, category="executables"),
        file("/bin/b", 0, kind="symlink", link_target="a", category="executables"),
        file("/bin/c", 0, kind="hardlink", link_target="/bin/a", category="executables"),
        file("/lib/d.so", 4, category="shared libraries"),
    ]
    both = compare(side(files=files), side())
    assert measure(both, "executables") == ["count", 1, 0, -1, 1]
    assert measure(both, "executables_bytes") == ["bytes", 10, 0, -10, 1]
    assert measure(both, "shared_libraries_bytes") == ["bytes", 4, 0, -4, 1]


def test_reclaimable_bytes_are_those_of_all_layers():
    full = side(layers=[layer(1, "x", reclaimable_bytes=3), layer(2, "y", reclaimable_bytes=4)])
    assert measure(compare(full, side(layers=[layer(1, "z")])), "reclaimable_bytes") == ["bytes", 7, 0, -7, 1]


def test_a_damaged_database_makes_the_number_of_packages_unknown_even_if_the_image_row_has_one():
    broken = damaged()
    broken.image["package_count"] = pd.array([3], dtype="Int64")
    both = compare(debian(package("a")), broken)
    assert measure(both, "packages") == ["count", 1, None, None, None]
    assert measure(both, "packages_deb") == ["count", 1, None, None, None]


def test_a_format_that_can_be_read_is_counted_beside_one_that_cannot():
    pypi = database("pypi", "/site-packages")
    both = compare(
        debian(package("six", form="pypi"), package("pip", form="pypi"), databases=[pypi]),
        damaged(others=[pypi], packages=[package("six", form="pypi")]),
    )
    assert measure(both, "packages_pypi") == ["count", 2, 1, -1, 0.5]
    assert measure(both, "packages_deb") == ["count", 0, None, None, None]


def test_an_image_without_any_database_has_an_unknown_number_of_packages():
    scratch = side(facts={"package_count": None}, databases=[database("deb", DEB, "absent")])
    both = compare(debian(package("a")), scratch)
    assert measure(both, "packages") == ["count", 1, None, None, None]
    assert measure(both, "packages_deb") == ["count", 1, None, None, None]


def test_an_empty_database_has_no_packages_and_that_is_known():
    both = compare(debian(package("a")), debian())
    assert measure(both, "packages") == ["count", 1, 0, -1, 1]


# packages


def test_packages_are_removed_added_kept_or_changed():
    full = debian(package("apt"), package("bash", "5.1"), package("libc6", "2.36"))
    both = compare(full, debian(package("bash", "5.2"), package("libc6", "2.36"), package("tini")))
    assert rows(both.package_changes, "name", "change", "version_full", "version_minimal", "matched_by") == [
        ["apt", "removed", "1", None, None],
        ["bash", "changed", "5.1", "5.2", "name"],
        ["libc6", "kept", "2.36", "2.36", "name"],
        ["tini", "added", None, "1", None],
    ]


def test_the_difference_in_bytes_counts_a_side_without_the_package_as_zero():
    full = debian(package("apt", file_bytes=100), package("bash", file_bytes=50))
    both = compare(full, debian(package("bash", file_bytes=20), package("tini", file_bytes=5)))
    assert rows(both.package_changes, "name", "file_bytes_full", "file_bytes_minimal", "delta_bytes") == [
        ["apt", 100, None, -100],
        ["bash", 50, 20, -30],
        ["tini", None, 5, 5],
    ]


def test_bytes_that_are_not_stated_make_the_difference_unknown():
    full = debian(package("apt", file_bytes=None), package("bash", file_bytes=50), package("curl", file_bytes=None))
    both = compare(full, debian(package("bash", file_bytes=None)))
    assert rows(both.package_changes, "name", "delta_bytes") == [["apt", None], ["bash", None], ["curl", None]]
    assert both.gaps == (
        "full (debian): 2 of 3 packages do not state their files, so their bytes are unknown",
        "minimal (debian): 1 of 1 packages do not state their files, so their bytes are unknown",
    )


def test_several_versions_of_a_name_are_one_row_in_order_without_repeats():
    full = debian(
        package("left-pad", "1.10", form="npm", database_path="/a/package.json"),
        package("left-pad", "1.2", form="npm", database_path="/b/package.json"),
        package("left-pad", "1.2", form="npm", database_path="/c/package.json"),
    )
    full.databases = make_table(Database, [database("npm", "/")])
    minimal = side(databases=[database("npm", "/")], packages=[package("left-pad", "1.2", form="npm")])
    assert rows(compare(full, minimal).package_changes, "version_full", "version_minimal", "change", "delta_bytes") == [
        ["1.10, 1.2", "1.2", "changed", -200]
    ]


def test_one_unknown_part_makes_the_bytes_of_a_name_unknown():
    full = debian(package("libc6", architecture="amd64"), package("libc6", architecture="i386", file_bytes=None))
    both = compare(full, debian(package("libc6")))
    assert rows(both.package_changes, "file_bytes_full", "file_bytes_minimal", "delta_bytes") == [[None, 100, None]]


def test_the_same_name_in_two_formats_is_two_packages():
    both = compare(
        debian(package("six"), package("six", form="pypi"), databases=[database("pypi", "/s")]),
        debian(package("six", form="pypi"), databases=[database("pypi", "/s")]),
    )
    assert rows(both.package_changes, "format", "name", "change") == [
        ["deb", "six", "removed"],
        ["pypi", "six", "kept"],
    ]


def test_a_package_without_a_version_on_both_sides_is_kept():
    both = compare(debian(package("a", None), package("b", None)), debian(package("a", None), package("b", "1")))
    assert rows(both.package_changes, "name", "change", "version_full") == [["a", "kept", None], ["b", "changed", None]]


def test_packages_of_a_damaged_database_are_not_claimed_to_be_removed():
    both = compare(debian(package("apt"), package("bash")), damaged())
    assert len(both.package_changes) == 0
    assert both.gaps == (
        (
            "minimal (broken): 1 damaged package database of format deb (/var/lib/dpkg/status: line 3: cut off); "
            "no deb packages are compared, the other image states 2"
        ),
    )


def test_packages_of_a_damaged_database_are_not_claimed_to_be_added_either():
    both = compare(damaged(), debian(package("apt")))
    assert len(both.package_changes) == 0
    assert both.gaps[0].startswith("full (broken): 1 damaged package database of format deb")


def test_formats_that_are_readable_on_both_sides_are_compared_beside_a_damaged_one():
    pypi = database("pypi", "/s")
    both = compare(
        debian(package("apt"), package("six", form="pypi"), databases=[pypi]),
        damaged(packages=[package("six", "2", form="pypi")], others=[pypi]),
    )
    assert rows(both.package_changes, "format", "name", "change") == [["pypi", "six", "changed"]]


def test_one_of_two_databases_of_a_format_damaged_makes_the_format_unknown():
    minimal = damaged("pypi", "/a", others=[database("pypi", "/b"), database("deb", DEB, package_count=0)])
    both = compare(debian(package("six", form="pypi"), databases=[database("pypi", "/b")]), minimal)
    assert len(both.package_changes) == 0


def test_an_image_without_any_database_is_not_an_image_without_packages():
    scratch = side(facts={"image": "scratch", "package_count": None}, databases=[database("deb", DEB, "absent")])
    both = compare(debian(package("apt"), package("bash")), scratch)
    assert len(both.package_changes) == 0
    assert both.gaps == (
        (
            "minimal (scratch): no package database was found, so its packages are unknown; "
            "the 2 packages of the other image are not compared"
        ),
    )


def test_an_image_without_a_row_for_any_database_is_none_either():
    both = compare(debian(package("apt")), side(facts={"image": "scratch", "package_count": None}))
    assert len(both.package_changes) == 0
    assert both.gaps[0].startswith("minimal (scratch): no package database was found")


def test_an_empty_database_has_lost_all_packages():
    both = compare(debian(package("apt")), debian())
    assert rows(both.package_changes, "name", "change") == [["apt", "removed"]]
    assert both.gaps == ()


def test_a_lost_database_of_the_distribution_counts_as_removed_and_is_told():
    minimal = side(
        facts={"image": "app", "package_count": 1},
        databases=[database("deb", DEB, "absent"), database("pypi", "/s")],
        packages=[package("six", form="pypi")],
    )
    both = compare(debian(package("apt"), package("six", form="pypi"), databases=[database("pypi", "/s")]), minimal)
    assert rows(both.package_changes, "name", "change") == [["apt", "removed"], ["six", "kept"]]
    assert both.gaps == (
        (
            "minimal (app): no package database of a distribution was found; the other image's 1 deb packages count as "
            "removed, though files of theirs may be there"
        ),
    )


def test_across_distributions_the_same_source_is_marked_as_a_guess():
    full = debian(
        package("libssl3", source_name="openssl"),
        package("openssl", source_name="openssl"),
        package("bash"),
        package("apt"),
    )
    apk = [
        package("libcrypto3", form="apk", source_name="openssl", database_path=APK),
        package("libssl3", form="apk", source_name="openssl", database_path=APK),
        package("bash", form="apk", source_name="bash", database_path=APK),
        package("musl", form="apk", source_name="musl", database_path=APK),
    ]
    both = compare(full, side(facts={"package_count": 4}, databases=[database("apk", APK)], packages=apk))
    assert rows(both.package_changes, "format", "name", "change", "matched_by", "counterpart") == [
        ["apk", "bash", "added", "source_name", "deb:bash"],
        ["apk", "libcrypto3", "added", "source_name", "deb:libssl3, deb:openssl"],
        ["apk", "libssl3", "added", "source_name", "deb:libssl3, deb:openssl"],
        ["apk", "musl", "added", None, None],
        ["deb", "apt", "removed", None, None],
        ["deb", "bash", "removed", "source_name", "apk:bash"],
        ["deb", "libssl3", "removed", "source_name", "apk:libcrypto3, apk:libssl3"],
        ["deb", "openssl", "removed", "source_name", "apk:libcrypto3, apk:libssl3"],
    ]
    assert both.package_changes["delta_bytes"].tolist() == [100, 100, 100, 100, -100, -100, -100, -100]
    assert both.gaps == (
        (
            "the images are of different distributions: 3 apk and 3 deb packages come from sources that both have, "
            "which is a guess at what replaces what; they count as removed and added all the same"
        ),
    )


def test_within_one_distribution_a_common_source_is_no_match():
    both = compare(
        debian(package("libssl1.1", source_name="openssl")), debian(package("libssl3", source_name="openssl"))
    )
    assert rows(both.package_changes, "name", "matched_by") == [["libssl1.1", None], ["libssl3", None]]


def test_language_packages_are_not_matched_with_those_of_a_distribution():
    both = compare(
        debian(package("six")),
        side(facts={"package_count": 1}, databases=[database("pypi", "/s")], packages=[package("six", form="pypi")]),
    )
    assert both.package_changes["matched_by"].isna().all()


# bytes by category and folder


def test_bytes_by_category_and_top_folder_stand_side_by_side():
    full = side(
        files=[
            file("/usr", 0, kind="directory"),
            file("/usr/bin/a", 10, category="executables"),
            file("/usr/share/doc/a", 4, category="documentation"),
        ]
    )
    minimal = side(files=[file("/usr/bin/a", 7, category="executables"), file("/etc/b", 1)])
    assert compare(full, minimal).category_sizes.to_numpy().tolist() == [
        ["category", "documentation", 4, 0, -4, 1, 0],
        ["category", "executables", 10, 7, -3, 1, 1],
        ["category", "other", 0, 1, 1, 0, 1],
        ["top_folder", "/etc", 0, 1, 1, 0, 1],
        ["top_folder", "/usr/bin", 10, 7, -3, 1, 1],
        ["top_folder", "/usr/share", 4, 0, -4, 1, 0],
    ]


def test_an_image_whose_files_are_unknown_has_no_sizes_rather_than_zero():
    sbom = side(facts={"image": "s", "source": "sbom", "file_bytes": None, "file_count": None, "layer_count": None})
    both = compare(side(files=[file("/etc/b", 1)]), sbom)
    assert rows(both.category_sizes, "category", "file_bytes_full", "file_bytes_minimal", "delta_bytes") == [
        ["other", 1, None, None],
        ["/etc", 1, None, None],
    ]
    assert both.category_sizes["file_count_minimal"].isna().all()
    assert len(both.file_changes) == 0
    assert measure(both, "executables") == ["count", 0, None, None, None]
    assert measure(both, "reclaimable_bytes") == ["bytes", 0, None, None, None]
    assert (
        "minimal (s): its files are unknown; bytes by category, changed files, the attack surface and what a move would "
        "break are not compared" in both.gaps
    )


# layers


def test_layers_of_both_images_tell_which_are_shared():
    full = side(layers=[layer(1, "base"), layer(2, "more", content_bytes=30)])
    minimal = side(layers=[layer(1, "base")])
    assert rows(compare(full, minimal).layer_sizes, "role", "layer", "diff_id", "content_bytes", "is_shared") == [
        ["full", 1, "base", 10, True],
        ["full", 2, "more", 30, False],
        ["minimal", 1, "base", 10, True],
    ]


# files


def test_a_file_is_removed_added_kept_or_changed_in_what():
    full = side(
        files=[
            file("/etc", 0, kind="directory"),
            file("/etc/gone", 5, package="a", format="deb"),
            file("/etc/more", 5),
            file("/etc/same", 5),
            file("/etc/other", 5, mode="0644", capabilities="cap_net_raw=ep"),
            file("/etc/link", 0, kind="symlink", link_target="a"),
        ]
    )
    minimal = side(
        files=[
            file("/etc/link", 0, kind="symlink", link_target="b"),
            file("/etc/more", 8),
            file("/etc/new", 2, package="b", format="apk", category="caches"),
            file("/etc/other", 5, mode="4755", uid=1),
            file("/etc/same", 5),
        ]
    )
    assert rows(compare(full, minimal).file_changes, "path", "change", "what", "delta_bytes", "category") == [
        ["/etc/gone", "removed", None, -5, "other"],
        ["/etc/link", "changed", "link_target", 0, "other"],
        ["/etc/more", "changed", "file_bytes", 3, "other"],
        ["/etc/new", "added", None, 2, "caches"],
        ["/etc/other", "changed", "mode, uid, capabilities", 0, "other"],
        ["/etc/same", "kept", None, 0, "other"],
    ]


def test_a_removed_file_names_its_package_on_the_side_that_had_it():
    both = compare(side(files=[file("/a", 5, format="deb", package="x")]), side())
    assert rows(both.file_changes, "file_bytes_full", "file_bytes_minimal", "package_full", "package_minimal") == [
        [5, None, "x", None]
    ]


def test_a_folder_that_became_a_link_is_an_added_path():
    both = compare(
        side(files=[file("/lib", 0, kind="directory")]),
        side(files=[file("/lib", 0, kind="symlink", link_target="usr/lib")]),
    )
    assert rows(both.file_changes, "path", "change") == [["/lib", "added"]]


# the whole


def test_platforms_that_differ_are_told():
    both = compare(side(facts={"architecture": "arm64"}), side())
    assert both.gaps[0] == ("the images are for different platforms: full is for linux/arm64, minimal for linux/amd64")


def test_two_empty_images_give_empty_tables_with_all_columns():
    both = compare(side(), side())
    assert len(both.package_changes) == len(both.category_sizes) == len(both.layer_sizes) == len(both.file_changes) == 0
    assert list(both.file_changes.columns)[:3] == ["path", "change", "what"]


def test_an_image_compared_with_itself_has_no_changes():
    one = debian(package("a"), package("b"))
    one.files = make_table(File, [file("/a"), file("/b")])
    both = compare(one, one)
    assert both.summary["delta"].eq(0).all()
    assert both.package_changes["change"].tolist() == ["kept", "kept"]
    assert both.file_changes["change"].tolist() == ["kept", "kept"]


def test_tables_are_made_once_and_the_audits_stay_as_they_were():
    full, minimal = debian(package("a")), debian()
    before = {name: table.copy() for name, table in vars(full).items() if isinstance(table, pd.DataFrame)}
    both = compare(full, minimal)
    assert both.summary is both.summary
    assert both.full is full
    for name in ("package_changes", "category_sizes", "layer_sizes", "file_changes", "gaps"):
        getattr(both, name)
    for name, table in before.items():
        pd.testing.assert_frame_equal(getattr(full, name), table)


def test_fifty_thousand_files_are_compared_in_a_moment():
    paths = [f"/usr/share/{number % 700:03}/{number:06}" for number in range(55_000)]
    files = {field.name: [None] * 55_000 for field in fields(File)}
    files |= {"image": ["a"] * 55_000, "path": paths, "kind": ["file"] * 55_000, "mode": ["0644"] * 55_000}
    files |= {name: [1] * 55_000 for name in ("file_bytes", "uid", "gid", "layer")} | {"category": ["other"] * 55_000}
    full, minimal = side(), side()
    full.files = make_table(File, files)
    minimal.files = full.files.assign(file_bytes=full.files["file_bytes"] + 1).iloc[::2]
    start = time.process_time()
    changes = compare(full, minimal).file_changes
    assert time.process_time() - start < 2  # half a second on an idle machine
    assert changes["change"].value_counts().to_dict() == {"removed": 27_500, "changed": 27_500}
    assert total(changes["delta_bytes"]) == 0
