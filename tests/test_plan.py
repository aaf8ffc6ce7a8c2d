"""`blurr plan`: what a run would do, without loading weights."""

import shutil
from pathlib import Path

import pytest

from blurr.config import composing
from blurr.plan import plan


def planned(*words: str) -> dict[str, dict[str, str]]:
    return {title: dict(facts) for title, facts in plan(composing.compose(words), words).items()}


@pytest.mark.parametrize(
    ("schedule", "phases"),
    [("one_cycle", 1), ("fine_tune", 2), ("gradual_unfreezing", 4)],
    ids=["one cycle", "fine-tuning", "gradual"],
)
def test_every_phase_of_a_schedule_is_told(work: Path, schedule: str, phases: int):
    told = planned("data.rows=200", "model.weights=scratch", f"schedule={schedule}")
    assert len(told["training"]) == phases + 1
    assert told["rows"] == {"train": "160", "valid": "40", "from": "sample"}


def test_steps_labels_tokens_and_parameters_are_counted(work: Path):
    told = planned("data.rows=200", "model.weights=scratch", "schedule.epochs=3", "optimizer.lr=[1e-5,1e-3]")
    assert told["training"]["in all"] == "30 steps of 16 rows"
    assert "1e-05 (first group) to 0.001 (last)" in told["training"]["phase 1"]
    assert "positive" in told["labels"]["train"]
    assert "reach the limit of 512" in told["tokens"]["train input_ids"]
    assert told["parameters"]["weights"].startswith("scratch bert, ")
    assert "lr:" in told["config"]["optimizer"]


def test_a_plan_of_a_checkpoint_needs_no_weights(work: Path, tiny_bert: Path):
    shutil.copytree(tiny_bert, work / "checkpoint", ignore=shutil.ignore_patterns("*.safetensors"))
    told = planned("data.rows=60", "model=auto", "model.name=./checkpoint", "optimizer.lr=auto")
    assert told["parameters"]["weights"].startswith("pretrained bert, ")
    assert "found by the learning rate finder" in told["training"]["phase 1"]


def test_texts_beyond_the_limit_are_told(work: Path):
    told = planned("task=summarization", "model.weights=scratch", "data.rows=60", "task.max_length=10")
    assert "100.0% reach the limit of 10" in told["tokens"]["train input_ids"]
    assert "train labels" in told["tokens"]
