"""Start a sweep's trials, take in what they report, write it to the ledger, and stop when all is done."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blurr.errors import InputError
from blurr.runs.folder import ERROR
from blurr.runs.naming import compact
from blurr.runs.record import Record
from blurr.sweep.board import Board
from blurr.sweep.configurations import best, configurations_of, without_repeated
from blurr.sweep.executors import Executor
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.messages import Ended, Job, Reported, Started
from blurr.sweep.objectives import Objective
from blurr.sweep.proposals import Proposals
from blurr.sweep.settings import Settings
from blurr.tracking.run import Run
from blurr.tracking.sink import CONFIGURATION, ERROR_TAG, PARENT, TRIAL

log = logging.getLogger(__name__)
TICK_SECONDS = 0.2
MOST_LOST = 4  # workers: a trial that brings down its worker on every attempt is given up
MOST_CHARACTERS = 250  # of a run's name, MLflow's limit


@dataclass
class Scheduler:
    """The parts of a sweep, and the loop that runs its trials.

    Attributes:
        ledger: what has happened so far. An event is written there before anything follows from it.
        settings: what the user asked for.
        proposals: the source of trials.
        objectives: what trials are compared by.
        executor: where trials run.
        run: the sweep's own MLflow run, the parent of the trials'.
        board: shows the progress.
        at_once: how many trials run at the same time.
        running: number of each running trial, with the `time.monotonic()` of its start; infinity until it has a
            process.
        again: trials to run again.
        mistakes: messages of the trials that failed on a mistake of the user's.
        is_stopping: no further trial is started.
    """

    ledger: Ledger
    settings: Settings
    proposals: Proposals
    objectives: Sequence[Objective]
    executor: Executor
    run: Run
    board: Board
    at_once: int
    running: dict[int, float] = field(default_factory=dict)
    again: list[Trial] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    is_stopping: bool = False

    def run_trials(self) -> None:
        """Run the remaining trials; if the user stops the sweep, wait until those running have closed their runs."""
        until = time.monotonic() + (self.settings.timeout or math.inf)
        for at, trials in self.ledger.ends():  # what MLflow has of it, it does not get again
            self._log_progress(trials, at=at)
        try:
            self._take_over()
            while self._start_trials() or self.running:
                self._take_events()
                self._stop_late_ones(until)
                self.board.show(self.ledger, self.running)
        except (KeyboardInterrupt, SystemExit):
            self._stop_all()
            while self.running:
                self._take_events()
            raise

    def _take_over(self) -> None:
        """Finish the trials that had written their scores when the sweep was killed; run the other open ones again."""
        for trial in self.ledger.trials.values():
            if trial.state == "running" and trial.attempts:
                values = self._values_in_folder(trial)
                if values:
                    self.ledger.end(trial.number, "finished", values=values)
                    self._log_progress(self.ledger.trials)
                self.run.amend(trial.number, status="FINISHED" if values else "KILLED")
        self.again = self.proposals.follow(self.ledger)

    def _start_trials(self) -> bool:
        """Start trials while workers are free; return whether any was started."""
        started = False
        while len(self.running) < self.at_once and not self.is_stopping:
            trial = self.again.pop(0) if self.again else self.proposals.next(self.ledger)
            if trial is None:
                break
            self._start(trial)
            started = True
        return started

    def _start(self, trial: Trial) -> None:
        name = f"{trial.number} {compact(trial.point)}"
        tags = {TRIAL: str(trial.number), "blurr.sweep": self.settings.name, "mlflow.runName": name[:MOST_CHARACTERS]}
        configuration = without_repeated(trial.point)
        if configuration != trial.point:  # MLflow's table groups by this tag, and shows the means
            tags[CONFIGURATION] = compact(configuration)
        if self.run.id:
            tags[PARENT] = self.run.id
        self.ledger.start(trial.number)
        self.running[trial.number] = math.inf
        job = Job(
            number=trial.number,
            overrides=tuple(self.proposals.space.overrides(trial.point)),
            folder=str(self._folder(trial)),
            tags=tags,
            weights=self.ledger.head["weights"],
            asks=self.settings.pruner is not None,
            memory=self.settings.memory,
        )
        self.executor.start(job)

    def _take_events(self) -> None:
        for event in self.executor.events(TICK_SECONDS):
            match event:
                case Started():
                    self.running[event.number] = time.monotonic()
                case Reported():
                    self.ledger.report(event.number, event.step, event.value)
                    if self.settings.pruner is not None:
                        self.executor.answer(event.number, self.proposals.is_to_be_pruned(event))
                case Ended():
                    self._end(event)

    def _end(self, event: Ended) -> None:
        started = self.running.pop(event.number)
        trial = self.ledger.trials[event.number]
        if event.state == "interrupted" and (self.is_stopping or trial.attempts < MOST_LOST):
            if not self.is_stopping:
                log.warning("trial %d lost its worker and is run again.", trial.number)
                self.again.append(trial)
            return
        took = {"cpu": round(event.cpu, 2), "seconds": round(max(0.0, time.monotonic() - started), 2)}
        values = list(event.values) or self._values_in_folder(trial)
        if event.state == "pruned":
            self.ledger.end(trial.number, "pruned", values=list(trial.reports.values())[-1:], **took)
        elif values and all(map(math.isfinite, values)):
            self.ledger.end(trial.number, "finished", values=values, **took)
            self.run.amend(trial.number, status="FINISHED")
        else:
            self._fail(trial, event, took)
        if trial.state != "running":
            self.proposals.tell(trial, self.ledger)
            self._log_progress(self.ledger.trials)
        self.board.say(trial)

    def _fail(self, trial: Trial, event: Ended, took: dict[str, float]) -> None:
        lost = f"its worker was lost {trial.attempts} times" if event.state == "interrupted" else ""
        reason = event.reason or lost or f"the objective is {', '.join(map(str, event.values))}"
        file = self._folder(trial) / ERROR
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{reason}\n\n{event.details}", encoding="utf-8")
        self.run.amend(trial.number, status="FAILED", tags={ERROR_TAG: reason}, artifact=file)
        if event.mistake:
            self.mistakes.append(reason)
        elif trial.attempts <= self.settings.retries:
            self.again.append(trial)
            log.warning("trial %d failed and is tried again: %s", trial.number, reason)
            return
        self.ledger.end(trial.number, "failed", reason=reason, details=event.details, **took)
        if self.settings.on_failure == "stop" and not self.is_stopping:
            self._stop_all()

    def _stop_all(self) -> None:
        """Interrupt the running trials, which count as not yet run, and start no others."""
        self.is_stopping = True
        for number in self.running:
            self.executor.stop(number, "")

    def _stop_late_ones(self, until: float) -> None:
        """Stop trials, or the whole sweep, when their time is over."""
        now, limit = time.monotonic(), self.settings.trial_timeout
        if now > until and not self.is_stopping:
            log.warning("sweep.timeout=%s is over: the running trials are stopped.", self.settings.timeout)
            self._stop_all()
        for number, started in self.running.items():
            if limit and now - started > limit:
                self.executor.stop(number, f"it took longer than sweep.trial_timeout={limit:g} seconds")

    def _folder(self, trial: Trial) -> Path:
        """Return a trial's folder, which is the same for every attempt, so that checkpoints are found there."""
        return (self.ledger.folder / str(trial.number)).absolute()

    def _values_in_folder(self, trial: Trial) -> list[float]:
        """Read the objectives of a trial that finished before its process died; [] if it did not finish."""
        folder = self._folder(trial)
        if (folder / ERROR).exists():
            return []
        with suppress(InputError, KeyError):
            scores = Record(folder).scores
            return [scores[objective.name] for objective in self.objectives]
        return []

    def _log_progress(self, known: Mapping[int, Trial], *, at: float | None = None) -> None:
        trials = known.values()
        states = [trial.state for trial in trials if trial.state != "running"]
        values: dict[str, float] = {f"sweep/{state}": states.count(state) for state in ("finished", "pruned", "failed")}
        winners = best(configurations_of(trials), self.objectives)
        if winners and len(self.objectives) == 1:
            values[f"sweep/best {self.objectives[0].name}"] = winners[0].means[0]
        self.run.log(values, step=len(states), at=at)
