"""A sweep of experiments that take no time: real processes, a real ledger, and an experiment that is a few lines."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from forked import Forked, door_with

from blurr.sweep.ledger import Ledger

EXPERIMENT = """
import ctypes, json, os, sys, time
from blurr.errors import InputError, ResourceError
from blurr.process import launched

def run_experiment(cfg, *, folder, overrides, choices, report=None, tags=None):
    if not launched.is_first():
        (folder.parent / f"{folder.name}.process-{launched.name()[8]}").touch()
        return 0.0
    if report is None:
        return 0.0  # a rehearsal
    started = folder.parent / "starts.txt"
    with started.open("a") as file:
        file.write(f"{folder.name}\\n")
    fate = os.environ.get(f"FATE_{cfg.seed}", "")
    if fate == "raise": raise RuntimeError("it failed")
    if fate == "refuse": raise InputError("a column is missing")
    if fate == "memory": bytearray(8 * 2**30)
    if fate == "segfault": ctypes.string_at(0)
    if fate == "exit": os._exit(3)
    if fate == "leave": sys.exit(4)
    if fate == "kill": os.kill(os.getpid(), 9)
    if fate == "nan": return float("nan")
    if fate == "hang": time.sleep(100)
    is_first = started.read_text().split().count(folder.name) == 1
    if fate == "once" and is_first: raise RuntimeError("the first time")
    if fate == "memory once" and is_first: bytearray(8 * 2**30)
    if fate == "service once" and is_first: raise ResourceError("MLflow is gone")
    if fate == "disk once" and is_first:
        with open("/dev/full", "w") as file:
            file.write("a")
    lr = float(cfg.optimizer.lr or 0)
    for step in range(1, cfg.schedule.epochs + 1):
        time.sleep(float(os.environ.get("SECONDS", 0)) / cfg.schedule.epochs)
        report(step, lr * step)
        (folder / "steps").write_text(str(step))
    if "WEIGHTS" in os.environ:
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "model.safetensors").write_text("w" * 1500)
    value = lr * cfg.schedule.epochs
    (folder / "metrics.json").write_text(json.dumps({"valid/accuracy": value, "valid/loss": -value}))
    if fate == "die late": os.kill(os.getpid(), 9)
    return value if isinstance(cfg.objective, str) else [value, -value]
"""
PLAIN = ("-m", "model.weights=scratch", "tracking=none", "schedule.epochs=1", "sweep.name=a")


class Sweeping:
    """Calls `python -m blurr.run` in a folder, with that experiment in place of the real one."""

    def __init__(self, folder: Path, experiment: Path) -> None:
        self.folder, self.experiment = folder, experiment

    def start(self, *words: str, **environment: str) -> Forked:
        return Forked(door_with, self.experiment, "blurr.run", *words, cwd=self.folder, **environment)

    def start_sweep(self, *words: str, **environment: str) -> Forked:
        return self.start(*PLAIN, *words, **environment)

    def call(self, *words: str, **environment: str) -> Forked:
        process = self.start(*words, **environment)
        process.wait(100)
        return process

    def sweep(self, *words: str, **environment: str) -> Forked:
        return self.call(*PLAIN, *words, **environment)

    def worker(self) -> int:
        """The process of a Ray worker of the sweep in this folder."""
        here = {each.pid: each.ppid() for each in psutil.process_iter() if self._is_remote(each)}
        return next(parent for parent in here.values() if parent not in here)

    def _is_remote(self, process: psutil.Process) -> bool:
        try:
            return "blurr.sweep.remote" in process.cmdline() and process.cwd() == str(self.folder)
        except psutil.Error:
            return False

    def ledger(self, name: str = "a") -> Ledger:
        return Ledger(self.folder / "multirun" / name)

    def finished(self) -> set[int]:
        return {number for number, trial in self.ledger().trials.items() if trial.state == "finished"}

    def starts(self) -> list[str]:
        """The number of the trial for each time that one was started."""
        file = self.folder / "multirun" / "a" / "starts.txt"
        return file.read_text().split() if file.exists() else []

    def others(self) -> list[str]:
        """The processes besides the first of each trial."""
        return sorted(file.name for file in self.folder.glob("multirun/a/*.process-*"))


@pytest.fixture
def sweeping(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Sweeping:
    experiment = tmp_path_factory.mktemp("stub") / "experiment.py"
    experiment.write_text(EXPERIMENT)
    return Sweeping(work, experiment)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait until something is so, while a process lives."""

    def wait(is_so: Callable[[], bool], process: Forked, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not is_so():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)

    return wait
