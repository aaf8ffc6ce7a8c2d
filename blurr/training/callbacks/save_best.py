"""Save the weights of the best epoch, and load them when a fit ends."""

import math
from pathlib import Path

from blurr.config.annotations import NonNegative
from blurr.errors import writing
from blurr.runs.checksums import seal_file, verify_file
from blurr.training.callbacks.base import ORDER, Mode, Watch


class SaveBest(Watch):
    """Save the weights of the best and of the last epoch, and load the best when a fit ends.

    The files are `best.pth` and `last.pth` in the learner's model folder, each with its checksum beside it. The best
    epoch is chosen over all fits of the learner.

    Raises:
        ResourceError: the weights cannot be written.
        InputError: the file of the best weights has changed since it was written.
    """

    order = ORDER["SaveBest"]

    def __init__(self, monitor: str = "valid/loss", mode: Mode = "auto", min_delta: NonNegative = 0.0) -> None:
        super().__init__(monitor, mode, min_delta)

    def after_epoch(self) -> None:
        if not self.has_trained:
            return
        self._save("last")
        if self.improved():
            self._save("best")

    def _save(self, name: str) -> None:
        with writing(self._path(name), "Make room, or choose another output_dir."):
            self.learn.save(name, with_opt=False)  # checkpoints have the state of the optimizer
            seal_file(self._path(name))

    def _path(self, name: str) -> Path:
        return Path(self.learn.path, self.learn.model_dir, f"{name}.pth")

    def after_fit(self) -> None:
        if self.has_trained and self.best > -math.inf:
            verify_file(self._path("best"))
            self.learn.load("best", with_opt=False)
