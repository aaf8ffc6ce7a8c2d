"""Know what a sweep is after: its objectives, which way each is better, and which trials are best."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from blurr.config import signatures
from blurr.config.building import build
from blurr.errors import InputError
from blurr.metrics.base import MAXIMIZE, declared_direction, direction_of, is_cost
from blurr.sweep.ledger import Trial

REMEDY = "Set sweep.direction=minimize or sweep.direction=maximize."


@dataclass(frozen=True)
class Goal:
    """An objective, and which way it is better."""

    name: str
    direction: str

    @property
    def sign(self) -> int:
        """1 where a greater value is better, -1 where a lesser one is."""
        return 1 if self.direction == MAXIMIZE else -1


def goals(cfg: DictConfig, direction: str | Sequence[str]) -> list[Goal]:
    """Give the objectives of a trial's config.

    Args:
        cfg: the config, of which `objective` names one metric or several.
        direction: `auto`, `minimize` or `maximize` for all, or a list with one for each.

    Raises:
        InputError: a list of another length than there are objectives; or a metric that does not say which is better.
    """
    names = objectives(cfg)
    directions = [direction] * len(names) if isinstance(direction, str) else list(direction)
    if len(directions) != len(names):
        raise InputError(
            f"sweep.direction={list(directions)} has {len(directions)} entries, and objective={names} has "
            f"{len(names)}. Give one direction for each objective."
        )
    pairs = zip(names, directions, strict=True)
    return [Goal(name, better(name, cfg) if given == "auto" else given) for name, given in pairs]


def objectives(cfg: DictConfig) -> list[str]:
    """Give the names of the metrics that a sweep compares."""
    return [cfg.objective] if isinstance(cfg.objective, str) else list(cfg.objective)


def better(name: str, cfg: DictConfig) -> str:
    """Say whether a metric is to be minimized or maximized; see `blurr.metrics.base.direction_of`.

    Raises:
        InputError: the metric does not say.
    """
    key = f"metrics.{name.partition('/')[2]}"
    target = OmegaConf.select(cfg, f"{key}._target_")
    if is_cost(name) or target is None:
        return direction_of(name, None, remedy=REMEDY) if is_cost(name) else MAXIMIZE  # the trial says it better
    metric: object = target
    if declared_direction(target) is None and not signatures.is_ours(target):
        metric = build(OmegaConf.select(cfg, key))  # torchmetrics.F1Score and the like choose their class when made
    return direction_of(name, metric, remedy=REMEDY)


def best(trials: Iterable[Trial], aims: Sequence[Goal]) -> list[Trial]:
    """Give the best of the finished trials: the first of them for one objective; for several, those no other beats."""
    finished = [trial for trial in trials if trial.state == "finished"]
    done = [trial for trial in finished if not any(map(math.isnan, trial.values))]  # what is no number is never best
    signs = [goal.sign for goal in aims]
    scores = {trial.number: [sign * value for sign, value in zip(signs, trial.values, strict=True)] for trial in done}
    if len(aims) == 1:
        return sorted(done, key=lambda trial: (-scores[trial.number][0], trial.number))[:1]
    return [trial for trial in done if not any(_beats(scores[other.number], scores[trial.number]) for other in done)]


def worst_last(value: float) -> tuple[bool, float]:
    """Return what sorts a value among others so that what is not a number comes last."""
    return math.isnan(value), value


def constant(trials: Iterable[Trial], aims: Sequence[Goal]) -> list[str]:
    """Return a line for each objective that all finished trials share one value of: nothing was found out."""
    done = [trial for trial in trials if trial.state == "finished"]
    values = {goal.name: {str(trial.values[i]) for trial in done} for i, goal in enumerate(aims)}
    return [
        f"{name} is {each.pop()} in all {len(done)} trials, so that none of them is the best"
        for name, each in values.items()
        if len(done) > 1 and len(each) == 1
    ]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Is one at least as good in all objectives, and better in some (Pareto dominance)?"""
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
