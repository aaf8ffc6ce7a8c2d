"""What callbacks share: the order of their calls, the fits that they take part in, and the scores of an epoch."""

import math
from typing import Any, Literal

from fastai.callback.core import Callback
from fastai.learner import Recorder

from blurr.errors import InputError, nearest
from blurr.metrics.base import MINIMIZE, direction_of, metric_key, metric_name
from blurr.metrics.streamed import RowMetric, directed

# In each event fastai calls the lowest number first. Callbacks that are not listed have 0: their order is irrelevant.
ORDER = {
    "ShareBatches": -200,  # makes the loss that of all processes before any callback reads it
    "Guard": -100,  # before any callback uses a loss that is not finite
    # fastai's TrainEvalCallback, -10: sets train or eval mode and the device
    "BaseModelCallback": -5,  # prepares the inputs, and turns `pred` into logits, before any callback reads them
    "Mixing": -1,  # mixes inputs that are complete, before CacheFrozenFeatures reads them
    "CacheFrozenFeatures": 0,  # after the inputs are complete, before autocast begins
    "GradientAccumulation": 6,  # scales a loss and its gradients before MixedPrecision (10) and GradientClip (11) do
    "AddUpGradients": 7,  # once GradientAccumulation lets a step happen, before the others scale or clip gradients
    "BFloat16": 10,  # as fastai's MixedPrecision, which it stands for
    "EvaluationCallback": 49,  # decodes predictions before the Recorder's metrics read them
    "LazyRecorder": 50,  # as fastai's Recorder, which it stands for
    "LastValidation": 51,  # reads what the Recorder has just stored of an epoch
    "TrackingCallback": 51,  # logs an epoch before a callback of the same event ends the fit
    "Reporter": 52,  # may end the fit once the epoch is logged
    "EMA": 59,  # averages the weights before ParamScheduler (60) ends and SaveBest loads the best
    "CompactEmbeddings": 60,  # notes the share by which EMA has just averaged
    "TerminalProgress": 60,  # as fastai's ProgressCallback, which it stands for
    "SaveBest": 61,  # saves the average; loads the best weights when a fit ends
    "LabelThreshold": 62,  # searched once the weights that stay are loaded
    "EarlyStopping": 63,  # cancels the fit, which skips all later callbacks of the event
    "Checkpointing": 1000,  # saves when all others are done with a batch, and restores after all have begun
    "FirstBatches": 1500,  # times a batch without what other callbacks do before and after it
    "OneStep": 2000,  # ends a fit after a complete step
}


class TrainingCallback(Callback):  # type: ignore[misc]  # fastai is not typed
    """A callback that takes part in training only.

    fastai runs the learning rate finder, `get_preds` and `validate` as fits with the same events. In the first two this
    callback is off; `has_trained` tells a fit from a `validate`.

    In the events of a batch, read from `self.learn`: asking the callback for what the learner has takes ten times as
    long, and setting an attribute of the callback takes 10 µs.

    Attributes:
        has_trained: the current fit has begun to train.
    """

    has_trained = False

    def before_fit(self) -> None:
        self.run = not (hasattr(self.learn, "lr_finder") or hasattr(self.learn, "gather_preds"))
        self.has_trained = False

    def before_train(self) -> None:
        self.has_trained = True


def recorded_keys(recorder: Recorder) -> list[str]:
    """Return the keys of the values that a Recorder stores for an epoch, in its order."""
    names = recorder.metric_names[1 : -1 if recorder.add_time else None]  # between the epoch's number and its time
    split = "valid" if recorder.valid_metrics else "train"
    has_split = recorder.train_metrics and recorder.valid_metrics  # then Recorder puts it before each name
    pairs = [
        name.split("_", 1) if has_split or name in ("train_loss", "valid_loss") else (split, name) for name in names
    ]
    return [metric_key(*pair) for pair in pairs]


def epoch_scores(recorder: Recorder) -> dict[str, float]:
    """Return the values that a Recorder has just stored for an epoch, without those that are not numbers."""
    keys = recorded_keys(recorder)
    if recorder.cancel_train:  # a cancelled training has no values, and Recorder leaves no gaps for them
        keys = [key for key in keys if not key.startswith("train/")]
    pairs = zip(keys, recorder.final_record, strict=False)  # a cancelled validation ends final_record early
    return {key: value for key, value in pairs if isinstance(value, int | float)}


Mode = Literal["auto", "min", "max"]


class Watch(TrainingCallback):
    """Compare a score with the best so far after each epoch.

    Args:
        monitor: `valid/loss`, `valid/<metric>` or `train/loss`.
        mode: `min` or `max` is better; `auto` asks the metric.
        min_delta: the least improvement that counts.

    Raises:
        InputError: before training, if there is no such score or its direction is unknown.
    """

    def __init__(self, monitor: str, mode: Mode, min_delta: float) -> None:
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.sign, self.best = 1.0, -math.inf

    def before_train(self) -> None:
        super().before_train()
        metrics = directed(self.learn.metrics)
        unscored = {metric_key("valid", name) for name, metric in metrics.items() if isinstance(metric, RowMetric)}
        known = [key for key in recorded_keys(self.recorder) if key not in unscored]
        if self.monitor not in known:
            raise InputError(
                f"monitor={self.monitor} names no score of this training.{nearest(self.monitor, known)} There are "
                f"{sorted(known)}."
            )
        mode = self.mode
        if mode == "auto":
            remedy = f"Set callbacks.{self.name}.mode=min or callbacks.{self.name}.mode=max."
            direction = direction_of(self.monitor, metrics.get(metric_name(self.monitor)), remedy=remedy)
            mode = "min" if direction == MINIMIZE else "max"
        self.sign = -1.0 if mode == "min" else 1.0

    def state(self) -> dict[str, Any]:
        return {"best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def improved(self) -> bool:
        """Is the score of this epoch the best so far? If so, remember it."""
        score = self.sign * epoch_scores(self.recorder).get(self.monitor, math.nan)
        if not score > self.best + self.min_delta:  # also where the score is NaN
            return False
        self.best = score
        return True
