"""The lean loop does what fastai's does, bit by bit."""

from functools import partial
from pathlib import Path

import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.optimizer import Adam, OptimWrapper
from torch import nn

from blurr.training.loop import OF_A_BATCH, LeanLearner
from blurr.training.optimizers import adamw
from blurr.training.schedules import one_cycle

OPTIMIZERS = {
    "fused AdamW": adamw,
    "torch's AdamW as fastai wraps it": partial(OptimWrapper, opt=torch.optim.AdamW),
    "fastai's Adam": Adam,
}


def noting(name: str):
    def note(self) -> None:
        self.heard.append(name)

    return note


RARE = {"before_fit", "before_epoch", "before_train", "after_train", "before_validate", "after_fit"}
Ear = type("Ear", (Callback,), {name: noting(name) for name in sorted(OF_A_BATCH | RARE)})


def trained(cls: type[Learner], opt_func, folder: Path, *, cbs: list[Callback] | None = None) -> Learner:
    torch.manual_seed(0)
    x = torch.randn(40, 3)
    rows = list(zip(x, x.sum(1, keepdim=True), strict=True))
    dls = DataLoaders(DataLoader(rows, bs=4), DataLoader(rows[:8], bs=4), device="cpu")
    model = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Dropout(0.1), nn.Linear(8, 1))
    learner = cls(dls, model, MSELossFlat(), opt_func=opt_func, path=folder, cbs=cbs)
    with learner.no_bar(), learner.no_logging():
        one_cycle(learner, 1e-2, epochs=2)
    return learner


@pytest.mark.parametrize("opt_func", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_the_weights_after_training_are_bit_equal_to_those_of_the_stock_learner(opt_func, tmp_path: Path):
    stock, lean = trained(Learner, opt_func, tmp_path), trained(LeanLearner, opt_func, tmp_path)
    weights = stock.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in lean.model.state_dict().items())


def test_the_recorder_keeps_the_same_losses_rates_and_scores_as_the_stock_one(tmp_path: Path):
    stock, lean = (trained(cls, adamw, tmp_path).recorder for cls in (Learner, LeanLearner))
    assert torch.equal(torch.stack(list(stock.losses)), torch.stack(list(lean.losses)))
    assert stock.lrs == lean.lrs
    assert [list(row)[:2] for row in stock.values] == [list(row)[:2] for row in lean.values]


def test_callbacks_hear_the_same_events_in_the_same_order(tmp_path: Path):
    heard = []
    for cls in (Learner, LeanLearner):
        ear = Ear()
        ear.heard = []
        trained(cls, adamw, tmp_path, cbs=[ear])
        heard.append(ear.heard)
    assert heard[0] == heard[1]
    assert heard[0].count("after_step") == 20
