"""Notice a training that goes wrong, and say which rows, ids or sizes it went wrong on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from fastai.callback.core import Callback, CancelBatchException
from fastai.learner import Learner

from blurr.data.batching import IGNORED, TokenizedRows
from blurr.data.columns import Ragged
from blurr.errors import InputError

log = logging.getLogger(__name__)

OnNan = Literal["stop", "skip"]
MAX_SKIPPED = 20  # in a row: by then the weights themselves are not numbers
# CUDA's error is a class of its own; the CPU's allocator raises a RuntimeError with these words.
CPU_FULL = "can't allocate memory"


class Guard(Callback):  # type: ignore[misc]  # fastai is not typed
    """Stop a training, or leave out the step, when the loss is not a finite number; check ids before the first batch.

    Reading the loss waits for the device at each step.

    Args:
        on_nan: `stop` ends the training with a message; `skip` leaves out the batch and warns, and stops after twenty
            such batches in a row.

    Raises:
        InputError: in the training, as said; before it, where a token or label id lies outside of what the model knows,
            which on a GPU would end in an assert of the device that names nothing.
    """

    order = -100  # before all that would take such a loss for one
    run_valid = False

    def __init__(self, on_nan: OnNan = "stop") -> None:
        self.on_nan, self.skipped = on_nan, 0

    def before_fit(self) -> None:
        self.run = not (hasattr(self.learn, "lr_finder") or hasattr(self.learn, "gather_preds"))
        if self.run and isinstance(self.dls.train.dataset, TokenizedRows):
            check_ids(self.dls.train.dataset, self.model.hf_model)

    def after_loss(self) -> None:
        if bool(torch.isfinite(self.learn.loss).all()):
            self.skipped = 0
            return
        self.skipped += 1
        said = (
            f"The loss of batch {self.iter} of epoch {self.epoch} is {float(self.learn.loss.detach().mean())}; its "
            f"training rows are {self._rows()}"
        )
        if self.on_nan == "stop" or self.skipped > MAX_SKIPPED:
            raise InputError(
                f"{said}. Look at these rows; lower optimizer.lr, add callbacks=[gradient_clip], use precision=bf16 in "
                "place of fp16, or leave such batches out with on_nan=skip."
            )
        log.warning("%s. The batch is left out.", said)
        smooth = self.recorder.smooth_loss
        # the mean that is shown would never be a number again
        self.learn.loss = smooth.value if smooth.count else torch.zeros_like(self.learn.loss)
        raise CancelBatchException

    def _rows(self) -> str:
        """Name the rows of the batch as the data have them: several windows may come from one."""
        loader = self.dls.train
        order = loader.batches()[self.iter]
        source = loader.dataset.columns.get("row") if isinstance(loader.dataset, TokenizedRows) else None
        numbers = order if source is None else np.unique(np.asarray(source)[order])
        return ", ".join(str(int(row)) for row in numbers)


def check_ids(rows: TokenizedRows, model: Any) -> None:
    """Check that a model has an embedding for each token, and an output for each label.

    Args:
        rows: of the training.
        model: a Hugging Face model.

    Raises:
        InputError: it has not.
    """
    tokens, labels = rows.columns.get("input_ids"), rows.columns.get("labels")
    if isinstance(tokens, Ragged):
        known = model.get_input_embeddings().num_embeddings
        _check_range(
            "token", tokens.flat, known, "the tokenizer and the model do not belong together: take both from one folder"
        )
    if rows.vocab is not None and labels is not None:
        values = labels.flat if isinstance(labels, Ragged) else np.asarray(labels)
        if values.dtype.kind in "iu" and values.ndim == 1:
            known = model.config.num_labels
            _check_range("label", values[values != IGNORED], known, "give the model as many labels as the data have")


def _check_range(what: str, ids: Any, known: int, remedy: str) -> None:
    if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < known):
        raise InputError(
            f"The training rows have {what} ids from {ids.min()} to {ids.max()}, and the model knows 0 to {known - 1}: "
            f"{remedy}."
        )


@contextmanager
def memory_watched(learner: Learner) -> Iterator[None]:
    """Say what to lower when the memory does not suffice.

    Raises:
        InputError: it did not.
    """
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and CPU_FULL not in str(error):
            raise
        rows, tokens = learner.xb[0]["input_ids"].shape
        raise InputError(
            f"Out of memory: that of {learner.xb[0]['input_ids'].device} does not hold a batch of {rows} rows of "
            f"{tokens} tokens. Lower loader.batch_size (callbacks=[gradient_accumulation] makes up for it), "
            f"loader.max_tokens or task.max_length; or add callbacks=[gradient_checkpointing], or precision=bf16."
        ) from error
