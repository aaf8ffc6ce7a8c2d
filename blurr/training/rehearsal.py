"""Play a schedule without training: what it would train, and for how many steps."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from fastai.learner import Learner

from blurr.training import schedules
from blurr.training.learning_rate import LearningRate
from blurr.training.loop import Steps
from blurr.training.optimizers import TorchOptimizer

Curve = Callable[[float], list[float]]
# Of too few: steps in all, steps of a phase before the last, steps in which the rate rises.
FEW_STEPS, FEW_OF_PHASE, FEW_RISING = 50, 10, 3


class Rehearsal:
    """Stands for a learner while a schedule plays: notes each fit, and trains nothing.

    Args:
        groups: parameter groups, as the splitter gives them.

    Attributes:
        fits: of each fit its length, the number of parameters that it would train, and each group's highest rate.
        curves: of each fit, the rates of the groups at a share of its steps.
    """

    def __init__(self, groups: list[list[torch.nn.Parameter]]) -> None:
        self.opt = TorchOptimizer(groups, torch.optim.SGD, lr=1e-3)
        self.curves: list[Curve] = []
        self.fits: list[tuple[int | Steps, int, list[float]]] = []

    def freeze_to(self, n: int) -> None:
        self.opt.freeze_to(n)

    def freeze(self) -> None:
        self.freeze_to(-1)

    def unfreeze(self) -> None:
        self.freeze_to(0)

    def fit(self, length: int | Steps, lr: Any = None, cbs: Any = None) -> None:
        self.curves.append(cbs.scheds["lr"])
        trained = sum(p.numel() for group in self.opt.param_lists for p in group if p.requires_grad)
        self.fits.append((length, trained, [hyper["lr"] for hyper in self.opt.hypers]))


def steps_of(lengths: Iterable[int | Steps], per_epoch: int) -> int:
    """Return the optimizer steps of fits of these lengths."""
    return sum(length.number if isinstance(length, Steps) else length * per_epoch for length in lengths)


def rehearsed(schedule: Callable[..., object], learner: Learner, lr: LearningRate) -> Rehearsal | None:
    """Play a schedule for a learner; None for one that is not blurr's, which may ask more of a learner.

    Args:
        schedule: as `conf/schedule` makes it.
        learner: is left as it is.
        lr: the highest rate.
    """
    if not isinstance(schedule, partial) or schedule.func.__module__ != schedules.__name__:
        return None
    rehearsal = Rehearsal([[torch.nn.Parameter(torch.zeros(1))] for _ in learner.splitter(learner.model)])
    schedule(rehearsal, lr)
    return rehearsal


def doubts_of_steps(rehearsal: Rehearsal, per_epoch: int, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say where a schedule has too few steps for what it does, and what to do.

    Args:
        rehearsal: what the schedule was played to.
        per_epoch: optimizer steps of an epoch.
        settings: of the schedule, under the keys of its YAML.
    """
    counts = [steps_of([length], per_epoch) for length, *_ in rehearsal.fits]
    rising, last = _rising(rehearsal.curves[-1], counts[-1]), counts[-1]
    if sum(counts) < FEW_STEPS:
        said = f"only {sum(counts)} steps{f', in phases of {counts}' if counts[1:] else ''}"
        rises = f", and the learning rate rises over the first {rising} of {last}" if rising else ""
        return [(said + rises, _longer(sum(counts), settings))]
    short = min(counts[:-1], default=FEW_OF_PHASE)
    if short < FEW_OF_PHASE:
        key = "freeze_epochs" if "freeze_epochs" in settings else "epochs"
        remedy = f"give it more: schedule.{key}={-(-FEW_OF_PHASE // per_epoch)}, or take smaller batches"
        return [(f"a phase has only {short} of {sum(counts)} steps", remedy)]
    key = "warmup" if "warmup" in settings else "pct_start"
    if 0 < rising < FEW_RISING and key in settings:
        said = f"the learning rate rises over only {rising} of {last} steps"
        return [(said, f"let it rise for longer: schedule.{key}={settings[key] * FEW_RISING / rising:.2g}")]
    return []


def _longer(steps: int, settings: Mapping[str, Any]) -> str:
    if settings.get("steps") is not None:  # which are as many with other batches
        return f"train longer: schedule.steps={settings['steps'] + FEW_STEPS - steps}"
    batches = "take smaller batches: loader.batch_size=4"
    if "epochs" in settings:
        return f"train longer: schedule.epochs={settings['epochs'] * -(-FEW_STEPS // max(steps, 1))}, or {batches}"
    return f"train longer, or {batches}"


def _rising(curve: Curve, steps: int) -> int:
    """Return how many steps come before the one of the highest rate, of the first ones."""
    rates = [curve(step / steps)[-1] for step in range(min(steps, FEW_STEPS))]
    return rates.index(max(rates))
