"""`blurr plan`: what a run would do, without loading weights."""

import shutil
from pathlib import Path

import pytest

from blurr import cli
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
    assert len(told["training"]) == phases + 2
    assert told["training"]["default rate"] == "weights from scratch"
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


def test_a_plan_tells_what_an_adapter_would_train(work: Path, tiny_bert: Path):
    shutil.copytree(tiny_bert, work / "checkpoint", ignore=shutil.ignore_patterns("*.safetensors"))
    told = planned("data.rows=60", "model=auto", "model.name=./checkpoint", "adapter=lora", "adapter.r=2")
    assert told["parameters"]["adapter"].startswith("lora, 1,986 weights are trained (")
    assert "1,986 parameters" in told["training"]["phase 1"]
    assert told["parameters"]["input embedding"] == "it is not trained, but what the adapter adds"
    assert told["training"]["default rate"].startswith("an adapter: 10 times the usual")


def test_a_plan_tells_how_many_rows_of_the_embedding_are_trained_or_why_all_of_them(work: Path, wide_bert: Path):
    words = ("data.rows=60", "model=auto", f"model.name={wide_bert}")

    def told(*more: str) -> str | None:
        return planned(*words, *more)["parameters"].get("input embedding")

    assert "of 400 rows occur" in told()
    assert "the optimizer moves rows without gradients" in told("optimizer=adafactor")
    assert "random tokens" in told("task=masked_lm")
    assert told("model.compact_embeddings=false") is None


def test_the_rare_class_is_the_one_to_score_and_a_split_without_it_is_told(work: Path):
    rows = [f"row {i},{'bad' if i in (3, 8, 13, 18, 23, 28) else 'good'},{int(i >= 90)}" for i in range(100)]
    (work / "rare.csv").write_text("\n".join(["text,label,is_valid", *rows]))
    doubts = planned("data=files", "data.train=rare.csv", "model.weights=scratch")["look at this"]
    (share,) = [remedy for found, remedy in doubts.items() if "of the rows are good" in found]
    (lacking,) = [remedy for found, remedy in doubts.items() if "valid has no row of 1 of 2 labels: bad" in found]
    assert "metrics.f1.positive=bad" in share
    assert "data.splits.by=stratified" in lacking


def test_texts_beyond_the_limit_are_told(work: Path):
    told = planned("task=summarization", "model.weights=scratch", "data.rows=60", "task.max_length=10")
    assert "100.0% reach the limit of 10" in told["tokens"]["train input_ids"]
    assert "train labels" in told["tokens"]


@pytest.fixture
def stars(work: Path) -> Path:
    rows = [f"film {i} is {'good' if i % 3 else 'bad'} and long enough,{5 if i % 3 else 1}" for i in range(60)]
    (work / "stars.csv").write_text("\n".join(["review,stars", *rows, "odd,3", "odd too,3"]))
    return work / "stars.csv"


STARS = ("data=files", "data.train=stars.csv", "data.columns.text=review", "data.columns.label=stars")


@pytest.mark.parametrize(
    ("words", "wrong", "remedy"),
    [
        ((), "labels have under 5 rows: 3", "callbacks=[class_balance]"),
        (("schedule.epochs=1",), "only 4 steps", "schedule.epochs=13"),
        (("~schedule.epochs",), "only 16 steps", "train longer, or take smaller batches: loader.batch_size=4"),
        (("schedule.steps=12",), "only 12 steps, and the learning rate rises over the first 3", "schedule.steps=50"),
        (("callbacks=[gradient_accumulation]",), "only 4 steps", "schedule.epochs=52"),
        (
            ("schedule=linear_warmup", "schedule.epochs=20", "schedule.warmup=0.01"),
            "the learning rate rises over only 1 of 80 steps",
            "schedule.warmup=0.03",
        ),
        (("schedule=fine_tune", "schedule.epochs=20"), "a phase has only 4 of 84 steps", "schedule.freeze_epochs=3"),
        (("task.max_length=4",), "of the texts are cut (input_ids, 4 tokens)", "allow more: task.max_length=512"),
        (
            ("task.kind=regression", "metrics=[pearson]", "objective=valid/loss"),
            "whole numbers",
            "task.kind=multiclass",
        ),
    ],
    ids=[
        "rare",
        "few epochs",
        "no epochs",
        "few steps",
        "few after accumulation",
        "short rise",
        "short phase",
        "cut",
        "numbers",
    ],
)
def test_a_plan_warns_of_what_looks_wrong_with_a_remedy(stars, words, wrong, remedy):
    told = planned(*STARS, "model.weights=scratch", *words)["look at this"]
    said = next(said for said in told if wrong in said)
    assert remedy in told[said]


def test_a_plan_counts_steps_in_place_of_epochs(stars):
    training = planned(*STARS, "model.weights=scratch", "schedule=fine_tune", "schedule.steps=70")["training"]
    assert training["phase 1"].startswith("1 x 4 steps on ")
    assert training["phase 2"].startswith("70 steps (17.5 epochs of 4) on ")
    assert training["in all"] == "74 steps of 16 rows"


def test_a_plan_of_enough_rows_warns_of_nothing(work: Path):
    assert planned("data.rows=400", "model.weights=scratch")["look at this"] == {}


def test_a_plan_ends_with_the_command_to_run_and_shows_the_config_on_demand(stars, capsys, monkeypatch):
    monkeypatch.setattr(composing, "prepare_process", lambda: None)
    words = [*STARS, "model.weights=scratch", "metrics=[accuracy]"]
    assert cli._call(["plan", *words]) == 0
    shown, told = capsys.readouterr()
    assert len(shown.splitlines()) < 35
    assert "optimizer" not in shown
    assert "  run           blurr run data=files data.train=stars.csv" in told
    assert "'metrics=[accuracy]'" in told
    assert cli._call(["plan", "--config", *words]) == 0
    assert "optimizer" in capsys.readouterr().out


def test_a_batch_that_several_processes_share_is_said_to_be(work: Path):
    told = planned("data.rows=80", "model.weights=scratch", "processes=2")
    assert told["training"]["in all"].endswith("steps of 16 rows, shared by 2 processes")
