"""The site as a reader sees it: opened from a disk without a network, light and dark, wide and on a phone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import NARROW, SIDEWAYS, WIDE, chromium, opened
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
PAGES = [
    *("index.html", "start.html", "notebook.html", "tasks/question_answering.html", "how-to/own_parts.html"),
    *("reference/options/schedule.html", "reference/metrics.html", "reference/commands.html", "results/index.html"),
    *("reference/api/models.html", "reference/messages.html", "speed.html"),
    *("tutorials/index.html", "tutorials/question_answering.html", "tutorials/sounds.html"),
    *("explanation/security.html", "reference/run_folder.html", "changelog.html"),
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(words, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_by_everybody(name: str, scheme: str, site: Path, browser: Browser):
    # axe itself writes to the console
    with browser.new_context(viewport=WIDE, color_scheme=scheme, offline=True) as context:
        page = context.new_page()
        page.goto(f"file://{site}/{name}")
        page.wait_for_selector("[aria-label=Search]", state="attached")
        found = Axe().run(page).response["violations"]
        wrong = [each for each in found if each["impact"] in ("serious", "critical") or each["id"] == "heading-order"]
        assert [(each["id"], each["nodes"][0]["html"][:120]) for each in wrong] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(name: str, site: Path, browser: Browser):
    with opened(browser, f"file://{site}/{name}", NARROW, offline=True) as page:
        assert page.evaluate(SIDEWAYS) == []


def test_no_page_loads_anything_from_elsewhere(site: Path):
    loaded = ('src="http', "src='http", 'stylesheet" href="http', "@import url(http")
    pages = {file.relative_to(site).as_posix(): file.read_text(encoding="utf-8") for file in site.rglob("*.html")}
    assert [name for name, text in pages.items() if any(each in text for each in loaded)] == []


@pytest.mark.parametrize("words", ["early stopping", "schedule.epochs", "has no column"])
def test_the_search_works_from_a_disk(words: str, site: Path, browser: Browser):
    with opened(browser, f"file://{site}/index.html", WIDE, offline=True) as page:
        page.click("input.md-search__input")
        page.keyboard.type(words, delay=20)
        page.wait_for_selector(".md-search-result__item")
