"""Watch a score from epoch to epoch: keep the best weights and the last, and stop when nothing gets better."""

import logging
import math
from pathlib import Path
from typing import Any, ClassVar, Literal

from fastai.callback.core import Callback, CancelFitException
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback

from blurr.config.annotations import Count, NonNegative
from blurr.errors import InputError, nearest, writing
from blurr.metrics.base import MINIMIZE, direction_of
from blurr.metrics.streamed import directed
from blurr.runs.checksums import seal_file, verify_file

log = logging.getLogger(__name__)
Mode = Literal["auto", "min", "max"]


class _Watch(Callback):  # type: ignore[misc]  # fastai is not typed
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


class SaveBest(_Watch):
    """Save the weights of the best epoch and of the last one, and go on with the best when the training ends.

    They are `best.pth` and `last.pth` in the learner's folder of models, with their checksums beside them. The best is
    that of all fits of the learner.

    Raises:
        ResourceError: they cannot be written.
        InputError: the best weights are not as they were written.
    """

    order = SaveModelCallback.order
    option = "save_best"

    def __init__(self, monitor: str = "valid/loss", mode: Mode = "auto", min_delta: NonNegative = 0.0) -> None:
        super().__init__(monitor, mode, min_delta)

    def after_epoch(self) -> None:
        if not self.is_trained:  # a validation alone
            return
        self._save("last")
        if self.gained():
            self._save("best")

    def _save(self, name: str) -> None:
        with writing(self._path(name), "Make room, or choose another output_dir."):
            self.learn.save(name, with_opt=False)
            seal_file(self._path(name))

    def _path(self, name: str) -> Path:
        return Path(self.learn.path, self.learn.model_dir, f"{name}.pth")

    def after_fit(self) -> None:
        if self.is_trained and self.best > -math.inf:
            verify_file(self._path("best"))
            self.learn.load("best", with_opt=False)


class EarlyStopping(_Watch):
    """End a fit when the score has not got better for `patience` epochs; the next fit, if any, begins anew."""

    order = EarlyStoppingCallback.order
    option = "early_stopping"

    def __init__(
        self, monitor: str = "valid/loss", mode: Mode = "auto", min_delta: NonNegative = 0.0, patience: Count = 2
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience

    def before_fit(self) -> None:
        super().before_fit()
        self.best, self.waited = -math.inf, 0

    def state(self) -> dict[str, Any]:
        return {**super().state(), "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.waited = state["waited"]

    def after_epoch(self) -> None:
        if not self.is_trained:
            return
        self.waited = 0 if self.gained() else self.waited + 1
        if self.waited >= self.patience:
            log.info("%s has not got better for %d epochs: the training stops.", self.monitor, self.waited)
            raise CancelFitException
