"""Show metrics to fastai under their names, and refuse at once a metric that this task cannot feed."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from fastai.learner import Learner
from fastai.learner import Metric as FastaiMetric

from blurr.errors import InputError
from blurr.metrics.base import Metric, Noted, OfNamedClasses, Reading, Scored

ADVICE = {
    "classes": "Choose metrics=[accuracy,f1].",
    "labels": "Choose metrics=[accuracy,f1].",
    "numbers": "Choose metrics=[pearson,spearman,rmse].",
    "words": "Choose metrics=[seqeval].",
    "texts": "Choose metrics=[rougeL], or see `blurr ls metrics`.",
    "answers": "Choose metrics=[exact_match,squad_f1].",
    "tokens": "Choose metrics=[perplexity,token_accuracy].",
    "masks": "Choose metrics=[mean_iou,pixel_accuracy,dice].",
    "boxes": "Choose metrics=[map,map50,map75,mar].",
}


class ShownMetric(FastaiMetric):  # type: ignore[misc]  # fastai is not typed
    """Show a metric to fastai's recorder under the name that its config has."""

    def __init__(self, name: str, metric: Any, note: str = "") -> None:
        self._name, self.metric, self.beside = name, metric, note

    @property
    def name(self) -> str:
        return self._name

    def reset(self) -> None:
        self.metric.reset()


class StreamedMetric(ShownMetric):
    """Show a streaming metric, which reads what was decoded of a batch, or what that has under one of several kinds."""

    def __init__(self, name: str, metric: Any, note: str = "", kind: str | None = None) -> None:
        super().__init__(name, metric, note)
        self.kind = kind

    def accumulate(self, learn: Learner) -> None:
        for decoded in learn.decoded_shares:  # of several processes, in the first of them
            self.metric.update(*(decoded if self.kind is None else decoded[self.kind]))

    @property
    def value(self) -> float:
        return float(self.metric.compute())

    def note(self) -> str | None:
        """Return the note of the metric itself, if it has one."""
        return self.metric.note() if isinstance(self.metric, Noted) else None


class NamedMetric(ShownMetric):
    """Show a metric of fastai's, which reads `learn.pred` and `learn.yb`."""

    def accumulate(self, learn: Learner) -> None:
        own = learn.pred, learn.yb
        for pred, targets in learn.output_shares:  # of several processes, in the first of them
            learn.pred, learn.yb = pred, targets
            self.metric.accumulate(learn)
        learn.pred, learn.yb = own

    @property
    def value(self) -> Any:
        return self.metric.value


class RowMetric(ABC):
    """A metric of the described rows of a split, known when the final model is evaluated and not before."""

    @abstractmethod
    def score(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Return one number for rows of every column of the data, `target`, `prediction` and `loss`."""


class RowsLater(ShownMetric):
    """Keep the place of a row metric among a learner's metrics: it has no value before the final evaluation."""

    @property
    def value(self) -> None:
        return None

    def reset(self) -> None:
        """Do nothing, as there is nothing to forget."""

    def accumulate(self, learn: Learner) -> None:
        """Do nothing: the rows are described at the end."""


def streamed(metrics: Mapping[str, Metric | RowMetric], scored: Scored) -> list[ShownMetric]:
    """Show metrics to fastai, each under its name.

    Args:
        metrics: Metrics of blurr, torchmetrics, fastai or the user, by name.
        scored: What the task gives them to compare.

    Raises:
        InputError: One of them compares something else.
    """
    return [_shown(name, metric, scored) for name, metric in metrics.items()]


def _shown(name: str, metric: Any, scored: Scored) -> ShownMetric:
    if isinstance(metric, RowMetric):
        return RowsLater(name, metric)
    if isinstance(metric, FastaiMetric):
        return NamedMetric(name, metric)
    if "torchmetrics" in sys.modules:  # else the metric is none of torchmetrics', which loads half of scipy
        from torchmetrics import Metric as TorchMetric

        from blurr.metrics.adapted import adapted

        if isinstance(metric, TorchMetric):
            return StreamedMetric(name, adapted(name, metric, scored), scored.note)
    if scored.others and isinstance(metric, Reading) and metric.reads in (scored.kind, *scored.others):
        return StreamedMetric(name, metric, scored.note, metric.reads)
    kind = {"labels": "classes"}.get(scored.kind, scored.kind)
    if kind and isinstance(metric, Reading) and metric.reads != kind:
        what = type(metric).__name__.lower()
        raise InputError(
            f"metrics.{name}: {what} is a metric for {metric.reads}, but this task predicts {scored.kind}. "
            f"{ADVICE.get(scored.kind, 'See `blurr ls metrics`.')}"
        )
    if isinstance(metric, OfNamedClasses) and scored.names is not None:
        metric.name_classes(scored.names)
    return StreamedMetric(name, metric, scored.note)


def notes_of(metrics: Sequence[FastaiMetric]) -> dict[str, str]:
    """Return the note beside the value of each metric that has one, by the metric's name."""
    notes = {m.name: [m.note(), m.beside] for m in metrics if isinstance(m, StreamedMetric)}
    return {name: ", ".join(filter(None, parts)) for name, parts in notes.items() if any(parts)}


def directed(metrics: Sequence[FastaiMetric]) -> dict[str, object]:
    """Return what says which way each of a learner's metrics is better, by its name."""
    return {m.name: m.metric if isinstance(m, ShownMetric) else m for m in metrics}
