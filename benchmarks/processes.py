"""Train in one process and in two, compare what they leave and how long they take; kill some, and go on.

    python -m benchmarks.processes equal [--only summarization]
    python -m benchmarks.processes speed
    python -m benchmarks.processes kills [--kills 20] [--seed 0]

`equal` trains every task without dropout on generated rows, with a batch that two processes share unevenly, and prints
the largest differences of the weights, of the losses of all steps and of the final scores. `speed` trains a classifier
with one thread for each process, in turn, and needs two cores that nothing else uses. `kills` ends one of two
processes, or the one that has started them, by `kill -9` at random moments, goes on with the run, and compares its end
with that of an undisturbed one: resumed with two processes, and every other time, without dropout, with one.
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from omegaconf import OmegaConf
from safetensors.torch import load_file

from benchmarks.commands import markdown, show
from benchmarks.measuring import alternate, machine, ratio
from blurr.config import composing, explain, paths
from blurr.process import launched, launching
from blurr.runs.jsonlines import read_lines

# Adam divides by the size of a gradient: where that is nothing but rounding, so is the step, without a larger eps.
WORDS = [
    *("tracking=none", "report=false", "model.weights=scratch", "data.rows=60"),
    *("loader.batch_size=9", "schedule.epochs=2", "optimizer.eps=1e-6", "checkpoint.every_minutes=null"),
]
FAST = [
    *("task=sequence_classification", "tracking=none", "report=false", "model.weights=scratch", "data.rows=1600"),
    *("loader.batch_size=32", "schedule.epochs=3", "checkpoint.every_minutes=null", "model.scratch.hidden_size=256"),
    *("model.scratch.num_hidden_layers=4", "model.scratch.num_attention_heads=4"),
]
KILLED = [
    "task=sequence_classification",
    "model.scratch_vocab=600",
    *WORDS,
    "checkpoint.every_steps=1",
    "checkpoint.keep=2",
]
REPEATS = 3
SECONDS = 300  # a run that takes longer hangs


def start(words: Sequence[str], folder: Path, processes: int) -> int:
    """Start a run in a process of its own, which becomes so many; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        descriptor = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        with explain.Answering():
            run([*words, f"output_dir={folder}", f"processes={processes}", "resume=auto"], folder)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def run(words: list[str], folder: Path) -> None:
    """Do what `python -m blurr.run` does with a folder of one's own."""
    from blurr.sweep.together import run_together

    folder.mkdir(parents=True, exist_ok=True)
    cfg = composing.compose(words)
    choices = OmegaConf.to_container(composing.HydraConfig.get().runtime.choices)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])
    if cfg.processes > 1:
        launching.become(cfg.processes, folder=str(folder))
    cfg.processes = launched.world()
    run_together(cfg, folder=folder, overrides=words, choices=choices)


def finish(words: Sequence[str], folder: Path, processes: int) -> Path:
    """Run to the end; return the folder."""
    code = os.waitstatus_to_exitcode(os.waitpid(start(words, folder, processes), 0)[1])
    if code:
        raise SystemExit(f"A run failed: {folder.with_suffix('.log').read_text()[-3000:]}")
    return folder


# -- the same end


def equal(task: str, there: Path) -> list[str]:
    """Train a task in one and in two processes; return a row of the table."""
    words = [f"task={task}", *WORDS, *without_noise(task)]
    one, two = (finish(words, there / f"{task}-{count}", count) for count in (1, 2))
    return [
        task,
        *(f"{apart:.1e}" for apart in (weights_apart(one, two), losses_apart(one, two), scores_apart(one, two))),
    ]


def without_noise(task: str) -> list[str]:
    """Return the words that turn off what a model draws at random."""
    from transformers import AutoConfig

    values = AutoConfig.for_model(composing.compose([f"task={task}"]).model.arch).to_dict()
    drops = [name for name, value in values.items() if "drop" in name and isinstance(value, float) and value > 0]
    masks = [name for name in ("apply_spec_augment",) if values.get(name)]
    return [
        f"+model.config_kwargs.{name}={value}" for names, value in ((drops, 0.0), (masks, "false")) for name in names
    ]


