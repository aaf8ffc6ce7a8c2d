"""Train every task on its generated rows, from scratch, and print what it learns: `python -m benchmarks.samples`.

Each task runs as a user would run it, in a process of its own with one thread and a folder that is thrown away. With
`--work FOLDER` the runs are kept, where `python -m benchmarks.pictures --work FOLDER` finds them.
"""

import argparse
import tempfile
from pathlib import Path

from omegaconf import OmegaConf

from benchmarks.commands import line, markdown, run, show
from blurr.config import paths

HEADER = ["task", "objective", "first epoch", "at the end", "CPU seconds"]
SCRATCH = ("model.weights=scratch", "tracking.uri=sqlite:///mlflow.db")


def measure(task: str, work: Path) -> list[str]:
    """Train one task, and make its row of the table."""
    done = run([f"task={task}", *SCRATCH], folder=work / "runs" / task, start=work)
    objective = OmegaConf.load(done.folder / "config.yaml").objective
    values = done.epochs(objective)
    return [task, objective, f"{values[0]:.4g}", f"{values[-1]:.4g}", f"{60 * done.cpu_minutes:.0f}"]


def main() -> None:
    """Print the table, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="the folder to keep the runs in")
    tasks = list(paths.options("task"))
    parser.add_argument("--only", choices=tasks, nargs="*", default=tasks, help="these tasks")
    given = parser.parse_args()
    show(markdown(HEADER, []))
    with tempfile.TemporaryDirectory() as empty:
        work = (given.work or Path(empty)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        for task in given.only:
            show(line(measure(task, work)))


if __name__ == "__main__":
    main()
