"""Choose between fp32 and bf16 by the first steps of a training: `precision=auto`."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from fastai.callback.core import Callback, CancelFitException, CancelStepException
from fastai.learner import Learner
from filelock import FileLock

from blurr.errors import InputError
from blurr.models.devices import HOPELESS, bf16_speed
from blurr.runs.checksums import write_whole
from blurr.runs.folder import PRECISION
from blurr.runs.jsonlines import to_json
from blurr.runs.parsing import validated
from blurr.training.callbacks.base import ORDER
from blurr.training.state import random_state, set_random_state

BATCHES, ROUNDS = 3, 2  # each batch is timed in every round, and its shortest time counts
FASTER = 1.1  # times as fast as fp32 that bf16 has to be; what is below depends on the machine's other work
APART = 0.02  # relative difference of a loss at most; 1e-4 to 5e-3 is what the rounding of bf16 usually makes
Known = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Choice:
    """The precision that `auto` resolves to, and why."""

    precision: Known
    why: str

    def __str__(self) -> str:
        return f"{self.precision}: {self.why}"


class FirstBatches(Callback):  # type: ignore[misc]  # fastai is not typed
    """Time the forward and backward passes of the first batches, without dropout and without a step of the optimizer.

    Attributes:
        seconds: of this thread for each batch, the shortest of all rounds.
        losses: of each batch.
    """

    order = ORDER["FirstBatches"]

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        self.losses: dict[int, float] = {}

    def before_train(self) -> None:
        self.learn.model.eval()

    def before_batch(self) -> None:
        self.started = time.thread_time()

    def before_step(self) -> None:
        taken, number = time.thread_time() - self.started, self.learn.iter
        self.seconds[number] = min(taken, self.seconds.get(number, taken))
        self.losses[number] = float(self.learn.loss.detach())
        raise CancelStepException

    def after_batch(self) -> None:
        if self.learn.iter + 1 >= BATCHES:
            raise CancelFitException


def choose_precision(learner_of: Callable[[Known], Learner], device: torch.device) -> Choice:
    """Return bf16 if this machine computes it faster than fp32, and the losses of the first batches agree.

    A GPU that computes bf16 is not measured. Weights and random states are as before.

    Args:
        learner_of: returns a learner for a precision, whose training rows are always in the same order.
        device: of the training.
    """
    if device.type == "cpu":
        speed = bf16_speed()
        said = f"this CPU multiplies matrices {speed:.2g} times as fast in bf16 ({HOPELESS} at least are asked for)"
        return _measured(learner_of) if speed >= HOPELESS else Choice("fp32", said)
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Choice("bf16", "this GPU computes in it")
    return Choice("fp32", f"precision=auto takes bf16 on a CPU or a CUDA device that computes in it, not on {device}")


def same_for_all(folder: Path, choose: Callable[[], Choice]) -> Choice:
    """Return the choice of a sweep: its first trial chooses, and the others wait for it.

    Raises:
        InputError: what the sweep's folder says of it has been changed.
    """
    file = folder / PRECISION
    with FileLock(f"{file}.lock"):
        if not file.is_file():
            write_whole(file, to_json(asdict(choose())) + "\n")
        try:
            return validated(Choice, file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{file} is not as blurr wrote it: {error}. Delete it, to measure again.") from error


def _measured(learner_of: Callable[[Known], Learner]) -> Choice:
    random = random_state()
    one, other = FirstBatches(), FirstBatches()
    for _ in range(ROUNDS):
        _try(learner_of("fp32"), one)
        _try(learner_of("bf16"), other)
    set_random_state(random)
    times = sum(one.seconds.values()) / max(sum(other.seconds.values()), 1e-9)
    apart = max(_apart(loss, other.losses[number]) for number, loss in one.losses.items())
    why = (
        f"bf16 is {times:.2f} times as fast here ({FASTER} at least are asked for), and the losses of the first "
        f"{len(one.losses)} batches differ by {apart:.2%} ({APART:.0%} at most)"
    )
    return Choice("bf16" if times >= FASTER and apart <= APART else "fp32", why)


def _apart(one: float, other: float) -> float:
    """Return the relative difference of two losses; infinite if one of them is not finite."""
    difference = abs(one - other) / max(abs(one), 1e-9)
    return difference if difference < float("inf") else float("inf")


def _try(learner: Learner, first: FirstBatches) -> None:
    learner.unfreeze()
    with learner.no_bar(), learner.no_logging(), learner.added_cbs([first]):
        learner.fit(1)
    learner.model.zero_grad(set_to_none=True)
