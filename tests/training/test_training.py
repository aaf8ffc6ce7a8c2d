"""Optimizers, schedules, learning rates and precision, on a real learner."""

import json
from functools import partial
from pathlib import Path

import fastai.callback.all  # noqa: F401  gives Learner its lr_find
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.optimizer import Lamb, ranger
from omegaconf import ListConfig
from torch import nn
from transformers import BartConfig, BertConfig, PretrainedConfig

from blurr.config import paths
from blurr.errors import InputError
from blurr.training import schedules
from blurr.training.default_rates import default_rate
from blurr.training.learning_rate import as_numbers, found_rate, learning_rate
from blurr.training.optimizers import TorchOptimizer, adamw, as_opt_func
from blurr.training.precision import precision_callbacks, seed_everything

STEPS = 10  # of an epoch


class Rates(Callback):
    """Notes each group's learning rate and momentum at every step."""

    order = 70

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.momentum: list[float] = []
        self.trained: list[int] = []

    def before_step(self) -> None:
        self.rates.append([h["lr"] for h in self.opt.hypers])
        self.momentum.append(self.opt.hypers[-1]["mom"])
        self.trained.append(sum(p.requires_grad for p in self.model.parameters()))


def body_and_head(model: nn.Module) -> list[list[nn.Parameter]]:
    return [list(part.parameters()) for part in model]


def learner(tmp_path: Path, opt_func=adamw, **options) -> Learner:
    torch.manual_seed(0)
    x = torch.randn(STEPS * 4, 3)
    rows = list(zip(x, x.sum(1, keepdim=True), strict=True))
    dls = DataLoaders(DataLoader(rows, bs=4), DataLoader(rows, bs=4), device="cpu")
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    made = Learner(
        dls, model, MSELossFlat(), opt_func=opt_func, splitter=body_and_head, train_bn=False, path=tmp_path, **options
    )
    made.remove_cbs([made.progress])
    made.logger = lambda *_: None
    return made


# -- schedules


@pytest.mark.parametrize("name", sorted(set(paths.options("schedule"))))
def test_every_schedule_trains_and_peaks_at_the_learning_rate(name: str, tmp_path: Path):
    watch = Rates()
    learn = learner(tmp_path, cbs=[watch])
    before = float(learn.validate()[0])
    getattr(schedules, name)(learn, 1e-2)
    assert float(learn.validate()[0]) < before
    assert max(rates[-1] for rates in watch.rates) == pytest.approx(1e-2, rel=0.02)


def test_one_cycle_rises_and_falls_and_leaves_momentum_alone(tmp_path: Path):
    watch = Rates()
    schedules.one_cycle(learner(tmp_path, cbs=[watch]), 1e-2, epochs=4, pct_start=0.25, div=10.0)
    rates = [r[0] for r in watch.rates]
    assert rates[0] == pytest.approx(1e-3)
    assert int(np.argmax(rates)) == STEPS
    assert rates[-1] < 1e-4
    assert set(watch.momentum) == {0.9}


def test_one_cycle_moves_momentum_when_asked(tmp_path: Path):
    watch = Rates()
    schedules.one_cycle(learner(tmp_path, cbs=[watch]), 1e-2, epochs=4, moms=[0.95, 0.85, 0.95])
    assert watch.momentum[0] == pytest.approx(0.95)
    assert min(watch.momentum) == pytest.approx(0.85)


def test_linear_warmup_is_linear(tmp_path: Path):
    watch = Rates()
    schedules.linear_warmup(learner(tmp_path, cbs=[watch]), 1.0, epochs=4, warmup=0.5)
    rates = [r[0] for r in watch.rates]
    assert rates[:3] == pytest.approx([0.0, 0.05, 0.1])
    assert rates[STEPS * 2] == pytest.approx(1.0)
    assert rates[STEPS * 3] == pytest.approx(0.5)


def test_cosine_restarts(tmp_path: Path):
    watch = Rates()
    schedules.cosine(learner(tmp_path, cbs=[watch]), 1.0, epochs=4, cycles=2)
    assert watch.rates[0][0] == watch.rates[STEPS * 2][0] == pytest.approx(1.0)
    assert watch.rates[STEPS * 2 - 1][0] < 0.01


def test_discriminative_rates_are_spread_over_the_groups(tmp_path: Path):
    watch = Rates()
    schedules.constant(learner(tmp_path, cbs=[watch]), slice(1e-4, 1e-2), epochs=1)
    assert watch.rates[0] == pytest.approx([1e-4, 1e-3, 1e-2])


