"""Signals, parallel first use and a real server, each with real processes."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import psutil
import pytest
from faulty_server import before
from forked import Forked, code
from mlflow import MlflowClient

from blurr.config import paths
from blurr.process.listening import free_port
from blurr.tracking.sync import sync
from blurr.tracking.trackers import MLflowTracker, tracked_run

CHILD = """
import sys, time
from pathlib import Path
from blurr.tracking.trackers import MLflowTracker, tracked_run

uri, folder, seconds = sys.argv[1:]
with tracked_run(MLflowTracker(uri=uri), folder=Path(folder), config={}, overrides=[], tags={}) as run:
    run.log({"train/loss": 0.5}, step=1)
    print(run.id, flush=True)
    time.sleep(float(seconds))
"""


def child(uri, folder, seconds):
    return Forked(code, CHILD, uri, str(folder), str(seconds), cwd=folder.parent)


def in_shell_terms(code):
    return 128 - code if code < 0 else code


@pytest.mark.parametrize(("sent", "left"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
def test_a_stopped_process_leaves_a_killed_run_with_its_values(sent, left, store_uri, client, folder):
    process = child(store_uri, folder, 60)
    while not process.stdout.endswith("\n"):
        assert process.poll() is None, process.stderr
        time.sleep(0.02)
    process.send_signal(sent)
    process.wait(60)
    assert in_shell_terms(process.returncode) == left
    run = client.get_run(process.stdout.strip())
    assert run.info.status == "KILLED"
    assert run.data.metrics["train/loss"] == 0.5
    assert json.loads((folder / "metrics.jsonl").read_text())["train/loss"] == 0.5


def test_the_handler_of_sigterm_is_put_back(tracker, folder):
    before = signal.getsignal(signal.SIGTERM)
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_processes_that_use_a_fresh_store_at_once_all_survive(tmp_path):
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    children = [child(uri, tmp_path / str(i), 0) for i in range(2)]
    outputs = [process.communicate(timeout=120) for process in children]
    assert [process.returncode for process in children] == [0, 0], outputs
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("blurr")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in runs} == {stdout.strip() for stdout, _ in outputs}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not any("alembic" in stderr for _, stderr in outputs)


@pytest.mark.slow
def test_a_kill_between_two_migrations_leaves_no_store_that_is_refused(tmp_path):
    call = "import sys; from blurr.tracking.store import connect; connect(sys.argv[1], 'blurr')"
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    for seconds in (0.5, 1, 2, 3, 4):
        process = Forked(code, call, uri, cwd=tmp_path)
        time.sleep(seconds)
        process.kill()
        process.wait()
    process = Forked(code, call, uri, cwd=tmp_path)
    process.wait(60)
    assert process.returncode == 0, process.stderr
    assert {path.name for path in (tmp_path / "new").iterdir()} <= {
        f"mlflow.db{end}" for end in ("", "-shm", "-wal", ".lock")
    }


def test_looking_at_a_store_drops_no_lock_of_a_run_that_is_open(tracker, store_uri, client, folder, tmp_path):
    # Opening and closing the file by hand drops this process's locks on it; another process then removes the WAL.
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        with tracked_run(tracker, folder=folder / "inner", config={}, overrides=[], tags={}):
            pass
        child(store_uri, tmp_path / "other", 0).communicate(timeout=60)
        run.log({"train/loss": 0.5}, step=1)
    assert client.get_run(run.id).data.metrics == {"train/loss": 0.5}


@contextmanager
def serving(command, port, cwd, more=("--workers", "1"), end=signal.SIGKILL):
    """Run an MLflow server in its own process group until the block ends."""
    command = [*command, "--port", str(port), *more]
    process = subprocess.Popen(
        command, cwd=cwd, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, end)
        process.wait()


def wait_for(address, seconds=120):
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert time.monotonic() < end, f"{address} does not answer"
            time.sleep(0.2)


def read(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_server_takes_a_run_and_its_artifacts(tmp_path, folder):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    with serving(command, port, tmp_path) as server:
        tracker = MLflowTracker(uri=server)
        with tracked_run(tracker, folder=folder, config={"a": 1}, overrides=[], tags={"task": "demo"}) as run:
            run.log({"train/loss": 0.5}, step=1)
            run.finish({"valid/loss": 0.25})
        found = MlflowClient(tracking_uri=server).get_run(run.id)
        assert found.info.status == "FINISHED"
        assert found.data.metrics == {"train/loss": 0.5, "valid/loss": 0.25}
        files = {file.path for file in MlflowClient(tracking_uri=server).list_artifacts(run.id)}
        assert {"config.yaml", "metrics.json"} <= files
    assert run.ui_command is None
    assert run.url == f"{server}/#/experiments/{found.info.experiment_id}/runs/{run.id}?workflowType=machine_learning"


@pytest.mark.slow
def test_a_server_that_dies_does_not_stop_a_training_and_gets_all_when_it_is_back(tmp_path, folder, caplog):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    with serving(command, port, tmp_path) as server:
        opened = tracked_run(MLflowTracker(uri=server, wait=2), folder=folder, config={}, overrides=[], tags={})
        run = opened.__enter__()
    start = time.monotonic()
    for step in range(1, 101):
        run.log({"train/loss": float(step)}, step=step)
        run.flush()
    assert time.monotonic() - start < 2
    opened.__exit__(None, None, None)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 100
    assert caplog.text.count("sending is retried") == 1
    assert f"blurr track sync {folder}" in caplog.text
    with serving(command, port, tmp_path):
        assert sync(folder, uri=server) == 0
        assert values_of(server, run) == [(step, float(step)) for step in range(1, 101)]


@pytest.mark.slow
def test_a_server_that_hangs_and_is_restarted_gets_every_value_once_and_in_order(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("blurr.tracking.spool.REQUEST_SECONDS", 2)
    monkeypatch.setattr("blurr.tracking.mlflow_sink.RETRY_SECONDS", 1)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]

    def train(steps):
        for step in steps:
            run.log({"train/loss": float(step)}, step=step)
            run.flush()
            time.sleep(0.01)

    with serving(command, port, tmp_path) as server:
        opened = tracked_run(MLflowTracker(uri=server), folder=folder, config={}, overrides=[], tags={})
        run = opened.__enter__()
        train(range(1, 101))
        with stopped_server(port):  # it takes connections and answers none
            train(range(101, 301))
            time.sleep(3)
    train(range(301, 401))
    with serving(command, port, tmp_path):
        opened.__exit__(None, None, None)
        assert values_of(server, run) == [(step, float(step)) for step in range(1, 401)]
        assert MlflowClient(tracking_uri=server).get_run(run.id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_server_that_answers_500_loses_answers_hangs_and_is_down_for_30_s_gets_every_value_once(
    tmp_path, folder, monkeypatch
):
    monkeypatch.setattr("blurr.tracking.spool.REQUEST_SECONDS", 5)
    monkeypatch.setattr("blurr.tracking.mlflow_sink.RETRY_SECONDS", 1)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    steps = itertools.count(1)

    def train(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            step = next(steps)
            begun = time.monotonic()
            run.log({"train/loss": float(step)}, step=step)
            run.flush()
            assert time.monotonic() - begun < 1  # it never waits for the server
            time.sleep(0.1)

    with before(port) as proxy:
        with serving(command, port, tmp_path):
            tracker = MLflowTracker(uri=proxy.address, wait=120)
            opened = tracked_run(tracker, folder=folder, config={}, overrides=[], tags={})
            run = opened.__enter__()
            for mode in ("pass", "fail", "pass", "lose", "pass", "hang", "pass"):
                proxy.mode = mode
                train(6)
        train(30)  # the server is down
        with serving(command, port, tmp_path) as server:
            train(1)
            opened.__exit__(None, None, None)
            values = MlflowClient(tracking_uri=server).get_metric_history(run.id, "train/loss")
            status = MlflowClient(tracking_uri=server).get_run(run.id).info.status
    assert {"fail", "lose", "hang"} <= proxy.counts.keys()
    last = next(steps)
    assert sorted((value.step, value.value) for value in values) == [(step, float(step)) for step in range(1, last)]
    in_order = sorted(values, key=lambda value: value.step)
    assert [value.timestamp for value in in_order] == sorted(value.timestamp for value in values)
    assert status == "FINISHED"


@contextmanager
def stopped_server(port):
    """Let every process that listens on a port, and those it has forked, stand still."""
    listening = [each.pid for each in psutil.net_connections() if each.laddr and each.laddr.port == port and each.pid]
    for pid in set(listening):
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in set(listening):
        os.kill(pid, signal.SIGCONT)


def values_of(server, run):
    client = MlflowClient(tracking_uri=server)
    return sorted((value.step, value.value) for value in client.get_metric_history(run.id, "train/loss"))


@pytest.mark.slow
def test_the_printed_command_opens_the_ui_with_metrics_and_artifacts(tracker, client, folder, tmp_path):
    with tracked_run(tracker, folder=folder, config={"a": 1}, overrides=[], tags={}) as run:
        run.log({"train/loss": 0.5}, step=1)
    port = free_port()
    # As a user does: pasted into a shell, in another directory than the one the run was launched in.
    typed = run.ui_command.replace("blurr", f"{sys.executable} -m blurr", 1)
    command = ["bash", "-c", f'PYTHONPATH="{paths.PACKAGE.parent}" exec {typed} "$@"', "blurr"]
    with serving(command, port, tmp_path, more=[], end=signal.SIGTERM) as server:
        found = read(f"{server}/api/2.0/mlflow/runs/get?run_id={run.id}")["run"]
        files = read(f"{server}/api/2.0/mlflow/artifacts/list?run_id={run.id}")["files"]
        with urllib.request.urlopen(f"{server}/get-artifact?run_id={run.id}&path=config.yaml", timeout=30) as answer:
            assert answer.read().decode() == (folder / "config.yaml").read_text()
    assert found["data"]["metrics"][0]["value"] == 0.5
    assert "config.yaml" in {file["path"] for file in files}
