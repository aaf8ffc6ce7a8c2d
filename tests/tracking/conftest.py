"""One real SQLite store for all tests of a session: a fresh one takes seconds to make."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from blurr.tracking.run import MLflowTracker
from blurr.tracking.store import connect


def pytest_configure(config):
    # MLflow's models use a loader strategy that SQLAlchemy 2.1 deprecates; raised once, when the store is imported.
    config.addinivalue_line("filterwarnings", "ignore:The ``noload`` loader strategy:DeprecationWarning")
    # fastai 2.8 scripts its activation functions when it is imported; torch 2.14 deprecates that.
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit.script` is deprecated:FutureWarning")
    # fastai 2.8 sets a pandas option that pandas 3 deprecates.
    config.addinivalue_line("filterwarnings", "ignore:The 'mode.chained_assignment' option:DeprecationWarning")


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('a store')}/mlflow.db"
    connect(uri, "blurr")
    return uri


@pytest.fixture
def tracker(store_uri, request) -> MLflowTracker:
    return MLflowTracker(uri=store_uri, experiment=request.node.name)


@pytest.fixture
def client(store_uri) -> MlflowClient:
    return MlflowClient(tracking_uri=store_uri)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "output"
