"""Say how far a training was when a signal stopped it, and how to go on with it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from blurr.config import paths
from blurr.runs.folder import CHECKPOINTS
from blurr.training.checkpoints import Checkpointing, saved, step_of


@dataclass
class Reached:
    """How far a training is.

    Attributes:
        saving: counts the steps; None before the training.
        total: steps of the whole schedule, where they are known.
        is_trained: all steps are done.
    """

    saving: Checkpointing | None = None
    total: int | None = None
    is_trained: bool = False


def how_far(reached: Reached, folder: Path, *, is_trial: bool) -> str:
    """Return what to say of a training that was stopped.

    Args:
        reached: how far it was.
        folder: of the run.
        is_trial: the sweep goes on with it, and not the user.
    """
    checkpoints = saved(folder / CHECKPOINTS)
    steps = reached.saving.steps if reached.saving else 0
    steps = max([steps, *map(step_of, checkpoints[-1:])])
    if not steps:
        return "Stopped before the first step: there is nothing to go on with."
    of = f" of {reached.total}" if reached.total else ""
    said = f"Stopped after step {steps}{of}{', before the scores were written' if reached.is_trained else ''}"
    last = f"checkpoint {checkpoints[-1].name}" if checkpoints else "no checkpoint was due, so from step 0"
    again = shlex.quote(f"resume={paths.from_here(folder)}")
    return f"{said}; {last}." if is_trial else f"{said}; {last}; go on with: blurr run {again}"
