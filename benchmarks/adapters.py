"""Compare an adapter with training all weights: `python -m benchmarks.adapters --data FOLDER --model FOLDER`.

FOLDER of the data holds sst2 (`train.tsv` and `dev.tsv`), FOLDER of the model an encoder such as all-MiniLM-L6-v2. It
is trained on the first 1,000 rows, all weights or LoRA of rank 8 beside every linear layer, by blurr and by
transformers' Trainer with peft (`benchmarks/peers/trainer_peft.py`): the same rows, steps, rates and batch size, one
after the other for each of three seeds, which change head, adapter and order of rows. Times are milliseconds of one
thread of a processor for a training step. What is saved of an adapter is loaded again, and its logits are compared.
"""

import argparse
import csv
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets.utils import logging as datasets_logging
from fastai.callback.core import Callback
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers import logging as transformers_logging

from benchmarks.commands import markdown, show
from benchmarks.measuring import machine, ratio, seconds
from benchmarks.peers.trainer_peft import Recipe, train
from blurr.data.at_hand import from_data
from blurr.loading.loader import Loader
from blurr.metrics.classification import Accuracy
from blurr.models.adapted import merged
from blurr.models.adapter_files import save_adapter
from blurr.models.adapters import lora, with_adapter
from blurr.models.objects import HFObjects, build_model
from blurr.process.setup import hide_progress_bars
from blurr.runs.folder import ADAPTER, MODEL
from blurr.tasks.saved import SavedTask, save_model
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.training.checkpoints import WEIGHTS, Checkpointing, Checkpoints
from blurr.training.precision import seed_everything
from blurr.training.schedules import one_cycle

ROWS, SEEDS, COMPARED = 1000, (1, 2, 3), 64
RECIPE = Recipe(rank=8, batch=16, epochs=1, rates={"full": 1e-4, "lora": 1e-3})
HEADER = ["way", "accuracy", "its mean", "weights trained", "ms a step", "full = 1", "checkpoint", "weights in it"]


@dataclass(frozen=True)
class Seen:
    """What a way took and gave, of one seed.

    Attributes:
        accuracy: On the validation rows.
        step: Milliseconds.
        trained: Share of the weights.
        checkpoint: Bytes of a whole checkpoint.
        weights: Bytes of the weights in it.
        differences: Of the logits, where something was saved and loaded again.
    """

    accuracy: float
    step: float
    trained: float
    checkpoint: int
    weights: int
    differences: dict[str, float]


class Clock(Callback):  # type: ignore[misc]  # fastai is not typed
    """Adds up what steps take."""

    order = 999

    def before_train(self) -> None:
        self.start = seconds()

    def after_train(self) -> None:
        self.step = 1000 * (seconds() - self.start) / self.n_iter


