"""Let Optuna propose trials and decide which of them to prune.

This module loads Optuna, which comes with the extra `sweep`; import it only for a sampler, a pruner or plots.
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

JOURNAL = "journal:///"  # Optuna's prefix for a storage in a file
LOST = (OSError, OperationalError, StorageInternalError)  # the storage does not answer, is locked or full
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Search:
    """An Optuna study that follows a sweep's ledger; its trials have the ledger's numbers.

    The ledger is authoritative: a study in memory is rebuilt from it, and a stored study is brought up to date.

    Args:
        space: what may vary.
        directions: `minimize` or `maximize` for each objective.
        sampler: makes a new sampler for each trial, given the trial's number. So a proposal depends only on the trials
            before it, and not on whether the sweep was stopped meanwhile.
        pruner: judges the reports; None prunes nothing.
        storage: address of an Optuna storage: `journal:///<file>`, or a database URL of SQLAlchemy; None keeps the
            study in memory.
        name: the study's name in the storage.

    Attributes:
        study: Optuna's study.

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
    ) -> None:
        if pruner and len(directions) > 1:
            raise InputError("A pruner judges one objective, and there are several. Set sweep.pruner=null, or one.")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage, self._name = storage, name
        self._axes = {axis.key: distribution(axis) for axis in space.axes}
        self._sampler = sampler
        self._is_pruning = pruner is not None
        try:
            self.study = optuna.create_study(
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

    def _lost(self, error: Exception) -> str:
        first = list(chain(error))[-1]  # Optuna wraps the database's error in one that says less
        said = str(first).strip().partition("\n")[0].rstrip(".")
        return (
            f"sweep.storage={mask_text(str(self._storage))} cannot be used: {mask_text(said)}. What has finished is "
            f"kept: go on with sweep.resume={self._name} once it can."
        )

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Raise a ResourceError if the storage fails in the `with` block."""
        try:
            yield
        except LOST as error:
            raise ResourceError(self._lost(error)) from error

    def follow(self, ledger: Ledger) -> None:
        """Add the ledger's trials to the study.

        Raises:
            InputError: the stored study has trials that the ledger does not know.
        """
        with self._storing():
            known = self.study.get_trials(deepcopy=False)
            if len(known) > len(ledger.trials) + 1:  # the last proposal may not be in the ledger: `ask` takes it up
                raise InputError(
                    f"The study '{self.study.study_name}' in sweep.storage has {len(known)} trials, and the ledger in "
                    f"{ledger.folder} {len(ledger.trials)}. Give the sweep another sweep.name."
                )
            for number, trial in sorted(ledger.trials.items()):
                if number >= len(known):
                    self.add(trial)
                    for step, value in trial.reports.items() if self._is_pruning else ():
                        self.is_to_be_pruned(number, step, value)  # fills the rungs that later trials are compared with
                if trial.is_done:
                    self.tell(trial)

    def ask(self, number: int) -> Point:
        """Return the values that the sampler proposes for the trial with this number."""
        with self._storing():
            if self._sampler is not None:
                self.study.sampler = self._sampler(number)
            pending = self.study.get_trials(deepcopy=False)[number:]
            trial = self._trial(number) if pending else self.study.ask()
            # what suggest_float, suggest_int and suggest_categorical call
            values = {key: trial._suggest(key, kind) for key, kind in self._axes.items()}
        return {key: _text(self._axes[key], value) for key, value in values.items()}

    def add(self, trial: Trial) -> None:
        """Add a trial of the grid or of an earlier start of the sweep."""
        params = {key: _value(self._axes[key], text) for key, text in trial.point.items()}
        with self._storing():
            self.study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=self._axes))

    def is_to_be_pruned(self, number: int, step: int, value: float) -> bool:
        """Add a report, and return whether the pruner would stop the trial."""
        with self._storing():
            trial = self._trial(number)
            if step not in self.study.get_trials(deepcopy=False)[number].intermediate_values:
                trial.report(value, step)  # an attempt before this one may have reported the same evaluation
            return trial.should_prune()

    def tell(self, trial: Trial) -> None:
        """Add a trial's result."""
        state = STATES[trial.state]
        if state == TrialState.COMPLETE and any(map(math.isnan, trial.values)):
            state = TrialState.FAIL  # Optuna does not accept NaN
        with self._storing():
            if self.study.get_trials(deepcopy=False)[trial.number].state.is_finished():
                return  # it failed before the sweep was resumed, and was tried again: Optuna keeps the first result
            self.study.tell(trial.number, trial.values if state == TrialState.COMPLETE else None, state=state)

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)


def distribution(axis: Axis) -> BaseDistribution:
    """Return Optuna's distribution for a key: categories of text, integers or floats."""
    if axis.low is None or axis.high is None:
        return CategoricalDistribution(axis.choices)
    if isinstance(axis.low, int) and isinstance(axis.high, int) and isinstance(axis.step, int | None):
        return IntDistribution(axis.low, axis.high, log=axis.log, step=1 if axis.log else axis.step or 1)
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=None if axis.log else axis.step)


def _storage(address: str | None) -> BaseStorage | str | None:
    if address and address.startswith(JOURNAL):
        return JournalStorage(JournalFileBackend(address.removeprefix(JOURNAL)))
    return address


def _text(kind: BaseDistribution, value: Any) -> str:
    if isinstance(kind, CategoricalDistribution):
        return str(value)
    return repr(int(value) if isinstance(kind, IntDistribution) else float(value))


def _value(kind: BaseDistribution, text: str) -> Any:
    if isinstance(kind, CategoricalDistribution):
        return text
    return int(text) if isinstance(kind, IntDistribution) else float(text)
