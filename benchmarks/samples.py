"""Train every task on its generated rows, from scratch, and print what it learns: `python -m benchmarks.samples`.

Each task runs as a user would run it, in a process of its own with one thread and a folder that is thrown away.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from blurr import paths

ROOT = Path(__file__).parents[1]


def measure(task: str) -> tuple[str, float, float, float]:
    """Train one task.

    Returns:
        The name of its objective, its value after the first epoch and at the end, and the CPU seconds of the process.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        words = [f"task={task}", "model.weights=scratch", "tracking=none", "output_dir=out"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "blurr.run", *words]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in (Path(folder) / "out" / "metrics.jsonl").read_text().splitlines()]
        config = (Path(folder) / "out" / "config.yaml").read_text()
    name = next(line.split(": ")[1] for line in config.splitlines() if line.startswith("objective: "))
    values = [row[name] for row in rows if name in row]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return name, values[0], values[-1], seconds


def main() -> None:
    """Print the table."""
    table = Table("task", "objective", "first epoch", "at the end", "CPU seconds")
    for task in paths.options("task"):
        name, first, last, seconds = measure(task)
        table.add_row(task, name, f"{first:.4g}", f"{last:.4g}", f"{seconds:.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
