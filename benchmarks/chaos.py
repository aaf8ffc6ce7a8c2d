"""Kill small runs at random moments, go on, and compare the end with that of an undisturbed run.

    python -m benchmarks.chaos [--kills 100] [--only summarization] [--seed 0]

Each run is a process of its own, forked from one that has imported everything; `kill -9` comes while it loads, trains,
writes a checkpoint (after every step), evaluates or saves: a moment is drawn of one of these times, which are told by
what is in the folder, so that a busy machine moves nothing. One run in four is killed again after it has gone on.

What is left behind is counted once a run has come to its end: files and folders that are half-written, in the run's
folder, in the cache of encoded rows and in the folder for temporary files; segments of shared memory; and processes
that still live a second after the kill.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from omegaconf import OmegaConf
from safetensors.torch import load_file

from benchmarks.commands import markdown, show
from blurr.config import composing, paths
from blurr.runs.jsonlines import read_lines

WORDS = ["tracking=none", "model.weights=scratch", "model.scratch_vocab=600", "data.rows=60", "loader.batch_size=8"]
CHECKPOINTS = ["checkpoint.every_steps=1", "checkpoint.keep=2"]
EPOCHS = "schedule.epochs=2"
FROZEN = ["callbacks=[cache_frozen_features]", "schedule=constant", EPOCHS, "schedule.freeze=true"]
KINDS = {
    **{task: [f"task={task}", EPOCHS] for task in sorted(paths.options("task"))},
    "frozen body": ["task=sequence_classification", *FROZEN],
    "frozen body, tokens": ["task=token_classification", *FROZEN],
    "2 workers": ["task=sequence_classification", EPOCHS, "loader.num_workers=2"],
    "2 workers, frozen body": ["task=token_classification", *FROZEN, "loader.num_workers=2"],
}
SHARES = {"loading": 0.2, "training": 0.55, "evaluating, saving": 0.25}  # of the kills, by what the run is at
AGAIN = 0.25  # share of the runs that are killed a second time
SECONDS = 600  # a run that takes longer hangs
LIVES_SECONDS = 1.0  # for the system to remove processes
SHARED_MEMORY = Path("/dev/shm")


@dataclass
class Undisturbed:
    """The run that no signal disturbs.

    Args:
        folder: of its outputs.
        loads: seconds to its first checkpoint.
        step: seconds between two checkpoints.
        ends: seconds from its last checkpoint to its scores, after which little is left to lose.
        checkpoints: names of all that it wrote, in their order.
    """

    folder: Path
    loads: float
    step: float
    ends: float
    checkpoints: list[str]


def start(kind: str, folder: Path) -> int:
    """Start a run, or go on with it, in a process of its own; return the process's number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()  # so that the processes it starts can be told from others
        descriptor = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.environ["BLURR_CACHE"] = str(folder.with_suffix(".cache"))
        tempfile.tempdir = str(folder.with_suffix(".tmp"))
        Path(tempfile.tempdir).mkdir(exist_ok=True)
        run(kind, folder)
        code = 0
    finally:
        os._exit(code)


def run(kind: str, folder: Path) -> None:
    """Do what `python -m blurr.run resume=auto` does with a folder of one's own."""
    from blurr.experiment import run_experiment

    folder.mkdir(parents=True, exist_ok=True)
    words = [*KINDS[kind], *WORDS, *CHECKPOINTS, f"output_dir={folder}", "resume=auto"]
    cfg = composing.compose(words)
    choices = OmegaConf.to_container(composing.HydraConfig.get().runtime.choices)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])
    run_experiment(cfg, folder=folder, overrides=words, choices=dict(choices))


def finish(kind: str, folder: Path) -> bool:
    """Run to the end; say whether it got there."""
    return os.waitstatus_to_exitcode(os.waitpid(start(kind, folder), 0)[1]) == 0


def undisturbed(kind: str, folder: Path) -> Undisturbed:
    """Run without a kill, and look on."""
    child, began = start(kind, folder), time.monotonic()
    seen: dict[str, float] = {}
    ended = 0.0
    while not os.waitpid(child, os.WNOHANG)[0]:
        seen |= {name: time.monotonic() for name in checkpoints(folder) if name not in seen}
        ended = ended or (time.monotonic() if (folder / "metrics.json").exists() else 0.0)
        time.sleep(0.001)
    if not ended:
        raise SystemExit(f"The undisturbed run of {kind} failed: {folder.with_suffix('.log').read_text()[-2000:]}")
    names = sorted(seen)
    first, last = seen[names[0]], seen[names[-1]]
    return Undisturbed(folder, first - began, (last - first) / (len(names) - 1), ended - last, names)


