"""The length of a training as a number of optimizer steps, in place of epochs."""

import logging
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback, CancelTrainException
from fastai.callback.training import GradientAccumulation as FastaiAccumulation
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from running import TINY_BERT, run
from safetensors.torch import load_file
from stopping import StopAt
from torch import nn

from blurr.config import paths
from blurr.errors import InputError
from blurr.process.signals import Interrupted
from blurr.runs.jsonlines import read_lines
from blurr.text.modeling.all import BlearnerForSequenceClassification
from blurr.training import schedules
from blurr.training.callbacks.gradient_accumulation import GradientAccumulation
from blurr.training.loop import LeanLearner
from blurr.training.optimizers import adamw

BATCHES = 10


class StepWatch(Callback):
    """Notes the rate of each optimizer step, and the steps taken before each validation."""

    order = 70

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.validated: list[int] = []

    def after_step(self) -> None:
        self.rates.append(self.opt.hypers[-1]["lr"])

    def before_validate(self) -> None:
        if self.rates:
            self.validated.append(len(self.rates))


def learner(folder: Path, cls: type[Learner] = LeanLearner, cbs=()) -> Learner:
    torch.manual_seed(0)
    x = torch.randn(4 * BATCHES, 3)
    rows = list(zip(x, x.sum(1, keepdim=True), strict=True))
    dls = DataLoaders(DataLoader(rows, bs=4), DataLoader(rows[:8], bs=4), device="cpu")
    model = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 1))

    def split(model: nn.Module) -> list[list[nn.Parameter]]:
        return [list(model[:2].parameters()), list(model[2].parameters())]

    made = cls(dls, model, MSELossFlat(), opt_func=adamw, splitter=split, train_bn=False, path=folder, cbs=[*cbs])
    made.remove_cbs([made.progress])
    made.logger = lambda *_: None
    return made


def weights(learn: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learn.model.parameters()])


@pytest.mark.parametrize("steps", [1, 7, 10, 25, 30])
def test_a_training_takes_so_many_steps_and_is_scored_at_the_end(tmp_path: Path, steps: int):
    taken = StepWatch()
    schedules.linear_warmup(learner(tmp_path, cbs=[taken]), 1.0, steps=steps, warmup=0.0)
    assert taken.rates == pytest.approx([1 - i / steps for i in range(steps)])
    assert taken.validated == [*range(BATCHES, steps, BATCHES), steps]


@pytest.mark.parametrize("name", sorted(paths.options("schedule")))
def test_as_many_steps_as_epochs_have_give_the_same_weights(tmp_path: Path, name: str):
    schedule, last = getattr(schedules, name), "final_epochs" if name == "gradual_unfreezing" else "epochs"
    found = [learner(tmp_path) for _ in range(2)]
    schedule(found[0], 1e-2, **{last: 3})
    schedule(found[1], 1e-2, steps=3 * BATCHES)
    assert (weights(found[0]) - weights(found[1])).abs().max() < 1e-6  # the shares of the steps differ by rounding


def test_steps_are_counted_after_accumulation(tmp_path: Path):
    taken, learn = StepWatch(), learner(tmp_path, cbs=[GradientAccumulation(3)])
    learn.add_cb(taken)
    schedules.linear_warmup(learn, 1.0, steps=6, warmup=0.0)  # of which an epoch has 4
    assert taken.rates == pytest.approx([1 - i / 6 for i in range(6)])
    assert taken.validated == [4, 6]
    assert learn.train_iter == BATCHES + 6


def test_epochs_of_different_lengths_give_the_steps_asked_for(tmp_path: Path):
    class Shorter(Callback):
        def before_batch(self) -> None:
            if self.training and self.iter == 3:
                raise CancelTrainException

    taken = StepWatch()
    schedules.constant(learner(tmp_path, cbs=[taken, Shorter()]), 1e-2, steps=11)
    assert len(taken.rates) == 11


def test_a_training_whose_epochs_are_all_cancelled_ends(tmp_path: Path):
    class Never(Callback):
        def before_train(self) -> None:
            raise CancelTrainException

    taken = StepWatch()
    schedules.constant(learner(tmp_path, cbs=[taken, Never()]), 1e-2, steps=11)
    assert taken.rates == []


