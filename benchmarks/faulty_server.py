"""Train before an MLflow server that fails and before one that does not, in turns: python -m benchmarks.faulty_server.

The faulty one answers 500, loses answers or hangs for three seconds, and is well for three more; blurr asks it again
after 15.
"""

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from benchmarks.clock import Clock
from benchmarks.commands import markdown, show
from blurr.config import composing
from blurr.process.listening import free_port
from tests.shared.faulty_server import FaultyServer, before

SECONDS = 3.0
WORDS = ["model.weights=scratch", "schedule.epochs=4", "report=false", "checkpoint.every_minutes=null"]
CLOCK = "+callbacks.clock={_target_: benchmarks.clock.Clock}"


def train(uri: str, rows: int) -> list[float]:
    """Train once; return the seconds of all passes, as `Clock` has them."""
    from blurr.experiment import run_experiment

    with tempfile.TemporaryDirectory() as folder:
        words = [*WORDS, CLOCK, f"data.rows={rows}", f"output_dir={folder}", "tracking=server", f"tracking.uri={uri}"]
        cfg = composing.compose(words)
        Clock.seconds.clear()
        run_experiment(cfg, folder=Path(folder), overrides=words, choices={})
    return [sum(each) for each in zip(*Clock.seconds, strict=True)]


def trouble(proxy: FaultyServer, number: int) -> None:
    """Change the proxy's ways as long as a training is under way; each training begins with another."""
    Clock.runs.wait()
    ways = ("fail", "lose", "hang")
    for mode in itertools.islice(itertools.cycle(each for way in ways for each in (way, "pass")), 2 * number, None):
        proxy.mode = mode  # type: ignore[assignment]  # cycle forgets that these are the ones
        end = time.monotonic() + SECONDS
        while Clock.runs.is_set() and time.monotonic() < end:
            time.sleep(0.05)
        if not Clock.runs.is_set():
            break
    proxy.mode = "pass"


def troubled(proxy: FaultyServer, number: int, rows: int) -> list[float]:
    """Train while the proxy fails."""
    thread = threading.Thread(target=trouble, args=(proxy, number))
    thread.start()
    seconds = train(proxy.address, rows)
    thread.join()
    return seconds


def main() -> None:
    """Print a table of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each kind")
    parser.add_argument("--rows", type=int, default=1500)
    given = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true")
    composing.prepare_process()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, before(port) as proxy:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        server = subprocess.Popen(
            [*command, "--port", str(port), "--workers", "1"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it has children, which go with it
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            train(proxy.address, given.rows)  # what is done once is none of the two's
            good, bad = [], []
            for number in range(given.runs):
                good.append(train(proxy.address, given.rows))
                bad.append(troubled(proxy, number, given.rows))
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    table = []
    for name, number in (("by the clock", 0), ("CPU of the training's thread", 1), ("CPU of the process", 2)):
        fair, faulty = (statistics.median(run[number] for run in runs) for runs in (good, bad))
        table.append([name, f"{fair:.2f}", f"{faulty:.2f}", f"{faulty / fair - 1:+.1%}"])
    show(markdown(["seconds of training", "server well", "server faulty", "more"], table))
    show(", ".join(f"{mode} {count}" for mode, count in sorted(proxy.counts.items())) + " requests")


def wait_for(address: str) -> None:
    """Wait until a server answers."""
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    main()
