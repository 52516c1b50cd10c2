"""The report's page: what of a notebook stands where, and that nothing in it is fetched or obeyed."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from audit_lib.exports.annexes import Annex
from audit_lib.exports.html import Page, render_html
from audit_lib.exports.show import note, show

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Elements(HTMLParser):
    """All elements of a page, and whether each that was opened was closed."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def displayed(value):
    data = value._repr_mimebundle_() if hasattr(value, "_repr_mimebundle_") else {"text/markdown": value.markdown}
    return new_output("display_data", data=data)


def render(*cells, page=None, folder="."):
    made = []
    for cell in cells:
        if isinstance(cell, str):
            made.append(new_markdown_cell(cell))
        else:
            source, *outputs = cell
            made.append(new_code_cell(source, outputs=outputs))
    return render_html(new_notebook(cells=made), page or Page(), folder=folder)


def body(page):
    return page[page.index("<main") : page.index("</main>")]


def test_the_first_heading_is_the_title_and_stands_once():
    page = render("# What is *gained*?\n\nThis counts.", "## One")
    assert "<title>What is gained?</title>" in page
    assert re.findall(r"<h1>(.*?)</h1>", page) == ["What is gained?"]
    assert "<p>This counts.</p>" in body(page)


def test_headings_become_the_table_of_contents_with_anchors_of_their_own():
    page = render("# T", "## What was read?", "### Layers", "## Bytes & `files`", "## What was read?")
    contents = page[page.index("<nav") : page.index("</nav>")]
    assert re.findall(r'<a href="#([^"]*)">(.*?)</a>', contents) == [
        ("what-was-read", "What was read?"),
        ("layers", "Layers"),
        ("bytes-files", "Bytes &amp; files"),
        ("what-was-read-2", "What was read?"),
        ("how-made", '<span class="letter"></span> <span>How this report was made</span>'),
    ]
    ids = [attributes["id"] for _, attributes in Elements(page).found if "id" in attributes]
    assert sorted(ids) == ["bytes-files", "how-made", "layers", "report", "what-was-read", "what-was-read-2"]


def test_code_is_folded_once_at_the_end_of_its_section():
    page = body(render("# T", "## One", ("a = 1",), ("b = 'x'", new_output("stream", text="said\n")), "## Two"))
    assert page.count('<details class="code">') == 1
    assert (
        page.index("said") < page.index("How this was made") < page.index(">a<") < page.index(">b<") < page.index("Two")
    )


def test_an_element_that_is_opened_is_closed():
    cells = [
        "# T",
        "Lead",
        "## A",
        ("1", displayed(show(pd.DataFrame({"a": ["b" * 200]})))),
        "- x\n- y\n\n| a |\n|-|\n| b |",
    ]
    assert Elements(render(*cells, page=Page(images=[{"image": "full"}], gaps=["x"]))).open == []


def test_nothing_is_fetched_and_only_the_pages_own_script_may_run(tmp_path):
    picture = new_output("display_data", data={"image/png": PIXEL}, metadata={"image/png": {"width": 12, "height": 7}})
    outside = "![far](https://example.org/a.png) ![near](a.png) [link](https://example.org) [bad](javascript:alert(1))"
    page = render("# T", outside, ("x", picture), folder=tmp_path)
    elements = Elements(page).found
    sources = [attributes["src"] for _, attributes in elements if "src" in attributes]
    assert sources == [f"data:image/png;base64,{PIXEL}"]
    assert [attributes["href"] for tag, attributes in elements if tag == "link"] == ["data:,"]
    assert {"iframe", "object", "embed", "base", "form"}.isdisjoint(tag for tag, _ in elements)
    assert "url(" not in page
    assert "@import" not in page
    assert "javascript:" not in page
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [attributes["content"] for _, attributes in elements if "http-equiv" in attributes]
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_text_out_of_an_image_is_shown_and_not_obeyed():
    table = pd.DataFrame({"name": [HOSTILE], "status": [HOSTILE], "layer_digest": [HOSTILE]})
    facts = dict.fromkeys(("image", "reference", "manifest_digest", "os", "distro_name"), HOSTILE)
    page = render(
        f"# T {HOSTILE}",
        f"## H {HOSTILE}\n\nText {HOSTILE}\n\n<script>alert(2)</script>",
        ("x", displayed(show(table, caption=HOSTILE)), displayed(note("{a}", a=HOSTILE))),
        ("y", new_output("stream", text=HOSTILE), new_output("display_data", data={"text/plain": HOSTILE})),
        (f"# {HOSTILE}",),
        page=Page(images=[facts], gaps=[HOSTILE], notebook=HOSTILE),
    )
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page
    assert '<dd class="mono">&lt;script&gt;alert(1)&lt;/script&gt;</dd>' in page
    assert "<li>&lt;script&gt;alert(1)&lt;/script&gt;</li>" in page
    assert "<caption>&lt;script&gt;alert(1)&lt;/script&gt;</caption>" in page
    assert Elements(page).open == []


