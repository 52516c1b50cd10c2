"""Charts, by what was drawn: bars, their lengths in MiB, their names and what stands at their ends."""

import io
from dataclasses import fields

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt

from audit_lib import audit, charts
from audit_lib.charts.treemap import _tiles
from audit_lib.compliance import framework_counts
from audit_lib.errors import TableError
from audit_lib.sizes import sizes_by
from audit_lib.tables import (
    CategorySize,
    File,
    FleetMeasure,
    FleetPackage,
    LayerSize,
    OpenSpell,
    Package,
    PackageChange,
    RemovalGain,
    SeverityCount,
    Summary,
    SurfaceCount,
    VulnerabilityCount,
    make_table,
)

MIB = 1024 * 1024
UNKNOWN_HATCH = "////"
BLUE, ORANGE = charts.ROLE_COLOURS["full"], charts.ROLE_COLOURS["minimal"]


@pytest.fixture(autouse=True)
def _leave_matplotlib_as_it_was():
    with mpl.rc_context():
        yield
    plt.close("all")


def row(schema, **facts):
    """Return a row in which everything that is not given is missing."""
    return schema(**{**{field.name: None for field in fields(schema)}, **facts})


def summary(**measures):
    """Return a summary from measure=(full, minimal)."""
    rows = []
    for measure, (full, minimal) in measures.items():
        is_known = full is not None and minimal is not None
        rows.append(
            row(
                Summary,
                measure=measure,
                unit="bytes" if measure.endswith("bytes") else "count",
                full=full,
                minimal=minimal,
                delta=minimal - full if is_known else None,
                reduction_share=1 - minimal / full if is_known and full else None,
            )
        )
    return make_table(Summary, rows)


def category_sizes(sizes, grouping="category"):
    """Return a table from {category: (full, minimal)} in MiB."""
    rows = []
    for category, sides in sizes.items():
        full, minimal = (None if side is None else int(side * MIB) for side in sides)
        delta = None if full is None or minimal is None else minimal - full
        facts = {"file_bytes_full": full, "file_bytes_minimal": minimal, "delta_bytes": delta}
        rows.append(row(CategorySize, grouping=grouping, category=category, **facts))
    return make_table(CategorySize, rows)


def layer(role, number, content, *, reclaimable=0, shared=False):
    facts = {"content_bytes": content * MIB, "reclaimable_bytes": reclaimable * MIB, "unpacked_bytes": content * MIB}
    return row(LayerSize, role=role, image="a", layer=number, diff_id=f"{role}{number}", is_shared=shared, **facts)


def package(name, size, form="deb", version="1"):
    facts = {"purl": f"pkg:{form}/{name}", "database_path": "/var/lib/dpkg/status", "image": "a"}
    return row(
        Package, format=form, name=name, version=version, file_bytes=None if size is None else size * MIB, **facts
    )


def change(name, kind, full, minimal):
    sizes = {"file_bytes_full": full, "file_bytes_minimal": minimal}
    sizes = {column: None if size is None else size * MIB for column, size in sizes.items()}
    return row(PackageChange, format="deb", name=name, change=kind, **sizes)


def file(path, size, kind="file"):
    facts = {"mode": "0644", "uid": 0, "gid": 0, "layer": 1, "category": "other", "image": "a"}
    return row(File, path=path, kind=kind, file_bytes=size * MIB, **facts)


def widths(ax):
    return [round(bar.get_width(), 3) for bar in ax.patches]


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def texts(ax):
    return [text.get_text().replace("\N{MINUS SIGN}", "-") for text in ax.texts]


def colour(bar):
    return colors.to_hex(bar.get_facecolor())


def hatched(ax):
    """Return the numbers of the bars that stand for something unknown."""
    return [number for number, bar in enumerate(ax.patches) if bar.get_hatch() == UNKNOWN_HATCH]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# size_bars


def test_a_bar_is_as_long_as_its_image_in_mib_the_biggest_first():
    totals = pd.DataFrame({"image": ["a", "b"], "file_bytes": pd.array([1 * MIB, 3 * MIB], dtype="Int64")})
    ax = charts.size_bars(totals)
    assert widths(ax) == [3, 1]
    assert names(ax) == ["b", "a"]
    assert texts(ax) == ["3.0 MiB", "1.0 MiB"]
    assert ax.get_xlabel() == "MiB"
    assert ax.get_xlim()[0] == 0
    assert ax.get_title(loc="left") == "File bytes by image"


