"""One rule says which MLflow store, experiment and registry are meant, for every command and in a notebook."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from blurr.config import store
from blurr.errors import BlurrError, InputError
from blurr.reproduce import reproduce
from blurr.runs import resume
from blurr.serve.model_folder import model_folder
from blurr.tracking.finding import find_run, record_of
from blurr.tracking.trackers import MLflowTracker, tracked_run


@pytest.fixture
def environment(monkeypatch):
    """Nothing of MLflow in the environment but what a test sets."""
    for name in (store.URI, store.EXPERIMENT, store.REGISTRY, *store.IGNORED):
        monkeypatch.delenv(name, raising=False)
    store.say_ignored.cache_clear()
    return monkeypatch


def test_what_is_said_comes_before_the_environment_and_that_before_the_file_in_the_launch_folder(environment):
    assert (store.store_uri(), store.experiment_name()) == ("sqlite:///mlflow.db", "blurr")
    environment.setenv(store.URI, "")  # empty counts as not set, as it does for MLflow
    assert store.store_uri() == "sqlite:///mlflow.db"
    environment.setenv(store.URI, "http://there")
    environment.setenv(store.EXPERIMENT, "films")
    assert (store.store_uri(), store.experiment_name()) == ("http://there", "films")
    assert (store.store_uri("http://here"), store.experiment_name("books")) == ("http://here", "books")
    assert store.registry_uri("http://there") == "http://there"
    environment.setenv(store.REGISTRY, "http://models")
    assert store.registry_uri("http://there") == "http://models"


def test_a_run_is_recorded_where_the_environment_says_and_found_there_by_every_command(
    environment, work, store_uri, client
):
    environment.setenv(store.URI, store_uri)
    environment.setenv(store.EXPERIMENT, "named by the environment")
    folder = work / "outputs" / "run"
    with tracked_run(MLflowTracker(), folder=folder, config={"seed": 1}, overrides=["seed=1"], tags={}) as run:
        pass
    found = client.get_run(run.id)
    assert client.get_experiment(found.info.experiment_id).name == "named by the environment"
    assert find_run(run.id) == folder
    assert "seed=1" in resume.expand([f"resume={run.id}"], find_run)
    folder.rename(work / "elsewhere")
    with record_of(run.id) as record:  # as `blurr reproduce` reads it
        assert record.config == {"seed": 1}
    with pytest.raises(InputError, match="has no file|cannot give"):
        model_folder(run.id)
    assert not (work / "mlflow.db").exists()
    environment.delenv(store.URI)
    with pytest.raises(InputError, match=r"A run goes on in the store that it was begun in: tracking\.uri=… or MLFLOW"):
        MLflowTracker().open(run_id=run.id)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: tracked_run(MLflowTracker(), folder=Path("run"), config={}, overrides=[], tags={}).__enter__(),
        lambda: MLflowTracker().find("a1"),
        lambda: MLflowTracker().prepare(),
        lambda: find_run("a" * 32),
        lambda: reproduce("a" * 32),
        lambda: model_folder("a" * 32),
    ],
    ids=["run", "resume", "sweep", "report", "reproduce", "predict"],
)
def test_an_address_of_the_environment_that_cannot_be_used_is_named_as_such(environment, work, ask):
    environment.setenv(store.URI, "./mlruns")
    with pytest.raises(InputError, match=r"^MLFLOW_TRACKING_URI=\./mlruns is not an address"):
        ask()


def test_variables_that_have_no_effect_are_named_once(environment, caplog, tmp_path, store_uri):
    environment.setenv("MLFLOW_RUN_ID", "a" * 32)
    environment.setenv("MLFLOW_EXPERIMENT_ID", "0")
    for name in ("1", "2"):
        with tracked_run(MLflowTracker(store_uri), folder=tmp_path / name, config={}, overrides=[], tags={}):
            pass
    said = [record.getMessage() for record in caplog.records if "ignores it" in record.getMessage()]
    assert [line.split()[0] for line in said] == ["MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"]
    assert "resume=<its id>" in said[0]


@pytest.mark.parametrize(
    ("variables", "sent"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "it"}, "Basic bWU6aXQ="),
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc"),
    ],
    ids=["password", "token"],
)
def test_a_user_or_a_token_of_the_environment_is_sent_by_every_command(environment, work, variables, sent):
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_error(403)

        do_POST = do_GET  # noqa: N815  # as http.server calls it

        def log_message(self, *words) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    environment.setenv(store.URI, f"http://127.0.0.1:{server.server_port}")
    for name, value in variables.items():
        environment.setenv(name, value)
    asked = (
        lambda: tracked_run(MLflowTracker(), folder=Path("run"), config={}, overrides=[], tags={}).__enter__(),
        lambda: find_run("a" * 32),
        lambda: model_folder("a" * 32),
    )
    for number, ask in enumerate(asked, 1):
        with pytest.raises(BlurrError, match=r"MLFLOW_TRACKING_URI=http|MLflow at http"):
            ask()
        assert len(seen) >= number
    server.shutdown()
    server.server_close()
    assert set(seen) == {sent}
