"""The report and the index of reports in a browser: headless Chromium opens them; mouse, keyboard and axe-core go over them."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from audit_lib.exports.annexes import Annex
from audit_lib.exports.html import Page, render_html
from audit_lib.exports.index import Entry, index_html, index_of
from audit_lib.exports.show import note, show, show_facts
from tests.real_images import CACHE
from tests.tools import tool, unavailable

AXE = "4.14.1"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
STATUSES = [
    "pass",
    "fail",
    "waived",
    "manual",
    "not_assessable",
    "critical",
    "high",
    "absent",
    "read",
    "removed",
    "kept",
]


def table(rows):
    return pd.DataFrame(
        {
            "name": [f"package-{number * 7 % rows}" for number in range(rows)],
            "file_bytes": pd.array([number * 1000 if number % 5 else None for number in range(rows)], dtype="Int64"),
            "status": [STATUSES[number % len(STATUSES)] for number in range(rows)],
            "layer_digest": [f"sha256:{number:064x}" for number in range(rows)],
            "detail": ["x" * 200 if number == 3 else None for number in range(rows)],
        }
    )


def displayed(value):
    data = value._repr_mimebundle_() if hasattr(value, "_repr_mimebundle_") else {"text/markdown": value.markdown}
    return new_output("display_data", data=data)


def page_of(rows=40):
    picture = new_output(
        "display_data", data={"image/png": PIXEL}, metadata={"image/png": {"width": 500, "height": 200}}
    )
    facts = pd.DataFrame({"role": ["full", "minimal"], "os": ["linux", None], "file_bytes": [2048, 0]})
    title = new_code_cell("x", outputs=[displayed(note("Half as large."))], metadata={"tags": ["title-page"]})
    cells = [
        new_markdown_cell("# What is gained?\n\nThis counts.\n\n## What was read?"),
        new_code_cell("facts", outputs=[displayed(show_facts(facts, by="role")), title.outputs[0]]),
        title,
        new_markdown_cell("## Which packages?\n\n### Layers\n\n| a | b |\n|-|-|\n| c | d |"),
        new_code_cell("packages", outputs=[displayed(show(table(rows), rows=None, caption="Packages")), picture]),
        new_code_cell(
            "few = " + "few + " * 60 + "1",
            outputs=[displayed(show(table(4).head(0))), new_output("stream", name="stderr", text="w")],
        ),
    ]
    image = {"image": "full", "role": "full", "reference": "docker:app:1", "manifest_digest": "sha256:" + "0f" * 32}
    annex = Annex(
        title="All packages", text="Every package.", table=show(table(rows), rows=None, caption="All packages")
    )
    stated = Page(
        images=[image, image | {"role": "minimal"}],
        gaps=["something is not known"],
        facts=[("Policy", "default")],
        annexes=[annex],
        made={"started_utc": "2025-01-31T00:00:00Z", "parameters": {"top_n": 3}, "libraries": {"pandas": "3"}},
        notebook="sizes",
    )
    return render_html(new_notebook(cells=cells), stated, folder=Path())


@pytest.fixture(scope="module")
def chromium():
    """Start Debian's Chromium without a network: every host name is unknown to it."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(tool("chromium"))
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=str(tool("chromedriver", "chromium-driver")))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium, tmp_path):
    """Open the report from disk, 1280 pixels wide."""
    return open_page(chromium, tmp_path, page_of())


