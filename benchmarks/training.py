"""Time training: `python -m benchmarks.training --data FOLDER [--model FOLDER]`; the folder holds sst2 and dialogsum.

Real tokens (no padding) per second of one processor, over one epoch of the same rows, with the same first weights (a
small model with random ones, or a checkpoint), batch size, learning rate and number of steps, each way in turn. Trainer
needs the package accelerate.
"""

import argparse
import logging
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import pandas as pd
import torch
from datasets.utils import logging as datasets_logging
from torch import nn
from transformers.utils import logging as transformers_logging

from benchmarks.commands import line, markdown, show
from benchmarks.contestants import BATCH, Problem, Trained, by_1x, by_blurr, by_raw_loop, by_trainer, of_device, padded
from benchmarks.measuring import alternate, machine, ratio
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.tasks.base import Task
from blurr.tasks.parts import build_hf
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.tracking.trackers import MLflowTracker, NoTracker

SHORTEST, LONGEST, VALID = 100, 300, 96
STEPS_SHORT, STEPS_LONG = 40, 12
ENCODER = ["hidden_size=256", "num_hidden_layers=2", "intermediate_size=1024"]
HEADER = ["data", "way", "real tokens a second", "raw = 1", "blurr is faster", "blurr bf16 is faster", "loss"]
Ways = dict[str, Callable[[Problem], Trained]]


def texts_of(data: Path, steps: int) -> tuple[Task, RawData]:
    """Give the sentences of SST-2."""
    frame = pd.read_csv(data / "sst2" / "train.tsv", sep="\t", quoting=3).rename(columns={"sentence": "text"})
    task = SequenceClassification()
    return task, rows_of(task, frame, steps)


def pairs_of(data: Path, steps: int) -> tuple[Task, RawData]:
    """Make pairs of a dialogue and a summary, its own or that of the next; to tell which is the task."""
    frame = pd.read_json(data / "dialogsum" / "dev.jsonl", lines=True)
    frame = frame[frame["dialogue"].str.split().str.len().between(SHORTEST, 250)].reset_index(drop=True)
    own = pd.DataFrame({"text": frame["dialogue"], "text_pair": frame["summary"], "label": 1})
    others = own.assign(text_pair=own["text_pair"].shift(-1, fill_value=own["text_pair"][0]), label=0)
    task = SequenceClassification(max_length=LONGEST)
    return task, rows_of(task, pd.concat([own, others]), steps)


def dialogues_of(data: Path, steps: int) -> tuple[Task, RawData]:
    """Give the dialogues of DialogSum and their summaries."""
    frame = pd.read_json(data / "dialogsum" / "dev.jsonl", lines=True).rename(columns={"dialogue": "text"})
    task = Summarization(max_length=LONGEST)
    return task, rows_of(task, frame[["text", "summary"]], min(steps, (len(frame) - VALID) // BATCH))


PROBLEMS = {
    "sst2": (texts_of, STEPS_SHORT),
    "long pairs": (pairs_of, STEPS_LONG),
    "summarization": (dialogues_of, STEPS_LONG),
}


def rows_of(task: Task, frame: pd.DataFrame, steps: int) -> RawData:
    """Take rows for so many steps and for the loss at the end."""
    frame = frame.sample(frac=1, random_state=0)
    return from_data(task.schema, frame[: steps * BATCH], valid=frame[-VALID:])


def problem_of(task: Task, raw: RawData, model: list[str]) -> Problem:
    """Tokenize, and make the first weights."""
    torch.manual_seed(0)
    hf = build_hf(compose(model), task, raw)
    columns = task.encode({name: raw.train[name][:] for name in raw.train.column_names}, hf)
    return Problem(task, raw, hf, columns)


def ways_of(store: str, *, is_seq2seq: bool) -> Ways:
    """Name the ways to train."""
    blurr, tracked = partial(by_blurr, tracker=NoTracker()), partial(by_blurr, tracker=MLflowTracker(uri=store))
    if is_seq2seq:
        return {
            "raw loop": by_raw_loop,
            "blurr": blurr,
            "blurr with MLflow": tracked,
            "Seq2SeqTrainer": by_trainer,
            "Seq2SeqTrainer, grouped": partial(by_trainer, grouped=True),
        }
    return {
        "raw loop": by_raw_loop,
        "blurr": blurr,
        "blurr with MLflow": tracked,
        "Trainer": by_trainer,
        "Trainer, grouped": partial(by_trainer, grouped=True),
        "blurr 1.x's way": by_1x,
        "raw loop, bf16": partial(by_raw_loop, bf16=True),
        "blurr, bf16": partial(blurr, precision="bf16"),
        "Trainer, bf16": partial(by_trainer, bf16=True),
        "Trainer, grouped, bf16": partial(by_trainer, grouped=True, bf16=True),
    }


def loss_of(model: nn.Module, problem: Problem) -> float:
    """Give the loss on the validation rows."""
    raw, task = problem.raw.valid, problem.task
    columns = task.encode({name: raw[name][:] for name in raw.column_names}, problem.hf)
    valid = Problem(task, problem.raw, problem.hf, columns)
    model.eval()
    with torch.no_grad():
        batches = [padded(valid, range(i, i + BATCH)) for i in range(0, VALID, BATCH)]
        return statistics.fmean(model(**of_device(batch)).loss.item() for batch in batches)


def measure(name: str, problem: Problem, store: str, repeats: int) -> list[list[str]]:
    """Let all ways train, and make the rows of the table."""
    losses: dict[str, float] = {}

    def run(way: str, train: Callable[[Problem], Trained]) -> float:
        with redirect_stdout(StringIO()):
            trained = train(problem)
        if way not in losses:
            losses[way] = loss_of(trained.model, problem)
        return trained.seconds

    ways = ways_of(store, is_seq2seq=problem.is_seq2seq)
    seconds = alternate({way: partial(run, way, train) for way, train in ways.items()}, repeats=repeats)
    table = []
    for way, taken in seconds.items():
        speed = problem.tokens / statistics.median(taken)
        faster = [f"{ratio(taken, seconds[by]):.2f}" if by in seconds else "" for by in ("blurr", "blurr, bf16")]
        table.append(
            [name, way, f"{speed:.0f}", f"{ratio(seconds['raw loop'], taken):.2f}", *faster, f"{losses[way]:.4f}"]
        )
    return table


def asked_for() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with sst2/train.tsv and dialogsum/dev.jsonl")
    parser.add_argument("--model", type=Path, help="folder of an encoder; a small one with random weights without it")
    parser.add_argument("--only", choices=PROBLEMS, action="append", help="one of the data sets; may be repeated")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    asked = asked_for()
    torch.set_num_threads(1)
    datasets_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    small = ["model=bert", "model.weights=scratch", *(f"model.scratch.{size}" for size in ENCODER)]
    encoder = ["model=auto", f"model.name={asked.model}"] if asked.model else small
    bart = ["task=summarization", "model=bart", "model.weights=scratch"]
    show(markdown(HEADER, []))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BLURR_CACHE"] = folder
        store = f"sqlite:///{folder}/mlflow.db"
        for name in asked.only or PROBLEMS:
            make, steps = PROBLEMS[name]
            model = bart if name == "summarization" else encoder
            problem = problem_of(*make(asked.data, steps), model)
            for row in measure(name, problem, store, asked.repeats):
                show(line(row))
    show(
        f"\n{machine()}; medians of {asked.repeats} epochs of {STEPS_SHORT} steps (sst2) and {STEPS_LONG} (the others)"
    )


if __name__ == "__main__":
    main()
