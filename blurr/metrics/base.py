"""What metrics have in common: their interface, what they may say of themselves, and which way each is better."""

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
    """What a streaming metric can do."""

    def update(self, predictions: Any, targets: Any) -> None: ...

    def compute(self) -> Any: ...

    def reset(self) -> None: ...


@runtime_checkable
class Directed(Protocol):
    """A metric, or its class, that says which way it is better."""

    direction: str


@runtime_checkable
class HigherIsBetter(Protocol):
    """The same in the words of torchmetrics, where `None` leaves it open."""

    higher_is_better: bool | None


@runtime_checkable
class Noted(Protocol):
    """A metric whose value needs a word beside it."""

    def note(self) -> str | None:
        """Return the word, such as the class that an F1 is of; `None` where there is nothing to say."""
        ...


@runtime_checkable
class Reading(Protocol):
    """A metric that says what it compares: classes, numbers, words, answers, texts or tokens."""

    reads: str


@runtime_checkable
class OfNamedClasses(Protocol):
    """A metric that wants to know the names of the classes."""

    def name_classes(self, names: Sequence[str]) -> None:
        """Take the names, in the order of their ids."""
        ...


@dataclass(frozen=True)
class Scored:
    """What the metrics of a task get to see.

    Attributes:
        kind: `classes` (logits of one class each), `labels` (logits of several labels each), `numbers`, `texts`,
            `words`, `answers`, `tokens`, or another that a task of one's own predicts; empty where it does not say.
        names: of the classes or labels, where it has any.
    """

    kind: str
    names: Sequence[str] | None = None


def metric_key(split: str, name: str) -> str:
    """Return the key of a metric in records, files and options, such as `valid/f1`."""
    return f"{split}/{name}"


def metric_name(key: str) -> str:
    """Return the name of the metric in a key: `f1` of `valid/f1`."""
    return key.partition("/")[2]


def direction_of(key: str, metric: object, *, remedy: str) -> Direction:
    """Return which way a metric is better: the one place that sweeps, callbacks and leaderboards ask.

    Losses and times are minimized. A metric says it by an attribute `direction` of its class, or by torchmetrics'
    `higher_is_better`.

    Args:
        key: what it is called, such as `valid/f1`.
        metric: the metric, its class, or the dotted name of its class; `None` where only the key is known.
        remedy: how to say it where the metric does not; a sentence.

    Raises:
        InputError: it is not known.
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
    """Do as `direction_of` does, and return `None` where it is not known."""
    return MINIMIZE if is_cost(key) else declared_direction(metric)


def is_cost(key: str) -> bool:
    """Say whether a key names a loss or a time."""
    group, _, name = key.rpartition("/")
    return name == "loss" or name.endswith("_loss") or group == "time"


def declared_direction(metric: object) -> Direction | None:
    """Return what a metric, its class or the class of that dotted name says of itself; `None` where it does not."""
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
