"""Train every task on its generated rows, from scratch, and print what it learns: `python -m benchmarks.samples`.

Each task runs as a user would run it, in a process of its own with one thread and a folder that is thrown away.
"""

import tempfile
from pathlib import Path

from omegaconf import OmegaConf

from benchmarks.commands import markdown, run, show
from blurr.config import paths


def measure(task: str) -> list[str]:
    """Train one task, and make its row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        done = run([f"task={task}", "model.weights=scratch", "tracking=none"], folder=Path(folder) / "out")
        objective = OmegaConf.load(done.folder / "config.yaml").objective
        values = done.epochs(objective)
    return [task, objective, f"{values[0]:.4g}", f"{values[-1]:.4g}", f"{60 * done.cpu_minutes:.0f}"]


def main() -> None:
    """Print the table."""
    header = ["task", "objective", "first epoch", "at the end", "CPU seconds"]
    show(markdown(header, [measure(task) for task in paths.options("task")]))


if __name__ == "__main__":
    main()
