"""Tables and sentences as they are shown in a notebook."""

import pandas as pd

from audit_lib.exports.show import listed, note, show, show_facts


def cells(shown):
    return [line for line in shown.html.splitlines() if line.startswith("<tr><td class=")]


def test_the_unit_of_a_column_is_told_by_its_name():
    table = pd.DataFrame(
        {
            "name": ["curl"],
            "file_bytes": pd.array([1536], dtype="Int64"),
            "file_count": pd.array([54761], dtype="Int64"),
            "unowned_share": pd.array([0.125], dtype="Float64"),
            "layer": pd.array([1200], dtype="Int64"),
            "is_shared": pd.array([True], dtype="boolean"),
        }
    )
    assert repr(show(table)) == (
        "Name  File bytes  File count  Unowned share  Layer  Shared\n"
        "curl     1.5 KiB      54,761         12.5 %   1200  yes"
    )
    assert cells(show(table)) == [
        (
            '<tr><td class="text short">curl</td><td class="number" data-sort="1536">1.5 KiB</td>'
            '<td class="number" data-sort="54761">54,761</td><td class="number" data-sort="0.125">12.5 %</td>'
            '<td class="number" data-sort="1200">1200</td><td class="flag">yes</td></tr>'
        )
    ]


def test_the_unit_of_a_summary_is_told_by_its_rows():
    table = pd.DataFrame(
        {
            "measure": ["packages", "file_bytes", "unowned_share"],
            "unit": ["count", "bytes", "share"],
            "full": pd.array([650.0, 2097152.0, 0.5], dtype="Float64"),
            "delta": pd.array([-3.0, 1048576.0, None], dtype="Float64"),
        }
    )
    assert repr(show(table)) == (
        "Measure           Full     Delta\n"
        "Packages           650        -3\n"
        "File bytes     2.0 MiB  +1.0 MiB\n"
        "Unowned share   50.0 %   unknown"
    )


def test_unknown_absent_and_not_stated_are_three_things():
    table = pd.DataFrame(
        {
            "change": ["removed", "kept"],
            "version_minimal": pd.array([None, None], dtype="string"),
            "file_bytes_minimal": pd.array([None, None], dtype="Int64"),
            "is_shared": pd.array([None, None], dtype="boolean"),
        }
    )
    removed, kept = cells(show(table))
    assert '<td class="absent" data-sort="" aria-label="not there">—</td>' in removed
    assert '<td class="absent number" data-sort="" aria-label="not there">—</td>' in removed
    assert '<td class="not-stated" data-sort="" aria-label="not stated">—</td>' in kept
    assert kept.count('<td class="unknown" data-sort="">unknown</td>') == 2


def test_a_place_that_is_absent_has_no_count_and_a_damaged_one_an_unknown_one():
    table = pd.DataFrame({"status": ["absent", "damaged"], "package_count": pd.array([None, None], dtype="Int64")})
    absent, damaged = cells(show(table))
    assert absent.endswith('<td class="absent number" data-sort="" aria-label="not there">—</td></tr>')
    assert damaged.endswith('<td class="unknown" data-sort="">unknown</td></tr>')


def test_facts_stand_one_below_the_other_with_a_column_for_each_row():
    table = pd.DataFrame(
        {
            "role": ["full", "minimal"],
            "file_bytes": pd.array([2048, None], dtype="Int64"),
            "distro_name": ["Debian", None],
        }
    )
    assert repr(show_facts(table, by="role", caption="Images")) == (
        "Images\nFact         full     minimal\nFile bytes   2.0 KiB  unknown\nDistro name  Debian   —"
    )
    assert '<th scope="col" class="text" title="minimal">minimal</th>' in show_facts(table, by="role").html


def test_rows_left_out_are_counted_and_no_rows_are_said():
    table = pd.DataFrame({"name": list("abc")})
    assert repr(show(table, rows=1, caption="Names")) == "Names\nName\na\n… 2 more rows"
    assert repr(show(table, rows=2)).endswith("… 1 more row")
    assert repr(show(table, rows=None)) == "Name\na\nb\nc"
    assert repr(show(table.head(0))) == "Name\nno rows"
    assert '<tfoot>\n<tr><td colspan="1">no rows</td></tr>' in show(table.head(0)).html


def test_headings_name_role_and_unit_and_keep_the_column_beside():
    table = pd.DataFrame({"file_bytes_full": [1], "purl": ["x"], "has_shell": [True], "created_utc": ["x"]})
    assert repr(show(table)).splitlines()[0] == "File bytes, full  Package URL  Shell  Created UTC"
    assert '<th scope="col" class="number" title="file_bytes_full">File bytes, full</th>' in show(table).html


def test_a_digest_is_short_and_whole_beside_it_and_a_long_text_folds():
    digest = "sha256:" + "0123456789ab" * 5 + "cdef"
    shown = show(pd.DataFrame({"layer_digest": [digest], "created_by": ["RUN " + "x" * 200]}))
    assert f'<td class="digest"><code title="{digest}">sha256:0123456789ab…</code></td>' in shown.html
    assert '<td class="text"><details><summary>RUN ' + "x" * 76 + "…</summary>RUN " + "x" * 200 in shown.html


def test_html_in_a_table_is_text():
    shown = show(pd.DataFrame({"<b>": ['<script>"']}), caption="<i>")
    assert "<b>" not in shown.html
    assert "<i>" not in shown.html
    assert '<td class="text short">&lt;script&gt;&quot;</td>' in shown.html


def test_the_same_table_is_shown_in_the_same_bytes_and_as_both_kinds():
    table = pd.DataFrame({"name": ["a"]})
    assert show(table)._repr_mimebundle_() == {"text/plain": repr(show(table)), "text/html": show(table)._repr_html_()}


def test_values_in_a_sentence_are_escaped_and_the_sentence_is_markdown():
    assert note("**{n}** of {name}", n=3, name="[x](y) `a`\n# b")._repr_markdown_() == r"**3** of \[x\](y) \`a\` \# b"
    assert repr(note("100 % {literal}")) == "100 % {literal}"


def test_sentences_are_a_list_or_the_words_for_none():
    assert listed(["a", "- b"], none="Nothing.").markdown == "- a\n- \\- b"
    assert listed([], none="Nothing.").markdown == "Nothing."


def test_a_count_that_is_no_whole_number_keeps_its_fraction():
    table = pd.DataFrame({"measure": ["a", "b", "c"], "unit": "count", "slope": [-30.3, 1234.56, 2.0]})
    assert repr(show(table)).split()[-6:] == ["A", "-30.3", "B", "1,234.6", "C", "2"]
