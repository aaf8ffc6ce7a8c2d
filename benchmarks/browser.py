"""A Chromium for tests and pictures, driven by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
NONE = (
    "There is no Chromium, which pages are looked at in. Install it: `apt-get install chromium`, or `playwright "
    "install chromium`."
)
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
ALONE = ("--disable-background-networking", "--disable-component-update")


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Run a browser.

    Args:
        flags: of its command line, beside those of all.

    Raises:
        RuntimeError: there is none; says how to install one.
    """
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), own if Path(own).is_file() else None)
        if found is None:
            raise RuntimeError(NONE)
        browser = playwright.chromium.launch(executable_path=found, args=[*QUIET, *ALONE, *flags])
        yield browser
        browser.close()
