"""Tests that look at pages say how to install the browser that they need."""

from pathlib import Path

import pytest
from browser import chromium


def test_where_there_is_no_browser_it_is_said_how_to_install_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("PATH", "PLAYWRIGHT_BROWSERS_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    with (
        pytest.raises(RuntimeError, match=r"There is no Chromium.*apt-get install chromium.*playwright install"),
        chromium(),
    ):
        pass
