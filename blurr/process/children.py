"""Tie a process to the one that started it."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Make the system kill this process as soon as its parent dies, for whatever reason.

    Args:
        parent: process id of the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        os._exit(1)


def begin_group(parent: int | None) -> None:
    """Begin a group of processes, which a terminal does not signal with its own, and die with the parent.

    Args:
        parent: process id of the parent; None where it is not known.
    """
    os.setpgid(0, 0)
    if parent is not None:
        die_with(parent)
