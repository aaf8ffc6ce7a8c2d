"""What the tests of tracking share."""

from pathlib import Path

import pytest

from blurr.tracking.trackers import MLflowTracker


@pytest.fixture
def tracker(store_uri: str, request: pytest.FixtureRequest) -> MLflowTracker:
    return MLflowTracker(uri=store_uri, experiment=request.node.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "output"
