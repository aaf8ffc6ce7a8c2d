"""Train a model of pictures or sounds in several ways in turn: what `vision` and `audio` share."""

import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from transformers import Trainer, TrainingArguments, set_seed

from benchmarks.measuring import Seconds, alternate, timed
from blurr.models.objects import HFObjects


@dataclass
class Seen:
    """What a way took, how good its model is, and the share of what it computed that was padding."""

    seconds: float
    accuracy: float
    padding: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """How all ways train."""

    batch: int
    rate: float
    epochs: int
    seed: int


def by_trainer(hf: HFObjects, train: Any, valid: Any, recipe: Recipe, **options: Any) -> tuple[Trainer, Seen]:
    """Train by transformers' Trainer, validation after each epoch included.

    Args:
        hf: Has the model.
        train: Training rows.
        valid: Rows to validate on.
        recipe: How.
        options: Of the Trainer.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {"learning_rate": recipe.rate, "num_train_epochs": recipe.epochs, "save_strategy": "no"}
        settings |= {"per_device_train_batch_size": recipe.batch, "per_device_eval_batch_size": 2 * recipe.batch}
        settings |= {"remove_unused_columns": False, "report_to": "none", "use_cpu": True, "disable_tqdm": True}
        set_seed(recipe.seed)
        trainer = Trainer(
            hf.model,
            TrainingArguments(folder, warmup_steps=0.25, weight_decay=0.01, eval_strategy="epoch", **settings),
            train_dataset=train,
            eval_dataset=valid,
            compute_metrics=lambda out: {"accuracy": float((out[0].argmax(1) == out[1]).mean())},
            **options,
        )
        seconds = timed(trainer.train)
        return trainer, Seen(seconds, trainer.evaluate()["eval_accuracy"])


def in_turn(
    ways: Mapping[str, Callable[..., Seen]], problem: Any, hf: HFObjects, *, repeats: int
) -> tuple[Seconds, dict[str, list[Seen]]]:
    """Let each way train a copy of the same first weights, in turn; return what they took, and what was seen."""
    seen: dict[str, list[Seen]] = {name: [] for name in ways}

    def seconds_of(name: str) -> float:
        copy = HFObjects(**{**vars(hf), "model": deepcopy(hf.model)})
        seen[name].append(ways[name](problem, copy))
        return seen[name][-1].seconds

    return alternate({name: partial(seconds_of, name) for name in ways}, repeats=repeats), seen
