"""Measure what sweeps promise: `python -m benchmarks.sweeps resume isolation parallel cost asha` (or some of these).

Every part runs `python -m blurr.run -m` as a user would, with one thread, in a folder that is thrown away: real
trainings of a small BERT on generated rows, real processes, real signals.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import mean

import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.pruners import SuccessiveHalvingPruner
from rich.console import Console

from benchmarks.servers import mlflow_server, postgres
from blurr.runs.journal import written_points
from blurr.runs.jsonlines import flatten
from blurr.sweep.ledger import Ledger
from blurr.sweep.search import Search
from blurr.sweep.space import parse
from blurr.tracking.sink import PARENT

ROOT = Path(__file__).parents[1]
SMALL = ("model.weights=scratch", "data.limit=32", "schedule.epochs=2")
KILLS = 20
ORDERS = 100
HALVING = {"min_resource": 2, "reduction_factor": 3}  # as in conf/sweep/pruner/asha.yaml
FATES = {
    "raise": "it failed",
    "memory": "out of memory",
    "segfault": "died of SIGSEGV",
    "exit": "left without a word, with exit code 3",
    "hang": "it took longer than sweep.trial_timeout",
}
FATE_YAML = "# Misbehave.\n# python -m blurr.run callbacks=[fate]\nfate:\n  _target_: fates.Fate\n  fate: none\n"
FATE_MODULE = """
import ctypes, os, time
from fastai.callback.core import Callback

class Fate(Callback):
    def __init__(self, fate):
        self.fate = fate
    def before_train(self):
        match self.fate:
            case "raise": raise RuntimeError("it failed")
            case "memory": bytearray(64 * 2**30)
            case "segfault": ctypes.string_at(0)
            case "exit": os._exit(3)
            case "hang": time.sleep(1000)
"""


class Launch:
    """A folder in which `blurr` is called."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "blurr.run", *words]
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)

    def run(self, *words: str) -> tuple[int, float, float]:
        """Run a command; returns its exit code, wall-clock seconds and CPU seconds."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        code = self.start(*words).wait()
        after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
        return code, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def ledger(self, name: str) -> Ledger:
        """Read a sweep's ledger."""
        return Ledger(self.folder / "multirun" / name)

    def attempts(self, name: str) -> int:
        """Count how often a trial of a sweep was started."""
        return sum(trial.attempts for trial in self.ledger(name).trials.values())

    def runs(self, uri: str | None = None) -> list[Run]:
        """Give all runs of an MLflow; that of the folder, where no other is named."""
        client = MlflowClient(tracking_uri=uri or f"sqlite:///{self.folder}/mlflow.db")
        return list(client.search_runs([e.experiment_id for e in client.search_experiments()]))

    def lost(self, name: str, uri: str) -> dict[str, object]:
        """Compare what the trials of a sweep wrote into their folders with what MLflow has."""
        client = MlflowClient(tracking_uri=uri)
        runs = {run.data.tags["blurr.output_dir"]: run for run in self.runs(uri) if PARENT in run.data.tags}
        metrics, params = Counter[str](), Counter[str]()
        for number in self.ledger(name).trials:
            folder = self.folder / "multirun" / name / str(number)
            written = Counter((point.key, point.step, point.value) for row in written_points(folder) for point in row)
            metrics["written"] += written.total()
            config = flatten(yaml.safe_load((folder / "config.yaml").read_text()))
            params["written"] += len(config)
            run = runs.get(str(folder))
            if run:
                kept = Counter(
                    (each.key, each.step, each.value)
                    for key in run.data.metrics
                    for each in client.get_metric_history(run.info.run_id, key)
                )
                metrics["the same in MLflow"] += (written & kept).total()
                metrics["more in MLflow"] += (kept - written).total()
                params["the same in MLflow"] += len(config.items() & run.data.params.items())
        return {
            f"{name}: trials and their runs": (len(self.ledger(name).trials), len(runs)),
            f"{name}: status": dict(Counter(run.info.status for run in runs.values())),
            f"{name}: metric values": dict(metrics),
            f"{name}: params": dict(params),
        }

    def is_training(self, name: str, since: float) -> bool:
        """Has a trial of a sweep got a process since then?"""
        with suppress(FileNotFoundError):  # a trial that has ended meanwhile takes its file with it
            return any(file.stat().st_mtime > since for file in (self.folder / "multirun" / name).glob("*/crash.txt"))
        return True

    def steps(self, name: str) -> int:
        """Count the optimizer steps that the trials of a sweep took."""
        files = (self.folder / "multirun" / name).glob("[0-9]*/metrics.jsonl")
        return sum(json.loads(file.read_text().splitlines()[-1])["step"] for file in files)


