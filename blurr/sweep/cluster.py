"""Run trials on a Ray cluster.

Each worker is a Ray actor that starts a fork server on its machine; those of a trial of several processes make a team,
whose place in the cluster Ray reserves as a whole. This module loads Ray, which comes with the extra
`ray`; import it only for `sweep/executor=ray`.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from omegaconf import DictConfig
from ray.exceptions import RayActorError, RayTaskError
from ray.util import get_node_ip_address, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from blurr.config.annotations import Count, NonNegative, Positive
from blurr.config.store import variables
from blurr.process.launched import environment_of
from blurr.process.listening import free_port
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

    def address(self) -> tuple[str, int]:
        """Return where the processes of a trial meet whose first runs here."""
        own_address: Callable[[], str] = get_node_ip_address  # Ray does not say its type
        return own_address(), free_port()

    def start(self, job: Job, rank: int, world: int, address: tuple[str, int]) -> None:
        """Start one of several processes of a trial."""
        self._connection.send((replace(job, launch=environment_of(rank, world, address)), None))

    def receive(self) -> list[Event]:
        """Return the events of the trials; wait a tenth of a second for the first."""
        events = []
        seconds = POLL_SECONDS
        while self._connection.poll(seconds):
            events.append(self._connection.recv())
            seconds = 0
        return events


@dataclass(frozen=True)
class Team:
    """The hosts of a trial's processes.

    Attributes:
        hosts: the first is that of the process which reports.
        place: what Ray has reserved for them.
    """

    hosts: list[Any]
    place: Any

    def start(self, job: Job) -> None:
        """Start a trial."""
        first, *others = self.hosts
        if not others:
            first.send.remote((job, None))
            return
        address = first.address.remote()
        for rank, host in enumerate(self.hosts):
            host.start.remote(job, rank, len(self.hosts), address)

    def give_up(self) -> None:
        """Free the place of the team, with all that runs there."""
        for host in self.hosts:
            ray.kill(host)
        remove_placement_group(self.place)


class Cluster:
    """An executor with a team for each trial; one that has lost a host is replaced.

    Args:
        make: starts a team.
        workers: number of teams.
    """

    def __init__(self, make: Callable[[], Team], workers: int) -> None:
        self._make = make
        self._free = [make() for _ in range(workers)]
        self._busy: dict[int, Team] = {}
        self._asked: dict[Any, tuple[int, int]] = {}  # an answer that Ray will have, to the numbers of trial and host

    def start(self, job: Job) -> None:
        self._busy[job.number] = self._free.pop(0)
        self._busy[job.number].start(job)

    def answer(self, number: int, prune: bool) -> None:
        self._tell(number, (number, prune))

    def stop(self, number: int, reason: str) -> None:
        self._tell(number, Stop(number, reason))

    def events(self, seconds: float) -> Iterator[Event]:
        """Yield what trials have reported, as `Executor` does; a trial whose worker is lost is interrupted."""
        for number, team in self._busy.items():
            for rank, host in enumerate(team.hosts):
                if (number, rank) not in self._asked.values():
                    self._asked[host.receive.remote()] = number, rank
        ready, _ = ray.wait(list(self._asked), timeout=seconds) if self._asked else ([], [])
        for answer in ready:
            number, rank = self._asked.pop(answer)
            yield from self._events_of(number, rank, answer)

    def _events_of(self, number: int, rank: int, answer: Any) -> Iterator[Event]:
        try:
            events: list[Event] = ray.get(answer)
        except (RayActorError, RayTaskError):  # the worker or its fork server is gone
            if number in self._busy:
                self._busy.pop(number).give_up()
                self._free.append(self._make())
                yield Ended(number, "interrupted")
            return
        for event in events if rank == 0 else ():  # the others have nothing to report
            if isinstance(event, Ended):
                self._free.append(self._busy.pop(number))
            yield event

    def _tell(self, number: int, message: Any) -> None:
        if number in self._busy:  # it may have ended meanwhile
            self._busy[number].hosts[0].send.remote(message)


@contextmanager
def cluster(
    context: Context,
    workers: Count,
    processes: Count,
    *,
    address: str | None = None,
    cpus: Positive = 1,
    gpus: NonNegative = 0,
) -> Iterator[Cluster]:
    """Join a Ray cluster, or start one on this machine.

    Args:
        context: composes a trial.
        workers: number of trials that run at the same time.
        processes: of each trial; they may run on several machines.
        address: the cluster's address; null starts a cluster.
        cpus: number of CPUs for each process.
        gpus: number of GPUs for each process; fractions let trials of one process share one.
    """
    ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None)
    host: Any = ray.remote(num_cpus=cpus, num_gpus=gpus)(Host)
    given = (context.config, os.getcwd(), max(1, int(cpus)), variables())

    def team() -> Team:
        place = placement_group([{"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}] * processes)
        where = (PlacementGroupSchedulingStrategy(place, i) for i in range(processes))
        return Team([host.options(scheduling_strategy=each).remote(*given) for each in where], place)

    try:
        yield Cluster(team, workers)
    finally:
        ray.shutdown()