def test_the_title_block_names_each_image_with_its_digests_and_what_is_not_stated():
    facts = {"image": "full", "reference": "docker:app:1", "config_digest": "sha256:" + "0f" * 32, "os": "linux"}
    page = render("# T", page=Page(images=[facts | {"architecture": "arm64"}, {"image": "minimal"}]))
    block = page[page.index("<header") : page.index("</header>")]
    assert re.findall(r"<dt>(.*?)</dt><dd.*?>(.*?)</dd>", block)[:6] == [
        ("Reference", "docker:app:1"),
        ("Manifest digest", '<span class="not-stated">not stated</span>'),
        ("Config digest", "sha256:" + "0f" * 32),
        ("Platform", "linux/arm64"),
        ("Distribution", '<span class="not-stated">not stated</span>'),
        ("Created", '<span class="not-stated">not stated</span>'),
    ]
    assert re.findall(r"<h2>(.*?)</h2>", block) == ["full", "minimal"]
    assert "<h2>Full image</h2>" in render("# T", page=Page(images=[facts | {"role": "full"}]))


@pytest.mark.parametrize(
    ("is_damaged", "heading"), [(True, "Something could not be read"), (False, "What is not known")]
)
def test_what_is_not_known_stands_before_the_report(is_damaged, heading):
    page = render("# T", page=Page(gaps=["full: <b>"], is_damaged=is_damaged))
    assert page.index(heading) < page.index("<li>full: &lt;b&gt;</li>") < page.index("<main")
    assert heading not in render("# T")


def test_what_is_missing_reads_unknown_and_a_status_is_a_word():
    table = pd.DataFrame({"status": ["damaged"], "package_count": pd.array([None], dtype="Int64")})
    page = body(render("# T", ("x", displayed(show(table)))))
    assert '<td class="unknown" data-sort="">unknown</td>' in page
    assert '<td class="word"><span class="badge badge-damaged">damaged</span></td>' in page


def test_a_table_scrolls_in_a_region_that_has_a_name():
    named = body(render("# T", "## Sizes", ("x", displayed(show(pd.DataFrame({"a": [1]}), caption="Layers & more")))))
    assert '<div class="scroll" role="region" aria-label="Table: Layers &amp; more" tabindex="0">' in named
    unnamed = body(render("# T", "## Sizes", ("x", displayed(show(pd.DataFrame({"a": [1]}))))))
    assert '<div class="scroll" role="region" aria-label="Table: Sizes" tabindex="0">' in unnamed


def test_a_chart_is_named_for_its_section_and_keeps_its_size():
    picture = new_output("display_data", data={"image/png": PIXEL}, metadata={"image/png": {"width": 12, "height": 7}})
    page = body(render("# T", "## Where are the *bytes*?", ("x", picture)))
    assert f'<img alt="Chart: Where are the bytes?" width="12" height="7" src="data:image/png;base64,{PIXEL}">' in page


