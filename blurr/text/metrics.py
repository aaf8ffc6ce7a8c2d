"""Metrics that see one batch at a time and yield one number each.

A metric has the interface of torchmetrics: `update(predictions, targets)`, `compute()` and `reset()`. Any metric of
torchmetrics whose `compute` gives one number can stand in a YAML as it is; what is here lacks in torchmetrics, or would
have to be told the number of classes there. `reads` says what a metric compares; it fits the tasks that predict that.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol

import torch
from fastai.learner import Learner
from fastai.learner import Metric as FastaiMetric
from torchmetrics import functional as tm
from torchmetrics.functional import classification as tmc

from blurr.errors import InputError

Average = Literal["auto", "binary", "macro", "micro", "weighted"]


class Metric(Protocol):
    """What a streaming metric can do."""

    def update(self, predictions: Any, targets: Any) -> None: ...

    def compute(self) -> Any: ...

    def reset(self) -> None: ...


class StreamedMetric(FastaiMetric):  # type: ignore[misc]  # fastai is not typed
    """Show a streaming metric to fastai's recorder under a name; it reads `learn.decoded`."""

    def __init__(self, name: str, metric: Metric) -> None:
        self._name, self.metric = name, metric

    @property
    def name(self) -> str:
        return self._name

    def reset(self) -> None:
        self.metric.reset()

    def accumulate(self, learn: Learner) -> None:
        self.metric.update(*learn.decoded)

    @property
    def value(self) -> float:
        return float(self.metric.compute())


class _Counts:
    """Base of the classification metrics: the true and the predicted classes seen so far.

    Predictions are logits `(batch, classes)`; targets are class ids `(batch,)`, or a 0/1 vector of labels
    `(batch, classes)`, for which a logit above 0 predicts the label.
    """

    reads: ClassVar[str] = "classes"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.predicted: list[torch.Tensor] = []
        self.true: list[torch.Tensor] = []
        self.classes = 0
        self.multilabel = False

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        _check_tensor(self, predictions)
        if predictions.ndim != 2 or (targets.is_floating_point() and targets.ndim == 1):
            raise InputError(
                f"{type(self).__name__.lower()} is a metric for classes, but the targets are numbers (regression). "
                "Choose metrics=[pearson,spearman,rmse]."
            )
        self.multilabel = targets.ndim == 2
        self.classes = predictions.shape[1]
        self.predicted.append(((predictions > 0) if self.multilabel else predictions.argmax(1)).cpu())
        self.true.append(targets.long().cpu())

    def seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Give all predicted and all true classes."""
        return torch.cat(self.predicted), torch.cat(self.true)


def _check_tensor(metric: object, predictions: Any) -> None:
    if not isinstance(predictions, torch.Tensor):
        raise InputError(
            f"{type(metric).__name__.lower()} is a metric for one class or number per row, but this task predicts "
            "texts or labelled words. Choose metrics=[seqeval] for words, metrics=[rougeL] for texts, or see `blurr ls "
            "metrics`."
        )


class Accuracy(_Counts):
    """Share of right classes; for several labels, share of rows whose labels are all right."""

    def compute(self) -> torch.Tensor:
        predicted, true = self.seen()
        right = predicted == true
        return (right.all(1) if self.multilabel else right).float().mean()


class _Averaged(_Counts):
    """Base of the scores that are of one class each, and averaged over several.

    Args:
        average: `auto` is the score of the second class for two classes, the mean over the classes (`macro`) for more,
            and `micro` for several labels; or one of `binary`, `macro`, `micro`, `weighted`.
    """

    functions: ClassVar[tuple[Callable[..., torch.Tensor], ...]]  # for two classes, for more, for several labels

    def __init__(self, average: Average = "auto") -> None:
        super().__init__()
        self.average = average

    def compute(self) -> torch.Tensor:
        predicted, true = self.seen()
        average = self._average()
        binary, multiclass, multilabel = self.functions
        if self.multilabel:
            return multilabel(predicted.int(), true, num_labels=self.classes, average=average)
        if average == "binary":
            return binary(predicted, true)
        return multiclass(predicted, true, num_classes=self.classes, average=average)

    def _average(self) -> Any:
        name = type(self).__name__
        if self.average == "binary" and (self.classes != 2 or self.multilabel):
            raise InputError(
                f"{name} with average=binary needs two classes, not {self.classes}. Choose macro or micro."
            )
        if self.average != "auto":
            return self.average
        if self.multilabel:
            return "micro"
        return "binary" if self.classes == 2 else "macro"


class F1(_Averaged):
    """F1, the harmonic mean of precision and recall."""

    functions = (tmc.binary_f1_score, tmc.multiclass_f1_score, tmc.multilabel_f1_score)


class Precision(_Averaged):
    """Share of what was predicted to be of a class that is of it."""

    functions = (tmc.binary_precision, tmc.multiclass_precision, tmc.multilabel_precision)


class Recall(_Averaged):
    """Share of what is of a class that was predicted to be."""

    functions = (tmc.binary_recall, tmc.multiclass_recall, tmc.multilabel_recall)


class Matthews(_Counts):
    """Matthews correlation coefficient, from -1 to 1 (Gorodkin 2004 for more than two classes)."""

    def compute(self) -> torch.Tensor:
        predicted, true = self.seen()
        if self.multilabel:
            return tmc.multilabel_matthews_corrcoef(predicted.int(), true, num_labels=self.classes)
        return tmc.multiclass_matthews_corrcoef(predicted, true, num_classes=self.classes)


class _Numbers:
    """Base of the regression metrics: the true and the predicted numbers seen so far, `(batch, 1)` or `(batch,)`."""

    reads: ClassVar[str] = "numbers"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.predicted: list[torch.Tensor] = []
        self.true: list[torch.Tensor] = []

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        _check_tensor(self, predictions)
        if not targets.is_floating_point() or predictions.shape[-1] != 1 and predictions.ndim == 2:
            raise InputError(
                f"{type(self).__name__.lower()} is a metric for numbers, but the targets are classes. "
                "Choose metrics=[accuracy,f1], or set task.kind=regression."
            )
        self.predicted.append(predictions.float().reshape(-1).cpu())
        self.true.append(targets.float().reshape(-1).cpu())

    def seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Give all predicted and all true numbers."""
        return torch.cat(self.predicted), torch.cat(self.true)


class Pearson(_Numbers):
    """Pearson correlation of predicted and true numbers."""

    def compute(self) -> torch.Tensor:
        return tm.pearson_corrcoef(*self.seen())


class Spearman(_Numbers):
    """Spearman rank correlation of predicted and true numbers."""

    def compute(self) -> torch.Tensor:
        return tm.spearman_corrcoef(*self.seen())


class RMSE(_Numbers):
    """Root of the mean squared error."""

    direction: ClassVar[str] = "minimize"  # a sweep's; metrics that do not say so are maximized

    def compute(self) -> torch.Tensor:
        return tm.mean_squared_error(*self.seen(), squared=False)
