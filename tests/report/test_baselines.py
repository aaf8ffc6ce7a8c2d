"""Beside a score stands what a guess without a model scores, on the same rows and by the same metric."""

import json
from typing import Any

import pytest

from blurr.report.baselines import baselines
from blurr.runs.record import Record

from .conftest import FACTS

METRICS = {
    "accuracy": "blurr.metrics.classification.Accuracy",
    "matthews": "blurr.metrics.classification.Matthews",
    "rmse": "blurr.metrics.regression.RMSE",
    "rougeL": "blurr.metrics.rouge.Rouge",
    "exact_match": "blurr.text.question_answering.metrics.ExactMatch",
    "f1": "blurr.text.token_classification.metrics.Seqeval",
}


@pytest.fixture
def found(make_run):
    """Give the baselines of a run of these rows, scored by these metrics."""

    def of(kind: str, *names: str, metrics: dict[str, Any] | None = None, **facts: Any) -> dict[str, str]:
        configs = {name: {"_target_": METRICS[name]} for name in names} if metrics is None else metrics
        folder = make_run(kind, metrics=configs)
        (folder / "metrics.json").write_text(json.dumps({"valid/loss": 0.7, **{f"valid/{n}": 0.6 for n in configs}}))
        (folder / "facts.json").write_text(json.dumps({**FACTS, **facts}))
        return baselines(Record(folder))

    return of


@pytest.mark.parametrize(
    ("kind", "metric", "said"),
    [
        ("classes", "accuracy", "always bad: 0.5"),
        ("classes", "matthews", "always bad: 0"),
        ("labels", "accuracy", "always a, b: 0.5"),
        ("numbers", "rmse", "always the mean, 4.75: 2.883"),  # the deviation of 0, 0.5, … 9.5
        ("texts", "rougeL", "the source itself: 0"),
        ("entities", "f1", "no entity: 0"),
        ("answers", "exact_match", "no answer: 50"),
    ],
)
def test_a_guess_is_scored_by_the_runs_own_metric(kind: str, metric: str, said: str, found):
    assert found(kind, metric, labels=["a", "b", "c"] if kind == "labels" else ["bad", "good"]) == {
        f"valid/{metric}": said
    }


def test_a_summary_is_compared_with_the_first_sentences(make_run):
    text = "A cat sleeps. A dog barks! Is it late? The rest is left out."
    rows = [{"text": text, "target": "A cat sleeps. A dog barks! Is it late?", "prediction": "a", "loss": 1.0}]
    folder = make_run(rows=rows, metrics={"rougeL": {"_target_": METRICS["rougeL"]}})
    facts = {**FACTS, "choices": {"task": "summarization"}}
    (folder / "metrics.json").write_text(json.dumps({"valid/rougeL": 0.1}))
    (folder / "facts.json").write_text(json.dumps(facts))
    assert baselines(Record(folder)) == {"valid/rougeL": "the first 3 sentences: 1"}


def test_rows_of_other_classes_than_the_models_have_none(found):
    assert found("classes", "accuracy", labels=["other", "names"]) == {}


def test_a_task_that_cannot_be_guessed_has_none(found):
    assert found("tokens", metrics={"perplexity": {"_target_": "blurr.metrics.Perplexity"}}) == {}


def test_a_metric_of_somebody_elses_config_is_not_built(make_run, tmp_path):
    folder = make_run(metrics={"accuracy": {"_target_": "pathlib.Path.touch", "self": str(tmp_path / "made")}})
    assert baselines(Record(folder)) == {}
    assert not (tmp_path / "made").exists()