def test_ties_go_by_name_and_the_unknown_comes_last():
    sizes = pd.array([MIB, None, MIB, MIB], dtype="Int64")
    ax = charts.size_bars(pd.DataFrame({"image": ["c", "a", "b", "d"], "file_bytes": sizes}))
    assert names(ax) == ["b", "c", "d", "a"]
    assert hatched(ax) == [3]
    assert texts(ax)[3] == "unknown"


def test_the_first_name_is_drawn_at_the_top():
    totals = pd.DataFrame({"image": ["a", "b"], "file_bytes": pd.array([9, 5], dtype="Int64")})
    low, high = charts.size_bars(totals).get_ylim()
    assert low > high


def test_any_column_of_bytes_can_be_drawn():
    layers = pd.DataFrame({"layer": ["1", "2"], "reclaimable_bytes": pd.array([2 * MIB, 0], dtype="Int64")})
    ax = charts.size_bars(layers, name="layer", value="reclaimable_bytes")
    assert texts(ax) == ["2.0 MiB", "0 B"]


def test_groups_of_one_image_are_named_by_their_category():
    table = sizes_by(make_table(File, [file("/a", 3), file("/b", 1, "fifo")]), "category")
    assert names(charts.size_bars(table)) == ["other"]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(TableError, match=r"expected a column 'file_bytes', found \['image'\]"):
        charts.size_bars(pd.DataFrame({"image": ["a"]}))


def test_a_long_name_keeps_its_beginning_and_its_end():
    name = "registry.example/team/application@sha256:0123456789abcdef"
    ax = charts.size_bars(pd.DataFrame({"image": [name], "file_bytes": pd.array([1], dtype="Int64")}))
    assert names(ax) == ["registry.example/…0123456789abcdef"]


# packages_and_bytes


def test_packages_and_bytes_stand_side_by_side_full_before_minimal():
    ax = charts.packages_and_bytes(
        summary(
            packages=(650, 13),
            packages_deb=(650, 13),
            file_bytes=(800 * MIB, 40 * MIB),
            unpacked_bytes=(810 * MIB, 41 * MIB),
            compressed_bytes=(300 * MIB, 15 * MIB),
        )
    )
    packages, sizes = ax.child_axes
    assert widths(packages) == [650, 13]
    assert names(packages) == ["packages"]
    assert texts(packages) == ["650", "13 (-98.0 %)"]
    assert packages.get_xlabel() == "packages"
    assert names(sizes) == ["file bytes", "unpacked bytes", "compressed bytes"]
    assert widths(sizes) == [800, 40, 810, 41, 300, 15]
    assert texts(sizes)[:2] == ["800.0 MiB", "40.0 MiB (-95.0 %)"]
    assert sizes.get_xlabel() == "MiB"
    assert [colour(bar) for bar in sizes.patches] == [BLUE, ORANGE] * 3
    assert legend(sizes) == ["full", "minimal"]


def test_formats_are_drawn_apart_where_there_are_several():
    ax = charts.packages_and_bytes(
        summary(packages=(5, 4), packages_deb=(4, 4), packages_pypi=(1, 0), file_bytes=(1, 1))
    )
    assert names(ax.child_axes[0]) == ["packages", "deb", "pypi"]
    assert texts(ax.child_axes[0]) == ["5", "4 (-20.0 %)", "4", "4 (0.0 %)", "1", "0 (-100.0 %)"]


def test_unknown_packages_are_a_hatched_box_and_not_a_bar_of_zero():
    packages, sizes = charts.packages_and_bytes(
        summary(packages=(650, None), file_bytes=(2 * MIB, 3 * MIB), compressed_bytes=(None, None))
    ).child_axes
    assert hatched(packages) == [1]
    assert texts(packages) == ["650", "unknown"]
    assert packages.patches[1].get_width() > 0
    assert hatched(sizes) == [2, 3]
    assert texts(sizes) == ["2.0 MiB", "3.0 MiB (+50.0 %)", "unknown", "unknown"]


# size_by_category


