"""Time what the record in MLflow costs: `python -m benchmarks.tracking`.

Seconds of a processor, of all threads, for four values a step, sent every five seconds of steps that take 20 ms; and of
`MlflowClient.log_metric`, one value a call, into the same SQLite store.
"""

import logging
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from mlflow import MlflowClient

from benchmarks.commands import markdown, show
from benchmarks.measuring import alternate, machine, ratio
from blurr.tracking.run import FLUSH_SECONDS, MLflowTracker, Run, tracked_run

STEP, VALUES, STEPS, CALLS, REPEATS = 0.02, 4, 1500, 50, 5  # a step in seconds, values of one, steps, calls, rounds


def by_blurr(run: Run) -> float:
    """Record as a training does; give the seconds of a value."""
    start = time.process_time()
    first = run.step + 1
    for number in range(first, first + STEPS):
        loss = torch.tensor(1.0)
        run.log({"train/loss": loss, "train/lr": 1e-3, "train/lr_0": 1e-4, "train/momentum": 0.9}, step=number)
        if number % int(FLUSH_SECONDS / STEP) == 0:
            run.flush()
    run.flush()
    return (time.process_time() - start) / (STEPS * VALUES)


def by_log_metric(client: MlflowClient, run: Run) -> float:
    """Send one value a call; give the seconds of a value."""
    start = time.process_time()
    for number in range(CALLS):
        client.log_metric(str(run.id), "single", 1.0, step=number)
    return (time.process_time() - start) / CALLS


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        store, folder = f"sqlite:///{name}/mlflow.db", Path(name) / "run"
        with tracked_run(MLflowTracker(uri=store), folder=folder, config={}, overrides=[], tags={}) as run:
            client = MlflowClient(tracking_uri=store)
            ways = {"blurr": lambda: by_blurr(run), "log_metric": lambda: by_log_metric(client, run)}
            seconds = alternate(ways, repeats=REPEATS)
    rows = [
        [
            way,
            f"{1e6 * median(taken):.1f}",
            f"{100 * VALUES * median(taken) / STEP:.2f} %",
            f"1/{1 / ratio(taken, seconds['log_metric']):.0f}",
        ]
        for way, taken in seconds.items()
    ]
    share = f"share of a step of {1000 * STEP:.0f} ms with {VALUES} values"
    show(markdown(["way", "microseconds a value", share, "of log_metric"], rows))
    show(f"\n{machine()}; medians of {REPEATS} rounds")


if __name__ == "__main__":
    main()
