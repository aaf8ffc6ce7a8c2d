"""What is written to an SQLite store in one statement is what MLflow would have written itself."""

import math

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from blurr.runs.journal import Point
from blurr.tracking.mlflow_sink import MLflowSink
from blurr.tracking.sqlite import history_of

ODD = {7: math.nan, 11: math.inf, 12: -math.inf}
POINTS = [
    Point(key, ODD.get(step, value + step / 7), 1_700_000_000_000 + step, step)
    for step in range(1, 700)
    for key, value in (("train/loss", 0.5), ("train/lr", 1e-3))
]


@pytest.fixture
def sink(store_uri: str):
    sink = MLflowSink(store_uri, "history", run_id=None, run_name="a", tags={}, system_metrics=False, wait=30)
    yield sink
    sink.close("FINISHED")


def histories(client, run_id: str) -> list[str]:
    found = (client.get_metric_history(run_id, key) for key in ("train/loss", "train/lr"))
    return sorted(str((each.key, each.value, each.timestamp, each.step)) for history in found for each in history)


def test_every_value_arrives_once_as_mlflow_writes_it(sink, client):
    assert history_of(sink._client) is not None
    sink.metrics(POINTS)
    sink.settle()
    sink._send(POINTS[:1000])  # a call that failed after it had written is made again
    other = client.create_run(client.get_experiment_by_name("history").experiment_id).info.run_id
    for start in range(0, len(POINTS), 1000):
        metrics = [Metric(key, value, time, step) for key, value, time, step in POINTS[start:][:1000]]
        client.log_batch(other, metrics=metrics)
    assert histories(client, sink.id) == histories(client, other)
    assert client.get_run(sink.id).data.metrics == client.get_run(other).data.metrics


def test_values_of_a_run_that_is_gone_are_refused_by_mlflow(sink):
    sink._run_id, here = "f" * 32, sink._run_id
    with pytest.raises(MlflowException, match="f" * 32):
        sink._send(POINTS[:10])
    sink._run_id = here
