"""A store that fails does not stop a training, and gets everything once it is back."""

import logging

import pytest
from mlflow.exceptions import MlflowException

from blurr.tracking.run import MLflowTracker, tracked_run
from blurr.tracking.spool import RETRY_SECONDS, Spool


class Store:
    """Takes values while it is up."""

    def __init__(self):
        self.up, self.values, self.calls = True, [], 0

    def take(self, value):
        self.calls += 1
        if not self.up:
            raise MlflowException("http://me:hunter2@host is down\nwith details")
        self.values.append(value)


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def spool(clock):
    return Spool(clock=lambda: clock[0])


def put(spool, store, *values):
    for value in values:
        spool.put(lambda value=value: store.take(value))


def test_calls_are_made_in_order(spool):
    store = Store()
    put(spool, store, 1, 2, 3)
    spool.send()
    assert store.values == [1, 2, 3]


def test_what_failed_is_sent_when_the_store_is_back_and_the_wait_is_over(spool, clock):
    store = Store()
    store.up = False
    put(spool, store, 1, 2)
    spool.send()
    store.up = True
    spool.send()
    assert store.values == []
    clock[0] += RETRY_SECONDS
    spool.send()
    assert store.values == [1, 2]


def test_it_warns_once_and_masks_the_reason(spool, clock, caplog):
    store = Store()
    store.up = False
    put(spool, store, 1)
    for _ in range(3):
        clock[0] += RETRY_SECONDS
        spool.send()
    assert len(caplog.records) == 1
    assert "hunter2" not in caplog.text
    assert "sending is retried: http://me:***@host is down" in caplog.text


def test_the_last_sending_does_not_wait_and_passes_over_what_fails(spool, caplog):
    store = Store()
    broken = Store()
    broken.up = False
    put(spool, broken, 0)
    put(spool, store, 1, 2)
    spool.send()
    assert store.values == []
    spool.send_last()
    assert store.values == [1, 2]
    assert "1 calls never reached MLflow" in caplog.text


def test_the_last_sending_gives_up_on_a_dead_store(spool, caplog):
    store = Store()
    store.up = False
    put(spool, store, *range(100))
    spool.send_last()
    assert store.calls == 3
    assert "100 calls never reached MLflow" in caplog.text


def test_mistakes_of_our_own_are_not_swallowed(spool):
    spool.put(lambda: [][0])
    with pytest.raises(IndexError):
        spool.send()


def test_a_store_that_vanishes_during_a_run_costs_no_value_in_the_folder(tmp_path, folder, caplog, monkeypatch):
    class Refusing:
        def __getattr__(self, name):
            def refuse(*args, **kwargs):
                raise MlflowException("the disk is full")

            return refuse

    caplog.set_level(logging.WARNING)
    tracker = MLflowTracker(uri=f"sqlite:///{tmp_path}/mlflow.db")
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
