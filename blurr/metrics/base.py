"""The interface of metrics, what they may declare, and which way each is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from hydra.utils import get_object

from blurr.config import signatures
from blurr.errors import InputError

Direction = Literal["minimize", "maximize"]
MINIMIZE: Direction = "minimize"
MAXIMIZE: Direction = "maximize"


class Metric(Protocol):
    """A streaming metric: gathers batches, then computes one value."""

    def update(self, predictions: Any, targets: Any) -> None: ...

    def compute(self) -> Any: ...

    def reset(self) -> None: ...


@runtime_checkable
class Directed(Protocol):
    """A metric, or its class, that says which way it is better."""

    direction: str


@runtime_checkable
class HigherIsBetter(Protocol):
    """The same for torchmetrics, where None leaves it open."""

    higher_is_better: bool | None


@runtime_checkable
class Noted(Protocol):
    """A metric whose value needs a note beside it."""

    def note(self) -> str | None:
        """Return the note, such as the class that an F1 is for; None if there is nothing to note."""
        ...


@runtime_checkable
class Reading(Protocol):
    """A metric that declares what it compares: classes, numbers, words, answers, texts or tokens."""

    reads: str


@runtime_checkable
class OfNamedClasses(Protocol):
    """A metric that needs the names of the classes."""

    def name_classes(self, names: Sequence[str]) -> None:
        """Take the names, in the order of their ids."""
        ...


@dataclass(frozen=True)
class Scored:
    """What the metrics of a task compare.

    Attributes:
        kind: `classes` (logits of one class each), `labels` (logits of several labels each), `numbers`, `texts`,
            `words`, `answers`, `tokens`, or what a user's own task predicts; empty if it does not say.
        names: Names of the classes or labels, if any.
        note: What stands beside the value of every metric, such as how texts are normalized; empty for nothing.
        others: Further kinds that are compared, for other metrics; predictions and targets then stand under their kind.
    """

    kind: str
    names: Sequence[str] | None = None
    note: str = ""
    others: tuple[str, ...] = ()


def metric_key(split: str, name: str) -> str:
    """Return the key of a metric in records, files and options, such as `valid/f1`."""
    return f"{split}/{name}"


def metric_name(key: str) -> str:
    """Return the name of the metric in a key: `f1` of `valid/f1`."""
    return key.partition("/")[2]


def direction_of(key: str, metric: object, *, remedy: str) -> Direction:
    """Return which way a metric is better; sweeps, callbacks and leaderboards all ask here.

    Losses and times are minimized. A metric declares its direction by an attribute `direction` of its class, or by
    torchmetrics' `higher_is_better`.

    Args:
        key: Its key, such as `valid/f1`.
        metric: The metric, its class, or the dotted name of its class; None if only the key is known.
        remedy: A sentence that tells the user how to set the direction.

    Raises:
        InputError: The direction is not known.
    """
    found = known_direction(key, metric)
    if found is None:
        whose = "no metric of that name says it" if metric is None else f"{_name_of(metric)} does not say it"
        raise InputError(
            f"Whether {key} is better high or low is not known: {whose}, by an attribute direction='minimize' or "
            f"'maximize' of its class. {remedy}"
        )
    return found


def known_direction(key: str, metric: object) -> Direction | None:
    """Return which way a metric is better, as `direction_of`; None if it is not known."""
    return MINIMIZE if is_cost(key) else declared_direction(metric)


def is_cost(key: str) -> bool:
    """Return whether a key names a loss or a time."""
    group, _, name = key.rpartition("/")
    return name == "loss" or name.endswith("_loss") or group == "time"


def declared_direction(metric: object) -> Direction | None:
    """Return the direction that a metric, its class, or the class of that dotted name declares; None if none."""
    if isinstance(metric, str):
        if signatures.is_ours(metric):
            said = signatures.class_attribute(metric, "direction")
            return MINIMIZE if said == MINIMIZE else MAXIMIZE if said == MAXIMIZE else None
        metric = get_object(metric)
    if isinstance(metric, Directed) and metric.direction in (MINIMIZE, MAXIMIZE):
        return MINIMIZE if metric.direction == MINIMIZE else MAXIMIZE
    if isinstance(metric, HigherIsBetter) and isinstance(metric.higher_is_better, bool):
        return MAXIMIZE if metric.higher_is_better else MINIMIZE
    return None


def _name_of(metric: object) -> str:
    if isinstance(metric, str):
        return metric
    return metric.__qualname__ if isinstance(metric, type) else type(metric).__qualname__