def test_categories_are_pairs_of_bars_biggest_first_ties_by_name():
    ax = charts.size_by_category(
        category_sizes({"fonts": (2, 0), "caches": (1, 7), "locales": (2, 2), "other": (0.5, 0.25)})
    )
    assert names(ax) == ["caches", "fonts", "locales", "other"]
    assert widths(ax) == [1, 7, 2, 0, 2, 2, 0.5, 0.25]
    assert texts(ax)[6:] == ["512.0 KiB", "256.0 KiB"]
    assert [colour(bar) for bar in ax.patches[:2]] == [BLUE, ORANGE]
    assert ax.get_title(loc="left") == "Bytes by category"


def test_the_smallest_categories_are_drawn_as_one():
    ax = charts.size_by_category(category_sizes({"a": (9, 1), "b": (3, 1), "c": (2, 1)}), count=1)
    assert names(ax) == ["a", "2 smaller"]
    assert widths(ax) == [9, 1, 5, 2]


def test_a_side_whose_files_are_unknown_is_hatched_also_in_the_rest():
    ax = charts.size_by_category(category_sizes({"a": (9, None), "b": (3, None), "c": (2, None)}), count=1)
    assert hatched(ax) == [1, 3]
    assert texts(ax) == ["9.0 MiB", "unknown", "5.0 MiB", "unknown"]


def test_two_images_whose_files_are_unknown_are_not_two_empty_ones():
    ax = charts.size_by_category(category_sizes({}))
    assert texts(ax) == ["unknown", "unknown"]


def test_top_folders_are_another_grouping():
    table = pd.concat([category_sizes({"fonts": (2, 0)}), category_sizes({"/usr": (5, 4)}, "top_folder")])
    ax = charts.size_by_category(table, grouping="top_folder")
    assert names(ax) == ["/usr"]
    assert ax.get_title(loc="left") == "Bytes by top folder"
    with pytest.raises(TableError, match=r"expected one of the groupings \['category', 'top_folder'\], found 'layer'"):
        charts.size_by_category(table, grouping="layer")


# waterfall


def test_a_waterfall_goes_down_from_full_and_ends_at_minimal():
    ax = charts.waterfall(category_sizes({"fonts": (3, 1), "locales": (5, 0), "other": (2, 2), "caches": (0, 3)}))
    assert names(ax) == ["full", "locales", "fonts", "caches", "minimal"]
    assert widths(ax) == [10, 5, 2, 3, 6]
    assert [bar.get_x() for bar in ax.patches] == [0, 5, 3, 3, 0]
    assert texts(ax) == ["10.0 MiB", "-5.0 MiB", "-2.0 MiB", "+3.0 MiB", "6.0 MiB"]
    assert [colour(bar) for bar in (ax.patches[0], ax.patches[-1])] == [BLUE, ORANGE]
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, False, True, False]


def test_each_step_begins_where_the_one_before_ended():
    ax = charts.waterfall(category_sizes({"fonts": (3, 1), "locales": (5, 0), "caches": (0, 1)}))
    assert [line.get_xdata()[0] for line in ax.lines] == [8, 3, 1, 2]


def test_small_changes_are_one_step():
    ax = charts.waterfall(category_sizes({"a": (9, 1), "b": (3, 1), "c": (2, 1)}), count=1)
    assert names(ax) == ["full", "a", "2 smaller", "minimal"]
    assert texts(ax) == ["14.0 MiB", "-8.0 MiB", "-3.0 MiB", "3.0 MiB"]


def test_the_change_to_an_unknown_size_is_unknown():
    ax = charts.waterfall(category_sizes({"a": (9, None), "b": (3, None)}))
    assert names(ax) == ["full", "change", "minimal"]
    assert texts(ax) == ["12.0 MiB", "unknown", "unknown"]
    assert hatched(ax) == [1, 2]
    assert texts(charts.waterfall(category_sizes({}))) == ["unknown", "unknown", "unknown"]


# layers_stacked


