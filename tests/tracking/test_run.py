"""A tracked run keeps what it was given and what it did, in its folder and in MLflow."""

import json
import math
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import datasets
import pytest
import torch
import yaml

from blurr.data.core import RawData
from blurr.errors import InputError, ResourceError
from blurr.process.signals import Interrupted
from blurr.runs.jsonlines import read_lines
from blurr.tracking import run as run_module
from blurr.tracking.store import request_limits
from blurr.tracking.trackers import MLflowTracker, NoTracker, tracked_run

CONFIG = {
    "task": {"_target_": "blurr.text.mine.Task", "kind": "auto"},
    "optimizer": {"lr": 1e-05, "betas": [0.9, 0.99], "fused": True},
    "data": {"limit": None, "columns": {}},
    "note": "x" * 7000,
}


def run_once(tracker, folder, config=CONFIG, overrides=(), **tags):
    with tracked_run(tracker, folder=folder, config=config, overrides=list(overrides), tags=tags) as run:
        run.log({"train/loss": 0.5}, step=1)
    return run


def history(client, run, key):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.id, key)]


def artifacts(client, run, folder=None):
    return {file.path for file in client.list_artifacts(run.id, folder)}


def test_the_folder_and_mlflow_hold_what_the_run_was_given(tracker, client, folder):
    run = run_once(tracker, folder, overrides=["optimizer.lr=1e-05"], task="demo")
    assert yaml.safe_load((folder / "config.yaml").read_text()) == CONFIG
    assert yaml.safe_load((folder / "overrides.yaml").read_text()) == ["optimizer.lr=1e-05"]
    environment = json.loads((folder / "environment.json").read_text())
    assert {"python", "packages", "platform", "cpu", "memory_gib", "gpu", "git"} <= set(environment)
    assert torch.__version__.startswith(environment["packages"]["torch"])
    assert {"config.yaml", "overrides.yaml", "environment.json"} <= artifacts(client, run)
    data = client.get_run(run.id).data
    assert data.params["optimizer.lr"] == "1e-05"
    assert data.params["optimizer.betas"] == "[0.9, 0.99]"
    assert data.params["optimizer.fused"] == "true"
    assert data.params["data.limit"] == "null"
    assert data.params["data.columns"] == "{}"
    assert len(data.params["note"]) == 6000
    assert data.tags["blurr.task"] == run.tags["blurr.task"] == "demo"
    assert {"blurr.version", "blurr.output_dir", "mlflow.user"} <= set(data.tags)
    assert client.get_run(run.id).info.status == "FINISHED"


def test_more_parameters_than_one_call_takes_all_arrive(tracker, client, folder):
    config = {"group": {f"key_{i}": i for i in range(250)}, "odd key (1)": "x"}
    run = run_once(tracker, folder, config)
    params = client.get_run(run.id).data.params
    assert len(params) == 251
    assert params["odd key _1_"] == "x"


def test_more_metrics_than_one_call_takes_all_arrive_with_their_steps(tracker, client, folder):
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        for step in range(1, 1201):
            run.log({"train/loss": torch.tensor(float(step)), "train/lr": 0.1}, step=step)
    # MLflow's clock has milliseconds, and its history of one millisecond has no order.
    assert sorted(history(client, run, "train/loss")) == [(step, float(step)) for step in range(1, 1201)]
    lines = read_lines(folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 1201))
    assert lines[0]["train/loss"] == 1.0


def test_values_that_are_not_finite_are_strict_json_and_reach_mlflow(tracker, client, folder):
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        run.log({"train/loss": float("nan")}, step=1)
        run.finish({"valid/loss": float("inf")})
    assert math.isnan(history(client, run, "train/loss")[0][1])
    assert math.isnan(float(read_lines(folder / "metrics.jsonl")[0]["train/loss"]))
    assert json.loads((folder / "metrics.json").read_text()) == {"valid/loss": "inf"}


def test_final_scores_are_written_at_the_last_step(tracker, client, folder):
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        run.log({"train/loss": 1.0}, step=7)
        run.finish({"valid/accuracy": torch.tensor(0.5)})
    assert json.loads((folder / "metrics.json").read_text()) == {"valid/accuracy": 0.5}
    assert history(client, run, "valid/accuracy") == [(7, 0.5)]
    assert "metrics.json" in artifacts(client, run)


def test_logging_a_step_neither_reads_tensors_nor_calls_mlflow(folder):
    with tracked_run(NoTracker(), folder=folder, config={}, overrides=[], tags={}) as run:
        start = time.process_time()
        for step in range(10_000):
            run.log({"train/loss": 0.1, "train/lr": 0.1}, step=step)
        seconds = time.process_time() - start
        run.log({"train/loss": torch.tensor(1.0)}, step=10_000)
        assert isinstance(run._rows[-1][2]["train/loss"], torch.Tensor)
    assert seconds / 10_000 < 50e-6  # some microseconds; one MLflow call takes milliseconds


