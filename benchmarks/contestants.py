"""Train a model for an epoch in several ways: a raw loop, transformers' Trainer, blurr 1.x's way, and blurr."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam
from fastai.text.data import SortedDL
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    PreTrainedModel,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.measuring import seconds, timed
from blurr.data.core import RawData
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.models.objects import HFObjects
from blurr.tasks.base import Task
from blurr.text.inputs import TextRows
from blurr.tracking.trackers import Tracker, tracked_run
from blurr.training.optimizers import adamw
from blurr.training.precision import Precision, compile_callbacks, for_compiling, precision_callbacks
from blurr.training.progress import TerminalProgress
from blurr.training.schedules import one_cycle
from blurr.training.tracking import TrackingCallback

BATCH, LR, DECAY, SEED = 16, 3e-4, 0.01, 42
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
RISE = 0.25  # share of the steps in which the learning rate rises
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Problem:
    """What all contestants train on.

    Args:
        task: which tokenizes.
        raw: the rows.
        hf: tokenizer and first weights.
        columns: the training rows, tokenized.
    """

    task: Task
    raw: RawData
    hf: HFObjects
    columns: Columns

    def model(self) -> PreTrainedModel:
        """Give a model with the first weights, and begin the random numbers anew."""
        torch.manual_seed(SEED)
        return deepcopy(self.hf.model).train().to(DEVICE)

    @property
    def is_seq2seq(self) -> bool:
        return bool(self.hf.config.is_encoder_decoder)

    @property
    def tokens(self) -> int:
        """Tokens of the training rows, without padding."""
        sources = sum(len(ids) for ids in self.columns["input_ids"])
        return sources + (sum(len(ids) for ids in self.columns["labels"]) if self.is_seq2seq else 0)


@dataclass(frozen=True)
class Trained:
    """What came of a way to train.

    Args:
        model: the trained model.
        seconds: for the epoch, see `benchmarks.measuring.seconds`.
    """

    model: nn.Module
    seconds: float


class Watch(Callback):  # type: ignore[misc]  # fastai is not typed
    """Take the time of a stock Learner's epoch, without its validation."""

    def before_train(self) -> None:
        self.start = seconds()

    def after_train(self) -> None:
        self.seconds = seconds() - self.start


class TrainerWatch(TrainerCallback):
    """Take the time of a Trainer's loop, without what it prepares."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.start = seconds()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.seconds = seconds() - self.start


# -- the raw loop


def padded(problem: Problem, rows: Sequence[int]) -> dict[str, torch.Tensor]:
    """Make a batch of rows."""
    batch = {}
    for name, values in problem.columns.items():
        if isinstance(values[0], int):
            batch[name] = torch.tensor([values[i] for i in rows])
            continue
        fill = IGNORED if name == "labels" else problem.hf.tokenizer.pad_token_id if name == "input_ids" else 0
        batch[name] = pad_sequence([torch.tensor(values[i]) for i in rows], batch_first=True, padding_value=fill)
    lengths = torch.tensor([len(problem.columns["input_ids"][i]) for i in rows])
    batch["attention_mask"] = (torch.arange(batch["input_ids"].shape[1]) < lengths[:, None]).long()
    return batch


def of_device(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring a batch to where the model is."""
    return {name: values.to(DEVICE, non_blocking=True) for name, values in batch.items()}


def sorted_batches(problem: Problem) -> list[list[int]]:
    """Sort all rows by their lengths, and shuffle the batches: no order pads less."""
    padded_columns = ("input_ids", "labels") if problem.is_seq2seq else ("input_ids",)
    lengths = list(zip(*([len(ids) for ids in problem.columns[name]] for name in padded_columns), strict=True))
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    return [batches[i] for i in np.random.default_rng(SEED).permutation(len(batches))]


def by_raw_loop(problem: Problem, *, bf16: bool = False) -> Trained:
    """Train by the least code there is: rows of like length, fused AdamW, a scheduler."""
    model = problem.model()
    start = seconds()
    batches = sorted_batches(problem)
    weights = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, weight_decay=DECAY, fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LR, len(batches), pct_start=RISE, cycle_momentum=False, div_factor=25, final_div_factor=4e3
    )
    losses = []
    for rows in batches:
        batch = of_device(padded(problem, rows))
        with torch.autocast(DEVICE.type, torch.bfloat16) if bf16 else nullcontext():
            loss = model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # as Trainer and blurr do
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return Trained(model, seconds() - start)


# -- transformers' Trainer


