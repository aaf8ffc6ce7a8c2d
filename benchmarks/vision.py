"""Time image classification: `python -m benchmarks.vision --data FOLDER`; the folder holds fashion_mnist.

Pictures per second of one processor, over the same rows, first weights (a small ResNet), batch size, learning rate and
number of steps, validation after each epoch included, each way in turn: blurr; transformers' Trainer with the
transforms of its example for image classification; a fastai Learner with ImageBlock; a bare loop over batches that lie
ready in memory, at a constant rate. Then, on generated JPEGs of 500 pixels: an epoch that decodes them, and one that
takes them from blurr's cache; and the memory that 1,000 and 10,000 rows take. Trainer needs the package accelerate.
"""

import argparse
import io
import os
import random
import resource
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader, ColSplitter
from fastai.learner import Learner
from fastai.metrics import accuracy
from fastai.vision.augment import Resize
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock
from PIL import Image
from torch import nn
from torchvision.transforms import v2
from transformers import set_seed

from benchmarks.commands import markdown, show
from benchmarks.measuring import machine, ratio, timed
from benchmarks.media_ways import Recipe, Seen, by_trainer, in_turn
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.loading.loader import Loader
from blurr.metrics.classification import Accuracy
from blurr.models.objects import HFObjects
from blurr.tasks.parts import build_hf
from blurr.vision.image_classification import ImageClassification

BATCH, RATE, EPOCHS = 16, 3e-3, 2
TRAIN, VALID, SIDE, SEED = 2000, 500, 32, 42
JPEG_SIDE, JPEGS = 500, 300
MANY = (1_000, 10_000)
RECIPE = Recipe(BATCH, RATE, EPOCHS, SEED)
HEADER = ["way", "pictures a second", "blurr is faster", "accuracy, mean of the rounds"]


@dataclass
class Problem:
    """The same for all ways."""

    raw: RawData
    hf: HFObjects
    frame: pd.DataFrame


def problem_of(data: Path) -> Problem:
    """Read the rows, and make first weights."""
    files = {"train": TRAIN, "test": VALID}
    parts = [pd.read_parquet(data / "fashion_mnist" / f"{name}.parquet").head(n) for name, n in files.items()]
    frame = pd.concat([part.assign(is_valid=name == "test") for part, name in zip(parts, files, strict=True)])
    frame = frame.reset_index(drop=True)
    task = ImageClassification(size=SIDE)
    raw = from_data(task.row_schema(), frame)
    torch.manual_seed(SEED)
    cfg = compose(["task=image_classification", "model.weights=scratch", f"model.scratch.image_size={SIDE}"])
    return Problem(raw, build_hf(cfg, task, raw), frame)


# -- the ways


def by_blurr(problem: Problem, hf: HFObjects) -> Seen:
    """Train by blurr, without a cache of earlier runs."""
    task, metrics = ImageClassification(size=SIDE), {"accuracy": Accuracy()}

    def train() -> Any:
        dls = task.dataloaders(problem.raw, hf, Loader(batch_size=BATCH, seed=SEED))
        learner = task.learner(dls, hf, raw=problem.raw, metrics=metrics)
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(EPOCHS, RATE)
        return learner

    with tempfile.TemporaryDirectory() as folder:
        os.environ["BLURR_CACHE"] = folder
        found: list[Any] = []
        seconds = timed(lambda: found.append(train()))
        return Seen(seconds, float(found[0].validate()[1]))


def by_transformers(problem: Problem, hf: HFObjects) -> Seen:
    """Train by transformers' Trainer, which resizes and normalizes each time that it reads a row."""
    mean, std = hf.processor.image_mean, hf.processor.image_std
    ready = v2.Compose(
        [v2.Resize((SIDE, SIDE)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    )
    ids = hf.config.label2id

    def read(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            "pixel_values": [ready(picture.convert("RGB")) for picture in batch["image"]],
            "labels": [ids[label] for label in batch["label"]],
        }

    parts = {name: rows[["image", "label"]] for name, rows in problem.frame.groupby("is_valid")}
    train, valid = (
        datasets.Dataset.from_pandas(parts[name], preserve_index=False)
        .cast_column("image", datasets.Image())
        .with_transform(read)
        for name in (False, True)
    )
    return by_trainer(hf, train, valid, RECIPE)[1]


class Logits(nn.Module):
    """A Hugging Face model that gives its logits alone, as fastai expects it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Call the model."""
        logits: torch.Tensor = self.model(pixel_values=pixels.as_subclass(torch.Tensor)).logits
        return logits


def by_fastai(problem: Problem, hf: HFObjects) -> Seen:
    """Train by a fastai Learner on ImageBlock, as its vision_learner does, with all weights from the start."""
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=hf.label_names)),
        get_x=lambda row: PILImage.create(io.BytesIO(row["image"]["bytes"])),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
        item_tfms=Resize(SIDE),
    )

    def train() -> Learner:
        set_seed(SEED)
        dls = block.dataloaders(problem.frame, bs=BATCH, val_bs=2 * BATCH, num_workers=0)
        learner = Learner(dls, Logits(hf.model), nn.CrossEntropyLoss(), metrics=accuracy)
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(EPOCHS, RATE)
        return learner

    found: list[Any] = []
    seconds = timed(lambda: found.append(train()))
    return Seen(seconds, float(found[0].validate()[1]))


