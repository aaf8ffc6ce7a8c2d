"""Contract 2: every task runs the whole line on a small model, leaves its record in MLflow, and learns."""

import json
from pathlib import Path

import oracles
import pytest
import torch
import yaml
from running import TINY_BERT, run
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

from blurr.config import paths
from blurr.errors import InputError
from blurr.runs.jsonlines import read_lines
from blurr.tasks.saved import load_task

TASKS = sorted(paths.options("task"))
LEAVINGS = ["config.yaml", "environment.json", "metrics.json", "metrics.jsonl", "overrides.yaml", "predictions.jsonl"]


FAST = ("optimizer.lr=3e-3",)
SIZES = {  # as few rows as it can learn from
    "audio_classification": ("data.rows=300", *FAST),
    "causal_lm": ("data.rows=200", *FAST),
    "chat": ("data.rows=200", *FAST),
    "image_classification": ("data.rows=300", *FAST),
    "masked_lm": ("data.rows=200", *FAST),
    "object_detection": ("data.rows=120", "optimizer.lr=2e-3"),
    "question_answering": ("data.rows=200", *FAST),
    "semantic_segmentation": ("data.rows=150", *FAST),
    "sequence_classification": ("data.rows=1000", "optimizer.lr=1e-3"),
    "speech_recognition": ("data.rows=120", "loader.batch_size=8", *FAST),
    "summarization": ("data.rows=200", *FAST),
    "token_classification": ("data.rows=100", *FAST),
    "translation": ("data.rows=200", *FAST),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_runs_records_and_learns(task: str, work: Path, store_uri: str, client):
    folder = work / "out"
    value = run(folder, f"task={task}", f"tracking.uri={store_uri}", f"tracking.experiment={task}", *SIZES[task])

    assert sorted(p.name for p in folder.iterdir() if p.is_file() and p.name in LEAVINGS) == LEAVINGS
    metrics = json.loads((folder / "metrics.json").read_text())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert value == metrics[config["objective"]]
    logged = read_lines(folder / "metrics.jsonl")
    first = [row["train/loss"] for row in logged if "train/loss" in row][:5]
    assert metrics["valid/loss"] < 0.8 * sum(first) / len(first), "it does not learn"

    experiment = client.get_experiment_by_name(task)
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["task._target_"] == config["task"]["_target_"]
    assert found.data.params["seed"] == "42"
    assert metrics.items() <= found.data.metrics.items()
    assert {"train/loss", "train/lr", "train/momentum", "time/epoch"} <= set(found.data.metrics)
    steps = sum("train/loss" in row for row in logged)
    assert len(client.get_metric_history(found.info.run_id, "train/lr")) == steps
    tags = found.data.tags
    assert tags["blurr.task"] == task
    assert tags["blurr.weights"] == "scratch"
    assert {"blurr.model", "blurr.data", "blurr.version"} <= set(tags)
    assert {d.tags[0].value for d in found.inputs.dataset_inputs} >= {"training", "validation"}
    artifacts = {a.path for a in client.list_artifacts(found.info.run_id)}
    assert {"config.yaml", "overrides.yaml", "environment.json", "model", "metrics.json"} <= artifacts
    model = Path(client.download_artifacts(found.info.run_id, "model", str(work)))
    if config["model"]["_target_"] == "blurr.models.objects.build_model":  # of texts
        assert AutoTokenizer.from_pretrained(model).pad_token is not None
    assert AutoConfig.from_pretrained(model).model_type == config["model"]["arch"]
    saved = load_task(model)
    assert f"{type(saved.task).__module__}.{type(saved.task).__name__}" == config["task"]["_target_"]
    assert (saved.columns, saved.metrics) == (config["data"]["columns"], config["metrics"])
    rows = read_lines(folder / "predictions.jsonl")
    assert rows
    assert all("loss" in row for row in rows)
    again = {"loss": oracles.mean_loss(rows), **oracles.recomputed(task, rows)}
    assert {name.partition("/")[2] for name in metrics if name.startswith("valid/")} == set(again)
    for name, expected in again.items():
        assert metrics[f"valid/{name}"] == pytest.approx(expected, rel=1e-6, abs=1e-6), name
    ends = json.loads((folder / "intervals.json").read_text())
    assert set(ends) == set(metrics)  # so that a metric without one is decided, not forgotten
    assert all(ends[name][0] <= metrics[name] <= ends[name][1] for name in metrics)
    assert json.loads(tags["blurr.intervals"]) == ends


def test_an_exception_leaves_a_failed_run_with_its_reason(work: Path, store_uri: str, client):
    words = [f"tracking.uri={store_uri}", "tracking.experiment=failing", "data.rows=40", "schedule.epochs=1"]
    with pytest.raises(InputError, match="pearson cannot score classes"):
        run(work / "out", *words, "metrics=[pearson]", "objective=valid/pearson")
    (found,) = client.search_runs([client.get_experiment_by_name("failing").experiment_id])
    assert found.info.status == "FAILED"
    assert "pearson cannot score classes" in found.data.tags["blurr.error"]
    assert "Traceback" in (work / "out" / "error.txt").read_text()


def test_an_objective_that_is_no_metric_is_refused_before_training(work: Path):
    with pytest.raises(InputError, match=r"valid/acuracy.*Did you mean 'valid/accuracy'\?"):
        run(work / "out", "tracking=none", "data.rows=40", "objective=valid/acuracy")
    assert "train/loss" not in (work / "out" / "metrics.jsonl").read_text()


def test_two_runs_with_one_seed_give_the_same_metrics_and_weights(work: Path):
    words = ["tracking=none", "data.rows=120", "schedule.epochs=1", *TINY_BERT]
    for name in ("a", "b"):
        run(work / name, *words)
    run(work / "c", *words, "seed=7")
    assert (work / "a/metrics.json").read_text() == (work / "b/metrics.json").read_text()
    a, b, c = (load_file(work / name / "model" / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