@pytest.fixture(scope="session")
def axe():
    """Return the script of axe-core, from the npm registry once."""
    script = CACHE / f"axe-core-{AXE}" / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        command = [tool("npm"), "install", "--no-save", "--prefix", str(script.parents[2]), f"axe-core@{AXE}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            unavailable(f"axe-core cannot be had from the npm registry: {done.stderr.strip().splitlines()[-1]}")
    return script.read_text(encoding="utf-8")


def open_page(driver, folder, page, *, width=1280):
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    choose(driver, "light")
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(path.as_uri())
    return driver


def choose(driver, colours):
    """Ask for light or dark colours, and for no smooth scrolling, under which a click would come too early."""
    wanted = {"prefers-color-scheme": colours, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def the_table(driver, caption="Packages"):
    return driver.find_element(By.XPATH, f"//div[contains(@class, 'table')][.//caption[text()='{caption}']]")


def column(frame, number):
    rows = frame.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.find_elements(By.TAG_NAME, "td")[number].text for row in rows if row.is_displayed()]


def test_it_opens_from_disk_without_a_request_and_without_an_error(opened):
    assert opened.title == "What is gained?"
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"}
    assert {url.partition(":")[0] for url in asked} == {"file", "data"}
    assert [url for url in asked if url.startswith("file:") and not url.endswith("/report.html")] == []


def test_a_head_sorts_by_mouse_up_down_and_back_with_unknown_last(opened):
    frame = the_table(opened)
    before = column(frame, 0)
    button = frame.find_element(By.XPATH, ".//th[normalize-space()='File bytes']/button")
    head = button.find_element(By.XPATH, "..")
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(frame, 1)[:2] == ["38.1 KiB", "37.1 KiB"]
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(frame, 1)[:2] == ["1,000 B", "2.0 KiB"]
    frame.find_element(By.CSS_SELECTOR, ".more button").click()
    assert column(frame, 1)[-8:] == ["unknown"] * 8
    frame.find_element(By.CSS_SELECTOR, ".more button").click()
    button.click()
    assert head.get_attribute("aria-sort") is None
    assert column(frame, 0) == before


def test_names_sort_by_the_numbers_in_them_and_by_keyboard(opened):
    frame = the_table(opened)
    name = frame.find_element(By.XPATH, ".//th[normalize-space()='Name']/button")
    opened.execute_script("arguments[0].focus()", frame.find_element(By.TAG_NAME, "input"))
    ActionChains(opened).send_keys(Keys.TAB, Keys.TAB, Keys.ENTER).perform()
    assert opened.switch_to.active_element == name
    assert column(frame, 0)[:11] == [f"package-{number}" for number in range(11)]
    outline = name.value_of_css_property("outline-style"), name.value_of_css_property("outline-width")
    assert outline == ("solid", "3px")
    ActionChains(opened).send_keys(Keys.SPACE).perform()
    assert column(frame, 0)[0] == "package-39"


def test_rows_are_filtered_by_every_word_also_by_what_stands_beside_a_short_digest(opened):
    frame = the_table(opened)
    field = frame.find_element(By.TAG_NAME, "input")
    status = frame.find_element(By.CSS_SELECTOR, "[role=status]")
    assert opened.execute_script("return arguments[0].labels[0].textContent", field) == "Filter rows"
    field.send_keys("PACKAGE-3 pass")
    assert column(frame, 0) == ["package-37", "package-34", "package-31"]
    assert status.text == "3 of 40 rows"
    field.clear()
    field.send_keys("0000000027")
    assert column(frame, 0) == ["package-33"]
    field.clear()
    field.send_keys("x", Keys.BACKSPACE)
    assert status.text == "40 rows"


def test_a_long_table_is_folded_and_unfolds_by_mouse_and_keyboard(opened):
    frame = the_table(opened)
    button = frame.find_element(By.CSS_SELECTOR, ".more button")
    assert (len(column(frame, 0)), button.text, button.get_attribute("aria-expanded")) == (
        15,
        "Show all 40 rows",
        "false",
    )
    button.click()
    assert (len(column(frame, 0)), button.get_attribute("aria-expanded")) == (40, "true")
    button.send_keys(Keys.ENTER)
    assert len(column(frame, 0)) == 15


def test_a_long_text_and_the_code_unfold_by_keyboard(opened):
    summary = the_table(opened).find_element(By.TAG_NAME, "summary")
    summary.send_keys(Keys.ENTER)
    assert the_table(opened).find_element(By.TAG_NAME, "details").get_attribute("open") == "true"
    switch = opened.find_element(By.CLASS_NAME, "show-code")
    switch.send_keys(Keys.SPACE)
    assert switch.get_attribute("aria-pressed") == "true"
    assert all(code.get_attribute("open") for code in opened.find_elements(By.CSS_SELECTOR, "details.code"))


def test_the_first_stop_of_the_keyboard_leads_past_the_contents(opened):
    ActionChains(opened).send_keys(Keys.TAB).perform()
    assert opened.switch_to.active_element.text == "Skip to the report"
    ActionChains(opened).send_keys(Keys.ENTER).perform()
    assert opened.switch_to.active_element.get_attribute("id") == "report"


def test_colours_follow_the_system_until_they_are_chosen(opened):
    def page():
        return opened.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")

    light = page()
    choose(opened, "dark")
    dark = page()
    assert dark != light
    button = opened.find_element(By.CLASS_NAME, "theme")
    seen = []
    for _ in range(3):
        button.click()
        seen.append((button.text, page()))
    assert seen == [("Colours: light", light), ("Colours: dark", dark), ("Colours: as the system", dark)]


def test_without_scripts_every_row_is_there_to_read(chromium, tmp_path):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver = open_page(chromium, tmp_path, page_of())
        rows = the_table(driver).find_elements(By.CSS_SELECTOR, "tbody tr")
        assert [row.is_displayed() for row in rows] == [True] * 40
        assert [one.is_displayed() for one in driver.find_elements(By.CSS_SELECTOR, ".theme, .show-code")] == [
            False,
            False,
        ]
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("width", [390, 1280])
def test_only_tables_scroll_sideways(chromium, tmp_path, width):
    driver = open_page(chromium, tmp_path, page_of(), width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_a_table_of_three_thousand_rows_stays_quick(chromium, tmp_path):
    driver = open_page(chromium, tmp_path, page_of(rows=3000))
    frame = the_table(driver)
    begun = time.monotonic()
    driver.execute_script(
        """const [frame] = arguments;
        frame.querySelector("th button").click();
        const input = frame.querySelector("input");
        for (const text of ["p", "pa", "package-29"]) { input.value = text; input.dispatchEvent(new Event("input")); }
        frame.offsetHeight;""",
        frame,
    )
    # A tenth of this on an idle machine.
    assert time.monotonic() - begun < 5
    assert frame.find_element(By.CSS_SELECTOR, "[role=status]").text == "111 of 3000 rows"


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault_that_keeps_anybody_from_reading(chromium, tmp_path, axe, width, colours):
    driver = open_page(chromium, tmp_path, page_of(), width=width)
    choose(driver, colours)
    for folded in driver.find_elements(By.CSS_SELECTOR, "details:not([open])"):
        driver.execute_script("arguments[0].open = true", folded)
    faults = axe_faults(driver, axe)
    assert [fault for fault in faults if fault["impact"] in {"moderate", "serious", "critical"}] == []


def axe_faults(driver, axe):
    driver.execute_script(axe)
    found = driver.execute_async_script("axe.run(document).then((found) => arguments[0](found.violations));")
    return [
        {"id": one["id"], "impact": one["impact"], "nodes": [node["html"][:200] for node in one["nodes"]][:5]}
        for one in found
    ]


def test_a_table_shown_in_a_notebook_sorts_without_the_page(chromium, tmp_path):
    one = show(table(12), rows=None)
    driver = open_page(chromium, tmp_path, f"<!doctype html><meta charset=utf-8>{one._repr_html_()}{one._repr_html_()}")
    frame = driver.find_elements(By.CLASS_NAME, "audit-table")[1]
    button = frame.find_element(By.XPATH, ".//th[normalize-space()='Name']/button")
    button.send_keys(Keys.ENTER)
    assert column(frame, 0)[:3] == ["package-0", "package-1", "package-2"]
    assert button.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    assert len(frame.find_elements(By.TAG_NAME, "button")) == 5
    assert driver.get_log("browser") == []


# the index of reports


def index_page():
    """Return the page of ten audits: one is gone, one failed its gate, one is a pair; two runs are known of each but the first."""
    states = ["failed", "gate_failed", "unchanged", *["done"] * 7]
    entries = [
        Entry(
            name=f"web-{number}",
            status=status,
            said="<b>no answer</b>" if status == "failed" else None,
            report=None if status == "failed" else f"web-{number}/20260102T020000Z/report.html",
            reports=[] if status == "failed" else [f"web-{number}/2026010{day}T020000Z/report.html" for day in (2, 1)],
            judged="minimal" if number == 9 else "image",
            images={"full": "docker:full", "minimal": "docker:web-9"}
            if number == 9
            else {"image": f"docker:web-{number}"},
        )
        for number, status in enumerate(states)
    ]
    rows = [
        {
            "audit": f"web-{number}",
            "image": f"docker:web-{number}",
            "run_utc": f"2026-01-0{day}T02:00:00Z",
            "image_digest": f"sha256:{number:064x}",
            "package_count": 10 * number + day,
            "file_bytes": None if number == 4 else 1024 * 1024 * (10 - number),
            "failed_check_count": number % 3,
            "vulnerability_count": None,
        }
        for number in range(1, 10)
        for day in (1, 2)
    ]
    counts = dict.fromkeys(["package_count", "file_bytes", "failed_check_count", "vulnerability_count"], "Int64")
    runs = pd.DataFrame(rows).astype(counts)
    return index_html(index_of(entries, runs, title="Audits", run_utc="2026-01-02T02:00:00Z"))


@pytest.fixture
def index(chromium, tmp_path):
    """Open the index from disk, 1280 pixels wide."""
    return open_page(chromium, tmp_path, index_page())


def shown(driver):
    rows = driver.find_elements(By.CSS_SELECTOR, "main tbody tr")
    return [row.find_element(By.CLASS_NAME, "name").text for row in rows if row.is_displayed()]


def test_the_index_opens_from_disk_without_a_request_and_without_an_error(index):
    assert len(shown(index)) == 10
    assert index.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in index.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"}
    assert [url for url in asked if not url.startswith("data:") and not url.endswith("/report.html")] == []
    assert "<b>no answer</b>" in index.find_element(By.TAG_NAME, "main").text


def test_the_index_is_searched_by_name_status_and_whole_digest(index):
    field = index.find_element(By.CSS_SELECTOR, "input[type=search]")
    assert index.execute_script("return arguments[0].labels[0].textContent.trim()", field) == "Search"
    field.send_keys("WEB-3")
    assert shown(index) == ["web-3"]
    assert index.find_element(By.CLASS_NAME, "shown").text == "1 of 10 audits"
    field.clear()
    field.send_keys(f"{7:064x}")
    assert shown(index) == ["web-7"]
    field.clear()
    field.send_keys("nowhere")
    assert shown(index) == []
    assert index.find_element(By.CLASS_NAME, "nothing").is_displayed()
    field.clear()
    field.send_keys("x", Keys.BACKSPACE)
    assert len(shown(index)) == 10


def test_the_index_shows_only_the_statuses_that_are_pressed(index):
    buttons = {one.get_attribute("data-status"): one for one in index.find_elements(By.CSS_SELECTOR, ".filters button")}
    assert [one.text for one in buttons.values()] == ["failed 1", "gate failed 1", "done 7", "unchanged 1"]
    buttons["failed"].click()
    assert shown(index) == ["web-0"]
    buttons["gate_failed"].send_keys(Keys.SPACE)
    assert shown(index) == ["web-0", "web-1"]
    buttons["failed"].send_keys(Keys.ENTER)
    assert shown(index) == ["web-1"]
    assert buttons["gate_failed"].get_attribute("aria-pressed") == "true"


def test_the_index_sorts_by_mouse_and_by_keyboard_with_unknown_last(index):
    by_packages, by_bytes = (
        index.find_element(By.XPATH, f"//thead//th[normalize-space()='{name}']/button")
        for name in ("Packages", "Files")
    )
    by_packages.click()
    assert shown(index) == [*(f"web-{number}" for number in range(9, 0, -1)), "web-0"]
    by_packages.click()
    assert shown(index)[0] == "web-1"
    assert shown(index)[-1] == "web-0"
    by_bytes.send_keys(Keys.ENTER)
    assert shown(index) == ["web-1", "web-2", "web-3", "web-5", "web-6", "web-7", "web-8", "web-9", "web-0", "web-4"]
    by_bytes.send_keys(Keys.SPACE)
    assert shown(index) == ["web-9", "web-8", "web-7", "web-6", "web-5", "web-3", "web-2", "web-1", "web-0", "web-4"]


def test_the_index_draws_lines_over_time_and_names_them(index):
    lines = index.find_elements(By.CSS_SELECTOR, "main svg")
    labels = [line.get_attribute("aria-label") for line in lines]
    assert labels[:2] == ["11 to 12 in 2 runs", "9.0 MiB to 9.0 MiB in 2 runs"]
    assert len(labels) == 9 + 8 + 9  # of web-4 no bytes are known, of none its vulnerabilities


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault_in_the_index_and_it_does_not_scroll_sideways(chromium, tmp_path, axe, width, colours):
    driver = open_page(chromium, tmp_path, index_page(), width=width)
    choose(driver, colours)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    for folded in driver.find_elements(By.CSS_SELECTOR, "details:not([open])"):
        driver.execute_script("arguments[0].open = true", folded)
    assert [fault for fault in axe_faults(driver, axe) if fault["impact"] in {"moderate", "serious", "critical"}] == []


def test_the_index_sorts_on_a_phone_too(chromium, tmp_path):
    driver = open_page(chromium, tmp_path, index_page(), width=390)
    driver.find_element(By.XPATH, "//thead//th[normalize-space()='Packages']/button").click()
    assert shown(driver)[0] == "web-9"


def test_without_scripts_the_index_is_there_to_read(chromium, tmp_path):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver = open_page(chromium, tmp_path, index_page())
        assert len(shown(driver)) == 10
        assert not driver.find_element(By.CLASS_NAME, "tools").is_displayed()
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
