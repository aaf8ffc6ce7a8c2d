"""Write the whole state of a training to disk, so that a run which dies goes on as if nothing had happened."""

import json
import logging
import os
import random
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.learner import Learner
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from blurr.config.annotations import Count, Positive
from blurr.errors import InputError, ResourceError, resource_error
from blurr.process import signals as interruption
from blurr.runs.checksums import flush, is_sealed, seal, verify, verify_if_sealed
from blurr.runs.folder import CHECKPOINT, CHECKPOINT_ASIDE, IDENTITY
from blurr.training.guard import are_finite
from blurr.training.loop import Place

log = logging.getLogger(__name__)

WEIGHTS, STATE, PLACE = "model.safetensors", "state.pt", "place.json"
State = dict[str, Any]


@runtime_checkable
class Resumable(Protocol):
    """A callback that has a state of its own: plain values and tensors, no objects."""

    def state(self) -> State:
        """Give what `restore` needs."""
        ...

    def restore(self, state: State) -> None:
        """Take up a state; called right before the first batch of a resumed training."""
        ...


@dataclass(frozen=True)
class Checkpoints:
    """When a training is written to disk, besides when it is told to end.

    Args:
        every_steps: after so many optimizer steps.
        every_minutes: after so many minutes.
        every_epochs: after so many epochs, before their validation.
        keep: how many of the last ones stay.
    """

    every_steps: Count | None = None
    every_minutes: Positive | None = 15.0
    every_epochs: Count | None = None
    keep: Count = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Args:
        folder: where it is.
        place: in the schedule.
        facts: what the run knew besides, such as the MLflow run's id and the learning rate.
    """

    folder: Path
    place: Place
    facts: dict[str, Any]


def latest(folder: Path, *, identity: str | None = None) -> Checkpoint | None:
    """Find the last checkpoint in a run's folder of checkpoints; `None` where there is none.

    Args:
        folder: of the checkpoints.
        identity: of the run that it must be of; None takes that of any run.

    Raises:
        InputError: its position is not as it was written, or it is of another run.
    """
    found = _all(folder)
    if not found:
        return None
    try:
        if is_sealed(found[-1]):
            verify(found[-1], PLACE)
        facts = json.loads((found[-1] / PLACE).read_text(encoding="utf-8"))
        checkpoint = Checkpoint(found[-1], Place(**facts.pop("place")), facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refusal(found[-1], error) from error
    written_by = facts.get(IDENTITY)
    if identity is not None and written_by not in (identity, None):
        raise InputError(
            f"{checkpoint.folder} is a checkpoint of the run {written_by}, and {folder.parent} holds the run "
            f"{identity}. Move the checkpoints of the other run away."
        )
    return checkpoint


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob(CHECKPOINT), key=lambda path: int(path.name.partition("-")[2]))


def _refusal(checkpoint: Path, error: Exception) -> InputError:
    before = [path for path in _all(checkpoint.parent) if path < checkpoint]
    remedy = f"to go on from the one before, {before[-1]}" if before else "to begin anew, for there is none before it"
    keep = "" if before else " (checkpoint.keep=2 keeps one more)"
    return InputError(f"The checkpoint {checkpoint} does not fit: {str(error).rstrip('.')}. Delete it {remedy}{keep}.")


@dataclass
class Now:
    """Where a training is; apart because fastai makes setting a callback's own attributes slow.

    Args:
        steps: that the optimizer has taken, over all fits.
        is_between_steps: the last batch has ended with a step, so that no gradients wait for one.
    """

    steps: int = 0
    is_between_steps: bool = True


class Checkpointing(Callback):  # type: ignore[misc]  # fastai is not typed
    """Write checkpoints, and take up the one that a run goes on from.

    A checkpoint holds the weights (safetensors), the states of the optimizer, of the random generators, of the Recorder
    and of every callback that is `Resumable` (`torch.load(weights_only=True)` reads them), and the place in the
    schedule (JSON), with checksums. It is written aside, flushed to the disk and renamed: what has its name is whole.

    Args:
        settings: when, and how many.
        folder: of the checkpoints.
        facts: gives what the run wants to know when it is resumed.
        resumed: what to go on from.
        at_start: write one before the first batch, too, to go back to.
    """

    order = 1000  # after all that do something with a batch, and before whatever the next event brings

    def __init__(
        self,
        settings: Checkpoints,
        folder: Path,
        facts: Callable[[], dict[str, Any]],
        resumed: Checkpoint | None = None,
        *,
        at_start: bool = False,
    ) -> None:
        self.at_start = at_start and resumed is None
        self.settings, self.folder, self.facts, self.resumed = settings, folder, facts, resumed
        self.saved_at, self.now = time.monotonic(), Now()
        self.epochs = 0

    def before_fit(self) -> None:
        self.run = not (hasattr(self.learn, "lr_finder") or hasattr(self.learn, "gather_preds"))

    def before_train(self) -> None:
        if self.resumed is not None:
            self.restore_from(self.resumed)
            self.resumed = None
        elif self.at_start:
            self.save(Place(self.learn.fits - 1, self.epoch))
        self.at_start = False

    def before_batch(self) -> None:
        if self.learn.training:
            interruption.wait()  # a signal that comes within a step is answered after it
            self.now.is_between_steps = False

    def after_step(self) -> None:
        self.now.steps += 1
        self.now.is_between_steps = True

    def after_batch(self) -> None:
        if not self.learn.training or not self.now.is_between_steps:
            return
        every, minutes = self.settings.every_steps, self.settings.every_minutes
        is_due = every is not None and self.now.steps % every == 0
        is_late = minutes is not None and time.monotonic() - self.saved_at > minutes * 60
        if is_due or is_late or interruption.is_pending():
            self.save(Place(self.learn.fits - 1, self.epoch, self.iter + 1))
        interruption.answer()

    def after_train(self) -> None:
        self.epochs += 1
        every = self.settings.every_epochs
        if every is not None and self.epochs % every == 0:
            self.save(Place(self.learn.fits - 1, self.epoch, self.n_iter))

    def after_fit(self) -> None:
        interruption.answer()

    # -- to disk and back

    def go_back(self) -> None:
        """Let the next fits begin where the last checkpoint of this run is.

        Raises:
            Interrupted: a signal has come meanwhile.
            InputError: there is none, or it is of another run.
        """
        interruption.answer()
        self.resumed = latest(self.folder, identity=self.facts().get(IDENTITY))
        if self.resumed is None:
            raise InputError(
                f"on_nan=rollback finds no checkpoint in {self.folder} to go back to: the weights were not finite "
                "before the first step, or the checkpoints are gone. Begin anew, with other weights or a lower "
                "optimizer.lr."
            )
        self.learn.fits, self.learn.start = 0, self.resumed.place

    def save(self, place: Place) -> None:
        """Write a checkpoint, and delete the oldest; weights that are no numbers are not worth one.

        Raises:
            ResourceError: the disk is full or cannot be written; the checkpoints that are there stay as they are.
        """
        if not are_finite(self.model):
            log.warning("No checkpoint is written at step %d: the weights are not finite.", self.now.steps)
            return
        target = self.folder / f"step-{self.now.steps:08d}"
        aside = self.folder / f".{uuid.uuid4().hex}"
        try:
            aside.mkdir(parents=True)
            save_model(self.model, str(aside / WEIGHTS))
            torch.save(state_of(self.learn, self.now.steps, self.epochs), aside / STATE)
            (aside / PLACE).write_text(json.dumps({"place": asdict(place), **self.facts()}))
            seal(aside)
            shutil.rmtree(target, ignore_errors=True)  # of a run that was resumed from before
            os.replace(aside, target)
            flush(self.folder)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
            shutil.rmtree(aside, ignore_errors=True)
            raise ResourceError(
                f"The checkpoint {target} could not be written: {error}. Make room or give another output_dir, and go "
                f"on with resume={self.folder.parent}."
            ) from error
        self._delete_old()
        self.saved_at = time.monotonic()

    def _delete_old(self) -> None:
        for old in _all(self.folder)[: -self.settings.keep]:
            shutil.rmtree(old)
        for left in self.folder.glob(CHECKPOINT_ASIDE):  # of a process that was killed
            shutil.rmtree(left)

    def restore_from(self, checkpoint: Checkpoint) -> None:
        """Take up a checkpoint.

        Raises:
            InputError: it is broken, or of another model.
        """
        try:
            verify_if_sealed(checkpoint.folder)
            state = torch.load(checkpoint.folder / STATE, map_location="cpu", weights_only=True)
            load_model(self.model, str(checkpoint.folder / WEIGHTS), device=str(next(self.model.parameters()).device))
            self.now.steps, self.epochs = state["steps"], state["epochs"]
            dl = self.dls.train
            dl.epoch, dl.first = state["loader_epoch"], checkpoint.place.batch
            restore(self.learn, state)
        except (OSError, RuntimeError, ValueError, KeyError, SafetensorError, UnpicklingError) as error:
            raise (resource_error(error) or _refusal(checkpoint.folder, error)) from error
        log.info("Going on at step %d, from %s.", self.now.steps, checkpoint.folder)


def state_of(learner: Learner, steps: int, epochs: int) -> State:
    """Gather the state of a training, but for the weights."""
    recorder = learner.recorder
    return {
        "steps": steps,
        "epochs": epochs,
        "loader_epoch": learner.dls.train.epoch,
        "progress": [learner.train_iter, learner.pct_train],
        "optimizer": learner.opt.state_dict(),
        "recorder": {
            "smooth": [recorder.smooth_loss.count, _plain(recorder.smooth_loss.val)],
            "losses": [_plain(loss) for loss in recorder.losses],
            "lists": [list(recorder.lrs), list(recorder.iters), [list(values) for values in recorder.values]],
        },
        "callbacks": {type(cb).__name__: cb.state() for cb in _with_state(learner)},
        "scaler": [cb.learn.scaler.state_dict() for cb in learner._grab_cbs(MixedPrecision)],
        "random": random_state(),
    }


def restore(learner: Learner, state: State) -> None:
    """Put a training into a state that `state_of` gave."""
    learner.train_iter, learner.pct_train = state["progress"]
    learner.opt.load_state_dict(state["optimizer"])
    recorder, kept = learner.recorder, state["recorder"]
    recorder.smooth_loss.count, recorder.smooth_loss.val = kept["smooth"]
    recorder.losses = kept["losses"]
    recorder.lrs, recorder.iters, recorder.values = kept["lists"]
    for callback in _with_state(learner):
        callback.restore(state["callbacks"][type(callback).__name__])
    for callback, scaler in zip(learner._grab_cbs(MixedPrecision), state["scaler"], strict=True):
        callback.learn.scaler.load_state_dict(scaler)
    set_random_state(state["random"])


def _plain(value: Any) -> torch.Tensor:
    """Give a tensor without fastai's class, which `torch.load(weights_only=True)` would refuse."""
    return torch.as_tensor(value).detach().as_subclass(torch.Tensor)


def _with_state(learner: Learner) -> list[Any]:
    # of the class, not of the object: fastai's callbacks pretend to have all that their learner has
    return [cb for cb in learner.cbs if issubclass(type(cb), Resumable)]


def random_state() -> State:
    """Give the states of the generators of Python, NumPy and torch, on every device."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: State) -> None:
    """Put the generators into states that `random_state` gave."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
