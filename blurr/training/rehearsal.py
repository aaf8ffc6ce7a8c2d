"""Play a schedule without training: what it would train, and for how many steps."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from fastai.learner import Learner

from blurr.training import schedules
from blurr.training.callbacks.gradient_accumulation import GradientAccumulation
from blurr.training.learning_rate import LearningRate
from blurr.training.optimizers import TorchOptimizer


class Rehearsal:
    """Stands for a learner while a schedule plays: notes each fit, and trains nothing.

    Args:
        groups: parameter groups, as the splitter gives them.

    Attributes:
        fits: of each fit its epochs, the number of parameters that it would train, and each group's highest rate.
    """

    def __init__(self, groups: list[list[torch.nn.Parameter]]) -> None:
        self.opt = TorchOptimizer(groups, torch.optim.SGD, lr=1e-3)
        self.fits: list[tuple[int, int, list[float]]] = []

    def freeze_to(self, n: int) -> None:
        self.opt.freeze_to(n)

    def freeze(self) -> None:
        self.freeze_to(-1)

    def unfreeze(self) -> None:
        self.freeze_to(0)

    def fit(self, epochs: int, lr: Any = None, cbs: Any = None) -> None:
        trained = sum(p.numel() for group in self.opt.param_lists for p in group if p.requires_grad)
        self.fits.append((epochs, trained, [hyper["lr"] for hyper in self.opt.hypers]))


def steps_in_all(schedule: Callable[..., object], learner: Learner, lr: LearningRate) -> int | None:
    """Return the optimizer steps of a schedule; None for one that is not blurr's, which may ask more of a learner.

    Args:
        schedule: as `conf/schedule` makes it.
        learner: is left as it is.
        lr: the highest rate.
    """
    if not isinstance(schedule, partial) or schedule.func.__module__ != schedules.__name__:
        return None
    rehearsal = Rehearsal([[torch.nn.Parameter(torch.zeros(1))] for _ in learner.splitter(learner.model)])
    schedule(rehearsal, lr)
    held = [callback.batches for callback in learner.cbs if isinstance(callback, GradientAccumulation)]
    batches = -(-len(learner.dls.train) // (held[0] if held else 1))
    return sum(epochs for epochs, *_ in rehearsal.fits) * batches
