"""Keep what the last validation of a training found, so that evaluating the same weights again costs nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import xxhash
from fastai.callback.fp16 import MixedPrecision
from fastai.learner import Learner

from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import Table
from blurr.loading.rows_on_disk import GrowingRows, Rows, room_for
from blurr.metrics.streamed import notes_of
from blurr.training.callbacks.base import ORDER, TrainingCallback
from blurr.training.callbacks.cache_frozen_features import CacheFrozenFeatures
from blurr.training.callbacks.early_stopping import EarlyStopping
from blurr.training.distributed import current, everywhere
from blurr.training.precision import BFloat16
from blurr.training.sharding import local
from blurr.training.shares import rows_at_first


@dataclass(frozen=True)
class Pass:
    """What one pass over the rows of a loader found.

    Attributes:
        values: The loss, then the value of each metric; None for a metric that has none yet.
        rows: Described, in the order of the batches.
        notes: Notes beside metrics, by name.
    """

    values: list[Any]
    rows: Rows
    notes: dict[str, str]


class LastValidation(TrainingCallback):
    """Describe the rows of a validation that may be the last, and keep what it found for the final evaluation.

    It is kept until the next pass with metrics, which forget the rows that they have seen. Nothing is kept of one whose
    body's outputs were cached: the last digits of such an output are those of another batch.

    Args:
        describe: `(learner) -> table` of the rows of the batch that the learner has just run.
    """

    order = ORDER["LastValidation"]
    remove_on_fetch = True

    def __init__(self, describe: Callable[[Learner], Table]) -> None:
        super().__init__()
        self.describe = describe
        self.rows: GrowingRows | None = None
        self.last: tuple[RowsDL, str, Pass] | None = None

    def before_fit(self) -> None:
        super().before_fit()
        if self.learn.metrics:  # get_preds has none
            self.last = None

    def before_validate(self) -> None:
        if self.has_trained:
            self.last, self.rows = None, room_for(self.learn.dls.valid.n) if self._may_be_last() else None

    def after_batch(self) -> None:
        if self.rows is not None and self.has_trained and not self.learn.training:
            self.rows.extend(rows_at_first(self.learn, self.describe(self.learn)))

    def after_epoch(self) -> None:
        rows, learn = self.rows, self.learn
        # of several processes, the first has the rows; there are fewer if the validation was cancelled
        is_whole = rows is not None and (len(rows) == learn.dls.valid.n or not current().is_first)
        if self.has_trained and rows is not None and is_whole:
            values = list(learn.final_record[-1 - len(learn.metrics) :])
            notes = notes_of(learn.metrics) if current().is_first else {}  # the others' metrics have seen nothing
            self.last = learn.dls.valid, fingerprint(learn), Pass(values, rows, notes)
        self.rows = None

    def found(self, dl: RowsDL) -> Pass | None:
        """Return what a pass over this loader would find, or None if it has to be run."""
        if self.last is None or self.last[0] is not dl:  # the loaders may have been exchanged since
            return None
        _, trained, found = self.last
        return found if fingerprint(self.learn) == trained else None  # save_best may have loaded those of another epoch

    def _may_be_last(self) -> bool:
        others = self.learn.cbs
        if any(isinstance(callback, CacheFrozenFeatures) and callback.frozen is not None for callback in others):
            return False
        ends_early = any(isinstance(callback, EarlyStopping) for callback in others)
        return ends_early or self.learn.epoch + 1 == self.learn.n_epoch


def fingerprint(learner: Learner) -> str:
    """Return what a validation depends on besides its rows: weights, settings, precision, metrics and loss."""
    model = learner.model.hf_model
    settings = [model.config, *([model.generation_config] if model.can_generate() else [])]
    precision = [type(callback) for callback in learner.cbs if isinstance(callback, BFloat16 | MixedPrecision)]
    # thresholds and generation settings may be set after a training, and a notebook may change the others
    objects = [id(each) for each in (*learner.metrics, learner.loss_func)]
    return repr((weights_checksum(model), [each.to_json_string() for each in settings], precision, objects))


def weights_checksum(model: torch.nn.Module) -> str:
    """Return a checksum of all parameters and buffers, which tells whether two trainings left the same.

    Of weights that several processes share out, it is that of this one's share.
    """
    found = xxhash.xxh3_128()
    for values in model.state_dict().values():
        found.update(local(values).detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def validated(learner: Learner, dl: RowsDL) -> Pass | None:
    """Return what the training of a learner has found on these rows, with the weights and settings of now, if it has.

    Args:
        learner: Has a `LastValidation` if its training was recorded.
        dl: The loader to evaluate.
    """
    kept = [callback for callback in learner.cbs if isinstance(callback, LastValidation)]
    found = kept[0].found(dl) if kept else None
    # all processes evaluate again, or none
    return found if everywhere(found is not None) else None
