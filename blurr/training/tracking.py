"""Log a fastai training into a run: losses, learning rates and momentum per optimizer step, metrics per epoch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastai.callback.core import Callback
from fastai.learner import Recorder

from blurr.tracking.run import Run


@dataclass
class StepLoss:
    """What the batches of one optimizer step have come to; apart because fastai makes setting a callback's own slow."""

    total: Any = None
    batches: int = 0
    is_cancelled: bool = False

    def add(self, loss: Any) -> None:
        """Add the loss of a batch, a 0-d tensor, which stays on its device."""
        self.total = loss if self.total is None else self.total + loss
        self.batches += 1

    def take(self) -> tuple[Any, bool]:
        """Give the mean loss, and whether the step was cancelled; begin anew."""
        mean = self.total / self.batches if self.batches > 1 else self.total
        is_cancelled = self.is_cancelled
        self.total, self.batches, self.is_cancelled = None, 0, False
        return mean, is_cancelled


class TrackingCallback(Callback):  # type: ignore[misc]  # fastai is untyped
    """Send what a Learner measures to a run.

    Logged once per optimizer step: `train/loss` (the mean over the accumulated batches, not smoothed), `train/lr`
    and `train/momentum` (of the last parameter group, which holds the head), and `train/lr_<i>` for every group
    where the groups differ. At the end of an epoch: `valid/loss`, `valid/<metric>` and `time/epoch` in seconds.

    Args:
        tracked: the open run (fastai keeps the name `run` for itself).

    Attributes:
        optimizer_steps: steps taken over all fits; set it when a training is resumed.
    """

    # Right after Recorder: EarlyStoppingCallback and the like cancel the fit in later callbacks of the same event.
    order = Recorder.order + 1
    remove_on_fetch = True

    def __init__(self, tracked: Run) -> None:
        super().__init__()
        self.tracked = tracked
        self.optimizer_steps = 0
        self._is_epoch_trained = False
        self.pending = StepLoss()

    def before_fit(self) -> None:
        """Stay out of the learning-rate finder's and `get_preds`' loops, as fastai's own Recorder display does."""
        self.run = not (hasattr(self.learn, "lr_finder") or hasattr(self.learn, "gather_preds"))
        self.pending = StepLoss()

    def before_epoch(self) -> None:
        """Start the epoch's clock."""
        self._started = time.perf_counter()
        self._is_epoch_trained = False

    def before_train(self) -> None:
        """Note that this is no mere `validate()`, which has epoch events of its own."""
        self._is_epoch_trained = True

    def after_loss(self) -> None:
        """Add up the losses of the batches that make one optimizer step."""
        learn = self.learn  # asking the callback for what the learner has takes ten times as long
        if learn.training:
            self.pending.add(learn.loss.detach())

    def after_cancel_step(self) -> None:
        """Note that the step was not taken: mixed precision cancels it where gradients overflow."""
        self.pending.is_cancelled = True

    def after_step(self) -> None:
        """Log the step; fastai calls this for a cancelled one, too."""
        loss, is_cancelled = self.pending.take()
        if not is_cancelled:
            self.__dict__["optimizer_steps"] += 1  # to set it as usual costs as much as all the rest here, see StepLoss
            self.tracked.log({"train/loss": loss, **_hypers(self.learn.opt.hypers)}, step=self.optimizer_steps)

    def state(self) -> dict[str, Any]:
        return {"steps": self.optimizer_steps}

    def restore(self, state: dict[str, Any]) -> None:
        self.optimizer_steps = self.tracked.step = state["steps"]

    def after_epoch(self) -> None:
        """Log what the epoch was measured at."""
        if not self._is_epoch_trained:
            return
        values = {**scores(self.recorder), "time/epoch": time.perf_counter() - self._started}
        self.tracked.log(values, step=self.optimizer_steps)
        self.tracked.flush()

    def after_fit(self) -> None:
        """Write and send what the last, maybe cancelled, epoch left."""
        self.tracked.flush()


def _hypers(groups: Any) -> dict[str, float]:
    """Name the optimizer's learning rates, and its momentum where it has one.

    Args:
        groups: fastai's `opt.hypers`, one dict for each parameter group.
    """
    rates = [group["lr"] for group in groups]
    values = {"train/lr": rates[-1]}
    if any(rate != rates[0] for rate in rates):
        values |= {f"train/lr_{i}": rate for i, rate in enumerate(rates)}
    if "mom" in groups[-1]:
        values["train/momentum"] = groups[-1]["mom"]
    return values


def scores(recorder: Recorder) -> dict[str, float]:
    """Name the epoch's values that Recorder has just stored; a metric that is not a number is left out."""
    names = list(recorder.metric_names[1:])  # the first is the epoch's number
    if recorder.cancel_train:  # a cancelled training has no values, and Recorder does not leave gaps
        names = [name for name in names if not _is_of_training(name, recorder)]
    pairs = zip(names, recorder.final_record, strict=False)  # final_record ends where the validation was cancelled
    return {
        _metric_key(name, recorder): value
        for name, value in pairs
        if name != "train_loss" and isinstance(value, int | float)
    }


def _is_of_training(name: str, recorder: Recorder) -> bool:
    return name == "train_loss" or bool(recorder.train_metrics and name.startswith("train_"))


def _metric_key(name: str, recorder: Recorder) -> str:
    if name == "valid_loss" or recorder.train_metrics:
        return str(name).replace("_", "/", 1)  # Recorder has put "train_" and "valid_" before the names
    return f"valid/{name}"


class Reporter(Callback):  # type: ignore[misc]  # fastai is untyped
    """Say what each evaluation gave.

    Args:
        objective: name of the metric, such as `valid/accuracy`.
        report: called with the number of the evaluation, counted from 1 over all fits, and the metric's value; it may
            raise to end the training.
    """

    order = TrackingCallback.order + 1  # the evaluation is in MLflow before it is judged
    remove_on_fetch = True

    def __init__(self, objective: str, report: Callable[[int, float], None]) -> None:
        super().__init__()
        self.objective, self.report = objective, report
        self.evaluations = 0
        self._is_epoch_trained = False

    def before_fit(self) -> None:
        """Stay out of the learning-rate finder's loop and `get_preds`."""
        self.run = not (hasattr(self.learn, "lr_finder") or hasattr(self.learn, "gather_preds"))

    def before_epoch(self) -> None:
        self._is_epoch_trained = False

    def before_train(self) -> None:
        self._is_epoch_trained = True  # a mere `validate()` has epoch events, too

    def state(self) -> dict[str, Any]:
        return {"evaluations": self.evaluations}

    def restore(self, state: dict[str, Any]) -> None:
        self.evaluations = state["evaluations"]

    def after_epoch(self) -> None:
        """Report, where the epoch was evaluated."""
        values = scores(self.recorder) if self._is_epoch_trained else {}
        if self.objective in values:
            self.evaluations += 1
            self.report(self.evaluations, values[self.objective])
