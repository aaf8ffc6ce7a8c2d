"""Log a training into a run, and report its objective to a sweep."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from blurr.tracking.run import Run
from blurr.training.callbacks.base import ORDER, TrainingCallback, epoch_scores
from blurr.training.distributed import end_together


class TrackingCallback(TrainingCallback):
    """Log what a Learner measures into a run.

    Logged once per optimizer step: `train/loss` (the mean over the accumulated batches, not smoothed), `train/lr`
    and `train/momentum` (of the last parameter group, which holds the head), and `train/lr_<i>` for every group
    if the groups differ. At the end of an epoch: `valid/loss`, `valid/<metric>` and `time/epoch` in seconds.

    Args:
        tracked: the open run (fastai keeps the name `run` for itself).

    Attributes:
        optimizer_steps: steps taken over all fits.
    """

    order = ORDER["TrackingCallback"]
    remove_on_fetch = True

    def __init__(self, tracked: Run) -> None:
        super().__init__()
        self.tracked = tracked
        self.optimizer_steps = 0
        self.losses_of_step: list[Any] = []  # 0-d tensors, which stay on their device

    def before_fit(self) -> None:
        super().before_fit()
        self.losses_of_step.clear()  # of an interrupted fit

    def before_epoch(self) -> None:
        self._started = time.perf_counter()

    def after_loss(self) -> None:
        """Keep the loss of a batch; several batches may make one optimizer step."""
        learn = self.learn
        if learn.training:
            self.losses_of_step.append(learn.loss.detach())

    def after_cancel_step(self) -> None:
        """Forget the losses of a step that mixed precision skips, because gradients overflowed."""
        self.losses_of_step.clear()

    def after_step(self) -> None:
        """Log the mean loss of the step; fastai calls this after a cancelled step, too."""
        losses = self.losses_of_step
        if losses:
            loss = losses[0] if len(losses) == 1 else sum(losses[1:], losses[0]) / len(losses)
            losses.clear()
            self.__dict__["optimizer_steps"] += 1  # past fastai's slow __setattr__, see TrainingCallback
            self.tracked.log({"train/loss": loss, **_hypers(self.learn.opt.hypers)}, step=self.optimizer_steps)

    def state(self) -> dict[str, Any]:
        return {"steps": self.optimizer_steps}

    def restore(self, state: dict[str, Any]) -> None:
        self.optimizer_steps = self.tracked.step = state["steps"]

    def after_epoch(self) -> None:
        if not self.has_trained:
            return
        values = {**epoch_scores(self.recorder), "time/epoch": time.perf_counter() - self._started}
        values.pop("train/loss", None)  # the smoothed one; each step's own is logged
        self.tracked.log(values, step=self.optimizer_steps)
        self.tracked.flush()

    def after_fit(self) -> None:
        self.tracked.flush()  # a cancelled epoch has logged steps, too


def _hypers(groups: Any) -> dict[str, float]:
    """Name the learning rates of the optimizer, and its momentum if it has one.

    Args:
        groups: fastai's `opt.hypers`, one dict per parameter group.
    """
    rates = [group["lr"] for group in groups]
    values = {"train/lr": rates[-1]}
    if any(rate != rates[0] for rate in rates):
        values |= {f"train/lr_{i}": rate for i, rate in enumerate(rates)}
    if "mom" in groups[-1]:
        values["train/momentum"] = groups[-1]["mom"]
    return values


class Reporter(TrainingCallback):
    """Report the objective after each epoch.

    Args:
        objective: key of the metric, such as `valid/accuracy`.
        report: called with the number of the evaluation, counted from 1 over all fits, and the metric's value; may
            raise to end the training.
    """

    order = ORDER["Reporter"]
    remove_on_fetch = True

    def __init__(self, objective: str, report: Callable[[int, float], None]) -> None:
        super().__init__()
        self.objective, self.report = objective, report
        self.evaluations = 0

    def state(self) -> dict[str, Any]:
        return {"evaluations": self.evaluations}

    def restore(self, state: dict[str, Any]) -> None:
        self.evaluations = state["evaluations"]

    def after_epoch(self) -> None:
        values = epoch_scores(self.recorder) if self.has_trained else {}
        if self.objective in values:  # else the validation was cancelled
            self.evaluations += 1
            end_together(partial(self.report, self.evaluations, values[self.objective]))
