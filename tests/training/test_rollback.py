"""`on_nan=rollback`: a loss that is no number costs a batch, not the run."""

import logging
from pathlib import Path

import pytest
import running
import torch
from safetensors.torch import load_file
from spoiling import SpoilAt
from stopping import StopAt

from blurr.errors import InputError
from blurr.runs.jsonlines import read_lines
from blurr.training.guard import MAX_ROLLBACKS

SPOIL, STOP = "+callbacks.spoil={_target_: spoiling.SpoilAt}", "+callbacks.stopper={_target_: stopping.StopAt}"
STEPS = 2 * 8  # two epochs of eight batches


def run(folder: Path, *words: str) -> None:
    usual = ("data.rows=80", "loader.batch_size=8", "schedule.epochs=2", "on_nan=rollback", SPOIL, STOP)
    running.run(folder, *words, usual=(*usual, "tracking=none", *running.TINY_BERT))


@pytest.fixture(autouse=True)
def spoilt(monkeypatch):
    def at(losses=(), steps=()):
        monkeypatch.setattr(SpoilAt, "losses", set(losses))
        monkeypatch.setattr(SpoilAt, "steps", set(steps))

    at()
    return at


def last_step(folder: Path) -> int:
    lines = read_lines(folder / "metrics.jsonl")
    return max(line["step"] for line in lines if "train/loss" in line)


def is_sound(folder: Path) -> bool:
    weights = load_file(folder / "model" / "model.safetensors")
    return all(bool(torch.isfinite(weight).all()) for weight in weights.values())


@pytest.mark.parametrize(
    "words", [["checkpoint.every_steps=3"], [], ["callbacks=[ema,gradient_checkpointing]"]], ids=str
)
def test_the_training_goes_back_and_on_without_the_batch(work: Path, spoilt, caplog, words):
    caplog.set_level(logging.WARNING)
    spoilt(losses={(0, 4), (1, 2)})
    run(work, *words)
    assert is_sound(work)
    assert last_step(work) == STEPS - 2
    assert caplog.text.count("Back to the last checkpoint") == 2


def test_a_step_that_spoils_the_weights_is_the_one_left_out_and_no_checkpoint_has_them(work: Path, spoilt, caplog):
    caplog.set_level(logging.WARNING)
    spoilt(steps={(0, 4)})
    run(work, "checkpoint.every_steps=1")
    assert "No checkpoint was written at step 5: the weights are not finite" in caplog.text
    assert caplog.text.count("batch 4 is skipped from now on") == 1
    assert is_sound(work)
    assert last_step(work) == STEPS - 1


def test_the_last_step_of_an_epoch_is_looked_at_too(work: Path, spoilt, caplog):
    caplog.set_level(logging.WARNING)
    spoilt(steps={(0, 7), (1, 7)})
    run(work)
    assert caplog.text.count("batch 7 is skipped from now on") == 2
    assert is_sound(work)
    assert read_lines(work / "metrics.jsonl")[-1]["step"] == STEPS - 2


def test_a_run_that_keeps_going_wrong_stops_with_the_reason(work: Path, spoilt):
    spoilt(losses={(0, batch) for batch in range(8)})
    with pytest.raises(InputError, match=rf"is inf; its training rows are .* after {MAX_ROLLBACKS} rollbacks"):
        run(work)


def test_what_was_left_out_stays_so_in_a_resumed_run(work: Path, spoilt, caplog, monkeypatch):
    spoilt(losses={(0, 2)})
    monkeypatch.setattr(StopAt, "batch", 8)
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work, "checkpoint.every_steps=1")
    monkeypatch.setattr(StopAt, "batch", 0)
    caplog.clear()
    run(work, "checkpoint.every_steps=1", "resume=auto")
    assert "Back to" not in caplog.text
    assert last_step(work) == STEPS - 1


def test_without_a_bad_loss_nothing_is_different(work: Path):
    run(work / "rollback")
    run(work / "stop", "on_nan=stop")
    one, other = (load_file(work / name / "model" / "model.safetensors") for name in ("rollback", "stop"))
    assert all(torch.equal(one[name], other[name]) for name in one)