def test_layers_lie_end_to_end_with_their_reclaimable_part_crossed():
    ax = charts.layers_stacked(
        make_table(
            LayerSize,
            [layer("full", 1, 4, shared=True), layer("full", 2, 6, reclaimable=2), layer("minimal", 1, 4, shared=True)],
        )
    )
    assert widths(ax) == [4, 0, 4, 2, 4, 0]
    assert [bar.get_x() for bar in ax.patches] == [0, 4, 4, 8, 0, 4]
    assert [str(bar.get_hatch() or "") for bar in ax.patches] == ["...", "xxxxx", "", "xxxxx", "...", "xxxxx"]
    assert names(ax) == ["full", "minimal"]
    assert texts(ax) == ["1", "2", "10.0 MiB in 2 layers", "1", "4.0 MiB in 1 layer"]
    assert legend(ax) == ["full", "minimal", "in both", "reclaimable"]


def test_a_layer_without_room_for_its_number_has_none():
    ax = charts.layers_stacked(make_table(LayerSize, [layer("full", 1, 100), layer("full", 2, 1)]))
    assert texts(ax)[:2] == ["1", "101.0 MiB in 2 layers"]


def test_an_image_that_states_no_layers_is_unknown():
    ax = charts.layers_stacked(make_table(LayerSize, [layer("full", 1, 4)]))
    assert texts(ax) == ["1", "4.0 MiB in 1 layer", "unknown"]
    assert hatched(ax) == [2]


# largest_packages


def test_the_largest_packages_of_an_image_come_first_ties_by_name():
    packages = make_table(Package, [package("b", 2), package("a", 2), package("c", 9), package("d", 1)])
    ax = charts.largest_packages(packages, count=3)
    assert names(ax) == ["c", "a", "b"]
    assert widths(ax) == [9, 2, 2]


def test_packages_of_unknown_weight_are_counted_and_not_ranked():
    packages = make_table(Package, [package("a", None), package("b", 0), package("c", None)])
    ax = charts.largest_packages(packages)
    assert names(ax) == ["b", "2 packages"]
    assert texts(ax) == ["0 B", "unknown"]
    assert hatched(ax) == [1]


def test_names_that_come_twice_say_their_format_and_version():
    packages = [package("a", 3), package("b", 2, "npm", "1"), package("b", 1, "npm", "2")]
    assert names(charts.largest_packages(make_table(Package, packages))) == ["a (deb)", "b (npm) 1", "b (npm) 2"]


def test_package_changes_show_both_sides_and_say_what_is_not_installed():
    changes = [change("apt", "removed", 5, None), change("bash", "changed", 2, 9), change("tini", "added", None, 1)]
    ax = charts.largest_packages(make_table(PackageChange, changes))
    assert names(ax) == ["bash", "apt", "tini"]
    assert widths(ax) == [2, 9, 5, 0, 0, 1]
    assert texts(ax) == ["2.0 MiB", "9.0 MiB", "5.0 MiB", "not installed", "not installed", "1.0 MiB"]
    assert hatched(ax) == []


def test_a_package_whose_weight_is_unknown_on_one_side_is_hatched_there():
    changes = [change("apt", "kept", None, 5), change("bash", "removed", None, None)]
    ax = charts.largest_packages(make_table(PackageChange, changes))
    assert names(ax) == ["apt", "1 packages"]
    assert texts(ax) == ["unknown", "5.0 MiB", "unknown"]
    assert hatched(ax) == [0, 2]


def test_an_image_without_packages_says_that_there_are_no_rows():
    assert texts(charts.largest_packages(make_table(Package, []))) == ["no rows"]


# folder_treemap


def test_folders_are_tiles_below_the_name_of_their_top_folder():
    ax = charts.folder_treemap(
        make_table(
            File,
            [
                file("/usr/lib/gcc/cc1", 40),
                file("/usr/lib/python3/os.py", 20),
                file("/usr/bin/bash", 25),
                file("/var/lib/dpkg/status", 14),
                file("/etc/passwd", 1),
                file("/usr/lib", 0, "directory"),
            ],
        )
    )
    assert texts(ax) == [
        "/usr/lib  60.0 MiB",
        "gcc\n40.0 MiB",
        "python3\n20.0 MiB",
        "/usr/bin\n25.0 MiB",
        "/var/lib/dpkg\n14.0 MiB",
    ]
    assert ax.get_title(loc="left") == "100.0 MiB by folder"


