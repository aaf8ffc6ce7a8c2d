"""The last validation of a training is its final evaluation: one pass, with the result that a second one would have."""

import json
from pathlib import Path

import pytest
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from running import TINY_BERT, run

from blurr.metrics.outcome import Evaluation
from blurr.runs.jsonlines import read_lines
from blurr.tasks import evaluating
from blurr.tasks.results import evaluate_and_save

SMALL = ("data.rows=32", "tracking=none", "optimizer.lr=3e-3", "loader.batch_size=4")
BERT = (*SMALL, *TINY_BERT)
FILES = (*BERT[1:], "data=files", "data.train=several.jsonl", "task.kind=multilabel")
Passes = list[tuple[str, int]]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """The passes that each final evaluation of a split took; each is compared with one that runs the model anew."""
    counted: Passes = []
    validations: list[Learner] = []
    evaluate, validate = evaluating.evaluate, Learner.validate
    monkeypatch.setattr(Learner, "validate", lambda *args, **kwargs: validations.append(1) or validate(*args, **kwargs))

    def twice(target, learner, raw, split, roles) -> Evaluation:
        validations.clear()
        found = evaluate(target, learner, raw, split, roles)
        counted.append((split, len(validations)))
        with monkeypatch.context() as without:
            without.setattr(evaluating, "validated", lambda *_: None)
            again = evaluate(target, learner, raw, split, roles)
        assert repr(found) == repr(again)  # NaN differs from itself
        return found

    monkeypatch.setattr(evaluating, "evaluate", twice)
    return counted


ONCE = {
    "classes": BERT,
    "of_the_average": (*BERT, "callbacks=[ema]"),
    "in_bfloat16": (*BERT, "precision=bf16"),
    "stopped_early": (*BERT, "callbacks=[early_stopping]", "callbacks.early_stopping.min_delta=9", "schedule.epochs=9"),
    "several_fits": (*BERT, "schedule=fine_tune"),
    "with_losses_of_rows": (*BERT, "task.class_weights=balanced", "metrics=[accuracy]"),
    "threshold": (*FILES, "task.threshold=auto"),
    "entities": (*BERT, "task=token_classification"),
    "answers": (*BERT, "task=question_answering", "task.no_answer_threshold=auto"),
    "texts": (*SMALL, "task=summarization", "model.scratch.d_model=16", "task.generation.max_new_tokens=6"),
    "hidden_tokens": (*BERT, "task=masked_lm"),
    "next_tokens": (*BERT, "task=causal_lm", "model=bert"),
}


@pytest.fixture
def several(work: Path) -> None:
    rows = [
        {"text": f"a {'good' if i % 2 else 'bad'} film of {i} hours", "label": ["x", "y"][: i % 3]} for i in range(48)
    ]
    (work / "several.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("words", ONCE.values(), ids=ONCE)
@pytest.mark.slow
def test_what_the_last_validation_found_is_not_computed_again(passes: Passes, work: Path, words: tuple[str, ...]):
    run(work / "out", *words)
    assert passes == [("valid", 0)]


@pytest.mark.usefixtures("several")
def test_the_rows_of_a_test_split_are_evaluated_once(passes: Passes, work: Path):
    run(work / "out", *FILES, "data.splits.test=0.2")
    assert dict(passes) == {"valid": 0, "test": 1}


def test_an_epoch_that_save_best_restores_is_evaluated_once(passes: Passes, work: Path):
    found = []
    for mode in ("min", "max"):  # of two epochs, the last one is the best by one of them
        best = ("schedule.epochs=2", "callbacks=[save_best]", f"callbacks.save_best.mode={mode}")
        run(work / mode, *BERT, *best)
        losses = [row["valid/loss"] for row in read_lines(work / mode / "metrics.jsonl") if "time/epoch" in row]
        final = json.loads((work / mode / "metrics.json").read_text())["valid/loss"]
        assert final == {"min": min, "max": max}[mode](losses)
        found.append(("valid", 0 if final == losses[-1] else 1))
    assert sorted(passes) == sorted(found) == [("valid", 0), ("valid", 1)]


@pytest.mark.usefixtures("several")
def test_a_run_stopped_after_its_last_validation_is_scored_as_one_that_was_not(
    passes: Passes, work: Path, monkeypatch: pytest.MonkeyPatch
):
    every = (*BERT, "checkpoint.every_epochs=1", "schedule.epochs=2")
    run(work / "whole", *every)
    with monkeypatch.context() as stopping:
        stopping.setattr("blurr.experiment.evaluate_and_save", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(work / "stopped", *every)
    run(work / "stopped", *every, f"resume={work / 'stopped'}")
    assert passes == [("valid", 0), ("valid", 0)]
    for file in ("predictions.jsonl", "metrics.json", "intervals.json"):
        assert (work / "stopped" / file).read_text() == (work / "whole" / file).read_text()


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_features_that_were_cached_are_computed_again(passes: Passes, work: Path):
    run(work / "out", *BERT, "callbacks=[cache_frozen_features]", "schedule.freeze=true")
    assert passes == [("valid", 1)]


def test_rows_of_a_loader_that_came_later_are_evaluated(passes: Passes, work: Path, monkeypatch: pytest.MonkeyPatch):
    save = evaluate_and_save

    def with_another_loader(saved, learner, *given):
        learner.dls = DataLoaders(learner.dls.train, learner.dls.valid.new(), device=learner.dls.device)
        return save(saved, learner, *given)

    monkeypatch.setattr("blurr.experiment.evaluate_and_save", with_another_loader)
    run(work / "out", *BERT)
    assert passes == [("valid", 1)]
