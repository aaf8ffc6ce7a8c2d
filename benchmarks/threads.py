"""Time training while other programs are busy, by the clock: `python -m benchmarks.threads`.

A small BERT on generated rows, with one thread, with as many as blurr takes by itself, and with as many as torch takes;
on an idle machine, and while a process for each core but one computes for itself.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks.commands import markdown, show
from benchmarks.measuring import alternate, machine, ratio
from blurr.config.composing import compose
from blurr.data.samples import load_samples
from blurr.models.objects import HFObjects
from blurr.process.setup import free_cores
from blurr.tasks.parts import build_hf
from blurr.text.sequence_classification.task import SequenceClassification

ROWS, TOKENS, STEPS, REPEATS = 16, 64, 12, 5


def compute() -> None:
    """Keep a core busy."""
    while True:
        sum(range(10**6))


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy for the duration of a `with` block."""
    others = [multiprocessing.get_context("spawn").Process(target=compute, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()


def small_model() -> HFObjects:
    """Make a model with random weights."""
    task = SequenceClassification()
    raw = load_samples(task.schema, rows=200)
    return build_hf(compose(["task=sequence_classification", "model=bert", "model.weights=scratch"]), task, raw)


def train(hf: HFObjects, threads: int) -> float:
    """Train a few steps with so many threads; give the seconds by the clock."""
    torch.set_num_threads(threads)
    optimizer = torch.optim.AdamW(hf.model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(5, 100, (ROWS, TOKENS))
    start = time.perf_counter()
    for _ in range(STEPS):
        hf.model(input_ids=ids, labels=torch.zeros(ROWS, dtype=torch.long)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    hf, cores = small_model(), os.cpu_count() or 1
    counts = {"one": 1, "blurr's default": free_cores(), "torch's default": torch.get_num_threads()}
    ways: dict[str, Callable[[], float]] = {name: partial(train, hf, count) for name, count in counts.items()}
    rows = []
    for load in (0, cores - 1):
        with busy(load):
            seconds = alternate(ways, repeats=REPEATS)
        for name, taken in seconds.items():
            speed = ratio(seconds["one"], taken)
            rows.append([f"{load} of {cores}", f"{name}: {counts[name]}", f"{min(taken):.2f}", f"{speed:.2f}"])
    show(markdown(["cores busy otherwise", "threads", "seconds by the clock, best", "speed, one thread = 1"], rows))
    torch.set_num_threads(1)
    show(f"\n{machine()}; {REPEATS} rounds of {STEPS} steps")


if __name__ == "__main__":
    main()