def test_the_areas_of_top_folders_are_in_proportion_to_their_bytes():
    ax = charts.folder_treemap(make_table(File, [file("/opt/a", 60), file("/srv/b", 30), file("/var/c", 10)]))
    areas = [tile.get_width() * tile.get_height() for tile in ax.patches]
    assert [round(area / sum(areas), 3) for area in areas] == [0.6, 0.3, 0.1]


def test_small_folders_of_a_folder_are_one_tile():
    small = [file(f"/opt/{number:03}/x", 1) for number in range(200)]
    ax = charts.folder_treemap(make_table(File, [file("/opt/big/x", 800), *small]))
    assert texts(ax) == ["/opt  1,000.0 MiB", "big\n800.0 MiB", "…\n200.0 MiB"]


def test_a_folder_is_opened_only_while_it_holds_a_twentieth_of_all_bytes():
    files = make_table(File, [file("/opt/a/b/x", 90), file("/srv/a/x", 6), file("/var/a/x", 4)])
    assert _tiles(files) == [("/opt/a/b", 90 * MIB), ("/srv/a", 6 * MIB), ("/var", 4 * MIB)]


def test_a_name_that_is_too_long_for_its_tile_is_cut():
    long = "a-folder-whose-name-is-far-too-long-for-the-small-tile-that-it-gets-in-this-picture"
    ax = charts.folder_treemap(make_table(File, [file("/opt/x", 90), file(f"/srv/{long}/y", 10)]))
    assert texts(ax)[0] == "/opt\n90.0 MiB"
    assert texts(ax)[1].startswith("/srv/\na-fold")
    assert "…" in texts(ax)[1]


def test_an_image_without_bytes_in_files_says_so():
    ax = charts.folder_treemap(make_table(File, [file("/etc/empty", 0)]))
    assert texts(ax) == ["no bytes in files"]
    assert len(ax.patches) == 0


# surface_by_category


def surface_counts(**counts):
    rows = [
        row(SurfaceCount, category=category.replace("_", " "), count_full=full, count_minimal=minimal)
        for category, (full, minimal) in counts.items()
    ]
    return make_table(SurfaceCount, rows)


def test_a_bar_is_as_long_as_the_things_found_and_most_come_first():
    ax = charts.surface_by_category(surface_counts(shells=(2, 1), setuid_files=(10, 0), volumes=(0, 0)))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["setuid files", "shells"]
    assert [bar.get_width() for bar in ax.patches] == [10, 0, 2, 1]
    assert ax.get_xlabel() == "things found"


def test_a_category_of_which_nothing_can_be_told_is_unknown_not_none():
    ax = charts.surface_by_category(surface_counts(login_users=(None, 0), secrets=(3, None)))
    assert [bar.get_hatch() for bar in ax.patches].count(UNKNOWN_HATCH) == 2
    assert texts(ax).count("unknown") == 2


def test_two_images_that_offer_nothing_are_an_empty_chart():
    assert texts(charts.surface_by_category(surface_counts(shells=(0, 0)))) == ["no rows"]


# images_and_measures, shared_and_own, pareto


def measures(*images):
    """Return a table from (name, packages, stored MiB, shared MiB)."""
    rows = []
    for name, count, stored, shared in images:
        sizes = {"compressed_bytes": stored, "shared_bytes": shared, "file_bytes": stored, "unowned_bytes": None}
        facts = {column: None if size is None else size * MIB for column, size in sizes.items()}
        rows.append(row(FleetMeasure, image=name, status="read", package_count=count, failed_check_count=1, **facts))
    return make_table(FleetMeasure, rows)


def weighed(*packages):
    """Return a table from (name, MiB, cumulative share)."""
    facts = {"format": "deb", "image_count": 1, "version_count": 1}
    rows = [
        row(
            FleetPackage,
            name=name,
            file_bytes=None if size is None else size * MIB,
            cumulative_share=share,
            weight_share=share,
            **facts,
        )
        for name, size, share in packages
    ]
    return make_table(FleetPackage, rows)


def test_each_measure_is_a_panel_on_a_scale_of_its_own_and_images_are_named_once():
    ax = charts.images_and_measures(measures(("a", 4, 8, 0), ("b", None, 2, 0)))
    panels = ax.child_axes
    assert [panel.get_xlabel() for panel in panels] == [
        "package count",
        "file bytes, MiB",
        "unowned bytes, MiB",
        "failed check count",
    ]
    assert widths(panels[1]) == [8, 2]
    assert texts(panels[0]) == ["4", "unknown"]
    assert hatched(panels[2]) == [0, 1]
    assert names(panels[0]) == ["a", "b"]
    assert names(panels[1]) == ["", ""]


