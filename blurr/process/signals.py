"""Handle the signals that end a run: between two steps of the training, so that nothing is lost, else at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # the last is how clusters announce a preemption


class Interrupted(SystemExit):
    """A signal has ended the run.

    Args:
        signum: its number; the exit code is 128 more, as is usual in shells.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)


@dataclass
class _Waiting:
    """Whether signals have to wait, and the one that came meanwhile."""

    is_waiting: bool = False
    signum: int | None = None


_waiting = _Waiting()


@contextmanager
def handled() -> Iterator[None]:
    """Turn signals into `Interrupted`, so that `with` blocks and `finally` still run; a second signal kills at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread set handlers
        return
    before = {number: signal.signal(number, _take) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        _waiting.is_waiting, _waiting.signum = False, None


def _take(signum: int, frame: FrameType | None) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # a user who asks twice does not want to wait
    if not _waiting.is_waiting:
        raise Interrupted(signum)
    _waiting.signum = signum


def wait() -> None:
    """Begin a step: signals wait until `answer` is called."""
    _waiting.is_waiting = True


def is_pending() -> bool:
    """Has a signal come since `wait`?"""
    return _waiting.signum is not None


def answer() -> None:
    """End a step, and the run if a signal has come.

    Raises:
        Interrupted: one has.
    """
    _waiting.is_waiting = False
    if _waiting.signum is not None:
        signum, _waiting.signum = _waiting.signum, None
        raise Interrupted(signum)
