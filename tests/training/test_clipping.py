"""Gradients are clipped by default, once a step, and as a user says."""

import re
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.training import GradientClip
from fastai.learner import Learner
from fastai.optimizer import Adam
from fastcore.foundation import L
from running import TINY_BERT, run
from safetensors.torch import load_file
from stopping import StopAt

from blurr.config import composing
from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.models.losses import PreCalculatedCrossEntropyLoss
from blurr.models.objects import build_model
from blurr.models.wrapper import BaseModelWrapper
from blurr.text.inputs import TEXT
from blurr.text.modeling.all import Blearner, BlearnerForSequenceClassification, SequenceClassification
from blurr.training.callbacks.gradient_accumulation import GradientAccumulation
from blurr.training.learner import BaseModelCallback
from blurr.training.optimizers import adamw, as_opt_func
from blurr.training.precision import precision_callbacks, seed_everything
from blurr.training.schedules import fine_tune

NORM = 0.05  # below all gradients of this model
SGD = as_opt_func(partial(torch.optim.SGD, momentum=0.9))


class Norms(Callback):
    """Notes the norm of the gradients with which each step is taken."""

    order = 3000

    def __init__(self) -> None:
        self.norms: list[float] = []

    def after_step(self) -> None:
        gradients = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
        self.norms.append(float(torch.cat(gradients).norm()))


@pytest.fixture
def learner(reviews: pd.DataFrame, tiny_bert: Path, tmp_path: Path):
    def make(cls: type[Learner] = Blearner, opt_func=SGD, cbs=(), **options) -> Learner:
        seed_everything(1)
        task = SequenceClassification()
        raw = from_data(task.schema, reviews)
        config = task.target.model_config(raw)
        given = {"model_cls": task.model_cls, "inputs": TEXT, "corpus": tuple, "load_weights": True}
        hf = build_model(str(tiny_bert), weights="pretrained", config=config, **given)
        dls = task.dataloaders(raw, hf, Loader(batch_size=8))
        options = {"path": tmp_path, "loss_func": PreCalculatedCrossEntropyLoss(), "cbs": [*cbs], **options}
        if cls is Learner:
            options["cbs"].append(BaseModelCallback)
        else:
            options["freeze"] = False
        made = cls(dls, BaseModelWrapper(hf.model), opt_func=opt_func, **options)
        made.remove_cbs([made.progress])
        made.logger = lambda *_: None
        return made

    return make


def weights(learn: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learn.model.parameters()]).clone()


def trained(learn: Learner) -> torch.Tensor:
    seed_everything(2)
    learn.fit(2, 1e-2)
    return weights(learn)


@pytest.mark.parametrize("opt_func", [SGD, adamw, Adam], ids=["SGD", "fused AdamW", "fastai's Adam"])
def test_clipping_moves_the_weights_as_fastais_callback_does_bit_by_bit(learner, opt_func):
    ours, fastais = learner(max_grad_norm=NORM, opt_func=opt_func), learner(Learner, opt_func, [GradientClip(NORM)])
    plain = trained(learner(max_grad_norm=None, opt_func=opt_func))
    found = trained(ours)
    assert torch.equal(found, trained(fastais))
    assert not torch.equal(found, plain)


def test_a_plain_learner_with_our_callback_is_left_alone(learner):
    assert torch.equal(trained(learner(Learner)), trained(learner(max_grad_norm=None)))


def test_the_whole_of_a_step_is_clipped_after_its_batches_are_added_up(learner):
    norms = Norms()
    learn = learner(max_grad_norm=NORM, cbs=[GradientAccumulation(2), norms, *precision_callbacks("bf16")])
    fine_tune(learn, 1e-2, epochs=1)
    assert len(norms.norms) == 2 * 2  # of 4 batches in each of two epochs
    assert norms.norms == pytest.approx([NORM] * 4, rel=1e-3)


class Scaled(MixedPrecision):
    """fastai's scaling of gradients, on the CPU."""

    def before_fit(self) -> None:
        self.learn.scaler, self.scales = torch.amp.GradScaler("cpu", init_scale=1024.0), L()
        self.autocast = torch.autocast("cpu", dtype=torch.bfloat16)