def test_files_and_directories_become_artifacts(tracker, client, folder, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "curve.txt").write_text("1")
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        run.artifact(tmp_path / "model")
        run.artifact(tmp_path / "curve.txt", "plots")
    assert artifacts(client, run, "model") == {"model/config.json"}
    assert artifacts(client, run, "plots") == {"plots/curve.txt"}


def test_a_table_is_a_file_of_lines_and_a_table_in_mlflow(tracker, client, folder):
    rows = [{"text": "fine", "gold": "positive", "loss": 0.25}, {"text": "bad", "gold": "negative", "loss": 0.5}]
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        run.table("predictions", rows)
    assert read_lines(folder / "predictions.jsonl") == rows
    assert json.loads(Path(client.download_artifacts(run.id, "predictions.json")).read_text())["data"] == [
        list(row.values()) for row in rows
    ]
    assert "table" in client.get_run(run.id).data.tags["mlflow.loggedArtifacts"]


def test_of_a_long_table_mlflow_shows_the_first_rows(tracker, client, folder, monkeypatch):
    monkeypatch.setattr(run_module, "MOST_ROWS", 2)
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        run.table("predictions", [{"n": n} for n in range(5)])
    assert len(read_lines(folder / "predictions.jsonl")) == 5
    shown = json.loads(Path(client.download_artifacts(run.id, "predictions.json")).read_text())
    assert shown["data"] == [[0], [1]]


MANY = ", ".join(f"a-long-name-of-part-{i}.csv" for i in range(200))  # too long for the name of one file


@pytest.mark.parametrize("kind", ["generated", "file", "files", "hub"])
def test_the_data_set_is_recorded_with_its_splits_and_fingerprint(kind, tracker, client, folder, tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n")
    source = {"generated": "sample", "file": str(tmp_path / "rows.csv"), "files": MANY, "hub": "hub:imdb"}[kind]
    rows = datasets.Dataset.from_list([{"text": "fine", "label": 1}] * 3)
    raw = RawData(datasets.DatasetDict(train=rows, valid=rows.select([0])), label_names=None, source=source)
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        run.dataset(raw)
    inputs = client.get_run(run.id).inputs.dataset_inputs
    assert {input.dataset.name for input in inputs} == {f"{source} {split}"[-500:] for split in ("train", "valid")}
    assert {input.tags[0].value for input in inputs} == {"training", "validation"}
    assert {input.dataset.digest for input in inputs} == {raw.fingerprint}
    assert {json.loads(input.dataset.profile)["num_rows"] for input in inputs} == {3, 1}
    kinds = {"generated": "code", "file": "local", "files": "code", "hub": "hugging_face"}
    assert kinds[kind] == inputs[0].dataset.source_type


def test_an_exception_fails_the_run_and_leaves_its_reason(tracker, client, folder):
    def fail(run):
        run.log({"train/loss": 1.0}, step=1)
        raise ZeroDivisionError("division by zero")

    with (
        pytest.raises(ZeroDivisionError),
        tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run,
    ):
        fail(run)
    found = client.get_run(run.id)
    assert found.info.status == "FAILED"
    assert found.info.end_time
    assert found.data.tags["blurr.error"] == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in (folder / "error.txt").read_text()
    assert "error.txt" in artifacts(client, run)
    assert history(client, run, "train/loss") == [(1, 1.0)]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (SystemExit(0), "FINISHED"),
        (SystemExit(None), "FINISHED"),
        (SystemExit(3), "FAILED"),
        (Interrupted(15), "KILLED"),
    ],
    ids=["0", "none", "3", "SIGTERM"],
)
def test_the_way_out_decides_the_status(end, status, tracker, client, folder):
    with pytest.raises(SystemExit), tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        raise end
    assert client.get_run(run.id).info.status == status


def test_a_run_id_in_the_environment_does_not_capture_the_run(tracker, client, folder, monkeypatch):
    first = run_once(tracker, folder / "1")
    monkeypatch.setenv("MLFLOW_RUN_ID", first.id)
    second = run_once(tracker, folder / "2")
    assert second.id != first.id
    assert history(client, first, "train/loss") == [(1, 0.5)]


def test_runs_in_one_process_and_in_a_thread_stay_apart(tracker, client, folder):
    runs = []
    thread = threading.Thread(target=lambda: runs.append(run_once(tracker, folder / "thread")))
    thread.start()
    runs.append(run_once(tracker, folder / "main"))
    thread.join()
    assert len({run.id for run in runs}) == 2
    assert [client.get_run(run.id).info.status for run in runs] == ["FINISHED", "FINISHED"]


