"""Watch a score from epoch to epoch: keep the best weights and the last, and stop when nothing gets better."""

import logging
import math
from pathlib import Path

from fastai.callback.tracker import SaveModelCallback

from blurr.config.annotations import NonNegative
from blurr.errors import writing
from blurr.runs.checksums import seal_file, verify_file
from blurr.training.callbacks.base import Mode, Watch

log = logging.getLogger(__name__)


class SaveBest(Watch):
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
