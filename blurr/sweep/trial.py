"""Be the process of one trial: set its limits, compose its config, run it, and report how it ended."""

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hydra.core.utils import run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from blurr.config import explain
from blurr.errors import InputError
from blurr.process import launched
from blurr.process.signals import Interrupted
from blurr.runs.folder import ERROR, SCORES, holds_run
from blurr.runs.secrets import mask_text
from blurr.sweep import together
from blurr.sweep.messages import Ended, Job, Pruned, Reported

OUTPUT, CRASH = "output.txt", "crash.txt"
# An earlier attempt leaves these. The scores go first: while they are there, the trial counts as finished.
RESULTS = (SCORES, ERROR, CRASH)
MOST_CHARACTERS = 300  # of a reason; the traceback has the rest


@dataclass(frozen=True)
class Context:
    """The sweep's config, Hydra's loader to compose others, and the function that runs a job."""

    config: DictConfig
    hydra: HydraContext
    task: Callable[..., Any]

    def compose(self, overrides: list[str]) -> DictConfig:
        """Compose the config of one trial, including Hydra's own part."""
        cfg = self.hydra.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(cfg):
            cfg.hydra.runtime.merge_with(self.config.hydra.runtime)
            cfg.hydra.job.update(OmegaConf.masked_copy(self.config.hydra.job, ["name", "config_name"]))
        return cfg


def be_trial(job: Job, context: Context, connection: Connection, *, threads: int) -> None:
    """Run one trial in this process; its output goes to a file in its folder.

    Args:
        job: the trial.
        context: composes it.
        connection: sends its reports and its end, receives the answers.
        threads: number of threads for torch.
    """
    if not launched.is_first():
        together.follow()
        return
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)
    _redirect(folder)
    with ExitStack() as stack:
        stack.push(partial(_report_error, job, connection))
        if job.memory:
            import resource

            limit = int(job.memory * 2**30)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        values = _run(job, context, connection)
        if launched.is_first():
            connection.send(Ended(job.number, "finished", values))


def _run(job: Job, context: Context, connection: Connection) -> tuple[float, ...]:
    cfg = context.compose(list(job.overrides))
    if OmegaConf.select(cfg, "model.weights") == "auto":
        cfg.model.weights = job.weights
    if holds_run(Path(job.folder)):
        cfg.resume = "auto"  # continue an earlier attempt, and its MLflow run, from the last checkpoint
    with open_dict(cfg):
        cfg.hydra.job.num, cfg.hydra.job.id = job.number, f"{cfg.hydra.job.name}_{job.number}"
        cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir = os.path.split(job.folder)
        cfg.hydra.output_subdir = None  # the run itself writes down its config

    task = partial(context.task, report=partial(_report, job, connection), tags=job.tags)
    done = run_job(task, cfg, "hydra.sweep.dir", "hydra.sweep.subdir", context.hydra)
    values = done.return_value  # raises what the run raised
    return tuple(values) if isinstance(values, list) else (float(values),)


def _report(job: Job, connection: Connection, step: int, value: float) -> None:
    connection.send(Reported(job.number, step, value))
    if job.asks and connection.recv():
        raise Pruned(f"Pruned after evaluation {step}: other trials did better.")


def _redirect(folder: Path) -> None:
    """Send the output of this process and its children to one file, and the traceback of a crash to another."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    crash = open(folder / CRASH, "w")  # noqa: SIM115  # stays open while the process lives
    faulthandler.enable(crash)
    faulthandler.register(signal.SIGUSR2, crash)  # makes a hanging trial write where it is


def _report_error(job: Job, connection: Connection, _: object, error: BaseException | None, *__: object) -> bool:
    """Report whatever ended a trial, as the `__exit__` of its `with` block."""
    if error is not None and launched.is_first():
        connection.send(_ended(job, error))
    sys.stdout.flush()  # the process ends by os._exit, which does not
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
