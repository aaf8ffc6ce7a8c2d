"""What a sweep can be told: the knobs of `conf/sweep`, with their types and what is wrong with a bad one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from blurr.config.annotations import Count, Positive, Seed
from blurr.errors import InputError

Direction = Literal["auto", "minimize", "maximize"]


@dataclass(frozen=True)
class Settings:
    """How a sweep goes about its trials. The fields are the keys of the YAML files in `conf/sweep`.

    Attributes:
        executor: where the trials run: processes of this machine, or a Ray cluster.
        name: of the sweep; its folder, and what `sweep.resume` and `blurr sweep` find it by.
        resume: the name or folder of a sweep to go on with.
        trials: how many in all, those of an earlier start included; null for a grid is all of it.
        shuffle: seed of the order in which a grid is tried; null takes the order of the command line. A pruner wants
            one: where values rise from worse to better, each trial beats those before it, and none is pruned.
        workers: trials that run at once.
        direction: `minimize` or `maximize` the objective, `auto` by the metric, or a list with one for each objective.
        timeout: seconds after which no further trial is started, and those that run are stopped; null: never.
        trial_timeout: seconds that one trial may take; null: any number.
        on_failure: `continue` with the other trials, `stop` the sweep, or `retry(n)` the trial n times, then continue.
        memory: GiB that one trial may take (its data, not files mapped into memory); null: no limit.
        storage: address of an Optuna storage that the search is kept in besides, such as `sqlite:///optuna.db`,
            `postgresql://…` or `journal:///optuna.log` (a file).
        sampler: an Optuna sampler that proposes the trials; null takes all combinations of the values.
        pruner: an Optuna pruner that stops a trial which does worse than others did; null stops none.
    """

    executor: Mapping[str, Any]
    name: str
    resume: str | None = None
    trials: Count | None = None
    shuffle: Seed | None = None
    workers: Count = 1
    direction: Direction | list[Direction] = "auto"
    timeout: Positive | None = None
    trial_timeout: Positive | None = None
    on_failure: str = "continue"
    memory: Positive | None = None
    storage: str | None = None
    sampler: Mapping[str, Any] | None = None
    pruner: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"continue|stop|retry\([1-9]\d*\)", self.on_failure):
            raise InputError(
                f"sweep.on_failure={self.on_failure}: must be continue, stop, or retry(n) with a number n."
            )
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise InputError(f"sweep.name={self.name}: names a folder; use letters, digits, dots, - and _ alone.")
        if self.sampler and self.trials is None:
            raise InputError("sweep.trials=null: a search needs a number of trials. Set sweep.trials=20, say.")

    @property
    def retries(self) -> int:
        """How often a failed trial is tried again."""
        return int("".join(re.findall(r"\d+", self.on_failure)) or 0)