def checkpoints(folder: Path) -> list[str]:
    """Return the names of the checkpoints that there are."""
    there = folder / "checkpoints"
    return [name for name in os.listdir(there) if name.startswith("step-")] if there.is_dir() else []


def kill(kind: str, folder: Path, whole: Undisturbed, rng: random.Random) -> tuple[str, int]:
    """Start a run, or go on with it, and kill it; return in which phase it was, and how many processes it left."""
    child, phase = start(kind, folder), rng.choices(list(SHARES), list(SHARES.values()))[0]
    awaited, most = {
        "loading": ("", whole.loads),
        "training": (rng.choice(whole.checkpoints[:-1]), 2 * whole.step),
        "evaluating, saving": (whole.checkpoints[-1], whole.ends),
    }[phase]
    until = time.monotonic() + SECONDS
    while max(checkpoints(folder), default="") < awaited and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            raise SystemExit(f"{kind} hangs: {folder}.log has what happened")
        time.sleep(0.001)
    time.sleep(rng.uniform(0, most))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return phase_of(folder, whole.checkpoints[-1]), orphans(child)


def phase_of(folder: Path, last: str) -> str:
    """Say in which phase a run was killed, by what it has left."""
    if (folder / "metrics.json").exists():
        return "after the end"
    if list(folder.glob("checkpoints/.*")):
        return "writing a checkpoint"
    if last in checkpoints(folder):
        return "evaluating, saving"
    return "training" if checkpoints(folder) else "loading"


def orphans(session: int) -> int:
    """Count the processes of a session that live on; end them."""
    time.sleep(LIVES_SECONDS)
    alive = [process for process in psutil.process_iter() if _is_of(process, session)]
    for process in alive:
        show(f"lives on: {process} {process.cmdline()}")
        process.kill()
    return len(alive)


def _is_of(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def half_written(folder: Path) -> Iterator[Path]:
    """Yield what a run has left besides its results."""
    yield from (path for path in folder.rglob("*") if path.name.startswith(".") or path.name.endswith(".part"))
    yield from folder.glob("*.lock")
    yield from folder.with_suffix(".cache").glob("*/.*")
    yield from folder.with_suffix(".tmp").iterdir()


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


def measure(kind: str, kills: int, rng: random.Random) -> list[str]:
    """Kill runs of a kind so many times; return the row of the table."""
    work = Path(tempfile.mkdtemp(prefix="blurr-chaos-"))
    whole = undisturbed(kind, work / "whole")
    phases: Counter[str] = Counter()
    ends = same_ends = left = 0
    while phases.total() < kills:
        folder, memory = work / str(ends), set(SHARED_MEMORY.glob("torch_*"))
        times = min(kills - phases.total(), 2 if rng.random() < AGAIN else 1)
        alive = 0
        for _ in range(times):
            phase, count = kill(kind, folder, whole, rng)
            phases[phase], alive = phases[phase] + 1, alive + count
        is_same = finish(kind, folder) and same(whole.folder, folder)
        found = [*half_written(folder), *set(SHARED_MEMORY.glob("torch_*")) - memory]
        ends, same_ends, left = ends + times, same_ends + times * is_same, left + len(found) + alive
        if found or alive or not is_same:
            names = ", ".join(map(str, found))
            show(f"{kind}: same end: {is_same}; processes: {alive}; left: {names}; {folder}.log has what happened")
    shutil.rmtree(work) if same_ends == kills and not left else None
    where = ", ".join(f"{phase} {count}" for phase, count in sorted(phases.items()))
    return [kind, str(kills), str(same_ends), str(left), where]


def main() -> None:
    """Print a table: a row for each kind of run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all, shared out among the kinds")
    parser.add_argument("--only", choices=list(KINDS), help="one kind of run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    composing.prepare_process()
    import blurr.experiment  # noqa: F401  so that the runs need not

    kinds = [given.only] if given.only else list(KINDS)
    rng = random.Random(given.seed)
    table = []
    for number, kind in enumerate(kinds):
        table.append(measure(kind, given.kills // len(kinds) + (number < given.kills % len(kinds)), rng))
        show(" | ".join(table[-1]))
    counts = [str(sum(int(row[column]) for row in table)) for column in (1, 2, 3)]
    show(markdown(["run", "killed", "same end", "leftovers", "killed while"], [*table, ["all", *counts, ""]]))


if __name__ == "__main__":
    main()
