"""Average the weights over the steps of a training, for validation and for the end."""

from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.callback.tracker import TrackerCallback

from blurr.config.annotations import OpenFraction


class EMA(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep an exponential moving average of the weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    The average stands in the model from each validation on until the training goes on, and at the end: what is scored,
    kept as the best, and saved is the average. Each fit, such as a phase of fine-tuning, begins one of its own.

    Args:
        decay: share of the average that stays at each step. In the first steps, `t`, it is `(1 + t) / (10 + t)` where
            that is less, so that the first weights are soon forgotten.
    """

    order = TrackerCallback.order - 1  # which loads the best weights when the training ends

    def __init__(self, decay: OpenFraction = 0.999) -> None:
        self.decay = decay

    def before_fit(self) -> None:
        self.is_fitting = False  # fastai calls this for a mere validation, too

    def before_train(self) -> None:
        if self.is_fitting:
            self._put(average=False)
        elif not hasattr(self.learn, "lr_finder"):
            self.is_fitting, self.is_in_model, self.taken = True, False, 0
            self.trained = [p for p in self.model.parameters() if p.requires_grad]
            self.other = [p.detach().clone() for p in self.trained]  # the average, or the weights while that stands in

    def after_step(self) -> None:
        if self.is_fitting:
            self.taken += 1
            rest = 1 - min(self.decay, (1 + self.taken) / (10 + self.taken))
            torch._foreach_lerp_(self.other, [p.detach() for p in self.trained], rest)

    def before_validate(self) -> None:
        if self.is_fitting:
            self._put(average=True)

    def after_fit(self) -> None:
        if self.is_fitting:
            self._put(average=True)
            self.trained, self.other = [], []
        self.is_fitting = False

    def state(self) -> dict[str, Any]:
        return {"taken": self.taken, "average": self.other}

    def restore(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]
        torch._foreach_copy_(self.other, state["average"])

    def _put(self, *, average: bool) -> None:
        """Exchange the weights and their average, unless the wanted ones stand in the model."""
        if self.is_in_model == average:
            return
        for parameter, other in zip(self.trained, self.other, strict=True):
            kept = parameter.detach().clone()
            parameter.detach().copy_(other)
            other.copy_(kept)
        self.is_in_model = average
