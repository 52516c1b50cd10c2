"""Tables and figures as files."""

import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from audit_lib.errors import TableError
from audit_lib.exports.figures import save_figures
from audit_lib.exports.tables import write_tables


def draw():
    ax = plt.figure(figsize=(2, 1)).add_subplot()
    ax.bar(["full"], [1], hatch="/")
    ax.set_title("Größe")
    return ax


def test_a_table_is_utf8_with_missing_values_empty_and_booleans_as_words(tmp_path):
    table = pd.DataFrame(
        {
            "name": pd.array(["Größe", 'a"b\nc', "", None], dtype="string"),
            "file_bytes": pd.array([1234567, None, 0, -1], dtype="Int64"),
            "share": pd.array([0.1, None, 1.0, 1e-7], dtype="Float64"),
            "is_shared": pd.array([True, False, None, True], dtype="boolean"),
        },
        index=[3, 2, 1, 0],
    )
    write_tables(str(tmp_path), sizes=table)
    assert (tmp_path / "tables" / "sizes.csv").read_bytes().decode() == (
        '"name","file_bytes","share","is_shared"\n"Größe",1234567,0.1,true\n"a""b\nc",,,false\n"",0,1,\n,-1,1e-7,true\n'
    )


def test_an_empty_table_has_its_header(tmp_path):
    write_tables(tmp_path, none=pd.DataFrame({"a": pd.array([], dtype="Int64"), "b": pd.array([], dtype="string")}))
    assert (tmp_path / "tables" / "none.csv").read_bytes() == b'"a","b"\n'


def test_an_empty_folder_name_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tables("", sizes=pd.DataFrame({"a": [1]}))
    save_figures("", sizes=draw())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("../a", pd.DataFrame({"a": [1]}), "expected letters, digits and _, found '../a'"),
        ("a", pd.DataFrame({1: [1]}), r"a: expected columns with plain names, found \[1\]"),
        ("a", pd.DataFrame({"x": ["1", 2]}, dtype=object), r"^a: .*column x"),
    ],
)
def test_what_cannot_be_a_table_is_refused(tmp_path, name, table, message):
    with pytest.raises(TableError, match=message):
        write_tables(tmp_path, **{name: table})
    assert list(tmp_path.rglob("*.csv")) == []


def test_a_figure_is_the_same_in_every_run_and_says_nothing_of_when(tmp_path):
    for run in ("one", "two"):
        save_figures(tmp_path / run, sizes=draw())
    one, two = ((tmp_path / run / "figures") for run in ("one", "two"))
    assert sorted(path.name for path in one.iterdir()) == ["sizes.png", "sizes.svg"]
    assert (one / "sizes.png").read_bytes() == (two / "sizes.png").read_bytes()
    assert (one / "sizes.svg").read_bytes() == (two / "sizes.svg").read_bytes()
    assert not re.search(r"<dc:date>|matplotlib\.org/|Matplotlib v", (one / "sizes.svg").read_text())


def test_a_figure_has_150_dots_an_inch(tmp_path):
    save_figures(tmp_path, sizes=draw())
    image = plt.imread(tmp_path / "figures" / "sizes.png")
    assert 250 < image.shape[1] < 350


def test_a_chart_is_named_as_a_file_can_be(tmp_path):
    with pytest.raises(ValueError, match=r"expected letters, digits and _, found '\.\./a'"):
        save_figures(tmp_path, **{"../a": draw()})
