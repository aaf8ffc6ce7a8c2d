"""Count the padding in training batches of 16 rows: `python -m benchmarks.padding --data FOLDER`.

The folder holds sst2, dialogsum and multi30k. Of a pair of source and target, the padding of both counts.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from datasets.utils import logging as datasets_logging
from numpy.typing import NDArray

from benchmarks.commands import markdown, show
from blurr.config.building import build
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.loading.bucketing import BatchSize, Buckets, Order
from blurr.tasks.base import Task
from blurr.tasks.parts import build_hf

BATCH, EPOCHS = 16, 3
HEADER = ["data", "rows", "random order", "blurr", "blurr, source alone", "no batches can do with less than"]
Lengths = NDArray[np.int64]


def tables(data: Path) -> dict[str, tuple[str, str, pd.DataFrame]]:
    """Read the texts: name to task, model and rows."""
    sst2 = pd.read_csv(data / "sst2" / "train.tsv", sep="\t", quoting=3).rename(columns={"sentence": "text"})
    dialogsum = pd.read_json(data / "dialogsum" / "dev.jsonl", lines=True).rename(columns={"dialogue": "text"})
    pairs = pd.read_json(data / "multi30k" / "train.jsonl", lines=True)["translation"]
    multi30k = pd.DataFrame({"source": [row["de"] for row in pairs], "target": [row["en"] for row in pairs]})
    return {
        "sst2": ("sequence_classification", "bert", sst2),
        "dialogsum": ("summarization", "bart", dialogsum[["text", "summary"]]),
        "multi30k": ("translation", "marian", multi30k),
    }


def lengths_of(task_name: str, model: str, rows: pd.DataFrame) -> Lengths:
    """Tokenize all rows, and give their lengths, `(rows, 1 or 2)`."""
    cfg = compose([f"task={task_name}", f"model={model}", "model.weights=scratch"])
    task: Task = build(cfg.task)
    raw = from_data(task.schema, rows, valid=rows[:1])
    hf = build_hf(cfg, task, raw, load_weights=False)
    lengths = task.encoded({name: raw.train[name][:] for name in raw.train.column_names}, hf).lengths
    return lengths.reshape(len(lengths), -1)


def padding(lengths: Lengths, batches: list[Order]) -> float:
    """Give the share of the tokens of batches that is padding."""
    padded = sum(len(batch) * lengths[batch].max(axis=0).sum() for batch in batches)
    return float(1 - sum(lengths[batch].sum() for batch in batches) / padded)


def mean_padding(lengths: Lengths) -> float:
    """Give the padding of blurr's training batches, of some epochs."""
    buckets = Buckets(lengths, BatchSize(BATCH))
    return float(np.mean([padding(lengths, buckets.training(seed=42, epoch=epoch)) for epoch in range(EPOCHS)]))


def least(lengths: Lengths) -> float:
    """Give the padding that would remain if sources and targets were sorted each for themselves."""
    ends = range(BATCH, len(lengths), BATCH)
    return padding(np.sort(lengths, axis=0), np.split(np.arange(len(lengths)), ends))


def row_of(name: str, lengths: Lengths) -> list[str]:
    """Make a row of the table."""
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    at_random = padding(lengths, np.split(shuffled, range(BATCH, len(lengths), BATCH)))
    shares = (at_random, mean_padding(lengths), mean_padding(lengths[:, :1]), least(lengths))
    return [name, str(len(lengths)), *(f"{100 * share:.1f} %" for share in shares)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with sst2, dialogsum and multi30k")
    datasets_logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    given = tables(parser.parse_args().data)
    show(markdown(HEADER, [row_of(name, lengths_of(*table)) for name, table in given.items()]))


if __name__ == "__main__":
    main()