def by_loop(problem: Problem, hf: HFObjects) -> Seen:
    """Train by a bare loop over batches that lie ready in memory: what no way can be faster than."""
    task = ImageClassification(size=SIDE)
    dls = task.dataloaders(problem.raw, hf, Loader(batch_size=BATCH, seed=SEED, num_workers=0), device="cpu")
    train, valid = ([dict(inputs) for inputs, _ in dl] for dl in dls.loaders)
    model, optimizer, right = hf.model, torch.optim.AdamW(hf.model.parameters(), lr=RATE), []

    def outputs(batch: dict[str, torch.Tensor]) -> Any:
        return model(pixel_values=batch["pixel_values"], labels=batch["labels"])

    def run() -> None:
        for _ in range(EPOCHS):
            model.train()
            for batch in train:
                outputs(batch).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            model.eval()
            with torch.inference_mode():
                right[:] = [outputs(batch).logits.argmax(1) == batch["labels"] for batch in valid]

    seconds = timed(run)
    return Seen(seconds, float(torch.cat(right).float().mean()))


WAYS = {"blurr": by_blurr, "Trainer": by_transformers, "fastai": by_fastai, "bare loop": by_loop}


def compared(data: Path, repeats: int) -> None:
    """Show the table of the ways."""
    problem = problem_of(data)
    took, seen = in_turn(WAYS, problem, problem.hf, repeats=repeats)
    rows = []
    for name, seconds in took.items():
        speed = EPOCHS * TRAIN / statistics.median(seconds)
        mean = statistics.mean(each.accuracy for each in seen[name])
        rows.append([name, f"{speed:,.0f}", f"{ratio(seconds, took['blurr']):.2f}", f"{mean:.3f}"])
    show(markdown(HEADER, rows))


# -- decoding and memory


def jpeg(rng: random.Random, side: int) -> bytes:
    """Make a JPEG that has as much detail as photos have."""
    few = Image.frombytes("RGB", (24, 24), rng.randbytes(24 * 24 * 3))
    made = io.BytesIO()
    few.resize((side, side), Image.Resampling.BICUBIC).save(made, "JPEG", quality=90)
    return made.getvalue()


def learner_of(rows: list[dict[str, Any]]) -> Any:
    """Make a learner of a small ResNet on these rows."""
    task = ImageClassification(size=SIDE)
    raw = from_data(task.row_schema(), datasets.Dataset.from_list(rows))
    cfg = compose(["task=image_classification", "model.weights=scratch", f"model.scratch.image_size={SIDE}"])
    hf = build_hf(cfg, task, raw)
    dls = task.dataloaders(raw, hf, Loader(batch_size=BATCH, num_workers=0))
    return task.learner(dls, hf, raw=raw, metrics={})


def decoded() -> None:
    """Compare an epoch that decodes JPEGs with the next."""
    rng = random.Random(SEED)
    rows = [{"image": jpeg(rng, JPEG_SIDE), "label": "ab"[i % 2]} for i in range(JPEGS)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BLURR_CACHE"] = folder
        learner = learner_of(rows)

        def epoch() -> None:
            for _ in learner.dls.train:
                pass

        first, second = timed(epoch), timed(epoch)
        with learner.no_bar(), learner.no_logging():
            trained = timed(lambda: learner.fit(1, RATE))
    show(
        f"\n{JPEGS} JPEGs of {JPEG_SIDE} pixels: reading an epoch takes {first:.2f} s, the next {second:.2f} s "
        f"({first / second:.1f} times as fast); with training it would be {(trained + first) / trained:.1f} times.\n"
    )


def memory() -> None:
    """Say what reading, encoding and two epochs of many rows take at most; the smaller number of rows goes first."""
    rng = random.Random(SEED)
    small = [jpeg(rng, 64) for _ in range(50)]
    for count in MANY:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["BLURR_CACHE"] = str(Path(folder) / "cache")
            for i in range(count):
                (Path(folder) / f"{i}.jpg").write_bytes(small[i % 50] + i.to_bytes(4, "big"))
            rows = [{"image": f"{folder}/{i}.jpg", "label": "ab"[i % 2]} for i in range(count)]
            learner = learner_of(rows)
            for _ in range(2):
                for _ in learner.dls.train:
                    pass
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        show(f"{count:,} pictures: at most {most:,.0f} MB, the libraries and what is mapped from the cache included.")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds fashion_mnist")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["ways", "decoding", "memory"], action="append")
    args = parser.parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    show(f"{machine()}; medians of {args.repeats}.\n")
    parts = {"ways": lambda: compared(args.data, args.repeats), "decoding": decoded, "memory": memory}
    for name, part in parts.items():
        if args.only is None or name in args.only:
            part()


if __name__ == "__main__":
    main()
