"""Time what a training loop adds to a step: `python -m benchmarks.step`.

One linear layer, the same batches, weights, fused AdamW, clipping and learning rates: a raw loop, fastai's Learner,
transformers' Trainer, Lightning, and blurr with scheduler, recorder, progress bar and MLflow. Then one optimizer step
of 22 million parameters, against fastai's Adam, and a call of a function that a config names, against a plain one.
Needs the packages accelerate and lightning.
"""

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import lightning
import torch
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam, OptimWrapper
from omegaconf import OmegaConf
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments

from benchmarks.commands import markdown, show
from benchmarks.measuring import Seconds, alternate, machine, ratio, timed
from blurr.config.building import build
from blurr.models.losses import PreCalculatedCrossEntropyLoss
from blurr.tracking.trackers import MLflowTracker, tracked_run
from blurr.training.checkpoints import Checkpointing, Checkpoints
from blurr.training.guard import Guard
from blurr.training.learner import Blearner
from blurr.training.optimizers import adamw
from blurr.training.progress import TerminalProgress
from blurr.training.schedules import one_cycle
from blurr.training.tracking import TrackingCallback

STEPS, CALLS, REPEATS, LR = 500, 20_000, 5, 1e-3
SIZES = [(30522, 384), *[(384, 384)] * 24, *[(384, 1536)] * 12, *[(384,)] * 100]  # as of a small encoder
Batches = list[tuple[dict[str, torch.Tensor], torch.Tensor]]


class Linear(PreTrainedModel):
    """One linear layer in the clothes of a Hugging Face model."""

    config_class = PretrainedConfig

    def __init__(self) -> None:
        super().__init__(PretrainedConfig())
        torch.manual_seed(1)
        self.linear = nn.Linear(8, 2)

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
        """Give the loss and the logits."""
        logits = self.linear(input_ids)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class OfDict(nn.Module):
    """The same, of one dict, as fastai's loop wants it."""

    def __init__(self, model: Linear) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: dict[str, torch.Tensor]) -> Any:
        """Give what the model gives."""
        return self.model(**x)


class LinearModule(lightning.LightningModule):
    """The same for Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Linear()

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        loss = self.model(**batch[0])["loss"]
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = AdamW(self.parameters(), lr=LR, fused=True)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule(optimizer), "interval": "step"}}


class Clock(lightning.Callback):
    """Take the time of Lightning's loop, without what it prepares."""

    def on_train_start(self, *_: Any) -> None:
        self.start = time.process_time()

    def on_train_end(self, *_: Any) -> None:
        self.seconds = time.process_time() - self.start


class GivenBatches(Trainer):
    """A Trainer that takes batches as they are, and notes the time of its loop."""

    def get_train_dataloader(self) -> Any:
        return DataLoader([x for x, _ in self.train_dataset], batch_size=None)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        result = None

        def run() -> None:
            nonlocal result
            result = super(GivenBatches, self)._inner_training_loop(*args, **kwargs)

        self.seconds = timed(run)
        return result


class ReadyBatches:
    """A loader of batches that are there already, in fastai's words."""

    n_inp, bs, device, vocab, dataset, epoch = 1, 4, torch.device("cpu"), None, None, 0

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return iter(self.batches)

    def to(self, device: Any) -> None:
        """There is nothing to move."""


def schedule(optimizer: torch.optim.Optimizer) -> LambdaLR:
    """Let the learning rate rise and fall by cosines."""
    return LambdaLR(optimizer, lambda step: (1 - math.cos(2 * math.pi * (step + 1) / (STEPS + 1))) / 2)


