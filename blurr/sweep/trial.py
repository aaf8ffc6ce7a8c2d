"""Be the process of one trial: take its limits, compose its config, run it, and say how it ended."""

import faulthandler
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hydra.core.utils import run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from blurr.config import explain
from blurr.errors import InputError
from blurr.process.signals import Interrupted
from blurr.runs.folder import ERROR, SCORES, holds_run
from blurr.runs.secrets import mask_text
from blurr.sweep.messages import Ended, Job, Pruned, Reported

OUTPUT, CRASH = "output.txt", "crash.txt"
RESULTS = (SCORES, ERROR, CRASH)  # of an earlier attempt, to be forgotten in this order; checkpoints are kept
MOST_CHARACTERS = 300  # of a reason; the traceback has all of it


@dataclass(frozen=True)
class Context:
    """What Hydra has made of the sweep's command line, and what runs one of its jobs."""

    config: DictConfig
    hydra: HydraContext
    task: Callable[..., Any]

    def compose(self, words: list[str]) -> DictConfig:
        """Compose the config of one trial, Hydra's own part included."""
        cfg = self.hydra.config_loader.load_sweep_config(self.config, words)
        with open_dict(cfg):
            cfg.hydra.runtime.merge_with(self.config.hydra.runtime)
            cfg.hydra.job.update(OmegaConf.masked_copy(self.config.hydra.job, ["name", "config_name"]))
        return cfg


def be_trial(job: Job, context: Context, connection: Connection, *, threads: int) -> None:
    """Run one trial in this process; what it prints goes to a file in its folder.

    Args:
        job: what to run.
        context: what composes it.
        connection: where its reports and its end are told, and where the answers come from.
        threads: that it may use.
    """
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)
    _redirect(folder)
    with _Ending(job, connection) as ending:
        if job.memory:
            limit = int(job.memory * 2**30)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        ending.values = _run(job, context, connection)


def _run(job: Job, context: Context, connection: Connection) -> tuple[float, ...]:
    cfg = context.compose(list(job.words))
    if OmegaConf.select(cfg, "model.weights") == "auto":
        cfg.model.weights = job.weights
    if holds_run(Path(job.folder)):
        cfg.resume = "auto"  # an earlier attempt goes on from its last checkpoint, in its MLflow run
    with open_dict(cfg):
        cfg.hydra.job.num, cfg.hydra.job.id = job.number, f"{cfg.hydra.job.name}_{job.number}"
        cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir = os.path.split(job.folder)
        cfg.hydra.output_subdir = None  # the run writes down its config itself

    task = partial(context.task, report=partial(_report, job, connection), tags=job.tags)
    done = run_job(task, cfg, "hydra.sweep.dir", "hydra.sweep.subdir", context.hydra)
    values = done.return_value  # raises what the run raised
    return tuple(values) if isinstance(values, list) else (float(values),)


def _report(job: Job, connection: Connection, step: int, value: float) -> None:
    connection.send(Reported(job.number, step, value))
    if job.asks and connection.recv():
        raise Pruned(f"Pruned after evaluation {step}: other trials did better.")


def _redirect(folder: Path) -> None:
    """Send what this process and its children print to a file, and the traceback of a crash to another."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    crash = open(folder / CRASH, "w")  # noqa: SIM115  # stays open as long as the process lives
    faulthandler.enable(crash)
    faulthandler.register(signal.SIGUSR2, crash)  # how a trial that hangs is asked where


class _Ending:
    """Catches whatever ends a trial, and tells it."""

    def __init__(self, job: Job, connection: Connection) -> None:
        self.values: tuple[float, ...] = ()
        self._job, self._connection = job, connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        ended = _ended(self._job, error) if error else Ended(self._job.number, "finished", self.values)
        self._connection.send(ended)
        sys.stdout.flush()
        sys.stderr.flush()
        return True


def _ended(job: Job, error: BaseException) -> Ended:
    if isinstance(error, Pruned):
        return Ended(job.number, "pruned")
    if isinstance(error, Interrupted):
        return Ended(job.number, "interrupted")
    answer = explain.answer_to(error)
    details = mask_text("".join(traceback.format_exception(error)))
    reason = " ".join(f"{type(error).__name__}: {mask_text(str(error))}".split())[:MOST_CHARACTERS]
    if isinstance(error, SystemExit):
        reason = f"sys.exit({error.code}) was called"
    elif answer:
        reason = mask_text(str(answer))
    return Ended(job.number, "failed", (), reason, details, mistake=isinstance(answer, InputError))
