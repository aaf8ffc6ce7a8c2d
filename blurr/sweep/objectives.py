"""The objectives of a sweep: which way each is better, and which trials are best."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from blurr.config import signatures
from blurr.config.building import build
from blurr.config.objectives import objectives
from blurr.errors import InputError
from blurr.metrics.base import MAXIMIZE, declared_direction, direction_of, is_cost
from blurr.sweep.ledger import Trial

REMEDY = "Set sweep.direction=minimize or sweep.direction=maximize."


@dataclass(frozen=True)
class Objective:
    """A metric that trials are compared by, and which way it is better."""

    name: str
    direction: str

    @property
    def sign(self) -> int:
        """1 if greater values are better, else -1."""
        return 1 if self.direction == MAXIMIZE else -1


def objectives_of(cfg: DictConfig, direction: str | Sequence[str]) -> list[Objective]:
    """Return the objectives of a trial's config.

    Args:
        cfg: names one metric or several in `objective`.
        direction: `auto`, `minimize` or `maximize` for all, or a list with one for each.

    Raises:
        InputError: the list has another length than there are objectives, or a metric's direction is unknown.
    """
    names = objectives(cfg)
    directions = [direction] * len(names) if isinstance(direction, str) else list(direction)
    if len(directions) != len(names):
        raise InputError(
            f"sweep.direction={list(directions)} has {len(directions)} entries, and objective={names} has "
            f"{len(names)}. Give one direction for each objective."
        )
    pairs = zip(names, directions, strict=True)
    return [Objective(name, better(name, cfg) if given == "auto" else given) for name, given in pairs]


def better(name: str, cfg: DictConfig) -> str:
    """Return whether a metric of the config is minimized or maximized; see `blurr.metrics.base.direction_of`.

    Raises:
        InputError: the metric does not say.
    """
    key = f"metrics.{name.partition('/')[2]}"
    target = OmegaConf.select(cfg, f"{key}._target_")
    if is_cost(name) or target is None:
        # a metric that the config does not have is answered by the trial, which knows what there is
        return direction_of(name, None, remedy=REMEDY) if is_cost(name) else MAXIMIZE
    metric: object = target
    if declared_direction(target) is None and not signatures.is_ours(target):
        metric = build(OmegaConf.select(cfg, key))  # torchmetrics.F1Score and the like choose their class when made
    return direction_of(name, metric, remedy=REMEDY)


def worst_last(value: float) -> tuple[bool, float]:
    """Return a key for sorting that puts NaN last."""
    return math.isnan(value), value


def constant(trials: Iterable[Trial], objectives: Sequence[Objective]) -> list[str]:
    """Return a line for each objective that has the same value in all finished trials, so that none is best."""
    done = [trial for trial in trials if trial.state == "finished"]
    values = {objective.name: {str(trial.values[i]) for trial in done} for i, objective in enumerate(objectives)}
    return [
        f"{name} is {each.pop()} in all {len(done)} trials, so that none of them is the best"
        for name, each in values.items()
        if len(done) > 1 and len(each) == 1
    ]