def test_names_and_tags_are_the_users(store_uri, client, folder):
    tracker = MLflowTracker(uri=store_uri, experiment="names", run_name="first try", tags={"team": "nlp"})
    run = run_once(tracker, folder)
    assert run.name == "first try"
    assert client.get_run(run.id).data.tags["team"] == "nlp"


def test_system_metrics_are_sampled_when_asked_for(store_uri, client, folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    tracker = MLflowTracker(uri=store_uri, experiment="system", system_metrics=True)
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        time.sleep(1)
    assert "system/cpu_utilization_percentage" in client.get_run(run.id).data.metrics


def test_without_mlflow_the_folder_holds_the_same_files(folder):
    with tracked_run(NoTracker(), folder=folder, config=CONFIG, overrides=[], tags={"task": "demo"}) as run:
        run.log({"train/loss": torch.tensor(0.5)}, step=1)
        run.table("predictions", [{"text": "a"}])
        run.artifact(folder)
        run.finish({"valid/loss": 1.0})
    files = {path.name for path in folder.iterdir()} - {"git.diff"}
    assert files == {
        "config.yaml", "overrides.yaml", "environment.json", "metrics.jsonl", "metrics.json", "predictions.jsonl",
        "run.json",
    }  # fmt: skip
    assert (run.id, run.url, run.ui_command) == (None, None, None)


def test_uncommitted_changes_are_kept(tracker, client, folder, tmp_path, monkeypatch):
    def git(*arguments):
        user = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", *user, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)

    git("init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("commit", "-qm", "first")
    (tmp_path / "code.py").write_text("a = 2\n")
    (tmp_path / "new.py").write_text("")
    monkeypatch.chdir(tmp_path)
    run = run_once(tracker, folder)
    assert "+a = 2" in (folder / "git.diff").read_text()
    state = json.loads((folder / "environment.json").read_text())["git"]
    assert state["commit"] == git("rev-parse", "HEAD").stdout.strip()
    assert state["dirty"]
    assert "new.py" in state["untracked"]
    assert client.get_run(run.id).data.tags["mlflow.source.git.commit"] == state["commit"]
    assert "git.diff" in artifacts(client, run)


def test_outside_a_checkout_there_is_no_git_state(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_once(NoTracker(), folder)
    assert json.loads((folder / "environment.json").read_text())["git"] is None
    assert not (folder / "git.diff").exists()


def test_a_deleted_experiment_is_an_input_error(store_uri, client, folder):
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(InputError, match=r"tracking\.experiment=gone was deleted.*mlflow experiments restore"):
        run_once(MLflowTracker(uri=store_uri, experiment="gone"), folder)


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_no_store(uri, folder):
    with pytest.raises(InputError, match=r"not an address that MLflow can keep runs at.*sqlite:///"):
        run_once(MLflowTracker(uri=uri), folder)


def test_an_unknown_kind_of_address_is_an_input_error(folder):
    with pytest.raises(InputError, match=r"MLflow cannot use tracking\.uri=htpp://x"):
        run_once(MLflowTracker(uri="htpp://x"), folder)


def test_a_file_that_is_no_database_is_an_input_error(folder, tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("These are notes, and no database at all.\n" * 50)
    with pytest.raises(InputError, match=r"cannot use tracking\.uri=sqlite:.*notes\.db.*To go on"):
        run_once(MLflowTracker(uri=f"sqlite:///{path}"), folder)


def test_a_server_that_is_not_there_is_a_failure_of_the_service_at_once(folder):
    start = time.monotonic()
    with pytest.raises(ResourceError, match=r"tracking\.uri=http://me:\*\*\*@127\.0\.0\.1:9: .*mlflow server"):
        run_once(MLflowTracker(uri="http://me:hunter2@127.0.0.1:9"), folder)
    assert time.monotonic() - start < 10


@pytest.fixture
def refusing():
    """A server that answers every request with one code."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(self.server.code)

        do_POST = do_GET  # noqa: N815  # as http.server calls it

        def log_message(self, *words) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("code", "kind"), [(401, InputError), (403, InputError), (500, ResourceError)])
def test_a_server_that_refuses_is_told_from_one_that_is_broken(refusing, folder, code, kind):
    refusing.code = code
    with pytest.raises(kind, match=r"MLflow cannot use tracking\.uri=http://127"):
        run_once(MLflowTracker(uri=f"http://127.0.0.1:{refusing.server_port}"), folder)


def test_a_database_without_its_driver_names_the_package(folder):
    with pytest.raises(InputError, match=r"tracking\.uri=postgresql.* needs a package that is not installed"):
        run_once(MLflowTracker(uri="postgresql+pg8000://me@127.0.0.1/x"), folder)


def test_request_limits_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)

    with request_limits(retries=1, seconds=2):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
