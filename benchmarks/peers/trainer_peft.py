"""Fine-tune all weights or a LoRA adapter by transformers' Trainer and peft, as their examples do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from benchmarks.measuring import seconds


@dataclass(frozen=True)
class Recipe:
    """How all ways train."""

    rank: int
    batch: int
    epochs: int
    rates: dict[str, float]


class Clock(TrainerCallback):
    """Adds up what steps take."""

    def __init__(self) -> None:
        self.total, self.steps, self.start = 0.0, 0, 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.start = seconds()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.total, self.steps = self.total + seconds() - self.start, self.steps + 1


def train(model: Path, rows: dict[str, list[dict[str, Any]]], way: str, recipe: Recipe, seed: int, folder: Path) -> Any:
    """Train, and keep a checkpoint.

    Args:
        model: The checkpoint to begin with.
        rows: Of `train` and `valid`: `text` and `label`.
        way: `full` or `lora`.
        recipe: How.
        seed: Of the head, the adapter and the order.
        folder: Of the checkpoint.

    Returns:
        The Trainer, and its clock.
    """
    set_seed(seed)
    tokenizer, net = AutoTokenizer.from_pretrained(model), AutoModelForSequenceClassification.from_pretrained(model)
    if way == "lora":
        config = LoraConfig(r=recipe.rank, lora_alpha=32, target_modules="all-linear", task_type="SEQ_CLS")
        net = get_peft_model(net, config)
    encoded = {
        split: Dataset.from_list(each).map(lambda row: tokenizer(row["text"], truncation=True), remove_columns=["text"])
        for split, each in rows.items()
    }
    settings: dict[str, Any] = {
        "learning_rate": recipe.rates[way],
        "num_train_epochs": recipe.epochs,
        "weight_decay": 0.01,
    }
    settings |= {"per_device_train_batch_size": recipe.batch, "per_device_eval_batch_size": 2 * recipe.batch}
    settings |= {"warmup_steps": 0.25, "save_strategy": "epoch", "report_to": "none", "use_cpu": True, "seed": seed}
    clock = Clock()
    trainer = Trainer(
        net,
        TrainingArguments(str(folder), disable_tqdm=True, logging_strategy="no", **settings),
        train_dataset=encoded["train"],
        eval_dataset=encoded["valid"],
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda out: {"accuracy": float((np.argmax(out[0], 1) == out[1]).mean())},
        callbacks=[clock],
    )
    trainer.train()
    return trainer, clock
