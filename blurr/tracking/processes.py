"""Name a process so that others can tell whether it still lives."""

import os
import socket
from typing import Literal

import psutil  # type: ignore[import-untyped]

from blurr.process.signals import Interrupted

HOST, PROCESS = "blurr.host", "blurr.process"  # tags of a run
CLOCK_SECONDS = 2.0  # what two readings of a process's start may differ by


def this_process() -> dict[str, str]:
    """Give the tags that name this process: its host, its number and, as numbers come again, when it began."""
    return {HOST: socket.gethostname(), PROCESS: f"{os.getpid()} {psutil.Process().create_time():.0f}"}


def is_dead(name: str) -> bool:
    """Has the process of this host that `this_process` named ended?

    Args:
        name: the tag `blurr.process`.
    """
    pid, _, began = name.partition(" ")
    try:
        process = psutil.Process(int(pid))
        is_another = abs(process.create_time() - float(began)) > CLOCK_SECONDS
        return is_another or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


Status = Literal["FINISHED", "FAILED", "KILLED"]


class StoppedRun(Exception):  # noqa: N818  # no error
    """Raised to end a run on purpose before its end; it counts as KILLED."""


def status_of(error: BaseException | None) -> Status:
    """Return the status of a run that this exception has ended."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "FINISHED"
    if isinstance(error, KeyboardInterrupt | GeneratorExit | StoppedRun | Interrupted):
        return "KILLED"
    return "FAILED"
