"""Know what a sweep is after: its objectives, which way each is better, and which trials are best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from blurr import signatures
from blurr.errors import InputError
from blurr.sweep.ledger import Trial

MINIMIZE, MAXIMIZE = "minimize", "maximize"


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
    """Say whether a metric is to be minimized or maximized.

    Losses and times are minimized. A metric of blurr's whose class has `direction = "minimize"` is, too; those of
    torchmetrics say it by `higher_is_better`.

    Raises:
        InputError: the metric does not say.
    """
    group, _, metric = name.partition("/")
    if metric == "loss" or group == "time":
        return MINIMIZE
    target = OmegaConf.select(cfg, f"metrics.{metric}._target_")
    if target is None:
        return MAXIMIZE  # there is no such metric, which the trial says better
    if signatures.is_ours(target):
        return signatures.class_attribute(target, "direction") or MAXIMIZE
    cls: Any = get_class(target)
    if not isinstance(cls.higher_is_better, bool):
        raise InputError(
            f"Whether {name} is better high or low is not known of {target}. "
            "Set sweep.direction=minimize or sweep.direction=maximize."
        )
    return MAXIMIZE if cls.higher_is_better else MINIMIZE


def best(trials: Iterable[Trial], aims: Sequence[Goal]) -> list[Trial]:
    """Give the best of the finished trials: the first of them for one objective; for several, those no other beats."""
    done = [trial for trial in trials if trial.state == "finished"]
    signs = [goal.sign for goal in aims]
    scores = {trial.number: [sign * value for sign, value in zip(signs, trial.values, strict=True)] for trial in done}
    if len(aims) == 1:
        return sorted(done, key=lambda trial: (-scores[trial.number][0], trial.number))[:1]
    return [trial for trial in done if not any(_beats(scores[other.number], scores[trial.number]) for other in done)]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Is one at least as good in all objectives, and better in some (Pareto dominance)?"""
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
