"""Write the whole state of a training to disk, so that a killed run resumes exactly where it was."""

import json
import logging
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from blurr.config.annotations import BatchRows, Count, Positive
from blurr.errors import InputError, ResourceError, resource_error
from blurr.models.wrapper import BaseModelWrapper
from blurr.process import signals
from blurr.runs.checksums import is_sealed, replacing, seal, verify, verify_if_sealed
from blurr.runs.folder import CHECKPOINT, IDENTITY
from blurr.runs.parsing import Whole, check_type, parse_json, validated
from blurr.training.callbacks.base import ORDER, TrainingCallback
from blurr.training.distributed import at_first, current, from_first, largest, spread
from blurr.training.guard import are_finite
from blurr.training.loop import Place
from blurr.training.sharding import fill, is_sharded, whole
from blurr.training.state import State, TrainingState, random_state, random_state_for, restore, state_of

log = logging.getLogger(__name__)

WEIGHTS, STATE, PLACE = "model.safetensors", "state.pt", "place.json"
# What torch, safetensors, the optimizer, the generators and the callbacks raise for a state that is not theirs.
UNFIT = (
    *(OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError),
    *(SafetensorError, UnpicklingError),
)


@dataclass(frozen=True)
class Checkpoints:
    """When checkpoints are written, besides when a signal ends the training.

    Args:
        every_steps: number of optimizer steps between two checkpoints.
        every_minutes: number of minutes between two checkpoints.
        every_epochs: number of epochs between two checkpoints, which are written before the validation.
        keep: number of checkpoints to keep.
    """

    every_steps: Count | None = None
    every_minutes: Positive | None = 15.0
    every_epochs: Count | None = None
    keep: Count = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Args:
        folder: folder of its files.
        place: its position in the schedule.
        facts: further state of the run, such as its identity and the learning rate.
    """

    folder: Path
    place: Place
    facts: dict[str, Any]

    def announce(self) -> None:
        """Say that the training goes on from it; where a table of epochs begins, above its header."""
        log.info("Resuming at step %d, from %s.", int(self.folder.name.rpartition("-")[2]), self.folder)


@dataclass
class Known:
    """What place.json holds; besides the position, what `blurr.training.session` gives."""

    place: Place
    bytes: Whole
    data: str
    lr: list[Positive]
    batch_size: BatchRows
    identity: str | None = None
    base: str | None = None
    checksum: str | None = None


def latest(folder: Path, *, identity: str | None = None) -> Checkpoint | None:
    """Return the last checkpoint in a run's folder of checkpoints, `None` if there are none.

    Args:
        folder: the folder of checkpoints.
        identity: identity of the run that the checkpoint must belong to; None allows any run.

    Raises:
        InputError: the checkpoint is damaged, or belongs to another run.
    """
    found = saved(folder)
    if not found:
        return None
    try:
        if is_sealed(found[-1]):
            verify(found[-1], PLACE)
        facts = parse_json((found[-1] / PLACE).read_text(encoding="utf-8"))
        place = validated(Known, json.dumps(facts)).place
        checkpoint = Checkpoint(found[-1], place, {key: value for key, value in facts.items() if key != "place"})
    except (OSError, ValueError) as error:
        raise _refusal(found[-1], error) from error
    written_by = facts.get(IDENTITY)
    if identity is not None and written_by not in (identity, None):
        raise InputError(
            f"{checkpoint.folder} is a checkpoint of the run {written_by}, and {folder.parent} holds the run "
            f"{identity}. Move the checkpoints of the other run away."
        )
    return checkpoint


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step at which a checkpoint was written."""
    return int(checkpoint.name.partition("-")[2])


def saved(folder: Path) -> list[Path]:
    """Return the folders of the checkpoints in a run's folder of checkpoints, the first step first."""
    return sorted(folder.glob(CHECKPOINT), key=step_of)


