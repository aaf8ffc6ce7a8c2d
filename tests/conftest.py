"""What every test stands on: no network, no telemetry, one thread, and ways to call the command line."""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from forked import Forked, door

if TYPE_CHECKING:
    import pandas as pd

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts jobs in the background so
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["BLURR_CACHE"] = tempfile.mkdtemp(prefix="blurr-cache-")  # every process of the tests its own
atexit.register(shutil.rmtree, os.environ["BLURR_CACHE"], ignore_errors=True)

Blurr = Callable[..., Forked]
Answer = Callable[..., str]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def blurr(work: Path) -> Blurr:
    """Call `blurr` with these words in a process of its own, in the empty folder."""

    def call(*words: str, **environment: str) -> Forked:
        process = Forked(door, "blurr.cli", *words, cwd=work, **environment)
        process.wait()
        return process

    return call


@pytest.fixture
def answer(work: Path) -> Answer:
    """Compose and check a command line in this process, in the empty folder; return the answer to its mistake."""
    from blurr.config import composing, explain
    from blurr.data import checks
    from blurr.errors import InputError

    def ask(*overrides: str) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # any exception must have an answer
            checks.check(composing.compose(overrides))
        mistake = explain.answer_to(caught.value)
        if not isinstance(mistake, InputError):
            raise caught.value
        return str(mistake)

    return ask


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One real SQLite store for all tests of a session: a fresh one takes seconds to make."""
    from blurr.tracking.store import connect

    uri = f"sqlite:///{tmp_path_factory.mktemp('a store')}/mlflow.db"
    connect(uri, "blurr")
    return uri


@pytest.fixture
def client(store_uri: str):
    """MLflow's own client, on that store."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store_uri)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, as a local checkpoint."""
    from checkpoints import make_tiny_bert

    return make_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def wide_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights and more rows in its embedding than any text reads, as a local checkpoint."""
    from checkpoints import make_wide_bert

    return make_wide_bert(tmp_path_factory.mktemp("wide-bert"))


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART of one layer each with random weights, as a local checkpoint."""
    from checkpoints import make_tiny_bart

    return make_tiny_bart(tmp_path_factory.mktemp("tiny-bart"))


@pytest.fixture
def reviews() -> "pd.DataFrame":
    """Forty rows of two classes, the last ten for validation."""
    import pandas as pd
    from checkpoints import BAD, GOOD

    words = [(GOOD if i % 2 else BAD)[i // 2 % 4] for i in range(40)]
    return pd.DataFrame(
        {
            "text": [f"the film was {word}" + " and it is a plot" * (i % 3) for i, word in enumerate(words)],
            "label": ["good" if i % 2 else "bad" for i in range(40)],
            "is_valid": [i >= 30 for i in range(40)],
        }
    )


@pytest.fixture
def notes() -> "pd.DataFrame":
    """Twenty texts with summaries, a quarter of them for validation."""
    import pandas as pd
    from checkpoints import BAD, GOOD

    words = [(GOOD + BAD)[i % 8] for i in range(20)]
    return pd.DataFrame(
        {
            "text": [f"the film was {word} and it is a plot" + " ." * (i % 4) for i, word in enumerate(words)],
            "summary": [f"{word} film" for word in words],
            "is_valid": [i % 4 == 0 for i in range(20)],
        }
    )