def test_scaled_gradients_are_clipped_after_they_are_scaled_back(learner):
    norms = Norms()
    learn = learner(max_grad_norm=NORM, cbs=[Scaled(), norms])
    learn.fit(1, 1e-2)
    assert norms.norms == pytest.approx([NORM] * len(norms.norms), rel=1e-3)
    small = learner(max_grad_norm=1e3, cbs=[Scaled()])
    plain = learner(max_grad_norm=None, cbs=[Scaled()])
    assert torch.equal(trained(small), trained(plain))  # 1024 times the gradients would be clipped


@pytest.mark.parametrize("own", [NORM, 1e6], ids=["lower", "higher"])
def test_a_callback_that_clips_counts_instead_and_nothing_is_clipped_twice(learner, own: float):
    found = trained(learner(max_grad_norm=2 * NORM, cbs=[GradientClip(own)]))
    assert torch.equal(found, trained(learner(max_grad_norm=None, cbs=[GradientClip(own)])))


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_is_not_hidden(learner, spoilt: float):
    class Spoil(Callback):
        def before_step(self) -> None:
            next(p for p in self.model.parameters() if p.grad is not None).grad[0] = spoilt

    learn = learner(cbs=[Spoil()])
    learn.fit(1, 1e-2)
    assert not torch.isfinite(weights(learn)).all()


def test_a_notebook_has_it_as_an_argument(reviews: pd.DataFrame, tiny_bert: Path):
    make = partial(BlearnerForSequenceClassification.from_data, reviews, str(tiny_bert))
    assert make().max_grad_norm == 1.0
    assert make(max_grad_norm=None).max_grad_norm is None
    assert make(learner_kwargs={"max_grad_norm": 0.5}).max_grad_norm == 0.5
    with pytest.raises(InputError, match=r"max_grad_norm=-1: must be a number above 0, or None"):
        make(max_grad_norm=-1)


# -- the command line


@pytest.mark.parametrize(
    ("words", "norm", "of_callback"),
    [
        ([], 1.0, None),
        (["optimizer.max_grad_norm=0.5"], 0.5, None),
        (["callbacks=[gradient_clip]"], 1.0, 1.0),
        (["callbacks=[gradient_clip]", "optimizer.max_grad_norm=0.5"], 0.5, 0.5),
        (["callbacks=[gradient_clip]", "callbacks.gradient_clip.max_norm=0.3"], 1.0, 0.3),
        (["callbacks=[gradient_clip]", "~optimizer.max_grad_norm"], None, 1.0),
    ],
    ids=str,
)
def test_the_callback_is_another_name_of_the_key(words, norm, of_callback):
    cfg = composing.compose(words)
    assert cfg.optimizer.get("max_grad_norm") == norm
    assert ("gradient_clip" in cfg.callbacks and cfg.callbacks.gradient_clip.max_norm) == (of_callback or False)


@pytest.mark.parametrize("value", ["0", "-1", ".nan", "much", "auto"])
def test_what_is_no_norm_is_refused(answer, value: str):
    said = answer(f"optimizer.max_grad_norm={value}")
    assert re.search(r"^optimizer\.max_grad_norm=\S+: must be a number above 0 .*or null", said)


RUN = ["data.rows=60", "loader.batch_size=8", "schedule.epochs=2", "checkpoint.every_steps=3", "tracking=none"]
RUN += ["optimizer.lr=0.05", "+callbacks.stopper={_target_: stopping.StopAt}", *TINY_BERT]


@pytest.mark.slow
def test_a_run_that_began_before_the_key_was_there_goes_on_unclipped(work: Path, monkeypatch):
    run(work / "whole", *RUN, "optimizer.max_grad_norm=null")
    run(work / "clipped", *RUN)
    monkeypatch.setattr(StopAt, "batch", 8)
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work / "out", *RUN, "~optimizer.max_grad_norm")
    monkeypatch.setattr(StopAt, "batch", 0)
    with pytest.raises(InputError, match=r"another config: optimizer\.max_grad_norm=1 \(was None\)"):
        run(work / "out", *RUN, "optimizer.max_grad_norm=1", "resume=auto")
    run(work / "out", *RUN, "resume=auto")
    whole, clipped, out = (load_file(work / name / "model/model.safetensors") for name in ("whole", "clipped", "out"))
    assert all(torch.equal(whole[name], out[name]) for name in whole)
    assert any(not torch.equal(whole[name], clipped[name]) for name in whole)
    assert "max_grad_norm" not in yaml.safe_load((work / "out" / "config.yaml").read_text())["optimizer"]
