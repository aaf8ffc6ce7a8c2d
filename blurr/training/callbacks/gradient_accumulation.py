"""Take one optimizer step for several batches, exactly as if they were one."""

from collections.abc import Iterable
from typing import Any

import torch
from fastai.callback.core import Callback, CancelBatchException
from fastai.callback.training import GradientAccumulation as FastaiAccumulation
from fastai.losses import BaseLoss
from torch import nn

from blurr.config.annotations import Count
from blurr.errors import InputError
from blurr.loading.rows import IGNORED
from blurr.models.losses import CustomLoss, Dividing, MixedLoss, RowWeightedLoss, base_loss
from blurr.training.callbacks.base import ORDER


class GradientAccumulation(Callback):  # type: ignore[misc]  # fastai is not typed
    """Add up the gradients of `batches` batches before each step.

    A loss is a mean over the real targets of its batch, so each gradient is weighted by the number of these: four
    batches of 8 rows move the weights as one of 32 does, for losses over rows and over tokens. The last step of an
    epoch takes the remaining batches. Schedules count optimizer steps, and `after_step` is called once for each.

    Args:
        batches: number of batches of one step.

    Attributes:
        taken: optimizer steps taken in this fit.
    """

    order = ORDER["GradientAccumulation"]
    run_valid = False

    def __init__(self, batches: Count = 4) -> None:
        self.batches = batches

    def before_fit(self) -> None:
        self.taken = self.held = 0

    def before_train(self) -> None:
        self.per_epoch = -(-len(self.dls.train) // self.batches)

    def after_loss(self) -> None:
        targets = vars(self.learn).get("targets_of_batch")  # where several processes share it
        if targets is None:
            targets = count_targets(self.loss_func, self.y)
        if self.held == 0:
            self.first = self.total = targets  # later losses are scaled relative to it, so that fp16 keeps its range
        else:
            self.learn.loss_grad = self.loss_grad * (targets / self.first)
            self.total = self.total + targets
        self.held += 1

    def before_step(self) -> None:
        if self.held < self.batches and self.iter + 1 < self.n_iter:
            raise CancelBatchException  # the gradients stay, and the next batch adds to them
        scale = self.first / self.total
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(scale)
        self.held = 0
        self.taken += 1

    def state(self) -> dict[str, Any]:
        return {"taken": self.taken}

    def restore(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]

    def after_fit(self) -> None:
        if self.held:  # the fit was broken off between two steps
            self.opt.zero_grad()

    def after_batch(self) -> None:
        # fastai has just counted the batch, but the schedule must not move before the step
        in_all = vars(self.learn).get("steps_of_fit") or self.per_epoch * self.n_epoch
        self.learn.pct_train = self.taken / in_all


def batches_per_step(callbacks: Iterable[Callback]) -> int:
    """Return how many batches a learner with these callbacks takes for an optimizer step.

    Raises:
        InputError: fastai's own accumulation is among them, which counts rows.
    """
    for callback in callbacks:
        if isinstance(callback, FastaiAccumulation):
            raise InputError(
                "Optimizer steps cannot be counted with fastai's GradientAccumulation. Give epochs, or use blurr's: "
                "callbacks=[gradient_accumulation]."
            )
        if isinstance(callback, GradientAccumulation):
            return callback.batches
    return 1


def count_targets(loss_func: Any, targets: torch.Tensor) -> torch.Tensor:
    """Return the number that a mean loss divides by, on the device of the targets.

    Args:
        loss_func: a fastai or torch loss, or one of the `PreCalculated…` losses.
        targets: class ids of any shape, where -100 is ignored and each counts by the weight of its class if the loss
            has weights; or floats, which all count.
    """
    if isinstance(loss_func, MixedLoss):
        loss_func = loss_func.func
    if isinstance(loss_func, RowWeightedLoss) and loss_func.weights is not None:
        return loss_func.weights.sum()
    own = base_loss(loss_func)
    if isinstance(own, Dividing):
        return own.divisor(targets)
    if targets.is_floating_point():
        return torch.tensor(float(targets.numel()), device=targets.device)
    real = targets[targets != IGNORED]
    inner = loss_func.func if isinstance(loss_func, BaseLoss | CustomLoss) else loss_func
    weights = inner.weight if isinstance(inner, nn.CrossEntropyLoss | nn.NLLLoss) else None
    return torch.tensor(float(real.numel()), device=targets.device) if weights is None else weights[real].sum()
