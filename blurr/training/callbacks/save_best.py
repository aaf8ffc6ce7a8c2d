"""Save the weights of the best epoch, and load them when a fit ends."""

import math
from pathlib import Path

import torch

from blurr.config.annotations import NonNegative
from blurr.errors import writing
from blurr.models.wrapper import BaseModelWrapper
from blurr.runs.asides import link
from blurr.runs.checksums import seal_file, verify_file
from blurr.training.callbacks.base import ORDER, Mode, Watch
from blurr.training.distributed import current, spread
from blurr.training.sharding import fill, is_sharded, whole


class SaveBest(Watch):
    """Save the weights of the best and of the last epoch, and load the best when a fit ends.

    The files are `best.pth` and `last.pth` in the learner's model folder, each with its checksum beside it; one file
    with two names where the last epoch is the best. The best epoch is chosen over all fits of the learner.

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
        with whole(self.learn.model):
            self._after_epoch()

    def _after_epoch(self) -> None:
        if not current().is_first:
            self.improved()
            return
        last, best = self._path("last"), self._path("best")
        with writing(last, "Make room, or choose another output_dir."):
            last.unlink(missing_ok=True)  # it may be the same file as that of the best
            self._save()
            if self.improved():
                link(last, best)
                seal_file(best)
            seal_file(last)

    def _path(self, name: str) -> Path:
        return Path(self.learn.path, self.learn.model_dir, f"{name}.pth")

    def after_fit(self) -> None:
        if self.has_trained and self.best > -math.inf:
            model = self.learn.model
            if current().is_first:
                verify_file(self._path("best"))
            if is_sharded(model):
                fill(model, torch.load(self._path("best"), weights_only=True) if current().is_first else {})
                return
            if current().is_first:
                self._load()
            spread([*model.parameters(), *model.buffers()])

    def _save(self) -> None:
        """Save the weights, beside an adapter only those that are trained; checkpoints have the optimizer's state."""
        if self._is_beside_base():
            self._path("last").parent.mkdir(parents=True, exist_ok=True)
            torch.save(self.learn.model.trained_state(), self._path("last"))
        else:
            self.learn.save("last", with_opt=False)

    def _load(self) -> None:
        if self._is_beside_base():
            device = next(self.learn.model.parameters()).device
            self.learn.model.load_trained(torch.load(self._path("best"), map_location=device, weights_only=True))
        else:
            self.learn.load("best", with_opt=False)

    def _is_beside_base(self) -> bool:
        return isinstance(self.learn.model, BaseModelWrapper) and bool(self.learn.model.fixed)