def resume(launch: Launch) -> dict[str, object]:
    """Kill a sweep of 12 trials with 2 workers, with -9, at 20 random moments."""
    words = ("-m", *SMALL, "optimizer.lr=1e-4,3e-4,1e-3,3e-3", "seed=1,2,3", "sweep.workers=2")
    launch.run(*words, "sweep.name=whole")
    seconds = mean(trial.seconds for trial in launch.ledger("whole").trials.values())
    rng, kills, done = random.Random(0), 0, []
    for _ in range(KILLS):
        started = time.time()
        process = launch.start(*words, "sweep.name=cut")
        while process.poll() is None and not launch.is_training("cut", started):
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.1 * seconds))  # while trials train, end, or are followed by the next
        kills += process.poll() is None
        process.kill()
        process.wait()
        done.append(sum(trial.state == "finished" for trial in launch.ledger("cut").trials.values()))
    code, *_ = launch.run("sweep.resume=cut")
    trials, reference = (list(launch.ledger(name).trials.values()) for name in ("cut", "whole"))
    parents = Counter(run.data.tags.get(PARENT) for run in launch.runs() if run.info.status == "FINISHED")
    ended = [
        json.loads(line) for line in (launch.folder / "multirun/cut/ledger.jsonl").read_text().splitlines() if line
    ]
    ends = Counter(event["number"] for event in ended if event["event"] == "ended")
    return {
        "kills": kills,
        "trials finished at each kill": ", ".join(map(str, done)),
        "exit code at last": code,
        "attempts of trials that a kill cut short": launch.attempts("cut") - len(trials),
        "trials finished": sum(trial.state == "finished" for trial in trials),
        "trials that ended more than once": sum(count > 1 for count in ends.values()),
        "finished MLflow runs under the two sweeps": sorted(count for key, count in parents.items() if key),
        "values equal to those of the undisturbed sweep": [t.values for t in trials] == [t.values for t in reference],
    }


def isolation(launch: Launch) -> dict[str, object]:
    """Run 8 trials, of which five end badly."""
    (launch.folder / "callbacks").mkdir()
    (launch.folder / "callbacks" / "fate.yaml").write_text(FATE_YAML)
    (launch.folder / "fates.py").write_text(FATE_MODULE)
    fates = ["none", *FATES, "nothing", "no"]
    words = ("callbacks=[fate]", f"callbacks.fate.fate={','.join(fates)}", "sweep.memory=16", "sweep.trial_timeout=30")
    code, *_ = launch.run("-m", *SMALL, *words, "sweep.workers=2", "sweep.name=a", "loader.num_workers=0")
    trials = launch.ledger("a").trials.values()
    rows: dict[str, object] = {"exit code": code}
    for trial, fate in zip(trials, fates, strict=True):
        is_right = FATES[fate] in trial.reason if fate in FATES else trial.state == "finished"
        said = f"{trial.state} {trial.reason[:90]}".strip()
        rows[f"trial {trial.number} ({fate})"] = f"{said} ({'as' if is_right else 'NOT as'} it should)"
    statuses = Counter(run.info.status for run in launch.runs() if PARENT in run.data.tags)
    return {**rows, "status of their MLflow runs": dict(statuses)}


def parallel(launch: Launch) -> dict[str, object]:
    """Run 12 trials, 6 at once: on an SQLite store that is not there yet, and on an MLflow server with PostgreSQL."""
    words = ("-m", *SMALL, f"seed={','.join(map(str, range(12)))}", "sweep.workers=6")
    rows: dict[str, object] = {}
    code, *_ = launch.run(*words, "sweep.name=sqlite")
    rows |= {"SQLite: exit code": code, **launch.lost("sqlite", f"sqlite:///{launch.folder}/mlflow.db")}
    with postgres() as store, mlflow_server(store, launch.folder / "artifacts") as address:
        code, *_ = launch.run(*words, "sweep.name=server", "tracking=server", f"tracking.uri={address}")
        rows |= {"server: exit code": code, **launch.lost("server", address)}
    return rows


