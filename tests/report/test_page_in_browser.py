"""A report in a browser: readable on a phone and in the dark, with names for what is drawn."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import NARROW, WIDE, chromium, faults, opened
from PIL import Image
from playwright.sync_api import Browser, expect

from blurr.report.changes import write_comparison
from blurr.report.overview import command
from blurr.report.page import write_report
from blurr.runs.record import Record
from blurr.vision.looks import preview_of

from .conftest import FACTS, ROWS, write_lines

CORE = ("classes",)  # drawing takes long


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def wordy(folder: Path) -> Record:
    """Give a run a long command and long labels, which are not to make its page wider."""
    long = "data.train=" + "/a/long/path" * 20
    (folder / "overrides.yaml").write_text(json.dumps(["model=bert", long]))
    (folder / "facts.json").write_text(json.dumps({**FACTS, "source": "x" * 200}))
    return Record(folder)


@pytest.mark.parametrize(
    "kind", [kind if kind in CORE else pytest.param(kind, marks=pytest.mark.slow) for kind in ROWS]
)
def test_a_report_can_be_read_by_all_and_everywhere(kind: str, make_run, browser: Browser):
    page_file, _ = write_report(wordy(make_run(kind)))
    with opened(browser, page_file.as_uri()) as page:
        for summary in page.locator("summary").all():
            summary.click()
        assert page.get_by_role("img", name="Loss, Training").count() == 1
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert faults(page) == []


@pytest.mark.usefixtures("undrawn")
def test_sheets_of_pictures_can_be_read_by_all_and_everywhere(make_run, browser: Browser):
    record = wordy(make_run())
    rows = [{"role": "text", "split": "valid", "row": row, "name": f"{'x' * 80}/{row}.png"} for row in range(24)]
    url = preview_of(Image.new("RGB", (28, 28), "teal"))
    near = {"split": "valid", "row": 1, "likeness": 0.999}
    lines = [{**row, "url": url if row["row"] % 7 else None, "near": near} for row in rows]  # some are gone
    write_lines(record.folder / "previews.jsonl", lines)
    page_file, _ = write_report(record)
    with opened(browser, page_file.as_uri()) as page:
        assert page.locator(".sheet img").count() > 20
        assert page.locator(".sheet img").first.bounding_box()["width"] == 84
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert set(faults(page)) <= {"<svg></svg>"}  # which stands for the plots


@pytest.mark.usefixtures("undrawn")
def test_the_command_is_copied_whole(make_run, browser: Browser):
    record = wordy(make_run())
    with opened(browser, write_report(record)[0].as_uri(), permissions=["clipboard-read", "clipboard-write"]) as page:
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == command(record)


@pytest.mark.usefixtures("undrawn")
def test_where_a_browser_lends_no_clipboard_the_command_is_selected(make_run, browser: Browser):
    record = wordy(make_run())
    with opened(browser, write_report(record)[0].as_uri()) as page:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Selected: press Ctrl + C")).to_be_visible()
        assert page.evaluate("getSelection().toString()") == command(record)


@pytest.mark.usefixtures("undrawn")
def test_a_row_of_texts_is_a_card_on_a_phone_with_entities_marked(make_run, browser: Browser):
    with opened(browser, write_report(Record(make_run("entities")))[0].as_uri(), NARROW) as page:
        row = page.locator("section", has_text="Top losses").locator("tbody tr").first
        assert row.locator("td").evaluate_all("all => new Set(all.map(each => each.offsetLeft)).size") == 1
        target, prediction = row.locator("td:has(mark)").all()
        assert target.inner_text() == "Ann Lee PER met Bob PER in Riga LOC today"
        assert prediction.inner_text() == "Ann Lee PER met Bob LOC in Riga today LOC"
        assert prediction.locator("mark.bad").all_inner_texts() == ["Bob LOC", "today LOC"]


def test_a_comparison_of_runs_can_be_read_by_all_and_everywhere(make_run, tmp_path, browser: Browser):
    rows = [{**row, "prediction": row["target"], "text": "a long text " * 40} for row in ROWS["classes"]]
    runs = [Record(make_run(name=name, rows=each)) for name, each in (("a", rows), ("b", ROWS["classes"]))]
    write_comparison(runs, tmp_path / "compare.html")
    with opened(browser, (tmp_path / "compare.html").as_uri()) as page:
        expect(page.get_by_role("heading", name="right in a, wrong in b")).to_be_visible()
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert faults(page) == []