def test_a_plain_learner_and_fastais_accumulation_count_no_steps(tmp_path: Path):
    with pytest.raises(InputError, match=r"steps=5: a plain Learner counts epochs\. Give epochs instead"):
        schedules.one_cycle(learner(tmp_path, Learner), 1e-2, steps=5)
    with pytest.raises(InputError, match=r"cannot be counted with fastai's GradientAccumulation\. .*use blurr's"):
        schedules.one_cycle(learner(tmp_path, cbs=[FastaiAccumulation(8)]), 1e-2, steps=5)


@pytest.fixture(scope="module")
def in_notebook(tiny_bert: Path):
    words = ["a good film", "a bad film"] * 20
    rows = pd.DataFrame({"text": words, "label": ["good", "bad"] * 20, "is_valid": [False] * 32 + [True] * 8})
    learn = BlearnerForSequenceClassification.from_data(rows, str(tiny_bert), dl_kwargs={"bs": 4})
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn


@pytest.mark.parametrize("door", ["fit", "fit_one_cycle", "fit_flat_cos", "fine_tune"])
def test_a_notebook_gives_steps_where_it_gives_epochs(in_notebook, door: str):
    taken, head = StepWatch(), 8 if door == "fine_tune" else 0
    in_notebook.add_cb(taken)
    try:
        getattr(in_notebook, door)(steps=11)
    finally:
        in_notebook.remove_cb(taken)
    assert len(taken.rates) == head + 11
    assert taken.validated[-2:] == [head + 8, head + 11]
    assert in_notebook.steps_of_fit is None


def test_the_rows_of_the_next_fit_come_in_the_next_order(in_notebook):
    before = in_notebook.dls.train.epoch
    in_notebook.fit(steps=11)
    assert in_notebook.dls.train.epoch == before + 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a number of epochs, or steps=…: give one of them, not None and steps=None"),
        ({"n_epoch": 1, "steps": 4}, "give one of them, not 1 and steps=4"),
        ({"steps": 0}, "steps=0: must be a whole number of at least 1"),
        ({"steps": 1.5}, "steps=1.5: must be a whole number"),
    ],
    ids=str,
)
def test_what_is_no_length_of_a_fit_is_refused(in_notebook, given, said: str):
    with pytest.raises(InputError, match=said):
        in_notebook.fit_one_cycle(**given)


# -- the command line

RUN = ["data.rows=30", "loader.batch_size=4", "tracking=none", "+callbacks.stopper={_target_: stopping.StopAt}"]
RUN += ["schedule.steps=8", "checkpoint.every_steps=2", *TINY_BERT]  # an epoch has 6 batches
CASES = {
    "one cycle": (["checkpoint.every_epochs=1", "callbacks=[save_best,early_stopping]"], 0, 7),
    "two phases, accumulated": (
        ["schedule=fine_tune", "callbacks=[gradient_accumulation,ema]", "callbacks.gradient_accumulation.batches=2"],
        3,
        18,
    ),
}


@pytest.mark.parametrize(("words", "head", "batch"), CASES.values(), ids=CASES)
@pytest.mark.slow
def test_a_run_by_steps_goes_on_to_the_same_end(
    work: Path, monkeypatch, caplog, words: list[str], head: int, batch: int
):
    caplog.set_level(logging.INFO)
    run(work / "whole", *RUN, *words)
    assert f"Look at this: only {head + 8} steps" in caplog.text
    lines = read_lines(work / "whole" / "metrics.jsonl")
    assert max(line["step"] for line in lines if "train/loss" in line) == head + 8
    assert max(line["step"] for line in lines if "time/epoch" in line) == head + 8
    last = 8 if head == 0 else 6 + 2 * 8
    for place, signum in ((batch, None), (last, signal.SIGTERM)):  # the last leaves a checkpoint with no step to go
        monkeypatch.setattr(StopAt, "batch", place)
        monkeypatch.setattr(StopAt, "signum", signum)
        out = work / f"out {place}"
        with pytest.raises((RuntimeError, Interrupted)):
            run(out, *RUN, *words)
        monkeypatch.setattr(StopAt, "batch", 0)
        run(out, *RUN, *words, "resume=auto")
        one, other = (load_file(folder / "model/model.safetensors") for folder in (work / "whole", out))
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert (work / "whole" / "metrics.json").read_text() == (out / "metrics.json").read_text()