def weights_apart(one: Path, two: Path) -> float:
    """Return the largest difference between the saved weights of two runs."""
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (one, two))
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours)


def losses_apart(one: Path, two: Path) -> float:
    """Return the largest difference between the training losses of two runs, step by step."""
    ours, theirs = (
        [row["train/loss"] for row in read_lines(run / "metrics.jsonl") if "train/loss" in row] for run in (one, two)
    )
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def scores_apart(one: Path, two: Path) -> float:
    """Return the largest difference between the final scores of two runs."""
    ours, theirs = (scores_of(run) for run in (one, two))
    return max(abs(ours[name] - theirs[name]) for name in ours)


def scores_of(run: Path) -> Mapping[str, float]:
    """Return the final scores that are numbers."""
    scores: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return {name: value for name, value in scores.items() if value == value}


# -- how fast


def speed(there: Path) -> str:
    """Return how many times as fast two processes train a classifier, by the clock."""
    runs = iter(range(1000))

    def epoch(count: int) -> float:
        folder = finish(FAST, there / f"speed-{next(runs)}", count)
        times = [row["time/epoch"] for row in read_lines(folder / "metrics.jsonl") if "time/epoch" in row]
        return statistics.median(times[1:])  # the first one warms up

    seconds = alternate({"1": lambda: epoch(1), "2": lambda: epoch(2)}, repeats=REPEATS)
    told = ", ".join(f"{name}: {statistics.median(taken):.2f} s" for name, taken in seconds.items())
    return f"an epoch by processes: {told}; 2 are {ratio(seconds['1'], seconds['2']):.2f} times as fast; {machine()}"


# -- kills


def killed(number: int, undisturbed: Mapping[int, Path], there: Path, rng: random.Random) -> list[str]:
    """Kill a run of two processes, and go on with it; return a row of the table."""
    folder = there / f"killed-{number}"
    count = 1 + number % 2
    words = [*KILLED, *(without_noise("sequence_classification") if count == 1 else ())]
    child = start(words, folder, 2)
    awaited, until = rng.randrange(1, 12), time.monotonic() + SECONDS
    while steps_of(folder) < awaited and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            raise SystemExit(f"{folder} hangs")
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.2))
    ranks = [each.pid for each in psutil.Process(child).children()]
    whom = rng.choice(["the first", "the second", "all"])
    victim = {"the first": ranks[0], "the second": ranks[-1], "all": child}[whom]
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    os.waitpid(child, 0)
    ended, at = time.monotonic() - began, steps_of(folder)
    time.sleep(1)  # for the system to remove processes
    orphans = sum(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in ranks)
    apart = weights_apart(undisturbed[count], finish(words, folder, count))
    return [str(number), f"{whom}, after step {at}", f"{ended:.1f} s", str(orphans), str(count), f"{apart:.1e}"]


def steps_of(folder: Path) -> int:
    """Return the step of the last checkpoint of a run; 0 where there is none."""
    return max((int(path.name.partition("-")[2]) for path in folder.glob("checkpoints/step-*")), default=0)


def kills(count: int, there: Path, rng: random.Random) -> str:
    """Return the table of so many kills."""
    undisturbed = {
        1: finish([*KILLED, *without_noise("sequence_classification")], there / "undisturbed-1", 2),
        2: finish(KILLED, there / "undisturbed-2", 2),
    }
    rows = [killed(number, undisturbed, there, rng) for number in range(1, count + 1)]
    return markdown(["kill", "of", "ended in", "orphans", "resumed with", "weights apart"], rows)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["equal", "speed", "kills"])
    parser.add_argument("--only", choices=sorted(paths.options("task")), help="one task")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    composing.prepare_process()
    import blurr.experiment  # noqa: F401  # so that the runs need not

    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        os.environ["BLURR_CACHE"] = str(there / "cache")
        if given.what == "equal":
            tasks = [given.only] if given.only else sorted(paths.options("task"))
            show(markdown(["task", "weights", "losses", "scores"], [equal(task, there) for task in tasks]))
        elif given.what == "speed":
            show(speed(there))
        else:
            show(kills(given.kills, there, random.Random(given.seed)))


if __name__ == "__main__":
    main()
