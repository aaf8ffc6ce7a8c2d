"""A callback that spoils a training at given places, as a row or a step of it would."""

from typing import ClassVar

import torch
from fastai.callback.core import Callback


class SpoilAt(Callback):
    """Makes the loss of some batches infinite, and the weights after some steps not a number.

    Attributes:
        losses: `(epoch, batch)` of those batches.
        steps: likewise of those steps.
    """

    order = -200
    losses: ClassVar[set[tuple[int, int]]] = set()
    steps: ClassVar[set[tuple[int, int]]] = set()

    def after_loss(self) -> None:
        if self.training and (self.epoch, self.iter) in self.losses:
            self.learn.loss = self.learn.loss * float("inf")

    def after_step(self) -> None:
        if (self.epoch, self.iter) in self.steps:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
