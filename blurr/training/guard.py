"""Notice a training that goes wrong, and say which rows, ids or sizes it went wrong on."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from fastai.callback.core import Callback, CancelBatchException
from fastai.learner import Learner

from blurr.errors import InputError, ResourceError, is_out_of_memory
from blurr.loading.columns import Ragged
from blurr.loading.rows import IGNORED, EncodedRows

log = logging.getLogger(__name__)

OnNan = Literal["stop", "skip", "rollback"]
MAX_SKIPPED = 20  # in a row: by then the weights themselves are not numbers
MAX_ROLLBACKS = 5
LOSSES = 50  # that are looked at together
REMEDY = "Look at these rows; lower optimizer.lr, add callbacks=[gradient_clip], use precision=bf16 in place of fp16"


class Rollback(Exception):  # noqa: N818  # no error
    """Raised to go on from the last checkpoint."""


class Guard(Callback):  # type: ignore[misc]  # fastai is not typed
    """Stop a training, or leave out the step, when the loss is not a finite number; check ids before the first batch.

    On an accelerator reading the loss makes the step wait, so that `stop` looks at fifty losses together, and stops as
    many steps late at the most. The other two wait at each step, for what they leave out must not be learnt from.

    Args:
        on_nan: `stop` ends the training with a message; `skip` leaves out the batch and warns, and stops after twenty
            such batches in a row; `rollback` goes back to the last checkpoint and leaves out the batch from there on,
            or the one before, where its step has spoilt the weights; it stops the sixth time. The weights are looked
            at after the last step of an epoch, too, whose loss does not tell of them: `stop` and `skip` end there.

    Attributes:
        avoided: `(fit, epoch, batch)` of each batch that a rollback leaves out.

    Raises:
        InputError: in the training, as said; before it, where a token or label id lies outside of what the model knows,
            which on a GPU would end in an assert of the device that names nothing.
    """

    order = -100  # before all that would take such a loss for one
    run_valid = False

    def __init__(self, on_nan: OnNan = "stop") -> None:
        self.on_nan, self.skipped, self.look_every = on_nan, 0, 1
        self.unseen: list[tuple[int, torch.Tensor]] = []  # number of a batch in its epoch, and its loss
        self.avoided: set[tuple[int, int, int]] = set()

    def before_fit(self) -> None:
        self.run = not (hasattr(self.learn, "lr_finder") or hasattr(self.learn, "gather_preds"))
        waits = self.on_nan != "stop" or next(self.model.parameters()).device.type == "cpu"
        self.look_every = 1 if waits else LOSSES
        self.unseen.clear()  # of a fit that was broken off
        if self.run and isinstance(self.dls.train.dataset, EncodedRows):
            check_ids(self.dls.train.dataset, self.model.hf_model)

    def before_batch(self) -> None:
        if self.avoided and (self.learn.fits - 1, self.epoch, self.iter) in self.avoided:
            self._leave_out()

    def after_loss(self) -> None:
        learn = self.learn  # asking the callback for what the learner has takes ten times as long
        self.unseen.append((learn.iter, learn.loss.detach().mean()))
        if len(self.unseen) >= self.look_every or learn.iter + 1 == learn.n_iter:
            self._look()

    def after_train(self) -> None:
        if are_finite(self.model):
            return
        said = f"The weights are not finite after batch {self.iter} of epoch {self.epoch}, the last one; its training "
        said += f"rows are {self._rows(self.iter)}"
        if self.on_nan == "rollback" and len(self.avoided) < MAX_ROLLBACKS:
            self._leave_out_from_now_on(said, self.iter)
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
        rows = self._rows(batch)
        said = f"The loss of batch {batch} of epoch {self.epoch} is {loss}; its training rows are {rows}"
        if self.on_nan == "rollback" and len(self.avoided) < MAX_ROLLBACKS:
            self._go_back(said)
        if self.on_nan != "skip" or self.skipped > MAX_SKIPPED:
            tried = f" after {len(self.avoided)} rollbacks" if self.avoided else ""
            raise InputError(f"{said}{tried}. {REMEDY}, or leave such batches out with on_nan=skip.")
        log.warning("%s. The batch is left out.", said)
        self._leave_out()

    def _go_back(self, said: str) -> None:
        spoilt = not are_finite(self.model)
        self._leave_out_from_now_on(said, self.iter - 1 if spoilt and self.iter else self.iter)

    def _leave_out_from_now_on(self, said: str, batch: int) -> None:
        self.avoided.add((self.learn.fits - 1, self.epoch, batch))
        log.warning("%s. Back to the last checkpoint; batch %d is left out from now on.", said, batch)
        raise Rollback(said)  # fastai reads what a callback raises with

    def state(self) -> dict[str, Any]:
        return {"avoided": [list(place) for place in sorted(self.avoided)]}

    def restore(self, state: dict[str, Any]) -> None:
        # what is known since a checkpoint was written is not forgotten by going back to it
        self.avoided |= {(fit, epoch, batch) for fit, epoch, batch in state["avoided"]}

    def _leave_out(self) -> None:
        smooth = self.recorder.smooth_loss
        # the mean that is shown would never be a number again
        self.learn.loss = smooth.value if smooth.count else torch.zeros_like(self.learn.loss)
        raise CancelBatchException

    def _rows(self, batch: int) -> str:
        """Name the rows of the batch as the data have them: several windows may come from one."""
        loader = self.dls.train
        order = loader.batches()[batch]
        source = loader.dataset.columns.get("row") if isinstance(loader.dataset, EncodedRows) else None
        numbers = order if source is None else np.unique(np.asarray(source)[order])
        return ", ".join(str(int(row)) for row in numbers)


def check_weights(model: torch.nn.Module) -> None:
    """Check the weights that a training ends with, averaged or put back as they may be.

    Raises:
        InputError: some are not finite.
    """
    wrong = [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    if wrong:
        raise InputError(
            f"The final weights are not finite: {', '.join(wrong[:3])}{' …' if wrong[3:] else ''}. No model is saved. "
            " Lower optimizer.lr, add callbacks=[gradient_clip], or use precision=bf16 in place of fp16."
        )


def are_finite(model: torch.nn.Module) -> bool:
    """Are all weights of a model numbers?"""
    return all(bool(torch.isfinite(weight).all()) for weight in model.parameters())


def check_ids(rows: EncodedRows, model: Any) -> None:
    """Check that a model has an embedding for each token, and an output for each label.

    Args:
        rows: of the training.
        model: a Hugging Face model.

    Raises:
        InputError: it has not.
    """
    tokens, labels = rows.columns.get(rows.names.main), rows.columns.get("labels")
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
        ResourceError: it did not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"Out of memory: {_batch(learner)}. Lower loader.batch_size, or set it to auto "
            "(callbacks=[gradient_accumulation] makes up for it), loader.max_tokens or task.max_length; or "
            "callbacks=[gradient_checkpointing], or precision=bf16."
        ) from error


def _batch(learner: Learner) -> str:
    """Describe the batch that a training has come to."""
    if not vars(learner).get("xb"):
        return "it ran out before the first batch"
    main = learner.dls.train_ds.names.main
    values = learner.xb[0][main] if main else next(iter(learner.xb[0].values()))
    rows, *size = values.shape
    row = f"{size[0]} tokens" if main else " x ".join(map(str, size))
    return f"that of {values.device} does not hold a batch of {rows} rows of {row}"
