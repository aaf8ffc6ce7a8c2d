"""Time what the record in MLflow costs: `python -m benchmarks.tracking`.

Seconds of a processor, of all threads, for four values a step, sent every five seconds of steps that take 20 ms; and of
`MlflowClient.log_metric`, one value a call, and `log_batch`, into the same SQLite store.
"""

import logging
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from mlflow import MlflowClient
from mlflow.entities import Metric

from benchmarks.commands import markdown, show
from benchmarks.measuring import alternate, machine, ratio, timed
from blurr.tracking.run import FLUSH_SECONDS, Run
from blurr.tracking.trackers import MLflowTracker, tracked_run

STEP, VALUES, STEPS, CALLS, REPEATS = 0.02, 4, 1000, 30, 3  # a step in seconds, values of one, steps, calls, rounds
QUIET = 1.0  # seconds


def settle() -> None:
    """Wait until the thread that sends has nothing left to do."""
    before = -1.0
    while time.process_time() - before > QUIET / 20:
        before = time.process_time()
        time.sleep(QUIET)


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
    settle()
    return (time.process_time() - start) / (STEPS * VALUES)


def by_log_metric(client: MlflowClient, run: Run) -> float:
    """Send one value a call; give the seconds of a value."""
    start = time.process_time()
    for number in range(CALLS):
        client.log_metric(str(run.id), "single", 1.0, step=number)
    return (time.process_time() - start) / CALLS


def by_log_batch(client: MlflowClient, run: Run) -> float:
    """Send a thousand values at once, and do nothing else: no way to send takes less."""
    points = [Metric(f"plain_{i % VALUES}", 1.0, int(1000 * time.time()), i // VALUES) for i in range(1000)]
    return timed(lambda: client.log_batch(str(run.id), metrics=points)) / len(points)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        store, folder = f"sqlite:///{name}/mlflow.db", Path(name) / "run"
        with tracked_run(MLflowTracker(uri=store), folder=folder, config={}, overrides=[], tags={}) as run:
            client = MlflowClient(tracking_uri=store)
            ways = {
                "blurr": lambda: by_blurr(run),
                "log_batch alone": lambda: by_log_batch(client, run),
                "log_metric": lambda: by_log_metric(client, run),
            }
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
