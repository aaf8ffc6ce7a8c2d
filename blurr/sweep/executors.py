"""Run trials in processes of this machine."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from blurr.config.annotations import MOST_WORKERS, Count
from blurr.errors import InputError, ResourceError
from blurr.sweep.fork_server import keep
from blurr.sweep.messages import Ended, Event, Job, Stop
from blurr.sweep.trial import Context


class Executor(Protocol):
    """Where trials run."""

    def start(self, job: Job) -> None:
        """Start a trial."""
        ...

    def answer(self, number: int, prune: bool) -> None:
        """Tell a trial that asks after an evaluation whether it is to be pruned."""
        ...

    def stop(self, number: int, reason: str) -> None:
        """Stop a trial: it has failed for this reason, or, where there is none, is interrupted."""
        ...

    def events(self, seconds: float) -> Iterator[Event]:
        """Yield what trials have said; wait this long for the first."""
        ...


class Processes:
    """Starts a process for each trial, forked from one that has loaded everything.

    Args:
        connection: to that process.
        workers: trials at once, among which the GPUs are shared out.
    """

    def __init__(self, connection: Connection, workers: int) -> None:
        self._connection = connection
        gpus = visible_gpus()
        self._free = [gpus[slot % len(gpus)] if gpus else None for slot in range(workers)]
        self._taken: dict[int, str | None] = {}

    def start(self, job: Job) -> None:
        self._taken[job.number] = self._free.pop(0)
        self._connection.send((job, self._taken[job.number]))

    def answer(self, number: int, prune: bool) -> None:
        self._connection.send((number, prune))

    def stop(self, number: int, reason: str) -> None:
        self._connection.send(Stop(number, reason))

    def events(self, seconds: float) -> Iterator[Event]:
        """Yield what trials have said; wait this long for the first.

        Raises:
            ResourceError: the process that the trials are forked from has died, and they with it.
        """
        try:
            while self._connection.poll(seconds):
                event: Event = self._connection.recv()
                if isinstance(event, Ended):
                    self._free.append(self._taken.pop(event.number))
                yield event
                seconds = 0
        except (EOFError, ConnectionResetError) as error:
            raise ResourceError(
                "The process that starts the trials has died; what it said last stands above. Finished trials are "
                "kept: go on with sweep.resume."
            ) from error


@contextmanager
def processes(context: Context, workers: Count) -> Iterator[Processes]:
    """Fork the process that trials are forked from; it loads everything while this one goes on.

    Args:
        context: what composes a trial.
        workers: trials at once.

    Raises:
        InputError: there are far more of them than cores.
    """
    if workers > MOST_WORKERS:
        raise InputError(
            f"sweep.workers={workers}: this machine is for at most {MOST_WORKERS} trials at once. Set fewer, or "
            "sweep/executor=ray for a cluster."
        )
    ours, theirs = multiprocessing.Pipe()
    nursery = multiprocessing.get_context("fork").Process(
        target=_keep, args=(ours, theirs, context, threads_for(workers)), name="nursery"
    )
    nursery.start()
    theirs.close()
    try:
        yield Processes(ours, workers)
    finally:
        ours.close()
        nursery.terminate()  # it may be loading still
        nursery.join()


def _keep(ours: Connection, theirs: Connection, context: Context, threads: int) -> None:
    ours.close()  # else this process would hold the other's end open, and never hear that it is gone
    keep(theirs, context, threads=threads)


def threads_for(workers: int) -> int:
    """Give each worker its share of the cores this process may use; OMP_NUM_THREADS limits it further."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    share = max(1, cores // workers)
    return min(share, int(os.environ.get("OMP_NUM_THREADS", share)))


def visible_gpus() -> list[str]:
    """Name the GPUs that this process may use, as CUDA_VISIBLE_DEVICES does, without loading torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    cards = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number, _ in enumerate(cards.iterdir())] if cards.is_dir() else []