def test_images_beyond_the_first_are_counted_in_the_title():
    ax = charts.images_and_measures(measures(("a", 4, 8, 0), ("b", 1, 2, 0), ("c", 1, 2, 0)), count=1)
    assert ax.get_title(loc="left") == "Images and measures (2 more images are not drawn)"
    with pytest.raises(TableError, match="expected a column 'weight'"):
        charts.images_and_measures(measures(("a", 4, 8, 0)), columns=["weight"])


def test_what_an_image_shares_comes_before_its_own_bytes():
    ax = charts.shared_and_own(measures(("small", 1, 3, 1), ("large", 1, 8, 6), ("unknown", 1, None, None)))
    assert names(ax) == ["large", "small", "unknown"]
    assert widths(ax)[:4] == [6, 2, 1, 2]
    assert [bar.get_x() for bar in ax.patches[:4]] == [0, 6, 0, 1]
    assert texts(ax) == ["8.0 MiB, 2.0 MiB its own", "3.0 MiB, 2.0 MiB its own", "unknown"]
    assert hatched(ax) == [4]
    assert legend(ax) == ["in other images too", "its own"]


def test_the_line_tells_which_share_the_largest_packages_make_together():
    ax = charts.pareto(weighed(("a", 3, 0.9), ("b", 6, 0.6), ("c", 1, 1.0), ("d", None, None)), count=2)
    assert names(ax) == ["b", "a", "1 package"]
    assert widths(ax)[:2] == [6, 3]
    assert hatched(ax) == [2]
    (above,) = [one for one in ax.figure.axes if one is not ax]
    (line,) = above.lines
    assert list(line.get_xdata()) == [0.6, 0.9]
    assert list(line.get_ydata()) == [0, 1]
    assert above.get_ylim() == ax.get_ylim()
    assert ax.get_title(loc="left") == "2 of 3 packages: 90.0 % of the bytes"


def test_packages_of_which_no_bytes_are_known_make_no_share():
    ax = charts.pareto(weighed(("a", None, None)))
    assert ax.get_title(loc="left") == "no package's bytes are known"
    assert texts(ax) == ["unknown"]


def over_time(*rows):
    """Return every measure that is drawn from (image, day, value)."""
    names = ("file_bytes", "package_count", "failed_check_count", "vulnerability_count")
    facts = [
        {"image": image, "audit": "nightly", "run_utc": f"2026-01-0{day}T02:00:00Z", "measure": name, "value": value}
        for name in names
        for image, day, value in rows
    ]
    return pd.DataFrame(facts).astype({"value": "Float64"})


def spell(item, first, closed):
    return row(
        OpenSpell,
        image="a",
        audit="nightly",
        kind="finding",
        item=item,
        first_utc=f"2026-01-0{first}T02:00:00Z",
        last_utc="2026-01-09T02:00:00Z",
        closed_utc=None if closed is None else f"2026-01-0{closed}T02:00:00Z",
        days_open=float((closed or 9) - first),
        is_open=closed is None,
        is_from_first_run=False,
    )


def test_a_measure_is_drawn_from_run_to_run_and_what_is_unknown_is_hatched():
    ax = charts.measures_over_time(over_time(("a", 1, 3 * MIB), ("a", 2, None), ("a", 3, MIB)), measures=["file_bytes"])
    (panel,) = ax.child_axes
    (line,) = panel.lines
    assert [float(value) for value in line.get_ydata()][::2] == [3, 1]
    assert pd.isna(line.get_ydata()[1])
    assert panel.get_ylim()[0] == 0
    assert [patch.get_hatch() for patch in panel.patches] == [UNKNOWN_HATCH]
    assert [text.get_text() for text in panel.texts] == ["unknown"]
    assert panel.get_ylabel() == "file bytes, MiB"


def test_images_that_are_not_drawn_are_counted():
    ax = charts.measures_over_time(over_time(*((name, 1, 1) for name in "abcd")), count=2)
    assert ax.get_title(loc="left") == "Over time (2 more images are not drawn)"
    assert legend(ax) == ["a", "b"]


