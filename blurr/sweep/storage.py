"""Copy a sweep's search into an Optuna storage, where Optuna's dashboard and other programs can read it.

What a storage says reaches neither a sampler nor a pruner: the sampler of CMA-ES unpickles attributes of stored trials,
so whoever can write to its storage could run code. This module loads Optuna; import it only for a search.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from blurr.errors import InputError, ResourceError, chain
from blurr.runs.secrets import mask_text
from blurr.sweep.ledger import Ledger, Trial

Axes = Mapping[str, BaseDistribution]
JOURNAL = "journal:///"  # Optuna's prefix for a storage in a file
LOST = (OSError, OperationalError, StorageInternalError)  # the storage does not answer, is locked or full
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Storage:
    """A stored study that follows a sweep; its trials have the ledger's numbers.

    Args:
        address: `journal:///<file>`, or a database URL of SQLAlchemy.
        name: the study's name.
        directions: `minimize` or `maximize` for each objective.
        axes: what may vary.

    Raises:
        InputError: Optuna cannot use the address; for the methods, another program has changed the study.
        ResourceError: the storage does not answer; so for the methods.
    """

    def __init__(self, address: str, name: str, directions: Sequence[str], axes: Axes) -> None:
        self._address, self._name, self._axes = address, name, axes
        try:
            self._study = optuna.create_study(
                directions=[StudyDirection[direction.upper()] for direction in directions],
                sampler=RandomSampler(),  # it is told the results, too, and reads nothing
                storage=_backend(address),
                study_name=name,
                load_if_exists=True,
            )
            # read once: the number of each stored trial, and which are finished
            stored = self._study.get_trials(deepcopy=False)
        except LOST as error:
            raise ResourceError(f"{self._lost(error)} Or leave sweep.storage out.") from error
        except (ValueError, ImportError, RuntimeError, SQLAlchemyError, OptunaError) as error:
            said = f"sweep.storage={mask_text(address)}: Optuna cannot use this: {mask_text(str(error))}"
            raise InputError(said) from error
        self._ids = {trial.number: trial._trial_id for trial in stored}
        self._finished = {trial.number for trial in stored if trial.state.is_finished()}

    def follow(self, ledger: Ledger, *, with_reports: bool) -> None:
        """Bring the study up to date with the ledger.

        Args:
            ledger: the sweep's.
            with_reports: add the values of single evaluations, too.

        Raises:
            InputError: the study has trials that the ledger does not know.
        """
        if len(self._ids) > len(ledger.trials) + 1:  # earlier versions stored a trial before the ledger had it
            raise InputError(
                f"The study '{self._name}' in sweep.storage has {len(self._ids)} trials, and the ledger in "
                f"{ledger.folder} {len(ledger.trials)}. Give the sweep another sweep.name."
            )
        for _, trial in sorted(ledger.trials.items()):
            self.add(trial)
            for step, value in trial.reports.items() if with_reports else ():
                self.report(trial.number, step, value)
            if trial.is_done:
                self.tell(trial)

    def add(self, trial: Trial) -> None:
        """Add a trial that is about to run."""
        if trial.number in self._ids:
            return
        with self._storing():
            self._study.add_trial(running(trial, self._axes))
            storage, study = self._study._storage, self._study._study_id
            self._ids[trial.number] = storage.get_trial_id_from_study_id_trial_number(study, trial.number)

    def report(self, number: int, step: int, value: float) -> None:
        """Add the objective of one evaluation."""
        if number not in self._finished:  # it may have failed before the sweep was resumed
            with self._storing():
                self._study._storage.set_trial_intermediate_value(self._ids[number], step, value)

    def tell(self, trial: Trial) -> None:
        """Add a trial's result; of a trial that was tried again after it failed, the first result stays."""
        if trial.number not in self._finished:
            state, values = result(trial)
            with self._storing():
                self._study.tell(trial.number, values, state=state)
            self._finished.add(trial.number)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Raise a ResourceError if the storage fails in the `with` block, an InputError if somebody else writes it."""
        try:
            yield
        except LOST as error:
            raise ResourceError(self._lost(error)) from error
        except (ValueError, LookupError, OptunaError) as error:
            raise InputError(
                f"Another program has changed the study '{self._name}' in sweep.storage={mask_text(self._address)}: "
                f"{error} Give the sweep another sweep.name."
            ) from error

    def _lost(self, error: Exception) -> str:
        first = list(chain(error))[-1]  # Optuna wraps the database's error in one that says less
        said = str(first).strip().partition("\n")[0].rstrip(".")
        return (
            f"sweep.storage={mask_text(self._address)} cannot be used: {mask_text(said)}. What has finished is "
            f"kept: go on with sweep.resume={self._name} once it can."
        )


def running(trial: Trial, axes: Axes) -> FrozenTrial:
    """Return a trial as Optuna has one that runs."""
    params = {key: _value(axes[key], text) for key, text in trial.point.items()}
    return create_trial(state=TrialState.RUNNING, params=params, distributions=dict(axes))


def result(trial: Trial) -> tuple[TrialState, list[float] | None]:
    """Return the state that Optuna gives a trial that has ended, and its values if it is complete."""
    state = STATES[trial.state]
    if state == TrialState.COMPLETE and any(map(math.isnan, trial.values)):
        state = TrialState.FAIL  # Optuna does not accept NaN
    return state, trial.values if state == TrialState.COMPLETE else None


def _backend(address: str) -> BaseStorage | str:
    if address.startswith(JOURNAL):
        return JournalStorage(JournalFileBackend(address.removeprefix(JOURNAL)))
    return address


def _value(kind: BaseDistribution, text: str) -> str | float:
    if isinstance(kind, CategoricalDistribution):
        return text
    return int(text) if isinstance(kind, IntDistribution) else float(text)
