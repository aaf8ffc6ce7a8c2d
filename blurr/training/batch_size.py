"""Find the largest batch that fits into memory: `loader.batch_size=auto`."""

import gc
import logging
from collections.abc import Callable
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException, event
from fastai.learner import Learner

from blurr.errors import ResourceError, is_out_of_memory
from blurr.training.callbacks.base import ORDER
from blurr.training.distributed import alone, current, everywhere
from blurr.training.state import random_state, set_random_state

log = logging.getLogger(__name__)

MOST = 128  # larger batches learn less from the same rows, and are not cheaper per row
STEPS = 16  # an epoch has at least as many


class OneStep(Callback):  # type: ignore[misc]  # fastai is not typed
    """End a fit after its first batch."""

    order = ORDER["OneStep"]

    def after_batch(self) -> None:
        raise CancelFitException


def find_batch_size(learner_of: Callable[[int], Learner], rows: int) -> int:
    """Return the largest power of two that fits, up to 128 rows and with at least 16 batches per epoch.

    Takes a training step on the longest rows, and halves their number until it succeeds: of several processes each on
    its share. Weights and random states are restored.

    Args:
        learner_of: returns a learner for one step, whose first batch has this number of rows, the longest ones.
        rows: number of rows of an epoch.

    Raises:
        ResourceError: not even one row fits.
    """
    size = 1 << max(1, min(MOST, rows // STEPS)).bit_length() - 1
    random = random_state()
    while not _fits_all(learner_of, size):
        if size == 1:
            raise ResourceError(
                "Out of memory: a batch of one row does not fit. Lower task.max_length, add "
                "callbacks=[gradient_checkpointing] or precision=bf16, or take a smaller model."
            )
        size //= 2
        log.info("A batch of %d rows does not fit into memory; trying %d.", 2 * size, size)
    set_random_state(random)
    log.info("loader.batch_size=auto: %d rows.", size)
    return size


def _fits_all(learner_of: Callable[[int], Learner], size: int) -> bool:
    """Take one step, each process on its share of a batch; return whether the memory of all was sufficient."""
    share = -(-size // current().world)
    with alone():
        fits = _fits(learner_of(share))
    return everywhere(fits)


def _fits(learner: Learner) -> bool:
    """Take one step and undo it; return whether the memory was sufficient."""
    kept = {name: value.detach().to("cpu", copy=True) for name, value in learner.model.state_dict().items()}
    learner.add_cb(OneStep())
    try:
        with learner.no_bar(), learner.no_logging():
            learner.fit(1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        learner(event.after_fit)  # lets callbacks restore the model
        return False
    finally:
        _undo(learner, kept)
    return True


def _undo(learner: Learner, kept: dict[str, Any]) -> None:
    learner.model.load_state_dict(kept)
    learner.model.zero_grad(set_to_none=True)
    learner.opt = learner.xb = learner.yb = learner.pred = learner.loss = learner.loss_grad = None
    gc.collect()  # the error's traceback keeps tensors alive in reference cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
