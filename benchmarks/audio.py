"""Time audio classification: `python -m benchmarks.audio --data FOLDER`; the folder holds voices.

Frames of 20 ms that are trained on per second of one processor, over the same clips, first weights (a small wav2vec
2.0), batch size, learning rate and number of steps, validation after each epoch included, each way in turn: blurr;
transformers' Trainer, which decodes and extracts as its example for audio classification does, by soundfile and soxr.
And the share of samples that are padding. Trainer needs the package accelerate.
"""

import argparse
import os
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import soundfile
import soxr
import torch
from transformers import DataCollatorWithPadding

from benchmarks.commands import markdown, show
from benchmarks.measuring import machine, ratio, timed
from benchmarks.media_ways import Recipe, Seen, by_trainer, in_turn
from blurr.audio.audio_classification import AudioClassification
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.loading.loader import Loader
from blurr.metrics.classification import Accuracy
from blurr.models.objects import HFObjects
from blurr.tasks.parts import build_hf

BATCH, RATE, EPOCHS, SEED = 8, 3e-3, 3, 42
FRAME = 0.02  # seconds
RECIPE = Recipe(BATCH, RATE, EPOCHS, SEED)
HEADER = ["way", "frames a second", "blurr is faster", "accuracy, mean of the rounds", "padding"]


@dataclass
class Problem:
    """The same for all ways."""

    raw: RawData
    hf: HFObjects
    frame: pd.DataFrame

    @property
    def frames(self) -> float:
        """Frames of an epoch."""
        return float(self.frame.loc[~self.frame.is_valid, "seconds"].sum()) / FRAME


def problem_of(data: Path) -> Problem:
    """Read the clips, and make first weights."""
    frame = pd.read_csv(data / "voices" / "clips.csv")
    paths = [str(data / "voices" / name) for name in frame["audio"]]
    frame = frame.assign(audio=paths, label=frame["language"], is_valid=frame["split"] != "train")
    task = AudioClassification()
    raw = from_data(task.row_schema(), frame[["audio", "label", "is_valid"]])
    torch.manual_seed(SEED)
    cfg = compose(["task=audio_classification", "model=wav2vec2", "model.weights=scratch"])
    return Problem(raw, build_hf(cfg, task, raw), frame)


def share_of_padding(batches: Any) -> float:
    """Return the share of samples that are padding."""
    masks = [batch["attention_mask"] for batch in batches]
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def by_blurr(problem: Problem, hf: HFObjects) -> Seen:
    """Train by blurr, without a cache of earlier runs."""
    task, metrics = AudioClassification(), {"accuracy": Accuracy()}

    def train() -> Any:
        dls = task.dataloaders(problem.raw, hf, Loader(batch_size=BATCH, seed=SEED, num_workers=0))
        learner = task.learner(dls, hf, raw=problem.raw, metrics=metrics)
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(EPOCHS, RATE)
        return learner

    with tempfile.TemporaryDirectory() as folder:
        os.environ["BLURR_CACHE"] = folder
        found: list[Any] = []
        seconds = timed(lambda: found.append(train()))
        padding = share_of_padding(inputs for inputs, _ in found[0].dls.train)
        return Seen(seconds, float(found[0].validate()[1]), padding)


def by_transformers(problem: Problem, hf: HFObjects) -> Seen:
    """Train by transformers' Trainer, which decodes, resamples and extracts each time that it reads a row."""
    extractor, ids = hf.processor, hf.config.label2id

    def read(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        waves = [decoded(path, extractor.sampling_rate) for path in batch["audio"]]
        made = extractor(waves, sampling_rate=extractor.sampling_rate)
        return {**made, "labels": [ids[label] for label in batch["label"]]}

    parts = {name: rows[["audio", "label"]] for name, rows in problem.frame.groupby("is_valid")}
    train, valid = (
        datasets.Dataset.from_pandas(parts[name], preserve_index=False).with_transform(read) for name in (False, True)
    )
    trainer, seen = by_trainer(hf, train, valid, RECIPE, data_collator=DataCollatorWithPadding(extractor))
    return replace(seen, padding=share_of_padding(trainer.get_train_dataloader()))


def decoded(path: str, rate: int) -> Any:
    """Decode a clip, as one channel of this rate."""
    wave, own = soundfile.read(path, dtype="float32", always_2d=True)
    mono = wave.mean(1)
    return mono if own == rate else np.asarray(soxr.resample(mono, own, rate))


WAYS = {"blurr": by_blurr, "Trainer": by_transformers}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds voices")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    show(f"{machine()}; medians of {args.repeats}.\n")
    problem = problem_of(args.data)
    took, seen = in_turn(WAYS, problem, problem.hf, repeats=args.repeats)
    rows = []
    for name, seconds in took.items():
        speed = EPOCHS * problem.frames / statistics.median(seconds)
        accuracy, padding = (
            statistics.mean(getattr(each, part) for each in seen[name]) for part in ("accuracy", "padding")
        )
        rows.append(
            [name, f"{speed:,.0f}", f"{ratio(seconds, took['blurr']):.2f}", f"{accuracy:.3f}", f"{padding:.1%}"]
        )
    show(markdown(HEADER, rows))


if __name__ == "__main__":
    main()
