"""Run trials on a Ray cluster.

Each worker is a Ray actor that starts, on its machine, the same process that trials are forked from here. This module
loads Ray, which comes with the extra `ray`; it is imported only where `sweep/executor=ray` is chosen.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from omegaconf import DictConfig
from ray.exceptions import RayActorError, RayTaskError

from blurr.config.annotations import Count, NonNegative, Positive
from blurr.sweep.messages import Ended, Event, Job, Stop
from blurr.sweep.trial import Context

POLL_SECONDS = 0.1


class Host:
    """What runs on a worker of the cluster: a relay to a process that trials are forked from.

    Args:
        config: of the sweep.
        folder: that the sweep was started in.
        threads: that a trial may use.
    """

    def __init__(self, config: DictConfig, folder: str, threads: int) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        os.set_inheritable(theirs.fileno(), True)
        command = [sys.executable, "-m", "blurr.sweep.remote", str(theirs.fileno())]
        self._process = subprocess.Popen(command, cwd=folder, pass_fds=[theirs.fileno()])
        theirs.close()
        self._connection.send((config, threads))

    def send(self, message: Any) -> None:
        """Pass a message on to the process."""
        self._connection.send(message)

    def receive(self) -> list[Event]:
        """Give what the process has said; wait a tenth of a second for the first."""
        events = []
        seconds = POLL_SECONDS
        while self._connection.poll(seconds):
            events.append(self._connection.recv())
            seconds = 0
        return events

    def process(self) -> int:
        """Give the id of the Ray worker's process."""
        return os.getpid()


class Cluster:
    """An executor of as many hosts as trials run at once; one that is lost is replaced.

    Args:
        make: starts a host.
        workers: how many.
    """

    def __init__(self, make: Callable[[], Any], workers: int) -> None:
        self._make = make
        self._free = [make() for _ in range(workers)]
        self._busy: dict[int, Any] = {}
        self._asked: dict[Any, int] = {}  # an answer that is awaited, to the number of the trial it is about

    def start(self, job: Job) -> None:
        self._busy[job.number] = self._free.pop(0)
        self._tell(job.number, (job, None))

    def answer(self, number: int, prune: bool) -> None:
        self._tell(number, (number, prune))

    def stop(self, number: int, reason: str) -> None:
        self._tell(number, Stop(number, reason))

    def events(self, seconds: float) -> Iterator[Event]:
        """Yield what trials have said; wait this long for the first. A trial whose worker is lost is interrupted."""
        for number in self._busy.keys() - set(self._asked.values()):
            self._asked[self._busy[number].receive.remote()] = number
        ready, _ = ray.wait(list(self._asked), timeout=seconds) if self._asked else ([], [])
        for answer in ready:
            number = self._asked.pop(answer)
            yield from self._said(number, answer)

    def _said(self, number: int, answer: Any) -> Iterator[Event]:
        try:
            events: list[Event] = ray.get(answer)
        except (RayActorError, RayTaskError):  # the worker is gone, or the process that it relays to
            ray.kill(self._busy.pop(number))
            self._free.append(self._make())
            yield Ended(number, "interrupted")
            return
        for event in events:
            if isinstance(event, Ended):
                self._free.append(self._busy.pop(number))
            yield event

    def _tell(self, number: int, message: Any) -> None:
        if number in self._busy:  # else it has ended meanwhile
            self._busy[number].send.remote(message)


@contextmanager
def cluster(
    context: Context, workers: Count, *, address: str | None = None, cpus: Positive = 1, gpus: NonNegative = 0
) -> Iterator[Cluster]:
    """Join a Ray cluster, or start one on this machine.

    Args:
        context: what composes a trial.
        workers: trials at once.
        address: of the cluster; null starts one.
        cpus: of each trial.
        gpus: of each trial.
    """
    ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None)
    actor: Any = ray.remote(Host).options(num_cpus=cpus, num_gpus=gpus)
    try:
        yield Cluster(lambda: actor.remote(context.config, os.getcwd(), max(1, int(cpus))), workers)
    finally:
        ray.shutdown()
