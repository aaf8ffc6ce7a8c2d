"""A store that fails does not stop a training, and gets everything once it is back."""

import logging
import threading
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from blurr.tracking.spool import Spool
from blurr.tracking.trackers import MLflowTracker, tracked_run


class Store:
    """Takes values while it is up."""

    def __init__(self):
        self.up, self.values, self.calls = True, [], 0
        self.hanging = threading.Event()
        self.hanging.set()

    def take(self, value):
        self.calls += 1
        self.hanging.wait()
        if not self.up:
            raise MlflowException("http://me:hunter2@host is down\nwith details")
        self.values.append(value)


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def spool():
    made = Spool(retry_seconds=0.05)
    yield made
    made.close(0)


def put(spool, store, *values):
    for value in values:
        spool.put(lambda value=value: store.take(value))


def refuse():
    raise MlflowException("no such key", error_code=INVALID_PARAMETER_VALUE)


def test_calls_are_made_in_order_by_another_thread(spool, store):
    put(spool, store, 1, 2, 3)
    spool.put(lambda: store.take(threading.current_thread().name))
    assert spool.settle(5)
    assert store.values == [1, 2, 3, "blurr tracking"]


def test_no_thread_runs_before_the_first_call():
    before = threading.active_count()
    Spool(1).close(0)
    assert threading.active_count() == before


def test_what_failed_is_sent_once_and_in_order_when_the_store_is_back(spool, store):
    store.up = False
    put(spool, store, 1, 2)
    time.sleep(0.2)
    assert store.values == []
    store.up = True
    put(spool, store, 3)
    assert spool.settle(5)
    assert store.values == [1, 2, 3]


def test_a_store_that_hangs_holds_nobody_up(spool, store):
    store.hanging.clear()
    start = time.monotonic()
    put(spool, store, *range(1000))
    assert time.monotonic() - start < 1
    assert not spool.settle(0.2)
    store.hanging.set()
    assert spool.settle(5)
    assert store.values == list(range(1000))


def test_it_warns_once_and_masks_the_reason(spool, store, caplog):
    store.up = False
    put(spool, store, 1)
    spool.settle(0.3)
    assert store.calls > 1
    assert len(caplog.records) == 1
    assert "hunter2" not in caplog.text
    assert "sending is retried: http://me:***@host is down" in caplog.text


@pytest.mark.parametrize("error", [refuse, lambda: Path("/nowhere/file").read_text()], ids=["refused", "deleted"])
def test_what_can_never_be_taken_is_passed_over(error, spool, store, caplog):
    spool.put(error)
    put(spool, store, 1)
    assert spool.settle(5)
    assert store.values == [1]
    assert spool.left == 1
    assert "MLflow refused a record" in caplog.text


def test_closing_waits_no_longer_than_it_should_and_counts_what_is_left(spool, store):
    store.up = False
    put(spool, store, *range(100))
    start = time.monotonic()
    spool.close(0.3)
    assert time.monotonic() - start < 2
    assert spool.left == 100


def test_closing_waits_as_long_as_something_arrives(spool, store):
    for _ in range(8):
        spool.put(lambda: time.sleep(0.1))
    spool.close(0.4)
    assert spool.left == 0


def test_a_store_that_vanishes_during_a_run_costs_no_value_in_the_folder(store_uri, folder, caplog, monkeypatch):
    class Refusing:
        def __getattr__(self, name):
            def refuse(*args, **kwargs):
                raise MlflowException("the disk is full")

            return refuse

    caplog.set_level(logging.WARNING)
    tracker = MLflowTracker(uri=store_uri, wait=1)
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        monkeypatch.setattr(run._sink, "_client", Refusing())
        for step in range(1, 11):
            run.log({"train/loss": 1.0}, step=step)
            run.flush()
        run.table("predictions", [{"a": 1}])
        run.finish({"valid/loss": 1.0})
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 11
    assert (folder / "metrics.json").exists()
    assert (folder / "predictions.jsonl").exists()
    assert caplog.text.count("sending is retried") == 1
    assert f"did not reach MLflow. To send them: blurr track sync {folder}" in caplog.text
