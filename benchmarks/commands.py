"""Run blurr as a user does, in a process of its own, and print tables as Markdown."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blurr.runs.jsonlines import read_lines

ROOT = Path(__file__).parents[1]
MINUTES = 30  # after which a command is given up


@dataclass(frozen=True)
class Finished:
    """What a command left behind.

    Args:
        folder: its output folder.
        minutes: how long it took by the clock.
        cpu_minutes: for how long it had a processor.
    """

    folder: Path
    minutes: float
    cpu_minutes: float

    @property
    def metrics(self) -> dict[str, float]:
        """The final scores."""
        scores: dict[str, float] = json.loads((self.folder / "metrics.json").read_text())
        return scores

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Give the rows of one of its jsonl files, such as `predictions.jsonl`."""
        return read_lines(self.folder / name)

    def epochs(self, metric: str) -> list[float]:
        """Give a metric's value after each epoch."""
        return [row[metric] for row in self.rows("metrics.jsonl") if {metric, "time/epoch"} <= set(row)]


def run(words: Sequence[str], *, folder: Path, start: Path | None = None) -> Finished:
    """Run `python -m blurr.run` with these words, in one thread, and wait for its end.

    Args:
        words: the command line.
        folder: where the outputs go.
        start: the folder to start it in; `None` is the parent of `folder`.

    Raises:
        RuntimeError: it failed; the message ends with what it printed last.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "blurr.run", *words, f"output_dir={folder}"]
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=start or folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60 * MINUTES,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Finished(folder, (time.monotonic() - started) / 60, cpu / 60)


def seconds_of(words: Sequence[str], *, folder: Path, caches: Path, **variables: str) -> float:
    """Run `python` with these words in a process of its own, and return the seconds for which it had a processor.

    Args:
        words: the command line.
        folder: where it starts.
        caches: where blurr and datasets keep what they have made of rows.
        variables: of its environment, besides those that each has.

    Raises:
        RuntimeError: it failed; the message ends with what it printed last.
    """
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(ROOT),
        "BLURR_CACHE": str(caches / "blurr"),
        "HF_DATASETS_CACHE": str(caches / "datasets"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **variables,
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-W", "ignore", *words]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a Markdown table."""
    return "\n".join(line(cells) for cells in [header, ["---"] * len(header), *rows])


def line(cells: Sequence[str]) -> str:
    """Make a line of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def show(text: str) -> None:
    """Print a text as it is, whatever the width of the terminal, and at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