def test_what_is_still_open_is_dotted_and_said_to_be_open_for_at_least_so_long():
    ax = charts.open_spells(make_table(OpenSpell, [spell("no-shell", 1, 4), spell("CVE-2026-1", 2, None)]))
    assert names(ax) == ["CVE-2026-1", "no-shell"]
    assert widths(ax) == [7, 3]
    assert [bar.get_x() for bar in ax.patches] == [1, 0]
    assert texts(ax) == ["at least 7 days", "3 days"]
    assert [bar.get_hatch() for bar in ax.patches] == ["...", ""]
    assert ax.get_xlabel() == "days since 2026-01-01"


# vulnerabilities


def gains(*rows):
    """Return packages with their vulnerabilities, those that are critical or high, and MiB."""
    made = [
        RemovalGain(
            format="deb",
            name=name,
            version="1",
            vulnerability_count=count,
            serious_count=serious,
            file_bytes=None if size is None else size * MIB,
            file_count=1,
        )
        for name, count, serious, size in rows
    ]
    return make_table(RemovalGain, made)


def severity_counts(full, minimal, *, ruled_out=0):
    """Return the counts of one source by severity for both images, None where an image was not asked about."""
    nothing = {field.name: None for field in fields(SeverityCount)}
    made = []
    for counted in ("unique ids", "after VEX"):
        for severity in ("all", "critical", "high", "medium", "low", "negligible", "unknown"):
            sides = {}
            for role, side in (("full", full), ("minimal", minimal)):
                more = ruled_out if counted == "unique ids" and severity in {"all", "low"} else 0
                own = None if side is None else sum(side.values()) if severity == "all" else side.get(severity, 0)
                sides[f"count_{role}"] = None if own is None else own + more
            made.append(
                SeverityCount(**{**nothing, "found_by": "grype", "counted": counted, "severity": severity, **sides})
            )
    return make_table(SeverityCount, made)


