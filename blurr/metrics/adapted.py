"""Feed the metrics of torchmetrics: convert what a task predicts to the shapes that each of them expects."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchmetrics import Metric as TorchMetric
from torchmetrics.aggregation import BaseAggregator
from torchmetrics.text import BLEUScore, CHRFScore, ExtendedEditDistance, TranslationEditRate

from blurr.errors import InputError
from blurr.metrics.base import Direction, Scored, declared_direction

Fed = tuple[Any, Any]
Feed = Callable[[Any, Any], Fed]
OWN_SHAPES = "torchmetrics."  # modules whose metrics are fed here; a user's own metric takes what the task decodes
SEVERAL_REFERENCES = (BLEUScore, CHRFScore, ExtendedEditDistance, TranslationEditRate)  # a list of them for each text
ROWS = 8  # of the trial


class AdaptedMetric:
    """A metric of torchmetrics, fed with predictions and targets in the shapes that it expects.

    Args:
        name: Its key in the config.
        metric: The metric of torchmetrics.
        feed: Converts what the task decodes to what the metric's `update` takes.
    """

    def __init__(self, name: str, metric: TorchMetric, feed: Feed) -> None:
        self.name, self.metric, self.feed = name, metric, feed
        for each in metric.modules():
            if isinstance(each, TorchMetric):  # the first of several processes has seen all rows, and computes alone
                each.distributed_available_fn = _never

    @property
    def direction(self) -> Direction | None:
        """Which way it is better; None if it does not say."""
        return declared_direction(self.metric)

    def reset(self) -> None:
        self.metric.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        fed = self.feed(predictions, targets)
        try:
            self.metric.update(*fed)
        except (ValueError, RuntimeError, TypeError, OSError) as error:
            raise _unfit(self.name, self.metric, "cannot score what this task predicts", error) from error

    def compute(self) -> float:
        try:
            value = self.metric.compute()
        except (ValueError, RuntimeError, TypeError, OSError) as error:
            raise _unfit(self.name, self.metric, "cannot score what this task predicts", error) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise InputError(
                f"metrics.{self.name}: {type(self.metric).__name__} gives {_shape(value)} where a metric gives one "
                "number. Set its average or reduction, or choose another metric."
            )
        return float(value)


def adapted(name: str, metric: TorchMetric, scored: Scored) -> AdaptedMetric:
    """Adapt a metric of torchmetrics to what a task predicts, and try it on made-up rows.

    Raises:
        InputError: It cannot read that, or does not return a single number.
    """
    made = AdaptedMetric(name, metric, feed_of(name, metric, scored))
    example = _example(scored)
    if example is not None and type(metric).__module__.startswith(OWN_SHAPES):
        try:
            made.update(*example)
            made.compute()
        finally:
            metric.reset()
    return made


def feed_of(name: str, metric: TorchMetric, scored: Scored) -> Feed:
    """Return the function that feeds a metric.

    Raises:
        InputError: The metric compares something other than the task predicts.
    """
    if not scored.kind or not type(metric).__module__.startswith(OWN_SHAPES):
        return _as_decoded
    if isinstance(metric, BaseAggregator):
        raise _unfit(name, metric, "aggregates numbers, and does not compare predictions with targets")
    family = _family(metric)
    feed = _FEEDS.get((scored.kind, family))
    if feed is None:
        raise _unfit(name, metric, f"is a metric for {_NOUNS[family]}, but this task predicts {scored.kind}")
    if family == "numbers":
        metric.set_dtype(torch.float64)
    if family == "binary" and len(scored.names or ()) != 2:
        raise _unfit(name, metric, f"is for two classes, but this task has {len(scored.names or ())}")
    return _lists_of_references if isinstance(metric, SEVERAL_REFERENCES) else feed


def _family(metric: TorchMetric) -> str:
    """Return what a metric compares, by the names of its classes in torchmetrics, or by its module."""
    for cls in type(metric).__mro__:
        for family in ("Binary", "Multiclass", "Multilabel"):
            if cls.__name__.startswith(family):
                return family.lower()
    module = type(metric).__module__.split(".")[1]
    return {"regression": "numbers", "text": "texts"}.get(module, "ids")


def _never() -> bool:
    return False


def _as_decoded(predictions: Any, targets: Any) -> Fed:
    return predictions, targets


def _probabilities(logits: torch.Tensor, targets: torch.Tensor) -> Fed:
    return logits.double().softmax(1).cpu(), targets.long().cpu()


def _of_the_second(logits: torch.Tensor, targets: torch.Tensor) -> Fed:
    return logits.double().softmax(1)[:, 1].cpu(), targets.long().cpu()


def _of_each(logits: torch.Tensor, targets: torch.Tensor) -> Fed:
    return (
        logits.double().sigmoid().cpu(),
        targets.long().cpu(),
    )  # the threshold is 0.5 here, see `decode`


def _ids(logits: torch.Tensor, targets: torch.Tensor) -> Fed:
    return logits.argmax(1).cpu(), targets.long().cpu()


def _numbers(predictions: torch.Tensor, targets: torch.Tensor) -> Fed:
    return predictions.double().reshape(-1).cpu(), targets.double().reshape(-1).cpu()


def _lists_of_references(predictions: Sequence[str], targets: Sequence[str]) -> Fed:
    return list(predictions), [[target] for target in targets]


def _pixels(predictions: torch.Tensor, targets: torch.Tensor) -> Fed:
    real = targets >= 0
    return predictions[real].cpu(), targets[real].cpu()


_FEEDS: dict[tuple[str, str], Feed] = {
    ("classes", "binary"): _of_the_second,
    ("classes", "multiclass"): _probabilities,
    ("classes", "ids"): _ids,
    ("labels", "multilabel"): _of_each,
    ("numbers", "numbers"): _numbers,
    ("texts", "texts"): _as_decoded,
    ("masks", "multiclass"): _pixels,
}
_NOUNS = {"binary": "two classes", "multiclass": "classes", "multilabel": "several labels"}
_NOUNS |= {"numbers": "numbers", "texts": "texts", "ids": "classes"}


def _example(scored: Scored) -> Fed | None:
    """Make up rows as a task decodes them, with every class; None if that takes more than shapes."""
    if scored.kind == "texts":
        return ["a good film", "a plot"] * 2, ["a good film", "the plot"] * 2
    n = len(scored.names or ()) or 1
    rng = torch.Generator().manual_seed(0)
    if scored.kind == "classes":
        return torch.rand(max(ROWS, 2 * n), n, generator=rng), torch.arange(max(ROWS, 2 * n)) % n
    if scored.kind == "masks":
        return (torch.arange(max(ROWS, 2 * n)) % n).expand(2, 2, -1), (torch.arange(max(ROWS, 2 * n)) % n).expand(
            2, 2, -1
        )
    if scored.kind == "labels":
        targets = torch.arange(ROWS)[:, None].add(torch.arange(n)).remainder(2)
        return torch.randn(ROWS, n, generator=rng), targets.float()
    if scored.kind == "numbers":
        return torch.rand(ROWS, 1, generator=rng) + 1, torch.rand(ROWS, generator=rng) + 1
    return None


def _unfit(name: str, metric: TorchMetric, why: str, error: Exception | None = None) -> InputError:
    reason = f" ({error})" if error else ""
    return InputError(
        f"metrics.{name}: torchmetrics' {type(metric).__name__} {why}{reason}. Correct its settings in metrics.{name}, "
        "or choose another metric; `blurr ls metrics` lists blurr's own."
    )


def _shape(value: Any) -> str:
    return f"{value.numel()} numbers" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