def test_a_dollar_is_no_formula_and_a_picture_beside_the_notebook_is_inside_the_page(tmp_path):
    (tmp_path / "dot.png").write_bytes(base64.b64decode(PIXEL))
    page = body(render("# T", "PATH=$A:**$B** ![dot](dot.png)", folder=tmp_path))
    assert "PATH=$A:<strong>$B</strong>" in page
    assert f'src="data:image/png;base64,{PIXEL}" alt="dot"' in page


def test_standard_error_is_shown_without_the_codes_of_a_terminal():
    output = new_output("stream", name="stderr", text="\x1b[31mwarned\x1b[0m\n")
    assert '<div class="stream stderr"><pre>warned\n</pre></div>' in body(render("# T", ("x", output)))


def test_a_page_without_any_heading_is_called_after_its_notebook():
    assert "<title>sizes</title>" in render("Text", page=Page(notebook="sizes"))


def tagged(source, *outputs):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": ["title-page"]})


def test_what_a_cell_tagged_for_the_title_page_shows_stands_in_both_places():
    cells = [new_markdown_cell("# T\n\n## Verdict"), tagged("x", displayed(note("Half as *large*.")))]
    page = render_html(new_notebook(cells=cells), Page(), folder=".")
    block = page[page.index("<header") : page.index("</header>")]
    assert "<p>Half as <em>large</em>.</p>" in block
    assert "<p>Half as <em>large</em>.</p>" in body(page)


def test_the_title_page_says_when_the_images_were_examined_and_by_what_they_were_judged():
    page = render("# T", page=Page(made={"started_utc": "2025-01-31T00:00:00Z"}, facts=[("Policy", "<default>")]))
    block = page[page.index("<header") : page.index("</header>")]
    assert "<dt>Examined</dt><dd>2025-01-31T00:00:00Z</dd>" in block
    assert '<dt>Policy</dt><dd class="digest">&lt;default&gt;</dd>' in block


def test_annexes_stand_at_the_end_by_their_letter_with_every_row():
    table = show(pd.DataFrame({"name": [f"p{number}" for number in range(40)] + [HOSTILE]}), rows=None)
    annex = Annex(title="All packages", text="Every package. 41 rows.", table=table)
    page = render("# T", "## One", page=Page(annexes=[annex, annex]))
    assert '<li><a href="#annex-b"><span class="letter">B</span> <span>All packages</span></a></li>' in page
    end = page[page.index('<h2 id="annex-a">') : page.index('<h2 id="annex-b">')]
    assert [f">p{number}<" in end for number in range(40)] == [True] * 40
    assert page.count("<script") == 1
    assert Elements(page).open == []


def test_the_page_says_how_it_was_made():
    made = {
        "tool": {"name": "audit-lib", "version": "9.9", "commit": "c0ffee"},
        "parameters": {"image": "docker:app:1", "platform": None},
        "python": "3.11.7",
        "libraries": {"pandas": "3.1.1"},
    }
    page = render("# T", page=Page(made=made, notebook="sizes"))
    end = page[page.index('<h2 id="how-made">') :]
    for said in ("c0ffee", ">sizes<", ">docker:app:1<", ">Python<", ">3.11.7<", ">pandas<", ">3.1.1<"):
        assert said in end
    assert '<td class="text short">platform</td><td class="text short">—</td>' in end


def test_a_notebooks_own_headings_never_take_the_places_of_the_page():
    page = render("# T", "## Report", "## Annex A", "## How made", page=Page(annexes=[], gaps=["x"]))
    ids = [attributes["id"] for _, attributes in Elements(page).found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_both_copies_of_the_dark_colours_are_the_same():
    style = re.search(r"<style>(.*?)</style>", render("# T"), re.DOTALL)[1]
    first, second = re.findall(r"color-scheme: dark;\s*(--page.*?)\}", style, re.DOTALL)
    assert first.split() == second.split()
