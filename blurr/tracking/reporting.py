"""Report the objective after each evaluation of a training, which may be told to stop there."""

from collections.abc import Callable
from typing import Any

from fastai.callback.core import Callback

from blurr.tracking.callback import TrackingCallback, scores


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
