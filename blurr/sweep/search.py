"""Let Optuna propose trials and decide which of them to prune.

This module loads Optuna, which comes with the extra `sweep`; import it only for a sampler, a pruner or plots.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from blurr.errors import InputError
from blurr.runs.naming import is_repeated
from blurr.sweep.configurations import Configuration
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.space import Axis, Point, Space
from blurr.sweep.storage import Storage, result, running


class Search:
    """An Optuna study in memory that follows a sweep's ledger; its trials have the ledger's numbers.

    Args:
        space: what may vary.
        directions: `minimize` or `maximize` for each objective.
        sampler: makes a new sampler for each trial, given the trial's number. So a proposal depends only on the trials
            before it, and not on whether the sweep was stopped meanwhile.
        pruner: judges the reports; None prunes nothing.
        storage: address of an Optuna storage that gets a copy of the study and is never read, see `Storage`.
        name: the study's name.
        repeats: the seeds and folds that each proposal is run with. With several of them, the sampler chooses the other
            keys only, in a study of its own, which gets the mean of the repetitions.

    Attributes:
        study: Optuna's study of the trials.

    Raises:
        InputError: the storage cannot be used, or a pruner is given for several objectives.
        ResourceError: the storage does not answer; so for the methods.
    """

    def __init__(
        self,
        space: Space,
        *,
        directions: Sequence[str],
        sampler: Callable[[int], BaseSampler] | None = None,
        pruner: BasePruner | None = None,
        storage: str | None = None,
        name: str = "sweep",
        repeats: Sequence[Point] = ({},),
    ) -> None:
        if pruner and len(directions) > 1:
            raise InputError("A pruner judges one objective, and there are several. Set sweep.pruner=null, or one.")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._axes = {axis.key: distribution(axis) for axis in space.axes}
        self._searched = {key: kind for key, kind in self._axes.items() if key not in repeats[0]}
        self._repeats = len(repeats)
        self._sampler = sampler
        self._is_pruning = pruner is not None
        self.study = optuna.create_study(
            directions=[StudyDirection[direction.upper()] for direction in directions],
            pruner=pruner or optuna.pruners.NopPruner(),
            study_name=name,
        )
        self._proposing = self.study if self._repeats == 1 else optuna.create_study(directions=self.study.directions)
        self._storage = Storage(storage, name, directions, self._axes) if storage else None

    def follow(self, ledger: Ledger) -> None:
        """Repeat what the ledger has, in the order in which it happened.

        A sampler may keep its state in attributes of the trials that it proposed, as that of CMA-ES does. So it is
        asked for each trial again; what the ledger has is what counts.

        Raises:
            InputError: the stored study has trials that the ledger does not know.
        """
        for kind, number, detail in ledger.history:
            trial = ledger.trials[number]
            if kind == "trial":
                self._take_up(trial)
            elif kind == "report" and self._is_pruning and detail in trial.reports:
                self._judge(number, detail, trial.reports[detail])
            elif kind == "ended" and trial.is_done and detail == trial.state:
                self._end(trial)
        if self._storage:
            self._storage.follow(ledger, with_reports=self._is_pruning)

    def ask(self, number: int) -> Point:
        """Return the values that the sampler proposes for the trial with this number, the first with its values."""
        trial = self._ask(number)
        return {key: _text(kind, trial.params[key]) for key, kind in self._searched.items()}

    def add(self, trial: Trial) -> None:
        """Add a trial once the ledger has it: one that `ask` proposed, or one of a grid."""
        if trial.number >= len(self.study.get_trials(deepcopy=False)):
            self.study.add_trial(running(trial, self._axes))
        if self._storage:
            self._storage.add(trial)

    def is_to_be_pruned(self, number: int, step: int, value: float) -> bool:
        """Add a report, and return whether the pruner would stop the trial."""
        if self._storage:
            self._storage.report(number, step, value)
        return self._judge(number, step, value)

    def tell(self, trial: Trial) -> None:
        """Add a trial's result."""
        self._end(trial)
        if self._storage:
            self._storage.tell(trial)

    def _take_up(self, trial: Trial) -> None:
        frozen = running(trial, self._axes)
        if self._sampler is None or self._repeats > 1:
            self.study.add_trial(frozen)
        if self._sampler is not None and trial.number % self._repeats == 0:
            self._proposing.enqueue_trial({key: frozen.params[key] for key in self._searched})
            # only now is the sampler asked: it need not be for these values
            _ = self._ask(trial.number).relative_params

    def _ask(self, number: int) -> optuna.Trial:
        if self._sampler is not None:
            self._proposing.sampler = self._sampler(number // self._repeats)
        return self._proposing.ask(self._searched)

    def _judge(self, number: int, step: int, value: float) -> bool:
        trial = self._trial(number)
        if step not in trial.intermediate_values:  # an attempt before this one may have reported the same evaluation
            self.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
        return self.study.pruner.prune(self.study, self._trial(number))

    def _end(self, trial: Trial) -> None:
        if not self._trial(trial.number).state.is_finished():
            state, values = result(trial)
            self.study.tell(trial.number, values, state=state)
            if self._repeats > 1:
                self._end_proposal(trial.number // self._repeats)

    def _end_proposal(self, proposal: int) -> None:
        """Tell the sampler the mean of a proposal's repetitions, once all of them have ended.

        One that was pruned counts against the proposal as a whole; those that failed do not count.
        """
        first = proposal * self._repeats
        trials = self.study.get_trials(deepcopy=False)[first : first + self._repeats]
        if len(trials) < self._repeats or not all(trial.state.is_finished() for trial in trials):
            return
        done = [trial.values for trial in trials if trial.state == TrialState.COMPLETE]
        if any(trial.state == TrialState.PRUNED for trial in trials):
            self._proposing.tell(proposal, state=TrialState.PRUNED)
        elif done:
            self._proposing.tell(proposal, [fmean(values) for values in zip(*done, strict=True)])
        else:
            self._proposing.tell(proposal, state=TrialState.FAIL)

    def _trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]


def study_of_means(space: Space, found: Sequence[Configuration], directions: Sequence[str]) -> optuna.Study:
    """Return a finished study for plots: a trial for each configuration, with its means."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axes = {axis.key: distribution(axis) for axis in space.axes if not is_repeated(axis.key)}
    study = optuna.create_study(directions=[StudyDirection[direction.upper()] for direction in directions])
    for number, each in enumerate(each for each in found if each.finished):
        study.add_trial(running(Trial(number, "", each.point), axes))
        study.tell(number, each.means)
    return study


def distribution(axis: Axis) -> BaseDistribution:
    """Return Optuna's distribution for a key: categories of text, integers or floats."""
    if axis.low is None or axis.high is None:
        return CategoricalDistribution(axis.choices)
    if isinstance(axis.low, int) and isinstance(axis.high, int) and isinstance(axis.step, int | None):
        return IntDistribution(axis.low, axis.high, log=axis.log, step=1 if axis.log else axis.step or 1)
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=None if axis.log else axis.step)


def _text(kind: BaseDistribution, value: Any) -> str:
    if isinstance(kind, CategoricalDistribution):
        return str(value)
    return repr(int(value) if isinstance(kind, IntDistribution) else float(value))
