"""Let Optuna propose the trials, and say which of them are not worth going on with.

This module loads Optuna, which comes with the extra `sweep`; it is imported only where a sampler or pruner is set.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from blurr.errors import InputError, ResourceError, chain
from blurr.runs.secrets import mask_text
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.space import Axis, Point, Space

JOURNAL = "journal:///"
LOST = (OSError, OperationalError, StorageInternalError)  # a storage that does not answer, is locked or full
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Search:
    """An Optuna study that follows a sweep's ledger; its trials have the ledger's numbers.

    The ledger is what counts: in memory the study is rebuilt from it, and one in a storage is brought up to it.

    Args:
        space: what may vary.
        directions: of the objectives.
        sampler: makes the sampler that proposes a trial, given the trial's number. One for each trial, so that what is
            proposed depends on the trials before it alone and not on whether the sweep was stopped meanwhile.
        pruner: judges the reports; None prunes nothing.
        storage: address of an Optuna storage, `journal:///<file>` or one that SQLAlchemy knows; None keeps the study
            in memory.
        name: of the study.
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
    ) -> None:
        if pruner and len(directions) > 1:
            raise InputError("A pruner judges one objective, and there are several. Set sweep.pruner=null, or one.")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage, self._name = storage, name
        self._axes = {axis.key: distribution(axis) for axis in space.axes}
        self._sampler = sampler
        self._is_pruning = pruner is not None
        try:
            self._study = optuna.create_study(
                directions=[StudyDirection[direction.upper()] for direction in directions],
                pruner=pruner or optuna.pruners.NopPruner(),
                storage=_storage(storage),
                study_name=name,
                load_if_exists=storage is not None,
            )
        except LOST as error:
            raise ResourceError(f"{self._lost(error)} Or leave sweep.storage out.") from error
        except (ValueError, ImportError, SQLAlchemyError, OptunaError) as error:
            raise InputError(f"sweep.storage={storage}: Optuna cannot use this: {error}") from error

    @property
    def study(self) -> optuna.Study:
        """The study, for plots."""
        return self._study

    def _lost(self, error: Exception) -> str:
        first = list(chain(error))[-1]  # what Optuna's own words hide
        said = str(first).strip().partition("\n")[0].rstrip(".")
        return (
            f"sweep.storage={mask_text(str(self._storage))} cannot be used: {mask_text(said)}. What has finished is "
            f"kept: go on with sweep.resume={self._name} once it can."
        )

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Say that the storage has failed while the sweep ran.

        Raises:
            ResourceError: it has.
        """
        try:
            yield
        except LOST as error:
            raise ResourceError(self._lost(error)) from error

    def follow(self, ledger: Ledger) -> None:
        """Bring the study up to the ledger.

        Raises:
            InputError: a study in a storage has trials that the ledger does not know.
            ResourceError: the storage fails, as for the methods below.
        """
        with self._storing():
            self._follow(ledger)

    def _follow(self, ledger: Ledger) -> None:
        known = self._study.get_trials(deepcopy=False)
        if len(known) > len(ledger.trials) + 1:  # one that was proposed and not yet written down is asked for again
            raise InputError(
                f"The study '{self._study.study_name}' in sweep.storage has {len(known)} trials, and the ledger in "
                f"{ledger.folder} {len(ledger.trials)}. Give the sweep another sweep.name."
            )
        for number, trial in sorted(ledger.trials.items()):
            if number >= len(known):
                self.add(trial)
                for step, value in trial.reports.items() if self._is_pruning else ():
                    self.is_to_be_pruned(number, step, value)  # fills the rungs that later trials are measured by
            if trial.is_done:
                self.tell(trial)

    def ask(self, number: int) -> Point:
        """Let the sampler propose the trial of this number."""
        if self._sampler is None:
            raise InputError("A study without a sampler follows a grid and proposes nothing. Set sweep.sampler.")
        with self._storing():
            self._study.sampler = self._sampler(number)
            pending = self._study.get_trials(deepcopy=False)[number:]
            trial = self._trial(number) if pending else self._study.ask()
            return {key: _text(_suggest(trial, key, kind)) for key, kind in self._axes.items()}

    def add(self, trial: Trial) -> None:
        """Take up a trial that the grid proposed, or that an earlier start of the sweep has left."""
        params = {key: _value(self._axes[key], text) for key, text in trial.point.items()}
        with self._storing():
            self._study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=self._axes))

    def is_to_be_pruned(self, number: int, step: int, value: float) -> bool:
        """Take a report, and judge the trial by it."""
        with self._storing():
            trial = self._trial(number)
            if step not in self._study.get_trials(deepcopy=False)[number].intermediate_values:
                trial.report(value, step)  # an attempt before this one may have reported the same evaluation
            return trial.should_prune()

    def tell(self, trial: Trial) -> None:
        """Take a trial's end."""
        state = STATES[trial.state]
        if state == TrialState.COMPLETE and any(map(math.isnan, trial.values)):
            state = TrialState.FAIL  # Optuna takes no value that is not a number
        with self._storing():
            if self._study.get_trials(deepcopy=False)[trial.number].state.is_finished():
                return  # it had failed, and was tried again after the sweep was resumed
            self._study.tell(trial.number, trial.values if state == TrialState.COMPLETE else None, state=state)

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)


def distribution(axis: Axis) -> BaseDistribution:
    """Say in Optuna's words what a key may be: text choices, or whole or other numbers from low to high."""
    if axis.low is None or axis.high is None:
        return CategoricalDistribution(axis.choices)
    if isinstance(axis.low, int) and isinstance(axis.high, int) and isinstance(axis.step, int | None):
        return IntDistribution(axis.low, axis.high, log=axis.log, step=1 if axis.log else axis.step or 1)
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=None if axis.log else axis.step)


def _storage(address: str | None) -> BaseStorage | str | None:
    if address and address.startswith(JOURNAL):
        return JournalStorage(JournalFileBackend(address.removeprefix(JOURNAL)))
    return address


def _suggest(trial: optuna.Trial, key: str, kind: BaseDistribution) -> Any:
    match kind:
        case IntDistribution():
            return trial.suggest_int(key, kind.low, kind.high, step=kind.step, log=kind.log)
        case FloatDistribution():
            return trial.suggest_float(key, kind.low, kind.high, step=kind.step, log=kind.log)
        case CategoricalDistribution():
            return trial.suggest_categorical(key, kind.choices)
    raise TypeError(f"{kind} is no distribution of this module.")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _value(kind: BaseDistribution, text: str) -> Any:
    if isinstance(kind, CategoricalDistribution):
        return text
    return int(text) if isinstance(kind, IntDistribution) else float(text)
