"""What a sweep and the processes of its trials say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from blurr.tracking.processes import StoppedRun


@dataclass(frozen=True)
class Job:
    """A trial to be run.

    Attributes:
        number: of the trial.
        words: its command line.
        folder: where its outputs go, an absolute path.
        tags: of its MLflow run.
        weights: what stands for `model.weights=auto`.
        asks: whether it waits after each evaluation to hear if it is to be pruned.
        memory: GiB that it may take; None: no limit.
    """

    number: int
    words: tuple[str, ...]
    folder: str
    tags: Mapping[str, str]
    weights: str
    asks: bool
    memory: float | None


@dataclass
class Stop:
    """The wish that a trial stop: `reason` where it failed by this, '' where the whole sweep is interrupted."""

    number: int
    reason: str


@dataclass(frozen=True)
class Started:
    """A trial has a process of its own now."""

    number: int


@dataclass(frozen=True)
class Reported:
    """A trial's objective at one evaluation, counted from 1."""

    number: int
    step: int
    value: float


@dataclass(frozen=True)
class Ended:
    """How a trial ended.

    Attributes:
        number: of the trial.
        state: `interrupted` where it was stopped with the whole sweep, and is to be run again.
        values: of the objectives, once it is finished.
        reason: why it failed.
        details: the traceback, or what there is in its place.
        mistake: whether it failed on a mistake in what the user gave, which another attempt would repeat.
        cpu: seconds of computing, where they are known.
    """

    number: int
    state: Literal["finished", "pruned", "failed", "interrupted"]
    values: tuple[float, ...] = ()
    reason: str = ""
    details: str = ""
    mistake: bool = False
    cpu: float = 0.0


Event = Started | Reported | Ended


class Pruned(StoppedRun):
    """Raised in a trial that is not to go on, because it does worse than others did."""
