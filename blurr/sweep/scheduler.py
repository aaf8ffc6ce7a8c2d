"""Conduct a sweep: start trials, take in what they say, write it down, and bring it to its end."""

import json
import logging
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blurr.runs.folder import ERROR, SCORES
from blurr.sweep.board import Board
from blurr.sweep.executors import Executor
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.messages import Ended, Event, Job, Reported, Started
from blurr.sweep.objectives import Goal, best
from blurr.sweep.proposals import Proposals
from blurr.sweep.settings import Settings
from blurr.tracking.run import Run
from blurr.tracking.sink import ERROR_TAG, PARENT, TRIAL

log = logging.getLogger(__name__)
TICK_SECONDS = 0.2
MOST_LOST = 4  # attempts: a trial that takes its worker with it each time is not to go on for ever


@dataclass
class Conductor:
    """Everything a sweep consists of, and the loop that keeps it going.

    Attributes:
        ledger: what has happened so far; nothing counts before it stands there.
        settings: what the user asked for.
        proposals: give the trials, in order.
        goals: what is compared.
        executor: runs the trials.
        run: the sweep's own MLflow run, parent of the trials'.
        board: shows how it goes.
        weights: what stands for `model.weights=auto`.
    """

    ledger: Ledger
    settings: Settings
    proposals: Proposals
    goals: Sequence[Goal]
    executor: Executor
    run: Run
    board: Board
    weights: str
    running: dict[int, float] = field(default_factory=dict)  # number to the moment it was started
    again: list[Trial] = field(default_factory=list)  # trials to be tried again
    mistakes: list[str] = field(default_factory=list)
    is_stopping: bool = False

    def conduct(self) -> None:
        """Run what is left of the sweep."""
        self._take_over()
        until = time.monotonic() + (self.settings.timeout or math.inf)
        while self._start_trials() or self.running:
            for event in self.executor.events(TICK_SECONDS):
                self._take(event)
            self._watch(until)
            self.board.show(self.ledger, self.running)

    def interrupt(self) -> None:
        """Stop what runs, and wait until it has closed its MLflow runs; it counts as not yet run."""
        self.is_stopping = True
        for number in self.running:
            self.executor.stop(number, "")
        while self.running:
            for event in self.executor.events(TICK_SECONDS):
                self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Started():
                self.running[event.number] = time.monotonic()
            case Reported():
                self._report(event)
            case Ended():
                self._end(event)

    def _take_over(self) -> None:
        """Count as finished what had finished when the sweep was killed; run again what had not, and what failed."""
        for trial in self.ledger.trials.values():
            if trial.state == "running" and trial.attempts:
                values = self._left_behind(trial)
                if values:
                    self.ledger.end(trial.number, "finished", values=values)
                self.run.amend(trial.number, status="FINISHED" if values else "KILLED")
        self.again = self.proposals.follow(self.ledger)

    def _start_trials(self) -> bool:
        """Start trials while workers are free; say whether any was."""
        started = False
        while len(self.running) < self.settings.workers and not self.is_stopping:
            trial = self.again.pop(0) if self.again else self.proposals.next(self.ledger)
            if trial is None:
                break
            self._start(trial)
            started = True
        return started

    def _start(self, trial: Trial) -> None:
        folder = self.folder(trial)
        tags = {TRIAL: str(trial.number), "blurr.sweep": self.settings.name, "mlflow.runName": _name(trial)}
        if self.run.id:
            tags[PARENT] = self.run.id
        self.ledger.start(trial.number)
        self.running[trial.number] = math.inf  # until it has a process
        job = Job(
            number=trial.number,
            words=tuple(self.proposals.space.words(trial.point)),
            folder=str(folder),
            tags=tags,
            weights=self.weights,
            asks=self.settings.pruner is not None,
            memory=self.settings.memory,
        )
        self.executor.start(job)

    def folder(self, trial: Trial) -> Path:
        """Give a trial's folder; one that is tried again keeps what it has there, checkpoints among it."""
        return (self.ledger.folder / str(trial.number)).absolute()

    def _report(self, event: Reported) -> None:
        self.ledger.report(event.number, event.step, event.value)
        if self.settings.pruner is not None:
            self.executor.answer(event.number, self.proposals.is_to_be_pruned(event))

    def _end(self, event: Ended) -> None:
        started = self.running.pop(event.number)
        trial = self.ledger.trials[event.number]
        if event.state == "interrupted" and (self.is_stopping or trial.attempts < MOST_LOST):
            if not self.is_stopping:
                log.warning("trial %d lost its worker and is run again.", trial.number)
                self.again.append(trial)
            return
        facts = {"cpu": round(event.cpu, 2), "seconds": round(max(0.0, time.monotonic() - started), 2)}
        values = list(event.values) or self._left_behind(trial)
        if event.state == "pruned":
            self.ledger.end(trial.number, "pruned", values=list(trial.reports.values())[-1:], **facts)
        elif values and all(map(math.isfinite, values)):
            self.ledger.end(trial.number, "finished", values=values, **facts)
            self.run.amend(trial.number, status="FINISHED")
        else:
            self._fail(trial, event, facts)
        if trial.state != "running":
            self.proposals.tell(trial, self.ledger)
            self._log_progress()
        self.board.say(trial)

    def _fail(self, trial: Trial, event: Ended, facts: dict[str, float]) -> None:
        lost = f"its worker was lost {trial.attempts} times" if event.state == "interrupted" else ""
        reason = event.reason or lost or f"the objective is {', '.join(map(str, event.values))}"
        file = self.folder(trial) / ERROR
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{reason}\n\n{event.details}", encoding="utf-8")
        self.run.amend(trial.number, status="FAILED", tags={ERROR_TAG: reason}, artifact=file)
        if event.mistake:
            self.mistakes.append(reason)
        if trial.attempts <= self.settings.retries and not event.mistake:
            self.again.append(trial)
            log.warning("trial %d failed and is tried again: %s", trial.number, reason)
            return
        self.ledger.end(trial.number, "failed", reason=reason, details=event.details, **facts)
        if self.settings.on_failure == "stop" and not self.is_stopping:
            self._stop_starting()

    def _stop_starting(self) -> None:
        self.is_stopping = True
        for number in self.running:
            self.executor.stop(number, "")

    def _watch(self, until: float) -> None:
        """Stop trials, or the whole sweep, when their time is over."""
        now = time.monotonic()
        if now > until and not self.is_stopping:
            log.warning("sweep.timeout=%s is over: what runs is stopped.", self.settings.timeout)
            self._stop_starting()
        limit = self.settings.trial_timeout
        for number, started in self.running.items():
            if limit and now - started > limit:
                self.executor.stop(number, f"it took longer than sweep.trial_timeout={limit:g} seconds")

    def _left_behind(self, trial: Trial) -> list[float]:
        """Read the objectives of a trial that had finished before its process died; [] where it had not."""
        folder = self.folder(trial)
        if (folder / ERROR).exists():
            return []
        with suppress(OSError, ValueError, KeyError):
            scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
            return [float(scores[goal.name]) for goal in self.goals]
        return []

    def _log_progress(self) -> None:
        trials = self.ledger.trials.values()
        done = [trial for trial in trials if trial.state != "running"]
        values: dict[str, float] = {}
        for state in ("finished", "pruned", "failed"):
            values[f"sweep/{state}"] = sum(trial.state == state for trial in done)
        winners = best(trials, self.goals)
        if winners and len(self.goals) == 1:
            values[f"sweep/best {self.goals[0].name}"] = winners[0].values[0]
        self.run.log(values, step=len(done))


def _name(trial: Trial) -> str:
    """Name a trial's MLflow run: its number, and its values without the groups of their keys."""
    values = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in trial.point.items())
    return f"{trial.number} {values}"[:250]
