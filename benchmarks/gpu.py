"""Time training on GPUs: `python -m benchmarks.gpu [--model bart]`, `python -m benchmarks.gpu --processes 4`.

A BERT of base size that classifies, or a BART of base size that summarizes, with random weights, on texts of 20 to 250
words made of the samples: real tokens (no padding) a second, and which share that is of what the GPU's tensor cores can
do at most. Blurr, with and without compile, a raw loop and Trainer (which needs the package accelerate) with the same
rows, weights, steps and optimizer. With `--processes`, blurr on one GPU against so many, each with 16 rows of a step
(with PYTORCH_NVML_BASED_CUDA_CHECK=1, so that the process they are forked from has not used CUDA).
Without a GPU it says so; `--try` then shows on a CPU that all ways work.
"""

import argparse
import os
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
from blurr.process import launching
from blurr.tasks.base import Task
from blurr.tasks.parts import build_hf
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.tracking.trackers import NoTracker
from blurr.training.distributed import joined

STEPS, REPEATS = 60, 3
BASE = {
    "bert": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "bart": {
        **{"d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072},
        **{"encoder_attention_heads": 12, "decoder_attention_heads": 12},
    },
}
# Dense bf16 products, in 10^12 floating point operations a second, as NVIDIA's data sheets say.
PEAKS = {"H100": 989, "H200": 989, "A100": 312, "L4": 121, "L40S": 362, "A10G": 70, "RTX 4090": 165}
Ways = dict[str, Callable[[Problem], Trained]]


def rows_of(task: Task, steps: int) -> RawData:
    """Join sample texts to longer ones."""
    chance, samples = random.Random(0), load_samples(task.schema, rows=2000).train
    texts, label = samples["text"][:], str(task.schema.label)
    rows = []
    for number in range(BATCH * (steps + 1)):
        words = " ".join(chance.sample(texts, 40)).split()[: chance.randint(20, 250)]
        rows.append({"text": " ".join(words), label: samples[label][number % len(samples)]})
    return from_data(task.schema, rows[: BATCH * steps], valid=rows[BATCH * steps :])


def problem_of(model: str, steps: int, sizes: dict[str, int]) -> Problem:
    """Tokenize, and make the first weights."""
    task: Task = Summarization(max_length=512) if model == "bart" else SequenceClassification(max_length=512)
    raw = rows_of(task, steps)
    torch.manual_seed(0)
    words = [f"model.scratch.{name}={value}" for name, value in sizes.items()]
    option = "summarization" if model == "bart" else "sequence_classification"
    hf = build_hf(compose([f"task={option}", f"model={model}", "model.weights=scratch", *words]), task, raw)
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
        "blurr, bf16, compiled": partial(blurr, precision="bf16", compiled=True),
        "Trainer, bf16": partial(by_trainer, bf16=True),
        "Trainer, bf16, grouped": partial(by_trainer, bf16=True, grouped=True),
        "Trainer, bf16, compiled": partial(by_trainer, bf16=True, compiled=True),
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


def in_processes(count: int, make: Callable[[], Problem]) -> float:
    """Train by blurr in so many processes; return the tokens a second of all, as the first sees them."""
    reader, writer = os.pipe()
    child = os.fork()  # before this process has used a GPU, which no fork survives
    if not child:
        try:
            if count > 1:
                launching.become(count, folder="")
            with joined() as ranks:
                problem = make()
                precision = "bf16" if DEVICE.type == "cuda" else "fp32"
                once = partial(by_blurr, tracker=NoTracker(), precision=precision, batch=BATCH * count)
                taken = [run(once, problem) for _ in range(REPEATS)]
                if ranks.is_first:
                    os.write(writer, f"{problem.tokens / statistics.median(taken)}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return float(told.read())


def show_processes(model: str, count: int, make: Callable[[], Problem]) -> None:
    """Print the table of one process against several."""
    found = {number: in_processes(number, make) for number in (1, count)}
    rows = [[str(number), f"{speed:.0f}", f"{speed / found[1]:.2f}"] for number, speed in found.items()]
    show(markdown(["processes", "real tokens a second", "one = 1"], rows))
    show(f"\n{model}; {machine()}; medians of {REPEATS} rounds")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(BASE), default="bert")
    parser.add_argument("--processes", type=int, help="blurr alone, on one GPU and on so many")
    parser.add_argument("--try", action="store_true", dest="is_trial", help="a tiny model on whatever there is")
    given = parser.parse_args()
    if DEVICE.type == "cpu" and not given.is_trial:
        sys.exit("There is no CUDA device here. To see on a CPU that all ways work: python -m benchmarks.gpu --try")
    transformers_logging.set_verbosity_error()
    steps, sizes = (2, {}) if given.is_trial else (STEPS, BASE[given.model])
    if given.processes:
        many = steps * given.processes  # as many steps for all processes together as for one
        show_processes(given.model, given.processes, partial(problem_of, given.model, many, sizes))
        return
    problem = problem_of(given.model, steps, sizes)
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
