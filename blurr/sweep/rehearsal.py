"""Load what trials need into the process that is forked for each of them."""

import io
import logging
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from hydra.core.utils import run_job
from omegaconf import OmegaConf

from blurr.config import signatures
from blurr.config.building import build

if TYPE_CHECKING:
    from blurr.sweep.trial import Context

# A few rows of generated text and a small model: nothing of this reaches a trial but what is loaded on the way.
SMALL = (
    *("data=sample", "data.limit=64", "loader.batch_size=32", "model.weights=scratch"),
    *("schedule=constant", "schedule.epochs=1", "tracking=none"),
)


def rehearse(context: "Context", *, has_gpu: bool) -> None:
    """Import the experiment and open the store, and train a little, so that no trial is the first to do so.

    Libraries load much of themselves on first use: a trial after a rehearsal costs half of what it costs without.

    Args:
        context: of the sweep.
        has_gpu: whether trials will use a GPU. It cannot be used in a process forked from one that has used it, so
            there is no training then.
    """
    import torch

    import blurr.experiment  # noqa: F401  # takes ten seconds, and the trials have it then

    build(context.config.tracking).prepare()
    task, choices = context.config.task, context.config.hydra.runtime.choices
    if has_gpu or not signatures.is_ours(task["_target_"]):
        return
    torch.set_num_threads(1)  # a pool of threads would be lost in the fork, and be waited for
    family = [f"model={choices.model}"] if OmegaConf.select(context.config, "model.arch") else []
    cfg = context.compose([f"task={choices.task}", *family, *SMALL])
    quiet = io.StringIO()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(quiet), redirect_stderr(quiet):
        cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir = folder, "run"
        # It keeps an exception to itself: a trial will meet the same, and tell it.
        run_job(context.task, cfg, "hydra.sweep.dir", "hydra.sweep.subdir", context.hydra, configure_logging=False)
    logging.disable(logging.NOTSET)