def raw_loop(batches: Batches) -> float:
    """Train by the least code there is; give the seconds, as all that follow do."""
    model = Linear()
    optimizer = AdamW(model.parameters(), lr=LR, fused=True)
    scheduler = schedule(optimizer)
    start = time.process_time()
    for x, _ in batches:
        model(**x)["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return time.process_time() - start


def by_fastai(batches: Batches, weights: dict[str, Any]) -> float:
    """Train by a stock Learner, and keep its weights."""
    loaders, model = DataLoaders(ReadyBatches(batches), ReadyBatches([])), Linear()
    optimizer = partial(OptimWrapper, opt=AdamW, fused=True, weight_decay=0.0)
    learner = Learner(
        loaders, OfDict(model), lambda output, _: output["loss"], opt_func=optimizer, cbs=GradientClip(1.0)
    )
    seconds = timed(lambda: one_cycle(learner, LR, epochs=1))
    weights["fastai"] = model.state_dict()
    return seconds


def by_trainer(batches: Batches) -> float:
    """Train by Trainer, which records nothing."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"report_to": "none", "save_strategy": "no", "use_cpu": True}
        options = {"num_train_epochs": 1, "learning_rate": LR, "lr_scheduler_type": "cosine", "warmup_steps": 0.25}
        trainer = GivenBatches(Linear(), TrainingArguments(folder, **quiet, **options), train_dataset=batches)
        trainer.train()
    return trainer.seconds


def by_lightning(batches: Batches) -> float:
    """Train by Lightning, which records nothing but the last loss."""
    clock = Clock()
    options = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_epochs=1, gradient_clip_val=1.0, callbacks=[clock], **options)
    trainer.fit(LinearModule(), DataLoader(batches, batch_size=None))
    return clock.seconds


def by_blurr(batches: Batches, weights: dict[str, Any], store: str) -> float:
    """Train as `blurr run` does, with progress bar and MLflow, and keep the weights."""
    loaders, model = DataLoaders(ReadyBatches(batches), ReadyBatches([])), Linear()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tracked_run(MLflowTracker(uri=store), folder=folder, config={}, overrides=[], tags={}) as run:
            learner = Blearner(
                loaders,
                model,
                loss_func=PreCalculatedCrossEntropyLoss(),
                opt_func=partial(adamw, weight_decay=0.0),
                splitter=lambda m: [list(m.parameters())],
                cbs=[Guard(), TrackingCallback(run), Checkpointing(Checkpoints(), folder / "checkpoints", dict)],
                freeze=False,
                path=folder,
            )
            with TerminalProgress.shown(learner):
                # the thread that sends to MLflow may still be at work when the training ends
                seconds = timed(lambda: [one_cycle(learner, LR, epochs=1), run._sink.settle()])
    weights["blurr"] = model.state_dict()
    return seconds


def optimizer_step(make: Callable[[list[nn.Parameter]], Any]) -> Callable[[], float]:
    """Give what times five steps of an optimizer, and takes the mean."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(size)) for size in SIZES]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = make(parameters)
    return lambda: timed(lambda: [optimizer.step() for _ in range(5)]) / 5


def lowered(text: str, *, stripped: bool = True) -> str:
    """Do what a small metric or transform does."""
    return text.strip().lower() if stripped else text.lower()


def calls(function: Callable[[str], str]) -> Callable[[], float]:
    """Give what times a call, and takes the mean."""
    return lambda: timed(lambda: [function(" Some TEXT ") for _ in range(CALLS)]) / CALLS


def quietly(way: Callable[[], float]) -> float:
    """Let a way draw its progress bar where nobody sees it."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return way()


def loops() -> tuple[Seconds, bool]:
    """Time the loops; say whether blurr's weights are fastai's, bit by bit."""
    torch.manual_seed(0)
    batches = [({"input_ids": torch.randn(4, 8), "labels": torch.randint(0, 2, (4,))}) for _ in range(STEPS)]
    given = [(x, x["labels"]) for x in batches]
    weights: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        ways: dict[str, Callable[[], float]] = {
            "raw loop": partial(raw_loop, given),
            "blurr": partial(by_blurr, given, weights, store),
            "fastai": partial(by_fastai, given, weights),
            "Trainer": partial(by_trainer, given),
            "Lightning": partial(by_lightning, given),
        }
        seconds = alternate({name: partial(quietly, way) for name, way in ways.items()}, repeats=REPEATS)
    return seconds, all(torch.equal(value, weights["fastai"][name]) for name, value in weights["blurr"].items())


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    for name in ("mlflow", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    seconds, is_equal = loops()
    raw = seconds.pop("raw loop")
    over = {name: [(a - b) / STEPS for a, b in zip(taken, raw, strict=True)] for name, taken in seconds.items()}
    rows = [["a step of the raw loop", f"{1e3 * median(raw) / STEPS:.3f}", ""]]
    for name, added in over.items():
        share = "" if name == "blurr" else f"{ratio(over['blurr'], added):.3f}"
        rows.append([f"what {name} adds to it", f"{1e3 * median(added):.3f}", share])
    steps = alternate(
        {"blurr": optimizer_step(lambda p: adamw([p])), "fastai": optimizer_step(lambda p: Adam(p, 1e-3))},
        repeats=REPEATS,
    )
    rows.append(["optimizer step of blurr's AdamW", f"{1e3 * median(steps['blurr']):.1f}", ""])
    share = f"{ratio(steps['blurr'], steps['fastai']):.3f}"
    rows.append(["optimizer step of fastai's Adam", f"{1e3 * median(steps['fastai']):.1f}", share])
    configured = build(OmegaConf.create({"_target_": f"{__spec__.name}.lowered", "_partial_": True, "stripped": True}))
    each = alternate({"plain": calls(lowered), "configured": calls(configured)}, repeats=REPEATS)
    rows.append(["a call of a plain function", f"{1e3 * median(each['plain']):.5f}", ""])
    share = f"{ratio(each['configured'], each['plain']):.2f} times"
    rows.append(["the same, named by a config", f"{1e3 * median(each['configured']):.5f}", share])
    show(markdown(["what", "milliseconds", "blurr's share"], rows))
    show(f"\n{machine()}; medians of {REPEATS} rounds of {STEPS} steps")
    show(f"blurr's weights equal fastai's, bit by bit: {is_equal}")


if __name__ == "__main__":
    main()