def by_trainer(problem: Problem, *, bf16: bool = False, grouped: bool = False, compiled: bool = False) -> Trained:
    """Train by Trainer, or Seq2SeqTrainer, with what it does by default."""
    model, watch = problem.model(), TrainerWatch()
    cls, arguments = (Seq2SeqTrainer, Seq2SeqTrainingArguments) if problem.is_seq2seq else (Trainer, TrainingArguments)
    collator = DataCollatorForSeq2Seq if problem.is_seq2seq else DataCollatorWithPadding
    options = {"train_sampling_strategy": "group_by_length"} if grouped else {}
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": DEVICE.type == "cpu"}
    schedule = {"lr_scheduler_type": "cosine", "warmup_steps": RISE, "learning_rate": LR, "weight_decay": DECAY}
    sizes = {"per_device_train_batch_size": BATCH, "num_train_epochs": 1, "seed": SEED, "bf16": bf16}
    sizes["torch_compile"] = compiled
    with tempfile.TemporaryDirectory() as folder:
        trainer = cls(
            model=model,
            args=arguments(folder, **quiet, **schedule, **sizes, **options),
            train_dataset=Dataset.from_dict(problem.columns),
            data_collator=collator(problem.hf.tokenizer),
            processing_class=problem.hf.tokenizer,
            callbacks=[watch],
        )
        trainer.train()
    return Trained(model, watch.seconds)


# -- blurr 1.x's way


class OfLogits(nn.Module):
    """A model that takes a dict, as blurr 1.x wrapped it, and gives its loss."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.hf_model = model

    def forward(self, x: Mapping[str, torch.Tensor]) -> torch.Tensor:
        loss: torch.Tensor = self.hf_model(**x).loss
        return loss


def by_1x(problem: Problem) -> Trained:
    """Train as blurr 1.x did: texts tokenized batch by batch, and fastai's own Learner, callbacks and Adam.

    Its loader sorts single texts by their tokens, which were counted when it was made; pairs it left in random order.
    """
    model, watch = problem.model(), Watch()
    texts, pairs = problem.raw.train["text"][:], "text_pair" in problem.raw.train.column_names
    items = list(zip(texts, problem.raw.train["text_pair"][:], strict=True)) if pairs else texts
    rows = list(zip(items, problem.columns["labels"], strict=True))
    limit = problem.task.max_length if pairs else None

    def tokenize(batch: list[Any]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        options = {"padding": True, "truncation": True, "max_length": limit, "return_tensors": "pt"}
        inputs = dict(problem.hf.tokenizer([item for item, _ in batch], **options))
        labels = torch.tensor([label for _, label in batch])
        return {**inputs, "labels": labels}, labels

    res = [2] * len(rows) if pairs else [len(ids) for ids in problem.columns["input_ids"]]
    dl = SortedDL(rows, res=res, bs=BATCH, shuffle=True, create_batch=tokenize, num_workers=0)
    few = SortedDL(rows[:1], res=res[:1], bs=BATCH, create_batch=tokenize, num_workers=0)
    learner = Learner(DataLoaders(dl, few), OfLogits(model), lambda loss, _: loss, opt_func=Adam, cbs=watch, wd=DECAY)
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, LR, cbs=ParamScheduler({"lr": combined_cos(RISE, LR / 25, LR, LR / 1e5)}))
    return Trained(model, watch.seconds)


# -- blurr


def by_blurr(
    problem: Problem, tracker: Tracker, *, precision: Precision = "fp32", compiled: bool = False, batch: int = BATCH
) -> Trained:
    """Train as `blurr run` does, with its progress bar and its record, but without validation.

    Args:
        problem: what is trained on.
        tracker: where it is recorded.
        precision: of the products.
        compiled: the model is.
        batch: rows of a step, over all processes of the training.
    """
    hf = HFObjects(problem.hf.arch, problem.hf.config, problem.hf.tokenizer, problem.model(), problem.hf.weights)
    loader = Loader(batch_size=batch, seed=SEED)
    dls = problem.task.dataloaders(problem.raw, hf, for_compiling(loader) if compiled else loader)
    loaders = DataLoaders(dls.train, dls.valid.new(TextRows({})))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
            cbs = [TrackingCallback(run), *precision_callbacks(precision), *compile_callbacks(compiled)]
            learner = problem.task.learner(
                loaders, hf, raw=problem.raw, metrics={}, optimizer=adamw, cbs=cbs, path=folder
            )
            with TerminalProgress.shown(learner):
                taken = timed(lambda: one_cycle(learner, LR, epochs=1, pct_start=RISE))
    return Trained(hf.model, taken)