def rows_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the rows."""
    found = {}
    for split, name, most in (("train", "train.tsv", ROWS), ("valid", "dev.tsv", None)):
        with (folder / "sst2" / name).open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[:most]
        found[split] = [{"text": line["sentence"], "label": int(line["label"])} for line in lines]
    return found


def by_blurr(model: Path, rows: dict[str, list[dict[str, Any]]], way: str, seed: int, folder: Path) -> Seen:
    """Train by blurr, and load again what is saved."""
    seed_everything(seed)
    task = SequenceClassification()
    raw = from_data(
        task.schema, [{**row, "is_valid": split == "valid"} for split, each in rows.items() for row in each]
    )
    known: dict[str, Any] = {"model_cls": task.model_cls, "inputs": task.inputs, "corpus": tuple, "load_weights": True}
    hf = build_model(str(model), config=task.target.model_config(raw), weights="pretrained", **known)
    total = hf.model.num_parameters()
    if way == "lora":
        hf = with_adapter(hf, lora(RECIPE.rank), name=str(model))
    dls = task.dataloaders(raw, hf, Loader(batch_size=RECIPE.batch, seed=seed, cache=False))
    clock = Clock()
    facts = {"data": raw.fingerprint, "lr": [RECIPE.rates[way]], "bytes": 0, "batch_size": RECIPE.batch}
    saving = Checkpointing(Checkpoints(every_epochs=1), folder, lambda: facts)
    learner = task.learner(dls, hf, raw=raw, metrics={"accuracy": Accuracy()}, cbs=[clock, saving])
    learner.logger = lambda *_: None
    with learner.no_bar():
        one_cycle(learner, RECIPE.rates[way], epochs=RECIPE.epochs)
    (checkpoint,) = folder.glob("step-*")
    trained = sum(p.numel() for p in hf.model.parameters() if p.requires_grad) / total
    sizes = size(checkpoint), (checkpoint / WEIGHTS).stat().st_size
    differences = reloaded(model, hf, SavedTask(task), rows["valid"], folder) if hf.adapter else {}
    return Seen(float(learner.recorder.values[-1][-1]), clock.step, trained, *sizes, differences)


def reloaded(
    model: Path, hf: HFObjects, saved: SavedTask, rows: list[dict[str, Any]], folder: Path
) -> dict[str, float]:
    """Save an adapter in both ways, and return by how much the logits of what is loaded differ."""
    save_model(folder / MODEL, saved, hf)
    save_adapter(folder / ADAPTER, hf.adapter)  # type: ignore[arg-type]  # it has one
    fresh = AutoModelForSequenceClassification.from_pretrained(model)
    inputs = AutoTokenizer.from_pretrained(model)(
        [row["text"] for row in rows[:COMPARED]], padding=True, return_tensors="pt"
    )
    whole = AutoModelForSequenceClassification.from_pretrained(folder / MODEL)
    with torch.no_grad():
        trained, loaded = logits(hf.model, inputs), logits(whole, inputs)
        beside = logits(PeftModel.from_pretrained(fresh, folder / ADAPTER), inputs)
        added = logits(merged(hf.adapter), inputs)  # type: ignore[arg-type]  # it has one
    pairs = {"adapter, loaded": (beside, trained), "merged, loaded": (loaded, added), "merging": (added, trained)}
    found = {name: float((one - other).abs().max()) for name, (one, other) in pairs.items()}
    return {**found, "merging, of the largest": found["merging"] / float(trained.abs().max())}


def logits(model: Any, inputs: Any) -> torch.Tensor:
    """Return what a model says of a batch."""
    found: torch.Tensor = model.eval()(**inputs).logits
    return found


def by_trainer(model: Path, rows: dict[str, list[dict[str, Any]]], way: str, seed: int, folder: Path) -> Seen:
    """Train by Trainer, with peft where an adapter is trained."""
    trainer, clock = train(model, rows, way, RECIPE, seed, folder)
    (checkpoint,) = folder.glob("checkpoint-*")
    weights = next(path for path in checkpoint.glob("*model.safetensors"))
    parameters = list(trainer.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    base = sum(p.numel() for p in parameters) - (trained if way == "lora" else 0)
    sizes = size(checkpoint), weights.stat().st_size
    accuracy = trainer.evaluate()["eval_accuracy"]
    return Seen(accuracy, 1000 * clock.total / clock.steps, trained / base, *sizes, {})


def size(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


WAYS = {
    ("blurr", "full"): by_blurr,
    ("blurr", "lora"): by_blurr,
    ("Trainer", "full"): by_trainer,
    ("Trainer", "lora"): by_trainer,
}


def lines_of(seen: dict[tuple[str, str], list[Seen]]) -> Iterator[list[str]]:
    """Yield a line of the table for each way."""
    for (who, way), each in seen.items():
        steps, full = [one.step for one in each], [one.step for one in seen[who, "full"]]
        accuracies = [one.accuracy for one in each]
        yield [
            f"{who}, {'all weights' if way == 'full' else f'LoRA r={RECIPE.rank}'}",
            ", ".join(f"{accuracy:.3f}" for accuracy in accuracies),
            f"{statistics.mean(accuracies):.3f}",
            f"{each[0].trained:.2%}",
            f"{statistics.median(steps):.0f}",
            f"{ratio(steps, full):.2f}",
            f"{each[0].checkpoint / 1e6:.2f} MB",
            f"{each[0].weights / 1e6:.2f} MB",
        ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    hide_progress_bars()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    datasets_logging.disable_progress_bar()
    rows = rows_of(given.data)
    seen: dict[tuple[str, str], list[Seen]] = {key: [] for key in WAYS}
    for seed in given.seeds:
        for (who, way), call in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                seen[who, way].append(call(given.model, rows, way, seed, Path(folder)))
    show(f"{machine()}\n\n{markdown(HEADER, list(lines_of(seen)))}")
    found = [one.differences for one in seen["blurr", "lora"]]
    most = {name: max(each[name] for each in found) for name in found[0]}
    told = ", ".join(f"{name} {value:.2g}" for name, value in most.items())
    show(f"\nLogits differ at most by: {told} ({COMPARED} rows, {len(found)} seeds).")


if __name__ == "__main__":
    main()
