"""Be the process that has loaded everything and forks a process for each trial.

It has no threads and no open connections when it forks, and never uses a GPU. It dies with the sweep, and the trials
with it.
"""

import gc
import io
import logging
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hydra.core.utils import run_job
from omegaconf import OmegaConf

from blurr.config import signatures
from blurr.config.building import build
from blurr.process import setup
from blurr.process.children import begin_group, die_with
from blurr.process.imports import import_libraries
from blurr.process.signals import SIGNALS
from blurr.sweep.messages import Ended, Job, Started, Stop
from blurr.sweep.trial import CRASH, Context, be_trial

TICK_SECONDS = 0.05
GRACE_SECONDS = 20.0  # for an interrupted trial to close its MLflow run
TRACE_SECONDS = 0.5  # for a late trial to write where it hangs
# A few generated rows and a small model: they only make the libraries load, and no trial sees them.
REHEARSED = (
    *("data=sample", "data.limit=64", "loader.batch_size=32", "model.weights=scratch"),
    *("schedule=constant", "schedule.epochs=1", "tracking=none"),
)


@dataclass
class Child:
    """A trial's process.

    Attributes:
        job: what it runs.
        pid: the process id, which is also that of its process group.
        connection: leads to the process.
        ended: the trial's own report of its end.
        stop: the request to stop that the trial has got.
        kill_at: the `time.monotonic()` at which its time to stop is over.
    """

    job: Job
    pid: int
    connection: Connection
    ended: Ended | None = None
    stop: Stop | None = None
    kill_at: float = math.inf


def serve(connection: Connection, context: Context, *, parent: int, threads: int) -> None:
    """Load what trials need, then start and stop trials on request, until the other end is closed.

    Args:
        connection: receives `(Job, GPUs or None)`, `Stop` and `(number, answer)`; sends the trials' events.
        context: composes a trial.
        parent: process id of the sweep.
        threads: number of threads for each trial.
    """
    die_with(parent)
    os.setsid()  # Ctrl-C reaches only the sweep, which then stops the trials in order
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load(context, threads)
    gc.collect()
    gc.freeze()  # else a trial's collection would touch, and so copy, all the memory that it shares with this process
    children: dict[int, Child] = {}
    while True:
        ready = wait([connection, *(child.connection for child in children.values())], timeout=TICK_SECONDS)
        if connection in ready:
            try:
                _obey(connection, children, context, threads=threads)
            except EOFError:
                os._exit(0)  # the sweep is gone; the trials die with this process
        for child in list(children.values()):
            _relay(child, connection)
            if time.monotonic() > child.kill_at:
                os.killpg(child.pid, signal.SIGKILL)
                child.kill_at = math.inf
            ended = _reap(child, connection)
            if ended:
                del children[child.job.number]
                connection.send(ended)


def _load(context: Context, threads: int) -> None:
    """Import everything without starting a thread, because a process with threads must not be forked."""
    os.environ.update(OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="false")
    setup.stay_forkable()
    import torch

    import_libraries()
    import blurr.experiment  # noqa: F401  # takes ten seconds, which each trial saves

    build(context.config.tracking).prepare()
    has_gpu = Path("/proc/driver/nvidia").exists() or sys.platform == "darwin"
    if not has_gpu and signatures.is_ours(context.config.task["_target_"]):
        torch.set_num_threads(1)  # a pool of threads would be lost in the fork, and be waited for
        _rehearse(context)


def _rehearse(context: Context) -> None:
    """Train on a few rows: libraries load much on first use, and a trial after this takes half of the time."""
    choices = context.config.hydra.runtime.choices
    family = [f"model={choices.model}"] if OmegaConf.select(context.config, "model.arch") else []
    cfg = context.compose([f"task={choices.task}", *family, *REHEARSED])
    quiet = io.StringIO()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(quiet), redirect_stderr(quiet):
        cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir = folder, "run"
        # run_job keeps an exception in its result: a trial will meet the same one and report it.
        run_job(context.task, cfg, "hydra.sweep.dir", "hydra.sweep.subdir", context.hydra, configure_logging=False)
    logging.disable(logging.NOTSET)


def _obey(connection: Connection, children: dict[int, Child], context: Context, *, threads: int) -> None:
    """Receive a message and act on it; one for a trial that has ended is ignored."""
    message: Any = connection.recv()
    if isinstance(message, Stop):
        child = children.get(message.number)
        if child and not child.stop:
            _ask_to_stop(child, message)
    elif isinstance(message[0], Job):
        child = _fork(message[0], message[1], context, threads=threads)
        children[child.job.number] = child
        connection.send(Started(child.job.number))
    elif message[0] in children:
        children[message[0]].connection.send(message[1])


def _fork(job: Job, gpu: str | None, context: Context, *, threads: int) -> Child:
    ours, theirs = multiprocessing.Pipe()
    parent, pid = os.getpid(), os.fork()
    if pid:
        theirs.close()
        return Child(job, pid, ours)
    code = 1
    try:
        begin_group(parent)  # so that the processes which it starts can be killed with it
        if sys.platform == "linux":  # if memory runs out, the system kills a trial before the sweep
            Path("/proc/self/oom_score_adj").write_text("500")
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        os.environ.update(job.launch)
        be_trial(job, context, theirs, threads=threads)
        code = 0
    finally:
        os._exit(code)  # no exit handler of the fork server may run here


def _relay(child: Child, connection: Connection) -> None:
    """Pass on what a trial has reported; keep the report of its end until its process has ended."""
    with suppress(EOFError, OSError):  # it has closed its end
        while child.connection.poll():
            message = child.connection.recv()
            if isinstance(message, Ended):
                child.ended = message
            else:
                connection.send(message)


def _ask_to_stop(child: Child, stop: Stop) -> None:
    """Ask a late trial for a traceback before it is killed; let an interrupted one close its MLflow run."""
    child.stop = stop
    child.kill_at = time.monotonic() + (TRACE_SECONDS if stop.reason else GRACE_SECONDS)
    os.kill(child.pid, signal.SIGUSR2 if stop.reason else signal.SIGTERM)


def _reap(child: Child, connection: Connection) -> Ended | None:
    """Return how a trial ended, or None while its process lives."""
    pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    if not pid:
        return None
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # processes that it started and left behind
    _relay(child, connection)  # what it reported since the last time
    child.connection.close()
    crash = Path(child.job.folder, CRASH)
    if crash.exists() and not crash.stat().st_size:
        crash.unlink()
    ended = child.ended or _died(child, os.waitstatus_to_exitcode(status))
    return replace(ended, cpu=usage.ru_utime + usage.ru_stime)


def _died(child: Child, code: int) -> Ended:
    """Explain the end of a trial that could not report it."""
    number, file = child.job.number, Path(child.job.folder, CRASH)
    if child.stop and not child.stop.reason:
        return Ended(number, "interrupted")
    if child.stop:
        reason = child.stop.reason
    elif code < 0:
        reason = f"died of {signal.Signals(-code).name}"
        reason += ", as when the system runs out of memory" if -code == signal.SIGKILL else ""
    else:
        reason = f"exited without a report, with exit code {code} (os._exit?)"
    return Ended(number, "failed", (), reason, file.read_text(errors="replace") if file.exists() else "")
