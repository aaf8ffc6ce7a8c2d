"""Record what a notebook trains as a run like any other: `with blurr.track("my run"): learn.fit_one_cycle(3)`."""

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fastai.learner import Learner

from blurr.errors import InputError
from blurr.notebook.page import Page
from blurr.process.setup import without_bars
from blurr.report.artifacts import describe_run
from blurr.report.facts import facts_of
from blurr.report.page import write_report
from blurr.runs.folder import REPORT, claimed
from blurr.runs.record import OUTPUTS, Record
from blurr.tasks.evaluating import described
from blurr.tasks.notebook import Origin
from blurr.tasks.results import evaluate_and_save
from blurr.tasks.saved import node_of
from blurr.tracking.run import Run
from blurr.tracking.summary import show_summary
from blurr.tracking.trackers import MLflowTracker, NoTracker, Tracker, recorded_run
from blurr.training.callbacks.base import TrainingCallback
from blurr.training.last_validation import LastValidation
from blurr.training.learner import Blearner
from blurr.training.recording import CURRENT
from blurr.training.tracking import TrackingCallback


def track(
    name: str = "notebook",
    *,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    report: bool = True,
    mlflow: bool = True,
    uri: str | None = None,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> "Tracked":
    """Record what a learner trains in a `with` block as a run: parameters, losses, model, predictions, report.

    The run begins with the first `fit` in the block. At the end of the block the learner is scored on its validation
    rows, and saved. What is left is a run like any other, for `blurr predict`, `serve`, `evaluate`, `compare`,
    `report` and `leaderboard`. Where training is spread over several cells: `run = blurr.track("my run").start()` in
    the first, `run.finish()` in the last.

    Args:
        name: of the run in MLflow, and of its folder.
        output_dir: its folder; None takes a new one in `outputs/`.
        overwrite: delete the run that `output_dir` holds first.
        report: write report.html and plots/ at the end; `learn.report()` writes them later, too.
        mlflow: record in MLflow, besides the folder.
        uri: address of the MLflow store; None takes MLFLOW_TRACKING_URI, or `mlflow.db` in this folder.
        experiment: name of the MLflow experiment; None takes MLFLOW_EXPERIMENT_NAME, or `blurr`.
        tags: of the run in MLflow, besides blurr's own.
    """
    place = Path(output_dir) if output_dir is not None else OUTPUTS / _as_folder(name) / f"{datetime.now():{STAMP}}"
    described = {str(key): str(value) for key, value in (tags or {}).items()}
    tracker: Tracker = NoTracker()
    if mlflow:
        tracker = MLflowTracker(uri=uri, experiment=experiment, run_name=name, tags=described)
    return Tracked(name, place.absolute(), tracker, overwrite=overwrite, with_report=report)


STAMP = "%Y-%m-%d_%H-%M-%S-%f"  # as conf/config.yaml names the folders of runs


def _as_folder(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "notebook"


class Tracked:
    """A run of a notebook, open or finished.

    Args:
        name: of the run.
        folder: of the run.
        tracker: where the run is recorded, besides its folder.
        overwrite: delete the run that is there first.
        with_report: write the report at the end.

    Attributes:
        run: the record; None before the first `fit`.
        scores: the final metrics; empty before the end.
    """

    def __init__(self, name: str, folder: Path, tracker: Tracker, *, overwrite: bool, with_report: bool) -> None:
        self.name, self.folder, self.tracker = name, folder, tracker
        self.overwrite, self.with_report = overwrite, with_report
        self.run: Run | None = None
        self.learner: Blearner | None = None
        self.scores: dict[str, float] = {}
        self._held = ExitStack()

    def __repr__(self) -> str:
        return f"<run {self.name!r} in {self.folder}>"

    def start(self) -> Self:
        """Record every `fit` from now on, until `finish`.

        Raises:
            InputError: another run is open.
        """
        if CURRENT.recording is not None:
            raise InputError(
                f"{CURRENT.recording!r} is still open, and a notebook has one run at a time. Leave its `with` block, "
                "or call its finish()."
            )
        CURRENT.recording = self
        return self

    __enter__ = start

    def finish(self) -> None:
        """Score the learner, save it, and close the run.

        Raises:
            InputError: nothing was trained.
        """
        self.__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        CURRENT.recording = None
        if error is not None:
            self._held.__exit__(kind, error, trace)
            return
        with self._held:
            self._conclude()

    def begin(self, learner: Learner) -> None:
        """Open the run with its first learner; see `Recording.begin`.

        Raises:
            InputError: it records another learner, or one that `from_data` did not make.
        """
        if learner is self.learner:
            return
        if self.learner is not None:
            raise InputError(
                f"{self!r} records another learner; one run is one learner. Open a run of its own for this one."
            )
        origin = learner.origin
        if origin is None:
            raise InputError(
                "blurr.track records learners that from_data made, which know their rows; this one was made of blocks. "
                "Make it by from_data, or train it outside of the run."
            )
        claim = self._held.enter_context(claimed(self.folder, overwrite=self.overwrite))
        given: dict[str, Any] = {
            "config": config_of(origin, learner, self.name),
            "overrides": [],
            "tags": dict(origin.choices),
        }
        opened = recorded_run(self.tracker, folder=self.folder, identity=claim.identity, **given)
        self.run = self._held.enter_context(opened)
        self.run.dataset(origin.raw)
        self.run.tag(weights=origin.hf.weights)
        kept = LastValidation(partial(described, origin.task.target))
        callbacks = [kept, TrackingCallback(self.run), FitParameters(self.run)]
        learner.add_cbs(callbacks)
        self._held.callback(learner.remove_cbs, callbacks)
        learner.recording = self
        self.learner = learner

    def report(self) -> Page:
        """Write the report of the run as far as it has come, and return it for the notebook to show.

        Raises:
            InputError: nothing was trained yet.
        """
        if self.run is None:
            raise InputError(f"{self!r} has recorded nothing yet: it begins with the first fit.")
        if not (self.scores and (self.folder / REPORT).is_file()):
            write_report(Record(self.folder))
        return Page(self.folder / REPORT)

    def _conclude(self) -> None:
        """Leave scores, predictions, model and report, as `blurr run` does."""
        if self.run is None or self.learner is None:
            raise InputError(
                f"Nothing was trained in {self!r}: call a fit of the learner between its beginning and its end."
            )
        origin: Origin = self.learner.origin
        saved = origin.saved(self.learner)
        with without_bars():
            outcome = evaluate_and_save(saved, self.learner, origin.raw, origin.hf, self.run)
        describe_run(self.run, facts_of(saved, origin.raw, origin.hf, self.learner, outcome), report=self.with_report)
        self.scores = outcome.scores
        facts = {**outcome.lines(), "weights": f"{origin.hf.weights} ({origin.checkpoint})"}
        show_summary(self.run, metrics=outcome.scores, notes=outcome.notes, facts=facts)


class FitParameters(TrainingCallback):
    """Record each fit of a notebook among the parameters of the run: `fit.1.epochs`, `fit.1.lr`.

    Args:
        tracked: the open run.
    """

    remove_on_fetch = True

    def __init__(self, tracked: Run) -> None:
        super().__init__()
        self.tracked, self.number = tracked, 0

    def after_fit(self) -> None:
        learn = self.learn
        if not self.has_trained:
            return
        self.number += 1
        trained = sum(p.numel() for p in learn.model.parameters() if p.requires_grad)
        length = {"epochs": learn.n_epoch} if learn.steps_of_fit is None else {"steps": learn.steps_of_fit}
        values = {**length, "lr": max(learn.recorder.lrs, default=0.0), "trained_parameters": trained}
        self.tracked.log_params({f"fit.{self.number}.{name}": value for name, value in values.items()})


def config_of(origin: Origin, learner: Blearner, name: str) -> dict[str, Any]:
    """Return what config.yaml says of a run of a notebook, under the keys that those of `blurr run` have."""
    train, valid = learner.dls.train, learner.dls.valid
    return {
        "notebook": name,
        "task": json.loads(json.dumps(node_of(origin.task), default=str)),
        "model": {"name": origin.checkpoint},
        "data": {"source": origin.raw.source, "columns": dict(origin.raw.columns)},
        "loader": {"batch_size": train.bs, "eval_batch_size": valid.bs, "seed": train.seed},
        "optimizer": {"wd": learner.wd, "moms": list(learner.moms), "max_grad_norm": learner.max_grad_norm},
        "metrics": dict(origin.metrics),
        "objective": origin.objective,
    }
