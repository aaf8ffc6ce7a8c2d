"""The settings of a sweep: the keys of `conf/sweep`, with their types and checks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from blurr.config.annotations import Count, Positive, Seconds, Seed
from blurr.errors import InputError

NAME = re.compile(r"[\w.-]+")  # of a sweep
Keep = Literal["all", "best", "none"]
Direction = Literal["auto", "minimize", "maximize"]


@dataclass(frozen=True)
class Settings:
    """How a sweep runs its trials. The fields are the keys of the YAML files in `conf/sweep`, which describe them."""

    executor: Mapping[str, Any]
    name: str
    resume: str | None = None
    trials: Count | None = None
    shuffle: Seed | None = None
    workers: Count = 1
    direction: Direction | list[Direction] = "auto"
    timeout: Seconds | None = None
    trial_timeout: Seconds | None = None
    on_failure: str = "continue"
    memory: Positive | None = None
    keep: Keep = "all"
    storage: str | None = None
    sampler: Mapping[str, Any] | None = None
    pruner: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"continue|stop|retry\([1-9]\d*\)", self.on_failure):
            raise InputError(
                f"sweep.on_failure={self.on_failure}: must be continue, stop, or retry(n) with a number n."
            )
        if not NAME.fullmatch(self.name):
            raise InputError(f"sweep.name={self.name}: names a folder; use only letters, digits, dots, - and _.")
        if self.sampler and self.trials is None:
            raise InputError("sweep.trials=null: a search needs a number of trials. Set sweep.trials=20, say.")

    @property
    def retries(self) -> int:
        """How often a failed trial is tried again."""
        return int("".join(re.findall(r"\d+", self.on_failure)) or 0)
