"""End a fit when a score stops improving."""

import logging
import math
from typing import Any

from fastai.callback.core import CancelFitException

from blurr.config.annotations import Count, NonNegative
from blurr.training.callbacks.base import ORDER, Mode, Watch

log = logging.getLogger(__name__)


class EarlyStopping(Watch):
    """End a fit when the score has not improved for `patience` epochs; a following fit starts afresh."""

    order = ORDER["EarlyStopping"]

    def __init__(
        self, monitor: str = "valid/loss", mode: Mode = "auto", min_delta: NonNegative = 0.0, patience: Count = 2
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience

    def before_fit(self) -> None:
        super().before_fit()
        self.best, self.waited = -math.inf, 0  # other than save_best, whose best spans all fits

    def state(self) -> dict[str, Any]:
        return {**super().state(), "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.waited = state["waited"]

    def after_epoch(self) -> None:
        if not self.has_trained:
            return
        self.waited = 0 if self.improved() else self.waited + 1
        if self.waited >= self.patience:
            log.info("%s has not improved for %d epochs: the training stops.", self.monitor, self.waited)
            raise CancelFitException  # fastai catches it, and still calls after_fit
