"""Make the values of a long sequence in several forked processes, and get them in order."""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import TypeVar

from blurr.errors import BlurrError, ResourceError
from blurr.process.children import begin_group
from blurr.process.systems import HAS_FORK

T = TypeVar("T")
PARALLELISM = "TOKENIZERS_PARALLELISM"  # the tokenizers library starts a thread for each core where it is not false


def made_in_order(make: Callable[[int], T], count: int, *, processes: int) -> Iterator[T]:
    """Yield `make(0)`, `make(1)` … `make(count - 1)`, each made in one of some processes.

    They are copies of this one, so that `make` may be any function. Each holds no more than one value that has not been
    taken. On systems without fork, and for one process, all are made here.

    Args:
        make: Must not use what a copy of a process cannot, such as a GPU.
        count: Number of the values.
        processes: Number of the processes.

    Raises:
        ResourceError: A process has ended before it had made its values, as where memory does not suffice.
    """
    processes = min(processes, count)
    if processes < 2 or not HAS_FORK:
        yield from map(make, range(count))
        return
    with ExitStack() as ended:
        shares = [range(first, count, processes) for first in range(processes)]
        with _alone():
            sources = [ended.enter_context(_child(make, numbers)) for numbers in shares]
        for number in range(count):
            try:
                value = sources[number % processes].recv()
            except EOFError as error:
                raise ResourceError(
                    "A process that encodes rows has ended. If the system has ended it for lack of memory, use fewer: "
                    "threads=1."
                ) from error
            if isinstance(value, _Failed):
                raise value.error
            yield value


class _Failed:
    """What a process could not do."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@contextmanager
def _alone() -> Iterator[None]:
    """Have each process that is forked in the block do its work in one thread, and nothing warn of the fork."""
    before = os.environ.get(PARALLELISM)
    os.environ[PARALLELISM] = "false"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which what is made here does not need
            yield
    finally:
        if before is None:
            del os.environ[PARALLELISM]
        else:
            os.environ[PARALLELISM] = before


@contextmanager
def _child(make: Callable[[int], object], numbers: range) -> Iterator[Connection]:
    """Yield what a process sends that makes these values; it ends with the block."""
    context = multiprocessing.get_context("fork")
    source, out = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(make, numbers, out, os.getpid()), daemon=True)
    child.start()
    out.close()  # the child's is left, so that its end is the end of the pipe
    try:
        yield source
    finally:
        child.kill()
        child.join()
        source.close()


def _run(make: Callable[[int], object], numbers: range, out: Connection, parent: int) -> None:
    """Be the process; the run's own handlers of signals are not for it."""
    begin_group(parent)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    try:
        for number in numbers:
            out.send(make(number))
    except BlurrError as error:
        out.send(_Failed(error))
