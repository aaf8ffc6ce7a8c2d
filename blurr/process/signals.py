"""Handle the signals that end a process: a run between two steps of its training, anything else at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

# SIGHUP: the terminal is closed; SIGUSR1: how clusters announce a preemption
NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
SIGNALS = tuple(each for each in signal.Signals if each.name in NAMES)  # not every system has all of them
CLEAR = b"\r\x1b[2K\x1b[?25h"  # what a terminal has echoed, `^C`, and a moving line; the cursor shows again


class Interrupted(SystemExit):
    """A signal has ended the run.

    Args:
        signum: its number; the exit code is 128 more, as is usual in shells.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)


@dataclass
class _Waiting:
    """Whether signals have to wait, the one that came meanwhile, the one that was raised, what ending at once means."""

    is_waiting: bool = False
    signum: int | None = None
    raised: int | None = None
    lost: str = ""


_waiting = _Waiting()
Handler = Callable[[int, FrameType | None], None]


def end_at_once(lost: str = "") -> None:
    """End the process with one line when a signal asks for it, from now on; `handled` is for what has to end in order.

    Nothing is raised, because libraries that are being imported would catch it, or show its traceback.

    Args:
        lost: what the line says besides the signal, until the first `handled`.
    """
    _waiting.lost = lost
    _set(_end)


def _end(signum: int, frame: FrameType | None) -> None:
    _say(signum, _waiting.lost)
    os._exit(128 + signum)


@contextmanager
def handled() -> Iterator[None]:
    """Turn signals into `Interrupted`, so that `with` blocks and `finally` still run; a second signal kills at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread set handlers
        return
    before, _waiting.lost = _set(_take), ""
    try:
        yield
        _raise_again()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        _waiting.is_waiting, _waiting.signum, _waiting.raised = False, None, None


def _set(handler: Handler) -> dict[int, Handler | int | None]:
    """Set the handler of those signals that the process does not ignore, as one under `nohup` ignores SIGHUP."""
    numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}


def _take(signum: int, frame: FrameType | None) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is _take:
            signal.signal(number, signal.SIG_DFL)  # a user who asks twice does not want to wait
    _say(signum, "Ending in order; a second time ends at once.")
    if not _waiting.is_waiting:
        _waiting.raised = signum
        raise Interrupted(signum)
    _waiting.signum = signum


def _say(signum: int, more: str) -> None:
    said = "Interrupted." if signum == signal.SIGINT else f"Ended by {signal.Signals(signum).name}."
    line = f"{said} {more}".rstrip() + "\n"
    with suppress(OSError):  # the terminal may be closed
        # sys.stderr may be in the middle of writing, and cannot be entered twice
        os.write(2, (CLEAR if os.isatty(2) else b"") + line.encode())


def _raise_again() -> None:
    """Raise what a library has caught."""
    if _waiting.raised is not None:
        raise Interrupted(_waiting.raised)


def wait() -> None:
    """Begin a step: signals wait until `answer` is called.

    Raises:
        Interrupted: one has come before, and a library has caught what was raised then.
    """
    _raise_again()
    _waiting.is_waiting = True


def pending() -> int:
    """Return the number of the signal that has come since `wait`; 0 if none has."""
    return _waiting.signum or 0


def answer(signum: int | None = None) -> None:
    """End a step, and the run if a signal has come.

    Args:
        signum: of a signal that has come, to this process or another one of the same training; 0 is none. None asks
            whether one has come to this process.

    Raises:
        Interrupted: one has.
    """
    _waiting.is_waiting = False
    signum = pending() if signum is None else signum
    if signum:
        _waiting.signum = None
        raise Interrupted(signum)
