"""The messages between a sweep and the processes of its trials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from blurr.tracking.processes import StoppedRun


@dataclass(frozen=True)
class Job:
    """A trial to run.

    Attributes:
        number: the trial's number.
        overrides: the trial's command line.
        folder: absolute path of the outputs.
        tags: tags of the trial's MLflow run.
        weights: the value for `model.weights=auto`.
        asks: the trial waits after each evaluation for the answer whether it is pruned.
        memory: GiB that it may allocate; None: no limit.
        launch: what torchrun would put into the environment of one of several processes that were started for it.
    """

    number: int
    overrides: tuple[str, ...]
    folder: str
    tags: Mapping[str, str]
    weights: str
    asks: bool
    memory: float | None
    launch: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """A request to stop a trial. `reason` says why it has failed; with '' it is interrupted, to be run again."""

    number: int
    reason: str


@dataclass(frozen=True)
class Started:
    """A trial has got its process."""

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
        number: the trial's number.
        state: `interrupted` if it was stopped with the whole sweep or lost its worker, and is to be run again.
        values: the objectives of a finished trial.
        reason: why it failed.
        details: the traceback, or what there is instead.
        mistake: it failed on a mistake of the user's, so that another attempt would fail, too.
        cpu: processor seconds, 0 if unknown.
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
    """Raised in a trial that the pruner has stopped."""
