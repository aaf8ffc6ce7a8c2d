"""Run trials in processes of this machine."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol

from blurr.config.annotations import MOST_WORKERS, Count
from blurr.errors import InputError, ResourceError
from blurr.process.setup import visible_gpus
from blurr.process.systems import check_fork
from blurr.process.terminal import rest
from blurr.sweep.fork_server import serve
from blurr.sweep.messages import Ended, Event, Job, Stop
from blurr.sweep.trial import Context

LAST_SECONDS = 5.0  # until the system has removed a fork server that has closed its connection


class Executor(Protocol):
    """Where trials run."""

    def start(self, job: Job) -> None:
        """Start a trial."""
        ...

    def answer(self, number: int, prune: bool) -> None:
        """Tell a trial that asks after an evaluation whether it is pruned."""
        ...

    def stop(self, number: int, reason: str) -> None:
        """Stop a trial, see `Stop`."""
        ...

    def events(self, seconds: float) -> Iterator[Event]:
        """Yield what trials have reported; wait at most this long for the first event."""
        ...


class Processes:
    """Start a process for each trial, forked from a fork server that has loaded everything.

    Args:
        connection: leads to the fork server.
        server: the fork server.
        sweep: name of the sweep.
        gpus: for each of the trials that run at the same time, as in CUDA_VISIBLE_DEVICES.

    Raises:
        ResourceError: any method: the fork server has died, and the trials with it.
    """

    def __init__(self, connection: Connection, server: BaseProcess, *, sweep: str, gpus: Sequence[str | None]) -> None:
        self._connection, self._server, self._sweep, self._free = connection, server, sweep, list(gpus)
        self._taken: dict[int, str | None] = {}

    def start(self, job: Job) -> None:
        self._taken[job.number] = self._free.pop(0)
        self._send((job, self._taken[job.number]))

    def answer(self, number: int, prune: bool) -> None:
        self._send((number, prune))

    def stop(self, number: int, reason: str) -> None:
        self._send(Stop(number, reason))

    def _send(self, message: object) -> None:
        with self._listening():
            self._connection.send(message)

    def events(self, seconds: float) -> Iterator[Event]:
        with self._listening():
            while self._connection.poll(seconds):
                event: Event = self._connection.recv()
                if isinstance(event, Ended):
                    self._free.append(self._taken.pop(event.number))
                yield event
                seconds = 0

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError) as error:
            self._server.join(LAST_SECONDS)
            killed = self._server.exitcode == -signal.SIGKILL
            how = "was killed, as when the system runs out of memory" if killed else "has died; its output is above"
            raise ResourceError(
                f"The process that starts the trials {how}. Finished trials are kept: go on with "
                f"sweep.resume={self._sweep}."
            ) from error


@contextmanager
def processes(context: Context, workers: Count, processes: Count) -> Iterator[Processes]:
    """Fork the fork server, which loads everything while this process goes on.

    Args:
        context: composes a trial.
        workers: number of trials that run at the same time.
        processes: of a trial.

    Raises:
        InputError: there are more workers than this machine can run.
        ResourceError: this system cannot fork.
    """
    check_fork("The trials of a sweep are forked from one process")
    if workers * processes > MOST_WORKERS:
        raise InputError(
            f"sweep.workers={workers * processes}: this machine can run at most {MOST_WORKERS} at the same time. Set "
            "fewer, or sweep/executor=ray for a cluster."
        )
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(
        target=_serve, args=(ours, theirs, context, os.getpid(), threads_for(workers * processes)), name="fork server"
    )
    rest()  # the thread that moves the line must not be forked
    server.start()
    theirs.close()
    try:
        yield Processes(ours, server, sweep=context.config.sweep.name, gpus=shares_of_gpus(workers, processes))
    finally:
        ours.close()
        server.terminate()  # it may still be loading, and not read that the connection is closed
        server.join()


def _serve(ours: Connection, theirs: Connection, context: Context, parent: int, threads: int) -> None:
    ours.close()  # this process would else keep the other end open, and not notice when the sweep is gone
    serve(theirs, context, parent=parent, threads=threads)


def threads_for(workers: int) -> int:
    """Return each worker's share of the cores that this process may use; OMP_NUM_THREADS limits it further."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    share = max(1, cores // workers)
    return min(share, int(os.environ.get("OMP_NUM_THREADS", share)))


def shares_of_gpus(workers: int, processes: int) -> list[str | None]:
    """Return the GPUs for each of the trials that run at the same time, one for each process; trials share them."""
    there = visible_gpus()
    each = processes if there else 0
    of_all = [[there[(slot * each + i) % len(there)] for i in range(each)] for slot in range(workers)]
    return [",".join(found) or None for found in of_all]