def _refusal(checkpoint: Path, error: Exception) -> InputError:
    before = [path for path in saved(checkpoint.parent) if path < checkpoint]
    remedy = f"to resume from the one before, {before[-1]}" if before else "to start again, as it is the only one"
    keep = "" if before else " (checkpoint.keep=2 would keep another)"
    return InputError(f"The checkpoint {checkpoint} does not fit: {str(error).rstrip('.')}. Delete it {remedy}{keep}.")


class Checkpointing(TrainingCallback):
    """Write checkpoints, and restore the one that a run resumes from.

    A checkpoint holds the weights (safetensors; beside an adapter those that are trained, and the checksum of the base,
    where that can be loaded again), the states of the optimizer, the random generators, the Recorder and
    every `Resumable` callback (read by `torch.load(weights_only=True)`), and the position in the schedule (JSON), with
    checksums. It is written under another name, flushed to disk and renamed, so that it is always complete.

    Args:
        settings: when to write checkpoints, and how many to keep.
        folder: the folder of checkpoints.
        facts: returns further state of the run to store.
        resumed: the checkpoint to resume from.
        at_start: write a checkpoint before the first batch, too.
    """

    order = ORDER["Checkpointing"]

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
        self.saved_at, self.steps, self.epochs = time.monotonic(), 0, 0  # over all fits
        self.loader_epoch = 0  # of the pass at hand; after its last batch, the loader has the number of the next one
        self.is_between_steps = True

    def before_train(self) -> None:
        super().before_train()
        if self.resumed is not None:
            self.restore_from(self.resumed)
            self.resumed = None
        self.loader_epoch = self.dls.train.epoch
        if self.at_start:
            self.save(Place(self.learn.fits - 1, self.epoch))
        self.at_start = False

    def before_batch(self) -> None:
        if self.learn.training:
            signals.wait()  # a signal during a step is handled after it
            self.__dict__["is_between_steps"] = False  # past fastai's slow __setattr__, see TrainingCallback

    def after_step(self) -> None:
        self.__dict__.update(steps=self.steps + 1, is_between_steps=True)

    def after_batch(self) -> None:
        if not self.learn.training:
            self._end_together()
            return
        if not self.is_between_steps:
            return  # a checkpoint has no gradients, so accumulated ones would be lost
        every, minutes = self.settings.every_steps, self.settings.every_minutes
        is_due = every is not None and self.steps % every == 0
        is_late = minutes is not None and time.monotonic() - self.saved_at > minutes * 60
        if largest(int(is_late or signals.pending() > 0)) or is_due:
            self.save(Place(self.learn.fits - 1, self.epoch, self.iter + 1))
        if current().world == 1:
            signals.answer()
        else:
            self._end_together()

    def _end_together(self) -> None:
        """End the run in all of several processes if a signal has come to one; signals wait until the fit ends."""
        signum = largest(signals.pending()) if self.has_trained and current().world > 1 else 0
        if signum:
            signals.answer(signum)

    def after_train(self) -> None:
        self.epochs += 1
        every = self.settings.every_epochs
        if every is not None and self.epochs % every == 0:
            self.save(Place(self.learn.fits - 1, self.epoch, self.n_iter))

    def after_fit(self) -> None:
        signals.answer(largest(signals.pending()))

    def go_back(self) -> None:
        """Let the next fits start from the last checkpoint of this run.

        Raises:
            Interrupted: a signal has arrived in the meantime.
            InputError: there is no checkpoint, or it belongs to another run.
        """
        signals.answer(largest(signals.pending()))
        self.resumed = from_first(lambda: latest(self.folder, identity=self.facts().get(IDENTITY)))
        if self.resumed is None:
            raise InputError(
                f"on_nan=rollback finds no checkpoint in {self.folder} to go back to: the weights were not finite "
                "before the first step, or the checkpoints are gone. Start again, with other weights or a lower "
                "optimizer.lr."
            )
        self.resumed.announce()
        self.learn.fits, self.learn.start = 0, self.resumed.place  # the schedule is played again from its beginning

    def save(self, place: Place) -> None:
        """Write a checkpoint and delete the oldest; skipped if any weight is NaN or infinite.

        Raises:
            ResourceError: the disk is full or cannot be written; existing checkpoints are kept.
        """
        if not are_finite(self.model):
            log.warning("No checkpoint was written at step %d: the weights are not finite.", self.steps)
            return
        others = at_first(random_state())[1:]
        with whole(self.model):
            state = state_of(self.learn, self.steps, self.epochs)
            if current().is_first:
                state |= {"loader_epoch": self.loader_epoch, "others": others}
                self._write(self.folder / f"step-{self.steps:08d}", place, state)
                self._delete_old()  # only now, so that one checkpoint always exists
        self.saved_at = time.monotonic()

    def _write(self, target: Path, place: Place, state: State) -> None:
        """Write a checkpoint.

        Args:
            target: its folder.
            place: its position in the schedule.
            state: of the training, besides the weights.
        """
        try:
            with replacing(target) as made:
                self._save_weights(str(made / WEIGHTS))
                torch.save(state, made / STATE)
                (made / PLACE).write_text(
                    json.dumps({"place": asdict(place), "base": base_of(self.model), **self.facts()})
                )
                seal(made)
                shutil.rmtree(target, ignore_errors=True)  # left by a run that was resumed from an earlier step
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise their own
            raise ResourceError(
                f"The checkpoint {target} could not be written: {error}. Make room or choose another output_dir, then "
                f"go on with resume={shlex.quote(str(self.folder.parent))}."
            ) from error

    def _delete_old(self) -> None:
        for old in saved(self.folder)[: -self.settings.keep]:
            shutil.rmtree(old)

    def restore_from(self, checkpoint: Checkpoint) -> None:
        """Restore a checkpoint.

        Raises:
            InputError: it is damaged, or belongs to another model, or to an adapter beside another base.
        """
        state = from_first(lambda: self._read(checkpoint))
        if is_sharded(self.model):
            with _fitting(checkpoint.folder):
                fill(self.model, load_file(checkpoint.folder / WEIGHTS) if current().is_first else {})
        else:
            spread([*self.model.parameters(), *self.model.buffers()])
        with _fitting(checkpoint.folder):
            self.steps, self.epochs = state["steps"], state["epochs"]
            dl = self.dls.train
            dl.epoch, dl.first = state["loader_epoch"], checkpoint.place.batch  # the same order, without its start
            restore(self.learn, {**state, "random": random_state_for(current(), state)})

    def _read(self, checkpoint: Checkpoint) -> State:
        """Load the weights of a checkpoint, and return the rest of the state."""
        with _fitting(checkpoint.folder):
            verify_if_sealed(checkpoint.folder)
            state: State = torch.load(checkpoint.folder / STATE, map_location="cpu", weights_only=True)
            check_type(TrainingState, state)
        written, base = checkpoint.facts.get("base"), base_of(self.model)
        if written != base:
            raise InputError(
                f"{checkpoint.folder} holds what was trained beside a base whose weights had the checksum {written}, "
                f"and those of this model have {base}. Put back the weights that model.name meant then, or begin anew."
            )
        if not is_sharded(self.model):
            with _fitting(checkpoint.folder):
                self._load_weights(str(checkpoint.folder / WEIGHTS))
        return state

    def _save_weights(self, file: str) -> None:
        """Write all weights, or beside a base that can be loaded again only those that are trained."""
        if base_of(self.model) is None:
            save_model(self.model, file)
        else:
            save_file(self.model.trained_state(), file)

    def _load_weights(self, file: str) -> None:
        device = str(next(self.model.parameters()).device)
        if base_of(self.model) is None:
            load_model(self.model, file, device=device)
        else:
            self.model.load_trained(load_file(file, device=device))


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """Refuse a checkpoint that cannot be read."""
    try:
        yield
    except UNFIT as error:
        raise (resource_error(error) or _refusal(folder, error)) from error


def base_of(model: nn.Module) -> str | None:
    """Return the checksum of the weights below an adapter, if these can be loaded again."""
    return model.base if isinstance(model, BaseModelWrapper) else None
