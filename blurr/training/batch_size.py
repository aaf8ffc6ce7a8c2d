"""Find out how many rows of a batch the memory holds: `loader.batch_size=auto`."""

import gc
import logging
from collections.abc import Callable
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException, event
from fastai.learner import Learner

from blurr.errors import ResourceError, is_out_of_memory
from blurr.training.checkpoints import random_state, set_random_state

log = logging.getLogger(__name__)

MOST = 128  # larger batches learn less from the same rows, and make a step no cheaper for each of them
STEPS = 16  # that an epoch should have at the least


class OneStep(Callback):  # type: ignore[misc]  # fastai is not typed
    """End a training after its first batch."""

    order = 2000

    def after_batch(self) -> None:
        raise CancelFitException


def find_batch_size(learner_of: Callable[[int], Learner], rows: int) -> int:
    """Find the largest power of two that fits, of at most 128 rows and at least 16 batches an epoch.

    It takes a step of training on the longest rows, and halves their number as long as the memory does not hold them.
    Weights and random states are left as they were.

    Args:
        learner_of: gives a learner, for these steps alone, whose first batch has so many rows, the longest.
        rows: of an epoch.

    Raises:
        ResourceError: not even one row fits.
    """
    size = 1 << max(1, min(MOST, rows // STEPS)).bit_length() - 1
    random = random_state()
    while not _fits(learner_of(size)):
        if size == 1:
            raise ResourceError(
                "Out of memory: it does not hold a batch of one row. Lower task.max_length, add "
                "callbacks=[gradient_checkpointing] or precision=bf16, or take a smaller model."
            )
        size //= 2
        log.info("%d rows in a batch are too many for the memory; trying %d.", 2 * size, size)
    set_random_state(random)
    log.info("loader.batch_size=auto: %d rows.", size)
    return size


def _fits(learner: Learner) -> bool:
    """Take one step, and undo it."""
    kept = {name: value.detach().to("cpu", copy=True) for name, value in learner.model.state_dict().items()}
    learner.add_cb(OneStep())
    try:
        with learner.no_bar(), learner.no_logging():
            learner.fit(1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        learner(event.after_fit)  # callbacks leave the model as they found it
        return False
    finally:
        _undo(learner, kept)
    return True


def _undo(learner: Learner, kept: dict[str, Any]) -> None:
    learner.model.load_state_dict(kept)
    learner.model.zero_grad(set_to_none=True)
    learner.opt = learner.xb = learner.yb = learner.pred = learner.loss = learner.loss_grad = None
    gc.collect()  # what the error's traceback holds is in cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
