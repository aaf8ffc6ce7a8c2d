"""One session of a run: open it, new or at its last checkpoint, and play its schedule from there."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from fastai.learner import Learner

from blurr.config import paths
from blurr.data.core import RawData
from blurr.errors import InputError, PeerLost
from blurr.process import signals
from blurr.process.terminal import note, rest
from blurr.runs.asides import scratch
from blurr.runs.checksums import file_checksum
from blurr.runs.folder import CHECKPOINTS, CONFIG, IDENTITY, METRICS, check_log, claimed
from blurr.runs.journal import writing
from blurr.runs.opening import line_of
from blurr.runs.resume import begins_anew, check_same, may_go_on
from blurr.runs.secrets import mask_text
from blurr.tracking.run import Run
from blurr.tracking.sink import PARENT, Sink
from blurr.tracking.trackers import Tracker, tracked_run
from blurr.training.checkpoints import Checkpoint, Checkpointing, Checkpoints, latest
from blurr.training.distributed import current, from_first
from blurr.training.guard import Rollback, check_weights, memory_watched
from blurr.training.last_words import naming_the_lost
from blurr.training.learner import Blearner
from blurr.training.learning_rate import LearningRate, as_numbers, found_rate, learning_rate
from blurr.training.loop import steps_per_epoch
from blurr.training.precision import seed_rank
from blurr.training.progress import TerminalProgress, unseen
from blurr.training.rehearsal import doubts_of_steps, rehearsed, steps_of
from blurr.training.stopping import Reached, how_far

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """What one process does of a run.

    Attributes:
        run: records what happens.
        resumed: the checkpoint to resume from; None if the training starts from the beginning.
        reached: how far the training is.
    """

    run: Run
    resumed: Checkpoint | None
    reached: Reached = field(default_factory=Reached)

    def train(
        self,
        learner: Blearner,
        raw: RawData,
        schedule: Callable[[Learner, LearningRate], object],
        *,
        lr: Any,
        default: LearningRate,
        checkpoints: Checkpoints,
        facts: Mapping[str, Any],
        at_start: bool,
    ) -> None:
        """Play the schedule, from its beginning or from the checkpoint on.

        Args:
            learner: to train.
            raw: the rows, which must be those of the checkpoint.
            schedule: calls the learner's `fit`, once or several times.
            lr: the learning rate as `optimizer.lr` has it; a checkpoint knows what it resolved to.
            default: the learning rate where `lr` is none.
            checkpoints: when to write them, and how many to keep.
            facts: what checkpoints hold besides the state of the training.
            at_start: write one before the first step.

        Raises:
            InputError: the checkpoint is of other rows.
        """
        if self.resumed and self.resumed.facts["data"] != raw.fingerprint:
            raise InputError(f"{self.resumed.folder} was trained on other rows than {raw}; begin anew without resume.")
        seed_rank(current())
        shown = TerminalProgress.shown if current().is_first else unseen
        with shown(learner), memory_watched(learner):
            if self.resumed:
                lr, learner.start = self.resumed.facts["lr"], self.resumed.place
            rate = learning_rate(lr, default=default, find=partial(found_rate, learner, self.run.folder))
            self.run.tag(lr=str(rate))
            learner.fits = 0  # the learning rate finder's does not count
            known = {IDENTITY: self.run.identity, "data": raw.fingerprint, "lr": as_numbers(rate), **facts}
            saving = Checkpointing(
                checkpoints,
                self.run.folder / CHECKPOINTS,
                lambda: {**known, **self.run.written()},
                self.resumed,
                at_start=at_start,
            )
            learner.add_cb(saving)
            self.reached.saving, self.reached.total = saving, _steps_in_all(schedule, learner, rate)
            if self.resumed:
                self.resumed.announce()
            play(lambda: schedule(learner, rate), learner, saving)
            check_weights(learner.model)
        self.reached.is_trained = True


def _steps_in_all(schedule: Callable[..., object], learner: Learner, lr: LearningRate) -> int | None:
    """Return the optimizer steps of a schedule, and warn where they are too few; None where they are not known."""
    rehearsal = rehearsed(schedule, learner, lr)
    if rehearsal is None or not isinstance(schedule, partial):
        return None
    per_epoch = steps_per_epoch(learner)
    for said, remedy in doubts_of_steps(rehearsal, per_epoch, schedule.keywords):
        log.info("Look at this: %s. A remedy: %s.", said, remedy)
    return steps_of([length for length, *_ in rehearsal.fits], per_epoch)


def play(schedule: Callable[[], object], learner: Blearner, saving: Checkpointing) -> None:
    """Play a schedule, and again from the last checkpoint each time the guard asks for a rollback."""
    while True:
        try:
            schedule()
        except Rollback:
            learner("after_fit")  # callbacks undo what they have changed
            saving.go_back()
        else:
            return


@contextmanager
def opened(tracker: Tracker, *, folder: Path, config: dict[str, Any], **given: Any) -> Iterator[Session]:
    """Hold a folder for one run, new or resumed, and open the run.

    Args:
        tracker: where the run is recorded besides its folder.
        folder: of the run.
        config: of the run, resolved; its `resume` and `overwrite` say what may happen to a run that is there.
        given: see `tracked_run`.

    Raises:
        InputError: the folder holds another run, or one that is alive or has another config.
    """
    reached, is_trial = Reached(), PARENT in given["tags"]
    try:
        taking_part = _opened if current().is_first else _beside
        with taking_part(tracker, folder=folder, config=config, reached=reached, **given) as session, naming_the_lost():
            yield session
    except (signals.Interrupted, PeerLost):
        rest()
        if current().is_first:
            log.warning("%s", how_far(reached, folder, is_trial=is_trial))
        raise


@contextmanager
def _opened(
    tracker: Tracker, *, folder: Path, config: dict[str, Any], reached: Reached, **given: Any
) -> Iterator[Session]:
    goes_on = config["resume"] is not None and may_go_on(folder, config, config["resume"])
    with ExitStack() as held:
        held.enter_context(signals.handled())
        held.enter_context(scratch())
        with writing(folder):
            claim = held.enter_context(claimed(folder, goes_on=goes_on, overwrite=config["overwrite"]))
        note(mask_text(line_of(given["overrides"], folder=paths.from_here(folder))))
        kept, checkpoint = resume_point(folder, config, claim.identity) if claim.goes_on else (None, None)
        if config["resume"] is not None and not claim.goes_on:
            log.info("%s", begins_anew(folder))
        with tracked_run(tracker, folder=folder, config=config, kept=kept, identity=claim.identity, **given) as run:
            yield Session(run, from_first(lambda: checkpoint), reached)


@contextmanager
def _beside(tracker: Tracker, *, folder: Path, reached: Reached, **given: Any) -> Iterator[Session]:
    """Take part in a run that the first of several processes records; what is written here is deleted in the end."""
    with signals.handled(), scratch(), Run(Path(mkdtemp()), Sink()) as run:
        yield Session(run, from_first(lambda: None), reached)


def resume_point(folder: Path, config: dict[str, Any], identity: str) -> tuple[int, Checkpoint | None]:
    """Return what a resumed run keeps: bytes of metrics.jsonl, and the last checkpoint.

    Raises:
        InputError: it has another config, or something in the folder is broken or of another run.
    """
    if (folder / CONFIG).exists():  # else it was killed before it wrote that
        check_same(folder, config)
    check_log(folder, identity)
    checkpoint = latest(folder / CHECKPOINTS, identity=identity)
    if checkpoint is None:
        log.info("%s has no checkpoint: the run is trained again from its beginning, to the same end.", folder)
        return 0, None
    kept, written, file = checkpoint.facts["bytes"], checkpoint.facts.get("checksum"), folder / METRICS
    if written is not None and file.is_file() and file_checksum(file, kept) != written:
        raise InputError(
            f"{file} is not as it was when {checkpoint.folder} was written. Put back a copy of the file, or move it "
            "away; what this run logged before this checkpoint is lost then."
        )
    return kept, checkpoint
