"""What a run needs of a place that keeps its records besides its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from blurr.runs.secrets import mask_text

if TYPE_CHECKING:
    from blurr.data.core import RawData


EMPTY: Mapping[str, str] = MappingProxyType({})
PARENT, TRIAL = "mlflow.parentRunId", "blurr.trial"  # tags by which the runs of a sweep's trials are known
ERROR_TAG = "blurr.error"  # says why a run failed
IDENTITY_TAG = "blurr.identity"  # see `runs.folder`


def named_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Name blurr's tags: `weights` becomes `blurr.weights`; a name with a dot stays as it is."""
    return {key if "." in key else f"blurr.{key}": mask_text(str(value)) for key, value in tags.items()}


class Point(NamedTuple):
    """One value of one metric: milliseconds since 1970, and the optimizer step."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class ModelForm:
    """What a model asks for, so that others can call it.

    Attributes:
        example: an item to predict on: a text, or a list of words, for each column that it must have.
        optional: columns of text that it may have besides.
        options: what may be asked of a prediction: name to `int`, `float`, `str` or `bool`.
    """

    example: Mapping[str, Any]
    optional: Sequence[str]
    options: Mapping[str, type]


class Sink:
    """A place that drops everything: the contract of all sinks, and what `tracking=none` uses.

    What is taken is delivered by and by, in order; only `settle` and `close` wait. Only opening a sink may raise: a
    failure later is a warning, so that it never ends a training.

    Attributes:
        id: the run's identifier there.
        name: the run's name there.
        url: address of the run's page.
        ui_command: shell command that serves `url`; None where nothing has to be started.
        uri: where the run can be found again, without a password.
        experiment: the name that it can be found under there.
    """

    id: str | None = None
    name: str | None = None
    url: str | None = None
    ui_command: str | None = None
    uri: str | None = None
    experiment: str | None = None

    def metrics(self, points: Sequence[Point]) -> None:
        """Take metric values."""

    def params(self, values: Mapping[str, str]) -> None:
        """Take the parameters, by dotted name."""

    def tags(self, tags: Mapping[str, str]) -> None:
        """Take tags; a later value replaces an earlier one."""

    def datasets(self, raw: "RawData") -> None:
        """Take a description of the data set, split by split."""

    def artifact(self, path: Path, folder: str | None) -> None:
        """Take a file, or a directory with all that is in it."""

    def model(self, folder: Path, form: ModelForm) -> None:
        """Take the folder of a trained model, and let others call it by what they know."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows to be looked at as a table."""

    def settle(self) -> None:
        """Wait a while for what has been taken to be delivered."""

    def amend(
        self, trial: int, *, status: str | None = None, tags: Mapping[str, str] = EMPTY, artifact: Path | None = None
    ) -> None:
        """Change the last run of a sweep's trial, of which this run is the parent, when its own process cannot.

        Args:
            trial: its number.
            status: what it ended as, where it did not say so itself.
            tags: to be added.
            artifact: a file to be added.
        """

    def close(self, status: str, *, ended: int | None = None) -> int:
        """Deliver the rest, and end as FINISHED, FAILED or KILLED.

        Args:
            status: one of these.
            ended: when, in milliseconds since 1970; None is now.

        Returns:
            How many records were not delivered.
        """
        return 0
