"""The process that has loaded everything and forks a process for each trial; it dies with the sweep, and they with it.

It has no threads and no open connections when it forks, and never touches a GPU.
"""

import ctypes
import gc
import io
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hydra.core.utils import run_job
from omegaconf import OmegaConf

from blurr.config import signatures
from blurr.config.building import build
from blurr.sweep.messages import Ended, Job, Started, Stop
from blurr.sweep.trial import CRASH, Context, be_trial

PR_SET_PDEATHSIG = 1
TICK_SECONDS = 0.05
GRACE_SECONDS = 20.0  # for a trial that is stopped to close its MLflow run
# A few rows of generated text and a small model: nothing of this reaches a trial but what is loaded on the way.
SMALL = (
    *("data=sample", "data.limit=64", "loader.batch_size=32", "model.weights=scratch"),
    *("schedule=constant", "schedule.epochs=1", "tracking=none"),
)


@dataclass
class Child:
    """A trial's process, and what is known of its end."""

    job: Job
    pid: int
    connection: Connection
    ended: Ended | None = None
    stop: Stop | None = None
    kill_at: float = field(default=float("inf"))


def keep(connection: Connection, context: Context, *, threads: int) -> None:
    """Load what trials need, then start and bury them as asked, until the other end is closed.

    Args:
        connection: brings `(Job, GPU or None)`, `Stop`, and `(number, answer)`; takes what the trials say.
        context: what composes a trial.
        threads: that each trial may use.
    """
    die_with_parent()
    os.setsid()  # Ctrl-C is for the sweep, which then stops the trials in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _load(context, threads)
    gc.collect()
    gc.freeze()  # a trial's collections else go through, and so copy, all that was loaded here
    children: dict[int, Child] = {}
    while True:
        ready = wait([connection, *(child.connection for child in children.values())], timeout=TICK_SECONDS)
        if connection in ready:
            try:
                _obey(connection, children, context, threads=threads)
            except EOFError:
                os._exit(0)  # the sweep is gone, and the trials follow
        for child in list(children.values()):
            _relay(child, connection)
            _stop_in_time(child)
            ended = _bury(child)
            if ended:
                del children[child.job.number]
                connection.send(ended)


def die_with_parent() -> None:
    """Let the system kill this process as soon as the one that forked it dies, however that happens."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent == 1 or os.getppid() != parent:
        os._exit(1)


def _load(context: Context, threads: int) -> None:
    """Import everything, with threads for none of it: a process with threads must not be forked."""
    os.environ.update(OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="false")
    # Counting GPUs by NVML leaves CUDA alone, which cannot be used in a process forked from one that has used it.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    # A GPU's driver is loaded where there is one, and nowhere else.
    _rehearse(context, has_gpu=Path("/proc/driver/nvidia").exists() or sys.platform == "darwin")


def _rehearse(context: Context, *, has_gpu: bool) -> None:
    """Import the experiment and open the store, and train a little, so that no trial is the first to do so.

    Libraries load much of themselves on first use: a trial after a rehearsal costs half of what it costs without.

    Args:
        context: of the sweep.
        has_gpu: whether trials will use a GPU. It cannot be used in a process forked from one that has used it, so
            there is no training then.
    """
    import torch

    import blurr.experiment  # noqa: F401  # takes ten seconds, and the trials have it then

    build(context.config.tracking).prepare()
    task, choices = context.config.task, context.config.hydra.runtime.choices
    if has_gpu or not signatures.is_ours(task["_target_"]):
        return
    torch.set_num_threads(1)  # a pool of threads would be lost in the fork, and be waited for
    family = [f"model={choices.model}"] if OmegaConf.select(context.config, "model.arch") else []
    cfg = context.compose([f"task={choices.task}", *family, *SMALL])
    quiet = io.StringIO()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(quiet), redirect_stderr(quiet):
        cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir = folder, "run"
        # It keeps an exception to itself: a trial will meet the same, and tell it.
        run_job(context.task, cfg, "hydra.sweep.dir", "hydra.sweep.subdir", context.hydra, configure_logging=False)
    logging.disable(logging.NOTSET)


def _obey(connection: Connection, children: dict[int, Child], context: Context, *, threads: int) -> None:
    message: Any = connection.recv()
    if isinstance(message, Stop):
        child = children.get(message.number)
        if child and not child.stop:  # else it has ended, or is about to
            _ask_to_stop(child, message)
    elif isinstance(message[0], Job):
        child = _fork(message[0], message[1], context, threads=threads)
        children[child.job.number] = child
        connection.send(Started(child.job.number))
    elif message[0] in children:
        children[message[0]].connection.send(message[1])


def _fork(job: Job, gpu: str | None, context: Context, *, threads: int) -> Child:
    ours, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if pid:
        theirs.close()
        return Child(job, pid, ours)
    code = 1
    try:
        os.setpgid(0, 0)  # so that what it starts can be killed with it
        die_with_parent()
        _be_first_to_go()
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        be_trial(job, context, theirs, threads=threads)
        code = 0
    finally:
        os._exit(code)  # no exit handler of the process it was forked from may run here


def _be_first_to_go() -> None:
    """Where memory runs out, the system is to kill a trial rather than the sweep."""
    if sys.platform == "linux":
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")


def _relay(child: Child, connection: Connection) -> None:
    try:
        while child.connection.poll():
            message = child.connection.recv()
            if isinstance(message, Ended):
                child.ended = message
            else:
                connection.send(message)
    except (EOFError, OSError):
        return  # it has closed its end; the rest is told by the way it dies


def _ask_to_stop(child: Child, stop: Stop) -> None:
    """Ask a hanging trial where it hangs, and kill it; let one that is merely interrupted close its run."""
    child.stop = stop
    child.kill_at = time.monotonic() + (0.5 if stop.reason else GRACE_SECONDS)
    os.kill(child.pid, signal.SIGUSR2 if stop.reason else signal.SIGTERM)


def _stop_in_time(child: Child) -> None:
    if time.monotonic() > child.kill_at:
        os.killpg(child.pid, signal.SIGKILL)
        child.kill_at = float("inf")


def _bury(child: Child) -> Ended | None:
    """Say how a trial ended, once its process has; None while it lives."""
    pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    if not pid:
        return None
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # processes it started and left behind
    _relay_last(child)
    child.connection.close()
    crash = Path(child.job.folder, CRASH)
    if crash.exists() and not crash.stat().st_size:
        crash.unlink()
    ended = child.ended or _died(child, os.waitstatus_to_exitcode(status))
    return replace(ended, cpu=usage.ru_utime + usage.ru_stime)


def _relay_last(child: Child) -> None:
    try:
        while child.connection.poll():
            message = child.connection.recv()
            child.ended = message if isinstance(message, Ended) else child.ended
    except (EOFError, OSError):
        return


def _died(child: Child, code: int) -> Ended:
    number, folder = child.job.number, child.job.folder
    if child.stop and not child.stop.reason:
        return Ended(number, "interrupted")
    file = Path(folder, CRASH)
    crash = file.read_text(errors="replace") if file.exists() else ""
    if child.stop:
        reason = child.stop.reason
    elif code < 0:
        reason = f"died of {signal.Signals(-code).name}"
        reason += ", as when the system runs out of memory" if -code == signal.SIGKILL else ""
    else:
        reason = f"left without a word, with exit code {code} (os._exit?)"
    return Ended(number, "failed", (), reason, crash)