def test_fine_tune_trains_the_head_first_and_then_all(tmp_path: Path):
    watch = Rates()
    schedules.fine_tune(learner(tmp_path, cbs=[watch]), 1e-2, epochs=1, freeze_epochs=1)
    assert watch.trained == [2] * STEPS + [6] * STEPS
    assert watch.rates[-1][0] < watch.rates[-1][-1]


def test_gradual_unfreezing_adds_a_group_at_a_time(tmp_path: Path):
    watch = Rates()
    schedules.gradual_unfreezing(learner(tmp_path, cbs=[watch]), 1e-2)
    assert watch.trained[::STEPS] == [2, 4, 6]


# -- optimizers


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.AdamW, fused=True, weight_decay=0.1),
        partial(torch.optim.Adam, weight_decay=0.1),
        partial(torch.optim.SGD, momentum=0.9),
        torch.optim.Adafactor,
        Lamb,
        ranger,
    ],
    ids=["adamw", "adam", "sgd", "adafactor", "lamb", "ranger"],
)
def test_optimizers_of_torch_and_fastai_train(optimizer, tmp_path: Path):
    learn = learner(tmp_path, opt_func=as_opt_func(optimizer))
    before = float(learn.validate()[0])
    learn.fit(3, 1e-2)
    assert float(learn.validate()[0]) < before


def test_weights_decay_and_biases_and_norms_do_not(tmp_path: Path):
    learn = learner(tmp_path, opt_func=as_opt_func(partial(torch.optim.AdamW, weight_decay=0.3)))
    learn.create_opt()
    assert [h["wd"] for h in learn.opt.hypers] == [0.3] * 3
    learn.fit(1, 1e-3, wd=0.5)
    for group in learn.opt.opt.param_groups:
        assert (
            group["weight_decay"] == (0.5 if any(p.ndim > 1 for p in group["params"]) else 0.0) or not group["params"]
        )


def test_steps_equal_those_of_plain_torch(tmp_path: Path):
    learn = learner(tmp_path, opt_func=as_opt_func(partial(torch.optim.SGD, momentum=0.9)))
    twin = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    twin.load_state_dict(learn.model.state_dict())
    plain = torch.optim.SGD(twin.parameters(), lr=1e-2, momentum=0.9)
    for x, y in learn.dls.train:
        nn.functional.mse_loss(twin(x), y).backward()
        plain.step()
        plain.zero_grad()
    learn.fit(1, 1e-2)
    assert all(torch.equal(a, b) for a, b in zip(learn.model.parameters(), twin.parameters(), strict=True))


def test_frozen_groups_do_not_move(tmp_path: Path):
    learn = learner(tmp_path)
    learn.freeze()
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(1, 1e-2)
    moved = [not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True)]
    assert moved == [False] * 4 + [True] * 2


def test_an_optimizers_state_goes_through_save_and_load(tmp_path: Path):
    learn = learner(tmp_path)
    learn.fit(1, 1e-2)
    learn.save("here")
    twin = learner(tmp_path)
    twin.load("here")
    assert isinstance(twin.opt, TorchOptimizer)
    assert len(twin.opt.opt.state) == len(learn.opt.opt.state) == 6


# -- the learning rate


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (3e-4, 3e-4),
        ([1e-5, 1e-3], slice(1e-5, 1e-3)),
        (ListConfig([1e-5, 1e-3]), slice(1e-5, 1e-3)),
        (None, 7e-5),
    ],
    ids=["number", "pair", "pair of a config", "none"],
)
def test_a_learning_rate_is_a_number_a_pair_or_the_default(wish, expected):
    lr = learning_rate(wish, default=7e-5, find=pytest.fail)
    assert lr == expected
    assert learning_rate(as_numbers(lr), default=7e-5, find=pytest.fail) == expected


def my_schedule(learner: Learner, lr: float) -> None:
    learner.fit(1, lr)