def cost(launch: Launch) -> dict[str, object]:
    """Compare what a trial costs besides its training, and how long eight small ones take."""
    trials = ("optimizer.lr=1e-4,3e-4,1e-3,3e-3", "seed=1,2")
    small = ("model.weights=scratch", "data.limit=32", "schedule.epochs=1")
    code, seconds, _ = launch.run("-m", *small, *trials, "sweep.workers=2", "sweep.name=a")
    launch.run("-m", *small, *trials, "schedule.epochs=5", "sweep.workers=2", "sweep.name=b")
    one, five = (mean(trial.cpu for trial in launch.ledger(name).trials.values()) for name in ("a", "b"))
    basic = launch.run("-m", *small, *trials, "hydra/sweeper=basic", "hydra.sweep.dir=basic")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra/sweeper=basic", "hydra.sweep.dir=joblib")
    beside = launch.run("-m", *small, *trials, *joblib)
    fresh = [launch.run(*small, f"seed={i}") for i in range(8)]
    return {
        "exit codes": sorted({code, basic[0], beside[0], *(each[0] for each in fresh)}),
        "CPU seconds of a trial: blurr": f"{one:.2f}",
        "CPU seconds of a trial: blurr, less what an epoch costs": f"{one - (five - one) / 4:.2f}",
        "CPU seconds of a trial: Hydra's basic launcher, one process for all": f"{basic[2] / 8:.2f}",
        "CPU seconds of a trial: Hydra's joblib launcher, 2 workers": f"{beside[2] / 8:.2f}",
        "CPU seconds of a trial: a fresh process for each": f"{sum(each[2] for each in fresh) / 8:.2f}",
        "wall-clock seconds of 8 trials: blurr, 2 workers": f"{seconds:.0f}",
        "wall-clock seconds of 8 trials: Hydra's basic launcher": f"{basic[1]:.0f}",
        "wall-clock seconds of 8 trials: Hydra's joblib launcher, 2 workers": f"{beside[1]:.0f}",
        "wall-clock seconds of 8 trials: a fresh process for each": f"{sum(each[1] for each in fresh):.0f}",
    }


def asha(launch: Launch) -> dict[str, object]:
    """Search a grid of learning rates and batch sizes, whole and with asynchronous successive halving."""
    axes = ("optimizer.lr=1e-5,3e-5,1e-4,3e-4,1e-3,3e-3,1e-2,3e-2", "loader.batch_size=16,32")
    words = ("-m", "task=token_classification", "model.weights=scratch", "schedule.epochs=9", *axes, "sweep.workers=2")
    launch.run(*words, "sweep.name=grid")
    launch.run(*words, "sweep.name=asha", "sweep=asha")
    rows: dict[str, object] = {}
    for name in ("grid", "asha"):
        best = max(trial.values[0] for trial in launch.ledger(name).trials.values() if trial.state == "finished")
        rows[f"{name}: best valid/f1"] = f"{best:.4f}"
        rows[f"{name}: optimizer steps"] = launch.steps(name)
    rows["share of the steps"] = f"{launch.steps('asha') / launch.steps('grid'):.0%}"
    return {**rows, **_replayed(launch.ledger("grid"))}


def _replayed(ledger: Ledger) -> dict[str, object]:
    """Say what halving would have made of a whole grid's reports in other orders, one trial after another.

    A trial's share of its steps is the share of its evaluations.
    """
    space = parse(ledger.head["words"], None)
    weights = {number: 1 / float(trial.point["loader.batch_size"]) for number, trial in ledger.trials.items()}
    shares, found = [], []
    for seed in range(ORDERS):
        search = Search(space, directions=["maximize"], pruner=SuccessiveHalvingPruner(**HALVING))
        order = random.Random(seed).sample(list(ledger.trials.values()), len(ledger.trials))
        done, best = 0.0, 0.0
        for number, trial in enumerate(order):
            search.add(trial)
            reports = list(trial.reports.items())
            lasted = next((i for i, report in enumerate(reports, 1) if search.is_to_be_pruned(number, *report)), None)
            done += weights[trial.number] * (lasted or len(reports)) / len(reports)
            best = best if lasted else max(best, trial.values[0])
        shares.append(done / sum(weights.values()))
        found.append(best == max(trial.values[0] for trial in order))
    return {
        f"{ORDERS} other orders: mean share of the steps": f"{mean(shares):.0%}",
        f"{ORDERS} other orders: least and greatest share": f"{min(shares):.0%}, {max(shares):.0%}",
        f"{ORDERS} other orders: the grid's best was found in": sum(found),
    }


PARTS = {each.__name__: each for each in (resume, isolation, parallel, cost, asha)}


def main() -> None:
    """Run the parts that the command line names, and print what each shows."""
    console = Console(width=120, highlight=False)
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            rows = PARTS[name](Launch(folder))
        console.print(f"\n{name}: {PARTS[name].__doc__}", style="bold")
        for key, value in rows.items():
            console.print(f"  {key}: {value}", markup=False)


if __name__ == "__main__":
    main()
