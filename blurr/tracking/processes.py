"""Identify the process of a run, tell whether it is alive, and tell how it ended."""

import os
import re
import socket
from typing import Literal

import psutil  # type: ignore[import-untyped]

from blurr.process.signals import Interrupted

HOST, PROCESS = "blurr.host", "blurr.process"  # tags of a run
CLOCK_SECONDS = 2.0  # two readings of a process's start time may differ by this much


def this_process() -> dict[str, str]:
    """Return the tags that identify this process: host, number, and start time, because numbers are reused."""
    return {HOST: socket.gethostname(), PROCESS: f"{os.getpid()} {psutil.Process().create_time():.0f}"}


def is_dead(name: str) -> bool:
    """Has this host's process with the tag `blurr.process` ended, or is it no such tag?"""
    parts = re.fullmatch(r"(\d{1,9}) (\d{1,12})", name)
    if parts is None:
        return True
    try:
        process = psutil.Process(int(parts[1]))
        is_another = abs(process.create_time() - float(parts[2])) > CLOCK_SECONDS
        return is_another or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


Status = Literal["FINISHED", "FAILED", "KILLED"]


class StoppedRun(Exception):  # noqa: N818  # no error
    """Raised to stop a run early on purpose; the run counts as KILLED."""


def status_of(error: BaseException | None) -> Status:
    """Return the status of a run that ended with this exception; None is a normal end."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "FINISHED"
    if isinstance(error, KeyboardInterrupt | GeneratorExit | StoppedRun | Interrupted):
        return "KILLED"
    return "FAILED"
