"""Detect a training that goes wrong, and name the rows, ids or sizes that caused it."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from fastai.callback.core import CancelBatchException
from fastai.learner import Learner

from blurr.errors import InputError, ResourceError, is_out_of_memory
from blurr.loading.columns import Made, Ragged
from blurr.loading.rows import IGNORED, EncodedRows
from blurr.training.callbacks.base import ORDER, TrainingCallback
from blurr.training.distributed import everywhere
from blurr.training.sharding import is_sharded, local

log = logging.getLogger(__name__)

OnNan = Literal["stop", "skip", "rollback"]
MAX_SKIPPED = 20  # in a row: by then the weights themselves are not finite
MAX_ROLLBACKS = 5
LOSSES = 50  # checked together on an accelerator
REMEDY = "Inspect these rows; lower optimizer.lr or optimizer.max_grad_norm, use precision=bf16 in place of fp16"


class Rollback(Exception):  # noqa: N818  # not an error
    """Raised to resume from the last checkpoint."""


class Guard(TrainingCallback):
    """Stop a training, or skip the step, if the loss is not finite; check ids before the first batch.

    On an accelerator, reading the loss makes the step wait. `stop` therefore checks fifty losses together, and stops up
    to fifty steps late. The other two check each step, because the weights must not be updated from a skipped batch.

    Args:
        on_nan: `stop` ends the training with a message; `skip` skips the batch with a warning, and stops after twenty
            such batches in a row; `rollback` returns to the last checkpoint and skips the batch from then on, or the
            batch before if its step has made the weights infinite; it stops at the sixth time. The weights are also
            checked after the last step of an epoch, which no loss follows: there `stop` and `skip` end the training.

    Attributes:
        avoided: `(fit, epoch, batch)` of each batch that a rollback skips.

    Raises:
        InputError: during training, as described; before it, if the model does not have a token or label id, which on
            a GPU would end in a device-side assert without a name.
    """

    order = ORDER["Guard"]
    run_valid = False

    def __init__(self, on_nan: OnNan = "stop") -> None:
        self.on_nan, self.skipped, self.look_every = on_nan, 0, 1
        self.unseen: list[tuple[int, torch.Tensor]] = []  # number and loss of batches not yet checked
        self.avoided: set[tuple[int, int, int]] = set()

    def before_fit(self) -> None:
        super().before_fit()
        waits = self.on_nan != "stop" or next(self.model.parameters()).device.type == "cpu"
        self.look_every = 1 if waits else LOSSES
        self.unseen.clear()  # of an interrupted fit
        if self.run and isinstance(self.dls.train.dataset, EncodedRows):
            check_ids(self.dls.train.dataset, self.model.hf_model)

    def before_batch(self) -> None:
        if self.avoided and (self.learn.fits - 1, self.epoch, self.iter) in self.avoided:
            self._skip()

    def after_loss(self) -> None:
        learn = self.learn
        loss = learn.loss.detach()
        if self.look_every == 1 and loss.ndim == 0 and not self.skipped and math.isfinite(loss.item()):
            return
        self.unseen.append((learn.iter, loss.mean()))
        if len(self.unseen) >= self.look_every or learn.iter + 1 == learn.n_iter:
            self._look()

    def after_train(self) -> None:
        if are_finite(self.model):
            return
        said = f"The weights are not finite after batch {self.iter} of epoch {self.epoch}, the last one; its training "
        said += f"rows are {self._rows(self.iter)}"
        self._roll_back(said, self.iter)
        raise InputError(f"{said}. {REMEDY}.")

    def _look(self) -> None:
        seen = self.unseen[:]
        self.unseen.clear()
        found = torch.stack([loss for _, loss in seen]).tolist()
        wrong = [(batch, loss) for (batch, _), loss in zip(seen, found, strict=True) if not math.isfinite(loss)]
        if wrong:
            self._is_wrong(*wrong[0])
        elif self.skipped:
            self.skipped = 0

    def _is_wrong(self, batch: int, loss: float) -> None:
        self.skipped += 1
        said = f"The loss of batch {batch} of epoch {self.epoch} is {loss}; its training rows are {self._rows(batch)}"
        is_from_before = self.iter > 0 and not are_finite(self.model)  # the step of the last batch is to blame
        self._roll_back(said, self.iter - 1 if is_from_before else self.iter)
        if self.on_nan != "skip" or self.skipped > MAX_SKIPPED:
            tried = f" after {len(self.avoided)} rollbacks" if self.avoided else ""
            raise InputError(f"{said}{tried}. {REMEDY}, or leave such batches out with on_nan=skip.")
        log.warning("%s. The batch is skipped.", said)
        self._skip()

    def _roll_back(self, said: str, batch: int) -> None:
        """Return to the last checkpoint, to skip a batch from there on, unless `on_nan` or the limit forbids it."""
        if self.on_nan == "rollback" and len(self.avoided) < MAX_ROLLBACKS:
            self.avoided.add((self.learn.fits - 1, self.epoch, batch))
            log.warning("%s. Back to the last checkpoint; batch %d is skipped from now on.", said, batch)
            raise Rollback(said)  # fastai reads the first argument of what a callback raises

    def state(self) -> dict[str, Any]:
        return {"avoided": [list(place) for place in sorted(self.avoided)]}

    def restore(self, state: dict[str, Any]) -> None:
        # keep the batches that were found after the checkpoint was written
        self.avoided |= {(fit, epoch, batch) for fit, epoch, batch in state["avoided"]}

    def _skip(self) -> None:
        smooth = self.recorder.smooth_loss
        # a NaN would stay in the smoothed loss for good
        self.learn.loss = smooth.value if smooth.count else torch.zeros_like(self.learn.loss)
        raise CancelBatchException

    def _rows(self, batch: int) -> str:
        """Return the row numbers of a batch in the data; several windows may come from one row."""
        loader = self.dls.train
        order = loader.batches()[batch]
        source = loader.dataset.columns.get("row") if isinstance(loader.dataset, EncodedRows) else None
        numbers = order if source is None else np.unique(np.asarray(source)[order])
        return ", ".join(str(int(row)) for row in numbers)


def check_weights(model: torch.nn.Module) -> None:
    """Check the weights at the end of a training, after averages or best weights are loaded.

    Raises:
        InputError: some weights are not finite.
    """
    wrong = [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    if wrong:
        raise InputError(
            f"The final weights are not finite: {', '.join(wrong[:3])}{' …' if wrong[3:] else ''}. No model is saved. "
            "Lower optimizer.lr or optimizer.max_grad_norm, or use precision=bf16 in place of fp16."
        )


def are_finite(model: torch.nn.Module) -> bool:
    """Are all weights of a model finite?"""
    found = all(bool(torch.isfinite(local(weight)).all()) for weight in model.parameters())
    return everywhere(found) if is_sharded(model) else found


def check_ids(rows: EncodedRows, model: Any) -> None:
    """Check that a model has an embedding for each token id, and an output for each label id.

    Args:
        rows: the training rows.
        model: a Hugging Face model.

    Raises:
        InputError: an id is out of range.
    """
    tokens, labels = rows.columns.get(rows.names.main), rows.columns.get("labels")
    if isinstance(tokens, Ragged):
        known = model.get_input_embeddings().num_embeddings
        _check_range("token", tokens.flat, known, "the tokenizer does not fit the model: take both from one folder")
    # labels that are made when they are read have ids by the names of the model's classes, and take long to make
    if rows.vocab is not None and labels is not None and not isinstance(labels, Made):
        values = labels.flat if isinstance(labels, Ragged) else np.asarray(labels)
        if values.dtype.kind in "iu" and values.ndim == 1:
            known = model.config.num_labels
            _check_range("label", values[values != IGNORED], known, "give the model as many labels as the data have")


def _check_range(what: str, ids: Any, known: int, remedy: str) -> None:
    if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < known):
        raise InputError(
            f"The training rows have {what} ids from {ids.min()} to {ids.max()}, and the model has 0 to {known - 1}: "
            f"{remedy}."
        )


@contextmanager
def memory_watched(learner: Learner) -> Iterator[None]:
    """Turn an out-of-memory error into a message that says what to lower.

    Raises:
        ResourceError: the memory was not sufficient.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"Out of memory: {_batch(learner)}. Lower loader.batch_size, or set it to auto "
            "(callbacks=[gradient_accumulation] compensates for it), loader.max_tokens or task.max_length; or "
            "callbacks=[gradient_checkpointing], or precision=bf16."
        ) from error


def _batch(learner: Learner) -> str:
    """Describe the current batch of a training."""
    if not vars(learner).get("xb"):
        return "it ran out before the first batch"
    names = learner.dls.train_ds.names
    values = learner.xb[0][names.main] if names.main else next(iter(learner.xb[0].values()))
    rows, *size = values.shape
    row = f"{size[0]} {names.unit}" if names.unit and len(size) == 1 else " x ".join(map(str, size))
    return f"that of {values.device} does not hold a batch of {rows} rows of {row}"
