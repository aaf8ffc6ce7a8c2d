"""Time training on packed texts against padded ones: `python -m benchmarks.packing [--texts FILE --column COLUMN]`.

The same short texts and model (a small one with random weights), each way in turn, several times; the medians. Useful
tokens are those of the texts, without pads; a step of each way has about as many of them. Times are seconds
of one thread of a processor. Without a file the texts are generated.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from datasets.utils import logging as datasets_logging
from fastai.callback.core import Callback
from fastai.learner import Learner

from benchmarks.commands import markdown, show
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.data.samples import load_samples
from blurr.loading.loader import Loader
from blurr.tasks.base import Task
from blurr.tasks.parts import build_hf
from blurr.text.language_modeling.causal_lm import CausalLM
from blurr.text.language_modeling.masked_lm import MaskedLM
from blurr.training.optimizers import adamw
from blurr.training.schedules import constant

BLOCK, TOKENS, REPEATS = 128, 2048, 3
TASKS: dict[str, tuple[type[CausalLM | MaskedLM], str]] = {
    "causal_lm": (CausalLM, "gpt2"),
    "masked_lm": (MaskedLM, "bert"),
}
HEADER = ["task", "rows", "useful of all tokens", "useful tokens a second", "padded, random order is 1"]


class Watch(Callback):  # type: ignore[misc]  # fastai is not typed
    """Count tokens, and the seconds of training."""

    def before_fit(self) -> None:
        self.all = self.seconds = 0

    def before_train(self) -> None:
        self.start = time.process_time()

    def after_batch(self) -> None:
        if self.training:
            self.all += self.xb[0]["input_ids"].numel()

    def after_train(self) -> None:
        self.seconds = time.process_time() - self.start


def learner_of(name: str, raw: RawData, *, packing: bool, bucket: bool) -> tuple[Learner, int]:
    """Make a learner, and count the useful tokens of an epoch."""
    cls, model = TASKS[name]
    task: Task = cls(block_size=BLOCK, chunk=False, packing=packing)
    hf = build_hf(compose([f"task={name}", f"model={model}", "model.weights=scratch"]), task, raw)
    rows = task.encoded({"text": raw.train["text"][:]}, hf)
    lengths = rows.lengths
    # in random order the longest row of a batch is nearly always a long one
    size = TOKENS // BLOCK if packing else max(1, int(TOKENS / lengths.mean()))
    dls = task.dataloaders(raw, hf, Loader(batch_size=size, bucket=bucket, cache=False))
    learner = task.learner(dls, hf, raw=raw, metrics={}, optimizer=adamw, cbs=[Watch()])
    learner.logger = lambda *_: None
    return learner, int(lengths.sum())


def measured(ways: dict[str, tuple[Learner, int]]) -> dict[str, float]:
    """Give the median seconds of an epoch of each way, all ways in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, (learner, _) in ways.items():
            with learner.no_bar():
                constant(learner, 1e-4, epochs=1)
            if repeat:  # the first is a warm-up
                seconds[name].append(learner.watch.seconds)
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(name: str, raw: RawData) -> list[list[str]]:
    """Measure a task, and give its rows of the table."""
    ways = {
        "padded, random order": learner_of(name, raw, packing=False, bucket=False),
        "padded, similar lengths": learner_of(name, raw, packing=False, bucket=True),
        "packed": learner_of(name, raw, packing=True, bucket=True),
    }
    seconds = measured(ways)
    speeds = {way: useful / seconds[way] for way, (_, useful) in ways.items()}
    base = speeds["padded, random order"]
    return [
        [name, way, f"{useful / learner.watch.all:.0%}", f"{speeds[way]:.0f}", f"{speeds[way] / base:.2f}"]
        for way, (learner, useful) in ways.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, help="a file of rows; generated ones without it")
    parser.add_argument("--column", default="text", help="its column of texts")
    parser.add_argument("--rows", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    datasets_logging.disable_progress_bar()
    schema, names = CausalLM.schema, {"text": asked.column}
    raw: Any = from_data(schema, asked.texts, columns=names) if asked.texts else load_samples(schema, rows=asked.rows)
    raw.splits["train"] = raw.train.select(range(min(asked.rows, len(raw.train))))
    raw.splits["valid"] = raw.valid.select(range(8))
    show(markdown(HEADER, [row for name in TASKS for row in table(name, raw)]))


if __name__ == "__main__":
    main()
