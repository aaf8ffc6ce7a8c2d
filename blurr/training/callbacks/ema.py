"""Average the weights over the steps of a training, for validation and for the end."""

from typing import Any

import torch

from blurr.config.annotations import OpenFraction
from blurr.training.callbacks.base import ORDER, TrainingCallback


class EMA(TrainingCallback):
    """Keep an exponential moving average of the weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    The average replaces the weights during each validation and when a fit ends: it is what is scored, kept as the best,
    and saved. Each fit, such as a phase of fine-tuning, starts a new average.

    Args:
        decay: share of the average that each step keeps. At step `t` it is at most `(1 + t) / (10 + t)`, so that the
            initial weights soon lose their influence.
    """

    order = ORDER["EMA"]

    def __init__(self, decay: OpenFraction = 0.999) -> None:
        self.decay = decay

    def before_train(self) -> None:
        if self.has_trained:
            self._put(average=False)
        else:
            self.is_in_model, self.taken = False, 0
            self.trained: list[torch.Tensor] = [p for p in self.model.parameters() if p.requires_grad]
            self.other: list[torch.Tensor] = [
                p.detach().clone() for p in self.trained
            ]  # the average, or the weights while it replaces them
        super().before_train()

    def after_step(self) -> None:
        self.taken += 1
        torch._foreach_lerp_(self.other, [p.detach() for p in self.trained], self.rest)

    @property
    def rest(self) -> float:
        """Share of the weights that the last step added to the average."""
        return 1 - min(self.decay, (1 + self.taken) / (10 + self.taken))

    def average_of(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the average of a weight that is trained."""
        return self.other[self._number(weight)]

    def exchange(self, weight: torch.Tensor, average: torch.Tensor) -> torch.Tensor:
        """Put another tensor in the place of a weight's average, and return what was there."""
        number = self._number(weight)
        before, self.other[number] = self.other[number], average
        return before

    def _number(self, weight: torch.Tensor) -> int:
        return next(number for number, trained in enumerate(self.trained) if trained is weight)

    def before_validate(self) -> None:
        if self.has_trained:
            self._put(average=True)

    def after_fit(self) -> None:
        if self.has_trained:
            self._put(average=True)
            self.trained, self.other = [], []

    def state(self) -> dict[str, Any]:
        return {"taken": self.taken, "average": self.other}

    def restore(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]
        torch._foreach_copy_(self.other, state["average"])

    def _put(self, *, average: bool) -> None:
        """Put the average, or the weights, into the model by exchanging the two."""
        if self.is_in_model == average:
            return
        for parameter, other in zip(self.trained, self.other, strict=True):
            kept = parameter.detach().clone()
            parameter.detach().copy_(other)
            other.copy_(kept)
        self.is_in_model = average
