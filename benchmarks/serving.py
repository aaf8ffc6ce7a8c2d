"""Ask servers of one model as fast as they answer: `python -m benchmarks.serving [--run FOLDER]`.

`blurr serve` beside a plain FastAPI app that calls the model for each request, and beside MLflow's own server; then
10,000 requests more to blurr, and what memory it takes meanwhile. The run is one of sequence classification; without
one, the sample data is learnt first.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import psutil

from benchmarks.commands import ROOT, markdown, run, show
from benchmarks.measuring import machine
from benchmarks.plain_app import FOLDER
from benchmarks.servers import SECONDS
from blurr.process.listening import free_port
from blurr.text.sequence_classification.samples import reviews

CLIENTS = (1, 8, 32)
REQUESTS, LONG = 600, 10_000
KEPT = 256  # different texts
TEXTS = {"one review": 1, "one to eight": 8}


@dataclass
class Load:
    """What clients saw of a server.

    Attributes:
        seconds: for all requests.
        latencies: of each, in seconds.
        errors: answers of another status than 200.
        cpu: seconds for which the server had a processor.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def cells(self) -> list[str]:
        """Give rate, median, 99th and errors as they stand in the table."""
        ordered = sorted(self.latencies)
        late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        median = statistics.median(ordered)
        milliseconds = [f"{1000 * each:.0f}" for each in (median, late)]
        return [f"{self.rate:.0f}", *milliseconds, str(self.errors), f"{1000 * self.cpu / len(ordered):.1f}"]


@dataclass(frozen=True)
class Server:
    """A server to ask.

    Attributes:
        command: starts it; the port comes last.
        path: what is posted to.
        body: makes the body of a request of a text.
        ready: answers 200 as soon as the model is loaded.
    """

    command: list[str]
    path: str
    body: Callable[[str], str]
    ready: str


def servers(folder: Path) -> dict[str, Server]:
    """Give the contestants, which serve one model."""
    python = [sys.executable, "-m"]
    ours = [*python, "blurr.cli", "serve", str(folder), "--port"]
    plain = [*python, "uvicorn", "--factory", "benchmarks.plain_app:make_app", "--log-level", "warning", "--port"]
    mlflow = [*python, "mlflow", "models", "serve", "-m", str(folder / "model"), "--env-manager", "local", "--port"]
    return {
        "blurr serve": Server(ours, "/predict", _inputs, "/ready"),
        "plain FastAPI": Server(plain, "/predict", _inputs, "/openapi.json"),
        "mlflow models serve": Server(mlflow, "/invocations", _records, "/ping"),
    }


def _inputs(text: str) -> str:
    return json.dumps({"inputs": [text]})


def _records(text: str) -> str:
    return json.dumps({"dataframe_records": [{"text": text}]})


@contextmanager
def running(server: Server, folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Start a server; gives its port and its process."""
    port = free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), FOLDER: str(folder / "model")}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([*server.command, str(port)], env=environment, stdout=said, stderr=said)
        try:
            _wait(server, port)
            yield port, psutil.Process(process.pid)
        finally:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.terminate()
            process.wait(60)


def _wait(server: Server, port: int) -> None:
    for _ in range(4 * SECONDS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", server.ready)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.25)
    raise RuntimeError(f"{server.command} is not ready after {SECONDS} s")


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in _family(process))


def ask(server: Server, port: int, texts: Sequence[str], *, clients: int) -> Load:
    """Post each text in a request of its own, by so many clients, each of which waits for its answer."""
    load, waiting = Load(), iter(list(texts))  # a list's iterator is whole after each step: threads may share it

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for text in waiting:
            started = time.perf_counter()
            connection.request("POST", server.path, server.body(text), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            load.errors += answer.status != 200
            load.latencies.append(time.perf_counter() - started)
        connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    load.seconds = time.perf_counter() - started
    return load


def texts_of(n: int, most: int = 8) -> list[str]:
    """Give texts of one to so many reviews."""
    rng = random.Random(0)
    some = [" ".join(reviews(rng)["text"] for _ in range(rng.randint(1, most))) for _ in range(KEPT)]
    return [some[i % KEPT] for i in range(n)]


def measure(name: str, server: Server, folder: Path) -> Iterator[list[str]]:
    """Give a row of the table for each number of clients."""
    with running(server, folder) as (port, process):
        ask(server, port, texts_of(64), clients=8)  # what is slow the first time is left out
        for (said, most), clients in product(TEXTS.items(), CLIENTS):
            before = _cpu(process)
            load = ask(server, port, texts_of(REQUESTS, most), clients=clients)
            load.cpu = _cpu(process) - before
            yield [said, str(clients), name, *load.cells()]


def memory(server: Server, folder: Path) -> list[list[str]]:
    """Give the memory of the server after each tenth of many requests."""
    rows = []
    with running(server, folder) as (port, process):
        errors = 0
        for tenth in range(10):
            errors += ask(server, port, texts_of(LONG // 10), clients=32).errors
            taken = sum(each.memory_info().rss for each in _family(process)) / 2**20
            rows.append([f"{(tenth + 1) * LONG // 10:,}", f"{taken:.0f}", str(errors)])
    return rows


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="the folder of a run of sequence classification")
    given = parser.parse_args().run
    show(machine())
    with tempfile.TemporaryDirectory() as empty:
        folder = (
            given.resolve() if given else run(["tracking.uri=sqlite:///mlflow.db"], folder=Path(empty, "run")).folder
        )
        contestants = servers(folder)
        rows = [row for name, server in contestants.items() for row in measure(name, server, folder)]
        rows.sort(key=lambda row: (list(TEXTS).index(row[0]), int(row[1])))
        header = [
            "text",
            "clients",
            "server",
            "requests a second",
            "median ms",
            "99th ms",
            "errors",
            "CPU ms a request",
        ]
        show(markdown(header, rows))
        show(markdown(["requests", "MiB", "errors"], memory(contestants["blurr serve"], folder)))


if __name__ == "__main__":
    main()