@pytest.mark.parametrize(
    ("schedule", "config", "expected", "why"),
    [
        (partial(schedules.one_cycle, epochs=2), BertConfig(), 5e-5, "pretrained weights, 768 wide"),
        (partial(schedules.constant), BertConfig(hidden_size=384), 1e-4, "384 wide"),
        (partial(schedules.linear_warmup, freeze=False), BartConfig(d_model=1024), 5e-5, "1024 wide"),
        (partial(schedules.one_cycle), BertConfig(hidden_size=24), 2e-4, "24 wide"),
        (my_schedule, PretrainedConfig(), 5e-5, "pretrained weights"),
        (partial(schedules.one_cycle, freeze=True), BertConfig(), 2e-3, "head alone"),
        (partial(schedules.fine_tune), BertConfig(), 2e-3, "of the head"),
        (partial(schedules.gradual_unfreezing), BertConfig(), slice(1.25e-5, 2e-3), "from the first group"),
    ],
    ids=["base", "small", "large", "tiny", "own schedule, no width", "frozen", "fine_tune", "gradual"],
)
def test_the_default_rate_is_that_of_schedule_and_weights(schedule, config, expected, why: str):
    default = default_rate(schedule, weights="pretrained", config=config)
    assert default.rate == expected
    assert why in default.reason
    scratch = default_rate(schedule, weights="scratch", config=config)
    assert (scratch.rate, scratch.reason) == (1e-3, "weights from scratch")


def test_the_first_step_is_as_long_as_the_learning_rate(tmp_path: Path):
    """Adam's bias correction: the averages of the first step count as if they were those of many."""
    learn = learner(tmp_path)
    learn.create_opt()
    before = [p.detach().clone() for p in learn.model.parameters()]
    x, y = learn.dls.one_batch()
    learn.loss_func(learn.model(x), y).backward()
    learn.opt.set_hyper("lr", 1e-3)
    learn.opt.set_hyper("wd", 0.0)
    learn.opt.step()
    for old, new in zip(before, learn.model.parameters(), strict=True):
        assert torch.allclose((new - old).abs(), torch.full_like(new, 1e-3), rtol=1e-2)


@pytest.mark.parametrize("wish", ["fast", 0, -1e-3, [1e-3, "x"], [1, 2, 3], True])
def test_another_learning_rate_is_refused(wish):
    with pytest.raises(InputError, match="optimizer.lr is .*auto"):
        learning_rate(wish, default=1e-3, find=pytest.fail)


def test_auto_finds_a_rate_leaves_its_curve_and_the_model_as_it_was(tmp_path: Path):
    learn = learner(tmp_path)
    before = [p.clone() for p in learn.model.parameters()]
    found = learning_rate("auto", default=1e-3, find=partial(found_rate, learn, tmp_path))
    curve = json.loads((tmp_path / "lr_find.json").read_text())
    assert 1e-7 < found < 10
    assert curve["lr"] == found
    assert len(curve["rates"]) == len(curve["losses"]) > STEPS
    assert (tmp_path / "lr_find.png").stat().st_size > 1000
    assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))


# -- precision


def test_bf16_runs_the_model_in_bfloat16_on_the_cpu(tmp_path: Path):
    seen = []
    learn = learner(tmp_path, cbs=precision_callbacks("bf16"))
    learn.model[0].register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    before = float(learn.validate()[0])
    learn.fit(2, 1e-2)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}
    assert float(learn.validate()[0]) < before
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_ends_with_a_cancelled_batch(tmp_path: Path):
    from fastai.callback.core import CancelBatchException

    class Skip(Callback):
        order = 20

        def before_batch(self) -> None:
            raise CancelBatchException

    learn = learner(tmp_path, cbs=[*precision_callbacks("bf16"), Skip()])
    learn.fit(1, 1e-2)
    assert not torch.is_autocast_enabled("cpu")


def test_fp16_without_a_gpu_is_refused():
    if torch.cuda.is_available():
        assert len(precision_callbacks("fp16")) == 1
        return
    with pytest.raises(InputError, match="precision=fp16 needs a CUDA device"):
        precision_callbacks("fp16")


def test_plain_precisions_need_no_callback():
    assert precision_callbacks("tf32") == []
    assert torch.get_float32_matmul_precision() == "high"
    assert precision_callbacks("fp32") == []
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_seed_decides_pythons_numpys_and_torchs_numbers():
    import random

    def draw() -> tuple[float, float, float]:
        seed_everything(3)
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    assert draw() == draw()


@pytest.mark.parametrize("name", ["one_cycle", "flat_cos", "linear_warmup", "cosine", "constant"])
def test_freeze_trains_the_head_alone(name: str, tmp_path: Path):
    learn = learner(tmp_path)
    before = [p.clone() for p in learn.model.parameters()]
    getattr(schedules, name)(learn, 1e-2, epochs=1, freeze=True)
    moved = [not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True)]
    assert moved == [False] * 4 + [True] * 2
