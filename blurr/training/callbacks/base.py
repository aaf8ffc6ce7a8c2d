"""What callbacks share."""

import math
from typing import Any, ClassVar, Literal

from fastai.callback.core import Callback

from blurr.errors import InputError, nearest
from blurr.metrics.base import MINIMIZE, direction_of
from blurr.metrics.streamed import directed

Mode = Literal["auto", "min", "max"]


class Watch(Callback):  # type: ignore[misc]  # fastai is not typed
    """Compare a score with the best so far, after each epoch of training.

    Args:
        monitor: `valid/loss`, `valid/<metric>` or `train/loss`.
        mode: `min` or `max` is better; `auto` asks the metric.
        min_delta: what a score must gain to count as better.

    Raises:
        InputError: before the training, where there is no such score, or it does not say which way it is better.
    """

    option: ClassVar[str]  # that it stands under in the config

    def __init__(self, monitor: str, mode: Mode, min_delta: float) -> None:
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.sign, self.best = 1.0, -math.inf

    def before_fit(self) -> None:
        self.is_trained = False  # fastai calls this for a mere validation, too

    def before_train(self) -> None:
        self.run = not hasattr(self.learn, "lr_finder")
        self.is_trained = self.run
        names = list(self.recorder.metric_names[1:-1])  # between the epoch's number and its time
        known = {name.replace("_", "/", 1) if name.endswith("_loss") else f"valid/{name}": name for name in names}
        if self.monitor not in known:
            raise InputError(
                f"monitor={self.monitor} names no score of this training.{nearest(self.monitor, known)} There are "
                f"{sorted(known)}."
            )
        self.place = names.index(known[self.monitor])
        self.sign = -1.0 if self._less_is_better() else 1.0

    def _less_is_better(self) -> bool:
        if self.mode != "auto":
            return self.mode == "min"
        remedy = f"Set callbacks.{self.option}.mode=min or callbacks.{self.option}.mode=max."
        metric = directed(self.learn.metrics).get(self.monitor.partition("/")[2])
        return direction_of(self.monitor, metric, remedy=remedy) == MINIMIZE

    def state(self) -> dict[str, Any]:
        return {"best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def gained(self) -> bool:
        """Say whether the epoch's score is the best so far, and remember it then."""
        score = self.sign * float(self.recorder.final_record[self.place])
        if not score > self.best + self.min_delta:  # a score that is not a number is no better, either
            return False
        self.best = score
        return True
