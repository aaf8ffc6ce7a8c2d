"""Run trials on a Ray cluster.

Each worker is a Ray actor that starts a fork server on its machine. This module loads Ray, which comes with the extra
`ray`; import it only for `sweep/executor=ray`.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from omegaconf import DictConfig
from ray.exceptions import RayActorError, RayTaskError

from blurr.config.annotations import Count, NonNegative, Positive
from blurr.config.store import variables
from blurr.sweep.messages import Ended, Event, Job, Stop
from blurr.sweep.trial import Context

POLL_SECONDS = 0.1


class Host:
    """The actor on a worker of the cluster: a relay to its fork server.

    Args:
        config: the sweep's config.
        folder: the sweep's launch folder.
        threads: number of threads for a trial.
        store: variables of the environment that name the MLflow store, and the user there.
    """

    def __init__(self, config: DictConfig, folder: str, threads: int, store: Mapping[str, str]) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        os.set_inheritable(theirs.fileno(), True)
        command = [sys.executable, "-m", "blurr.sweep.remote", str(theirs.fileno())]
        environment = {**os.environ, **store}  # a cluster's workers have an environment of their own
        self._process = subprocess.Popen(command, cwd=folder, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        self._connection.send((config, threads))

    def send(self, message: Any) -> None:
        """Pass a message on to the fork server."""
        self._connection.send(message)

    def receive(self) -> list[Event]:
        """Return the events of the trials; wait a tenth of a second for the first."""
        events = []
        seconds = POLL_SECONDS
        while self._connection.poll(seconds):
            events.append(self._connection.recv())
            seconds = 0
        return events


class Cluster:
    """An executor with a host for each worker; a lost host is replaced.

    Args:
        make: starts a host.
        workers: number of hosts.
    """

    def __init__(self, make: Callable[[], Any], workers: int) -> None:
        self._make = make
        self._free = [make() for _ in range(workers)]
        self._busy: dict[int, Any] = {}
        self._asked: dict[Any, int] = {}  # an answer that Ray will have, to the number of its trial

    def start(self, job: Job) -> None:
        self._busy[job.number] = self._free.pop(0)
        self._tell(job.number, (job, None))

    def answer(self, number: int, prune: bool) -> None:
        self._tell(number, (number, prune))

    def stop(self, number: int, reason: str) -> None:
        self._tell(number, Stop(number, reason))

    def events(self, seconds: float) -> Iterator[Event]:
        """Yield what trials have reported, as `Executor` does; a trial whose worker is lost is interrupted."""
        for number in self._busy.keys() - set(self._asked.values()):
            self._asked[self._busy[number].receive.remote()] = number
        ready, _ = ray.wait(list(self._asked), timeout=seconds) if self._asked else ([], [])
        for answer in ready:
            number = self._asked.pop(answer)
            yield from self._events_of(number, answer)

    def _events_of(self, number: int, answer: Any) -> Iterator[Event]:
        try:
            events: list[Event] = ray.get(answer)
        except (RayActorError, RayTaskError):  # the worker or its fork server is gone
            ray.kill(self._busy.pop(number))
            self._free.append(self._make())
            yield Ended(number, "interrupted")
            return
        for event in events:
            if isinstance(event, Ended):
                self._free.append(self._busy.pop(number))
            yield event

    def _tell(self, number: int, message: Any) -> None:
        if number in self._busy:  # it may have ended meanwhile
            self._busy[number].send.remote(message)


@contextmanager
def cluster(
    context: Context, workers: Count, *, address: str | None = None, cpus: Positive = 1, gpus: NonNegative = 0
) -> Iterator[Cluster]:
    """Join a Ray cluster, or start one on this machine.

    Args:
        context: composes a trial.
        workers: number of trials that run at the same time.
        address: the cluster's address; null starts a cluster.
        cpus: number of CPUs for each trial.
        gpus: number of GPUs for each trial; fractions let trials share one.
    """
    ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None)
    actor: Any = ray.remote(Host).options(num_cpus=cpus, num_gpus=gpus)
    try:
        given = (context.config, os.getcwd(), max(1, int(cpus)), variables())
        yield Cluster(lambda: actor.remote(*given), workers)
    finally:
        ray.shutdown()
