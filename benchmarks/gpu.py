"""Time training on a GPU: `python -m benchmarks.gpu`.

A BERT of base size with random weights on texts of 20 to 250 words made of the samples: real tokens (no padding) a
second, and which share that is of what the GPU's tensor cores can do at most. Blurr, a raw loop and Trainer (which
needs the package accelerate) with the same rows, weights, steps and optimizer. Without a GPU it says so; `--try` then
shows on a CPU that all ways work.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.commands import markdown, show
from benchmarks.contestants import BATCH, DEVICE, Problem, Trained, by_blurr, by_raw_loop, by_trainer
from benchmarks.measuring import alternate, machine, ratio
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.data.samples import load_samples
from blurr.tasks.parts import build_hf
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.tracking.trackers import NoTracker

STEPS, REPEATS = 60, 3
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
# Dense bf16 products, in 10^12 floating point operations a second, as NVIDIA's data sheets say.
PEAKS = {"H100": 989, "H200": 989, "A100": 312, "L4": 121, "L40S": 362, "A10G": 70, "RTX 4090": 165}
Ways = dict[str, Callable[[Problem], Trained]]


def rows_of(task: SequenceClassification, steps: int) -> RawData:
    """Join sample texts to longer ones."""
    chance, samples = random.Random(0), load_samples(task.schema, rows=2000).train
    texts = samples["text"][:]
    rows = []
    for number in range(BATCH * (steps + 1)):
        words = " ".join(chance.sample(texts, 40)).split()[: chance.randint(20, 250)]
        rows.append({"text": " ".join(words), "label": samples["label"][number % len(samples)]})
    return from_data(task.schema, rows[: BATCH * steps], valid=rows[BATCH * steps :])


def problem_of(steps: int, sizes: dict[str, int]) -> Problem:
    """Tokenize, and make the first weights."""
    task = SequenceClassification(max_length=512)
    raw = rows_of(task, steps)
    torch.manual_seed(0)
    words = [f"model.scratch.{name}={value}" for name, value in sizes.items()]
    hf = build_hf(compose(["model=bert", "model.weights=scratch", *words]), task, raw)
    columns = task.encode({name: raw.train[name][:] for name in raw.train.column_names}, hf)
    return Problem(task, raw, hf, columns)


def ways_of() -> Ways:
    """Name the ways to train."""
    blurr = partial(by_blurr, tracker=NoTracker())
    return {
        "raw loop, fp32": by_raw_loop,
        "raw loop, bf16": partial(by_raw_loop, bf16=True),
        "blurr, fp32": blurr,
        "blurr, tf32": partial(blurr, precision="tf32"),
        "blurr, bf16": partial(blurr, precision="bf16"),
        "Trainer, bf16": partial(by_trainer, bf16=True),
        "Trainer, bf16, grouped": partial(by_trainer, bf16=True, grouped=True),
    }


def operations(problem: Problem) -> float:
    """Count the floating point operations of an epoch: 6 a weight and token (Kaplan et al. 2020, arXiv:2001.08361).

    Tables of embeddings do not count, nor does attention's own product of queries and keys.
    """
    body = [p for name, p in problem.hf.model.named_parameters() if "embeddings" not in name]
    return 6.0 * sum(p.numel() for p in body) * problem.tokens


def run(train: Callable[[Problem], Trained], problem: Problem) -> float:
    """Train once without a word; give the seconds."""
    with redirect_stdout(StringIO()):
        taken = train(problem).seconds
    torch.set_float32_matmul_precision("highest")  # tf32 leaves its mark
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--try", action="store_true", dest="is_trial", help="a tiny model on whatever there is")
    is_trial = parser.parse_args().is_trial
    if DEVICE.type == "cpu" and not is_trial:
        sys.exit("There is no CUDA device here. To see on a CPU that all ways work: python -m benchmarks.gpu --try")
    transformers_logging.set_verbosity_error()
    problem = problem_of(2 if is_trial else STEPS, {} if is_trial else BASE)
    seconds = alternate({name: partial(run, way, problem) for name, way in ways_of().items()}, repeats=REPEATS)
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    peak = next((value for name, value in PEAKS.items() if name in device), None)
    rows = []
    for name, taken in seconds.items():
        median = statistics.median(taken)
        share = f"{100 * operations(problem) / median / peak / 1e12:.0f} %" if peak else "unknown"
        by = [f"{ratio(seconds[other], taken):.2f}" for other in ("raw loop, bf16", "Trainer, bf16, grouped")]
        rows.append([name, f"{problem.tokens / median:.0f}", share, *by])
    header = ["way", "real tokens a second", "of the bf16 peak", "raw loop, bf16 = 1", "Trainer, bf16, grouped = 1"]
    show(markdown(header, rows))
    show(f"\n{device}; {machine()}; medians of {REPEATS} rounds")


if __name__ == "__main__":
    main()
