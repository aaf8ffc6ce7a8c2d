"""Kill small runs at random moments, go on, and compare the end with that of an undisturbed run.

    python -m benchmarks.chaos [--kills 100] [--only summarization] [--seed 0]

Each run is a process of its own, forked from one that has imported everything; `kill -9` comes at any moment of it:
while it loads, trains, writes a checkpoint (after every step), evaluates or saves.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from omegaconf import OmegaConf
from safetensors.torch import load_file

from benchmarks.commands import markdown, show
from blurr.config import composing, paths
from blurr.runs.jsonlines import read_lines

WORDS = ["tracking=none", "model.weights=scratch", "data.rows=60", "loader.batch_size=8", "schedule.epochs=2"]
CHECKPOINTS = ["checkpoint.every_steps=1", "checkpoint.keep=2"]


def start(task: str, folder: Path) -> int:
    """Start a run, or go on with it, in a process of its own; return the process's number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        descriptor = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        run(task, folder)
        code = 0
    finally:
        os._exit(code)


def run(task: str, folder: Path) -> None:
    """Do what `python -m blurr.run resume=auto` does with a folder of one's own."""
    from blurr.experiment import run_experiment

    folder.mkdir(parents=True, exist_ok=True)
    words = [f"task={task}", *WORDS, *CHECKPOINTS, f"output_dir={folder}", "resume=auto"]
    cfg = composing.compose(words)
    choices = OmegaConf.to_container(composing.HydraConfig.get().runtime.choices)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])
    run_experiment(cfg, folder=folder, overrides=words, choices=dict(choices))


def finish(task: str, folder: Path) -> bool:
    """Run to the end; say whether it got there."""
    return os.waitstatus_to_exitcode(os.waitpid(start(task, folder), 0)[1]) == 0


def kill_after(seconds: float, task: str, folder: Path) -> str:
    """Kill a run after some time; say in which phase it was."""
    child = start(task, folder)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if (folder / "metrics.json").exists():
        return "after the end"
    if (folder / "predictions.jsonl").exists() or (folder / "model").exists():
        return "evaluating, saving"
    if list(folder.glob("checkpoints/.*")):
        return "writing a checkpoint"
    return "training" if list(folder.glob("checkpoints/step-*")) else "loading"


def same(one: Path, other: Path) -> bool:
    """Compare weights, bit for bit, final scores and logged values."""
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (one, other)]
    scores = [(folder / "metrics.json").read_text() for folder in (one, other)]
    return (
        all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
        and scores[0] == scores[1]
        and logged(one) == logged(other)
    )


def logged(folder: Path) -> list[dict[str, float]]:
    """Read metrics.jsonl without the clock and the identity."""
    rows = read_lines(folder / "metrics.jsonl")
    return [{key: value for key, value in row.items() if not key.startswith(("time", "identity"))} for row in rows]


def measure(task: str, kills: int, rng: random.Random, say: Callable[[str], None]) -> dict[str, int]:
    """Kill a task's run so many times; return how often the end was the same, and where it was killed."""
    work = Path(tempfile.mkdtemp(prefix="blurr-chaos-"))
    began = time.monotonic()
    if not finish(task, work / "whole"):
        raise SystemExit(f"The undisturbed run of {task} failed: {(work / 'whole.log').read_text()[-2000:]}")
    lasts = time.monotonic() - began
    counts: dict[str, int] = {"same": 0}
    for number in range(kills):
        folder = work / str(number)
        phase = kill_after(rng.uniform(0, lasts), task, folder)
        counts[phase] = counts.get(phase, 0) + 1
        is_same = finish(task, folder) and same(work / "whole", folder)
        counts["same"] += is_same
        if not is_same:
            say(f"{task}, killed while {phase}: {folder}.log has what happened")
    shutil.rmtree(work) if counts["same"] == kills else None
    return counts


def main() -> None:
    """Print a table: a row for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all, shared out among the tasks")
    parser.add_argument("--only", help="one task")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    composing.prepare_process()
    import blurr.experiment  # noqa: F401  so that the runs need not

    tasks = [given.only] if given.only else sorted(paths.options("task"))
    rng = random.Random(given.seed)
    table = []
    for number, task in enumerate(tasks):
        kills = given.kills // len(tasks) + (number < given.kills % len(tasks))
        counts = measure(task, kills, rng, show)
        where = ", ".join(f"{phase} {count}" for phase, count in sorted(counts.items()) if phase != "same")
        table.append([task, str(kills), str(counts["same"]), where])
    show(markdown(["task", "killed", "same end", "killed while"], table))


if __name__ == "__main__":
    main()