def test_severities_are_stacked_worst_first_and_what_vex_rules_out_is_a_part():
    ax = charts.vulnerabilities_by_severity(severity_counts({"critical": 1, "low": 3}, {"low": 2}, ruled_out=4))
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 1), (1, 3), (4, 4), (0, 2), (2, 4)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["full, by grype", "minimal, by grype"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["critical", "low", "ruled out by VEX"]
    assert ax.patches[2].get_hatch() == "xxxxx"


def test_an_image_that_no_source_was_asked_about_is_unknown_not_none():
    ax = charts.vulnerabilities_by_severity(severity_counts({"high": 2}, None))
    assert texts(ax) == ["2", "2", "unknown"]
    ax = charts.vulnerabilities_by_severity(make_table(SeverityCount, []))
    assert texts(ax) == ["unknown", "unknown"]
    ax = charts.vulnerabilities_by_severity(make_table(VulnerabilityCount, []))
    assert texts(ax) == ["unknown"]


def test_an_image_of_which_a_source_says_that_it_has_none_has_none():
    assert texts(charts.vulnerabilities_by_severity(severity_counts({"high": 2}, {}))) == ["2", "2", "0"]


def test_packages_with_most_vulnerabilities_come_first_and_unknown_ones_are_counted():
    ax = charts.packages_by_vulnerabilities(gains(("a", 1, 0, 4), ("b", 3, 2, 2), ("c", None, None, 1), ("d", 0, 0, 1)))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b (deb)", "a (deb)", "1 package"]
    assert texts(ax) == ["3, 2 critical or high", "1", "unknown"]
    assert texts(charts.packages_by_vulnerabilities(gains(("a", 0, 0, 1)))) == ["no package has any"]


def test_a_point_is_where_its_bytes_and_vulnerabilities_meet():
    ax = charts.bytes_and_vulnerabilities(
        gains(("a", 2, 1, 4), ("b", 0, 0, 2), ("c", None, None, 1), ("d", 1, 0, None))
    )
    assert [points.get_offsets().tolist() for points in ax.collections] == [[[2.0, 0.0]], [[4.0, 2.0]]]
    assert texts(ax) == ["a"]
    assert ax.get_title(loc="left") == "Bytes and vulnerabilities by package (2 unknown, not drawn)"
    assert texts(charts.bytes_and_vulnerabilities(gains(("c", None, None, 1)))) == ["unknown"]


# all


def table_of(name):
    """Return a small table for a chart."""
    sizes = category_sizes({"fonts": (3, 1), "locales": (5, 0)})
    tables = {
        "bytes_and_vulnerabilities": gains(("a", 2, 1, 4), ("b", 0, 0, 2), ("c", None, None, 1), ("d", 1, 0, None)),
        "packages_by_vulnerabilities": gains(("a", 2, 1, 4), ("b", 0, 0, 2), ("c", None, None, 1)),
        "vulnerabilities_by_severity": severity_counts({"high": 2, "low": 1}, None),
        "checks_by_status": audit("sample:minimal").findings,
        "controls_by_status": framework_counts(audit("sample:minimal").findings),
        "folder_treemap": make_table(File, [file("/usr/bin/a", 3), file("/etc/b", 1)]),
        "images_and_measures": measures(("a", 4, 8, 0), ("b", None, 2, 0)),
        "largest_packages": make_table(Package, [package("a", 3)]),
        "measures_over_time": over_time(("a", 1, 3 * MIB), ("a", 2, None), ("b", 1, MIB), ("b", 3, 2 * MIB)),
        "open_spells": make_table(OpenSpell, [spell("no-shell", 1, 4), spell("CVE-2026-1", 2, None)]),
        "layers_stacked": make_table(LayerSize, [layer("full", 1, 4), layer("minimal", 1, 2)]),
        "pareto": weighed(("a", 3, 0.9), ("b", 6, 0.6), ("c", None, None)),
        "shared_and_own": measures(("small", 1, 3, 1), ("large", 1, None, None)),
        "packages_and_bytes": summary(packages=(5, None), file_bytes=(4, 2)),
        "size_bars": pd.DataFrame({"image": ["a"], "file_bytes": pd.array([9], dtype="Int64")}),
        "size_by_category": sizes,
        "surface_by_category": surface_counts(shells=(2, 1), login_users=(None, 0)),
        "waterfall": sizes,
    }
    return tables[name]


def drawn(name, ax=None):
    return getattr(charts, name)(table_of(name), ax=ax)


CHARTS = [name for name in charts.__all__ if name != "ROLE_COLOURS"]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_draws_into_the_axes_it_is_given_and_makes_no_figure(name):
    figure, (left, right) = plt.subplots(1, 2)
    assert drawn(name, left) is left
    assert plt.get_fignums() == [figure.number]
    assert len(right.patches) == len(right.texts) == 0


@pytest.mark.parametrize("name", CHARTS)
def test_without_axes_a_chart_makes_one_figure_of_a_reports_width(name):
    ax = drawn(name)
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure.get_size_inches()[0] == 7


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_changes_no_setting_of_matplotlib(name):
    before = dict(mpl.rcParams)
    drawn(name)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_changes_no_table(name):
    table = table_of(name)
    getattr(charts, name)(table)
    pd.testing.assert_frame_equal(table, table_of(name))


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_is_cut_off_and_no_text_is_smaller_than_seven_points(name):
    ax = drawn(name)
    figure = ax.figure
    figure.draw_without_rendering()
    page = figure.bbox
    for part in (ax, *ax.child_axes):
        for text in (*part.texts, *part.get_yticklabels(), part.title):
            extent = text.get_window_extent()
            assert not text.get_text() or (extent.x0 >= page.x0 and extent.x1 <= page.x1), text.get_text()
            assert text.get_fontsize() >= 7


@pytest.mark.parametrize("name", CHARTS)
def test_the_same_table_gives_the_same_svg(name):
    pictures = []
    for _ in range(2):
        with io.BytesIO() as stream, mpl.rc_context({"svg.hashsalt": "test"}):
            drawn(name).figure.savefig(stream, format="svg", metadata={"Date": None})
            pictures.append(stream.getvalue())
    assert pictures[0] == pictures[1]


def test_the_two_roles_differ_in_grey():
    greys = [
        sum(part * value for part, value in zip((0.299, 0.587, 0.114), colors.to_rgb(shade), strict=True))
        for shade in (BLUE, ORANGE)
    ]
    assert [round(grey, 2) for grey in greys] == [0.26, 0.69]
