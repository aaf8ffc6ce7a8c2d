"""Run an experiment in several processes of this machine, and compare what it leaves with that of one."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from forked import Forked
from running import run
from safetensors.torch import load_file

from blurr.process.listening import free_port
from blurr.runs.jsonlines import read_lines

# else Adam moves weights whose gradient is nothing but rounding as far as others
NO_NOISE = "optimizer.eps=1e-3"
SAME = 1e-5


def started(world: int, folder: Path, *words: str) -> list[Forked]:
    """Start the processes of a run."""
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Forked(take_part, folder, words, cwd=folder.parent, RANK=str(rank), LOCAL_RANK=str(rank), **shared)
        for rank in range(world)
    ]


def take_part(folder: Path, words: tuple[str, ...]) -> None:
    """Be one of the processes of a run."""
    torch.set_num_threads(1)
    run(folder, *words)


def run_on(world: int, folder: Path, *words: str) -> Path:
    """Run in several processes, all of which must end well; return the folder of the run."""
    processes = started(world, folder, *words)
    for process in processes:
        process.wait()
    assert [process.returncode for process in processes] == [0] * world, [each.stderr[-3000:] for each in processes]
    return folder


def check_same(one: Path, two: Path, *, within: float = SAME, rows: bool = True) -> None:
    """Compare losses of all steps, scores, described rows if wanted, and weights of two runs."""
    logged = [
        [(row["step"], name, value) for row in read_lines(run / "metrics.jsonl") for name, value in row.items()]
        for run in (one, two)
    ]
    for first, second in zip(*map(measured, logged), strict=True):
        assert first[:2] == second[:2]
        assert abs(first[2] - second[2]) < within, (first, second)
    assert difference(*(json.loads((run / "metrics.json").read_text()) for run in (one, two))) < within
    if rows:
        assert difference(*(read_lines(run / "predictions.jsonl") for run in (one, two))) < within
    weights = [load_file(run / "model" / "model.safetensors") for run in (one, two)]
    apart = {name: float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]}
    assert max(apart.values()) < within, sorted(apart.items(), key=lambda each: -each[1])[:3]


def measured(logged: list[tuple[int, str, Any]]) -> list[tuple[int, str, Any]]:
    """Return the losses and scores of what was logged."""
    return [each for each in logged if each[1].startswith(("train/", "valid/"))]


def difference(one: Any, two: Any) -> float:
    """Return the largest difference between numbers of two values of one form; infinite where anything else differs."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return max([difference(one[key], two[key]) for key in one], default=0.0)
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return max(map(difference, one, two), default=0.0)
    if isinstance(one, float) and isinstance(two, float) and not math.isnan(one + two):
        return abs(one - two)
    return 0.0 if str(one) == str(two) else math.inf
