"""The contract of whatever keeps a run's records besides its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from blurr.runs.journal import Point
from blurr.runs.secrets import mask_config

if TYPE_CHECKING:
    from blurr.data.core import RawData


EMPTY: Mapping[str, str] = MappingProxyType({})
PARENT, TRIAL = "mlflow.parentRunId", "blurr.trial"  # the tags that link a trial's run to its sweep
CONFIGURATION = "blurr.configuration"  # what trials have in common that differ in a seed or fold alone
SUBJECT, DIFFERS = "blurr.name", "blurr.differs"  # what a run trains, and what its command line changed
ERROR_TAG = "blurr.error"  # says why a run failed
MOST_ROWS = 20_000  # of a table that are shown: the whole of it stands in the run's folder
IDENTITY_TAG = "blurr.identity"  # see `runs.folder`


def named_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Name blurr's tags: `weights` becomes `blurr.weights`; a name with a dot stays as it is."""
    return {key if "." in key else f"blurr.{key}": mask_config(str(value), key) for key, value in tags.items()}


@dataclass(frozen=True)
class ModelForm:
    """The inputs and options of a model's predictions, from which its signature is made.

    Attributes:
        example: a sample input: a text, a list of words, or the bytes of a file, for each required column.
        optional: text columns that an input may have in addition.
        options: options of a prediction: name to `int`, `float`, `str` or `bool`.
        interface: see `Target.interface`.
    """

    example: Mapping[str, Any]
    optional: Sequence[str]
    options: Mapping[str, type]
    interface: str | None = None


class Sink:
    """A sink that drops everything: the contract of all sinks, and what `tracking=none` uses.

    Records are delivered asynchronously, in order; only `settle` and `close` wait. Only opening a sink may raise: later
    failures are warnings, so that they never end a training.

    Attributes:
        id: the run's id in the sink.
        name: the run's name in the sink.
        url: address of the run's page.
        ui_command: shell command that serves `url`; None if nothing has to be started.
        uri: address of the store, without a password.
        experiment: name of the experiment that holds the run.
    """

    id: str | None = None
    name: str | None = None
    url: str | None = None
    ui_command: str | None = None
    uri: str | None = None
    experiment: str | None = None

    def metrics(self, points: Sequence[Point]) -> None:
        """Record metric values."""

    def params(self, values: Mapping[str, str]) -> None:
        """Record parameters by dotted name."""

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a later value replaces an earlier one."""

    def datasets(self, raw: "RawData") -> None:
        """Record a description of the data set, split by split."""

    def artifact(self, path: Path, folder: str | None) -> None:
        """Store a file, or a directory and its contents."""

    def model(self, folder: Path, form: ModelForm) -> None:
        """Store the folder of a trained model as one that MLflow can load and serve."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store rows to be shown as a table."""

    def settle(self) -> None:
        """Wait, for a limited time, until all records so far are delivered."""

    def amend(
        self,
        trial: int,
        *,
        status: str | None = None,
        tags: Mapping[str, str] = EMPTY,
        artifact: Path | None = None,
        not_kept: Path | None = None,
    ) -> None:
        """Change the last run of a trial on behalf of its process; this run is the sweep's, the trial's parent.

        Args:
            trial: number of the trial.
            status: how the trial ended, if its own process did not record it.
            tags: tags to add.
            artifact: a file to add.
            not_kept: the note that stands for the weights of its model, which are deleted where the store keeps them on
                this machine.
        """

    def close(self, status: str, *, ended: int | None = None) -> int:
        """Deliver the remaining records and end the run.

        Args:
            status: FINISHED, FAILED or KILLED.
            ended: milliseconds since 1970; None is now.

        Returns:
            The number of records that were not delivered.
        """
        return 0
